/** The project's conversations, with the server's part played by the test: "on this frame, these frames". */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ObservableSocket, State } from '../../src/index.js'
import { topics } from '../../src/topics.js'
import { FakeWebSocket, go, openSocket, outcome, still } from '../support/fake.js'

interface Step {
  client?: unknown
  client_text?: string
  server?: unknown
  close?: number
  drain?: { within_ms: number; told: boolean }
}
interface Conversation {
  name: string
  steps: Step[]
}

interface Request {
  uuid: string | number
  route: string
  headers?: Record<string, any> | null
  payload?: any
}
interface Response {
  status: number
  headers?: Record<string, any> | null
  payload?: any
}

/** A topic, as a client asks for it. */
interface Wanted {
  topic: string
  recover?: { epoch: string; offset: number }
}

/** One who listens to a topic, and all that it was told. */
interface Listener {
  told: unknown[]
  /** What it should have been told. */
  due: unknown[]
  leaves(): void
}

/** What runs under a uuid of the conversation, and how this client plays its part in it. */
interface Live {
  /** The uuid it has here. */
  uuid: string
  /** A frame of the server for it; true for the last. */
  hears(frame: Response): Promise<boolean>
  /** Takes the items up to this one, and is false where this client would not say so. */
  takes?(seq: unknown): Promise<boolean>
  leaves(): void
  /** What the conversation asked for, where this client says it in another way. */
  asked?: unknown
}

const folder = new URL('../../../vectors/', import.meta.url)
const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : []

// They come with the protocol’s document: until that is there, there is nothing to replay.
const due = existsSync(new URL('../PROTOCOL.md', folder)) || process.env.FOS_REQUIRE_SERVER === '1'
test.runIf(due)('there are conversations', () => expect(files).not.toEqual([]))

beforeEach(still)
afterEach(go)

const object = (value: unknown): value is Record<string, any> =>
  !!value && typeof value === 'object' && !Array.isArray(value)

/** What this client would write, but for the uuid: the older spelling and the protocol's own routes are for others. */
const request = (frame: unknown): frame is Request =>
  object(frame) &&
  (Number.isSafeInteger(frame.uuid) || (typeof frame.uuid === 'string' && /^.{1,128}$/s.test(frame.uuid))) &&
  typeof frame.route === 'string' &&
  /^.{1,256}$/s.test(frame.route) &&
  frame.route !== 'PING' &&
  frame.route[0] !== '$' &&
  (frame.headers == null || object(frame.headers)) &&
  Object.keys(frame).every((key) => ['uuid', 'route', 'headers', 'payload', 'status'].includes(key))

const wanted = (payload: any): Wanted[] => payload?.topics ?? [payload]

/** What this client would ask for in one frame: topics by name, each with a position or without. */
const listens = (payload: any): payload is object =>
  object(payload) &&
  wanted(payload).every(
    ({ topic, recover }) => topic && typeof topic === 'string' && (!recover || (typeof recover.epoch === 'string' && recover.offset >= 0)),
  )

let replayed = 0
let skipped = 0
afterAll(() => {
  console.info(`conversations: ${replayed} steps replayed, ${skipped} not this client’s to write`)
  expect(replayed > 0).toBe(files.length > 0)
})

type Socket = ObservableSocket<any, any, any>

function asks(socket: Socket, ws: FakeWebSocket, { route, headers, payload }: Request): Live {
  const left = new AbortController()
  const progress: unknown[] = []
  const { $progress, ...own } = headers ?? {}
  const wanted = $progress === true && { onProgress: (one: unknown) => progress.push(one) }
  const answer = socket.request(route, payload, {
    headers: wanted ? own : (headers ?? undefined),
    signal: left.signal,
    timeout: Infinity,
    ...wanted,
  })
  return {
    uuid: ws.frames.at(-1)!.uuid,
    async hears({ status, headers, payload }) {
      if (left.signal.aborted) return true
      const seen = await outcome(answer)
      if (wanted && status === 402) {
        expect(progress.at(-1)).toEqual(payload)
        expect(seen).toBe('pending')
        return false
      }
      expect(seen).toEqual({ ok: status >= 200 && status < 300, status, headers: headers ?? {}, payload })
      return true
    },
    leaves() {
      left.abort()
      void answer.catch(() => {})
    },
  }
}

