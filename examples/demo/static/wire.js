// Shows every frame that passes, at the foot of the page. No call knows of it: it is a WebSocket that
// the client is given instead of the browser's.

import { $, element } from './dom.js'

export class ShownWebSocket extends WebSocket {
  #calls = new Map() // uuid → its entry

  constructor(url) {
    super(url)
    this.addEventListener('message', ({ data }) => this.#received(JSON.parse(data)))
    this.addEventListener('close', () => this.#calls.forEach((call) => call.settle('lost', 'bad')))
  }

  send(text) {
    const frame = JSON.parse(text)
    if (!this.#calls.has(frame.uuid)) this.#calls.set(frame.uuid, entry(frame.route))
    this.#calls.get(frame.uuid).add('→', frame)
    if (frame.route === '$cancel') this.#calls.get(frame.uuid).settle('left', 'bad')
    super.send(text)
  }

  #received(frame) {
    const call = this.#calls.get(frame.uuid) ?? entry(frame.route)
    const status = frame.status ?? 200 // a PONG has none
    call.add('←', frame)
    call.settle(status, status < 300 ? 'good' : 'bad')
  }
}

/** One line of the list: how the call went, and behind it its frames. */
function entry(route) {
  const started = performance.now()
  const outcome = element('b', { textContent: '…' })
  const time = element('span', { className: 'time' })
  const summary = element('summary', {}, outcome, element('code', { textContent: route }), time)
  const details = element('details', {}, summary)
  const item = element('li', { className: 'pending' }, details)
  $('wire').prepend(item)
  while ($('wire').children.length > 30) $('wire').lastChild.remove()
  return {
    add(arrow, frame) {
      details.append(element('pre', { textContent: `${arrow} ${JSON.stringify(frame)}` }))
    },
    /** The first outcome counts: what comes after it is of use to nobody. */
    settle(text, className) {
      if (item.className !== 'pending') return
      item.className = className
      outcome.textContent = text
      time.textContent = `${Math.round(performance.now() - started)} ms`
    },
  }
}
