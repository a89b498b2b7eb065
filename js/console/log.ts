/**
 * The frames that went over the wire, and what they are: data only, nothing of it is shown here.
 *
 * Tokens are not kept: what is saved or seen over a shoulder shows none.
 */

import { isObject } from './schema.js'
import type { Frame } from '../src/wire.js'

export type Direction = 'out' | 'in' | 'note'

export interface Row {
  /** Its number among all that there ever were. */
  n: number
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

type What = Omit<Row, 'n' | 'at' | 'direction'>

const LIMIT = 10_000
const CHARACTERS = 32_000_000

const KINDS: Record<string, string> = { $cancel: 'cancel', $ack: 'ack', $gap: 'gap', PING: 'ping', PONG: 'pong' }

export class Log {
  rows: Row[] = []
  /** Rows that were dropped from the front, since the beginning. */
  dropped = 0
  #count = 0
  #asked = new Map<unknown, { route: string; at: number }>()
  #characters = 0

  constructor(
    private readonly limit = LIMIT,
    private readonly characters = CHARACTERS,
  ) {}

  add(direction: Direction, text: string, at: number): Row {
    const what = direction === 'note' ? { kind: 'note', route: '', text, preview: text } : this.#read(direction, text, at)
    const row = { n: this.#count++, at, direction, ...what }
    this.rows.push(row)
    this.#characters += row.text.length
    while (this.rows.length > this.limit || (this.#characters > this.characters && this.rows.length > 1)) this.#drop()
    return row
  }

  clear(): void {
    this.dropped += this.rows.length
    this.rows = []
    this.#characters = 0
  }

  /** One JSON object in each line. */
  get lines(): string {
    return this.rows
      .map(({ at, direction, text }) => {
        const frame = direction === 'note' ? undefined : parsed(text)
        return JSON.stringify({ at: new Date(at).toISOString(), direction, ...(frame === undefined ? { text } : { frame }) })
      })
      .join('\n')
  }

  #drop(): void {
    this.#characters -= this.rows.shift()!.text.length
    this.dropped++
  }

  #read(direction: Direction, text: string, at: number): What {
    const found = parsed(text)
    if (!isObject(found)) return { text, preview: text.slice(0, 300), kind: 'unreadable', route: '' }
    const frame: Frame = found
    const { uuid, headers } = frame
    const status = typeof frame.status === 'number' ? frame.status : undefined
    const route = typeof frame.route === 'string' ? frame.route : ''
    const shown = masked(frame)
    const preview = (JSON.stringify(shown.payload) ?? '').slice(0, 300)
    const row: What = { text: shown === frame ? text : JSON.stringify(shown), preview, kind: kindOf(direction, frame, status, route), route }
    if (status === undefined) {
      if (direction === 'out' && route && !route.startsWith('$c') && route !== '$ack') this.#ask(uuid, route, at)
      // A call of the server, and not one of a topic's events.
      else if (row.kind === 'call') this.#ask(uuid, route, at)
      else if (route === 'PONG') this.#asked.delete(uuid)
      return row
    }
    row.status = status
    const asked = this.#asked.get(uuid)
    if (asked) {
      row.route ||= asked.route
      row.ms = at - asked.at
    }
    if (status !== 402 || !isObject(headers)) this.#asked.delete(uuid)
    return row
  }

  #ask(uuid: unknown, route: string, at: number): void {
    this.#asked.set(uuid, { route, at })
    // Those whose connection was lost have no answer.
    if (this.#asked.size > 5_000) this.#asked.delete(this.#asked.keys().next().value)
  }
}

export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function kindOf(direction: Direction, { uuid, headers }: Frame, status: number | undefined, route: string): string {
  const own = Object.hasOwn(KINDS, route) && KINDS[route]
  if (own) return own
  if (status === 402) return typeof headers?.$seq === 'number' ? 'item' : 'progress'
  if (status !== undefined) return status < 300 ? 'answer' : 'error'
  if (direction === 'out') return headers?.$stream === true ? 'stream' : 'request'
  return uuid === '#' ? 'push' : uuid === `#${route}` ? 'event' : 'call'
}

function masked(frame: Frame): Frame {
  const { route, payload } = frame
  if (!/^\$(hello|auth)$/.test(`${route}`) || !isObject(payload) || !payload.token) return frame
  return { ...frame, payload: { ...payload, token: '•••' } }
}
