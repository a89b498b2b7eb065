/**
 * Who this client says it is, what the server said to that, and for how long it holds.
 *
 * It knows the two routes for it, and nothing of lines: it is told when one is over.
 */

import type { SocketOptions } from './options.js'
import type { Answer } from './routes.js'
import { refusal } from './wire.js'

/** What the server said of this line. */
export interface SessionInfo {
  /** The name of this connection. */
  session: string
  features: string[]
  limits: { message_bytes: number; in_flight: number; streams: number; window: number }
}

export interface GreetingEvents {
  /** Asks the server, at once, unless the line is gone. */
  ask(route: string, payload: unknown, done: (answer: Answer<any>) => void): void
  /** The server wants to hear something this often. */
  heed(ms: number): void
  error(error: unknown): void
}

/** setTimeout takes no more; beyond, it fires at once. */
export const LONGEST = 2 ** 31 - 1

export class Greeting {
  session: SessionInfo | undefined
  /** The wait for the next renewal; another, or none, once its line is over. */
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly token: SocketOptions['auth'],
    private readonly events: GreetingEvents,
  ) {}

  hello(token: string | null | undefined): void {
    this.#say('$hello', { protocol: 1, client: 'js', features: ['calls'], token: token ?? undefined })
  }

  /** The token alone: anew, or first, from a client that says no hello. `end` is when the session ends if this fails. */
  auth(token: string, end?: number): void {
    this.#say('$auth', { token }, end)
  }

  over(): void {
    clearTimeout(this.#timer)
    this.session = this.#timer = undefined
  }

  #say(route: string, payload: unknown, end = 0): void {
    this.events.ask(route, payload, (answer) => {
      const said = answer.payload as any
      if (answer.ok) {
        if (said?.session) this.session = said
        this.events.heed(said?.heartbeat * 1000)
        end = Date.now() + said?.expires_in * 1000
        // A server of the base knows neither route, and that is no error.
      } else if (answer.status !== 404) this.events.error(refusal(route, answer))
      this.#renewBefore(end)
    })
  }

  /** After most of the time that is left, and again after most of the rest: the end itself is the last resort. */
  #renewBefore(end: number): void {
    const left = end - Date.now()
    if (!this.token || !(left > 100)) return
    const timer = (this.#timer = setTimeout(async () => {
      try {
        const token = await this.token!()
        if (timer === this.#timer && token != null) this.auth(token, end)
      } catch (error) {
        if (timer !== this.#timer) return
        this.events.error(error)
        this.#renewBefore(end)
      }
    }, Math.min(left * 0.85, LONGEST)))
  }
}
