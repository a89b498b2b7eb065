/** The log, as one looks at it. */

import { decode } from '../src/wire.js'
import { button, by, clock, fill, h, ms, nowAndThen, type Child } from './dom.js'
import { Log, type Heard, type Row } from './log.js'
import { shown } from './look.js'
import { rows } from './rows.js'

const ARROWS = { out: ['→', 'sent'], in: ['←', 'received'], note: ['•', 'note'] }

/** Returns the way to tell it of a frame. */
export function logView(): Heard {
  const log = new Log()
  const search = by<HTMLInputElement>('log-search')
  const detail = by('log-detail')
  const list = rows<Row>('frames, oldest first', cells, ({ text, at, kind }) => {
    const close = () => {
      detail.hidden = true
      list.element.focus()
    }
    detail.hidden = false
    fill(detail, h('div.bar', h('b', `${kind} ${clock(at)}`), button('Close', close)), shown(decode(text) ?? text, 'frame'))
  })
  const show = nowAndThen(() => {
    const words = search.value.toLowerCase()
    const visible = log.rows.filter(({ route, kind, status, text }) => !words || `${route} ${kind} ${status} ${text}`.toLowerCase().includes(words))
    by('log-count').textContent = `${visible.length} of ${log.rows.length}${log.dropped ? `, ${log.dropped} dropped` : ''}`
    list.show(visible)
  })
  detail.before(list.element)
  search.oninput = show
  by('log-clear').onclick = () => {
    log.clear()
    detail.hidden = true
    show()
  }
  return (direction, text) => {
    log.add(direction, text, Date.now())
    show()
  }
}

function cells({ at, direction, kind, route, status, ms: took, preview }: Row): Child[] {
  const [arrow, word] = ARROWS[direction]
  return [
    h('time', clock(at)),
    h('span', { role: 'img', 'aria-label': word }, arrow),
    h('small', kind),
    h('b', route),
    status && h(`span.status.${status < 300 ? 'good' : status === 402 ? '' : 'bad'}`, status),
    took !== undefined && h('small', ms(took)),
    h('code', preview),
  ]
}
