import { expect, test } from 'vitest'
import { QueueFullError } from '../../src/errors.js'
import { session as sessionOf, type Call, type Session } from '../../src/session.js'
import type { Frame } from '../../src/wire.js'

const call = (uuid: string, more: Partial<Call> = {}): Call => ({
  uuid,
  text: uuid,
  sent: false,
  answer() {},
  fail() {},
  ...more,
})

function sessionWith(...uuids: string[]) {
  const session = sessionOf(3, true)
  const calls = uuids.map((uuid) => call(uuid))
  for (const one of calls) session.start(one)
  return { session, calls }
}

const does = (session: Session, frame: Frame) => {
  const step = session.receive(frame)
  return typeof step === 'object' ? 'answer' : step
}

test.each<[string, Frame]>([
  ['answer', { uuid: '7', status: 200 }],
  ['answer', { uuid: '7', status: 402 }],
  ['answer', { uuid: '7', status: 500, route: 'some servers repeat it' }],
  ['nothing', { uuid: 7, status: 200 }],
  ['nothing', { uuid: 'too late', status: 200 }],
  ['nothing', { uuid: '7', route: 'PONG' }],
  ['drain', { uuid: '#', route: '$drain' }],
  ['nothing', { uuid: '#', route: '$later' }],
  ['nothing', {}],
  ['push', { uuid: '#', route: 'news' }],
  ['push', { uuid: '#orders/42', route: 'orders/42', headers: { $offset: 1 } }],
  ['push', { uuid: '#orders/42', route: '$gap' }],
  ['serve', { uuid: '#1', route: 'confirm' }],
  ['serve', { uuid: '#1', route: '$later' }],
  ['desist', { uuid: '#1', route: '$cancel' }],
  ['nothing', { uuid: '#', route: '$cancel' }],
  ['nothing', { uuid: '#1', status: 200 }],
  ['push', { route: 'news' }],
  ['complain', { uuid: 0, status: 400 }],
  ['nothing', { uuid: 0, status: 200 }],
])('%s is what becomes of %j', (step, frame) => {
  const { session, calls } = sessionWith('7')
  session.sent(calls[0]!)
  expect(does(session, frame)).toBe(step)
})

test('a server that was not told what this client can do pushes, and does no more', () => {
  expect(does(sessionOf(1, false), { uuid: '#1', route: 'confirm' })).toBe('push')
  expect(does(sessionOf(1, false), { uuid: '#', route: '$drain' })).toBe('nothing')
})

test('an answer to what was never sent is nobody’s', () => {
  expect(does(sessionWith('7').session, { uuid: '7', status: 200 })).toBe('nothing')
})

test('a uuid in use is refused, and the first call keeps it', () => {
  const { session, calls } = sessionWith('a')
  expect(() => session.start(call('a'))).toThrow('uuid a is in use')
  session.sent(calls[0]!)
  expect(session.receive({ uuid: 'a', status: 200 })).toBe(calls[0])
})

test('ending a call that was refused does not end the first', () => {
  const { session, calls } = sessionWith('a')
  session.end(call('a'))
  expect([...session.waiting]).toEqual(calls)
})

test('calls wait in the order they came', () => {
  const { session, calls } = sessionWith('b', 'a', 'c')
  session.end(calls[1]!)
  expect([...session.waiting].map(({ uuid }) => uuid)).toEqual(['b', 'c'])
})

test('only so many wait, and what was sent does not count', () => {
  const { session, calls } = sessionWith('a', 'b', 'c')
  expect(() => session.start(call('d'))).toThrow(QueueFullError)
  session.sent(calls[0]!)
  session.start(call('d'))
  expect(() => session.start(call('e'))).toThrow(QueueFullError)
  session.end(calls[1]!)
  session.start(call('e'))
  session.start(call('own', { own: true }))
})

test('only the queue for a line is bounded: on an open one, calls wait for a place', () => {
  const { session } = sessionWith('a', 'b', 'c')
  session.start(call('d'), true)
  expect(() => session.start(call('e'))).toThrow(QueueFullError)
})

test('a server is given so many calls of its kind at once as it says', () => {
  const session = sessionOf(9, true)
  const [a, b, c] = ['a', 'b', 'c'].map((uuid) => call(uuid, { counts: true })) as [Call, Call, Call]
  session.most = 2
  for (const one of [a, b, c]) session.start(one)
  const full = () => [session.full(c), !!session.full(call('a stream'))]
  session.sent(a)
  expect(full()).toEqual([false, false])
  session.sent(b)
  expect(full()).toEqual([true, false])
  session.end(b)
  session.end(b)
  expect(full()).toEqual([false, false])
  session.end(c)
  expect(full()).toEqual([false, false])
})

test('before it says so, it is given 64; where nobody asks it, any number', () => {
  const full = (greets: boolean, count: number) => {
    const session = sessionOf(1, greets)
    for (let i = 0; i < count; i++) {
      const one = call(`${i}`, { counts: true })
      session.start(one)
      session.sent(one)
    }
    return session.full(call('next', { counts: true }))
  }
  expect([full(true, 63), full(true, 64), full(false, 1_000)]).toEqual([false, true, false])
})

test('quiet is who waits for no answer; and, of what was sent, who waits for none on this line', () => {
  const { session, calls } = sessionWith('a')
  expect([session.quiet(), session.quiet(true)]).toEqual([false, true])
  session.sent(calls[0]!)
  expect([session.quiet(), session.quiet(true)]).toEqual([false, false])
})

test('the end of what was sent makes no room among those who wait', () => {
  const { session, calls } = sessionWith('a')
  session.sent(calls[0]!)
  session.end(calls[0]!)
  for (const uuid of ['b', 'c', 'd']) session.start(call(uuid))
  expect(() => session.start(call('e'))).toThrow(QueueFullError)
})

test('the protocol’s own calls are nobody’s wait', () => {
  const session = sessionOf(1, true)
  const own = call('a', { own: true })
  session.start(own)
  session.sent(own)
  expect(session.quiet()).toBe(true)
  expect(does(session, { uuid: 'a', status: 200 })).toBe('answer')
})

test('a call that wants no answer ends as it is sent', () => {
  const session = sessionOf(1, true)
  const told = call('a', { answer: undefined })
  session.start(told)
  expect(session.quiet()).toBe(false)
  session.sent(told)
  expect(session.quiet()).toBe(true)
})

test('a lost line ends what was sent; a closed socket, all', () => {
  const { session, calls } = sessionWith('a', 'b')
  session.sent(calls[0]!)
  expect(session.lost(false)).toEqual([calls[0]])
  expect([...session.waiting]).toEqual([calls[1]])
  expect(session.lost(true)).toEqual([calls[1]])
  expect(session.quiet()).toBe(true)
})
