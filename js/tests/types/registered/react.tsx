/** Hooks typed by the registered routes. */

import { SocketProvider, useCall, useConnectionState, useSocket } from 'fastapi-observable-socket/react'
import { ObservableSocket } from 'fastapi-observable-socket'

interface Mine {
  'math/sum': { payload: number[]; result: { sum: number } }
  now: { result: string }
}

declare module 'fastapi-observable-socket' {
  interface Register {
    routes: Mine
  }
}

const socket = new ObservableSocket('/ws')

export function Sum() {
  const sum = useCall('math/sum')
  const now = useCall('now')
  const state: 'idle' | 'connecting' | 'open' | 'waiting' | 'closed' = useConnectionState()
  const own = useSocket()
  void own.call('math/sum', [1])
  // @ts-expect-error no such route
  void own.call('nope')
  // @ts-expect-error no such route
  useCall('nope')
  // @ts-expect-error wrong payload
  void sum.call(['1'])
  void now.call()
  return (
    <SocketProvider socket={socket}>
      <button onClick={() => sum.call([1, 2], { timeout: 5 })} disabled={sum.pending}>
        {sum.data?.sum.toFixed()} {now.data?.trim()} {state}
      </button>
    </SocketProvider>
  )
}

export const ways = [
  <SocketProvider url="/ws" options={{ auth: () => null }}>
    text
  </SocketProvider>,
  // @ts-expect-error a socket or a url
  <SocketProvider />,
  // @ts-expect-error not both
  <SocketProvider socket={socket} url="/ws" />,
]

// Without registering, the route map is given by hand.
interface Other {
  other: { payload: 1; result: 2 }
}
export function Others() {
  const other = useCall<'other', Other>('other')
  const two: 2 | undefined = other.data
  void [two, useSocket<Other>().call('other', 1)]
}
