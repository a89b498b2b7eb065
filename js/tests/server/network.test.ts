/** The client on a real network, with a server that misbehaves in every way a small one can be made to. */

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { WebSocket, WebSocketServer, type WebSocket as Peer } from 'ws'
import { ObservableSocket, type SocketOptions } from '../../src/index.js'

let server: WebSocketServer
let port = 0
let peers: Peer[] = []
let sockets: ObservableSocket[] = []
let accepted = 0

async function listen() {
  server = new WebSocketServer({ port, host: '127.0.0.1' })
  server.on('connection', (peer) => {
    accepted++
    peers.push(peer)
    peer.on('message', (data) => {
      const { uuid, route, payload } = JSON.parse(String(data))
      if (route === 'PING') peer.send(JSON.stringify({ uuid, route: 'PONG', headers: null, payload: null }))
      if (route === 'echo') peer.send(JSON.stringify({ uuid, status: 200, headers: {}, payload }))
    })
  })
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
}

async function vanish() {
  for (const peer of server.clients) peer.terminate()
  server.close()
  await once(server, 'close')
}

const connect = (options: SocketOptions = {}) => {
  const socket = new ObservableSocket(`ws://127.0.0.1:${port}/ws`, {
    WebSocket,
    backoff: { min: 20, max: 100 },
    ...options,
  })
  sockets.push(socket)
  return socket
}

beforeEach(async () => {
  peers = []
  accepted = port = 0
  await listen()
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close()
  await vanish()
})

test('a hundred calls at once, each gets its own answer', async () => {
  const socket = connect()
  const numbers = Array.from({ length: 100 }, (_, n) => n)
  expect(await Promise.all(numbers.map((n) => socket.call('echo', n)))).toEqual(numbers)
})

test('a server that restarts in the middle of a conversation', async () => {
  const socket = connect()
  await socket.ready()
  const sent = socket.call('never')
  await Promise.all([expect(sent).rejects.toMatchObject({ sent: true }), vanish()])
  const unsent = socket.call('echo', 'after the restart')
  await listen()
  expect(await unsent).toBe('after the restart')
  expect(socket.state).toBe('open')
})

test('a server that is not there yet', async () => {
  await vanish()
  const socket = connect()
  const call = socket.call('echo', 'at last')
  await vi.waitUntil(() => socket.state === 'waiting')
  await listen()
  expect(await call).toBe('at last')
})

test('a line that dies in silence is found out and replaced', async () => {
  const socket = connect({ heartbeat: { rate: 50, timeout: 100 } })
  await socket.ready()
  for (const peer of peers) peer.removeAllListeners('message')
  await vi.waitUntil(() => accepted === 2, { timeout: 5_000 })
  expect(await socket.call('echo', 1)).toBe(1)
})

test('a quiet line that lives is kept', async () => {
  const socket = connect({ heartbeat: { rate: 20, timeout: 200 } })
  await socket.ready()
  const pings = vi.fn()
  peers[0]!.on('message', pings)
  await vi.waitUntil(() => pings.mock.calls.length > 3, { timeout: 5_000 })
  expect(accepted).toBe(1)
})

test('a refusal for good, told by 1008', async () => {
  server.on('connection', (peer) => peer.close(1008, 'access denied'))
  const socket = connect()
  await vi.waitUntil(() => socket.state === 'closed')
  await expect(socket.call('echo', 1)).rejects.toMatchObject({ sent: false, code: 1008, reason: 'access denied' })
})

test('binary frames and noise are errors and no end', async () => {
  const socket = connect()
  await socket.ready()
  const errors = vi.fn()
  socket.on('error', errors)
  peers[0]!.send(Buffer.from([1, 2, 3]))
  peers[0]!.send('{')
  expect(await socket.call('echo', 1)).toBe(1)
  expect(errors).toHaveBeenCalledTimes(2)
})

test('a close while connecting leaves nothing behind', async () => {
  const socket = connect()
  socket.close()
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(server.clients.size).toBe(0)
  expect(socket.state).toBe('closed')
})
