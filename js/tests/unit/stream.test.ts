/** Streams: what is sent for one, how its items are taken and acknowledged, and every way in which it ends. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ResponseError, SocketError, type Stream } from '../../src/index.js'
import { FakeWebSocket, go, openSocket, outcome, socketWith, still } from '../support/fake.js'

beforeEach(still)
afterEach(go)

const iterate = <T>(stream: Stream<T, any>) => stream[Symbol.asyncIterator]()
const value = (value: unknown) => ({ value, done: false })
const end = (value?: unknown) => ({ value, done: true })

/** A stream whose first item is asked for. */
function running(options: Parameters<ReturnType<typeof openSocket>['socket']['stream']>[2] = {}) {
  const { socket, ws } = openSocket({ heartbeat: false })
  const items = iterate(socket.stream('count', 3, options))
  const first = items.next()
  return { socket, ws, items, first }
}

const acks = (ws: FakeWebSocket) => ws.frames.filter(({ route }) => route === '$ack').map(({ headers }) => headers.$seq)

describe('a source', () => {
  test('sends nothing before somebody takes it, and one request for each who does', () => {
    const { socket, ws } = openSocket()
    const stream = socket.stream('count', 3)
    const [one, two] = [iterate(stream), iterate(stream)]
    expect(ws.texts).toEqual([])
    void one.next()
    void one.next()
    expect(ws.texts).toHaveLength(1)
    void two.next()
    stream.subscribe()
    expect(ws.frames).toEqual([1, 2, 3].map(() => ({
      uuid: expect.any(String),
      route: 'count',
      headers: { $stream: true, $window: 64 },
      payload: 3,
    })))
    expect(new Set(ws.frames.map(({ uuid }) => uuid)).size).toBe(3)
  })

  test('sends the headers of socket and call, and a window of its own', () => {
    const { socket, ws } = openSocket({ headers: { a: 1, b: 1 } })
    socket.stream('count', 3, { headers: { b: 2, $window: 0 }, window: 7 }).subscribe()
    expect(ws.frames[0]!.headers).toEqual({ a: 1, b: 2, $stream: true, $window: 7 })
  })

  test('waits for a connection, in its turn', async () => {
    const socket = socketWith()
    void socket.call('before')
    const first = iterate(socket.stream('count')).next()
    FakeWebSocket.last.hangsUp()
    vi.advanceTimersByTime(1_000)
    const ws = FakeWebSocket.last.accept()
    expect(ws.routes).toEqual(['before', 'count'])
    ws.item(0, 'a', 1)
    expect(await first).toEqual(value('a'))
  })

  test('works on a socket of the old signature, and is left there too', async () => {
    vi.stubGlobal('WebSocket', FakeWebSocket)
    const { ObservableSocket } = await import('../../src/index.js')
    const socket = new ObservableSocket('app', 'ws://server/ws')
    const ws = FakeWebSocket.last.accept()
    const items = iterate(socket.stream('count'))
    const first = items.next()
    ws.item(0, 'a')
    expect(await first).toEqual(value('a'))
    await items.return!()
    expect(ws.routes).toEqual(['count', '$cancel'])
  })
})

