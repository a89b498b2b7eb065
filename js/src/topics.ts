/**
 * Which topics this client listens to, and how far it has come in each.
 *
 * What is wanted is kept here, and every line is brought up to it: one request at a time for each topic, and after
 * each answer another look. It stands beside the socket and is given to it, so that who has no topics does not pay.
 */

import { delay, type Backoff } from './backoff.js'
import { SocketError } from './errors.js'
import type { SubscribeOptions } from './options.js'
import type { Answer } from './routes.js'
import type { ObservableSocket } from './socket.js'
import { source, type Sink, type Stream } from './stream.js'
import { refusal, type Frame, type Headers } from './wire.js'

/** What a socket and its topics lend each other. */
export interface Lent {
  /** Asks the server, at once; not answered if the line is lost. */
  ask(route: string, payload: unknown, done: (answer: Answer<any>) => void): void
  error(error: unknown): void
  backoff: Backoff
  /** Whether this frame is of a topic that somebody here listens to. */
  heard?(frame: Frame): boolean
}

export type Subscribe = (topic: string, options: SubscribeOptions<any>) => Stream<any, undefined>

interface Position {
  epoch: unknown
  offset: any
}

type Event = Position & { payload?: unknown }

/** What the server says of a topic that was asked for. */
interface Told extends Position {
  status: number
  recovered?: boolean
  missed?: Event[]
  snapshot?: unknown
  /** Of a refusal, where the topic declares one. */
  payload?: any
}

interface Member {
  options: SubscribeOptions<any>
  to: Sink<any>
  /** Nothing is for it before the answer to its `$sub`. */
  fresh: boolean
  /** Events that it was given and has not taken yet. */
  ahead: number
  fail(error: unknown): void
}

interface Topic {
  name: string
  members: Set<Member>
  /** The last that is known, event or not. */
  at?: Position
  /** The server knows, on this line. */
  joined?: boolean
  /** It has a state, which comes with the answer to a `$sub` that recovers nothing. */
  stateful?: boolean
  /** Events were lost since the state came. */
  stale?: boolean
  busy?: typeof ASKED | typeof LATER
}

const ASKED = 1
const LATER = 2

/** Topics in one frame: the protocol allows 1000, but frames have a size, too. */
const MANY = 500

