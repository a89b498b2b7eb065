/** Calls: what the caller sends, gets, waits for and leaves. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  ConnectionLostError,
  ObservableSocket,
  QueueFullError,
  ResponseError,
  SocketError,
  TimeoutError,
} from '../../src/index.js'
import { FakeWebSocket, go, openSocket, outcome, socketWith, still, URL } from '../support/fake.js'

beforeEach(still)
afterEach(go)

describe('answers', () => {
  test('call gives the payload of a 2xx', async () => {
    const { socket, ws } = openSocket()
    const sum = socket.call('math/sum', [1, 2])
    expect(ws.frames).toEqual([{ uuid: expect.any(String), route: 'math/sum', headers: {}, payload: [1, 2] }])
    ws.answers({ sum: 3 }, { status: 201 })
    expect(await sum).toEqual({ sum: 3 })
  })

  test('call throws what is no 2xx, with all the server said', async () => {
    const { socket, ws } = openSocket()
    const lost = socket.call('article', 7)
    const payload = { message: 'no such article', code: 'not_found', detail: [{ loc: ['id'], msg: 'gone', type: 'x' }] }
    ws.answers(payload, { status: 404, headers: { a: 1 } })
    const error = await outcome(lost)
    expect(error).toBeInstanceOf(ResponseError)
    expect(error).toBeInstanceOf(SocketError)
    expect(error).toMatchObject({
      name: 'ResponseError',
      message: 'no such article',
      route: 'article',
      status: 404,
      code: 'not_found',
      headers: { a: 1 },
      payload,
    })
  })

  test.each([[402, null], [500, {}], [301, undefined]])('%i with %j is an error that says so', async (status, payload) => {
    const { socket, ws } = openSocket()
    const lost = socket.call('r')
    ws.answers(payload, { status })
    expect(await outcome(lost)).toMatchObject({ message: `r was answered with ${status}`, status })
  })

  test('request gives any answer, with its status', async () => {
    const { socket, ws } = openSocket()
    const bad = socket.request('r')
    ws.answers({ message: 'no' }, { status: 403, headers: null as never })
    expect(await bad).toEqual({ ok: false, status: 403, headers: {}, payload: { message: 'no' } })
    const good = socket.request('r')
    ws.answers(0)
    expect(await good).toEqual({ ok: true, status: 200, headers: {}, payload: 0 })
  })

  test('answers find their calls in any order, and the first one counts', async () => {
    const { socket, ws } = openSocket()
    const [a, b] = [socket.call('a'), socket.call('b')]
    ws.answers('b', { to: 1 })
    ws.answers('again', { to: 1 })
    ws.answers('a', { to: 0 })
    expect(await Promise.all([a, b])).toEqual(['a', 'b'])
  })

  test('a payload that is no JSON rejects the call and hurts nobody else', async () => {
    const { socket, ws } = openSocket()
    const circle: unknown[] = []
    circle.push(circle)
    expect(await outcome(socket.call('r', circle))).toBeInstanceOf(TypeError)
    expect(await outcome(socket.call('r', 1n))).toBeInstanceOf(TypeError)
    const good = socket.call('r')
    ws.answers('fine')
    expect(await good).toBe('fine')
  })

  test('what is sent is what was given, whatever becomes of it later', () => {
    const socket = socketWith()
    const payload = { n: 1 }
    void socket.call('r', payload)
    payload.n = 2
    expect(FakeWebSocket.last.accept().frames[0]!.payload).toEqual({ n: 1 })
  })
})

describe('headers', () => {
  test('go with every request; those of the call win', () => {
    const { socket, ws } = openSocket({ headers: { a: 1, b: 1 } })
    void socket.call('r', undefined, { headers: { b: 2, c: 2 } })
    socket.notify('n', undefined, { headers: { c: 3 } })
    expect(ws.frames.map(({ headers }) => headers)).toEqual([{ a: 1, b: 2, c: 2 }, { a: 1, b: 1, c: 3 }])
  })

  test('may be asked for anew each time', () => {
    let n = 0
    const { socket, ws } = openSocket({ headers: () => ({ n: ++n }) })
    void socket.call('r')
    void socket.call('r')
    expect(ws.frames.map(({ headers }) => headers.n)).toEqual([1, 2])
  })

  test('that throw reject their call', async () => {
    const { socket } = openSocket({
      headers: () => {
        throw new Error('no token')
      },
    })
    expect(await outcome(socket.call('r'))).toMatchObject({ message: 'no token' })
  })
})

describe('waiting for a connection', () => {
  test('calls wait, and go in their order', async () => {
    const socket = socketWith()
    void socket.call('a')
    socket.notify('b')
    void socket.call('c')
    expect(FakeWebSocket.last.texts).toEqual([])
    expect(FakeWebSocket.last.accept().routes).toEqual(['a', 'b', 'c'])
  })

  test('what waited goes before what is called when the opening is told', () => {
    const socket = socketWith()
    socket.on('state', (state) => state === 'open' && socket.notify('after'))
    void socket.call('before')
    expect(FakeWebSocket.last.accept().routes).toEqual(['before', 'after'])
  })

  test('unsent calls live through a lost connection', async () => {
    const socket = socketWith()
    const call = socket.call('r')
    FakeWebSocket.last.hangsUp()
    vi.advanceTimersByTime(1_000)
    FakeWebSocket.last.accept().answers('late but well')
    expect(await call).toBe('late but well')
  })

  test('only so many wait', async () => {
    const socket = socketWith({ queueLimit: 2 })
    void socket.call('a')
    socket.notify('b')
    expect(await outcome(socket.call('c'))).toBeInstanceOf(QueueFullError)
    expect(() => socket.notify('d')).toThrow('2 calls already wait for a connection')
    FakeWebSocket.last.accept()
    const c = socket.call('c')
    FakeWebSocket.last.answers(1)
    expect(await c).toBe(1)
  })

  test('while the socket closes under it, a call waits for the next line', () => {
    const { socket, ws } = openSocket()
    ws.readyState = 2
    void socket.call('r')
    ws.hangsUp(1012)
    vi.advanceTimersByTime(1_000)
    expect(ws.texts).toEqual([])
    expect(FakeWebSocket.last.accept().routes).toEqual(['r'])
  })
})

describe('timeouts', () => {
  test('are kept without being asked for, and the server is told to stop', async () => {
    const { socket, ws } = openSocket({ heartbeat: false })
    const call = socket.call('slow')
    vi.advanceTimersByTime(29_999)
    expect(await outcome(call)).toBe('pending')
    vi.advanceTimersByTime(1)
    expect(await outcome(call)).toMatchObject({
      name: 'TimeoutError',
      sent: true,
      message: 'slow was not answered within 30000 ms',
    })
    expect(ws.frames[1]).toEqual({ uuid: ws.frames[0]!.uuid, route: '$cancel', headers: {} })
  })

  test('count while a call waits for a connection, and it is not sent any more', async () => {
    const socket = socketWith({ timeout: 500 })
    const call = socket.call('r')
    vi.advanceTimersByTime(500)
    expect(await outcome(call)).toMatchObject({ sent: false, message: 'r was not sent within 500 ms' })
    expect(FakeWebSocket.last.accept().texts).toEqual([])
  })

  test('are the call’s own if it says so; Infinity is none', async () => {
    const { socket } = openSocket({ heartbeat: false, timeout: 100 })
    const short = socket.call('r', null, { timeout: 10 })
    const endless = socket.call('r', null, { timeout: Infinity })
    vi.advanceTimersByTime(10)
    expect(await outcome(short)).toBeInstanceOf(TimeoutError)
    vi.advanceTimersByTime(1e9)
    expect(await outcome(endless)).toBe('pending')
  })

  test('an answer after the timeout is nobody’s', async () => {
    const { socket, ws } = openSocket({ timeout: 100 })
    const pushes = vi.fn()
    socket.on('push', pushes)
    socket.on('error', pushes)
    const call = socket.call('r')
    vi.advanceTimersByTime(100)
    ws.answers('late', { to: 0 })
    expect(await outcome(call)).toBeInstanceOf(TimeoutError)
    expect(pushes).not.toHaveBeenCalled()
  })
})

describe('abort', () => {
  test('leaves the call with the signal’s reason, and tells the server', async () => {
    const { socket, ws } = openSocket()
    const stop = new AbortController()
    const call = socket.call('r', 1, { signal: stop.signal })
    stop.abort('changed my mind')
    expect(await outcome(call)).toBe('changed my mind')
    expect(ws.routes).toEqual(['r', '$cancel'])
  })

  test('before it was sent: it never is', async () => {
    const socket = socketWith()
    const stop = new AbortController()
    const call = socket.call('r', 1, { signal: stop.signal })
    stop.abort()
    expect(await outcome(call)).toMatchObject({ name: 'AbortError' })
    expect(FakeWebSocket.last.accept().texts).toEqual([])
  })

  test('before it was called: likewise', async () => {
    const { socket, ws } = openSocket()
    expect(await outcome(socket.call('r', 1, { signal: AbortSignal.abort('no') }))).toBe('no')
    expect(ws.texts).toEqual([])
  })

  test('after the answer: nothing, and the signal is let go of', async () => {
    const { socket, ws } = openSocket()
    const stop = new AbortController()
    const forget = vi.spyOn(stop.signal, 'removeEventListener')
    const call = socket.call('r', 1, { signal: stop.signal })
    ws.answers('done')
    stop.abort()
    expect(await call).toBe('done')
    expect(forget).toHaveBeenCalled()
    expect(ws.routes).toEqual(['r'])
  })
})

describe('a lost connection', () => {
  test('ends what was sent, says so, and never sends it again', async () => {
    const { socket, ws } = openSocket()
    const call = socket.call('pay')
    ws.hangsUp(1012, 'service restart')
    expect(await outcome(call)).toMatchObject({
      name: 'ConnectionLostError',
      sent: true,
      code: 1012,
      reason: 'service restart',
    })
    vi.advanceTimersByTime(60_000)
    expect(FakeWebSocket.last.accept().texts).toEqual([])
  })

  test('is known before it is told: a call from the catch waits for the next line', async () => {
    const { socket, ws } = openSocket()
    const again = socket.call('read').catch(() => socket.call('read'))
    ws.hangsUp()
    expect(await outcome(again)).toBe('pending')
    vi.advanceTimersByTime(1_000)
    FakeWebSocket.last.accept().answers('well')
    expect(await again).toBe('well')
  })

  test('leaves no timer and no listener of the calls behind', () => {
    const { socket, ws } = openSocket({ heartbeat: false, shouldReconnect: () => false })
    socket.call('r').catch(() => {})
    ws.hangsUp()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a closed socket', () => {
  test('ends every call, sent or not', async () => {
    const { socket, ws } = openSocket()
    const sent = socket.call('r')
    ws.readyState = 2
    const unsent = socket.call('r')
    socket.close()
    expect(await outcome(sent)).toMatchObject({ sent: true, code: 1000 })
    expect(await outcome(unsent)).toMatchObject({ sent: false })
  })

  test('takes none', async () => {
    const { socket } = openSocket()
    socket.close(4000, 'logged out')
    expect(await outcome(socket.call('r'))).toMatchObject({ sent: false, code: 4000, reason: 'logged out' })
    expect(() => socket.notify('r')).toThrow(ConnectionLostError)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('notify', () => {
  test('sends, and its answer is nobody’s', () => {
    const { socket, ws } = openSocket()
    const told = vi.fn()
    socket.on('push', told)
    socket.on('error', told)
    socket.notify('seen', { id: 1 })
    ws.answers(null)
    expect(ws.frames).toMatchObject([{ route: 'seen', payload: { id: 1 } }])
    expect(told).not.toHaveBeenCalled()
  })

  test('waits for a connection no longer than a call would, and then says so', () => {
    const socket = socketWith({ timeout: 800, connectTimeout: 1e6 })
    const errors = vi.fn()
    socket.on('error', errors)
    socket.notify('old')
    vi.advanceTimersByTime(800)
    socket.notify('new')
    expect(FakeWebSocket.last.accept().routes).toEqual(['new'])
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'old was not sent within 800 ms' }))
  })

  test('says so when the socket is closed before it was sent', () => {
    const socket = socketWith()
    const errors = vi.fn()
    socket.on('error', errors)
    socket.notify('r')
    socket.close()
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ name: 'ConnectionLostError', sent: false }))
  })
})

describe('what else arrives', () => {
  test('a push', () => {
    const { socket, ws } = openSocket()
    const pushed = vi.fn()
    const off = socket.on('push', pushed)
    ws.says({ uuid: '#', route: 'news', headers: null, payload: [1] })
    off()
    off()
    ws.says({ uuid: '#', route: 'news', payload: [2] })
    expect(pushed).toHaveBeenCalledExactlyOnceWith({ route: 'news', headers: {}, payload: [1] })
  })

  test('a frame that cannot be read, on either end, is an error and no end', () => {
    const { socket, ws } = openSocket()
    const errors = vi.fn()
    socket.on('error', errors)
    ws.says('{')
    ws.says({ uuid: 0, status: 400, headers: {}, payload: { message: 'not JSON', code: 'bad_request' } })
    expect(errors.mock.calls.map(([error]) => error.message)).toEqual([
      'received a frame that is no JSON object',
      'not JSON',
    ])
    expect(socket.state).toBe('open')
  })
})

describe('listeners', () => {
  test('one that throws hurts neither the others nor the answer', async () => {
    const reported = vi.fn()
    vi.stubGlobal('reportError', reported)
    const { socket, ws } = openSocket()
    const second = vi.fn()
    socket.on('push', () => {
      throw new Error('mine')
    })
    socket.on('push', second)
    ws.says({ uuid: '#', route: 'news' })
    expect(second).toHaveBeenCalledOnce()
    expect(reported).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'mine' }))
  })

  test('a signal undoes it, also one that came too early', () => {
    const { socket, ws } = openSocket()
    const stop = new AbortController()
    const pushed = vi.fn()
    socket.on('push', pushed, { signal: stop.signal })
    socket.on('push', pushed, { signal: AbortSignal.abort() })
    ws.says({ uuid: '#', route: 'one' })
    stop.abort()
    ws.says({ uuid: '#', route: 'two' })
    expect(pushed).toHaveBeenCalledOnce()
  })

  test('the same function twice is two listeners', () => {
    const { socket, ws } = openSocket()
    const pushed = vi.fn()
    const off = socket.on('push', pushed)
    socket.on('push', pushed)
    off()
    ws.says({ uuid: '#', route: 'news' })
    expect(pushed).toHaveBeenCalledOnce()
  })

  test('are told in the order they came', () => {
    const { socket, ws } = openSocket()
    const order: number[] = []
    for (const n of [1, 2, 3]) socket.on('push', () => order.push(n))
    ws.says({ uuid: '#', route: 'news' })
    expect(order).toEqual([1, 2, 3])
  })

  test('who leaves while an event is told does not disturb it', () => {
    const { socket, ws } = openSocket()
    const second = vi.fn()
    const off = socket.on('push', () => off())
    socket.on('push', second)
    ws.says({ uuid: '#', route: 'news' })
    expect(second).toHaveBeenCalledOnce()
  })
})

test('on an insecure origin, where there is no randomUUID, calls work', async () => {
  vi.stubGlobal('crypto', { getRandomValues: crypto.getRandomValues.bind(crypto) })
  const { socket, ws } = openSocket()
  const call = socket.call('r')
  ws.answers(1)
  expect(await call).toBe(1)
})

test('a platform without WebSocket says so when it is used, not when it is made', async () => {
  vi.stubGlobal('WebSocket', undefined)
  vi.spyOn(console, 'error').mockImplementation(() => {})
  const socket = new ObservableSocket(URL)
  expect(socket.state).toBe('idle')
  expect(await outcome(socket.call('r'))).toMatchObject({
    name: 'ConnectionLostError',
    sent: false,
    reason: 'no WebSocket here: give one in the options',
  })
})