describe('for await', () => {
  test('gives the items in their order, and ends with the result', async () => {
    const { ws, items, first } = running()
    for (const n of [0, 1, 2]) ws.item(n, n)
    ws.answers('done', { headers: { $seq: 3 }, to: 0 })
    expect([await first, await items.next(), await items.next()]).toEqual([0, 1, 2].map(value))
    expect(await items.next()).toEqual(end('done'))
    expect(await items.next()).toEqual(end())
    expect(ws.routes).toEqual(['count'])
  })

  test('a loop sees every item, falsy ones too, and none where there is none', async () => {
    const { socket, ws } = openSocket()
    const seen: unknown[] = []
    const loop = (async () => {
      for await (const item of socket.stream('count')) seen.push(item)
    })()
    const falsy = [null, 0, '', false, []]
    falsy.forEach((item, n) => ws.item(n, item))
    ws.answers(null, { headers: { $seq: falsy.length } })
    await loop
    expect(seen).toEqual(falsy)
    const empty = iterate(socket.stream('count')).next()
    ws.answers(null, { headers: { $seq: 0 } })
    expect(await empty).toEqual(end(null))
  })

  test('calls of next that overlap are answered in their order, and each item once', async () => {
    const { ws, items, first } = running()
    const [second, third, fourth] = [items.next(), items.next(), items.next()]
    ws.item(0, 'a')
    ws.item(1, 'b')
    ws.answers('done', { headers: { $seq: 2 }, to: 0 })
    expect(await Promise.all([first, second, third, fourth])).toEqual([value('a'), value('b'), end('done'), end()])
  })

  test('break leaves it on the server, once, and what still arrives is nobody’s', async () => {
    const { socket, ws } = openSocket()
    const told = vi.fn()
    socket.on('push', told)
    socket.on('error', told)
    const seen: unknown[] = []
    const loop = (async () => {
      for await (const item of socket.stream('count')) {
        seen.push(item)
        if (item === 'b') break
      }
    })()
    for (const [n, item] of ['a', 'b', 'c'].entries()) ws.item(n, item)
    await loop
    expect(ws.frames[1]).toEqual({ uuid: ws.frames[0]!.uuid, route: '$cancel', headers: {} })
    ws.item(3, 'd')
    ws.answers({ message: 'cancelled', code: 'cancelled' }, { status: 499, to: 0 })
    expect(seen).toEqual(['a', 'b'])
    expect(ws.routes).toEqual(['count', '$cancel'])
    expect(told).not.toHaveBeenCalled()
  })

  test('an error in the body leaves it as well', async () => {
    const { socket, ws } = openSocket()
    const loop = (async () => {
      for await (const _ of socket.stream('count')) throw new Error('mine')
    })()
    ws.item(0, 'a')
    expect(await outcome(loop)).toMatchObject({ message: 'mine' })
    expect(ws.routes).toEqual(['count', '$cancel'])
  })

  test('return ends those who wait, and gives back what it is given', async () => {
    const { ws, items, first } = running()
    expect(await items.return!('enough')).toEqual(end('enough'))
    expect(await first).toEqual(end())
    expect(await items.next()).toEqual(end())
    expect(ws.routes).toEqual(['count', '$cancel'])
  })

  test('return drops what came and was not taken', async () => {
    const { ws, items, first } = running()
    ws.item(0, 'a')
    ws.item(1, 'b')
    await first
    await items.return!()
    expect(await items.next()).toEqual(end())
  })

  test('return before the first item asks for nothing, and after the end says nothing', async () => {
    const { socket, ws } = openSocket()
    const items = iterate(socket.stream('count'))
    await items.return!()
    expect(await items.next()).toEqual(end())
    expect(ws.texts).toEqual([])
    const others = iterate(socket.stream('count'))
    const first = others.next()
    ws.answers(null, { headers: { $seq: 0 } })
    await first
    await others.return!()
    await others.return!()
    expect(ws.routes).toEqual(['count'])
  })

  test('left before it was sent, it never is', async () => {
    const socket = socketWith()
    const items = iterate(socket.stream('count'))
    void items.next()
    await items.return!()
    expect(FakeWebSocket.last.accept().texts).toEqual([])
  })
})

describe('the window', () => {
  test('is told of at half of it, as items are taken and not as they come', async () => {
    const { ws, items, first } = running({ window: 4 })
    for (const n of [0, 1, 2, 3]) ws.item(n, n)
    await first
    expect(acks(ws)).toEqual([])
    await items.next()
    expect(acks(ws)).toEqual([1])
    await items.next()
    await items.next()
    expect(acks(ws)).toEqual([1, 3])
    expect(ws.frames[1]).toEqual({ uuid: ws.frames[0]!.uuid, route: '$ack', headers: { $seq: 1 } })
  })

  test.each([
    [1, [0, 1, 2, 3, 4, 5]],
    [2, [0, 1, 2, 3, 4, 5]],
    [3, [0, 1, 2, 3, 4, 5]],
    [5, [1, 3, 5]],
  ])('of %i is told of at %j', async (window, told) => {
    const { ws, items } = running({ window })
    for (let n = 0; n < 6; n++) {
      ws.item(n, n)
      if (n) await items.next()
    }
    expect(acks(ws)).toEqual(told)
  })

  test('larger than the server’s is told of at half of the server’s', async () => {
    const { socket, ws } = openSocket()
    ws.greets({ session: 's', features: [], limits: { window: 6 } })
    socket.stream('count', null, { window: 1_000 }).subscribe()
    for (const n of [0, 1, 2, 3, 4, 5]) ws.item(n, n)
    expect(acks(ws)).toEqual([2, 5])
  })

  test('of a server that said nothing is 1024 at most', () => {
    const { socket, ws } = openSocket({ hello: false })
    socket.stream('count', null, { window: 1e6 }).subscribe()
    for (let n = 0; n < 1_024; n++) ws.item(n, n)
    expect(acks(ws)).toEqual([511, 1_023])
  })

  test('is no matter once the stream is over', async () => {
    const { ws, items, first } = running({ window: 2 })
    ws.item(0, 'a')
    ws.item(1, 'b')
    ws.answers(null, { headers: { $seq: 2 }, to: 0 })
    await first
    await items.next()
    expect(acks(ws)).toEqual([0])
  })
})

