/**
 * Everything a call can fail with, but for an abort: that rejects with the signal's own reason.
 *
 *     SocketError
 *     ├── ResponseError        the server answered, and not with a 2xx
 *     ├── ConnectionLostError  no answer will come: `sent` tells whether the server may have seen the call
 *     ├── TimeoutError         no answer came in time: `sent` likewise
 *     └── QueueFullError       too many calls wait for a connection already
 */

import type { RouteError, RouteName, Routes } from './routes.js'

export class SocketError extends Error {
  // Not `new.target.name`: a minifier renames classes, and people match on names.
  override name = 'SocketError'
}

/** What the server's own errors carry; `detail` is the list FastAPI users know. */
export interface ErrorPayload {
  message?: string
  code?: string
  detail?: { loc: (string | number)[]; msg: string; type: string }[]
}

export class ResponseError extends SocketError {
  override name = 'ResponseError'
  /** The server's machine word for what went wrong, such as `not_found`. */
  declare readonly code: string | undefined

  constructor(
    readonly route: string,
    readonly status: number,
    readonly headers: Record<string, unknown>,
    readonly payload: ErrorPayload | null | undefined,
  ) {
    super(payload?.message ?? `${route} was answered with ${status}`)
    this.code = payload?.code
  }
}

/**
 * Whether this is the refusal of a call of that route. For the compiler, `error.status` then tells what `error.payload`
 * is, where the route declares `errors`. Routes that are not registered are named: `isResponseError<'r', MyRoutes>(e, 'r')`;
 * and so are topics.
 */
export function isResponseError<K extends RouteName<R>, R = Routes>(error: unknown, route: K): error is RouteError<R, K> {
  return error instanceof ResponseError && error.route === route
}

export class ConnectionLostError extends SocketError {
  override name = 'ConnectionLostError'
  constructor(
    /** False: it never left, and may be tried again safely. True: the server may have done it. */
    readonly sent: boolean,
    /** The close code, 1006 when there was none. */
    readonly code: number,
    readonly reason: string,
    cause?: unknown,
  ) {
    super(`connection lost ${sent ? 'after' : 'before'} the call was sent: ${reason || code}`, { cause })
  }
}

export class TimeoutError extends SocketError {
  override name = 'TimeoutError'
  constructor(route: string, ms: number, readonly sent: boolean) {
    super(`${route} was not ${sent ? 'answered' : 'sent'} within ${ms} ms`)
  }
}

export class QueueFullError extends SocketError {
  override name = 'QueueFullError'
  constructor(limit: number) {
    super(`${limit} calls already wait for a connection`)
  }
}
