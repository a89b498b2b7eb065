/** How many calls a server is given at once, and what becomes of the others. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ObservableSocket, type SocketOptions } from '../../src/index.js'
import { topics } from '../../src/topics.js'
import { FakeWebSocket, go, openSocket, outcome, socketWith, still, URL } from '../support/fake.js'

beforeEach(still)
afterEach(go)

const says = (in_flight: unknown) => ({ session: 's', heartbeat: 60, limits: { in_flight } })

/** A socket whose server takes two calls at once. */
function open(options: SocketOptions = {}) {
  const { socket, ws } = openSocket({ heartbeat: false, ...options })
  ws.greets(says(2))
  return { socket, ws }
}

const all = (socket: ObservableSocket, ...routes: string[]) =>
  routes.map((route) => {
    const call = socket.call(route)
    call.catch(() => {})
    return call
  })

test('what is more waits for an answer to another, in order', async () => {
  const { socket, ws } = open()
  const [a] = all(socket, 'a', 'b', 'c', 'd')
  expect(ws.routes).toEqual(['a', 'b'])
  ws.answers('done', { to: 0 })
  expect(await a).toBe('done')
  expect(ws.routes).toEqual(['a', 'b', 'c'])
  const [e] = all(socket, 'e')
  for (const to of [1, 2, 3, 4]) ws.answers(to, { to })
  expect(await e).toBe(4)
  expect(ws.routes).toEqual(['a', 'b', 'c', 'd', 'e'])
})

test('before the server says how many it takes, it is given 64', () => {
  const { socket, ws } = openSocket()
  all(socket, ...Array(70).fill('r'))
  expect(ws.texts).toHaveLength(64)
  ws.greets(says(66))
  expect(ws.texts).toHaveLength(66)
})

test.each([
  ['a server of the base', 404, { message: 'no such route' }],
  ['one that does not say', 200, { session: 's' }],
  ['one that says none', 200, says(undefined)],
])('%s is given all', (_, status, payload) => {
  const { socket, ws } = openSocket()
  all(socket, ...Array(70).fill('r'))
  ws.greets(payload, status)
  expect(ws.texts).toHaveLength(70)
})

test('so is one that nobody asked', () => {
  vi.stubGlobal('WebSocket', FakeWebSocket)
  all(new ObservableSocket('app', URL), ...Array(70).fill('r'))
  expect(FakeWebSocket.last.accept().texts).toHaveLength(70)
  all(openSocket({ hello: false }).socket, ...Array(70).fill('r'))
  expect(FakeWebSocket.last.texts).toHaveLength(70)
})

test('on the next line it takes as many as it said on the last', () => {
  const { socket, ws } = open()
  ws.hangsUp()
  all(socket, 'a', 'b', 'c')
  vi.advanceTimersByTime(1_000)
  expect(FakeWebSocket.last.accept().routes).toEqual(['a', 'b'])
})

test('streams, messages, and what the protocol says itself do not count, and do not wait', async () => {
  const { socket, ws } = open({ topics })
  for (const one of ['s', 't', 'u']) socket.stream(one).subscribe({ error() {} })
  const calls = all(socket, 'a', 'b', 'c')
  socket.notify('n')
  socket.stream('v').subscribe({ error() {} })
  socket.subscribe('news').subscribe()
  await outcome(Promise.resolve())
  expect(ws.routes).toEqual(['s', 't', 'u', 'a', 'b', 'n', 'v', '$sub'])
  ws.item(0, 'an item')
  expect(ws.routes).toHaveLength(8)
  expect(await outcome(calls[2]!)).toBe('pending')
})

test('what waited for the line and is not bounded goes with it, behind what is', () => {
  const socket = socketWith()
  all(socket, ...Array(65).fill('r'))
  socket.notify('n')
  socket.stream('s').subscribe({ error() {} })
  const ws = FakeWebSocket.last.accept()
  expect(ws.routes.slice(63)).toEqual(['r', 'n', 's'])
  ws.greets(says(65))
  expect(ws.routes.slice(63)).toEqual(['r', 'n', 's', 'r'])
})