describe('the end', () => {
  test('an error comes after the items before it, with all the server said', async () => {
    const { ws, items, first } = running()
    ws.item(0, 'a')
    ws.item(1, 'b')
    ws.answers({ message: 'gone', code: 'internal' }, { status: 500, to: 0 })
    expect([await first, await items.next()]).toEqual([value('a'), value('b')])
    const error = await outcome(items.next())
    expect(error).toBeInstanceOf(ResponseError)
    expect(error).toMatchObject({ route: 'count', status: 500, code: 'internal', message: 'gone' })
    expect(await items.next()).toEqual(end())
    expect(ws.routes).toEqual(['count'])
  })

  test('a second one, or an item after it, is nobody’s', async () => {
    const { socket, ws, items, first } = running()
    const told = vi.fn()
    for (const event of ['push', 'error'] as const) socket.on(event, told)
    ws.item(0, 'a')
    for (const payload of ['first', 'second']) ws.answers(payload, { headers: { $seq: 1 }, to: 0 })
    ws.item(1, 'late')
    expect(await first).toEqual(value('a'))
    expect(await items.next()).toEqual(end('first'))
    expect(await items.next()).toEqual(end())
    expect(told).not.toHaveBeenCalled()
  })

  test('a lost connection comes after the items before it, and starts nothing again', async () => {
    const { ws, items, first } = running()
    ws.item(0, 'a')
    ws.item(1, 'b')
    ws.hangsUp(1012, 'service restart')
    expect([await first, await items.next()]).toEqual([value('a'), value('b')])
    expect(await outcome(items.next())).toMatchObject({ name: 'ConnectionLostError', sent: true, code: 1012 })
    vi.advanceTimersByTime(1_000)
    expect(FakeWebSocket.last.accept().texts).toEqual([])
  })

  test('after a restart, the same uuid on the new line is nobody’s', async () => {
    const { ws, items, first } = running()
    ws.hangsUp(1012)
    expect(await outcome(first)).toMatchObject({ sent: true })
    vi.advanceTimersByTime(1_000)
    FakeWebSocket.last.accept().says({ uuid: ws.frames[0]!.uuid, status: 402, headers: { $seq: 0 }, payload: 'old' })
    expect(await items.next()).toEqual(end())
  })

  test('left from a listener of the loss, it is left once and in peace', async () => {
    const { socket, ws, items, first } = running()
    socket.on('state', (state) => state === 'waiting' && void items.return!())
    ws.hangsUp()
    expect(await first).toEqual(end())
    expect(ws.routes).toEqual(['count'])
  })

  test.each<[string, number[], number]>([
    ['is missing', [0, 2], 1],
    ['comes twice', [0, 0], 1],
    ['is not the first', [1], 0],
    ['is no whole number', [0, 1.5], 1],
  ])('an item that %s is an error, after those before it, and ends the stream on the server', async (_, seqs, good) => {
    const { ws, items, first } = running()
    for (const seq of seqs) ws.item(seq, `item ${seq}`)
    ws.item(good, 'too late to be good')
    if (good) expect(await first).toEqual(value('item 0'))
    const error = await outcome(good ? items.next() : first)
    expect(error).toBeInstanceOf(SocketError)
    expect(error).toMatchObject({ message: `count came to ${seqs[good]} where ${good} was due` })
    expect(ws.routes).toEqual(['count', '$cancel'])
  })

  test.each([[0], [2], [undefined]])('one that counts %s items where there was one is an error', async (seq) => {
    const { ws, items, first } = running()
    ws.item(0, 'a')
    ws.answers(null, { headers: { $seq: seq }, to: 0 })
    expect(await first).toEqual(value('a'))
    expect(await outcome(items.next())).toMatchObject({ message: `count came to ${seq} where 1 was due` })
    expect(ws.routes).toEqual(['count'])
  })

  test('one that counts items where none came is an error', async () => {
    const { ws, first } = running()
    ws.answers(null, { headers: { $seq: 2 } })
    expect(await outcome(first)).toMatchObject({ message: 'count came to 2 where 0 was due' })
  })

  test('on a closed socket, with a full queue, with a payload that is no JSON, it is told to who takes it', async () => {
    const socket = socketWith({ queueLimit: 0 })
    expect(await outcome(iterate(socket.stream('count')).next())).toMatchObject({ name: 'QueueFullError' })
    expect(await outcome(iterate(socket.stream('count', 1n)).next())).toBeInstanceOf(TypeError)
    const unreadable = vi.fn()
    socket.stream('count', 1n).subscribe({ error: unreadable })
    expect(unreadable).toHaveBeenCalledExactlyOnceWith(expect.any(TypeError))
    socket.close()
    const items = iterate(socket.stream('count'))
    expect(await outcome(items.next())).toMatchObject({ name: 'ConnectionLostError', sent: false })
    expect(await items.next()).toEqual(end())
    const stop = new AbortController()
    const error = vi.fn()
    const forget = vi.spyOn(stop.signal, 'removeEventListener')
    socket.stream('count').subscribe({ error }, { signal: stop.signal }).unsubscribe()
    expect(error).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ name: 'ConnectionLostError' }))
    expect(forget).toHaveBeenCalled()
  })
})

