/** Hooks typed by the registered routes. */

import { SocketProvider, useCall, useConnectionState, useSocket, useStream, useTopic } from 'fastapi-observable-socket/react'
import { isResponseError, ObservableSocket } from 'fastapi-observable-socket'

interface Mine {
  'math/sum': { payload: number[]; result: { sum: number } }
  now: { result: string; errors: { 503: { message: string; retry_after: number } } }
  ticks: { payload?: { every: number }; item: number }
}

declare module 'fastapi-observable-socket' {
  interface Register {
    routes: Mine
    handlers: { confirm: { payload: string; result: boolean } }
    pushes: { news: { title: string } }
    topics: { [order: `orders/${number}`]: { event: { state: string } }; board: { event: string; snapshot: { notes: string[] } } }
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

export function Ticks() {
  const ticks = useStream('ticks', { keep: 10 })
  const items: readonly number[] = ticks.items
  const last: number | undefined = ticks.last
  const undo: () => void = ticks.start({ every: 5 }, { window: 8 })
  ticks.start()
  // @ts-expect-error no stream
  useStream('math/sum')
  // @ts-expect-error wrong payload
  ticks.start({ every: 'day' })
  // @ts-expect-error the items are React’s
  ticks.items.push(1)
  // @ts-expect-error no such status
  void (ticks.status === 'pending')
  void useCall('ticks').data?.map((tick) => tick.toFixed())
  return (
    <button onClick={ticks.stop}>
      {String([items, last, undo])} {ticks.status}
    </button>
  )
}

export function Order({ id }: { id?: number }) {
  const order = useTopic(id === undefined ? null : `orders/${id}`, { onGap: ({ topic, reloadAfterMs }) => void [topic.trim(), reloadAfterMs.toFixed()], keep: 5 })
  const board = useTopic('board')
  const events: readonly { state: string }[] = order.events
  const notes: string[] | undefined = board.snapshot?.notes
  // @ts-expect-error no such topic
  useTopic('order/1')
  // @ts-expect-error no such status
  void (order.status === 'streaming')
  // @ts-expect-error a topic without a state
  void order.snapshot.notes
  // @ts-expect-error wrong event
  void useSocket().publish('board', 7)
  for (const { state } of events) state.trim()
  return (
    <i>
      {order.last?.state} {order.status} {String(order.error)} {notes?.join()} {board.last?.trim()}
    </i>
  )
}

// And so are errors.
export function Now() {
  const { error, call } = useCall('now')
  if (!isResponseError(error, 'now')) return <button onClick={() => call()}>now</button>
  // @ts-expect-error no such route
  if (isResponseError(error, 'then')) return null
  return error.status === 503 ? <i>{error.payload.retry_after.toFixed()}</i> : <i>{error.payload?.message}</i>
}
void socket.request('now').then((answer) => !answer.ok && answer.status === 503 && answer.payload.retry_after.toFixed())

// What the server calls and pushes is registered, too.
socket.handle('confirm', (text) => text.length > 3)
socket.on('push', ({ route, payload }) => void [route === 'news', payload.title])
// @ts-expect-error the server calls no such route
socket.handle('nope', () => true)
// @ts-expect-error wrong result
useSocket().handle('confirm', () => 'yes')

// Without registering, the route map is given by hand.
interface Other {
  other: { payload: 1; result: 2 }
}
export function Others() {
  const other = useCall<'other', Other>('other')
  const two: 2 | undefined = other.data
  void [two, useSocket<Other>().call('other', 1)]
}
