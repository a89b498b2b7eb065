/** Topics: what is asked of the server and when, what reaches whom, and that nothing is lost in silence or told twice. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Message, ObservableSocket, type Gap, type SocketOptions, type SubscribeOptions } from '../../src/index.js'
import { topics } from '../../src/topics.js'
import { FakeWebSocket, go, openSocket, outcome, socketWith, still } from '../support/fake.js'

beforeEach(still)
afterEach(go)

const open = (options: SocketOptions = {}) => openSocket({ topics, heartbeat: false, ...options })
const turn = () => outcome(Promise.resolve())
const at = (offset: number, epoch = 'e') => ({ epoch, offset })

/** One that listens, and all it was told, in order. */
function listen(socket: ObservableSocket, topic: string, more: Partial<SubscribeOptions> = {}) {
  const told: unknown[] = []
  const subscription = socket
    .subscribe(topic, {
      onGap: ({ topic, reloadAfterMs }) => told.push(['gap', topic, reloadAfterMs]),
      onSubscribed: (snapshot) => told.push(snapshot === undefined ? 'subscribed' : ['snapshot', snapshot]),
      ...more,
    })
    .subscribe({ next: (event) => told.push(event), error: (error) => told.push(error), complete: () => told.push('end') })
  return { told, ...subscription }
}

function event(ws: FakeWebSocket, topic: string, payload: unknown, offset?: number, epoch = 'e') {
  const headers = offset === undefined ? {} : { $epoch: epoch, $offset: offset }
  ws.says({ uuid: `#${topic}`, route: topic, headers, payload })
}

function lose(ws: FakeWebSocket, topic: string, offset: number, payload: object = { reload_after_ms: 1730 }, epoch = 'e') {
  ws.says({ uuid: `#${topic}`, route: '$gap', headers: { $epoch: epoch, $offset: offset }, payload: { topic, ...payload } })
}

/** Answers the latest `$sub`, topic by topic. */
function joins(ws: FakeWebSocket, ...told: object[]) {
  const to = ws.routes.lastIndexOf('$sub')
  const wanted = ws.frames[to]!.payload.topics
  ws.answers(
    { topics: told.map((one, i) => ({ topic: wanted[i].topic, status: 200, recovered: false, missed: [], ...one })) },
    { to },
  )
}

/** A connection in place of the one that is lost. */
async function comeBack(code = 1006) {
  const old = FakeWebSocket.last
  old.hangsUp(code)
  while (FakeWebSocket.last === old) vi.advanceTimersByTime(100)
  const ws = FakeWebSocket.last.accept()
  await turn()
  return ws
}

async function joined(topic = 'news', position = at(17), more: object = {}) {
  const { socket, ws } = open()
  const one = listen(socket, topic)
  await turn()
  joins(ws, { ...position, ...more })
  return { socket, ws, ...one }
}

