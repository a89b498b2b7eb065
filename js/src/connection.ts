/**
 * The life of a connection: one line after another, and the waits between them.
 *
 * It has at most one line, and opens one only while it is wanted; nothing but `connect` and `reconnect` brings it
 * back from `closed`. It knows nothing of calls: it says when a line opens, what arrives and what is over.
 */

import { delay, type Backoff } from './backoff.js'
import { SocketError } from './errors.js'
import { line, type Heartbeat, type Line } from './line.js'
import type { SocketOptions } from './options.js'
import { onPage } from './page.js'
import { safely } from './emitter.js'

/**
 * - `idle`: nobody wants a connection yet, or any more
 * - `connecting`: on the way, `auth` included
 * - `open`
 * - `waiting`: lost or refused, and coming back by itself
 * - `closed`: for good, until `connect()` or `reconnect()` says otherwise
 */
export type State = 'idle' | 'connecting' | 'open' | 'waiting' | 'closed'

export type Url = string | URL | (() => string | URL | Promise<string | URL>)

/** How it left; `cause` where an exception was the reason. */
export interface End {
  code: number
  reason: string
  cause?: unknown
}

export interface ConnectionEvents {
  /** A line is open and nobody else knows yet: what must be written first is written here. */
  opened(token: string | null | undefined): void
  data(data: unknown): void
  /** Every change, after it is so. With a state that ends a line, how it ended. */
  state(state: State, end?: End): void
  error(error: unknown): void
  ping(): string
  /** No call lives, or none that was `sent`: nothing is lost by leaving. */
  quiet(sent?: boolean): boolean
}

/** A connection counts as good, and forgets the failures before it, once it has lived this long. */
const STABLE = 5_000

/** One connection; `state`, `end` and `line` are those of this moment. */
export interface Connection {
  state: State
  end: End
  line: Line | undefined
  /** The line too, but for one whose other end is about to leave: nothing new goes over that. */
  fresh?: Line | undefined
  /** At once, unless lazy. Where a page is rendered on a server there may be no WebSocket: then on first use. */
  start(): void
  /** For whoever needs a line: leaves `idle`, and only that. */
  use(): void
  connect(): void
  reconnect(): void
  /** The other end leaves within these milliseconds: some time before it does, the line is fresh no more. */
  drain(within: number): void
  /** Whoever waited for an answer waits no longer: a line that is fresh no more may have another in its place. */
  settled(): void
  close(code?: number, reason?: string): void
  retain(): () => void
}

