/** The life of a connection: when it comes, waits, comes back, and when it stays away. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ObservableSocket, type SocketOptions, type State } from '../../src/index.js'
import { FakeWebSocket, go, openSocket, outcome, socketWith, still, URL } from '../support/fake.js'

beforeEach(still)
afterEach(go)

const opened = () => FakeWebSocket.all.length

function told(socket: ObservableSocket): State[] {
  const states: State[] = []
  socket.on('state', (state) => void states.push(state))
  return states
}

describe('connecting', () => {
  test('happens at once, and only once', () => {
    const socket = socketWith()
    expect(socket.state).toBe('connecting')
    expect(FakeWebSocket.last.url).toBe(URL)
    socket.connect()
    expect(opened()).toBe(1)
  })

  test.each([
    ['/ws', 'ws://site:8000/ws'],
    ['ws', 'ws://site:8000/app/ws'],
    ['//other/ws', 'ws://other/ws'],
    ['https://other/ws?a=1', 'wss://other/ws?a=1'],
    ['wss://other/ws', 'wss://other/ws'],
  ])('to %s from a page is to %s', (url, expected) => {
    vi.stubGlobal('location', { href: 'http://site:8000/app/page' })
    new ObservableSocket(url, { WebSocket: FakeWebSocket })
    expect(FakeWebSocket.last.url).toBe(expected)
  })

  test('to an address of a function asks it every time', async () => {
    let n = 0
    new ObservableSocket(async () => `ws://server/${++n}`, { WebSocket: FakeWebSocket })
    await vi.advanceTimersByTimeAsync(0)
    FakeWebSocket.last.hangsUp()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(FakeWebSocket.all.map(({ url }) => url)).toEqual(['ws://server/1', 'ws://server/2'])
  })

  test('on a server that renders pages waits for the first use', () => {
    expect(new ObservableSocket('/ws', { WebSocket: FakeWebSocket }).state).toBe('idle')
  })

  test('to what is no address closes, and says why', async () => {
    const socket = socketWith({ lazy: true, WebSocket: FakeWebSocket })
    const bad = new ObservableSocket('/ws', { WebSocket: FakeWebSocket })
    const errors = vi.fn()
    bad.on('error', errors)
    expect(await outcome(bad.ready())).toMatchObject({ code: 1006, cause: expect.any(TypeError) })
    expect(bad.state).toBe('closed')
    expect(errors).toHaveBeenCalledOnce()
    expect(socket.state).toBe('idle')
  })

  test('that takes too long is given up, and tried again', () => {
    const socket = socketWith({ connectTimeout: 300 })
    const closes = vi.fn()
    socket.on('close', closes)
    vi.advanceTimersByTime(300)
    expect(socket.state).toBe('waiting')
    expect(FakeWebSocket.last.readyState).toBe(2)
    expect(closes).toHaveBeenCalledExactlyOnceWith({ code: 1006, reason: 'not connected within 300 ms', reconnects: true })
    vi.advanceTimersByTime(500)
    expect(opened()).toBe(2)
  })
})

test('an error that nobody listens for is logged', () => {
  const log = vi.spyOn(console, 'error').mockImplementation(() => {})
  const { socket, ws } = openSocket()
  ws.says('{')
  socket.on('error', () => {})
  ws.says('{')
  expect(log).toHaveBeenCalledOnce()
})

describe('ready', () => {
  test('resolves when it is open, now or after any number of attempts', async () => {
    const socket = socketWith()
    const ready = socket.ready()
    FakeWebSocket.last.hangsUp()
    vi.advanceTimersByTime(1_000)
    expect(await outcome(ready)).toBe('pending')
    FakeWebSocket.last.accept()
    expect(await outcome(ready)).toBeUndefined()
    expect(await outcome(socket.ready())).toBeUndefined()
  })

  test('rejects when it closes for good, and on abort', async () => {
    const socket = socketWith()
    const stop = new AbortController()
    const [left, lost] = [socket.ready({ signal: stop.signal }), socket.ready()]
    stop.abort('enough')
    expect(await outcome(left)).toBe('enough')
    socket.close()
    expect(await outcome(lost)).toMatchObject({ name: 'ConnectionLostError' })
    expect(await outcome(socket.ready())).toMatchObject({ name: 'ConnectionLostError' })
  })
})

describe('coming back', () => {
  test('waits longer and longer, and tells every state', () => {
    const socket = socketWith()
    const states = told(socket)
    const waits: number[] = []
    for (let i = 0; i < 7; i++) {
      FakeWebSocket.last.hangsUp()
      const before = Date.now()
      vi.advanceTimersToNextTimer()
      waits.push(Date.now() - before)
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000])
    expect(states.slice(0, 4)).toEqual(['waiting', 'connecting', 'waiting', 'connecting'])
    expect(socket.state).toBe('connecting')
  })

  test('a server that accepts and closes is not hammered', () => {
    socketWith()
    for (let i = 0; i < 5; i++) {
      FakeWebSocket.last.accept().hangsUp(1013)
      vi.advanceTimersToNextTimer()
    }
    const before = Date.now()
    FakeWebSocket.last.accept().hangsUp(1013)
    vi.advanceTimersToNextTimer()
    expect(Date.now() - before).toBe(15_000)
  })

  test('failures are forgotten after five good seconds', () => {
    const { socket } = openSocket()
    for (let i = 0; i < 4; i++) {
      FakeWebSocket.last.hangsUp()
      vi.advanceTimersToNextTimer()
    }
    FakeWebSocket.last.accept()
    vi.advanceTimersByTime(5_000)
    FakeWebSocket.last.hangsUp()
    vi.advanceTimersByTime(500)
    expect(socket.state).toBe('connecting')
  })

  test.each([1000, 1001, 1003, 1006, 1009, 1011, 1012, 1013, 4008, 4012, 4408])('after %i', (code) => {
    const { socket, ws } = openSocket()
    const closes = vi.fn()
    socket.on('close', closes)
    ws.hangsUp(code, 'why')
    expect(closes).toHaveBeenCalledExactlyOnceWith({ code, reason: 'why', reconnects: true })
    vi.advanceTimersByTime(1_000)
    expect(opened()).toBe(2)
  })

  // 4403 is what servers send that refuse to send 1008.
  test.each([1008, 4403])('not after %i', (code) => {
    const { socket, ws } = openSocket()
    const closes = vi.fn()
    socket.on('close', closes)
    ws.hangsUp(code, 'access denied')
    expect(socket.state).toBe('closed')
    expect(closes).toHaveBeenCalledExactlyOnceWith({ code, reason: 'access denied', reconnects: false })
    vi.advanceTimersByTime(1e6)
    expect(opened()).toBe(1)
  })

  test('after 4401 with a new token, and not where there is none to be had', async () => {
    const { ws, socket } = openSocket()
    ws.hangsUp(4401)
    expect(socket.state).toBe('closed')
    let n = 0
    const authed = socketWith({ auth: () => `token ${++n}` })
    await vi.advanceTimersByTimeAsync(0)
    FakeWebSocket.last.accept().hangsUp(4401)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(FakeWebSocket.last.accept().hello!.payload.token).toBe('token 2')
    expect(authed.state).toBe('open')
  })

  test('ends after maxAttempts', () => {
    const socket = socketWith({ maxAttempts: 2 })
    FakeWebSocket.last.hangsUp()
    vi.advanceTimersByTime(1_000)
    FakeWebSocket.last.hangsUp()
    vi.advanceTimersByTime(2_000)
    expect(socket.state).toBe('connecting')
    FakeWebSocket.last.hangsUp()
    expect(socket.state).toBe('closed')
  })

  test('is for shouldReconnect to say, if there is one', () => {
    const shouldReconnect = vi.fn(({ code }: { code: number }) => code === 1008)
    const { socket, ws } = openSocket({ shouldReconnect })
    ws.hangsUp(1008, 'no')
    expect(shouldReconnect).toHaveBeenCalledExactlyOnceWith({ code: 1008, reason: 'no', attempt: 1 })
    expect(socket.state).toBe('waiting')
    vi.advanceTimersByTime(1_000)
    FakeWebSocket.last.accept().hangsUp(1006)
    expect(socket.state).toBe('closed')
  })

  test('a shouldReconnect that throws has said nothing', () => {
    vi.stubGlobal('reportError', vi.fn())
    const { socket, ws } = openSocket({
      shouldReconnect: () => {
        throw new Error('mine')
      },
    })
    ws.hangsUp(1006)
    expect(socket.state).toBe('waiting')
  })
})

describe('auth', () => {
  const settle = () => vi.advanceTimersByTimeAsync(0)
  const first = (ws: FakeWebSocket) => JSON.parse(ws.written[0]!)

  test('is asked before each connection; its token goes first over the line', async () => {
    let n = 0
    const socket = socketWith({ auth: async () => `token ${++n}` })
    void socket.call('r').catch(() => {})
    await settle()
    expect(first(FakeWebSocket.last.accept())).toEqual({
      uuid: expect.any(String),
      route: '$hello',
      headers: {},
      payload: { protocol: 1, client: 'js', features: ['calls', 'drain'], token: 'token 1' },
    })
    expect(FakeWebSocket.last.routes).toEqual(['r'])
    FakeWebSocket.last.hangsUp()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(first(FakeWebSocket.last.accept())).toMatchObject({ route: '$hello', payload: { token: 'token 2' } })
  })

  test('without a token, $hello has none', async () => {
    socketWith({ auth: () => null })
    await settle()
    expect(FakeWebSocket.last.accept().hello!.payload).toEqual({ protocol: 1, client: 'js', features: ['calls', 'drain'] })
  })

  test('that fails is an error and one more wait, never the end', async () => {
    let healthy = false
    const socket = socketWith({
      auth: async () => {
        if (!healthy) throw new Error('login server is down')
        return 'token'
      },
    })
    const errors = vi.fn()
    socket.on('error', errors)
    await settle()
    expect(socket.state).toBe('waiting')
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'login server is down' }))
    healthy = true
    await vi.advanceTimersByTimeAsync(500)
    expect(FakeWebSocket.last.accept().hello!.payload.token).toBe('token')
  })

  test('that never answers does not wedge the socket', async () => {
    const socket = socketWith({ auth: () => new Promise(() => {}), connectTimeout: 100 })
    await vi.advanceTimersByTimeAsync(100)
    expect(socket.state).toBe('waiting')
  })

  test('that answers after a close opens nothing', async () => {
    let give: (token: string) => void = () => {}
    const socket = socketWith({ auth: () => new Promise<string>((resolve) => (give = resolve)) })
    socket.close()
    give('token')
    await settle()
    expect(opened()).toBe(0)
  })

  test('overtaken by a reconnect, only the later one counts', async () => {
    const give: ((token: string) => void)[] = []
    const socket = socketWith({ auth: () => new Promise<string>((resolve) => give.push(resolve)) })
    socket.reconnect()
    await settle()
    give[0]!('old')
    await settle()
    expect(opened()).toBe(0)
    give[1]!('new')
    await settle()
    expect(FakeWebSocket.last.accept().hello!.payload.token).toBe('new')
  })

  test('a token that is refused is an error', async () => {
    const socket = socketWith({ auth: () => 'bad' })
    const errors = vi.fn()
    socket.on('error', errors)
    await settle()
    FakeWebSocket.last.accept().greets({ message: 'bad token', code: 'unauthorized' }, 401)
    FakeWebSocket.last.hangsUp(1008)
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ route: '$hello', status: 401 }))
    expect(socket.state).toBe('closed')
  })

  test('goes out even when the queue is full', async () => {
    const socket = socketWith({ auth: () => 'token', queueLimit: 1 })
    void socket.call('r')
    await settle()
    expect(FakeWebSocket.last.accept().written.map((text) => JSON.parse(text).route)).toEqual(['$hello', 'r'])
  })
})

describe('close', () => {
  test('says goodbye once, and tells once', () => {
    const { socket, ws } = openSocket()
    const [states, closes] = [told(socket), vi.fn()]
    socket.on('close', closes)
    socket.close(4001, 'bye')
    socket.close()
    ws.hangsUp(4001, 'bye')
    expect(ws.closedWith).toEqual([4001, 'bye'])
    expect(states).toEqual(['closed'])
    expect(closes).toHaveBeenCalledExactlyOnceWith({ code: 4001, reason: 'bye', reconnects: false })
    expect(vi.getTimerCount()).toBe(0)
  })

  test('during the back-off stays closed', () => {
    const { socket, ws } = openSocket()
    ws.hangsUp()
    socket.close()
    vi.advanceTimersByTime(1e6)
    expect(opened()).toBe(1)
  })

  test('from any listener stays closed', () => {
    for (const at of ['connecting', 'open', 'waiting'] as State[]) {
      FakeWebSocket.all = []
      const socket = socketWith({ lazy: true })
      socket.on('state', (state) => state === at && socket.close())
      socket.connect()
      FakeWebSocket.all[0]?.accept().hangsUp()
      vi.advanceTimersByTime(1e6)
      expect(socket.state).toBe('closed')
      expect(opened()).toBeLessThan(2)
      expect(FakeWebSocket.living).toEqual([])
    }
  })

  test('from what is told at the opening stays closed', () => {
    const socket = socketWith({ timeout: 100, connectTimeout: 1e6 })
    socket.notify('too old')
    socket.on('error', () => socket.close())
    const states = told(socket)
    vi.advanceTimersByTime(100)
    const ws = FakeWebSocket.last.accept()
    expect(socket.state).toBe('closed')
    expect(states).toEqual(['closed'])
    expect(ws.readyState).toBe(2)
  })

  test('from a listener is what the close that follows says', () => {
    const { socket, ws } = openSocket()
    const closes = vi.fn()
    socket.on('close', closes)
    socket.on('state', (state) => state === 'waiting' && socket.close())
    ws.hangsUp(1012)
    expect(closes.mock.calls.map(([{ code, reconnects }]) => [code, reconnects])).toEqual([[1000, false], [1012, false]])
  })

  test('connect is the way back', () => {
    const { socket } = openSocket()
    socket.close()
    socket.connect()
    FakeWebSocket.last.accept()
    expect(socket.state).toBe('open')
  })
})

describe('reconnect', () => {
  test('puts the line away, ends what was sent, keeps what was not', async () => {
    const { socket, ws } = openSocket()
    const sent = socket.call('sent')
    socket.reconnect()
    const unsent = socket.call('unsent')
    expect(await outcome(sent)).toMatchObject({ sent: true, reason: 'reconnect' })
    vi.advanceTimersByTime(0)
    expect(ws.closedWith).toEqual([1000, 'reconnect'])
    FakeWebSocket.last.accept().answers(1)
    expect(await unsent).toBe(1)
  })

  test('does not wait for the back-off, and opens one line only', () => {
    const socket = socketWith()
    FakeWebSocket.last.hangsUp()
    socket.reconnect()
    socket.reconnect()
    vi.advanceTimersByTime(0)
    expect(opened()).toBe(2)
    FakeWebSocket.last.accept()
    vi.advanceTimersByTime(1_000)
    expect(FakeWebSocket.living).toHaveLength(1)
  })
})

describe('lazy', () => {
  const lazy = (options: SocketOptions = {}) => socketWith({ lazy: true, linger: 100, ...options })

  test.each<[string, (socket: ObservableSocket) => unknown]>([
    ['call', (socket) => socket.call('r').catch(() => {})],
    ['notify', (socket) => socket.notify('r')],
    ['ready', (socket) => socket.ready()],
    ['connect', (socket) => socket.connect()],
    ['retain', (socket) => socket.retain()],
  ])('waits for %s', (_, use) => {
    const socket = lazy()
    expect(opened()).toBe(0)
    use(socket)
    expect(opened()).toBe(1)
  })

  test('goes idle a moment after the last release, and comes again', () => {
    const socket = lazy()
    const [one, two] = [socket.retain(), socket.retain()]
    FakeWebSocket.last.accept()
    one()
    one()
    vi.advanceTimersByTime(1_000)
    expect(socket.state).toBe('open')
    two()
    expect(socket.state).toBe('open')
    const closes = vi.fn()
    socket.on('close', closes)
    vi.advanceTimersByTime(100)
    expect(socket.state).toBe('idle')
    expect(closes).toHaveBeenCalledExactlyOnceWith({ code: 1000, reason: 'released', reconnects: false })
    expect(FakeWebSocket.last.closedWith).toEqual([1000, 'released'])
    socket.retain()
    expect(opened()).toBe(2)
  })

  test('who releases and holds again at once never lost it', () => {
    const socket = lazy()
    socket.retain()()
    socket.retain()
    vi.advanceTimersByTime(1_000)
    expect(opened()).toBe(1)
    expect(FakeWebSocket.living).toHaveLength(1)
  })

  test('waits for the last answer before it goes idle', async () => {
    const socket = lazy()
    const release = socket.retain()
    const ws = FakeWebSocket.last.accept()
    const call = socket.call('r')
    release()
    vi.advanceTimersByTime(150)
    expect(socket.state).toBe('open')
    ws.answers('kept')
    expect(await call).toBe('kept')
    vi.advanceTimersByTime(100)
    expect(socket.state).toBe('idle')
  })

  test('connect keeps it, whoever releases', () => {
    const socket = lazy()
    const release = socket.retain()
    socket.connect()
    release()
    vi.advanceTimersByTime(1_000)
    expect(socket.state).toBe('connecting')
  })

  test('a socket that is not lazy does not care who holds it', () => {
    const { socket } = openSocket({ linger: 100 })
    socket.retain()()
    vi.advanceTimersByTime(1_000)
    expect(socket.state).toBe('open')
  })

  test('retain does not revive a closed socket', () => {
    const socket = lazy()
    socket.retain()
    socket.close()
    socket.retain()
    vi.advanceTimersByTime(1e6)
    expect(socket.state).toBe('closed')
    expect(opened()).toBe(1)
  })
})

describe('the page', () => {
  let page: EventTarget
  let screen: { hidden: boolean }
  const listeners = { count: 0 }

  beforeEach(() => {
    page = new EventTarget()
    screen = { hidden: false }
    listeners.count = 0
    const [add, remove] = [page.addEventListener.bind(page), page.removeEventListener.bind(page)]
    page.addEventListener = (...args: Parameters<typeof add>) => (listeners.count++, add(...args))
    page.removeEventListener = (...args: Parameters<typeof remove>) => (listeners.count--, remove(...args))
    vi.stubGlobal('addEventListener', page.addEventListener)
    vi.stubGlobal('removeEventListener', page.removeEventListener)
    vi.stubGlobal('document', screen)
  })

  const happens = (type: string, more = {}) => page.dispatchEvent(Object.assign(new Event(type), more))
  const seen = (hidden: boolean) => {
    screen.hidden = hidden
    happens('visibilitychange')
  }

  test.each<[string, () => void]>([
    ['online', () => happens('online')],
    ['visible', () => seen(false)],
    ['pageshow', () => happens('pageshow')],
  ])('%s ends the wait', (_, wake) => {
    const { socket, ws } = openSocket()
    ws.hangsUp()
    wake()
    expect(socket.state).toBe('connecting')
    expect(opened()).toBe(2)
    wake()
    vi.advanceTimersByTime(5_000)
    expect(opened()).toBe(2)
  })

  test('hidden ends nothing', () => {
    openSocket().ws.hangsUp()
    seen(true)
    expect(opened()).toBe(1)
  })

  test('nothing wakes a closed socket, and it listens no more', () => {
    const { socket } = openSocket()
    expect(listeners.count).toBe(4)
    socket.close()
    happens('online')
    happens('pageshow')
    seen(false)
    expect(opened()).toBe(1)
    expect(listeners.count).toBe(0)
  })

  test('an open line is asked whether it still lives', () => {
    const { ws, socket } = openSocket()
    vi.advanceTimersByTime(11_000)
    happens('online')
    expect(ws.routes).toEqual(['PING'])
    vi.advanceTimersByTime(10_000)
    expect(socket.state).toBe('waiting')
  })

  test('put away, the line is closed; shown again, there is a new one', () => {
    const { socket, ws } = openSocket()
    happens('pagehide', { persisted: true })
    expect(ws.closedWith?.[1]).toBe('the page was put away')
    vi.advanceTimersByTime(1e6)
    expect(opened()).toBe(1)
    happens('pageshow', { persisted: true })
    FakeWebSocket.last.accept()
    expect(socket.state).toBe('open')
  })

  test('left for good, it is left alone', () => {
    const { socket } = openSocket()
    happens('pagehide', { persisted: false })
    expect(socket.state).toBe('open')
  })
})

describe('heartbeat', () => {
  test('a PING after 25 quiet seconds, and 10 for any sign of life', () => {
    const { ws, socket } = openSocket()
    vi.advanceTimersByTime(25_000)
    expect(ws.frames).toEqual([{ uuid: expect.any(String), route: 'PING', headers: {} }])
    ws.says({ uuid: ws.frames[0]!.uuid, route: 'PONG', headers: null, payload: null })
    vi.advanceTimersByTime(34_999)
    expect(socket.state).toBe('open')
    vi.advanceTimersByTime(1)
    expect(socket.state).toBe('waiting')
    expect(ws.readyState).toBe(2)
  })

  test('a PONG is no push and no error', () => {
    const { ws, socket } = openSocket()
    const told = vi.fn()
    for (const event of ['push', 'error', 'close'] as const) socket.on(event, told)
    ws.says({ uuid: 'x', route: 'PONG', headers: null, payload: null })
    expect(told).not.toHaveBeenCalled()
  })
})