describe('a timeout', () => {
  test('is for the first item; after it a stream may be silent', async () => {
    const { ws, items, first } = running({ timeout: 500 })
    vi.advanceTimersByTime(499)
    ws.item(0, 'a')
    await first
    const second = items.next()
    vi.advanceTimersByTime(1e9)
    expect(await outcome(second)).toBe('pending')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('that passes ends it, here and on the server', async () => {
    const { ws, items, first } = running()
    vi.advanceTimersByTime(30_000)
    expect(await outcome(first)).toMatchObject({ name: 'TimeoutError', sent: true })
    expect(ws.routes).toEqual(['count', '$cancel'])
    expect(await items.next()).toEqual(end())
  })

  test('is not put off by progress', async () => {
    const { ws, first } = running({ timeout: 500, onProgress: () => {} })
    ws.answers('half', { status: 402 })
    vi.advanceTimersByTime(500)
    expect(await outcome(first)).toMatchObject({ name: 'TimeoutError' })
  })
})

describe('a signal', () => {
  test('ends it with its reason, and what came before is dropped', async () => {
    const stop = new AbortController()
    const { ws, items, first } = running({ signal: stop.signal })
    ws.item(0, 'a')
    ws.item(1, 'b')
    await first
    stop.abort('enough')
    expect(await outcome(items.next())).toBe('enough')
    expect(await items.next()).toEqual(end())
    expect(ws.routes).toEqual(['count', '$cancel'])
  })

  test('also who waits, and one that came too early', async () => {
    const stop = new AbortController()
    const { ws, first } = running({ signal: stop.signal })
    stop.abort('enough')
    expect(await outcome(first)).toBe('enough')
    expect(await outcome(running({ signal: stop.signal }).first)).toBe('enough')
    expect(FakeWebSocket.last.texts).toEqual([])
    expect(ws.routes).toEqual(['count', '$cancel'])
  })

  test('after the end cuts short what is not taken yet, and says nothing to the server', async () => {
    const stop = new AbortController()
    const { ws, items, first } = running({ signal: stop.signal })
    ws.answers(['a', 'b', 'c'])
    expect(await first).toEqual(value('a'))
    stop.abort('enough')
    expect(await outcome(items.next())).toBe('enough')
    expect(ws.routes).toEqual(['count'])
  })

  test('after the last item was taken means nothing', async () => {
    const stop = new AbortController()
    const { ws, items, first } = running({ signal: stop.signal })
    ws.item(0, 'a')
    ws.answers('done', { headers: { $seq: 1 }, to: 0 })
    await first
    stop.abort()
    expect(await items.next()).toEqual(end('done'))
  })
})

describe('subscribe', () => {
  const observer = () => ({ next: vi.fn(), error: vi.fn(), complete: vi.fn() })

  test('tells items as they come, and the end', () => {
    const { socket, ws } = openSocket()
    const seen = observer()
    socket.stream('count').subscribe(seen)
    ws.item(0, 'a')
    expect(seen.next).toHaveBeenCalledExactlyOnceWith('a')
    ws.answers('done', { headers: { $seq: 1 } })
    expect(seen.complete).toHaveBeenCalledExactlyOnceWith()
    expect(seen.error).not.toHaveBeenCalled()
  })

  test('takes functions as well, and errors are told once', () => {
    const { socket, ws } = openSocket()
    const { next, error, complete } = observer()
    socket.stream('count').subscribe(next, error, complete)
    ws.item(0, 'a')
    ws.answers({ message: 'gone' }, { status: 500 })
    ws.hangsUp()
    expect(next).toHaveBeenCalledExactlyOnceWith('a')
    expect(error).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ status: 500, message: 'gone' }))
    expect(complete).not.toHaveBeenCalled()
  })

  test('keeps the observer’s own this', () => {
    const { socket, ws } = openSocket()
    class Mine {
      items: unknown[] = []
      next(item: unknown) {
        this.items.push(item)
      }
    }
    const mine = new Mine()
    socket.stream('count').subscribe(mine)
    ws.item(0, 'a')
    expect(mine.items).toEqual(['a'])
  })

  test('unsubscribe leaves it on the server, once, and nothing is told any more', () => {
    const { socket, ws } = openSocket()
    const seen = observer()
    const subscription = socket.stream('count').subscribe(seen)
    ws.item(0, 'a')
    subscription.unsubscribe()
    subscription.unsubscribe()
    ws.item(1, 'b')
    ws.answers(null, { status: 499, to: 0 })
    expect(ws.routes).toEqual(['count', '$cancel'])
    expect(seen.next).toHaveBeenCalledOnce()
    expect(seen.error).not.toHaveBeenCalled()
    expect(seen.complete).not.toHaveBeenCalled()
  })

  test('an item is taken once next returned, whatever it does', () => {
    vi.stubGlobal('reportError', vi.fn())
    const { socket, ws } = openSocket()
    const during: unknown[] = []
    const subscription = socket.stream('count', null, { window: 2 }).subscribe((item) => {
      during.push(acks(ws).length)
      if (item === 'throws') throw new Error('mine')
      if (item === 'leaves') subscription.unsubscribe()
    })
    ws.item(0, 'throws')
    ws.item(1, 'b')
    ws.item(2, 'leaves')
    expect(during).toEqual([0, 1, 2])
    expect(acks(ws)).toEqual([0, 1])
    expect(reportError).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'mine' }))
  })

  test('an error that nobody takes is an error of the socket', () => {
    const { socket, ws } = openSocket()
    const errors = vi.fn()
    socket.on('error', errors)
    socket.stream('count').subscribe(() => {})
    ws.answers({ message: 'gone' }, { status: 500 })
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'gone' }))
  })

  test('its signal unsubscribes without a word, the stream’s own is an error', () => {
    const { socket, ws } = openSocket()
    const [theirs, own] = [new AbortController(), new AbortController()]
    const seen = observer()
    const stream = socket.stream('count', null, { signal: own.signal })
    stream.subscribe(seen, { signal: theirs.signal })
    stream.subscribe(seen.next, { signal: AbortSignal.abort() })
    theirs.abort()
    expect(seen.error).not.toHaveBeenCalled()
    expect(ws.routes).toEqual(['count', '$cancel'])
    stream.subscribe(seen)
    own.abort('enough')
    expect(seen.error).toHaveBeenCalledExactlyOnceWith('enough')
    expect(ws.routes).toEqual(['count', '$cancel', 'count', '$cancel'])
  })

  test('its signal is let go of at the end', () => {
    const { socket, ws } = openSocket()
    const stop = new AbortController()
    const forget = vi.spyOn(stop.signal, 'removeEventListener')
    socket.stream('count').subscribe({}, { signal: stop.signal })
    ws.answers(null, { headers: { $seq: 0 } })
    expect(forget).toHaveBeenCalled()
    stop.abort()
    expect(ws.routes).toEqual(['count'])
  })
})

