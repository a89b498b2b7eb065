/** What a socket can be told; every default is named here. */

import type { Backoff } from './backoff.js'
import type { Heartbeat, WebSocketLike } from './line.js'
import type { Headers } from './wire.js'

export interface SocketOptions {
  /**
   * Asked before every connection; the token goes first over the new line, as `$hello`. A failure is an `error`
   * event and one more wait, never the end.
   */
  auth?: () => string | null | undefined | Promise<string | null | undefined>
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
}
