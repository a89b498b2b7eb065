/** Topics, with the real router over a network that is cut, and a server that is killed. */

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Message, ObservableSocket, type SocketOptions } from '../../src/index.js'
import { topics } from '../../src/topics.js'
import { Wire } from '../support/proxy.js'
import { freePort, PythonServer, unavailable } from '../support/python.js'

const reason = unavailable()
if (reason && process.env.FOS_REQUIRE_SERVER === '1') throw new Error(reason)
if (reason) console.warn(`skipped, there is no real server: ${reason}`)

describe.skipIf(reason)('against the real router', () => {
  let server: PythonServer
  let wire: Wire
  const sockets: ObservableSocket[] = []
  const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => i + from)

  beforeAll(async () => {
    server = await new PythonServer(await freePort()).start()
    wire = await new Wire(await freePort(), server.port).open()
  })
  afterAll(async () => {
    wire?.close()
    await server?.stop()
  })
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close()
    wire.mend()
  })

  /** Every frame it sent, too. */
  const connect = (options: SocketOptions = {}, port = server.port) => {
    const sent: { route: string; payload: any }[] = []
    class Heard extends WebSocket {
      override send(text: any) {
        sent.push(JSON.parse(text))
        super.send(text)
      }
    }
    const url = `ws://127.0.0.1:${port}/ws`
    const socket = new ObservableSocket(url, { topics, WebSocket: Heard, backoff: { min: 20, max: 100 }, ...options })
    sockets.push(socket)
    return Object.assign(socket, { sent })
  }

  /** Subscribed, once it resolves. */
  const listen = (socket: ObservableSocket, topic: string) =>
    new Promise<{ seen: any[]; gaps: any[]; snapshots: any[]; errors: any[]; unsubscribe(): void }>((resolve) => {
      const [seen, gaps, snapshots, errors]: any[][] = [[], [], [], []]
      const { unsubscribe } = socket
        .subscribe(topic, {
          onGap: (gap) => gaps!.push(gap),
          onSubscribed(snapshot) {
            snapshots!.push(snapshot)
            resolve({ seen: seen!, gaps: gaps!, snapshots: snapshots!, errors: errors!, unsubscribe })
          },
        })
        .subscribe({ next: (event) => seen!.push(event), error: (error) => errors!.push(error) })
    })

  test('what is published reaches all who listen, in order', async () => {
    const [a, b] = [connect(), connect()]
    const both = await Promise.all([listen(a, 'numbers/one'), listen(b, 'numbers/one')])
    await a.call('publish', { topic: 'numbers/one', count: 100 })
    await vi.waitFor(() => expect(both.map(({ seen }) => seen)).toEqual([upTo(100), upTo(100)]))
    expect(await b.publish('numbers/one', 101, { messageId: 'm' })).toEqual(await b.publish('numbers/one', 101, { messageId: 'm' }))
    await vi.waitFor(() => expect(both[0]!.seen).toEqual(upTo(101)))
    await expect(b.publish('brief/one', 1)).rejects.toMatchObject({ status: 403 })
  })

  test('a connection that is cut in the middle of 1,000 events: none lost, none twice, all in order', async () => {
    const socket = connect({}, wire.port)
    const teller = connect()
    const closes = vi.fn()
    socket.on('close', closes)
    const pushed = await listen(socket, 'numbers/cut')
    const pulled: number[] = []
    const cut = new Set<unknown>()
    const loop = (async () => {
      for await (const n of socket.subscribe('numbers/cut')) {
        pulled.push(n)
        // Once for each line: what it had brought already is still taken.
        if (n >= 300 && cut.size < 2 && socket.socket && !cut.has(socket.socket)) {
          cut.add(socket.socket)
          wire.unplug()
        }
        if (n === 1_000) break
      }
    })()
    socket.on('close', () => wire.mend())
    await teller.call('publish', { topic: 'numbers/cut', count: 1_000 })
    await loop
    await vi.waitFor(() => expect(pushed.seen).toHaveLength(1_000))
    expect(pulled).toEqual(upTo(1_000))
    expect(pushed.seen).toEqual(upTo(1_000))
    expect(pushed.gaps).toEqual([])
    await vi.waitFor(() => expect(closes).toHaveBeenCalledTimes(cut.size))
    expect(cut.size).toBeGreaterThan(0)
  })

  test('many topics come back by one frame', async () => {
    const socket = connect({}, wire.port)
    const names = upTo(50).map((n) => `numbers/many-${n}`)
    const all = await Promise.all(names.map((name) => listen(socket, name)))
    wire.unplug()
    await vi.waitUntil(() => socket.state !== 'open')
    const teller = connect()
    for (const topic of names) await teller.call('publish', { topic, count: 3 })
    socket.sent.length = 0
    wire.mend()
    await vi.waitFor(() => expect(all.map(({ seen }) => seen)).toEqual(names.map(() => [1, 2, 3])))
    expect(socket.sent.map(({ route }) => route)).toEqual(['$hello', '$sub'])
    expect(socket.sent[1]!.payload.topics).toHaveLength(50)
  })

  test('more than was kept is a gap, or the state', async () => {
    const socket = connect({}, wire.port)
    const brief = await listen(socket, 'brief/gap')
    const board = await listen(socket, 'boards/gap')
    expect(board.snapshots).toEqual([{ n: 0 }])
    wire.unplug()
    await vi.waitUntil(() => socket.state !== 'open')
    const teller = connect()
    for (const topic of ['brief/gap', 'boards/gap']) await teller.call('publish', { topic, count: 1_000 })
    wire.mend()
    await vi.waitUntil(() => brief.gaps.length && board.gaps.length)
    for (const topic of ['brief/gap', 'boards/gap']) await teller.call('publish', { topic, first: 1_001 })
    await vi.waitFor(() => expect([brief.seen, board.seen]).toEqual([[1_001], [1_001]]))
    expect(brief.gaps).toEqual([{ topic: 'brief/gap', reloadAfterMs: expect.any(Number) }])
    expect(board.snapshots).toEqual([{ n: 0 }, { n: 1_000 }])
  })

  test('a state and what comes behind it; for one that comes later, too', async () => {
    const socket = connect()
    const one = await listen(socket, 'boards/late')
    await socket.call('publish', { topic: 'boards/late', count: 5 })
    const late = await listen(socket, 'boards/late')
    await socket.call('publish', { topic: 'boards/late', first: 6 })
    await vi.waitFor(() => expect(late.seen).toEqual([6]))
    expect(late.snapshots).toEqual([{ n: 5 }])
    expect(one.seen).toEqual(upTo(6))
    expect(one.gaps).toEqual([])
  })

  test('who is there is a state, and who comes and goes are its events', async () => {
    const [watching, one, two] = [connect(), connect({}, wire.port), connect()]
    await listen(one, 'rooms/a')
    const told = await listen(watching, 'rooms/a/@presence')
    const since = expect.any(Number)
    expect(told.snapshots).toEqual([[{ user_id: null, sockets: 1, since }]])
    const { unsubscribe } = await listen(two, 'rooms/a')
    const join = { event: 'join', user_id: null, sockets: 2, since }
    await vi.waitFor(() => expect(told.seen).toEqual([join]))
    wire.unplug()
    await vi.waitFor(() => expect(told.seen).toEqual([join, { ...join, event: 'leave', sockets: 1 }]))
    unsubscribe()
    await vi.waitFor(() => expect(told.seen[2]).toEqual({ ...join, event: 'leave', sockets: 0 }))
    expect(told.gaps).toEqual([])
  })

  test('the last who leaves ends it on the server', async () => {
    const socket = connect()
    const [a, b] = [await listen(socket, 'numbers/left'), await listen(socket, 'numbers/left')]
    a.unsubscribe()
    expect(await socket.call('listeners', 'numbers/left')).toBe(true)
    b.unsubscribe()
    await vi.waitFor(async () => expect(await socket.call('listeners', 'numbers/left')).toBe(false))
    expect(socket.sent.filter(({ route }) => route[0] === '$').map(({ route }) => route)).toEqual(['$hello', '$sub', '$unsub'])
  })

  test('taken up and left in every order, it ends as it should', async () => {
    const socket = connect()
    for (let i = 0; i < 50; i++) {
      const seen: number[] = []
      const one = socket.subscribe('numbers/flicker').subscribe({ next: (n) => seen.push(n), error() {} })
      if (i % 3) await Promise.resolve()
      if (i % 5 === 0) await socket.call('math/sum', [])
      if (i < 49) one.unsubscribe()
      else {
        await listen(socket, 'numbers/flicker')
        await socket.call('publish', { topic: 'numbers/flicker', count: 3 })
        await vi.waitFor(() => expect(seen).toEqual([1, 2, 3]))
      }
    }
  })

  test('one that is refused is told so, at first and as it comes back', async () => {
    const socket = connect({}, wire.port)
    const one = await listen(socket, 'numbers/secret')
    const other = await listen(socket, 'numbers/open')
    await connect().call('refuse', 'secret')
    const errors = vi.fn()
    socket.subscribe('numbers/secret').subscribe({ error: errors })
    wire.unplug()
    await vi.waitUntil(() => socket.state !== 'open')
    wire.mend()
    await vi.waitFor(() => expect(one.errors).toMatchObject([{ status: 403 }]))
    expect(errors).toHaveBeenCalledOnce()
    await socket.call('publish', { topic: 'numbers/open' })
    await vi.waitFor(() => expect(other.seen).toEqual([1]))
    const loop = async () => {
      for await (const _ of socket.subscribe('nowhere')) void _
    }
    await expect(loop()).rejects.toMatchObject({ name: 'ResponseError', status: 404 })
  })

  test('a topic that keeps nothing goes on after a cut', async () => {
    const socket = connect({}, wire.port)
    const { seen } = await listen(socket, 'cursors')
    await connect().publish('cursors', { x: 1 })
    await vi.waitFor(() => expect(seen).toEqual([{ x: 1 }]))
    wire.unplug()
    await vi.waitUntil(() => socket.state !== 'open')
    wire.mend()
    const teller = connect()
    await vi.waitFor(async () => {
      await teller.publish('cursors', { x: 2 })
      expect(seen[1]).toEqual({ x: 2 })
    })
  })

  test('a socket of the old signature hears events by its callback', async () => {
    const heard: any[] = []
    vi.stubGlobal('WebSocket', WebSocket)
    const socket = new ObservableSocket('app', server.url, undefined, ({ message }) => heard.push(message))
    vi.unstubAllGlobals()
    sockets.push(socket)
    const answer = await socket.sendAndWait(new Message('$sub', { topic: 'numbers/old' }))
    expect(answer).toMatchObject({ success: true, message: { payload: { recovered: false, missed: [] } } })
    await connect().call('publish', { topic: 'numbers/old', count: 2 })
    await vi.waitFor(() => expect(heard.filter(({ route }) => route === 'numbers/old').map(({ payload }) => payload)).toEqual([1, 2]))
  })

  test('a server that is killed and comes back without its history: a gap, and on it goes', async () => {
    const socket = connect()
    const { seen, gaps } = await listen(socket, 'numbers/killed')
    await socket.call('publish', { topic: 'numbers/killed', count: 5 })
    await vi.waitFor(() => expect(seen).toEqual(upTo(5)))
    await server.stop('SIGKILL')
    await server.start()
    await vi.waitFor(() => expect(gaps).toEqual([{ topic: 'numbers/killed', reloadAfterMs: expect.any(Number) }]), 10_000)
    await socket.call('publish', { topic: 'numbers/killed', first: 6, count: 3 })
    await vi.waitFor(() => expect(seen).toEqual(upTo(8)))
  })
})
