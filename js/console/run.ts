/** A route, called or streamed from. */

import type { CallOptions } from '../src/options.js'
import { Outcome } from './answer.js'
import type { App, Panel } from './app.js'
import type { Asked } from './code.js'
import type { Entry } from './contract.js'
import { h } from './dom.js'
import { Editor, Unfit } from './editor.js'
import { article, types } from './look.js'
import { work } from './work.js'

export function runPanel(app: App, entry: Entry): Panel {
  const { name, kind, about } = entry
  const { payload, headers, item, progress, result, errors, timeout } = about
  const streams = kind === 'stream'
  const body = payload == null ? undefined : new Editor(app.schemas, payload, 'Payload', about.payload_required ? undefined : true)
  const heads = new Editor(app.schemas, headers ?? { type: 'object' }, 'Headers', !!headers)
  const patience = h('input.mono.short', { value: (!streams && timeout) || 30, inputmode: 'decimal', autocomplete: 'off' })
  const asList = h('input', { type: 'checkbox' })
  const outcome = new Outcome('Answer')

  const asked = (): Asked => {
    const seconds = +patience.value
    if (!(seconds > 0)) {
      patience.focus()
      throw new Unfit('the time-out is a number of seconds, above 0')
    }
    return {
      kind: streams && !asList.checked ? 'stream' : 'call',
      url: app.url,
      name,
      payload: body?.take(),
      headers: (heads.take() as Asked['headers']) ?? {},
      timeout: seconds === 30 ? undefined : seconds,
    }
  }
  const run = async ({ kind, payload, headers, timeout = 30 }: Asked, signal: AbortSignal) => {
    const options: CallOptions = {
      signal,
      headers,
      timeout: timeout * 1000,
      // Without being asked for it, a PENDING answer is the last.
      onProgress: progress == null ? undefined : (value) => outcome.progress(value),
    }
    if (kind === 'call') {
      const answer = await app.socket.request(name, payload, options)
      outcome.end(answer.status, answer.payload, answer.headers)
      return answer.payload
    }
    const items = app.socket.stream(name, payload, options)[Symbol.asyncIterator]()
    for (;;) {
      const { value, done } = await items.next()
      if (done) return outcome.end(200, value ?? null)
      outcome.item(value)
    }
  }
  const { element, go, stop } = work({
    words: streams ? ['Stream', 'Stop'] : ['Call', 'Cancel'],
    outcome,
    asked,
    run,
    editors: { payload: body, headers: heads },
    more: [h('label.beside', 'Time-out', patience, 's'), streams && h('label.beside', asList, 'as one list')],
    mark: (text) => app.mark(entry, text),
  })
  return {
    element: article(
      entry,
      [about.ordered && 'ordered: one at a time', about.idempotent && 'idempotent', timeout && `at most ${timeout} s`],
      body?.element ?? h('p.hint', 'It takes no payload.'),
      heads.element,
      element,
      outcome.element,
      types(app, { payload, headers, item, progress, result }, errors),
    ),
    go,
    stop,
    editor: body,
    end: stop,
  }
}
