/** The old README’s React page, under StrictMode, against the entry of the old names. */

import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { Message, ObservableSocketProvider, useObservableSocket } from '../../../dist/compat.mjs'

function Dashboard() {
  const { addSocket, getSocket } = useObservableSocket()
  const [answer, setAnswer] = useState('')

  useEffect(() => {
    addSocket('app', `ws://${location.host}/ws`, (res) => console.log('Push:', res), false, {
      globalHeaders: { apiKey: '123' },
    })
  }, [addSocket])

  const handleClick = async () => {
    const app = getSocket('app')
    if (!app) return alert('Socket not ready!')
    const result = await app.socket.sendAndWait(new Message('echo', { name: 'World' }))
    setAnswer(JSON.stringify(result.message))
  }

  return (
    <>
      <p id="state">{String(getSocket('app')?.socketState)}</p>
      <button onClick={handleClick}>Say Hello</button>
      <output>{answer}</output>
    </>
  )
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <ObservableSocketProvider>
      <Dashboard />
    </ObservableSocketProvider>
  </StrictMode>,
)
