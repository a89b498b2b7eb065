import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { line as open, type Heartbeat } from '../../src/line.js'
import { FakeWebSocket, go, still } from '../support/fake.js'

beforeEach(still)
afterEach(go)

function lineWith(heartbeat: Heartbeat | false = { rate: 1_000, timeout: 300 }) {
  const ws = new FakeWebSocket('')
  const events = { open: vi.fn(), data: vi.fn(), down: vi.fn(), ping: () => 'PING' }
  const line = open(ws, heartbeat, events)
  return { ws, line, events }
}

test('it tells its opening, what arrives and its end, once each', () => {
  const { ws, events } = lineWith()
  ws.accept()
  ws.says('hello')
  ws.hangsUp(1012, 'restart')
  ws.onclose?.({ code: 1006, reason: '' })
  expect(events.open).toHaveBeenCalledOnce()
  expect(events.data).toHaveBeenCalledExactlyOnceWith('hello')
  expect(events.down).toHaveBeenCalledExactlyOnceWith(1012, 'restart')
})

test('a PING goes out after silence only', () => {
  const { ws } = lineWith()
  ws.accept()
  vi.advanceTimersByTime(900)
  ws.says({ any: 'frame' })
  vi.advanceTimersByTime(900)
  expect(ws.texts).toEqual([])
  vi.advanceTimersByTime(100)
  expect(ws.texts).toEqual(['PING'])
})

test('any frame after a PING is a sign of life', () => {
  const { ws, events } = lineWith()
  ws.accept()
  vi.advanceTimersByTime(1_000)
  ws.says({ uuid: '#', route: 'news' })
  vi.advanceTimersByTime(1_200)
  expect(events.down).not.toHaveBeenCalled()
  expect(ws.texts).toEqual(['PING', 'PING'])
})

test('who only listens says something once a minute all the same', () => {
  const { ws } = lineWith({ rate: 25_000, timeout: 10_000 })
  ws.accept()
  for (let second = 1; second < 120; second++) {
    vi.advanceTimersByTime(1_000)
    ws.says({ uuid: '#', route: 'tick' })
  }
  expect(ws.texts).toEqual(['PING'])
})

test.each([0, -1, NaN])('and more often, or from the first moment, where the other end wants it; %s says nothing', (ms) => {
  const { ws, line } = lineWith({ rate: 1e9, timeout: 1e9 })
  ws.accept()
  line.heed(ms)
  vi.advanceTimersByTime(120_000)
  expect(ws.texts).toEqual([])
  line.heed(20_000)
  vi.advanceTimersByTime(0)
  expect(ws.texts).toEqual(['PING'])
  ws.says('PONG')
  line.heed(10_000)
  vi.advanceTimersByTime(9_999)
  expect(ws.texts).toEqual(['PING'])
  vi.advanceTimersByTime(1)
  expect(ws.texts).toEqual(['PING', 'PING'])
})

test('a dead line is dropped at once, not when its close comes back', () => {
  const { ws, events } = lineWith()
  ws.accept()
  vi.advanceTimersByTime(1_299)
  expect(events.down).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(events.down).toHaveBeenCalledExactlyOnceWith(1006, 'no sign of life within 300 ms')
  ws.hangsUp()
  expect(events.down).toHaveBeenCalledOnce()
})

test('a PING timeout longer than the rate works too', () => {
  const { ws, events } = lineWith({ rate: 100, timeout: 1_000 })
  ws.accept()
  vi.advanceTimersByTime(1_099)
  expect(ws.texts).toEqual(['PING'])
  expect(events.down).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(events.down).toHaveBeenCalledOnce()
})

test('without heartbeat nothing is ever sent', () => {
  const { ws, line } = lineWith(false)
  ws.accept()
  vi.advanceTimersByTime(1e9)
  line.probe()
  expect(ws.texts).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
})

test('a probe asks now, unless the other end was heard lately or is asked already', () => {
  const { ws, line, events } = lineWith()
  ws.accept()
  line.probe()
  expect(ws.texts).toEqual([])
  vi.advanceTimersByTime(400)
  line.probe()
  line.probe()
  expect(ws.texts).toEqual(['PING'])
  vi.advanceTimersByTime(300)
  expect(events.down).toHaveBeenCalledOnce()
})

test('a probe before the opening asks nothing, and a slow handshake lives', () => {
  const { ws, line, events } = lineWith()
  line.probe()
  vi.advanceTimersByTime(5_000)
  expect(events.down).not.toHaveBeenCalled()
  ws.accept()
  expect(events.open).toHaveBeenCalledOnce()
})

test('what a closing socket would swallow is not counted as sent', () => {
  const { ws, line } = lineWith()
  expect(line.send('early')).toBe(false)
  ws.accept()
  expect(line.send('in time')).toBe(true)
  ws.readyState = 2
  expect(line.send('late')).toBe(false)
  expect(ws.texts).toEqual(['in time'])
})

test('an end is silent, says its code, and leaves no timer', () => {
  const { ws, line, events } = lineWith()
  ws.accept()
  line.end({ code: 4000, reason: 'bye' })
  expect(ws.closedWith).toEqual([4000, 'bye'])
  ws.hangsUp()
  expect(events.down).not.toHaveBeenCalled()
  expect(vi.getTimerCount()).toBe(0)
})

test('a code that cannot be said is not', () => {
  const { ws, line } = lineWith()
  ws.accept()
  line.end({ code: 1006, reason: '' })
  expect(ws.closedWith).toEqual([undefined, undefined])
})
