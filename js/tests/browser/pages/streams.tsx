/** A stream on a page, under StrictMode: it can be stopped, and its component can go. */

import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { ObservableSocket } from '../../../dist/index.mjs'
import { SocketProvider, useStream } from '../../../dist/react.mjs'

const socket = new ObservableSocket('/ws')
Object.assign(window, { socket, renders: 0 })

function Log({ name }: { name: string }) {
  const { start, stop, items, last, status } = useStream('endless', { keep: 50 })
  useEffect(() => start(name), [start, name])
  ;(window as any).renders++
  return (
    <p>
      <output>
        {status}: {items.length} items, the last is {String(last)}
      </output>
      <button id="stop" onClick={stop}>
        Stop
      </button>
    </p>
  )
}

function App() {
  const [name, setName] = useState<string | undefined>('first')
  return (
    <>
      <h1>A stream on a page</h1>
      {name && <Log name={name} />}
      <button id="second" onClick={() => setName('second')}>
        Another
      </button>
      <button id="gone" onClick={() => setName(undefined)}>
        None
      </button>
    </>
  )
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <SocketProvider socket={socket}>
      <App />
    </SocketProvider>
  </StrictMode>,
)