export function connection(url: Url, options: SocketOptions, backoff: Backoff, events: ConnectionEvents): Connection {
  const { auth, connectTimeout = 10_000, shouldReconnect, maxAttempts = Infinity } = options
  const heartbeat: Heartbeat | false = options.heartbeat !== false && { rate: 25_000, timeout: 10_000, ...options.heartbeat }
  /** Who is on the way. One that finds another here has been overtaken. */
  let attempt: object | undefined
  let failures = 0
  let holders = 0
  /** Wanted by itself, however many hold it. */
  let wanted = false
  /** The one thing it waits for: the handshake, the back-off, or a stable life. */
  let timer: ReturnType<typeof setTimeout> | undefined
  /** The line whose other end has said that it leaves; said again, it changes nothing. */
  let told: Line | undefined
  let leavePage: (() => void) | undefined

  const Platform = () => options.WebSocket ?? globalThis.WebSocket

  const set = (state: State, end?: End) => {
    self.state = state
    events.state(state, end)
  }

  const wait = (ms: number, then: () => void) => {
    clearTimeout(timer)
    timer = setTimeout(then, ms)
  }

  const open = () => {
    const mine = (attempt = {})
    const fail = (error: unknown) => {
      if (mine !== attempt) return
      const reason = String((error as Error)?.message ?? error)
      down({ code: 1006, reason, cause: error })
      events.error(error)
    }
    const go = (url: string | URL, token?: string | null) => mine === attempt && dial(url, token)

    leavePage ??= onPage(
      () => (self.state === 'waiting' ? open() : self.line?.probe()),
      () => attempt && leave('waiting', { code: 1000, reason: 'the page was put away' }, Infinity),
    )
    wait(connectTimeout, () => down({ code: 1006, reason: `not connected within ${connectTimeout} ms` }))
    set('connecting')
    if (typeof url !== 'function' && !auth) go(url)
    else {
      const ask = async () => go(await (typeof url === 'function' ? url() : url), await auth?.())
      ask().catch(fail)
    }
  }

  const dial = (url: string | URL, token?: string | null) => {
    let ws
    try {
      const WebSocket = Platform()
      if (!WebSocket) throw new SocketError('no WebSocket here: give one in the options')
      ws = new WebSocket(address(url))
    } catch (cause) {
      // An address or a platform that will not do now will not do later.
      leave('closed', { code: 1006, reason: (cause as Error).message, cause })
      return events.error(cause)
    }
    self.line = self.fresh = line(ws, heartbeat, {
      ...events,
      open() {
        wait(STABLE, () => (failures = 0))
        self.state = 'open'
        events.opened(token)
        // Who heard of a call that waited too long may have closed it.
        if (self.state === 'open') set('open')
      },
      down: (code, reason) => down({ code, reason }),
    })
  }

  const down = (end: End) => {
    const { code, reason } = end
    const attempt = ++failures
    let again = code !== 1008 && code !== 4403 && (code !== 4401 || !!auth)
    safely(() => {
      again = shouldReconnect?.({ code, reason, attempt }) ?? again
    })
    leave(again && attempt <= maxAttempts ? 'waiting' : 'closed', end)
  }

  /** Puts the line away. The new state holds, and the next step is arranged, before anybody hears of it. */
  const leave = (state: State, end: End, ms = delay(failures - 1, backoff)) => {
    const old = self.line
    self.line = self.fresh = attempt = undefined
    self.end = end
    old?.end(end)
    clearTimeout(timer)
    if (state === 'waiting') {
      if (ms < Infinity) wait(ms, open)
    } else {
      leavePage?.()
      leavePage = undefined
    }
    set(state, end)
  }

  /** At once; but counted as a failure until the next line has lived: who is sent away as he comes does not hammer. */
  const renew = () => leave('waiting', { code: 1000, reason: 'drained' }, failures++ ? undefined : 0)

  const rest = () => {
    // Later: who unmounts and mounts again, as StrictMode does, never lost it.
    setTimeout(() => {
      if (wanted || holders || self.state === 'closed' || self.state === 'idle') return
      if (events.quiet()) leave('idle', { code: 1000, reason: 'released' })
      else rest()
    }, options.linger ?? 1_000)
  }

  const self: Connection = {
    state: 'idle',
    end: { code: 1000, reason: 'never connected' },
    line: undefined,
    start() {
      const here = typeof url === 'function' || typeof location === 'object' || /^\w+:/.test(`${url}`)
      if (!options.lazy && Platform() && here) self.connect()
    },
    use() {
      if (self.state === 'idle') open()
    },
    connect() {
      wanted = true
      if (self.line || attempt) return
      failures = 0
      open()
    },
    reconnect() {
      wanted = true
      failures = 0
      leave('waiting', { code: 1000, reason: 'reconnect' }, 0)
    },
    drain(within) {
      // Not all clients at the same moment; and those who wait for an answer have their time.
      const first = (within * Math.random()) / 2
      if (!(within > 0) || told === self.line) return
      told = self.line
      wait(first, () => {
        self.fresh = undefined
        wait(within - first, renew)
        self.settled()
      })
    },
    settled() {
      if (self.line && !self.fresh && events.quiet(true)) renew()
    },
    close(code = 1000, reason = '') {
      wanted = false
      if (self.state !== 'closed') leave('closed', { code, reason })
    },
    retain() {
      let held = true
      holders++
      self.use()
      return () => {
        if (held) holders--
        held = false
        rest()
      }
    },
  }
  return self
}

/** Also `/ws`, and `https:` for those whose one setting is the address of the site. */
function address(url: string | URL): string {
  const { href } = new URL(url, globalThis.location?.href)
  return href.replace(/^http/, 'ws')
}
