/** The whole of a small application, under StrictMode. */

import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { SocketProvider, useCall, useConnectionState } from '../../../dist/react.mjs'

function Sum() {
  const [text, setText] = useState('1 2 3')
  const sum = useCall('math/sum')
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        void sum.call(text.split(' ').map(Number))
      }}
    >
      <input value={text} onChange={({ target }) => setText(target.value)} /> <button>Add</button>
      <output>{sum.pending ? '…' : sum.error ? `error: ${(sum.error as Error).message}` : sum.data?.sum}</output>
    </form>
  )
}

function App() {
  return (
    <>
      <h1>Sum over a socket</h1>
      <p id="state">{useConnectionState()}</p>
      <Sum />
    </>
  )
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <SocketProvider url="/ws">
      <App />
    </SocketProvider>
  </StrictMode>,
)
