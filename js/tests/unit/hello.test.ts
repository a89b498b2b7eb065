/** The greeting: when it is said, what its answer changes, and how a session is renewed before it ends. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ObservableSocket } from '../../src/index.js'
import { FakeWebSocket, go, openSocket, outcome, socketWith, still, URL } from '../support/fake.js'

beforeEach(still)
afterEach(go)

const settle = () => vi.advanceTimersByTimeAsync(0)
const info = { protocol: 1, features: ['stream'], session: 's1', heartbeat: 60, limits: { window: 8 } }

describe('$hello', () => {
  test('is the first frame of every line', () => {
    const socket = socketWith()
    void socket.call('waited').catch(() => {})
    for (let line = 0; line < 2; line++) {
      const ws = FakeWebSocket.last.accept()
      expect(JSON.parse(ws.written[0]!)).toEqual({
        uuid: expect.any(String),
        route: '$hello',
        headers: {},
        payload: { protocol: 1, client: 'js', features: ['calls', 'drain'] },
      })
      ws.hangsUp()
      vi.advanceTimersByTime(1_000)
    }
  })

  test('says what the page was built for, and the session whether it still fits', () => {
    const { socket, ws } = openSocket({ contract: { version: '1.4', hash: 'abc' } })
    const told = vi.fn()
    socket.on('error', told)
    expect(ws.hello!.payload).toMatchObject({ contract: { version: '1.4', hash: 'abc' } })
    ws.greets({ ...info, contract: { version: '2.0', hash: 'def', compatible: false } })
    expect(socket.session!.contract.compatible).toBe(false)
    expect(told).toHaveBeenCalledOnce()
  })

  test('is never said by the old signature, nor where it is turned off', () => {
    vi.stubGlobal('WebSocket', FakeWebSocket)
    new ObservableSocket('app', URL)
    FakeWebSocket.last.accept()
    openSocket({ hello: false })
    expect(FakeWebSocket.all.map(({ written }) => written)).toEqual([[], []])
  })

  test('has no headers of the socket, and nobody waits for its answer', async () => {
    const headers = () => {
      throw new Error('not for this')
    }
    const socket = socketWith({ headers, lazy: true, linger: 100 })
    socket.retain()()
    expect(FakeWebSocket.last.accept().hello!.headers).toEqual({})
    vi.advanceTimersByTime(100)
    expect(socket.state).toBe('idle')
  })

  test('a server of the base answers 404, and all is as it was', () => {
    const { socket, ws } = openSocket()
    const told = vi.fn()
    for (const event of ['error', 'push'] as const) socket.on(event, told)
    ws.greets({ message: 'no such route', code: 'not_found' }, 404)
    expect(told).not.toHaveBeenCalled()
    expect(socket.session).toBeUndefined()
    expect(socket.state).toBe('open')
  })

  test.each([401, 403, 503])('%i is an error', (status) => {
    const { socket, ws } = openSocket()
    const errors = vi.fn()
    socket.on('error', errors)
    ws.greets({ message: 'no' }, status)
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ route: '$hello', status, message: 'no' }))
  })

  test('tells the session of this line, and of no other', () => {
    const { socket, ws } = openSocket()
    expect(socket.session).toBeUndefined()
    ws.greets(info)
    expect(socket.session).toMatchObject({ session: 's1', features: ['stream'], limits: { window: 8 } })
    let inListener: unknown = 'not told'
    socket.on('close', () => (inListener = socket.session))
    ws.hangsUp()
    expect(inListener).toBeUndefined()
  })

  test.each([null, {}, 'hello', { heartbeat: 'often', expires_in: 'soon' }])('%j says nothing, and does no harm', (payload) => {
    const { socket, ws } = openSocket({ auth: undefined, heartbeat: false })
    ws.greets(payload)
    expect(socket.session).toBeUndefined()
    expect(vi.getTimerCount()).toBe(1)
  })

  test('a server that wants to be told more often is', () => {
    const { ws } = openSocket({ heartbeat: { rate: 600_000, timeout: 1_000 } })
    ws.greets({ ...info, heartbeat: 5 })
    vi.advanceTimersByTime(5_000)
    expect(ws.routes).toEqual(['PING'])
  })

  test('a server that is content with less is told as often as ever', () => {
    const { ws } = openSocket()
    ws.greets({ ...info, heartbeat: 600 })
    vi.advanceTimersByTime(25_000)
    expect(ws.routes).toEqual(['PING'])
  })
})

describe('a session that ends', () => {
  const authed = async (auth: () => unknown = () => 'token') => {
    const spy = vi.fn(auth)
    const socket = socketWith({ auth: spy as never, heartbeat: false })
    const errors = vi.fn()
    socket.on('error', errors)
    await settle()
    const ws = FakeWebSocket.last.accept()
    return { socket, ws, errors, auth: spy }
  }

  test('is renewed on the open socket, before it does, again and again', async () => {
    let n = 0
    const { socket, ws, errors } = await authed(() => `token ${++n}`)
    ws.greets({ ...info, expires_in: 100 })
    await vi.advanceTimersByTimeAsync(79_999)
    expect(n).toBe(1)
    await vi.advanceTimersByTimeAsync(10_001)
    expect(ws.frames).toEqual([{ uuid: expect.any(String), route: '$auth', headers: {}, payload: { token: 'token 2' } }])
    ws.answers({ expires_in: 1_000 })
    await vi.advanceTimersByTimeAsync(900_000)
    expect(ws.frames[1]!.payload).toEqual({ token: 'token 3' })
    ws.answers({ expires_in: null })
    await vi.advanceTimersByTimeAsync(1e9)
    expect(ws.texts).toHaveLength(2)
    expect(socket.session).toMatchObject({ session: 's1' })
    expect(errors).not.toHaveBeenCalled()
  })

  test('without auth is left to end', async () => {
    const { ws } = openSocket({ heartbeat: false })
    ws.greets({ ...info, expires_in: 10 })
    await vi.advanceTimersByTimeAsync(20_000)
    expect(ws.texts).toEqual([])
  })

  test('a longer life than a timer can have is no reason to ask at once', async () => {
    const { ws, auth } = await authed()
    ws.greets({ ...info, expires_in: 1e9 })
    await vi.advanceTimersByTimeAsync(1e9)
    expect(auth).toHaveBeenCalledOnce()
  })

  test('an auth that fails is an error, and is asked again before the end, and not for ever', async () => {
    let healthy = true
    const { ws, errors, auth } = await authed(async () => {
      if (!healthy) throw new Error('login server is down')
      return 'token'
    })
    ws.greets({ ...info, expires_in: 100 })
    healthy = false
    await vi.advanceTimersByTimeAsync(90_000)
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'login server is down' }))
    await vi.advanceTimersByTimeAsync(10_000)
    expect(errors).toHaveBeenCalledTimes(4)
    expect(auth).toHaveBeenCalledTimes(5)
    expect(vi.getTimerCount()).toBe(0)
    expect(ws.texts).toEqual([])
  })

  test('an auth that works again in time renews it', async () => {
    let tries = 0
    const { ws } = await authed(() => {
      if (++tries === 2) throw new Error('once')
      return `token ${tries}`
    })
    ws.greets({ ...info, expires_in: 100 })
    await vi.advanceTimersByTimeAsync(100_000)
    expect(ws.frames).toMatchObject([{ route: '$auth', payload: { token: 'token 3' } }])
  })

  test.each([401, 403, 503])('a token refused with %i is an error, and another is tried', async (status) => {
    const { ws, errors } = await authed()
    ws.greets({ ...info, expires_in: 100 })
    await vi.advanceTimersByTimeAsync(85_000)
    ws.answers({ message: 'refused' }, { status })
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ route: '$auth', status }))
    await vi.advanceTimersByTimeAsync(15_000)
    expect(ws.routes).toEqual(['$auth', '$auth'])
  })

  test('nobody signed in any more is not renewed', async () => {
    let token: string | null = 'token'
    const { ws, errors } = await authed(() => token)
    ws.greets({ ...info, expires_in: 100 })
    token = null
    await vi.advanceTimersByTimeAsync(100_000)
    expect(ws.texts).toEqual([])
    expect(errors).not.toHaveBeenCalled()
  })

  test('that ended comes back with a new token', async () => {
    let n = 0
    const { socket, ws } = await authed(() => `token ${++n}`)
    ws.greets({ ...info, expires_in: 0.05 })
    ws.hangsUp(4401, 'session ended')
    expect(socket.state).toBe('waiting')
    await vi.advanceTimersByTimeAsync(1_000)
    expect(FakeWebSocket.last.accept().hello!.payload.token).toBe('token 2')
  })

  test('a line that is lost takes its renewal with it', async () => {
    let give: (token: string) => void = () => {}
    let asked = 0
    const { socket, ws, errors } = await authed(() => (asked++ ? new Promise<string>((resolve) => (give = resolve)) : 'token'))
    ws.greets({ ...info, expires_in: 100 })
    await vi.advanceTimersByTimeAsync(85_000)
    expect(asked).toBe(2)
    ws.hangsUp()
    give('too late')
    await vi.advanceTimersByTimeAsync(1_000)
    give('in time')
    await settle()
    const next = FakeWebSocket.last.accept()
    expect([ws.texts, next.texts]).toEqual([[], []])
    expect(next.hello!.payload.token).toBe('in time')
    next.greets({ ...info, expires_in: 100 })
    socket.close()
    await vi.advanceTimersByTimeAsync(1e6)
    expect(asked).toBe(3)
    expect(errors).not.toHaveBeenCalled()
  })

  test('an auth that fails after its line is lost is nobody’s', async () => {
    let fail: (error: unknown) => void = () => {}
    let asked = 0
    const { socket, ws, errors } = await authed(() => (asked++ ? new Promise((_, reject) => (fail = reject)) : 'token'))
    ws.greets({ ...info, expires_in: 100 })
    await vi.advanceTimersByTimeAsync(85_000)
    socket.close()
    fail(new Error('too late'))
    await settle()
    expect(errors).not.toHaveBeenCalled()
    expect(vi.getTimerCount()).toBe(0)
  })
})

test('without hello, a token goes first as $auth, and is renewed all the same', async () => {
  let n = 0
  const socket = socketWith({ hello: false, auth: () => `token ${++n}`, heartbeat: false })
  const call = socket.call('r')
  await settle()
  const ws = FakeWebSocket.last.accept()
  expect(ws.routes).toEqual(['$auth', 'r'])
  ws.answers({ expires_in: 100 }, { to: 0 })
  ws.answers('well', { to: 1 })
  expect(await outcome(call)).toBe('well')
  await vi.advanceTimersByTimeAsync(85_000)
  expect(ws.frames[2]).toMatchObject({ route: '$auth', payload: { token: 'token 2' } })
  expect(socket.session).toBeUndefined()
})
