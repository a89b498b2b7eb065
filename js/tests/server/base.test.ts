/** What the extensions come to where the server has none: each degrades as documented, and none is an error. */

import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { ObservableSocket } from '../../src/index.js'
import { BaseServer } from '../support/base.js'

let server: BaseServer
let socket: ObservableSocket
const errors = vi.fn()

beforeAll(async () => {
  server = await new BaseServer({
    echo: (payload) => payload,
    slow: (ms) => new Promise((resolve) => setTimeout(resolve, ms, 'at last')),
  }).start()
})
afterAll(() => server.stop())
beforeEach(() => {
  server.heard.length = 0
  errors.mockClear()
  socket = new ObservableSocket(server.url, { WebSocket })
  socket.on('error', errors)
})
afterEach(() => {
  socket.close()
  expect(errors).not.toHaveBeenCalled()
})

const all = async (route: string, payload: unknown, options = {}) => {
  const seen: unknown[] = []
  for await (const item of socket.stream(route, payload, options)) seen.push(item)
  return seen
}

test('the greeting is refused, and nobody is told', async () => {
  expect(await socket.call('echo', 1)).toBe(1)
  expect(server.routesHeard).toEqual(['$hello', 'echo'])
  expect(socket.session).toBeUndefined()
})

test.each([
  [[1, 2, 3], [1, 2, 3]],
  [[], []],
  [{ a: 1 }, [{ a: 1 }]],
  [null, [null]],
])('a stream of %j is %j, and nothing is acknowledged', async (payload, expected) => {
  expect(await all('echo', payload, { window: 1 })).toEqual(expected)
  expect(server.routesHeard).toEqual(['$hello', 'echo'])
})

test('a stream of a route that is not there is an error', async () => {
  await expect(all('nowhere', 1)).rejects.toMatchObject({ status: 404, code: 'not_found' })
})

test('who leaves a stream is rid of it, whatever the server makes of that', async () => {
  const items = socket.stream('slow', 50)[Symbol.asyncIterator]()
  const first = items.next()
  await socket.ready()
  await items.return!()
  expect(await first).toEqual({ value: undefined, done: true })
  expect(await socket.call('slow', 60)).toBe('at last')
  expect(server.routesHeard).toContain('$cancel')
})

test('a call with progress has its answer, and no progress', async () => {
  const onProgress = vi.fn()
  expect(await socket.call('echo', 'done', { onProgress })).toBe('done')
  expect(onProgress).not.toHaveBeenCalled()
})

test('a handler waits for calls that never come', async () => {
  const handler = vi.fn()
  const off = socket.handle('confirm', handler)
  expect(await socket.call('echo', 1)).toBe(1)
  off()
  expect(handler).not.toHaveBeenCalled()
})

test('auth goes unasked, and its token is no error', async () => {
  const authed = new ObservableSocket(server.url, { WebSocket, auth: async () => 'token' })
  authed.on('error', errors)
  expect(await authed.call('echo', 1)).toBe(1)
  expect(server.heard.find(({ payload }) => payload?.token)).toMatchObject({ route: '$hello' })
  authed.close()
})