describe('a subscription', () => {
  test('is one $sub, and its events come behind the answer', async () => {
    const { socket, ws } = open()
    const pushed = vi.fn()
    socket.on('push', pushed)
    const { told } = listen(socket, 'orders/42')
    expect(ws.routes).toEqual([])
    await turn()
    expect(ws.frames).toEqual([
      { uuid: expect.any(String), route: '$sub', headers: {}, payload: { topics: [{ topic: 'orders/42' }] } },
    ])
    joins(ws, at(17))
    event(ws, 'orders/42', { state: 'shipped' }, 18)
    event(ws, 'orders/42', null, 19)
    expect(told).toEqual(['subscribed', { state: 'shipped' }, null])
    expect(pushed).not.toHaveBeenCalled()
    // No call of the server either, though its uuid looks like one.
    expect(ws.routes).toEqual(['$sub'])
  })

  test('is cold: nothing is asked before somebody takes it', async () => {
    const { socket, ws } = open()
    const source = socket.subscribe('news')
    await turn()
    expect(ws.routes).toEqual([])
    source.subscribe()
    await turn()
    expect(ws.routes).toEqual(['$sub'])
  })

  test('is taken by for await too, and break leaves', async () => {
    const { socket, ws } = open()
    const seen: unknown[] = []
    const loop = (async () => {
      for await (const event of socket.subscribe('news')) {
        seen.push(event)
        if (event === 'c') break
      }
    })()
    await turn()
    joins(ws, at(0))
    event(ws, 'news', 'a', 1)
    event(ws, 'news', 'b', 2)
    await turn()
    event(ws, 'news', 'c', 3)
    await loop
    await turn()
    event(ws, 'news', 'd', 4)
    expect(seen).toEqual(['a', 'b', 'c'])
    expect(ws.frames.map(({ route, payload }) => [route, payload])).toEqual([
      ['$sub', { topics: [{ topic: 'news' }] }],
      ['$unsub', { topic: 'news' }],
    ])
  })

  test('waits for a connection, and opens a lazy one, which rests after the last', async () => {
    const socket = socketWith({ topics, lazy: true, heartbeat: false })
    const one = listen(socket, 'news')
    await turn()
    const ws = FakeWebSocket.last.accept()
    joins(ws, at(1))
    vi.advanceTimersByTime(60_000)
    expect(socket.state).toBe('open')
    event(ws, 'news', 'a', 2)
    expect(one.told).toEqual(['subscribed', 'a'])
    one.unsubscribe()
    await turn()
    ws.answers({})
    vi.advanceTimersByTime(1_000)
    expect(socket.state).toBe('idle')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('many of one turn share one frame', async () => {
    const { socket, ws } = open()
    const [a, b] = [listen(socket, 'a'), listen(socket, 'b')]
    await turn()
    expect(ws.frames.map(({ payload }) => payload)).toEqual([{ topics: [{ topic: 'a' }, { topic: 'b' }] }])
    joins(ws, at(1), { status: 403, message: 'no', code: 'forbidden' })
    expect(a.told).toEqual(['subscribed'])
    expect(b.told).toEqual([expect.objectContaining({ name: 'ResponseError', route: 'b', status: 403, code: 'forbidden' })])
    await turn()
    expect(ws.routes).toEqual(['$sub'])
  })

  test('that is undone in the same turn is never asked for', async () => {
    const { socket, ws } = open()
    listen(socket, 'news').unsubscribe()
    const { told } = listen(socket, 'news')
    listen(socket, 'other').unsubscribe()
    await turn()
    expect(ws.frames.map(({ payload }) => payload)).toEqual([{ topics: [{ topic: 'news' }] }])
    joins(ws, at(1))
    expect(told).toEqual(['subscribed'])
  })

  test('a frame of another kind under its name is not for it', async () => {
    const { socket, ws, told } = await joined('confirm')
    const pushed = vi.fn()
    socket.on('push', pushed)
    socket.handle('confirm', () => 'yes')
    ws.says({ uuid: '#', route: 'confirm', payload: 1 })
    ws.says({ uuid: '#7', route: 'confirm', payload: 2 })
    await turn()
    expect(told).toEqual(['subscribed'])
    expect(pushed).toHaveBeenCalledExactlyOnceWith({ route: 'confirm', headers: {}, payload: 1 })
    expect(ws.frames.at(-1)).toMatchObject({ uuid: '#7', status: 200, payload: 'yes' })
  })

  test('what nobody here listens to is a push, and never answered', async () => {
    const { socket, ws } = open()
    const pushed = vi.fn()
    socket.on('push', pushed)
    event(ws, 'news', 1, 3)
    lose(ws, 'news', 5)
    await turn()
    expect(pushed.mock.calls.map(([{ route }]) => route)).toEqual(['news', '$gap'])
    expect(ws.routes).toEqual([])
  })

  test('one that throws hurts no other', async () => {
    const { socket, ws } = open()
    const reported = vi.fn()
    vi.stubGlobal('reportError', reported)
    socket.subscribe('news').subscribe(() => {
      throw new Error('mine')
    })
    const { told } = listen(socket, 'news')
    await turn()
    joins(ws, at(0))
    event(ws, 'news', 'a', 1)
    expect(told).toEqual(['subscribed', 'a'])
    expect(reported).toHaveBeenCalledOnce()
  })

  test('wants the option, and says what to give; to publish, nothing is wanted', async () => {
    const { socket, ws } = openSocket()
    expect(() => socket.subscribe('news')).toThrow('subscribe wants { topics } of fastapi-observable-socket/topics')
    const published = socket.publish('news', 1)
    ws.answers(at(1))
    expect(await published).toEqual(at(1))
  })
})

describe('several of one topic', () => {
  test('share one $sub, and the last to leave sends one $unsub', async () => {
    const { socket, ws } = open()
    const [a, b] = [listen(socket, 'news'), listen(socket, 'news')]
    await turn()
    expect(ws.frames[0]!.payload).toEqual({ topics: [{ topic: 'news' }] })
    joins(ws, at(0))
    event(ws, 'news', 1, 1)
    a.unsubscribe()
    a.unsubscribe()
    await turn()
    event(ws, 'news', 2, 2)
    expect([a.told, b.told]).toEqual([['subscribed', 1], ['subscribed', 1, 2]])
    expect(ws.routes).toEqual(['$sub'])
    b.unsubscribe()
    await turn()
    expect(ws.routes).toEqual(['$sub', '$unsub'])
  })

  test('one that comes later gets what comes from then on, and asks nothing where there is no state', async () => {
    const { socket, ws, told } = await joined('news', at(0))
    event(ws, 'news', 1, 1)
    const late = listen(socket, 'news')
    await turn()
    expect(late.told).toEqual(['subscribed'])
    event(ws, 'news', 2, 2)
    expect([told, late.told]).toEqual([['subscribed', 1, 2], ['subscribed', 2]])
    expect(ws.routes).toEqual(['$sub'])
  })

  test('one that comes later to a topic with a state gets it, and nothing before it; so do the others', async () => {
    const { socket, ws, told } = await joined('board', at(3), { snapshot: { n: 3 } })
    expect(told).toEqual([['snapshot', { n: 3 }]])
    const late = listen(socket, 'board')
    await turn()
    expect(ws.frames[1]!.payload).toEqual({ topics: [{ topic: 'board' }] })
    event(ws, 'board', 'n is 4', 4)
    joins(ws, { ...at(4), snapshot: { n: 4 } })
    event(ws, 'board', 'n is 5', 5)
    expect(told).toEqual([['snapshot', { n: 3 }], 'n is 4', ['snapshot', { n: 4 }], 'n is 5'])
    expect(late.told).toEqual([['snapshot', { n: 4 }], 'n is 5'])
    await turn()
    expect(ws.routes).toEqual(['$sub', '$sub'])
  })

  test('if an event fell out as the subscription was replaced, those before are told of a gap', async () => {
    const { socket, ws, told } = await joined('board', at(3), { snapshot: 3 })
    const late = listen(socket, 'board')
    await turn()
    joins(ws, { ...at(5), snapshot: 5 })
    expect(told).toEqual([['snapshot', 3], ['gap', 'board', 0], ['snapshot', 5]])
    expect(late.told).toEqual([['snapshot', 5]])
  })

  test('a null state is a state', async () => {
    const { socket, ws } = open()
    const onSubscribed = vi.fn()
    listen(socket, 'board', { onSubscribed })
    await turn()
    joins(ws, { ...at(1), snapshot: null })
    listen(socket, 'board', { onSubscribed })
    await turn()
    joins(ws, { ...at(1), snapshot: null })
    expect(onSubscribed.mock.calls).toEqual([[null], [null], [null]])
  })
})

describe('positions', () => {
  test('an event that comes twice counts once; another epoch counts anew; none moves nothing', async () => {
    const { ws, told } = await joined('news', at(17))
    for (const offset of [17, 18, 18, 3, 20]) event(ws, 'news', offset, offset)
    event(ws, 'news', 'none')
    event(ws, 'news', 20, 20)
    event(ws, 'news', 'new 1', 1, 'f')
    event(ws, 'news', 'new 1', 1, 'f')
    expect(told).toEqual(['subscribed', 18, 20, 'none', 'new 1'])
    const back = await comeBack()
    expect(back.frames[0]!.payload.topics).toEqual([{ topic: 'news', recover: at(1, 'f') }])
  })

  test('count also where no event was ever seen', async () => {
    await joined('news', at(17))
    const back = await comeBack()
    expect(back.frames[0]!.payload.topics).toEqual([{ topic: 'news', recover: at(17) }])
  })

  test('a gap moves them, and is told with the server’s delay, or one of our own', async () => {
    const { ws, told } = await joined('news', at(17))
    lose(ws, 'news', 30)
    event(ws, 'news', 30, 30)
    event(ws, 'news', 31, 31)
    vi.mocked(Math.random).mockReturnValue(0.5)
    lose(ws, 'news', 2, {}, 'f')
    expect(told).toEqual(['subscribed', ['gap', 'news', 1730], 31, ['gap', 'news', 2_500]])
    const back = await comeBack()
    expect(back.frames[0]!.payload.topics).toEqual([{ topic: 'news', recover: at(2, 'f') }])
  })
})

describe('a state after a gap', () => {
  test('comes by itself, after the time that the server gave', async () => {
    const { ws, told } = await joined('board', at(3), { snapshot: 3 })
    lose(ws, 'board', 8)
    event(ws, 'board', 'n is 9', 9)
    vi.advanceTimersByTime(1_729)
    expect(ws.routes).toEqual(['$sub'])
    vi.advanceTimersByTime(1)
    expect(ws.frames[1]!.payload).toEqual({ topics: [{ topic: 'board' }] })
    joins(ws, { ...at(9), snapshot: 9 })
    expect(told).toEqual([['snapshot', 3], ['gap', 'board', 1730], 'n is 9', ['snapshot', 9]])
    await turn()
    expect(ws.routes).toEqual(['$sub', '$sub'])
  })

  test('is not asked for where there is none, or nobody listens any more', async () => {
    const { socket, ws } = await joined('news', at(3))
    lose(ws, 'news', 8)
    const board = listen(socket, 'board')
    await turn()
    joins(ws, { ...at(3), snapshot: 3 })
    lose(ws, 'board', 8)
    board.unsubscribe()
    await turn()
    ws.answers({})
    vi.advanceTimersByTime(60_000)
    expect(ws.routes).toEqual(['$sub', '$sub', '$unsub'])
  })
})

describe('after a reconnect', () => {
  test('all that is wanted is joined by one frame, and nothing else', async () => {
    const { socket, ws } = open()
    const names = ['a', 'b', 'c', 'd']
    const all = names.map((name) => listen(socket, name))
    await turn()
    joins(ws, ...names.map((_, i) => at(i)))
    all[1]!.unsubscribe()
    await turn()
    ws.answers({})
    ws.hangsUp()
    all[2]!.unsubscribe()
    const late = listen(socket, 'e')
    vi.advanceTimersByTime(500)
    const back = FakeWebSocket.last.accept()
    await turn()
    expect(back.frames.map(({ route, payload }) => [route, payload])).toEqual([
      ['$sub', { topics: [{ topic: 'a', recover: at(0) }, { topic: 'd', recover: at(3) }, { topic: 'e' }] }],
    ])
    joins(back, { ...at(0), recovered: true }, { ...at(3), recovered: true }, at(9))
    expect(all[0]!.told).toEqual(['subscribed'])
    expect(late.told).toEqual(['subscribed'])
  })

  test('never more in one frame than the protocol allows', async () => {
    const { socket, ws } = open()
    for (let i = 0; i < 1_200; i++) listen(socket, `t/${i}`)
    await turn()
    const sizes = ws.frames.map(({ payload }) => payload.topics.length)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000)
    expect(new Set(ws.frames.flatMap(({ payload }) => payload.topics.map((one: any) => one.topic))).size).toBe(1_200)
  })

  test('what was missed comes in order before what is live, and what is in both comes once', async () => {
    const { ws, told } = await joined('news', at(17))
    event(ws, 'news', 18, 18)
    const back = await comeBack()
    const missed = [18, 19, 20].map((n) => ({ ...at(n), payload: n }))
    joins(back, { ...at(20), recovered: true, missed })
    for (const n of [20, 21]) event(back, 'news', n, n)
    expect(told).toEqual(['subscribed', 18, 19, 20, 21])
  })

  test('an event before the answer is not taken: it is among the missed', async () => {
    const { told } = await joined('news', at(17))
    const back = await comeBack()
    event(back, 'news', 19, 19)
    joins(back, { ...at(19), recovered: true, missed: [18, 19].map((n) => ({ ...at(n), payload: n })) })
    expect(told).toEqual(['subscribed', 18, 19])
  })

  test('what cannot be recovered is a gap, with a delay of up to five seconds', async () => {
    const { told } = await joined('news', at(17))
    vi.mocked(Math.random).mockReturnValue(0.9)
    const back = await comeBack()
    joins(back, at(99))
    event(back, 'news', 100, 100)
    expect(told).toEqual(['subscribed', ['gap', 'news', 4_500], 100])
  })

  test('a server that restarts with another epoch: a gap, and its position from then on', async () => {
    const { told } = await joined('news', at(17))
    const back = await comeBack(1012)
    joins(back, at(2, 'f'))
    event(back, 'news', 3, 3, 'f')
    const third = await comeBack()
    expect(third.frames[0]!.payload.topics).toEqual([{ topic: 'news', recover: at(3, 'f') }])
    expect(told).toEqual(['subscribed', ['gap', 'news', 0], 3])
  })

  test.each([20, 18])('at a server that is behind, with %i for 20, nothing comes twice', async (offset) => {
    const { ws, told } = await joined('news', at(17))
    event(ws, 'news', 20, 20)
    const back = await comeBack()
    expect(back.frames[0]!.payload.topics).toEqual([{ topic: 'news', recover: at(20) }])
    joins(back, { ...at(offset), recovered: true })
    for (const n of [18, 19, 20, 21]) event(back, 'news', n, n)
    expect(told).toEqual(['subscribed', 20, 21])
    const third = await comeBack()
    expect(third.frames[0]!.payload.topics).toEqual([{ topic: 'news', recover: at(21) }])
  })

  test('at one that has gone back and cannot say to where, it is a gap, and what comes then is new', async () => {
    const { ws, told } = await joined('news', at(17))
    event(ws, 'news', 20, 20)
    const back = await comeBack()
    joins(back, at(18))
    event(back, 'news', 'another 19', 19)
    expect(told).toEqual(['subscribed', 20, ['gap', 'news', 0], 'another 19'])
  })

  test('a state that comes instead is told behind the gap', async () => {
    const { told } = await joined('board', at(3), { snapshot: 3 })
    const back = await comeBack()
    joins(back, { ...at(9), snapshot: 9 })
    expect(told).toEqual([['snapshot', 3], ['gap', 'board', 0], ['snapshot', 9]])
  })

  test('one that came meanwhile gets a state of its own behind what the others missed', async () => {
    const { socket, ws, told } = await joined('board', at(3), { snapshot: 3 })
    ws.hangsUp()
    const late = listen(socket, 'board')
    vi.advanceTimersByTime(500)
    const back = FakeWebSocket.last.accept()
    await turn()
    joins(back, { ...at(4), recovered: true, missed: [{ ...at(4), payload: 'n is 4' }] })
    expect(back.frames.map(({ payload }) => payload.topics)).toEqual([
      [{ topic: 'board', recover: at(3) }],
      [{ topic: 'board' }],
    ])
    joins(back, { ...at(4), snapshot: 4 })
    expect(told).toEqual([['snapshot', 3], 'n is 4', ['snapshot', 4]])
    expect(late.told).toEqual([['snapshot', 4]])
  })

  test('one that came meanwhile is not given what was before it', async () => {
    const { socket, ws, told } = await joined('news', at(3))
    ws.hangsUp()
    const late = listen(socket, 'news')
    vi.advanceTimersByTime(500)
    joins(FakeWebSocket.last.accept(), { ...at(4), recovered: true, missed: [{ ...at(4), payload: 4 }] })
    event(FakeWebSocket.last, 'news', 5, 5)
    expect([told, late.told]).toEqual([['subscribed', 4, 5], ['subscribed', 5]])
  })

  test('the line goes while $sub or $unsub is on its way: asked again, or no more', async () => {
    const { socket } = open()
    const [a, b] = [listen(socket, 'a'), listen(socket, 'b')]
    await turn()
    const second = await comeBack()
    expect(second.frames.map(({ payload }) => payload)).toEqual([{ topics: [{ topic: 'a' }, { topic: 'b' }] }])
    joins(second, at(1), at(1))
    b.unsubscribe()
    await turn()
    expect(second.routes).toEqual(['$sub', '$unsub'])
    const third = await comeBack()
    expect(third.frames.map(({ payload }) => payload)).toEqual([{ topics: [{ topic: 'a', recover: at(1) }] }])
    expect([a.told, b.told]).toEqual([['subscribed'], ['subscribed']])
  })

  test('what a closing line swallowed is not sent over the next one', async () => {
    const { ws, unsubscribe } = await joined('news', at(1))
    ws.readyState = 2
    unsubscribe()
    await turn()
    const back = await comeBack()
    expect(back.routes).toEqual([])
  })

  test('a socket that closes ends them; one of later is a new one', async () => {
    const { socket, told } = await joined('news', at(1))
    socket.close()
    await turn()
    expect(told).toEqual(['subscribed', expect.objectContaining({ name: 'ConnectionLostError', code: 1000 })])
    const late = listen(socket, 'news')
    await turn()
    expect(late.told).toEqual([expect.objectContaining({ name: 'ConnectionLostError' })])
    socket.connect()
    const back = FakeWebSocket.last.accept()
    await turn()
    expect(back.routes).toEqual([])
    const again = listen(socket, 'news')
    await turn()
    expect(back.frames[0]!.payload).toEqual({ topics: [{ topic: 'news' }] })
    joins(back, at(5))
    expect(again.told).toEqual(['subscribed'])
  })

  test('reconnect is no end', async () => {
    const { socket, told } = await joined('news', at(1))
    socket.reconnect()
    vi.advanceTimersByTime(0)
    const back = FakeWebSocket.last.accept()
    await turn()
    joins(back, { ...at(2), recovered: true, missed: [{ ...at(2), payload: 2 }] })
    expect(told).toEqual(['subscribed', 2])
  })
})

describe('what the server does not grant', () => {
  test.each([403, 404, 401, 500])('%i ends that topic alone, also as it is joined again', async (status) => {
    const { socket, ws } = open()
    const [a, b] = [listen(socket, 'a'), listen(socket, 'b')]
    await turn()
    joins(ws, at(1), at(1))
    const back = await comeBack()
    joins(back, { status, message: 'no more', code: 'gone' }, { ...at(1), recovered: true })
    event(back, 'b', 2, 2)
    expect(a.told).toEqual(['subscribed', expect.objectContaining({ name: 'ResponseError', status, message: 'no more' })])
    expect(b.told).toEqual(['subscribed', 2])
    const third = await comeBack()
    expect(third.frames.map(({ payload }) => payload.topics)).toEqual([[{ topic: 'b', recover: at(2) }]])
  })

  test('an error that nobody takes is an event of the socket', async () => {
    const { socket, ws } = open()
    const errors = vi.fn()
    socket.on('error', errors)
    socket.subscribe('news').subscribe(() => {})
    await turn()
    joins(ws, { status: 403, message: 'no' })
    expect(errors).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ status: 403 }))
  })

  test('a loop throws it', async () => {
    const { socket, ws } = open()
    const next = socket.subscribe('news')[Symbol.asyncIterator]().next()
    await turn()
    joins(ws, { status: 404, message: 'no topic' })
    expect(await outcome(next)).toMatchObject({ status: 404 })
  })

  test('a server that knows no topics: 404', async () => {
    const { socket, ws } = open()
    const { told } = listen(socket, 'news')
    await turn()
    ws.answers({ message: 'no such route', code: 'not_found' }, { status: 404 })
    expect(told).toEqual([expect.objectContaining({ status: 404, code: 'not_found' })])
  })

  test.each([429, 503, 504])('%i is asked again after growing waits, as long as it is wanted', async (status) => {
    const { socket, ws } = open()
    const [a, b] = [listen(socket, 'a'), listen(socket, 'b')]
    await turn()
    joins(ws, { status, code: 'unavailable' }, at(4))
    expect(b.told).toEqual(['subscribed'])
    vi.advanceTimersByTime(499)
    expect(ws.routes).toEqual(['$sub'])
    vi.advanceTimersByTime(1)
    expect(ws.frames[1]!.payload).toEqual({ topics: [{ topic: 'a' }] })
    joins(ws, { status, code: 'unavailable' })
    vi.advanceTimersByTime(999)
    expect(ws.routes).toHaveLength(2)
    vi.advanceTimersByTime(1)
    joins(ws, at(7))
    expect(a.told).toEqual(['subscribed'])
    const c = listen(socket, 'c')
    await turn()
    joins(ws, { status })
    // The waits start anew.
    vi.advanceTimersByTime(500)
    expect(ws.routes).toHaveLength(5)
    joins(ws, { status })
    c.unsubscribe()
    await turn()
    vi.advanceTimersByTime(60_000)
    expect(ws.routes).toHaveLength(5)
    a.unsubscribe()
    b.unsubscribe()
    await turn()
    for (const to of [5, 6]) ws.answers({}, { to })
    vi.advanceTimersByTime(5_000)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('503 of a whole frame likewise, and a new line does not wait', async () => {
    const { socket, ws } = open()
    const { told } = listen(socket, 'a')
    await turn()
    ws.answers({ message: 'away', code: 'unavailable' }, { status: 503 })
    expect(told).toEqual([])
    ws.hangsUp()
    vi.advanceTimersByTime(500)
    const back = FakeWebSocket.last.accept()
    await turn()
    expect(back.routes).toEqual(['$sub'])
    joins(back, at(1))
    expect(told).toEqual(['subscribed'])
    vi.advanceTimersByTime(60_000)
    expect(back.routes).toEqual(['$sub'])
  })

  test('a frame that is refused as a whole is asked in smaller parts, until each has its own answer', async () => {
    const { socket, ws } = open()
    const all = ['a', 'b', 'c'].map((name) => listen(socket, name))
    await turn()
    ws.answers({ message: 'no such name', code: 'bad_request' }, { status: 400 })
    expect(all.map(({ told }) => told)).toEqual([[], [], []])
    expect(ws.frames.slice(1).map(({ payload }) => payload.topics.map((one: any) => one.topic))).toEqual([['a'], ['b'], ['c']])
    for (const to of [1, 2]) ws.answers({ topics: [{ status: 200, recovered: false, missed: [], ...at(1) }] }, { to })
    ws.answers({ message: 'no such name', code: 'bad_request' }, { status: 400, to: 3 })
    expect(all.map(({ told }) => told)).toEqual([
      ['subscribed'],
      ['subscribed'],
      [expect.objectContaining({ name: 'ResponseError', route: 'c', status: 400, code: 'bad_request' })],
    ])
    // Another line, another chance: by one frame.
    const back = await comeBack()
    expect(back.frames.map(({ payload }) => payload.topics.length)).toEqual([2])
  })

  test('a server that knows no topics refuses all at once', async () => {
    const { socket, ws } = open()
    const all = ['a', 'b', 'c'].map((name) => listen(socket, name))
    await turn()
    ws.answers({ message: 'no such route', code: 'not_found' }, { status: 404 })
    for (const { told } of all) expect(told).toEqual([expect.objectContaining({ status: 404 })])
    await turn()
    expect(ws.routes).toEqual(['$sub'])
  })
})

