/** The client and the real router, over a real network. */

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Message, ObservableSocket, ResponseError, type SocketOptions } from '../../src/index.js'
import { freePort, PythonServer, unavailable } from '../support/python.js'

const reason = unavailable()
if (reason && process.env.FOS_REQUIRE_SERVER === '1') throw new Error(reason)
if (reason) console.warn(`skipped, there is no real server: ${reason}`)

describe.skipIf(reason)('against the real router', () => {
  let server: PythonServer
  const sockets: ObservableSocket[] = []

  beforeAll(async () => {
    server = await new PythonServer(await freePort()).start()
  })
  afterAll(() => server?.stop())
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close()
  })

  const connect = (options: SocketOptions = {}) => {
    const socket = new ObservableSocket(server.url, {
      WebSocket,
      backoff: { min: 50, max: 200 },
      ...options,
    })
    sockets.push(socket)
    return socket
  }

  test('a call', async () => {
    expect(await connect().call('math/sum', [1, 2, 3])).toEqual({ sum: 6 })
  })

  test.each([null, 0, '', false, [], {}, 'ü', { a: [1, { b: null }] }])('%j comes back as it went', async (payload) => {
    expect(await connect().call('echo', payload)).toEqual(payload)
  })

  test('headers go and come', async () => {
    const answer = await connect({ headers: { a: 1 } }).request('echo', 1, { headers: { b: '2' } })
    expect(answer).toMatchObject({ ok: true, status: 200, headers: { a: 1, b: '2' } })
  })

  test.each([
    ['nope', null, 404, 'not_found'],
    ['fail', null, 500, 'internal'],
  ])('%s fails as it should', async (route, payload, status, code) => {
    const error = await connect().call(route, payload).catch((error) => error)
    expect(error).toBeInstanceOf(ResponseError)
    expect(error).toMatchObject({ status, code })
    expect(error.message).not.toContain('secret')
  })

  test('an HTTPException is an answer with its status', async () => {
    expect(await connect().request('teapot')).toMatchObject({ ok: false, status: 418, payload: { message: 'I am a teapot' } })
  })

  test('a payload that is not what the handler takes has its detail', async () => {
    const error = await connect().call('math/sum', ['one']).catch((error) => error)
    expect(error.status).toBeGreaterThanOrEqual(400)
    expect(error.payload.detail[0]).toMatchObject({ loc: expect.any(Array), msg: expect.any(String), type: expect.any(String) })
  })

  test('behind more calls than the server takes at once, a PING is heard all the same', async () => {
    let pongs = 0
    class Counting extends WebSocket {
      constructor(url: string) {
        super(url)
        this.on('message', (data) => (pongs += Number(`${data}`.includes('PONG'))))
      }
    }
    const socket = connect({ WebSocket: Counting, heartbeat: { rate: 20, timeout: 30_000 } })
    const left = new AbortController()
    const calls = Array.from({ length: 300 }, (_, n) => socket.call('hold', n))
    const one = socket.call('hold', 'left', { signal: left.signal })
    await vi.waitFor(() => expect(pongs).toBeGreaterThan(0), 10_000)
    left.abort('enough')
    await expect(one).rejects.toBe('enough')
    await connect().call('let-go')
    expect(await Promise.all(calls)).toEqual(calls.map((_, n) => n))
    expect(socket.state).toBe('open')
  })

  test('a server that drains loses nothing: what runs is answered, what is new goes to another', async () => {
    const leaving = await new PythonServer(await freePort()).start()
    try {
      vi.spyOn(Math, 'random').mockReturnValue(0)
      let url = leaving.url
      const socket = new ObservableSocket(() => url, { WebSocket })
      sockets.push(socket)
      const closed = vi.fn()
      socket.on('close', closed)
      expect(await socket.call('port')).toBe(leaving.port)
      const running = socket.call('slow', 0.5)
      const items: unknown[] = []
      const ended = new Promise<void>((complete) => {
        socket.stream('count', 1_000).subscribe({ next: (item) => items.push(item), complete })
      })
      url = server.url
      await socket.call('drain', 60)
      const next: Promise<unknown>[] = []
      // Asked all the time, while it goes over.
      while (!closed.mock.calls.length) {
        next.push(socket.call('port'))
        await new Promise((passed) => setTimeout(passed, 5))
      }
      expect(closed.mock.calls).toEqual([[{ code: 1000, reason: 'drained', reconnects: true }]])
      expect(await running).toBe('at last')
      await ended
      expect(items).toHaveLength(1_000)
      const ports = await Promise.all([...next, socket.call('port')])
      expect(ports.at(-1)).toBe(server.port)
      expect(new Set([...ports, leaving.port])).toEqual(new Set([leaving.port, server.port]))
    } finally {
      vi.restoreAllMocks()
      await leaving.stop()
    }
  })

  test('402 is an answer like any other to who asked for one', async () => {
    expect(await connect().request('pending')).toMatchObject({ ok: false, status: 402 })
  })

  test('a push arrives, and not as the answer', async () => {
    const socket = connect()
    const pushed = vi.fn()
    socket.on('push', pushed)
    expect(await socket.call('push', { n: 1 })).toBe('pushed')
    expect(pushed).toHaveBeenCalledExactlyOnceWith({ route: 'news', headers: {}, payload: { n: 1 } })
  })

  test('fast calls overtake a slow one', async () => {
    const socket = connect()
    let done = false
    const slow = socket.call('slow', 0.5).then(() => (done = true))
    const sums = await Promise.all(Array.from({ length: 50 }, (_, n) => socket.call('math/sum', [n, 1])))
    expect(sums).toEqual(Array.from({ length: 50 }, (_, n) => ({ sum: n + 1 })))
    expect(done).toBe(false)
    await slow
  })

  test('an aborted call and one that timed out end on the server too', async () => {
    const socket = connect()
    await socket.ready()
    const abort = new AbortController()
    const aborted = socket.call('slow', 3601, { signal: abort.signal })
    await socket.call('math/sum', [1]) // the server has begun the first by now
    abort.abort()
    await expect(aborted).rejects.toThrow()
    await expect(socket.call('slow', 3602, { timeout: 50 })).rejects.toThrow()
    await vi.waitFor(async () => expect(await socket.call('cancelled')).toEqual([3601, 3602]))
  })

  test('a timeout and an abort leave the socket well', async () => {
    const socket = connect()
    await expect(socket.call('slow', 5, { timeout: 50 })).rejects.toMatchObject({ name: 'TimeoutError', sent: true })
    await expect(socket.call('slow', 5, { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ name: 'TimeoutError' })
    expect(await socket.call('math/sum', [1])).toEqual({ sum: 1 })
    expect(socket.state).toBe('open')
  })

  test('a quiet line is kept by PING and PONG', async () => {
    const socket = connect({ heartbeat: { rate: 30, timeout: 2_000 } })
    const closes = vi.fn()
    socket.on('close', closes)
    await socket.ready()
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(closes).not.toHaveBeenCalled()
    expect(await socket.call('math/sum', [1])).toEqual({ sum: 1 })
  })

  test.each([[1012, true], [4008, true], [1008, false]])('closed with %i, comes back: %s', async (code, reconnects) => {
    const socket = connect()
    const closed = new Promise((resolve) => socket.on('close', resolve))
    socket.notify('close', code)
    expect(await closed).toMatchObject({ code, reconnects })
  })

  test('the old signature and its frames', async () => {
    vi.stubGlobal('WebSocket', WebSocket)
    const onMessage = vi.fn()
    const connected = vi.fn()
    const socket = new ObservableSocket('app', server.url, connected, onMessage, { globalHeaders: { h: 1 } })
    sockets.push(socket)
    const { message, success } = await socket.sendAndWait(new Message('echo', [0]))
    expect({ success, message }).toMatchObject({ success: true, message: { status: 200, headers: { h: 1 }, payload: [0] } })
    expect((await socket.sendAndWait(new Message('echo', undefined))).message?.payload).toBeNull()
    expect((await socket.sendAndWait(new Message('nope', null))).message?.status).toBe(404)
    socket.sendMessage(new Message('push', 'hello'))
    await vi.waitUntil(() => onMessage.mock.calls.some(([{ message }]) => message.route === 'news'))
    expect(connected.mock.calls).toEqual([['app', true]])
    vi.unstubAllGlobals()
  })

  test('a restart in the middle of a conversation', async () => {
    const socket = connect()
    await socket.ready()
    const sent = socket.call('slow', 30)
    // Seen by the server before it goes.
    await socket.call('math/sum', [1])
    const lost = expect(sent).rejects.toMatchObject({ name: 'ConnectionLostError', sent: true })
    await server.stop('SIGKILL')
    await lost
    const unsent = socket.call('math/sum', [2, 3])
    await server.start()
    expect(await unsent).toEqual({ sum: 5 })
  })
})
