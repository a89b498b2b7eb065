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

export class Serving {
  #handlers = new Map<unknown, [Any]>()
  #running = new Map<unknown, AbortController>()

  constructor(private readonly failed: (error: unknown) => void) {}

  /** Returns its undoing; so does the signal. Twice is harmless. */
  handle(route: string, handler: Any, signal?: AbortSignal): () => void {
    if (this.#handlers.has(route)) throw new SocketError(`${route} is handled already`)
    const entry: [Any] = [handler]
    return until(
      signal,
      () => this.#handlers.set(route, entry),
      () => this.#handlers.get(route) === entry && this.#handlers.delete(route),
    )
  }

  async serve(frame: Frame, send: (text: string) => void): Promise<void> {
    const stop = new AbortController()
    this.#running.set(frame.uuid, stop)
    const text = await this.#answer(frame, stop.signal)
    if (stop.signal.aborted) return
    this.#running.delete(frame.uuid)
    send(text)
  }

  /** The server no longer waits. */
  desist(uuid: unknown): void {
    this.#running.get(uuid)?.abort()
    this.#running.delete(uuid)
  }

  /** Nobody can be answered any more. */
  lost(): void {
    for (const uuid of this.#running.keys()) this.desist(uuid)
  }

  get idle(): boolean {
    return !this.#running.size
  }

  async #answer({ uuid, route, headers, payload }: Frame, signal: AbortSignal): Promise<string> {
    const handler = this.#handlers.get(route)?.[0]
    let status = 200
    let result: unknown
    const failed = (error: any, code: string) => {
      status = 500
      result = { message: `${route} failed`, code }
      // A handler that was told to stop may fail as it likes.
      if (!signal.aborted) this.failed(error)
    }
    try {
      if (!handler) throw { status: 404, payload: { message: 'no such route', code: 'not_found' } }
      result = await handler(payload, { headers: headers ?? {}, signal })
    } catch (error: any) {
      // An error with a status and a payload, such as a ResponseError, is an answer.
      if (/^[1-5]\d\d$/.test(error?.status) && 'payload' in error) [status, result] = [+error.status, error.payload]
      else failed(error, 'internal')
    }
    try {
      return encodeAnswer(uuid, status, result)
    } catch (error) {
      failed(error, 'unserialisable')
      return encodeAnswer(uuid, status, result)
    }
  }
}
