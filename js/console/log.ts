/**
 * The frames that went over the wire, and what they are: data only, nothing of it is shown here.
 *
 * Tokens are not kept: what is seen over a shoulder shows none.
 */

import { decode, type Frame } from '../src/wire.js'
import { isObject } from './schema.js'

export type Direction = 'out' | 'in' | 'note'
export type Heard = (direction: Direction, text: string) => void

export interface Row {
  at: number
  direction: Direction
  text: string
  /** The beginning of its payload. */
  preview: string
  /** What it is: a word for people. */
  kind: string
  route: string
  status?: number
  /** Milliseconds since its request. */
  ms?: number
}

export class Log {
  rows: Row[] = []
  /** Rows that were dropped from the front, since the beginning. */
  dropped = 0
  #asked = new Map<unknown, { route: string; at: number }>()
  #characters = 0

  constructor(
    private readonly limit = 10_000,
    private readonly characters = 32_000_000,
  ) {}

  add(direction: Direction, text: string, at: number): void {
    const row: Row = { at, direction, text, preview: text.slice(0, 300), kind: 'note', route: '' }
    if (direction !== 'note') this.#read(row)
    this.rows.push(row)
    this.#characters += row.text.length
    while (this.rows.length > this.limit || (this.#characters > this.characters && this.rows[1])) {
      this.#characters -= this.rows.shift()!.text.length
      this.dropped++
    }
  }

  clear(): void {
    this.dropped += this.rows.length
    this.rows = []
    this.#characters = 0
  }

  #read(row: Row): void {
    const { direction, at } = row
    const frame = decode(row.text)
    row.kind = 'unreadable'
    if (!frame) return
    const { uuid, headers, payload } = frame
    const status = frame.status as number | undefined
    const route = (row.route = `${frame.route ?? ''}`)
    if (/^\$(hello|auth)$/.test(route) && isObject(payload) && payload.token) {
      payload.token = '•••'
      row.text = JSON.stringify(frame)
    }
    row.preview = (JSON.stringify(payload) ?? '').slice(0, 300)
    row.kind = kindOf(direction, frame, status, route)
    if (status === undefined) {
      // A request, also of the server. Those whose connection was lost have no answer.
      if (/^(request|stream|call)$/.test(row.kind)) this.#asked.set(uuid, { route, at })
      if (this.#asked.size > 5_000) this.#asked.delete(this.#asked.keys().next().value)
      return
    }
    row.status = status
    const asked = this.#asked.get(uuid)
    if (asked) {
      row.route ||= asked.route
      row.ms = at - asked.at
    }
    if (status !== 402 || !isObject(headers)) this.#asked.delete(uuid)
  }
}

function kindOf(direction: Direction, { uuid, headers }: Frame, status: number | undefined, route: string): string {
  if (/^(\$(cancel|ack|gap)|P[IO]NG)$/.test(route)) return route.replace('$', '').toLowerCase()
  if (status === 402) return headers?.$seq === undefined ? 'progress' : 'item'
  if (status !== undefined) return status < 300 ? 'answer' : 'error'
  if (direction === 'out') return headers?.$stream ? 'stream' : 'request'
  return uuid === '#' ? 'push' : uuid === `#${route}` ? 'event' : 'call'
}