function streams(socket: Socket, ws: FakeWebSocket, { route, headers, payload }: Request): Live {
  const { $stream: _, $window: window, ...own } = headers!
  const iterator = socket.stream(route, payload, { headers: own, window, timeout: Infinity })[Symbol.asyncIterator]()
  // Nothing is sent before the first is asked for.
  const first = iterator.next()
  const came: unknown[] = []
  let taken = 0
  let told = -1
  let over = false
  const take = async () => expect(await outcome(taken ? iterator.next() : first)).toEqual({ value: came[taken++], done: false })
  const uuid = ws.frames.at(-1)!.uuid
  return {
    uuid,
    async hears({ status, headers, payload }) {
      if (over) return status !== 402
      if (status === 402) {
        came.push(payload)
        return false
      }
      const whole = headers?.$seq === undefined && !came.length && status < 300
      if (whole) came.push(...(Array.isArray(payload) ? payload : [payload]))
      while (taken < came.length) await take()
      const end = await outcome(taken ? iterator.next() : first)
      if (status < 300) expect(end).toEqual({ value: whole ? undefined : payload, done: true })
      else expect(end).toMatchObject({ status, payload })
      return true
    },
    async takes(seq) {
      if (typeof seq !== 'number' || seq <= told || seq >= came.length) return false
      told = seq
      while (taken <= seq) await take()
      const said = ws.frames.filter((frame) => frame.route === '$ack' && frame.uuid === uuid)
      expect(said.map(({ headers }) => headers)).toContainEqual({ $seq: seq })
      return true
    },
    leaves() {
      over = true
      void iterator.return!()
    },
  }
}

/** What the server would have said to the frame of this client, which always asks for many. */
function forMany({ uuid, status, headers, payload }: any, asked: any) {
  if (asked.topics || status !== 200) return { status, headers, payload, uuid }
  return { uuid, status, headers, payload: { topics: [{ topic: asked.topic, status, ...payload }] } }
}

