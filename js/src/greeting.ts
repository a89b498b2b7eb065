/**
 * Who this client says it is, what the server said to that, and for how long it holds.
 *
 * It knows the two routes for it, and nothing of lines: it is told when one is over.
 */

import type { SocketOptions } from './options.js'
import type { Session } from './session.js'
import type { Lent } from './topics.js'
import { refusal } from './wire.js'

/** What the server said of this line. */
export interface SessionInfo {
  /** The name of this connection. */
  session: string
  features: string[]
  limits: { message_bytes: number; in_flight: number; streams: number; window: number }
  /** The server's. Not `compatible`: it is of another major version than the one that was given to this socket. */
  contract: { version: string | null; hash: string | null; compatible?: boolean }
}

/** setTimeout takes no more; beyond, it fires at once. */
export const LONGEST = 2 ** 31 - 1

export interface Greeting {
  session: SessionInfo | undefined
  hello(token: string | null | undefined): void
  /** The token alone: anew, or first, from a client that says no hello. `end` is when the session ends if this fails. */
  auth(token: string, end?: number): void
  over(): void
}

/** `heed`: the server wants to hear something this often. The ledger is told how much it works on at once. */
export function greeting(
  { auth: ask, contract }: SocketOptions,
  lent: Lent,
  ledger: Pick<Session, 'most'>,
  heed: (ms: number) => void,
): Greeting {
  /** The wait for the next renewal; another, or none, once its line is over. */
  let timer: ReturnType<typeof setTimeout> | undefined

  const say = (route: string, payload: unknown, end = 0) =>
    lent.ask(route, payload, (answer) => {
      const said = answer.payload as any
      if (answer.ok) {
        if (said?.session) {
          self.session = said
          ledger.most = said.limits?.in_flight || Infinity
          if (said.contract?.compatible === false) lent.error(Error('another contract'))
        }
        heed(said?.heartbeat * 1000)
        end = Date.now() + said?.expires_in * 1000
        // A server of the base knows neither route, and that is no error.
      } else if (answer.status === 404) ledger.most = Infinity
      else lent.error(refusal(route, answer))
      renewBefore(end)
    })

  /** After most of the time that is left, and again after most of the rest: the end itself is the last resort. */
  const renewBefore = (end: number) => {
    const left = end - Date.now()
    if (!ask || !(left > 100)) return
    const mine = (timer = setTimeout(async () => {
      try {
        const token = await ask()
        if (mine === timer && token != null) self.auth(token, end)
      } catch (error) {
        if (mine !== timer) return
        lent.error(error)
        renewBefore(end)
      }
    }, Math.min(left * 0.85, LONGEST)))
  }

  const self: Greeting = {
    session: undefined,
    hello: (token) => say('$hello', { protocol: 1, client: 'js', features: ['calls', 'drain'], contract, token: token ?? undefined }),
    auth: (token, end) => say('$auth', { token }, end),
    over() {
      clearTimeout(timer)
      self.session = timer = undefined
    },
  }
  return self
}
