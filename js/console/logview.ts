/** The log, as one looks at it: filtered, held, saved. */

import { by, clock, copier, fill, h, ms, perFrame, quiet, save, type Child } from './dom.js'
import { Log, parsed, type Direction, type Row } from './log.js'
import { shown } from './look.js'
import { Rows } from './rows.js'

const ARROWS: Record<Direction, [string, string]> = { out: ['→', 'sent'], in: ['←', 'received'], note: ['•', 'note'] }

const TESTS: Record<string, (row: Row) => boolean> = {
  all: () => true,
  sent: ({ direction }) => direction === 'out',
  received: ({ direction }) => direction === 'in',
  errors: ({ kind }) => kind === 'error' || kind === 'gap' || kind === 'unreadable',
}

/** Returns the way to tell it of a frame. */
export function logView(): (direction: Direction, text: string) => void {
  const log = new Log()
  const search = by<HTMLInputElement>('log-search')
  const which = by<HTMLSelectElement>('log-which')
  const pings = by<HTMLInputElement>('log-pings')
  const count = by('log-count')
  const detail = by('log-detail')
  const rows = new Rows<Row>('frames, oldest first', cells, (row) => look(row))
  let came: [Direction, string, number][] = []
  let visible: Row[] = []
  /** The number of the first visible row, among all that ever were. */
  let base = 0
  let held: Row[] | undefined

  const wanted = (row: Row): boolean => {
    const words = search.value.toLowerCase()
    return (
      TESTS[which.value]!(row) &&
      (pings.checked || !/^p[io]ng$/.test(row.kind)) &&
      (!words || `${row.route} ${row.kind} ${row.status ?? ''} ${row.text}`.toLowerCase().includes(words))
    )
  }
  const show = () => {
    const { length } = log.rows
    count.textContent = `${held ? held.length : visible.length} of ${length}${log.dropped ? `, ${log.dropped} dropped` : ''}`
    if (!held) rows.show(visible, base)
  }
  const flush = perFrame(() => {
    const some = came
    came = []
    for (const [direction, text, at] of some) {
      const row = log.add(direction, text, at)
      if (wanted(row)) visible.push(row)
    }
    trim()
    show()
  })
  /** What the log dropped is not shown any more either. */
  const trim = () => {
    const oldest = log.rows[0]
    let gone = 0
    while (gone < visible.length && (!oldest || visible[gone]!.n < oldest.n)) gone++
    if (gone) visible = visible.slice(gone)
    base += gone
  }
  const again = () => {
    if (held) resume()
    visible = log.rows.filter(wanted)
    rows.refresh(visible, base)
    show()
  }
  const pause = by<HTMLButtonElement>('log-pause')
  const resume = () => {
    held = undefined
    pause.setAttribute('aria-pressed', 'false')
  }

  const look = ({ text, at, kind }: Row) => {
    const value = parsed(text)
    const close = quiet('Close', () => {
      detail.hidden = true
      rows.element.focus()
    })
    detail.hidden = false
    fill(
      detail,
      h('div.bar', h('span.title', `${kind} ${clock(at)}`), copier('Copy', () => text), close),
      shown(value ?? text, 'frame'),
    )
  }

  by('log').insertBefore(rows.element, detail)
  for (const control of [search, which, pings]) control.addEventListener('input', again)
  pause.addEventListener('click', () => {
    if (held) {
      resume()
      show()
    } else {
      held = visible.slice()
      pause.setAttribute('aria-pressed', 'true')
    }
  })
  by('log-clear').addEventListener('click', () => {
    log.clear()
    detail.hidden = true
    again()
  })
  by('log-save').addEventListener('click', () => save('frames.jsonl', log.lines))
  show()

  return (direction, text) => {
    came.push([direction, text, Date.now()])
    // A page in the background paints no frames, and would gather for ever.
    if (came.length > 20_000) came = came.slice(-10_000)
    flush()
  }
}

function cells({ at, direction, kind, route, status, ms: took, preview }: Row): Child[] {
  const [arrow, word] = ARROWS[direction]
  return [
    h('time', clock(at)),
    h('span.arrow', { 'data-way': direction }, h('span', { 'aria-hidden': 'true' }, arrow), h('span.unseen', word)),
    h('span.what', kind),
    route && h('b', route),
    status && h('span.status', { 'data-state': status < 300 ? 'good' : status === 402 ? 'running' : 'bad' }, status),
    took !== undefined && h('small', ms(took)),
    h('code', preview),
  ]
}
