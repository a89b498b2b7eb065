import { SocketProvider } from 'fastapi-observable-socket/react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './App'

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <SocketProvider url="/ws">
      <App />
    </SocketProvider>
  </StrictMode>,
)