describe('races', () => {
  test('left while $sub is on its way: $unsub waits for its answer', async () => {
    const { socket, ws } = open()
    const { told, unsubscribe } = listen(socket, 'news')
    await turn()
    unsubscribe()
    await turn()
    expect(ws.routes).toEqual(['$sub'])
    joins(ws, { ...at(1), snapshot: 1 })
    expect(ws.routes).toEqual(['$sub', '$unsub'])
    expect(told).toEqual([])
  })

  test('an event on its way when $unsub is sent is nobody’s, and no push', async () => {
    const { socket, ws, told, unsubscribe } = await joined('news', at(1))
    const pushed = vi.fn()
    socket.on('push', pushed)
    unsubscribe()
    await turn()
    event(ws, 'news', 2, 2)
    lose(ws, 'news', 3)
    ws.answers({ topic: 'news' })
    expect(told).toEqual(['subscribed'])
    expect(pushed).not.toHaveBeenCalled()
    expect(ws.routes).toEqual(['$sub', '$unsub'])
  })

  test('wanted again while $unsub is on its way: $sub behind its answer, from nothing', async () => {
    const { socket, ws, unsubscribe } = await joined('news', at(1))
    unsubscribe()
    await turn()
    const again = listen(socket, 'news')
    await turn()
    event(ws, 'news', 2, 2)
    expect(ws.routes).toEqual(['$sub', '$unsub'])
    ws.answers({ topic: 'news' })
    expect(ws.frames[2]!.payload).toEqual({ topics: [{ topic: 'news' }] })
    joins(ws, at(5))
    event(ws, 'news', 6, 6)
    expect(again.told).toEqual(['subscribed', 6])
  })

  test('left and wanted again in one turn: the server hears nothing of it', async () => {
    const { socket, ws, told, unsubscribe } = await joined('news', at(1))
    unsubscribe()
    const again = listen(socket, 'news')
    await turn()
    event(ws, 'news', 2, 2)
    expect([told, again.told]).toEqual([['subscribed'], ['subscribed', 2]])
    expect(ws.routes).toEqual(['$sub'])
  })

  test('one that leaves another as it is told', async () => {
    const { socket, ws } = open()
    const told: unknown[] = []
    socket.subscribe('news').subscribe((event) => {
      told.push(event)
      other.unsubscribe()
    })
    const other = listen(socket, 'news')
    await turn()
    joins(ws, at(1))
    event(ws, 'news', 2, 2)
    expect([told, other.told]).toEqual([[2], ['subscribed']])
  })

  test('one that leaves itself as it is told, at first and among the missed', async () => {
    const { socket, ws } = open()
    const told: unknown[] = []
    const one = socket.subscribe('news', { onSubscribed: () => told.push('subscribed') }).subscribe((event) => {
      told.push(event)
      if (event === 3) one.unsubscribe()
    })
    await turn()
    joins(ws, at(1))
    const back = await comeBack()
    joins(back, { ...at(4), recovered: true, missed: [2, 3, 4].map((n) => ({ ...at(n), payload: n })) })
    expect(told).toEqual(['subscribed', 2, 3])
    expect(back.routes).toEqual(['$sub', '$unsub'])
  })
})

