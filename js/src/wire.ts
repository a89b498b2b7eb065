/**
 * Frames and text: all this client knows of the JSON shape. It never waits and never throws on what it reads.
 */

import { ResponseError } from './errors.js'
import type { Answer } from './routes.js'

export type Headers = Record<string, unknown>

/** What may arrive: an answer has a `status`, a push has a `route`. */
export interface Frame {
  uuid?: unknown
  route?: unknown
  status?: unknown
  headers?: Headers | null
  payload?: unknown
}

/** One request; a payload that is undefined is absent. */
export const encode = (uuid: string, route: string, headers: Headers, payload?: unknown): string =>
  JSON.stringify({ uuid, route, headers, payload })

/** One answer to a call of the server. */
export const encodeAnswer = (uuid: unknown, status: number, payload: unknown): string =>
  JSON.stringify({ uuid, status, headers: {}, payload })

export function decode(data: unknown): Frame | undefined {
  try {
    const frame: unknown = JSON.parse(data as string)
    return frame && typeof frame === 'object' && !Array.isArray(frame) ? frame : undefined
  } catch {
    return undefined
  }
}

export function answer(frame: Frame): Answer<any> {
  const status = typeof frame.status === 'number' ? frame.status : 200
  const payload = frame.payload as any
  return { ok: (status >= 200 && status < 300) as true, status, headers: frame.headers ?? {}, payload }
}

export const refusal = (route: string, { status, headers, payload }: Answer<any>): ResponseError =>
  new ResponseError(route, status, headers, payload)

/** `crypto.randomUUID` exists on secure origins only; a machine on the LAN by its address is not one. */
export const newUuid = (): string =>
  crypto.randomUUID?.() ??
  '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (digit) =>
    (+digit ^ (crypto.getRandomValues(new Uint8Array(1))[0]! & (15 >> (+digit / 4)))).toString(16),
  )