describe('what is no stream', () => {
  test.each<[unknown, unknown[]]>([
    [[1, 2, 3], [1, 2, 3]],
    [[], []],
    [{ a: 1 }, [{ a: 1 }]],
    ['text', ['text']],
    [null, [null]],
  ])('answered with %j, it is the items %j', async (payload, expected) => {
    const { socket, ws } = openSocket()
    const seen: unknown[] = []
    const loop = (async () => {
      for await (const item of socket.stream('count', null, { window: 1 })) seen.push(item)
    })()
    const told: unknown[] = []
    socket.stream('count', null, { window: 1 }).subscribe({ next: (item) => told.push(item), complete: () => told.push('end') })
    for (const to of [0, 1]) ws.answers(payload, { to })
    await loop
    expect(seen).toEqual(expected)
    expect(told).toEqual([...expected, 'end'])
    expect(ws.routes).toEqual(['count', 'count'])
  })

  test('who leaves in the middle of such a list sees no more of it', () => {
    const { socket, ws } = openSocket()
    const stop = new AbortController()
    const [seen, error] = [vi.fn(), vi.fn()]
    const one = socket.stream('count').subscribe((item) => (seen(item), one.unsubscribe()))
    socket.stream('count', null, { signal: stop.signal }).subscribe((item) => (seen(item), stop.abort('enough')), error)
    for (const to of [0, 1]) ws.answers(['a', 'b'], { to })
    expect(seen.mock.calls).toEqual([['a'], ['a']])
    expect(error).toHaveBeenCalledExactlyOnceWith('enough')
  })

  test('a server without the route is an error', async () => {
    const { ws, first } = running()
    ws.answers({ message: 'no route', code: 'not_found' }, { status: 404 })
    expect(await outcome(first)).toMatchObject({ status: 404, code: 'not_found' })
  })
})

