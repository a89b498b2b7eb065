/** Streams, progress, pushes, calls of the server and sessions, with the real router over a real network. */

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { ObservableSocket, type SocketOptions } from '../../src/index.js'
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

  /** Every route it was sent, too. */
  const connect = (options: SocketOptions = {}, url = server.url) => {
    const sent: { route: string; headers: any }[] = []
    class Heard extends WebSocket {
      override send(text: any) {
        sent.push(JSON.parse(text))
        super.send(text)
      }
    }
    const socket = new ObservableSocket(url, { WebSocket: Heard, backoff: { min: 50, max: 200 }, ...options })
    sockets.push(socket)
    return Object.assign(socket, { sent })
  }

  test('a stream', async () => {
    const socket = connect()
    const seen: number[] = []
    for await (const n of socket.stream('count', 100)) seen.push(n)
    expect(seen).toEqual(Array.from({ length: 100 }, (_, n) => n))
    expect(socket.sent.filter(({ route }) => route === '$ack').length).toBeLessThan(5)
    expect(await socket.call('count', 3)).toEqual([0, 1, 2])
  })

  test('a hundred thousand items, with a rest in the middle: all of them, in their order', async () => {
    const socket = connect()
    let next = 0
    for await (const n of socket.stream('count', 100_000)) {
      if (n !== next++) throw new Error(`${n} where ${next - 1} was due`)
      if (n === 50_000) {
        // The server holds still meanwhile, and goes on with others.
        const acks = socket.sent.length
        for (let i = 0; i < 20; i++) await socket.call('math/sum', [i])
        expect(socket.sent.length).toBe(acks + 20)
      }
    }
    expect(next).toBe(100_000)
  }, 60_000)

  test('a body that is slow holds the server up, by the window', async () => {
    const socket = connect()
    const items = socket.stream('endless', 'slow', { window: 8 })[Symbol.asyncIterator]()
    let received = 0
    const ws = socket.socket as unknown as WebSocket
    expect(await items.next()).toEqual({ value: 'slow 0', done: false })
    ws.on('message', (data) => String(data).includes('"slow ') && received++)
    for (let i = 0; i < 20; i++) await socket.call('math/sum', [i])
    expect(received).toBeLessThanOrEqual(8)
    for (let n = 1; n < 20; n++) expect(await items.next()).toEqual({ value: `slow ${n}`, done: false })
    await items.return!()
  })

  test('break, return, unsubscribe and abort end it on the server', async () => {
    const socket = connect()
    const stop = new AbortController()
    for await (const _ of socket.stream('endless', 'broken')) break
    const items = socket.stream('endless', 'returned')[Symbol.asyncIterator]()
    await items.next()
    const aborted = socket.stream('endless', 'aborted', { signal: stop.signal })[Symbol.asyncIterator]()
    await aborted.next()
    const subscription = await new Promise<{ unsubscribe(): void }>((resolve) => {
      const subscription = socket.stream('endless', 'subscribed').subscribe(() => resolve(subscription))
    })
    await vi.waitFor(async () => expect((await socket.call('streams')).sort()).toEqual(['aborted', 'returned', 'subscribed']))
    await items.return!()
    stop.abort('enough')
    await expect(aborted.next()).rejects.toBe('enough')
    subscription.unsubscribe()
    await vi.waitFor(async () => expect(await socket.call('streams')).toEqual([]))
  })

  test('its error comes after its items', async () => {
    const seen: number[] = []
    const loop = (async () => {
      for await (const n of connect().stream('breaks', 3)) seen.push(n)
    })()
    await expect(loop).rejects.toMatchObject({ name: 'ResponseError', status: 418, message: 'I am a teapot' })
    expect(seen).toEqual([0, 1, 2])
  })

  test('after the first item it may be silent for longer than its timeout', async () => {
    const seen: string[] = []
    for await (const word of connect().stream('quiet', 0.4, { timeout: 200 })) seen.push(word)
    expect(seen).toEqual(['first', 'last'])
  })

  test('a hundred at once have their own items', async () => {
    const socket = connect()
    const sums = Array.from({ length: 100 }, async (_, i) => {
      let sum = 0
      for await (const n of socket.stream('count', i, { window: 4 })) sum += n
      return sum
    })
    expect(await Promise.all(sums)).toEqual(Array.from({ length: 100 }, (_, i) => (Math.max(0, i - 1) * i) / 2))
  })

  test('a window larger than the server’s does not stop it', async () => {
    let count = 0
    for await (const _ of connect().stream('count', 5_000, { window: 1_000_000 })) count++
    expect(count).toBe(5_000)
  })

  test('progress is told before the answer', async () => {
    const socket = connect()
    const told: unknown[] = []
    expect(await socket.call('work', 3, { onProgress: (progress) => told.push(progress) })).toBe('done')
    expect(told).toEqual([{ done: 1 }, { done: 2 }, { done: 3 }])
    expect(await socket.call('work', 3)).toBe('done')
  })

  test('a push of the connection arrives', async () => {
    const socket = connect()
    const pushed = vi.fn()
    socket.on('push', pushed)
    expect(await socket.call('news', { n: 1 })).toBe('pushed')
    expect(pushed).toHaveBeenCalledExactlyOnceWith({ route: 'news', headers: {}, payload: { n: 1 } })
  })

  test('the server’s call has the handler’s answer', async () => {
    const socket = connect()
    socket.handle('confirm', async (payload) => ({ yes: payload }))
    expect(await socket.call('ask', 'sure?')).toEqual({ yes: 'sure?' })
  })

  test('what a handler throws, and no handler, is an error there', async () => {
    const socket = connect()
    const errors = vi.fn()
    socket.on('error', errors)
    expect(await socket.call('ask', 1)).toEqual({ status: 404, code: 'not_found' })
    const off = socket.handle('confirm', () => {
      throw { status: 409, payload: { message: 'busy', code: 'busy' } }
    })
    expect(await socket.call('ask', 1)).toEqual({ status: 409, code: 'busy' })
    off()
    socket.handle('confirm', () => {
      throw new Error('mine')
    })
    expect(errors).not.toHaveBeenCalled()
    expect(await socket.call('ask', 1)).toEqual({ status: 500, code: 'internal' })
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'mine' }))
  })

  test('a call that the server gives up aborts its handler', async () => {
    const socket = connect()
    const aborted = new Promise((resolve) =>
      socket.handle('confirm', (_, { signal }) => new Promise(() => signal.addEventListener('abort', resolve))),
    )
    expect(await socket.call('ask-briefly', 1)).toBe('no answer')
    await aborted
    expect(socket.sent.map(({ route }) => route)).toEqual(['$hello', 'ask-briefly'])
  })

  test('the server says who it is and what it can do', async () => {
    const socket = connect()
    await vi.waitUntil(() => socket.session)
    expect(socket.session).toMatchObject({
      session: expect.any(String),
      features: expect.arrayContaining(['stream', 'progress', 'push', 'calls']),
      limits: { window: expect.any(Number), in_flight: expect.any(Number) },
    })
  })

  describe('sessions', () => {
    const authed = (auth: () => string) => connect({ auth }, server.url.replace('/ws', '/auth'))

    test('a token says who it is', async () => {
      expect(await authed(() => 'ada 60').call('me')).toBe('ada')
    })

    test('are renewed on the open socket before they end', async () => {
      let n = 0
      const socket = authed(() => `ada ${++n === 1 ? 0.6 : 60}`)
      const closes = vi.fn()
      socket.on('close', closes)
      await vi.waitUntil(() => n === 2)
      await new Promise((passed) => setTimeout(passed, 400))
      expect(await socket.call('me')).toBe('ada')
      expect(closes).not.toHaveBeenCalled()
      expect(socket.sent.map(({ route }) => route)).toEqual(['$hello', '$auth', 'me'])
    })

    test('that end come back with a new token', async () => {
      let n = 0
      const socket = authed(() => (++n === 1 ? 'ada 0.05' : 'ada 60'))
      const closed = new Promise((resolve) => socket.on('close', resolve))
      expect(await closed).toMatchObject({ code: 4401, reconnects: true })
      expect(await socket.call('me')).toBe('ada')
      expect(n).toBe(2)
    })

    test('that are refused are told, and the socket stays away', async () => {
      const socket = authed(() => 'nobody')
      const errors = vi.fn()
      socket.on('error', errors)
      await vi.waitUntil(() => socket.state === 'closed')
      expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ route: '$hello', status: 401 }))
      await expect(socket.call('me')).rejects.toMatchObject({ code: 1008 })
    })
  })

  test('a server that dies in the middle of a stream', async () => {
    const socket = connect()
    const seen: number[] = []
    const loop = (async () => {
      for await (const n of socket.stream('dies', 5)) seen.push(n)
    })()
    await expect(loop).rejects.toMatchObject({ name: 'ConnectionLostError', sent: true })
    expect(seen).toEqual([0, 1, 2, 3, 4])
    await server.stop()
    await server.start()
    expect(await socket.call('math/sum', [1, 2])).toEqual({ sum: 3 })
    expect(socket.sent.filter(({ route }) => route === 'dies')).toHaveLength(1)
  })
})
