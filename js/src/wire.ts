/**
 * Frames and text: all this client knows of the JSON shape. It never waits and never throws on what it reads.
 */

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

export function decode(data: unknown): Frame | undefined {
  try {
    const frame: unknown = JSON.parse(data as string)
    return frame && typeof frame === 'object' && !Array.isArray(frame) ? frame : undefined
  } catch {
    return undefined
  }
}

/** `crypto.randomUUID` exists on secure origins only; a machine on the LAN by its address is not one. */
export const newUuid = (): string =>
  crypto.randomUUID?.() ??
  '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (digit) =>
    (+digit ^ (crypto.getRandomValues(new Uint8Array(1))[0]! & (15 >> (+digit / 4)))).toString(16),
  )