describe('progress', () => {
  test('of a call is told, and does not settle it', async () => {
    const { socket, ws } = openSocket()
    const onProgress = vi.fn()
    const call = socket.call('import', 1, { onProgress, headers: { a: 1 } })
    expect(ws.frames[0]!.headers).toEqual({ a: 1, $progress: true })
    ws.answers({ done: 1 }, { status: 402 })
    ws.answers(null, { status: 402 })
    expect(await outcome(call)).toBe('pending')
    ws.answers('ready')
    ws.answers({ done: 'late' }, { status: 402 })
    expect(await call).toBe('ready')
    expect(onProgress.mock.calls).toEqual([[{ done: 1 }], [null]])
  })

  test('that is not asked for is the answer, as ever', async () => {
    const { socket, ws } = openSocket()
    const call = socket.request('import')
    expect(ws.frames[0]!.headers).toEqual({})
    ws.answers('half', { status: 402 })
    expect(await call).toMatchObject({ ok: false, status: 402 })
  })

  test('the timeout of a call is that of the whole call', async () => {
    const { socket, ws } = openSocket({ heartbeat: false })
    const call = socket.call('import', 1, { onProgress: () => {}, timeout: 100 })
    vi.advanceTimersByTime(99)
    ws.answers('half', { status: 402 })
    vi.advanceTimersByTime(1)
    expect(await outcome(call)).toMatchObject({ name: 'TimeoutError' })
    expect(ws.routes).toEqual(['import', '$cancel'])
  })

  test('a listener that throws hurts nobody', async () => {
    vi.stubGlobal('reportError', vi.fn())
    const { socket, ws } = openSocket()
    const onProgress = () => {
      throw new Error('mine')
    }
    const call = socket.call('import', 1, { onProgress })
    const stream = iterate(socket.stream('count', 1, { onProgress })).next()
    for (const to of [0, 1]) ws.answers('half', { status: 402, to })
    ws.answers('ready', { to: 0 })
    ws.item(0, 'a', 1)
    expect(await call).toBe('ready')
    expect(await stream).toEqual(value('a'))
    expect(reportError).toHaveBeenCalledTimes(2)
  })

  test('of a stream is told beside its items, and without a listener is ignored', async () => {
    const { socket, ws } = openSocket()
    const onProgress = vi.fn()
    const told = iterate(socket.stream('count', 1, { onProgress }))
    const untold = iterate(socket.stream('count', 1))
    const firsts = [told.next(), untold.next()]
    expect(ws.frames.map(({ headers }) => headers.$progress)).toEqual([true, undefined])
    for (const to of [0, 1]) {
      ws.answers('half', { status: 402, to })
      ws.answers('odd', { status: 402, headers: { $seq: 'no number' }, to })
      ws.item(0, 'a', to)
    }
    expect(await Promise.all(firsts)).toEqual([value('a'), value('a')])
    expect(onProgress.mock.calls).toEqual([['half'], ['odd']])
  })
})

test('a call of a stream is one answer', async () => {
  const { socket, ws } = openSocket()
  const all = socket.call('count', 2)
  expect(ws.frames[0]!.headers).toEqual({})
  ws.answers([0, 1])
  expect(await all).toEqual([0, 1])
})