describe('a signal', () => {
  test('that aborts leaves, and a loop throws its reason and gives no more', async () => {
    const { socket, ws } = open()
    const stop = new AbortController()
    const items = socket.subscribe('news', { signal: stop.signal })[Symbol.asyncIterator]()
    const first = items.next()
    await turn()
    joins(ws, at(0))
    for (const n of [1, 2, 3]) event(ws, 'news', n, n)
    expect(await first).toEqual({ value: 1, done: false })
    stop.abort('enough')
    expect(await outcome(items.next())).toBe('enough')
    expect(await items.next()).toEqual({ value: undefined, done: true })
    await turn()
    expect(ws.routes).toEqual(['$sub', '$unsub'])
  })

  test('that aborted before asks for nothing', async () => {
    const { socket, ws } = open()
    const { told } = listen(socket, 'news', { signal: AbortSignal.abort('early') })
    await turn()
    expect(told).toEqual(['early'])
    expect(ws.routes).toEqual([])
  })

  test('of subscribe unsubscribes', async () => {
    const { socket, ws } = open()
    const stop = new AbortController()
    const error = vi.fn()
    socket.subscribe('news').subscribe({ error }, { signal: stop.signal })
    await turn()
    joins(ws, at(0))
    stop.abort()
    await turn()
    expect(ws.routes).toEqual(['$sub', '$unsub'])
    expect(error).not.toHaveBeenCalled()
  })
})

