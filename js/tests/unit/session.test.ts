import { expect, test } from 'vitest'
import { QueueFullError } from '../../src/errors.js'
import { Session, type Call } from '../../src/session.js'
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
  const session = new Session(3, true)
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
  ['nothing', { uuid: '#', route: '$drain' }],
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

test('a server that was not told it may call pushes', () => {
  expect(does(new Session(1, false), { uuid: '#1', route: 'confirm' })).toBe('push')
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
  expect(session.waiting()).toEqual(calls)
})

test('calls wait in the order they came', () => {
  const { session, calls } = sessionWith('b', 'a', 'c')
  session.end(calls[1]!)
  expect(session.waiting().map(({ uuid }) => uuid)).toEqual(['b', 'c'])
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

test('the end of what was sent makes no room among those who wait', () => {
  const { session, calls } = sessionWith('a')
  session.sent(calls[0]!)
  session.end(calls[0]!)
  for (const uuid of ['b', 'c', 'd']) session.start(call(uuid))
  expect(() => session.start(call('e'))).toThrow(QueueFullError)
})

test('the protocol’s own calls are nobody’s wait', () => {
  const session = new Session(1, true)
  const own = call('a', { own: true })
  session.start(own)
  session.sent(own)
  expect(session.empty).toBe(true)
  expect(does(session, { uuid: 'a', status: 200 })).toBe('answer')
})

test('a call that wants no answer ends as it is sent', () => {
  const session = new Session(1, true)
  const told = call('a', { answer: undefined })
  session.start(told)
  expect(session.empty).toBe(false)
  session.sent(told)
  expect(session.empty).toBe(true)
})

test('a lost line ends what was sent; a closed socket, all', () => {
  const { session, calls } = sessionWith('a', 'b')
  session.sent(calls[0]!)
  expect(session.lost(false)).toEqual([calls[0]])
  expect(session.waiting()).toEqual([calls[1]])
  expect(session.lost(true)).toEqual([calls[1]])
  expect(session.empty).toBe(true)
})
