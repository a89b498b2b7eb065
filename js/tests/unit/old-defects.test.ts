/** What was wrong with the old client, one test each. Its React provider’s defects are in tests/react. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Message, ObservableSocket, type SocketConfig } from '../../src/index.js'
import { FakeWebSocket, go, outcome, still, URL } from '../support/fake.js'

beforeEach(() => {
  still()
  vi.stubGlobal('WebSocket', FakeWebSocket)
})
afterEach(go)

const old = (config?: Partial<SocketConfig>) => new ObservableSocket('app', URL, undefined, undefined, config)

test('timeouts were kept only with queManager', async () => {
  const socket = old({ requestTimeout: 5_000, queManager: false })
  FakeWebSocket.last.accept()
  const answer = socket.sendAndWait(new Message('never', null))
  vi.advanceTimersByTime(5_000)
  expect(await outcome(answer)).toMatchObject({ success: false })
})

test('close() during the back-off came back anyway', () => {
  const socket = old()
  FakeWebSocket.last.hangsUp()
  socket.close()
  vi.advanceTimersByTime(1e6)
  expect(FakeWebSocket.all).toHaveLength(1)
})

test('a server that accepts and closes was asked once a second for ever', () => {
  old()
  const start = Date.now()
  for (let i = 0; i < 10; i++) {
    FakeWebSocket.last.accept().hangsUp(1013)
    vi.advanceTimersToNextTimer()
  }
  expect(Date.now() - start).toBeGreaterThan(60_000)
})

test('a push callback that throws lost the answer', async () => {
  vi.stubGlobal('reportError', vi.fn())
  const socket = old()
  socket.onMessageReceived = () => {
    throw new Error('mine')
  }
  const ws = FakeWebSocket.last.accept()
  const answer = socket.sendAndWait(new Message('a', 1))
  ws.answers('well')
  expect(await outcome(answer)).toMatchObject({ success: true, message: { payload: 'well' } })
})

test('an answer callback that throws kept its call for ever', () => {
  vi.stubGlobal('reportError', vi.fn())
  const socket = old()
  const ws = FakeWebSocket.last.accept()
  const callback = vi.fn(() => {
    throw new Error('mine')
  })
  socket.onResponse(new Message('a', 1), callback)
  ws.answers(1)
  ws.answers(2)
  ws.hangsUp()
  expect(callback).toHaveBeenCalledOnce()
})

test('a connection callback that throws stopped the reconnect', () => {
  vi.stubGlobal('reportError', vi.fn())
  const socket = old()
  socket.onSocketConnectionChange = () => {
    throw new Error('mine')
  }
  FakeWebSocket.last.accept().hangsUp()
  vi.advanceTimersByTime(1_000)
  expect(FakeWebSocket.all).toHaveLength(2)
})

test('a heartbeat whose timeout is not below its rate never fired', () => {
  const socket = old({ heartbeatRate: 1_000, heartbeatTimeoutDuration: 1_000 })
  FakeWebSocket.last.accept()
  vi.advanceTimersByTime(2_000)
  expect(socket.state).toBe('waiting')
})

test('a message could not be made on an insecure origin, where there is no randomUUID', () => {
  vi.stubGlobal('crypto', { getRandomValues: crypto.getRandomValues.bind(crypto) })
  expect(new Message('a', 1).uuid).toHaveLength(36)
})

test('calls before the opening were refused, and messages thrown away', async () => {
  const socket = old()
  const answer = socket.sendAndWait(new Message('a', 1))
  socket.sendMessage(new Message('b', 2))
  const ws = FakeWebSocket.last.accept()
  expect(ws.routes).toEqual(['a', 'b'])
  ws.answers('well', { to: 0 })
  expect(await answer).toMatchObject({ success: true })
})

test('a timeout and a lost connection looked the same', async () => {
  const socket = old({ requestTimeout: 2_000, heartbeatRate: 1e9 })
  const ws = FakeWebSocket.last.accept()
  const late = socket.sendAndWait(new Message('a', 1))
  vi.advanceTimersByTime(2_000)
  expect(await late).toMatchObject({ message: null, success: false, error: { name: 'TimeoutError' } })
  const lost = socket.sendAndWait(new Message('a', 1))
  ws.hangsUp()
  expect(await lost).toMatchObject({ message: null, success: false, error: { name: 'ConnectionLostError' } })
})

test('it never came back after 1011, with which servers end a laptop’s sleep', () => {
  const socket = old()
  FakeWebSocket.last.accept().hangsUp(1011, 'keepalive ping timeout')
  vi.advanceTimersByTime(1_000)
  expect(socket.state).toBe('connecting')
})

test('five failures in a row, half a minute, and it was gone until the page was loaded again', () => {
  const socket = old()
  for (let i = 0; i < 50; i++) {
    FakeWebSocket.last.hangsUp()
    vi.advanceTimersToNextTimer()
  }
  FakeWebSocket.last.accept()
  expect(socket.state).toBe('open')
})
