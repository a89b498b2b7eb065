/** The old client's API: its frames byte for byte, its callbacks, its configuration. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Message, ObservableSocket, socketConfig, StatusCodes, type SocketConfig } from '../../src/index.js'
import { FakeWebSocket, go, outcome, still, URL } from '../support/fake.js'

beforeEach(() => {
  still()
  vi.stubGlobal('WebSocket', FakeWebSocket)
})
afterEach(go)

function old(config?: Partial<SocketConfig>) {
  const onConnection = vi.fn()
  const onMessage = vi.fn()
  const socket = new ObservableSocket('app', URL, onConnection, onMessage, config)
  const ws = FakeWebSocket.last.accept()
  return { socket, ws, onConnection, onMessage }
}

describe('frames are the old ones, byte for byte', () => {
  test.each<[string, Message<any>, string]>([
    ['a payload', new Message('a', [1], undefined, 200, 'u'), '"headers":{},"payload":[1],"status":200}'],
    ['no payload', new Message('a', undefined, undefined, 200, 'u'), '"headers":{},"status":200}'],
    ['null', new Message('a', null, undefined, 200, 'u'), '"headers":{},"payload":null,"status":200}'],
    ['headers', new Message('a', 1, { h: 1 }, 200, 'u'), '"headers":{"h":1},"payload":1,"status":200}'],
    ['a status', new Message('a', 1, {}, StatusCodes.CREATED, 'u'), '"headers":{},"payload":1,"status":201}'],
  ])('%s', (_, message, rest) => {
    const { socket, ws } = old()
    socket.sendMessage(message)
    expect(ws.texts).toEqual([`{"uuid":"u","route":"a",${rest}`])
  })

  test('global headers come first and give way', () => {
    const { socket, ws } = old({ globalHeaders: { token: 'XYZ', h: 0 } })
    const message = new Message('a', 1, { h: 1 }, 200, 'u')
    socket.onResponse(message, () => {})
    expect(ws.texts).toEqual([
      '{"uuid":"u","route":"a","headers":{"token":"XYZ","h":1},"payload":1,"status":200}',
    ])
    expect(message.headers).toEqual({ token: 'XYZ', h: 1 })
  })

  test('PING, with the global headers', () => {
    const { ws } = old({ globalHeaders: { token: 'XYZ' } })
    vi.advanceTimersByTime(60_000)
    expect(ws.texts).toEqual([
      `{"uuid":"${ws.frames[0]!.uuid}","route":"PING","headers":{"token":"XYZ"},"payload":{},"status":200}`,
    ])
  })

  test('what a subclass of Message serializes is what is sent', () => {
    class Mine extends Message<number> {
      override serialize = () => `{"uuid":"${this.uuid}","mine":true}`
    }
    const { socket, ws } = old()
    socket.sendMessage(new Mine('a', 1, {}, 200, 'u'))
    expect(ws.texts).toEqual(['{"uuid":"u","mine":true}'])
  })

  test('no protocol of today is spoken unasked, not even when a call times out', async () => {
    const { socket, ws } = old({ requestTimeout: 2_000 })
    const late = socket.sendAndWait(new Message('a', 1))
    vi.advanceTimersByTime(2_000)
    await late
    expect(ws.routes).toEqual(['a'])
  })
})

describe('a message', () => {
  test('has the old defaults', () => {
    const message = new Message('a', { n: 1 })
    expect(message).toMatchObject({ route: 'a', payload: { n: 1 }, headers: undefined, status: 200 })
    expect(message.uuid).toHaveLength(36)
    expect(JSON.parse(message.serialize())).toEqual({ uuid: message.uuid, route: 'a', payload: { n: 1 }, status: 200 })
  })
})

describe('sendAndWait', () => {
  test.each([200, 402, 404, 500])('resolves with the first answer, %i as well', async (status) => {
    const { socket, ws } = old()
    const answer = socket.sendAndWait(new Message('a', 1))
    ws.answers('first', { status })
    ws.answers('second', { status })
    expect(await answer).toEqual({ message: expect.objectContaining({ payload: 'first', status }), success: true })
  })

  test('can be taken off its socket, as it always could', async () => {
    const { socket, ws } = old()
    const { sendAndWait } = socket
    const answer = sendAndWait(new Message('a', 1))
    ws.answers('well')
    expect((await answer).message?.payload).toBe('well')
  })

  test('rejects on a socket that is closed', async () => {
    const { socket } = old()
    socket.close()
    expect(await outcome(socket.sendAndWait(new Message('a', 1)))).toMatchObject({ name: 'ConnectionLostError' })
  })

  test('a message may be sent again once it is answered', async () => {
    const { socket, ws } = old()
    const message = new Message('a', 1)
    for (const n of [1, 2]) {
      const answer = socket.sendAndWait(message)
      ws.answers(n)
      expect((await answer).message?.payload).toBe(n)
    }
  })

  test('a message that is still on its way is refused, and keeps its answer', async () => {
    const { socket, ws } = old()
    const message = new Message('a', 1)
    const [first, second] = [socket.sendAndWait(message), socket.sendAndWait(message)]
    expect(await second).toMatchObject({ message: null, success: false, error: { name: 'SocketError' } })
    ws.answers('mine')
    expect((await first).message?.payload).toBe('mine')
  })
})

test('sendMessage on a closed socket is logged and does not throw', () => {
  const log = vi.spyOn(console, 'error').mockImplementation(() => {})
  const { socket } = old()
  socket.close()
  socket.sendMessage(new Message('a', 1))
  expect(log).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ name: 'ConnectionLostError' }))
})

test('onResponse calls back once, and the callback may send the same message again', () => {
  const { socket, ws } = old()
  const message = new Message('a', 1)
  const again = vi.fn()
  const first = vi.fn(() => socket.onResponse(message, again))
  socket.onResponse(message, first)
  ws.answers(1)
  ws.answers(2)
  expect(first).toHaveBeenCalledOnce()
  expect(again).toHaveBeenCalledExactlyOnceWith({ message: expect.objectContaining({ payload: 2 }), success: true })
})

test('the push callback sees every frame but PONG, answers too, before those who wait', async () => {
  const { socket, ws, onMessage } = old()
  const order: string[] = []
  onMessage.mockImplementation(({ message }) => order.push(message.payload))
  socket.onResponse(new Message('a', 1), () => order.push('waiting'))
  ws.answers('answer')
  ws.says({ uuid: 'x', route: 'PONG', headers: null, payload: null })
  ws.says({ uuid: '#', route: 'news', payload: 'push' })
  ws.says({ uuid: 7, status: 200, payload: 'whatever' })
  expect(order).toEqual(['answer', 'waiting', 'push', 'whatever'])
  expect(onMessage).toHaveBeenCalledWith({ message: { uuid: '#', route: 'news', payload: 'push' }, success: true })
})

test('a push callback that closes the socket: who waits is told once', () => {
  const { socket, ws } = old()
  const told = vi.fn()
  socket.onResponse(new Message('a', 1), told)
  socket.onMessageReceived = () => socket.close()
  ws.answers(1)
  expect(told).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ success: false }))
})

test('callbacks may be exchanged later, as properties', () => {
  const { socket, ws, onMessage } = old()
  const [message, connection] = [vi.fn(), vi.fn()]
  socket.onMessageReceived = message
  socket.onSocketConnectionChange = connection
  ws.says({ uuid: '#', route: 'news' })
  ws.hangsUp()
  expect(message).toHaveBeenCalledOnce()
  expect(onMessage).not.toHaveBeenCalled()
  expect(connection).toHaveBeenCalledExactlyOnceWith('app', false)
})

test('the connection callback gets the name, and true or false', () => {
  const { socket, onConnection, ws } = old()
  expect(onConnection.mock.calls).toEqual([['app', true]])
  ws.hangsUp()
  socket.close()
  expect(onConnection.mock.calls.slice(1)).toEqual([['app', false], ['app', false]])
})

test('the WebSocket of the moment is there at once, under its old name', () => {
  const socket = new ObservableSocket('app', URL)
  expect(socket.socket).toBe(FakeWebSocket.last)
  expect(socket.name).toBe('app')
  socket.close()
  expect(socket.socket).toBeUndefined()
})

test.each([
  [10, 2_000],
  [5_000, 5_000],
  [1e9, 1_800_000],
])('a requestTimeout of %i is kept as %i', async (requestTimeout, kept) => {
  const { socket } = old({ requestTimeout, heartbeatRate: 1e9 })
  const answer = socket.sendAndWait(new Message('a', 1))
  vi.advanceTimersByTime(kept - 1)
  expect(await outcome(answer)).toBe('pending')
  vi.advanceTimersByTime(1)
  expect(await outcome(answer)).toMatchObject({ success: false })
})

test('maxReconnectAttempts is kept where it is given', () => {
  const { socket, ws } = old({ maxReconnectAttempts: 1 })
  ws.hangsUp()
  vi.advanceTimersByTime(1_000)
  FakeWebSocket.last.hangsUp()
  expect(socket.state).toBe('closed')
})

test('socketConfig holds the defaults, and changing it changes them', () => {
  expect(socketConfig).toMatchObject({ requestTimeout: 30_000, heartbeatRate: 60_000, heartbeatTimeoutDuration: 59_000 })
  socketConfig.heartbeatRate = 1_000
  try {
    const { ws } = old()
    vi.advanceTimersByTime(1_000)
    expect(ws.routes).toEqual(['PING'])
  } finally {
    socketConfig.heartbeatRate = 60_000
  }
})

test('the new methods are there as well, on the same table of calls', async () => {
  const { socket, ws } = old({ globalHeaders: { token: 'XYZ' } })
  const call = socket.call('a', 1)
  expect(ws.frames).toMatchObject([{ route: 'a', headers: { token: 'XYZ' }, payload: 1 }])
  ws.answers('well')
  expect(await call).toBe('well')
})

test('statuses have their names, both ways', () => {
  expect(StatusCodes.PENDING).toBe(402)
  expect(StatusCodes[404]).toBe('NOT_FOUND')
})
