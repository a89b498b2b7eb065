/**
 * The calls of the server: who answers them, and which are being answered.
 *
 * An answer goes over the line on which its call came, or nowhere.
 */

import { until } from './emitter.js'
import { SocketError } from './errors.js'
import { encodeAnswer, type Frame } from './wire.js'
import type { Handler } from './routes.js'

type Any = Handler<any, any>

export interface Serving {
  /** Returns its undoing; so does the signal. Twice is harmless. */
  handle(route: string, handler: Any, signal?: AbortSignal): () => void
  serve(frame: Frame, send: (text: string) => void): Promise<void>
  /** The server no longer waits. */
  desist(uuid: unknown): void
  /** Nobody can be answered any more. */
  lost(): void
  /** Whether the server waits for no answer. */
  idle(): boolean
}

export function serving(failed: (error: unknown) => void): Serving {
  const handlers = new Map<unknown, [Any]>()
  const running = new Map<unknown, AbortController>()

  const answer = async ({ uuid, route, headers, payload }: Frame, signal: AbortSignal): Promise<string> => {
    const handler = handlers.get(route)?.[0]
    let status = 200
    let result: unknown
    const fail = (error: any, code: string) => {
      status = 500
      result = { message: `${route} failed`, code }
      // A handler that was told to stop may fail as it likes.
      if (!signal.aborted) failed(error)
    }
    try {
      if (!handler) throw { status: 404, payload: { message: 'no such route', code: 'not_found' } }
      result = await handler(payload, { headers: headers ?? {}, signal })
    } catch (error: any) {
      // An error with a status and a payload, such as a ResponseError, is an answer.
      if (/^[1-5]\d\d$/.test(error?.status) && 'payload' in error) [status, result] = [+error.status, error.payload]
      else fail(error, 'internal')
    }
    try {
      return encodeAnswer(uuid, status, result)
    } catch (error) {
      fail(error, 'unserialisable')
      return encodeAnswer(uuid, status, result)
    }
  }

  const self: Serving = {
    handle(route, handler, signal) {
      if (handlers.has(route)) throw new SocketError(`${route} is handled already`)
      const entry: [Any] = [handler]
      return until(
        signal,
        () => handlers.set(route, entry),
        () => handlers.get(route) === entry && handlers.delete(route),
      )
    },
    async serve(frame, send) {
      const stop = new AbortController()
      running.set(frame.uuid, stop)
      const text = await answer(frame, stop.signal)
      if (stop.signal.aborted) return
      running.delete(frame.uuid)
      send(text)
    },
    desist(uuid) {
      running.get(uuid)?.abort()
      running.delete(uuid)
    },
    lost() {
      for (const uuid of running.keys()) self.desist(uuid)
    },
    idle: () => !running.size,
  }
  return self
}
