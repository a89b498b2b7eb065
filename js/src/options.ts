/** What a socket can be told; every default is named here. */

import type { Backoff } from './backoff.js'
import type { Heartbeat, WebSocketLike } from './line.js'
import type { topics } from './topics.js'
import type { Headers } from './wire.js'

export interface SocketOptions {
  /**
   * Asked before every connection; the token goes first over the new line, with `$hello`. A failure is an `error`
   * event and one more wait, never the end. Asked again before the session ends, where the server says when.
   */
  auth?: () => string | null | undefined | Promise<string | null | undefined>
  /**
   * Whether each line begins with `$hello`, which gives `session`, calls from the server, and the renewal of a
   * session that ends: true. A server that knows nothing of it answers 404, and nobody is told.
   */
  hello?: boolean
  /** What the page was built for: the `contract` of its generated routes. `session.contract` then says whether it still fits. */
  contract?: { version: string; hash?: string }
  /** Sent with every request; those of the call win. */
  headers?: Headers | (() => Headers)
  /** Milliseconds from the call to its answer, 30,000. `Infinity` for none. */
  timeout?: number
  /** Milliseconds for `auth` and the handshake together, 10,000. */
  connectTimeout?: number
  /** A PING after 25,000 ms of silence, and 10,000 ms for any frame to follow. */
  heartbeat?: Partial<Heartbeat> | false
  /** From 1,000 ms, doubled up to 30,000; the real wait is from half of that to all of it. */
  backoff?: Partial<Backoff>
  /** Failed attempts in a row after which the socket closes for good: never. */
  maxAttempts?: number
  /** Calls that may wait for a connection, 1,000. */
  queueLimit?: number
  /** Connect on first use or `retain()`, and disconnect after the last release. */
  lazy?: boolean
  /** Milliseconds between the last release and the disconnect, 1,000. */
  linger?: number
  /** For `subscribe`: the `topics` of this package. Who does not give it does not load it either. */
  topics?: typeof topics
  /** The last word on whether to come back. Without it: always, but for 1008 (4403 from servers that cannot say 1008), and 4401 where there is no `auth`. */
  shouldReconnect?: (close: { code: number; reason: string; attempt: number }) => boolean
  /** A WebSocket where the platform has none, such as that of `ws` on Node before 22. */
  WebSocket?: new (url: string) => WebSocketLike
}

export interface CallOptions {
  /** Leaves the call: it rejects with the signal's reason, and the server is told to stop. */
  signal?: AbortSignal
  /** Milliseconds, instead of the socket's. */
  timeout?: number
  headers?: Headers
  /** Told how far the work has come, by a server that tells it; without it, nothing of the kind is asked for. */
  onProgress?: (progress: any) => void
}

export interface StreamOptions extends CallOptions {
  /** Milliseconds to the first item, or the end where there is none; after it, a stream may be silent for ever. */
  timeout?: number
  /** How many items may be on their way, or here and not taken yet: 64. */
  window?: number
}

export interface SubscribeOptions<S = unknown> {
  /** Leaves the topic: a loop throws the signal's reason. */
  signal?: AbortSignal
  /**
   * Events are lost, and what was made of the others is not complete. Whoever reads it anew waits so long, at random,
   * since all others were told too. Where the topic has a state, the new one comes by itself.
   */
  onGap?: (gap: Gap) => void
  /**
   * From now on nothing is missed in silence. Where the topic has a state, it comes with it; and comes again when events
   * alone cannot bring it up to date.
   */
  onSubscribed?: (snapshot: S) => void
}

export interface Gap {
  topic: string
  /** Milliseconds to wait before reading anew. */
  reloadAfterMs: number
}

export interface PublishOptions extends CallOptions {
  /** Published again under the same one, an event is stored once: after a 503 of code `uncertain`, say. */
  messageId?: string
}
