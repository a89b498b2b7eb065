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
  /** The server could not read something this client wrote. */
  | 'complain'

export class Session {
  #calls = new Map<string, Call>()
  #unsent = 0

  constructor(
    private readonly limit: number,
    /** Whether the server was told that it may call. */
    private readonly serves: boolean,
  ) {}

  /** Throws rather than let a second call steal the answer of the first, or the queue grow without end. */
  start(call: Call): void {
    if (this.#calls.has(call.uuid)) throw new SocketError(`uuid ${call.uuid} is in use`)
    if (this.#unsent >= this.limit && !call.own) throw new QueueFullError(this.limit)
    this.#calls.set(call.uuid, call)
    this.#unsent++
  }

  sent(call: Call): void {
    this.#unsent--
    call.sent = true
    if (!call.answer) this.#calls.delete(call.uuid)
  }

  end(call: Call): void {
    if (this.#calls.get(call.uuid) === call && this.#calls.delete(call.uuid) && !call.sent) this.#unsent--
  }

  receive(frame: Frame): Step {
    // Strictly by string: "7" is not 7, and this client's uuids are strings.
    const call = this.#calls.get(frame.uuid as string)
    if (frame.route === 'PONG') return 'nothing'
    if (call?.sent) return call
    const { uuid, route } = frame
    if (typeof route === 'string') {
      // Of a topic, which is pushed under its name.
      if (uuid === `#${route}` || route === '$gap') return 'push'
      if (this.serves && /^#./.test(uuid as string)) return route === '$cancel' ? 'desist' : 'serve'
      // Names that start with $ belong to the protocol, whichever of them this client knows.
      return route[0] === '$' ? 'nothing' : 'push'
    }
    return uuid === 0 && (frame.status as number) >= 400 ? 'complain' : 'nothing'
  }

  /** Calls that wait for a line, oldest first. */
  waiting(): Call[] {
    return [...this.#calls.values()].filter((call) => !call.sent)
  }

  get empty(): boolean {
    return [...this.#calls.values()].every((call) => call.own)
  }

  /**
   * Takes out what a lost line ends: whatever was sent, as nobody knows how far it came, and what is the protocol's own,
   * which is said anew; `all`: the rest too.
   */
  lost(all: boolean): Call[] {
    const lost = [...this.#calls.values()].filter((call) => all || call.sent || call.own)
    lost.forEach((call) => this.end(call))
    return lost
  }
}