describe('who is slow', () => {
  const take = async (items: AsyncIterator<unknown>, count: number) => {
    const seen: unknown[] = []
    for (let i = 0; i < count; i++) seen.push((await items.next()).value)
    return seen
  }

  test('has a thousand events waiting, and then an error behind them: never a silent loss', async () => {
    const { socket, ws } = open()
    const items = socket.subscribe('news')[Symbol.asyncIterator]()
    const first = items.next()
    const quick = listen(socket, 'news')
    await turn()
    joins(ws, at(0))
    for (let n = 1; n <= 1_010; n++) event(ws, 'news', n, n)
    expect((await first).value).toBe(1)
    expect(await take(items, 1_000)).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 2))
    expect(await outcome(items.next())).toMatchObject({ name: 'SocketError', message: expect.stringContaining('news') })
    expect(quick.told).toHaveLength(1_011)
    await turn()
    expect(ws.routes).toEqual(['$sub'])
  })

  test('what was missed is given whole, however much it is', async () => {
    const { socket, ws } = open()
    const items = socket.subscribe('news')[Symbol.asyncIterator]()
    const first = items.next()
    await turn()
    joins(ws, at(0))
    const back = await comeBack()
    joins(back, { ...at(3_000), recovered: true, missed: Array.from({ length: 3_000 }, (_, i) => ({ ...at(i + 1), payload: i + 1 })) })
    expect((await first).value).toBe(1)
    expect(await take(items, 2_999)).toEqual(Array.from({ length: 2_999 }, (_, i) => i + 2))
    event(back, 'news', 3_001, 3_001)
    expect((await items.next()).value).toBe(3_001)
  })

  test('is told of a gap and of a new state where they are: behind the events before them', async () => {
    const { socket, ws } = open()
    const told: unknown[] = []
    const items = socket
      .subscribe('board', { onSubscribed: (state) => told.push(['state', state]), onGap: () => told.push('gap') })
      [Symbol.asyncIterator]()
    const first = items.next()
    await turn()
    joins(ws, { ...at(0), snapshot: 0 })
    event(ws, 'board', 1, 1)
    event(ws, 'board', 2, 2)
    lose(ws, 'board', 5)
    const back = await comeBack()
    joins(back, { ...at(9), snapshot: 9 })
    event(back, 'board', 10, 10)
    const take = async (next: Promise<IteratorResult<unknown>>) => told.push((await next).value)
    await take(first)
    await take(items.next())
    expect(told).toEqual([['state', 0], 1, 2])
    await take(items.next())
    expect(told).toEqual([['state', 0], 1, 2, 'gap', 'gap', ['state', 9], 10])
    lose(back, 'board', 12)
    expect(told).toHaveLength(7)
    void items.next()
    expect(told.at(-1)).toBe('gap')
  })
})

