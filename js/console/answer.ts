/** What came of a request, while it comes: status, times, progress, items, payload. */

import { ResponseError } from '../src/errors.js'
import { announce, clock, fill, h, ms, nowAndThen } from './dom.js'
import { shown } from './look.js'
import { rows } from './rows.js'
import { isObject } from './schema.js'

/** Of more, the last are kept. */
const KEPT = 10_000

interface Came {
  at: number
  value?: unknown
  note?: string
}

const line = (value: unknown): string => (JSON.stringify(value) ?? '').slice(0, 400)

/** Items, events, whatever comes one after the other. */
export function heap(name: string) {
  let kept: Came[] = []
  const detail = h('div')
  const list = rows<Came>(
    name,
    ({ at, value, note }) => [h('time', clock(at)), h('code', note ?? line(value))],
    ({ value, note }) => fill(detail, shown(note ?? value, `one of the ${name}`)),
  )
  const show = nowAndThen(() => list.show(kept))
  const self = {
    element: h('div.heap', { hidden: true }, list.element, detail),
    count: 0,
    push(value: unknown, note?: string) {
      self.count++
      kept.push({ at: Date.now(), value, note })
      if (kept.length > KEPT) kept.shift()
      self.element.hidden = false
      show()
    },
    clear() {
      self.count = 0
      kept = []
      self.element.hidden = true
      fill(detail)
    },
  }
  return self
}

export type Outcome = ReturnType<typeof outcome>

/** `many` is what comes one by one, if anything does. */
export function outcome(title: string, many = 'items') {
  const items = heap(many)
  const line1 = h('p.outcome')
  const steps = h('p.progress')
  const body = h('div')
  const element = h('section', { 'aria-label': title, hidden: true }, h('h3', title), line1, steps, body, items.element)
  let began = 0
  let first: number | undefined
  let word = ''
  let done = 0
  let gaps = 0

  const tick = nowAndThen(() => {
    if (!word) return
    say(word, '')
    tick()
  })
  const say = (what: string, looks: string) => {
    const fact = (name: string, value: string | number, before = '', after = '') => h('span', before, h('b', { 'data-fact': name }, value), after)
    fill(
      line1,
      h(`span.status${looks}`, what),
      first !== undefined && fact('first', ms(first), 'first after '),
      fact('end', ms(performance.now() - began), word ? '' : 'end after '),
      items.count > gaps && fact('count', items.count - gaps, '', ` ${many}`),
      gaps > 0 && fact('gaps', gaps, 'gaps: '),
    )
  }
  const end = (what: string, looks: string, message = '') => {
    word = ''
    say(what, looks)
    if (message) body.prepend(h('p.error', message))
    announce(`${title}: ${what} ${message}`)
  }
  const self = {
    element,
    begin() {
      began = performance.now()
      first = undefined
      done = gaps = 0
      items.clear()
      fill(body)
      fill(steps)
      element.hidden = false
      self.going('…')
    },
    /** What it is doing until something else is said. */
    going(what: string) {
      word = what
      tick()
    },
    first() {
      first ??= performance.now() - began
    },
    progress(value: unknown) {
      self.first()
      fill(steps, `progress (${++done}) ${line(value)}`)
    },
    item(item: unknown) {
      self.first()
      items.push(item)
    },
    gap(text: string) {
      gaps++
      items.push(undefined, text)
      announce(text)
    },
    value(title: string, value: unknown) {
      fill(body, h('h4', title), shown(value, title))
    },
    end(status: number, payload: unknown, { $seq, ...headers }: Record<string, unknown> = {}) {
      self.first()
      self.value(items.count ? 'result' : 'payload', payload)
      if (Object.keys(headers)[0]) body.append(h('h4', 'headers'), shown(headers, 'headers'))
      end(`${status}`, status < 300 ? '.good' : '.bad', status >= 300 && isObject(payload) ? `${payload.message ?? ''}` : '')
    },
    /** There was no answer, or it was not waited for. */
    fail(error: unknown) {
      const { name, message } = error as Error
      if (error instanceof ResponseError) self.end(error.status, error.payload, error.headers)
      else if (name === 'AbortError') end(many === 'events' ? 'left' : 'cancelled', '')
      else end('no answer', '.bad', message)
    },
  }
  return self
}
