/** What came of a request, while it comes: status, times, progress, items, payload. */

import { ResponseError } from '../src/errors.js'
import { announce, clock, copier, fill, h, json, ms, perFrame, type Child } from './dom.js'
import type { Detail } from './editor.js'
import { shown } from './look.js'
import { Rows } from './rows.js'
import { isObject } from './schema.js'

/** Of more, the last are kept. */
const KEPT = 10_000

interface Came {
  at: number
  value?: unknown
  note?: string
}

export const line = (value: unknown): string => (JSON.stringify(value) ?? '').slice(0, 400)

/** Items, events, whatever comes one after the other. */
export class Heap {
  readonly element: HTMLElement
  count = 0
  #kept: Came[] = []
  readonly #rows: Rows<Came>
  readonly #detail = h('div')
  readonly #show = perFrame(() => this.#rows.show(this.#kept, this.count - this.#kept.length))

  constructor(name: string) {
    const row = ({ at, value, note }: Came) => [h('time', clock(at)), note ? h('span.warn', note) : h('code', line(value))]
    this.#rows = new Rows(name, row, ({ value, note }) => fill(this.#detail, shown(note ?? value, `one of the ${name}`)))
    this.element = h('div.heap', this.#rows.element, this.#detail)
    this.clear()
  }

  push(value: unknown, note?: string): void {
    this.count++
    this.#kept.push({ at: Date.now(), value, note })
    // In big steps: to move thousands for each new one would be slow.
    if (this.#kept.length > KEPT * 1.2) this.#kept = this.#kept.slice(-KEPT)
    this.element.hidden = false
    this.#show()
  }

  clear(): void {
    this.count = 0
    this.#kept = []
    this.element.hidden = true
    this.#rows.refresh([], 0)
    fill(this.#detail)
  }
}

export class Outcome {
  readonly element: HTMLElement
  readonly #heap: Heap
  readonly #status = h('p.outcome')
  readonly #progress = h('p.progress')
  readonly #payload = h('div')
  #began = 0
  #first?: number
  #word = ''
  #steps = 0
  #last: unknown
  #gaps = 0
  readonly #tick = perFrame(() => {
    if (!this.#word) return
    this.#say(this.#word, 'running')
    this.#tick()
  })

  /** `many` is what comes one by one, if anything does. */
  constructor(
    private readonly title: string,
    private readonly many = 'items',
  ) {
    this.#heap = new Heap(many)
    this.element = h('section', { 'aria-label': title, hidden: true }, h('h3', title), this.#status, this.#progress, this.#payload, this.#heap.element)
  }

  begin(): void {
    this.#began = performance.now()
    this.#first = undefined
    this.#steps = this.#gaps = 0
    this.#heap.clear()
    this.element.hidden = false
    fill(this.#payload)
    this.going('…')
  }

  /** What it is doing until something else is said. */
  going(word: string): void {
    this.#word = word
    this.#tick()
  }

  first(): void {
    this.#first ??= performance.now() - this.#began
  }

  progress(value: unknown): void {
    this.first()
    this.#steps++
    this.#last = value
  }

  item(item: unknown): void {
    this.first()
    this.#heap.push(item)
  }

  gap(text: string): void {
    this.#gaps++
    this.#heap.push(undefined, text)
    announce(text)
  }

  value(title: string, value: unknown): void {
    fill(this.#payload, h('div.bar', h('span.title', title), copier('Copy', () => json(value))), shown(value, title))
  }

  end(status: number, payload: unknown, { $seq, ...headers }: Record<string, unknown> = {}): void {
    this.first()
    const message = status >= 300 && isObject(payload) ? join(payload.message, payload.code) : ''
    this.#end(`${status}`, status < 300 ? 'good' : 'bad', message)
    this.value(this.#heap.count ? 'result' : 'payload', payload)
    this.#payload.prepend(h('p.error', message))
    if (Object.keys(headers).length) this.#payload.append(h('h4', 'headers'), shown(headers, 'headers'))
  }

  /** There was no answer, or it was not waited for. */
  fail(error: unknown): void {
    if (error instanceof ResponseError) return this.end(error.status, error.payload, error.headers)
    const { name, message } = error as Error
    if (name === 'AbortError') return this.#end(this.many === 'events' ? 'left' : 'cancelled', '')
    this.#end('no answer', 'bad', message)
    fill(this.#payload, h('p.error', message))
  }

  #end(word: string, state: string, message = ''): void {
    this.#word = ''
    this.#say(word, state)
    announce(`${this.title}: ${word} ${message}`)
  }

  #say(word: string, state: string): void {
    const took = performance.now() - this.#began
    const fact = (name: string, value: string | number, before: string, after = '') => h('span', before, h('b', { 'data-fact': name }, value), after)
    const facts: Child[] = [
      this.#first !== undefined && fact('first', ms(this.#first), 'first answer after '),
      fact('end', ms(took), state === 'running' ? 'running for ' : 'end after '),
      this.#heap.count > this.#gaps && fact('count', this.#heap.count - this.#gaps, '', ` ${this.many}`),
      this.#gaps > 0 && fact('gaps', this.#gaps, 'gaps: '),
    ]
    fill(this.#status, h('span.status', { 'data-state': state }, word), facts)
    fill(this.#progress, this.#steps > 0 && [h('b', `progress (${this.#steps}) `), h('code', line(this.#last))])
  }
}

const join = (...words: unknown[]) => words.filter((word) => typeof word === 'string').join(' · ')

/** The list of what does not fit, where the server gave one. */
export function detailsOf(payload: unknown): Detail[] {
  const detail = isObject(payload) ? payload.detail : undefined
  return Array.isArray(detail) ? detail.filter((one) => Array.isArray(one?.loc)) : []
}
