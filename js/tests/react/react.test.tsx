import { act, StrictMode, useEffect, version, type ReactNode } from 'react'
import { createRoot } from 'react-dom/client'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SocketProvider, useCall, useConnectionState, useSocket, useStream, useTopic } from '../../src/react.js'
import type { Gap } from '../../src/index.js'
import { topics } from '../../src/topics.js'
import { FakeWebSocket, go, socketWith, still, URL } from '../support/fake.js'

let unmount: () => void
let page: HTMLElement

beforeEach(() => {
  still()
  vi.stubGlobal('WebSocket', FakeWebSocket)
  vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', true)
})
afterEach(() => {
  unmount?.()
  go()
})

function show(node: ReactNode) {
  page = document.body.appendChild(document.createElement('div'))
  const root = createRoot(page)
  act(() => root.render(node))
  unmount = () => act(() => root.unmount())
  return (next: ReactNode) => act(() => root.render(next))
}

const lazy = () => socketWith({ lazy: true })
const Show = () => <i>{useConnectionState()}</i>

test(`this is React ${version}`, ({ task }) => {
  expect(task.file.projectName).toBe(`react ${version.split('.')[0]}`)
})

describe('SocketProvider', () => {
  test('holds the socket while it is mounted, one connection under StrictMode', () => {
    const socket = lazy()
    show(
      <StrictMode>
        <SocketProvider socket={socket}>
          <Show />
        </SocketProvider>
      </StrictMode>,
    )
    act(() => void vi.advanceTimersByTime(5_000))
    expect(FakeWebSocket.all).toHaveLength(1)
    act(() => void FakeWebSocket.last.accept())
    expect(page.textContent).toBe('open')
    unmount()
    act(() => void vi.advanceTimersByTime(1_000))
    expect(socket.state).toBe('idle')
    expect(FakeWebSocket.living).toEqual([])
  })

  test('makes its own socket from a url: one connection under StrictMode, and none is left', () => {
    show(
      <StrictMode>
        <SocketProvider url={URL}>
          <Show />
        </SocketProvider>
      </StrictMode>,
    )
    act(() => void vi.advanceTimersByTime(5_000))
    expect(FakeWebSocket.all).toHaveLength(1)
    unmount()
    act(() => void vi.advanceTimersByTime(1_000))
    expect(FakeWebSocket.living).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('given another socket, holds that one', () => {
    const [one, two] = [lazy(), lazy()]
    const again = show(<SocketProvider socket={one} />)
    again(<SocketProvider socket={two} />)
    vi.advanceTimersByTime(1_000)
    expect([one.state, two.state]).toEqual(['idle', 'connecting'])
  })

  test('does not close a socket that has its own life', () => {
    const socket = socketWith()
    show(<SocketProvider socket={socket} />)
    unmount()
    vi.advanceTimersByTime(5_000)
    expect(socket.state).toBe('connecting')
  })

  test('a component that only has the socket renders once, whatever happens to it', () => {
    const renders = vi.fn()
    const Bystander = () => (renders(), <b>{useSocket().name}</b>)
    show(
      <SocketProvider socket={lazy()}>
        <Bystander />
        <Show />
      </SocketProvider>,
    )
    act(() => void FakeWebSocket.last.accept())
    act(() => FakeWebSocket.last.says({ uuid: '#', route: 'news' }))
    act(() => FakeWebSocket.last.hangsUp())
    expect(page.textContent).toBe('waiting')
    expect(renders).toHaveBeenCalledOnce()
  })
})

test('without a provider, the error says what is missing', () => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
  expect(() => show(<Show />)).toThrow('useSocket needs a <SocketProvider> above it')
})

describe('useCall', () => {
  let sum: ReturnType<typeof useCall<'math/sum'>>
  const Sum = () => {
    sum = useCall('math/sum')
    return <i>{sum.pending ? 'pending' : JSON.stringify(sum.data ?? (sum.error as Error)?.message)}</i>
  }
  const mount = () => {
    const socket = socketWith()
    show(
      <StrictMode>
        <SocketProvider socket={socket}>
          <Sum />
        </SocketProvider>
      </StrictMode>,
    )
    return FakeWebSocket.last.accept()
  }
  const settle = (run: () => void) => act(async () => run())

  test('shows what becomes of a call', async () => {
    const ws = mount()
    await settle(() => void sum.call([1, 2]))
    expect(page.textContent).toBe('pending')
    await settle(() => ws.answers(3))
    expect(page.textContent).toBe('3')
  })

  test('shows an error, and a promise that nobody takes does no harm', async () => {
    const ws = mount()
    await settle(() => void sum.call([]))
    await settle(() => ws.answers({ message: 'nothing to add' }, { status: 400 }))
    expect(page.textContent).toBe('"nothing to add"')
    expect(sum.pending).toBe(false)
  })

  test('the latest call counts, in whatever order they are answered', async () => {
    const ws = mount()
    await settle(() => {
      void sum.call([1])
      void sum.call([2])
    })
    await settle(() => ws.answers('new', { to: 1 }))
    await settle(() => ws.answers('old', { to: 0 }))
    expect(page.textContent).toBe('"new"')
  })

  test('keeps the last data while the next is on its way, and when that fails', async () => {
    const ws = mount()
    await settle(() => void sum.call([1]))
    await settle(() => ws.answers(1))
    await settle(() => void sum.call([2]))
    expect(sum).toMatchObject({ data: 1, pending: true })
    await settle(() => ws.answers(null, { status: 500 }))
    expect(sum).toMatchObject({ data: 1, pending: false, error: { status: 500 } })
  })

  test('cancel leaves it, here and on the server; so does a signal', async () => {
    const ws = mount()
    await settle(() => void sum.call([1]))
    await settle(() => sum.cancel())
    expect(sum).toMatchObject({ pending: false, error: { name: 'AbortError' } })
    const stop = new AbortController()
    await settle(() => void sum.call([1], { signal: stop.signal }))
    await settle(() => stop.abort('enough'))
    expect(sum).toMatchObject({ pending: false, error: 'enough' })
    expect(ws.routes).toEqual(['math/sum', '$cancel', 'math/sum', '$cancel'])
  })

  test('its functions stay the same', async () => {
    const ws = mount()
    const { call, cancel } = sum
    await settle(() => void call([1]))
    await settle(() => ws.answers(1))
    expect(sum.call).toBe(call)
    expect(sum.cancel).toBe(cancel)
  })
})

describe('useStream', () => {
  let log: ReturnType<typeof useStream<'logs/tail'>>
  let renders = 0
  const Log = ({ file, keep, route = 'logs/tail' }: { file?: string; keep?: number; route?: string }) => {
    log = useStream(route, { keep })
    renders++
    const { start } = log
    useEffect(() => (file ? start(file) : undefined), [start, file])
    return (
      <i>
        {log.status} {log.items.join()}
      </i>
    )
  }
  const mount = (props: Parameters<typeof Log>[0] = {}) => {
    const socket = socketWith()
    FakeWebSocket.last.accept()
    const page = (props: Parameters<typeof Log>[0]) => (
      <StrictMode>
        <SocketProvider socket={socket}>
          <Log {...props} />
        </SocketProvider>
      </StrictMode>
    )
    const again = show(page(props))
    renders = 0
    return { ws: FakeWebSocket.last, show: (props: Parameters<typeof Log>[0]) => again(page(props)) }
  }
  const settle = (run: () => void) => act(async () => run())
  const frame = () => act(async () => void vi.advanceTimersByTime(16))
  /** What the server still works on. */
  const live = (ws: FakeWebSocket) => {
    const left = new Set(ws.frames.filter(({ route }) => route === '$cancel').map(({ uuid }) => uuid))
    return ws.frames.filter(({ uuid, route }) => route[0] !== '$' && !left.has(uuid))
  }

  test('shows nothing before it starts, then items, then the end', async () => {
    const { ws } = mount()
    expect(log).toMatchObject({ items: [], last: undefined, status: 'idle', error: undefined })
    await settle(() => void log.start('a.log', { window: 8 }))
    expect(page.textContent).toBe('streaming ')
    expect(ws.frames).toMatchObject([{ route: 'logs/tail', payload: 'a.log', headers: { $stream: true, $window: 8 } }])
    await settle(() => ws.item(0, 'a'))
    await frame()
    expect(page.textContent).toBe('streaming a')
    await settle(() => {
      ws.item(1, 'b')
      ws.answers(null, { headers: { $seq: 2 }, to: 0 })
    })
    expect(page.textContent).toBe('done a,b')
    expect(log.last).toBe('b')
  })

  test('renders once for all the items of a frame', async () => {
    const { ws } = mount({ file: 'a.log' })
    const { uuid } = live(ws)[0]!
    const timers = vi.getTimerCount()
    await settle(() => {
      for (let n = 0; n < 1_000; n++) ws.says({ uuid, status: 402, headers: { $seq: n }, payload: n })
    })
    // The wait for the first item is over, and that for one frame began.
    expect(vi.getTimerCount()).toBe(timers)
    renders = 0
    await frame()
    // StrictMode renders twice to see.
    expect(renders).toBe(2)
    expect(log.items).toEqual(Array.from({ length: 1_000 }, (_, n) => n))
  })

  test('under StrictMode, started by an effect, one stream lasts; unmounted, none', async () => {
    const { ws } = mount({ file: 'a.log' })
    expect(live(ws)).toMatchObject([{ payload: 'a.log' }])
    unmount()
    expect(live(ws)).toEqual([])
    expect(ws.frames).toHaveLength(4)
  })

  test('started from an event, it ends with its component too', async () => {
    const { ws } = mount()
    await settle(() => void log.start('a.log'))
    unmount()
    expect(ws.routes).toEqual(['logs/tail', '$cancel'])
  })

  test('another payload or route is another stream, from nothing', async () => {
    const { ws, show } = mount({ file: 'a.log' })
    await settle(() => ws.item(0, 'a', 2))
    await frame()
    expect(page.textContent).toBe('streaming a')
    show({ file: 'b.log' })
    expect(page.textContent).toBe('streaming ')
    expect(live(ws)).toMatchObject([{ route: 'logs/tail', payload: 'b.log' }])
    show({ file: 'b.log', route: 'logs/head' })
    expect(live(ws)).toMatchObject([{ route: 'logs/head', payload: 'b.log' }])
    expect(log.status).toBe('streaming')
  })

  test('stop keeps the items, those too that were not shown yet; what comes later is nobody’s', async () => {
    const { ws } = mount()
    await settle(() => void log.start('a.log'))
    await settle(() => {
      ws.item(0, 'a')
      log.stop()
      log.stop()
      ws.item(1, 'b')
    })
    expect(page.textContent).toBe('idle a')
    await frame()
    expect(page.textContent).toBe('idle a')
    expect(ws.routes).toEqual(['logs/tail', '$cancel'])
  })

  test('the undoing of a start stops that stream and no other', async () => {
    const { ws } = mount()
    let undo: () => void = () => {}
    await settle(() => void (undo = log.start('a.log')))
    await settle(() => void log.start('b.log'))
    await settle(() => undo())
    expect(live(ws)).toMatchObject([{ payload: 'b.log' }])
    expect(log.status).toBe('streaming')
  })

  test('shows an error, and the items before it', async () => {
    const { ws } = mount()
    await settle(() => void log.start('a.log'))
    await settle(() => {
      ws.item(0, 'a')
      ws.answers({ message: 'gone' }, { status: 500, to: 0 })
    })
    expect(page.textContent).toBe('error a')
    expect(log.error).toMatchObject({ message: 'gone' })
    await settle(() => void log.start('a.log'))
    expect(log).toMatchObject({ items: [], status: 'streaming', error: undefined })
  })

  test('shows an error that comes at once', async () => {
    const { ws } = mount()
    await settle(() => ws.hangsUp(1008))
    await settle(() => void log.start('a.log'))
    expect(log).toMatchObject({ status: 'error', error: { name: 'ConnectionLostError' } })
  })

  test('keeps only so many items, the newest', async () => {
    const { ws } = mount({ keep: 2 })
    await settle(() => void log.start('a.log'))
    await settle(() => [0, 1, 2].forEach((n) => ws.item(n, n)))
    await frame()
    expect(log.items).toEqual([1, 2])
    await settle(() => ws.item(3, 3))
    await frame()
    expect(log.items).toEqual([2, 3])
  })

  test('its functions stay the same', async () => {
    const { ws } = mount()
    const { start, stop } = log
    await settle(() => void start('a.log'))
    await settle(() => ws.item(0, 'a'))
    await frame()
    expect(log.start).toBe(start)
    expect(log.stop).toBe(stop)
  })
})

describe('useTopic', () => {
  let orders: ReturnType<typeof useTopic<string>>
  let renders = 0
  interface Props {
    topic: string | null
    keep?: number
    onGap?: (gap: Gap) => void
  }
  const Orders = ({ topic, ...options }: Props) => {
    orders = useTopic(topic, options)
    renders++
    return (
      <i>
        {orders.status} {orders.snapshot === undefined ? '' : `${orders.snapshot}: `}
        {orders.events.join()}
      </i>
    )
  }
  const mount = async (...all: Props[]) => {
    const socket = socketWith({ topics, heartbeat: false })
    FakeWebSocket.last.accept()
    const page = (all: Props[]) => (
      <StrictMode>
        <SocketProvider socket={socket}>
          {all.map((props, i) => (
            <Orders key={i} {...props} />
          ))}
        </SocketProvider>
      </StrictMode>
    )
    const again = show(page(all))
    await settle(() => {})
    renders = 0
    return { socket, ws: FakeWebSocket.last, show: (...all: Props[]) => settle(() => again(page(all))) }
  }
  const settle = (run: () => void) => act(async () => run())
  const frame = () => act(async () => void vi.advanceTimersByTime(16))
  const event = (ws: FakeWebSocket, payload: unknown, $offset: number, topic = 'orders/1') =>
    ws.says({ uuid: `#${topic}`, route: topic, headers: { $epoch: 'e', $offset }, payload })
  const joins = (ws: FakeWebSocket, offset: number, more: object = {}) =>
    settle(() => {
      const to = ws.routes.lastIndexOf('$sub')
      ws.answers({ topics: ws.frames[to]!.payload.topics.map(() => ({ status: 200, epoch: 'e', offset, missed: [], recovered: false, ...more })) }, { to })
    })
  const asked = (ws: FakeWebSocket) => ws.frames.map(({ route, payload }) => [route, payload.topic ?? payload.topics.map((one: any) => one.topic).join()])

  test('subscribes, shows events, and leaves with its component: one $sub and one $unsub under StrictMode', async () => {
    const { ws } = await mount({ topic: 'orders/1' })
    expect(asked(ws)).toEqual([['$sub', 'orders/1']])
    expect(page.textContent).toBe('subscribing ')
    await joins(ws, 0)
    expect(page.textContent).toBe('subscribed ')
    await settle(() => (event(ws, 'a', 1), event(ws, 'b', 2)))
    await frame()
    expect(page.textContent).toBe('subscribed a,b')
    expect(orders.last).toBe('b')
    await settle(() => event(ws, 'c', 3))
    unmount()
    await settle(() => {})
    expect(asked(ws)).toEqual([['$sub', 'orders/1'], ['$unsub', 'orders/1']])
  })

  test('leaves no timer and no listener behind', async () => {
    const { ws, socket } = await mount({ topic: 'orders/1' })
    await joins(ws, 0)
    await settle(() => event(ws, 'a', 1))
    unmount()
    await settle(() => socket.close())
    await settle(() => void vi.advanceTimersByTime(1_000))
    expect(vi.getTimerCount()).toBe(0)
  })

  test('of nothing is idle, and asks for nothing', async () => {
    const { ws, show } = await mount({ topic: null })
    expect(page.textContent).toBe('idle ')
    expect(ws.routes).toEqual([])
    await show({ topic: 'orders/1' })
    expect(page.textContent).toBe('subscribing ')
    await show({ topic: null })
    expect(page.textContent).toBe('idle ')
    await joins(ws, 0)
    expect(asked(ws)).toEqual([['$sub', 'orders/1'], ['$unsub', 'orders/1']])
  })

  test('of another name begins anew, and shows nothing of the one before', async () => {
    const seen: string[] = []
    const { ws, show } = await mount({ topic: 'orders/1' })
    await joins(ws, 0)
    await settle(() => event(ws, 'a', 1))
    await frame()
    const observer = new MutationObserver(() => seen.push(page.textContent!))
    observer.observe(page, { childList: true, subtree: true, characterData: true })
    await show({ topic: 'orders/2' })
    observer.disconnect()
    expect(page.textContent).toBe('subscribing ')
    expect(seen.filter((text) => text.includes('a'))).toEqual([])
    expect(asked(ws)).toEqual([['$sub', 'orders/1'], ['$unsub', 'orders/1'], ['$sub', 'orders/2']])
    await settle(() => event(ws, 'late', 2))
    await joins(ws, 5)
    await settle(() => event(ws, 'b', 6, 'orders/2'))
    await frame()
    expect(page.textContent).toBe('subscribed b')
  })

  test('shows the state, and the events since', async () => {
    const { ws } = await mount({ topic: 'orders/1' })
    await joins(ws, 3, { snapshot: 'three' })
    await settle(() => event(ws, 'four', 4))
    await frame()
    expect(page.textContent).toBe('subscribed three: four')
    await settle(() => event(ws, 'five', 5))
    await settle(() => ws.hangsUp())
    await settle(() => void vi.advanceTimersByTime(500))
    await settle(() => void FakeWebSocket.last.accept())
    expect(page.textContent).toBe('subscribed three: four,five')
    await joins(FakeWebSocket.last, 9, { snapshot: 'nine' })
    await frame()
    expect(page.textContent).toBe('subscribed nine: ')
    await settle(() => event(FakeWebSocket.last, 'ten', 10))
    await frame()
    expect(page.textContent).toBe('subscribed nine: ten')
  })

  test('two components share one subscription, and each has the state', async () => {
    const { ws, show } = await mount({ topic: 'orders/1' }, { topic: 'orders/1' })
    expect(asked(ws)).toEqual([['$sub', 'orders/1']])
    await joins(ws, 3, { snapshot: 'three' })
    expect(page.textContent).toBe('subscribed three: subscribed three: ')
    await show({ topic: 'orders/1' }, { topic: 'orders/1' }, { topic: 'orders/1' })
    expect(asked(ws)).toHaveLength(2)
    await joins(ws, 3, { snapshot: 'three' })
    expect(page.textContent).toBe('subscribed three: '.repeat(3))
    await show({ topic: 'orders/1' })
    expect(asked(ws)).toHaveLength(2)
  })

  test('tells the newest onGap, and subscribes no more than once for it', async () => {
    const [first, second] = [vi.fn(), vi.fn()]
    const { ws, show } = await mount({ topic: 'orders/1', onGap: first })
    await joins(ws, 3)
    await show({ topic: 'orders/1', onGap: second })
    await settle(() => ws.says({ uuid: '#orders/1', route: '$gap', headers: { $epoch: 'e', $offset: 9 }, payload: { topic: 'orders/1', reload_after_ms: 70 } }))
    expect(first).not.toHaveBeenCalled()
    expect(second).toHaveBeenCalledExactlyOnceWith({ topic: 'orders/1', reloadAfterMs: 70 })
    expect(asked(ws)).toHaveLength(1)
  })

  test('shows a refusal, and what came before it', async () => {
    const { ws } = await mount({ topic: 'orders/1' })
    await joins(ws, 3)
    await settle(() => event(ws, 'a', 4))
    await settle(() => ws.hangsUp())
    await settle(() => void vi.advanceTimersByTime(500))
    await settle(() => void FakeWebSocket.last.accept())
    await joins(FakeWebSocket.last, 0, { status: 403, message: 'no more' })
    expect(page.textContent).toBe('error a')
    expect(orders.error).toMatchObject({ name: 'ResponseError', status: 403 })
  })

  test('a thousand events of a frame are one render, and it keeps the newest', async () => {
    const { ws, show } = await mount({ topic: 'orders/1' })
    await joins(ws, 0)
    renders = 0
    await settle(() => {
      for (let n = 1; n <= 1_000; n++) event(ws, n, n)
    })
    await frame()
    // StrictMode renders twice to see.
    expect(renders).toBe(2)
    expect(orders.events).toEqual(Array.from({ length: 100 }, (_, i) => i + 901))
    await show({ topic: 'orders/1', keep: 2 })
    expect(orders.events).toEqual([])
    await settle(() => [1, 2, 3].forEach((n) => event(ws, n, 1_000 + n)))
    await frame()
    expect(orders.events).toEqual([2, 3])
  })
})
