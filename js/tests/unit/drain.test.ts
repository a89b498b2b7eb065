/** A server that leaves: who was asked goes on to the next, and nothing is lost on the way. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { SocketOptions } from '../../src/index.js'
import { topics } from '../../src/topics.js'
import { FakeWebSocket, go, openSocket, outcome, still } from '../support/fake.js'

beforeEach(still)
afterEach(go)

/** The timers that are due, and those that they set. */
const soon = () => vi.advanceTimersByTime(1)
const turn = () => outcome(Promise.resolve())

function open(options: SocketOptions = {}) {
  const { socket, ws } = openSocket({ heartbeat: false, ...options })
  vi.advanceTimersByTime(5_000)
  return { socket, ws }
}

const drain = (ws: FakeWebSocket, within_ms: unknown = 10_000) =>
  ws.says({ uuid: '#', route: '$drain', headers: null, payload: { within_ms } })

describe('a server that leaves', () => {
  test('is left after a random part of the first half of its time, and another line is there at once', () => {
    const { socket, ws } = open()
    vi.mocked(Math.random).mockReturnValue(0.9)
    const seen: unknown[] = []
    socket.on('state', (state) => seen.push(state))
    socket.on('close', (close) => seen.push(close))
    drain(ws)
    vi.advanceTimersByTime(4_499)
    expect(seen).toEqual([])
    vi.advanceTimersByTime(1)
    expect(ws.closedWith).toEqual([1000, 'drained'])
    soon()
    expect(FakeWebSocket.all).toHaveLength(2)
    FakeWebSocket.last.accept()
    expect(seen).toEqual([
      'waiting',
      { code: 1000, reason: 'drained', reconnects: true },
      'connecting',
      'open',
    ])
  })

  test('gets nothing new; what is asked meanwhile goes over the next line, in order', async () => {
    const { socket, ws } = open()
    const running = socket.call('running')
    drain(ws)
    void socket.call('before').catch(() => {})
    soon()
    const a = socket.call('a')
    socket.notify('b')
    socket.stream('c').subscribe({ error() {} })
    void socket.call('d').catch(() => {})
    expect(ws.routes).toEqual(['running', 'before'])
    ws.answers('done', { to: 0 })
    expect(await running).toBe('done')
    expect(ws.closedWith).toBeUndefined()
    ws.answers('done', { to: 1 })
    expect(ws.closedWith).toEqual([1000, 'drained'])
    soon()
    const next = FakeWebSocket.last.accept()
    expect(next.routes).toEqual(['a', 'b', 'c', 'd'])
    next.answers('well', { to: 0 })
    expect(await a).toBe('well')
  })

  test('until then, all is as ever', async () => {
    const { socket, ws } = open()
    vi.mocked(Math.random).mockReturnValue(0.9)
    drain(ws)
    vi.advanceTimersByTime(4_000)
    const call = socket.call('r')
    ws.answers(1)
    expect(await call).toBe(1)
  })

  test('streams are read to their end, and acknowledged', async () => {
    const { socket, ws } = open()
    const told: unknown[] = []
    socket.stream('s', undefined, { window: 2 }).subscribe({ next: (item) => told.push(item), complete: () => told.push('end') })
    drain(ws)
    soon()
    ws.item(0, 'a')
    expect(ws.routes).toEqual(['s', '$ack'])
    ws.answers(null, { to: 0, headers: { $seq: 1 } })
    expect(told).toEqual(['a', 'end'])
    expect(ws.closedWith).toEqual([1000, 'drained'])
  })

  test('what is not answered when its time is over is lost, and said so', async () => {
    const { socket, ws } = open()
    const slow = socket.call('slow')
    slow.catch(() => {})
    const waits = () => socket.call('r')
    drain(ws)
    soon()
    const asked = waits()
    vi.advanceTimersByTime(9_998)
    expect(await outcome(slow)).toBe('pending')
    vi.advanceTimersByTime(1)
    expect(await outcome(slow)).toMatchObject({ name: 'ConnectionLostError', sent: true, code: 1000, reason: 'drained' })
    soon()
    FakeWebSocket.last.accept().answers('well')
    expect(await asked).toBe('well')
  })

  test('what is left ends it, too: by the server’s last word, or with its time', async () => {
    const { socket, ws } = open()
    const stop = new AbortController()
    void socket.call('slow', undefined, { signal: stop.signal }).catch(() => {})
    drain(ws)
    soon()
    stop.abort()
    expect(ws.routes).toEqual(['slow', '$cancel'])
    ws.answers({ message: 'cancelled' }, { status: 499, to: 0 })
    expect(ws.closedWith).toEqual([1000, 'drained'])
  })

  test('calls of the server are answered first', async () => {
    const { socket, ws } = open()
    let answer = (_: unknown) => {}
    socket.handle('confirm', () => new Promise((resolve) => (answer = resolve)))
    ws.says({ uuid: '#1', route: 'confirm', headers: {}, payload: null })
    drain(ws)
    soon()
    expect(ws.closedWith).toBeUndefined()
    answer('yes')
    await turn()
    expect(ws.frames).toEqual([{ uuid: '#1', status: 200, headers: {}, payload: 'yes' }])
    expect(ws.closedWith).toEqual([1000, 'drained'])
  })

  test('what such an answer needs goes over the line that waits for it', async () => {
    const { socket, ws } = open()
    socket.handle('confirm', () => socket.call('details'))
    void socket.call('slow').catch(() => {})
    drain(ws)
    soon()
    void socket.call('waits').catch(() => {})
    ws.says({ uuid: '#1', route: 'confirm', headers: {}, payload: null })
    await turn()
    expect(ws.routes).toEqual(['slow', 'details'])
    ws.answers('yes')
    await turn()
    expect(ws.frames.at(-1)).toMatchObject({ uuid: '#1', payload: 'yes' })
    ws.answers('done', { to: 0 })
    expect(ws.closedWith).toEqual([1000, 'drained'])
  })

  test('topics go on from where they stood', async () => {
    const { socket, ws } = open({ topics })
    const told: unknown[] = []
    socket.subscribe('news', { onGap: () => told.push('gap') }).subscribe((event) => told.push(event))
    await turn()
    ws.answers({ topics: [{ topic: 'news', status: 200, epoch: 'e', offset: 7, recovered: false, missed: [] }] })
    void socket.call('slow').catch(() => {})
    drain(ws)
    soon()
    // A topic that is taken up or left now is taken up or left on the next line.
    socket.subscribe('more').subscribe()
    await turn()
    ws.says({ uuid: '#news', route: 'news', headers: { $epoch: 'e', $offset: 8 }, payload: 8 })
    expect(ws.routes).toEqual(['$sub', 'slow'])
    ws.answers(null, { to: 1 })
    soon()
    const next = FakeWebSocket.last.accept()
    await turn()
    expect(next.frames.map(({ payload }) => payload)).toEqual([
      { topics: [{ topic: 'news', recover: { epoch: 'e', offset: 8 } }, { topic: 'more' }] },
    ])
    expect(told).toEqual([8])
  })

  test('said again, it changes nothing', () => {
    const { socket, ws } = open()
    void socket.call('slow').catch(() => {})
    drain(ws)
    vi.advanceTimersByTime(5_000)
    drain(ws)
    drain(ws, 60_000)
    vi.advanceTimersByTime(5_001)
    expect(ws.closedWith).toEqual([1000, 'drained'])
  })

  test('is nobody’s push', () => {
    const { socket, ws } = open()
    const pushed = vi.fn()
    socket.on('push', pushed)
    drain(ws)
    expect(pushed).not.toHaveBeenCalled()
  })

  test('if there is no other yet, the usual waits follow', () => {
    const { ws } = open()
    drain(ws)
    soon()
    expect(FakeWebSocket.all).toHaveLength(2)
    FakeWebSocket.last.hangsUp()
    vi.advanceTimersByTime(999)
    expect(FakeWebSocket.all).toHaveLength(2)
    vi.advanceTimersByTime(1)
    expect(FakeWebSocket.all).toHaveLength(3)
  })

  test('one that sends all away as they come is not hammered', () => {
    const { ws } = open()
    const waits: number[] = []
    for (let line = ws; waits.length < 5; ) {
      drain(line)
      vi.advanceTimersByTime(0)
      const left = Date.now()
      while (FakeWebSocket.last === line) soon()
      waits.push(Date.now() - left)
      line = FakeWebSocket.last.accept()
    }
    expect(waits).toEqual([1, 1_000, 2_000, 4_000, 8_000])
  })

  test.each([undefined, null, 'soon', -1, 0])('one that gives %j ms is left to go by itself', (within_ms) => {
    const { socket, ws } = open()
    ws.says({ uuid: '#', route: '$drain', headers: null, payload: within_ms === undefined ? null : { within_ms } })
    vi.advanceTimersByTime(60_000)
    expect(socket.state).toBe('open')
    expect(ws.closedWith).toBeUndefined()
  })

  test('one that goes before its time is a lost line like any other', () => {
    const { socket, ws } = open()
    drain(ws)
    ws.hangsUp(1012)
    expect(socket.state).toBe('waiting')
    vi.advanceTimersByTime(500)
    FakeWebSocket.last.accept()
    vi.advanceTimersByTime(60_000)
    expect(FakeWebSocket.all).toHaveLength(2)
    expect(FakeWebSocket.last.closedWith).toBeUndefined()
  })

  test('a socket that closes meanwhile stays closed, and leaves no timer', () => {
    const { socket, ws } = open()
    void socket.call('slow').catch(() => {})
    drain(ws)
    soon()
    socket.close()
    expect(vi.getTimerCount()).toBe(0)
    vi.advanceTimersByTime(60_000)
    expect(FakeWebSocket.all).toHaveLength(1)
  })
})

test('who does not say that it heeds it is not bothered', () => {
  const { socket, ws } = open({ hello: false })
  drain(ws)
  vi.advanceTimersByTime(60_000)
  expect(socket.state).toBe('open')
})
