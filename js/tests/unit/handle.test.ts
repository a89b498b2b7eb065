/** Calls from the server: who answers them, with what, and when not. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ObservableSocket, ResponseError } from '../../src/index.js'
import { FakeWebSocket, go, openSocket, socketWith, still, URL } from '../support/fake.js'

beforeEach(still)
afterEach(go)

const settle = () => vi.advanceTimersByTimeAsync(0)
const confirm = (ws: FakeWebSocket, uuid = '#1', more = {}) =>
  ws.says({ uuid, route: 'confirm', headers: { a: 1 }, payload: 'sure?', ...more })

describe('an answer', () => {
  test('is what the handler returns, at once or later', async () => {
    const { socket, ws } = openSocket()
    const handler = vi.fn(async () => ({ yes: true }))
    socket.handle('confirm', handler)
    socket.handle('now', (payload) => payload)
    confirm(ws)
    ws.says({ uuid: '#2', route: 'now', payload: 0 })
    await settle()
    expect(handler).toHaveBeenCalledExactlyOnceWith('sure?', { headers: { a: 1 }, signal: expect.any(AbortSignal) })
    expect(ws.frames).toHaveLength(2)
    expect(ws.frames).toContainEqual({ uuid: '#1', status: 200, headers: {}, payload: { yes: true } })
    expect(ws.frames).toContainEqual({ uuid: '#2', status: 200, headers: {}, payload: 0 })
  })

  test('to an unknown route is 404', async () => {
    const { ws } = openSocket()
    confirm(ws)
    ws.says({ uuid: '#2', route: '$unknown' })
    await settle()
    expect(ws.frames).toMatchObject([
      { uuid: '#1', status: 404, payload: { message: 'no such route', code: 'not_found' } },
      { uuid: '#2', status: 404, payload: { code: 'not_found' } },
    ])
  })

  test.each<[string, unknown, number, unknown]>([
    ['a ResponseError', new ResponseError('r', 409, {}, { message: 'busy', code: 'busy' }), 409, { message: 'busy', code: 'busy' }],
    ['a status and a payload', { status: 422, payload: null }, 422, null],
  ])('is what %s says', async (_, thrown, status, payload) => {
    const { socket, ws } = openSocket()
    const errors = vi.fn()
    socket.on('error', errors)
    socket.handle('confirm', () => {
      throw thrown
    })
    confirm(ws)
    await settle()
    expect(ws.frames).toEqual([{ uuid: '#1', status, headers: {}, payload }])
    expect(errors).not.toHaveBeenCalled()
  })

  test.each<[string, unknown]>([
    ['an error', new Error('a secret of the client')],
    ['nothing', undefined],
    ['a status alone', { status: 404, message: 'of some fetch' }],
    ['a status that is none', { status: 99, payload: null }],
    ['a status beyond', { status: 600, payload: null }],
    ['a status in words', { status: 'bad', payload: null }],
    ['a payload that is no JSON', { status: 409, payload: 1n }],
  ])('is 500 and no more where %s is thrown, and an error here', async (_, thrown) => {
    const { socket, ws } = openSocket()
    const errors = vi.fn()
    socket.on('error', errors)
    socket.handle('confirm', async () => {
      throw thrown
    })
    confirm(ws)
    await settle()
    expect(ws.frames).toMatchObject([{ uuid: '#1', status: 500, payload: { message: 'confirm failed' } }])
    expect(ws.texts[0]).not.toContain('secret')
    expect(errors).toHaveBeenCalledOnce()
  })

  test('that is no JSON is 500, and says which', async () => {
    const { socket, ws } = openSocket()
    socket.on('error', () => {})
    socket.handle('confirm', () => 1n)
    socket.handle('broken', () => {
      throw new Error()
    })
    confirm(ws)
    ws.says({ uuid: '#2', route: 'broken' })
    await settle()
    expect(ws.frames.map(({ payload }) => payload.code).sort()).toEqual(['internal', 'unserialisable'])
  })

  test('goes over the line of its call, or nowhere', async () => {
    const { socket, ws } = openSocket()
    let give: (answer: string) => void = () => {}
    const signals: AbortSignal[] = []
    socket.handle('confirm', (_, { signal }) => (signals.push(signal), new Promise((resolve) => (give = resolve))))
    confirm(ws)
    ws.hangsUp()
    expect(signals[0]!.aborted).toBe(true)
    await vi.advanceTimersByTimeAsync(1_000)
    const next = FakeWebSocket.last.accept()
    give('late')
    await settle()
    expect([ws.texts, next.texts]).toEqual([[], []])
    confirm(next)
    give('in time')
    await settle()
    expect(next.frames).toMatchObject([{ uuid: '#1', payload: 'in time' }])
  })
})

describe('a server that no longer waits', () => {
  test('aborts the signal, and is not answered', async () => {
    const { socket, ws } = openSocket()
    const errors = vi.fn()
    socket.on('error', errors)
    const signals: AbortSignal[] = []
    socket.handle('confirm', (_, { signal }) => {
      signals.push(signal)
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    confirm(ws)
    confirm(ws, '#2')
    ws.says({ uuid: '#1', route: '$cancel' })
    await settle()
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
    expect(ws.texts).toEqual([])
    expect(errors).not.toHaveBeenCalled()
  })

  test('after the answer, twice, or of a call that never was: nothing', async () => {
    const { socket, ws } = openSocket()
    let aborted = false
    socket.handle('confirm', (_, { signal }) => (signal.addEventListener('abort', () => (aborted = true)), 'yes'))
    confirm(ws)
    await settle()
    for (const uuid of ['#1', '#1', '#9']) ws.says({ uuid, route: '$cancel' })
    await settle()
    expect(aborted).toBe(false)
    expect(ws.frames).toHaveLength(1)
  })

  test('may call again under the same uuid', async () => {
    const { socket, ws } = openSocket()
    const give: ((answer: string) => void)[] = []
    socket.handle('confirm', () => new Promise<string>((resolve) => give.push(resolve)))
    confirm(ws)
    ws.says({ uuid: '#1', route: '$cancel' })
    confirm(ws)
    give[0]!('of the first')
    await settle()
    expect(ws.texts).toEqual([])
    give[1]!('of the second')
    await settle()
    expect(ws.frames).toMatchObject([{ uuid: '#1', payload: 'of the second' }])
  })
})

describe('a handler', () => {
  test('is the only one of its route, until it is undone', async () => {
    const { socket, ws } = openSocket()
    const first = () => 'first'
    const off = socket.handle('confirm', first)
    expect(() => socket.handle('confirm', () => 'second')).toThrow('confirm is handled already')
    off()
    const again = socket.handle('confirm', first)
    off()
    confirm(ws)
    await settle()
    expect(ws.frames).toMatchObject([{ payload: 'first' }])
    again()
    confirm(ws, '#2')
    await settle()
    expect(ws.frames[1]).toMatchObject({ status: 404 })
  })

  test('is undone by its signal, also by one that came too early', async () => {
    const { socket, ws } = openSocket()
    const stop = new AbortController()
    socket.handle('confirm', () => 'yes', { signal: stop.signal })
    stop.abort()
    socket.handle('confirm', () => 'yes', { signal: stop.signal })
    confirm(ws)
    await settle()
    expect(ws.frames).toMatchObject([{ status: 404 }])
  })

  test('undone while it works, still answers', async () => {
    const { socket, ws } = openSocket()
    const off = socket.handle('confirm', async () => 'yes')
    confirm(ws)
    off()
    await settle()
    expect(ws.frames).toMatchObject([{ status: 200, payload: 'yes' }])
  })

  test('at work keeps a lazy socket from going idle', async () => {
    const socket = socketWith({ lazy: true, linger: 100 })
    socket.retain()()
    const ws = FakeWebSocket.last.accept()
    let give: (answer: string) => void = () => {}
    socket.handle('confirm', () => new Promise<string>((resolve) => (give = resolve)))
    confirm(ws)
    await vi.advanceTimersByTimeAsync(150)
    expect(socket.state).toBe('open')
    give('yes')
    await vi.advanceTimersByTimeAsync(100)
    expect(socket.state).toBe('idle')
    expect(ws.frames).toMatchObject([{ payload: 'yes' }])
  })
})

test('a server that was not told it may call is not answered', async () => {
  vi.stubGlobal('WebSocket', FakeWebSocket)
  const pushed = vi.fn()
  for (const socket of [openSocket({ hello: false }).socket, new ObservableSocket('app', URL)]) {
    socket.on('push', pushed)
    socket.handle('confirm', () => 'yes')
  }
  FakeWebSocket.last.accept()
  for (const ws of FakeWebSocket.all) confirm(ws)
  await settle()
  expect(FakeWebSocket.all.map(({ written }) => written)).toEqual([[], []])
  expect(pushed).toHaveBeenCalledTimes(2)
})

test('a push is no call, and its listeners hear of no call', async () => {
  const { socket, ws } = openSocket()
  const pushed = vi.fn()
  socket.on('push', pushed)
  socket.handle('news', () => 'no answer to a push')
  ws.says({ uuid: '#', route: 'news', payload: 1 })
  confirm(ws)
  await settle()
  expect(pushed).toHaveBeenCalledExactlyOnceWith({ route: 'news', headers: {}, payload: 1 })
  expect(ws.frames).toMatchObject([{ uuid: '#1', status: 404 }])
})