/** All who listen in one conversation, and the line that it has now. */
function audience(socket: Socket, first: FakeWebSocket) {
  const all = new Map<unknown, Listener>()
  const turn = () => outcome(Promise.resolve())
  let ws = first

  const listen = (topic: string) => {
    const told: unknown[] = []
    const { unsubscribe } = socket
      .subscribe(topic, {
        onGap: ({ reloadAfterMs }) => told.push(['gap', reloadAfterMs]),
        onSubscribed: (snapshot) => told.push(['subscribed', snapshot]),
      })
      .subscribe({ next: (event) => told.push(event), error: ({ status, payload }) => told.push([status, payload]) })
    all.set(`#${topic}`, { told, due: [], leaves: unsubscribe })
  }

  /** Those who say that they were there before have been there before, on a line that is lost. */
  const remember = async (past: Wanted[]) => {
    for (const { topic } of past) listen(topic)
    await turn()
    const to = ws.frames.length - 1
    ws.answers({ topics: past.map(({ topic, recover }) => ({ topic, status: 200, ...recover, recovered: false, missed: [] })) }, { to })
    for (const { told } of all.values()) told.splice(0)
    ws.hangsUp()
    while (FakeWebSocket.last === ws) vi.advanceTimersByTime(100)
    ws = FakeWebSocket.last
  }

  return {
    all,
    line: () => ws,
    /** False where this client would not ask for it: it does so already. */
    async begins(payload: any): Promise<Live | false> {
      const some = wanted(payload)
      if (some.some(({ topic }) => all.has(`#${topic}`))) return false
      const past = some.filter(({ recover }) => recover)
      if (past[0]) await remember(past)
      for (const { topic, recover } of some) if (!recover) listen(topic)
      if (past[0]) ws.accept()
      await turn()
      const asked = ws.frames.at(-1)!
      expect(asked).toEqual({ uuid: asked.uuid, route: '$sub', headers: {}, payload: { topics: some } })
      const hears = async ({ status, payload: said }: any) => {
        for (const [i, { topic, recover }] of some.entries()) {
          const one = all.get(`#${topic}`)!
          const { epoch: _, offset: __, recovered, missed, snapshot, ...more } = status === 200 ? said.topics[i] : { status, ...said }
          const refused = more.status !== 200
          if (refused) all.delete(`#${topic}`)
          else if (recovered) one.due.push(...missed.map(({ payload }: any) => payload))
          else if (recover) one.due.push(['gap', 0])
          if (!refused && (snapshot || !recover)) one.due.push(['subscribed', snapshot])
          if (refused) expect(one.told).toEqual([[more.status, expect.objectContaining({ code: more.code })]])
          else expect(one.told).toEqual(one.due)
        }
        return true
      }
      return { uuid: asked.uuid, hears, leaves() {} }
    },
    async ends(topic: unknown): Promise<Live | false> {
      const one = all.get(`#${topic}`)
      one?.leaves()
      all.delete(`#${topic}`)
      await turn()
      if (one) expect(ws.frames.at(-1)).toMatchObject({ route: '$unsub', payload: { topic } })
      return one ? { uuid: ws.frames.at(-1)!.uuid, hears: async () => true, leaves() {} } : false
    },
    publishes({ topic, payload, message_id }: any): Live {
      const published = socket.publish(topic, payload, { messageId: message_id })
      const asked = ws.frames.at(-1)!
      expect(asked).toEqual({ uuid: asked.uuid, route: '$pub', headers: {}, payload: { topic, payload, message_id } })
      const hears = async ({ status, payload }: Response) => {
        const seen = await outcome(published)
        if (status === 200) expect(seen).toEqual(payload)
        else expect(seen).toMatchObject({ status, payload })
        return true
      }
      return { uuid: asked.uuid, hears, leaves() {} }
    },
    /** An event, or that some are lost; false where nobody listens. */
    hears({ uuid, route, payload }: any): boolean {
      const one = all.get(uuid)
      one?.due.push(route === '$gap' ? ['gap', payload.reload_after_ms] : payload)
      if (one) expect(one.told).toEqual(one.due)
      return !!one
    },
  }
}

/** The server's part: it chooses what the conversation leaves open. */
const chosen = (steps: Step[]): Step[] =>
  JSON.parse(JSON.stringify(steps).replaceAll('"reload_after_ms":"*"', '"reload_after_ms":1730').replaceAll(/"<([a-z]+)>"/g, '"$1"'))