/** What the option `topics` of a socket takes. */
export function topics(socket: ObservableSocket<any, any, any, any>, lent: Lent): Subscribe {
  const { ask, error, backoff } = lent
  /** By the uuid of their events. */
  const all = new Map<unknown, Topic>()
  let many = MANY
  let tries = 0
  let queued = false
  let timer: ReturnType<typeof setTimeout> | undefined
  let release: (() => void) | undefined

  /** One that was missed is held for whoever is slow; live ones only so many. */
  const event = (topic: Topic, { epoch, offset, payload }: Event, live?: boolean) => {
    const { at, members, name } = topic
    if (offset !== undefined) {
      if (at?.epoch === epoch && offset <= at!.offset) return
      topic.at = { epoch, offset }
    }
    for (const member of members) {
      if (member.fresh) continue
      if (live && member.ahead >= 1_000) member.fail(new SocketError(`${name}: 1000 events wait to be taken`))
      else {
        member.ahead++
        member.to.item(payload)
      }
    }
  }

  const gap = ({ name, members }: Topic, reloadAfterMs = Math.random() * 5_000) => {
    for (const { fresh, to, options } of members) if (!fresh) to.tell(() => options.onGap?.({ topic: name, reloadAfterMs }))
    return reloadAfterMs
  }

  /** Those who waited for it; and, if there is a new state, all. */
  const welcome = ({ members }: Topic, all?: boolean, snapshot?: unknown) => {
    for (const member of members) {
      if (all || member.fresh) member.to.tell(() => member.options.onSubscribed?.(snapshot))
      member.fresh = false
    }
  }

  const joined = (topic: Topic, told: Told) => {
    const { epoch, offset, recovered, snapshot } = told
    const state = 'snapshot' in told
    told.missed?.forEach((one) => event(topic, one))
    const { at } = topic
    // Asked again on one line, nothing was missed if it stands where it stood.
    if (at && !recovered && !(topic.joined && at.epoch === epoch && at.offset === offset)) gap(topic)
    // A server that is behind what was heard elsewhere tells that again: it is known.
    if (!(recovered && at?.epoch === epoch && at!.offset > offset)) topic.at = { epoch, offset }
    topic.joined = true
    if (!recovered) topic.stateful = state
    if (state) topic.stale = false
    if (state || !topic.stateful) welcome(topic, state, snapshot)
  }

  const join = (batch: Topic[]) => {
    const wanted = batch.map((topic) => {
      topic.busy = ASKED
      return { topic: topic.name, recover: topic.joined ? undefined : topic.at }
    })
    ask('$sub', { topics: wanted }, (answer) => {
      let late = false
      // One is spoiling it for all, or they are too much for one answer: in smaller parts, then. 404: it knows no topics.
      const parts = !answer.ok && answer.status !== 404 && batch.length >> 1
      if (parts) many = parts
      batch.forEach((topic, i) => {
        const told: Told & { headers: Headers } = answer.ok ? answer.payload.topics[i] : { ...answer, ...answer.payload }
        topic.busy = undefined
        if (told.status === 200) return joined(topic, told)
        topic.joined = false
        if (/429|50[34]/.test(`${told.status}`)) {
          late = true
          topic.busy = LATER
        } else if (!parts) fail(topic, refusal(topic.name, { ...told, ok: false, payload: told.payload ?? told }))
      })
      if (late) {
        clearTimeout(timer)
        timer = setTimeout(() => look(LATER), delay(tries++, backoff))
      } else tries = 0
      look()
    })
  }

  const fail = ({ members }: Topic, error: unknown) => members.forEach((member) => member.fail(error))

  /** Brings the server up to what is wanted. `free`: who was busy so is so no more. */
  const look = (free?: number) => {
    const { state } = socket
    const wanted: Topic[] = []
    queued = false
    if (state !== 'open') many = MANY
    for (const [uuid, topic] of all) {
      const { name, members } = topic
      if (state !== 'open') topic.busy = topic.joined = undefined
      if (topic.busy === free) topic.busy = undefined
      if (state === 'closed') socket.ready().catch((error) => fail(topic, error))
      if (topic.busy === ASKED) continue
      if (!members.size) {
        if (topic.joined) {
          topic.busy = ASKED
          ask('$unsub', { topic: name }, () => {
            topic.busy = topic.joined = topic.at = undefined
            look()
          })
        } else all.delete(uuid)
      } else if (state === 'open' && !topic.busy) {
        if (!topic.joined || (topic.stateful && (topic.stale || [...members].some(({ fresh }) => fresh)))) wanted.push(topic)
        else welcome(topic)
      }
    }
    while (wanted[0]) join(wanted.splice(0, many))
    if (!all.size) {
      clearTimeout(timer)
      release?.()
      release = undefined
    }
  }

  /** Once for all who come and go in one turn: StrictMode does both. */
  const later = () => {
    if (!queued) void Promise.resolve().then(() => look())
    queued = true
  }

  lent.heard = ({ uuid, route, headers, payload }) => {
    const topic = all.get(uuid)
    const at = { epoch: headers?.$epoch, offset: headers?.$offset }
    if (topic?.joined) {
      if (route === '$gap') {
        const ms = gap(topic, (payload as any)?.reload_after_ms)
        topic.at = at
        setTimeout(() => {
          topic.stale = true
          look()
        }, ms)
      } else event(topic, { ...at, payload }, true)
    }
    return !!topic
  }
  socket.on('state', () => look())

  const start = (name: string, options: SubscribeOptions<any>, to: Sink<any>) => {
    const uuid = `#${name}`
    const topic = all.get(uuid) ?? { name, members: new Set() }
    const { signal } = options
    const leave = () => {
      signal?.removeEventListener('abort', abort)
      topic.members.delete(member)
      later()
    }
    const member: Member = {
      options,
      to,
      fresh: true,
      ahead: 0,
      fail(error) {
        leave()
        to.end({ error })
      },
    }
    const abort = () => member.fail(signal!.reason)
    release ??= socket.retain()
    all.set(uuid, topic)
    topic.members.add(member)
    later()
    if (signal?.aborted) abort()
    else signal?.addEventListener('abort', abort)
    return { took: () => void member.ahead--, leave }
  }

  return (name, options) => source((to) => start(name, options, to), options.signal, error)
}
