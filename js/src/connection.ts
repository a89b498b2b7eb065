/**
 * The life of a connection: one line after another, and the waits between them.
 *
 * It has at most one line, and opens one only while it is wanted; nothing but `connect` and `reconnect` brings it
 * back from `closed`. It knows nothing of calls: it says when a line opens, what arrives and what is over.
 */

import { delay, type Backoff } from './backoff.js'
import { SocketError } from './errors.js'
import { Line, type Heartbeat } from './line.js'
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
  /** No call lives: nothing is lost by leaving. */
  quiet(): boolean
}

/** A connection counts as good, and forgets the failures before it, once it has lived this long. */
const STABLE = 5_000

export class Connection {
  state: State = 'idle'
  end: End = { code: 1000, reason: 'never connected' }
  line: Line | undefined

  readonly #heartbeat: Heartbeat | false
  readonly #backoff: Backoff
  /** Who is on the way. One that finds another here has been overtaken. */
  #attempt: object | undefined
  #failures = 0
  #holders = 0
  /** Wanted by itself, however many hold it. */
  #wanted = false
  /** The one thing it waits for: the handshake, the back-off, or a stable life. */
  #timer: ReturnType<typeof setTimeout> | undefined
  #leavePage: (() => void) | undefined

  constructor(
    private readonly url: Url,
    private readonly options: SocketOptions,
    private readonly events: ConnectionEvents,
  ) {
    const { heartbeat, backoff } = options
    this.#heartbeat = heartbeat !== false && { rate: 25_000, timeout: 10_000, ...heartbeat }
    this.#backoff = { min: 1_000, max: 30_000, ...backoff }
  }

  /** At once, unless lazy. Where a page is rendered on a server there may be no WebSocket: then on first use. */
  start(): void {
    const { url } = this
    const here = typeof url === 'function' || typeof location === 'object' || /^\w+:/.test(`${url}`)
    if (!this.options.lazy && this.#WebSocket && here) this.connect()
  }

  /** For whoever needs a line: leaves `idle`, and only that. */
  use(): void {
    if (this.state === 'idle') this.#open()
  }

  connect(): void {
    this.#wanted = true
    if (this.line || this.#attempt) return
    this.#failures = 0
    this.#open()
  }

  reconnect(): void {
    this.#wanted = true
    this.#failures = 0
    this.#leave('waiting', { code: 1000, reason: 'reconnect' }, 0)
  }

  close(code = 1000, reason = ''): void {
    this.#wanted = false
    if (this.state !== 'closed') this.#leave('closed', { code, reason })
  }

  retain(): () => void {
    let held = true
    this.#holders++
    this.use()
    return () => {
      if (held) this.#holders--
      held = false
      this.#rest()
    }
  }

  #rest(): void {
    // Later: who unmounts and mounts again, as StrictMode does, never lost it.
    setTimeout(() => {
      if (this.#wanted || this.#holders || this.state === 'closed' || this.state === 'idle') return
      if (this.events.quiet()) this.#leave('idle', { code: 1000, reason: 'released' })
      else this.#rest()
    }, this.options.linger ?? 1_000)
  }

  get #WebSocket(): SocketOptions['WebSocket'] {
    return this.options.WebSocket ?? globalThis.WebSocket
  }

  #open(): void {
    const { url } = this
    const { auth, connectTimeout = 10_000 } = this.options
    const attempt = (this.#attempt = {})
    const mine = () => attempt === this.#attempt
    const fail = (error: unknown) => {
      if (!mine()) return
      const reason = String((error as Error)?.message ?? error)
      this.#down({ code: 1006, reason, cause: error })
      this.events.error(error)
    }
    const dial = (url: string | URL, token?: string | null) => mine() && this.#dial(url, token)

    this.#leavePage ??= onPage(
      () => this.#wake(),
      () => this.#freeze(),
    )
    this.#wait(connectTimeout, () => this.#down({ code: 1006, reason: `not connected within ${connectTimeout} ms` }))
    this.#set('connecting')
    if (typeof url !== 'function' && !auth) dial(url)
    else {
      const ask = async () => [await (typeof url === 'function' ? url() : url), await auth?.()] as const
      ask().then((got) => dial(...got), fail)
    }
  }

  #dial(url: string | URL, token?: string | null): void {
    let ws
    try {
      if (!this.#WebSocket) throw new SocketError('no WebSocket on this platform: give one in the options')
      ws = new this.#WebSocket(address(url))
    } catch (cause) {
      // An address or a platform that will not do now will not do later.
      this.#leave('closed', { code: 1006, reason: (cause as Error).message, cause })
      return this.events.error(cause)
    }
    this.line = new Line(ws, this.#heartbeat, {
      open: () => {
        this.#wait(STABLE, () => (this.#failures = 0))
        this.state = 'open'
        this.events.opened(token)
        // Who heard of a call that waited too long may have closed it.
        if (this.state === 'open') this.#set('open')
      },
      data: (data) => this.events.data(data),
      down: (code, reason) => this.#down({ code, reason }),
      ping: () => this.events.ping(),
    })
  }

  #down(end: End): void {
    const attempt = ++this.#failures
    const { shouldReconnect, maxAttempts = Infinity, auth } = this.options
    let again = end.code !== 1008 && end.code !== 4403 && (end.code !== 4401 || !!auth)
    safely(() => {
      again = shouldReconnect?.({ code: end.code, reason: end.reason, attempt }) ?? again
    })
    this.#leave(again && attempt <= maxAttempts ? 'waiting' : 'closed', end)
  }

  /** Puts the line away. The new state holds, and the next step is arranged, before anybody hears of it. */
  #leave(state: State, end: End, wait = delay(this.#failures - 1, this.#backoff)): void {
    const { line } = this
    this.line = this.#attempt = undefined
    this.end = end
    line?.end(end)
    clearTimeout(this.#timer)
    if (state === 'waiting') {
      if (wait < Infinity) this.#wait(wait, () => this.#open())
    } else {
      this.#leavePage?.()
      this.#leavePage = undefined
    }
    this.#set(state, end)
  }

  #set(state: State, end?: End): void {
    this.state = state
    this.events.state(state, end)
  }

  #wait(ms: number, then: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, ms)
  }

  #wake(): void {
    if (this.state === 'waiting') this.#open()
    else this.line?.probe()
  }

  #freeze(): void {
    if (this.#attempt) this.#leave('waiting', { code: 1000, reason: 'the page was put away' }, Infinity)
  }
}

/** Also `/ws`, and `https:` for those whose one setting is the address of the site. */
function address(url: string | URL): string {
  const { href } = new URL(url, globalThis.location?.href)
  return href.replace(/^http/, 'ws')
}
