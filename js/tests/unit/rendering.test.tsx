/** Pages rendered on a server: no window, no connection, no complaint. */

import { StrictMode } from 'react'
import { renderToString } from 'react-dom/server'
import { expect, test } from 'vitest'
import { ObservableSocketProvider, useObservableSocket } from '../../src/compat.js'
import { SocketProvider, useCall, useConnectionState, useStream } from '../../src/react.js'
import { FakeWebSocket } from '../support/fake.js'

test('the provider and the hooks render, and nothing connects', () => {
  const Page = () => {
    const { pending } = useCall('math/sum')
    return `${useConnectionState()} ${pending} ${useStream('logs/tail').status}`
  }
  const page = (
    <StrictMode>
      <SocketProvider url="/ws" options={{ WebSocket: FakeWebSocket }}>
        <Page />
      </SocketProvider>
    </StrictMode>
  )
  expect(renderToString(page)).toBe('connecting false idle')
  expect(FakeWebSocket.all).toEqual([])
})

test('the old provider and hook likewise', () => {
  const Page = () => String(useObservableSocket().getSocket('app'))
  const page = (
    <ObservableSocketProvider>
      <Page />
    </ObservableSocketProvider>
  )
  expect(renderToString(page)).toBe('undefined')
})