test('one that waits keeps its timeout, and was never sent', async () => {
  const { socket, ws } = open()
  all(socket, 'a', 'b')
  const late = socket.call('c', undefined, { timeout: 5_000 })
  late.catch(() => {})
  vi.advanceTimersByTime(5_000)
  expect(await outcome(late)).toMatchObject({ name: 'TimeoutError', sent: false })
  ws.answers(1, { to: 0 })
  expect(ws.routes).toEqual(['a', 'b'])
})

test('one that waits can be left for nothing', async () => {
  const { socket, ws } = open()
  all(socket, 'a', 'b')
  const stop = new AbortController()
  const left = socket.call('c', undefined, { signal: stop.signal })
  all(socket, 'd')
  stop.abort('enough')
  expect(await outcome(left)).toBe('enough')
  ws.answers(1, { to: 0 })
  expect(ws.routes).toEqual(['a', 'b', 'd'])
})

test('one that is left makes room once the server says so', async () => {
  const { socket, ws } = open()
  const stop = new AbortController()
  void socket.call('a', undefined, { signal: stop.signal }).catch(() => {})
  all(socket, 'b', 'c')
  stop.abort()
  expect(ws.routes).toEqual(['a', 'b', '$cancel'])
  ws.answers({ message: 'cancelled' }, { status: 499, to: 0 })
  expect(ws.routes).toEqual(['a', 'b', '$cancel', 'c'])
})

test('nobody overtakes those who wait', () => {
  const { socket, ws } = open()
  const stop = new AbortController()
  void socket.call('a', undefined, { signal: stop.signal }).catch(() => {})
  all(socket, 'b', 'c')
  stop.abort()
  all(socket, 'd')
  expect(ws.routes).toEqual(['a', 'b', '$cancel', 'c'])
})

test('those who wait live through a lost line', async () => {
  const { socket, ws } = open()
  const [a, b, c] = all(socket, 'a', 'b', 'c')
  ws.hangsUp()
  expect(await outcome(a!)).toMatchObject({ name: 'ConnectionLostError', sent: true })
  expect(await outcome(b!)).toMatchObject({ sent: true })
  vi.advanceTimersByTime(1_000)
  const back = FakeWebSocket.last.accept()
  expect(back.routes).toEqual(['c'])
  back.answers('at last')
  expect(await c).toBe('at last')
})

test('a socket that closes ends them, unsent', async () => {
  const { socket } = open()
  const [, , c] = all(socket, 'a', 'b', 'c')
  socket.close()
  expect(await outcome(c!)).toMatchObject({ name: 'ConnectionLostError', sent: false })
})

test('on an open line any number waits; while there is none, only so many', async () => {
  const { socket, ws } = open({ queueLimit: 3 })
  const calls = all(socket, ...Array(10).fill('r'))
  expect(await outcome(calls[9]!)).toBe('pending')
  ws.hangsUp()
  expect(await outcome(socket.call('late'))).toMatchObject({ name: 'QueueFullError' })
})

test('what the server asks may need a call of its own: that does not wait', async () => {
  const { socket, ws } = open()
  all(socket, 'a', 'b', 'waits')
  socket.handle('confirm', () => socket.call('details'))
  ws.says({ uuid: '#1', route: 'confirm', headers: {}, payload: null })
  await outcome(Promise.resolve())
  expect(ws.routes).toEqual(['a', 'b', 'details'])
  ws.answers('yes')
  await outcome(Promise.resolve())
  expect(ws.frames.find(({ uuid }) => uuid === '#1')).toMatchObject({ status: 200, payload: 'yes' })
})

test('a PING goes out at once, whatever waits', () => {
  const { socket, ws } = open({ heartbeat: { rate: 1_000, timeout: 1_000 } })
  all(socket, ...Array(500).fill('r'))
  vi.advanceTimersByTime(1_000)
  expect(ws.routes).toEqual(['r', 'r', 'PING'])
})

test('ten thousand that wait are no work to speak of', async () => {
  const { socket, ws } = open()
  const calls = all(socket, ...Array(10_000).fill('r'))
  for (let to = 0; to < 10_000; to++) ws.says({ uuid: JSON.parse(ws.written[to + 1]!).uuid, status: 200, headers: {}, payload: to })
  expect((await Promise.all(calls)).at(-1)).toBe(9_999)
})