describe('publish', () => {
  test('is a call of $pub', async () => {
    const { socket, ws } = open()
    const published = socket.publish('orders/42', { state: 'shipped' }, { messageId: 'm' })
    expect(ws.frames[0]).toMatchObject({
      route: '$pub',
      payload: { topic: 'orders/42', payload: { state: 'shipped' }, message_id: 'm' },
    })
    ws.answers(at(18))
    expect(await published).toEqual(at(18))
    const refused = socket.publish('orders/42', 1)
    expect(ws.frames[1]!.payload).toEqual({ topic: 'orders/42', payload: 1 })
    ws.answers({ message: 'not known', code: 'uncertain' }, { status: 503 })
    expect(await outcome(refused)).toMatchObject({ status: 503, code: 'uncertain' })
  })
})

describe('a socket of the old signature', () => {
  test('subscribes by a message, and hears events where it hears pushes', async () => {
    vi.stubGlobal('WebSocket', FakeWebSocket)
    const heard: unknown[] = []
    const socket = new ObservableSocket('app', 'ws://server/ws', undefined, ({ message }) => heard.push(message))
    const pushed = vi.fn()
    socket.on('push', pushed)
    const ws = FakeWebSocket.last.accept()
    const answer = socket.sendAndWait(new Message('$sub', { topic: 'orders/42' }, {}, 200, 'u'))
    expect(ws.texts).toEqual(['{"uuid":"u","route":"$sub","headers":{},"payload":{"topic":"orders/42"},"status":200}'])
    const position = { ...at(17), recovered: false, missed: [] }
    ws.answers(position)
    expect(await answer).toMatchObject({ success: true, message: { payload: position } })
    const frame = { uuid: '#orders/42', route: 'orders/42', headers: { $epoch: 'e', $offset: 18 }, payload: { state: 'new' } }
    ws.says(frame)
    lose(ws, 'orders/42', 20)
    expect(heard.slice(1)).toEqual([frame, expect.objectContaining({ route: '$gap' })])
    expect(pushed.mock.calls[0]).toEqual([{ route: 'orders/42', headers: frame.headers, payload: frame.payload }])
    expect(ws.texts).toHaveLength(1)
  })

  test('the old callback of a new one sees events as every frame', async () => {
    const { socket, ws, told } = await joined('news', at(1))
    socket.onMessageReceived = vi.fn()
    event(ws, 'news', 2, 2)
    expect(socket.onMessageReceived).toHaveBeenCalledOnce()
    expect(told).toEqual(['subscribed', 2])
  })
})

test('a thousand topics and a thousand listeners are no work to speak of', async () => {
  const { socket, ws } = open()
  let count = 0
  for (let i = 0; i < 1_000; i++) socket.subscribe('one').subscribe(() => count++)
  await turn()
  joins(ws, at(0))
  for (let n = 1; n <= 100; n++) event(ws, 'one', n, n)
  expect(count).toBe(100_000)
})

test('a gap says which topic, so that one function does for all', async () => {
  const gaps: Gap[] = []
  const { socket, ws } = open()
  for (const name of ['a', 'b']) listen(socket, name, { onGap: (gap) => gaps.push(gap) })
  await turn()
  joins(ws, at(1), at(1))
  lose(ws, 'b', 4, { reload_after_ms: 7 })
  expect(gaps).toEqual([{ topic: 'b', reloadAfterMs: 7 }])
})