describe.each(files)('%s', (file) => {
  const { conversations } = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as { conversations: Conversation[] }

  test.each(conversations.map((one) => [one.name, chosen(one.steps)] as const))('%s', async (_, steps) => {
    const { socket, ws: first } = openSocket({ heartbeat: false, topics })
    socket.on('error', () => {})
    const pushes: unknown[] = []
    socket.on('push', (push) => pushes.push(push))
    const live = new Map<unknown, Live>()
    /** The calls of the server that wait, and what they are to be answered with. */
    const called = new Map<unknown, (payload: unknown) => void>()
    const greeting = steps.findIndex(({ client }) => object(client) && client.route === '$hello')
    const listeners = audience(socket, first)
    let state: State = 'open'

    for (const [i, { client, server, close, drain }] of steps.entries()) {
      const ws = listeners.line()
      const before = ws.texts.length
      let ours = true
      if (request(client) && !live.has(client.uuid)) {
        const stream = client.headers?.$stream === true
        const window = client.headers?.$window
        if (stream && window !== undefined && !(Number.isInteger(window) && window > 0)) ours = false
        else {
          const one = (stream ? streams : asks)(socket, ws, client)
          const { status: _, ...expected } = { ...client, uuid: one.uuid } as any
          // This client always names a window.
          expected.headers = { ...client.headers, ...(stream && { $window: window ?? 64 }) }
          expect(ws.frames.slice(before)).toEqual([expected])
          live.set(client.uuid, one)
        }
      } else if (object(client) && client.route === '$ack') {
        ours = (await live.get(client.uuid)?.takes?.(client.headers?.$seq)) ?? false
      } else if (object(client) && client.route === '$cancel' && live.has(client.uuid)) {
        const { uuid, leaves } = live.get(client.uuid)!
        leaves()
        expect(ws.frames.slice(before)).toEqual([{ uuid, route: '$cancel', headers: {} }])
      } else if (object(client) && client.route === '$hello' && i === 0 && client.payload?.features) {
        const { uuid, ...hello } = ws.hello!
        // It says more of itself than a conversation may be about.
        const features = expect.arrayContaining(client.payload.features)
        expect(hello).toEqual({ ...client, uuid: undefined, payload: { ...client.payload, client: 'js', features } })
        live.set(client.uuid, {
          uuid,
          async hears({ payload }) {
            expect(socket.session).toEqual(payload)
            return true
          },
          leaves() {},
        })
      } else if (object(client) && client.route === '$sub' && listens(client.payload)) {
        const one = await listeners.begins(client.payload)
        if (one) live.set(client.uuid, { ...one, asked: client.payload })
        ours = !!one
      } else if (object(client) && client.route === '$unsub' && client.payload?.topic) {
        const one = await listeners.ends(client.payload.topic)
        if (one) live.set(client.uuid, one)
        ours = !!one
      } else if (object(client) && client.route === '$pub' && /string|undefined/.test(typeof client.payload.message_id) && client.payload.topic) {
        live.set(client.uuid, listeners.publishes(client.payload))
      } else if (object(client) && called.has(client.uuid)) {
        called.get(client.uuid)!(client.payload)
        called.delete(client.uuid)
        await outcome(Promise.resolve())
        expect(ws.frames.filter(({ uuid }) => uuid === client.uuid)).toEqual([{ headers: {}, ...client }])
      } else if (object(server) && (server.route === '$gap' || server.uuid === `#${server.route}`)) {
        ws.says(server)
        ours = listeners.hears(server)
        if (!ours) expect(pushes.at(-1)).toEqual({ route: server.route, headers: server.headers, payload: server.payload })
      } else if (object(server) && typeof server.uuid === 'string' && server.uuid[0] === '#') {
        const answer = steps.slice(i).find(({ client }) => object(client) && client.uuid === server.uuid)?.client
        if (server.uuid === '#') {
          ws.says(server)
          expect(pushes.at(-1)).toEqual({ route: server.route, headers: server.headers, payload: server.payload })
        } else if (server.route === '$cancel') {
          called.get(server.uuid)!(null)
          called.delete(server.uuid)
          ws.says(server)
          await outcome(Promise.resolve())
          expect(ws.texts).toHaveLength(before)
        } else {
          expect(greeting).toBe(0)
          const settled = new Promise((resolve) => called.set(server.uuid, resolve))
          const off = (answer as any)?.status === 404 ? () => {} : socket.handle(server.route, () => settled)
          ws.says(server)
          off()
        }
      } else if (object(server)) {
        const one = live.get(server.uuid)
        const said: any = { ...server, uuid: one?.uuid ?? server.uuid }
        const frame = one?.asked ? forMany(said, one.asked) : said
        ws.says(frame)
        ours = !!one && server.route !== 'PONG'
        if (ours && (await one!.hears(frame))) live.delete(server.uuid)
      } else if (close !== undefined) {
        ws.hangsUp(close)
        state = close === 1008 ? 'closed' : 'waiting'
      } else if (drain?.told) {
        ws.says({ uuid: '#', route: '$drain', headers: null, payload: { within_ms: drain.within_ms } })
      } else ours = false
      if (ours) replayed++
      else skipped++
    }
    expect(socket.state).toBe(state)
    expect(FakeWebSocket.living.length).toBe(state === 'open' ? 1 : 0)
  })
})
