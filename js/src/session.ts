/**
 * The ledger of one conversation, without its line.
 *
 * It knows which calls live and what a frame means to them. It never sends, waits or times:
 * that is the socket's part. Every kind of conversation is a call in this one table,
 * started by one request and ended by its last answer.
 */

import { QueueFullError, SocketError } from './errors.js'
import type { Frame } from './wire.js'

export interface Call {
  readonly uuid: string
  readonly text: string
  /** The server may have seen it. */
  sent: boolean
  /** The protocol's own: takes no place in the queue, and nobody waits for it. */
  readonly own?: boolean
  /** It is one of those that a server bounds the number of. */
  readonly counts?: boolean
  /** Why it is not worth sending any more. Calls that wait for an answer see to that themselves. */
  stale?(): Error | undefined
  /** Takes an answer, and ends the call if it was the last. Without it, the call ends as it is sent. */
  answer?(frame: Frame): void
  fail(error: unknown): void
}

/** What a frame asks for. Most that is not for a live call is an answer too late, and nobody's. */
export type Step =
  | 'nothing'
  /** An answer to this one. */
  | Call
  | 'push'
  /** The server calls, and waits for an answer; or no longer waits. */
  | 'serve'
  | 'desist'
  /** The server is about to leave. */
  | 'drain'
  /** The server could not read something this client wrote. */
  | 'complain'

export interface Session {
  /** Those that are yet to be sent, oldest first. */
  readonly waiting: ReadonlySet<Call>
  /**
   * Throws rather than let a second call steal the answer of the first; or the queue grow without end, where it is one
   * for a line and not for a place on an `open` one.
   */
  start(call: Call, open?: boolean): void
  sent(call: Call): void
  /** Twice is harmless, and so is one that was never started. */
  end(call: Call): void
  receive(frame: Frame): Step
  /** How many calls the server works on at once, as it said last, on this line or before. */
  most: number
  /** Whether this would be one more. More would only lie before the server's door, where nothing behind them is read. */
  full(call: Call): boolean | undefined
  /** Whether nobody waits for an answer; `sent`: to what was sent. */
  quiet(sent?: boolean): boolean
  /**
   * Takes out what a lost line ends: whatever was sent, as nobody knows how far it came, and what is the protocol's own,
   * which is said anew; `all`: the rest too.
   */
  lost(all: boolean): Call[]
}

/** At most `limit` calls wait for a line. `greets`: the server was told what this client can do. */
export function session(limit: number, greets: boolean): Session {
  const calls = new Map<unknown, Call>()
  const waiting = new Set<Call>()
  const under = (kind: (call: Call) => unknown) => [...calls.values()].filter(kind)
  let busy = 0

  const self: Session = {
    waiting,
    // 64: the protocol's default, for a server that has not said it yet.
    most: greets ? 64 : Infinity,
    start(call, open) {
      const { uuid, own } = call
      if (calls.has(uuid)) throw new SocketError(`uuid ${uuid} is in use`)
      if (waiting.size >= limit && !open && !own) throw new QueueFullError(limit)
      calls.set(uuid, call)
      waiting.add(call)
    },
    sent(call) {
      waiting.delete(call)
      call.sent = true
      if (call.counts) busy++
      if (!call.answer) calls.delete(call.uuid)
    },
    end(call) {
      waiting.delete(call)
      if (calls.get(call.uuid) === call && calls.delete(call.uuid) && call.counts && call.sent) busy--
    },
    receive({ uuid, route, status }) {
      // Strictly by string: "7" is not 7, and this client's uuids are strings.
      const call = calls.get(uuid)
      if (route === 'PONG') return 'nothing'
      if (call?.sent) return call
      if (typeof route === 'string') {
        // Of a topic, which is pushed under its name.
        if (uuid === `#${route}` || route === '$gap') return 'push'
        if (greets && uuid === '#' && route === '$drain') return 'drain'
        if (greets && /^#./.test(uuid as string)) return route === '$cancel' ? 'desist' : 'serve'
        // Names that start with $ belong to the protocol, whichever of them this client knows.
        return route[0] === '$' ? 'nothing' : 'push'
      }
      return uuid === 0 && (status as number) >= 400 ? 'complain' : 'nothing'
    },
    full: ({ counts }) => counts && busy >= self.most,
    quiet: (sent) => !under((call) => !call.own && (call.sent || !sent))[0],
    lost(all) {
      const lost = under((call) => all || call.sent || call.own)
      lost.forEach(self.end)
      return lost
    },
  }
  return self
}
