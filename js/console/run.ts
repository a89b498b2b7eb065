/** A route, called or streamed from. */

import type { CallOptions } from '../src/options.js'
import { outcome } from './answer.js'
import type { App, Panel } from './app.js'
import type { Asked } from './code.js'
import type { Entry } from './contract.js'
import { h } from './dom.js'
import { editor, Unfit } from './editor.js'
import { article, types } from './look.js'
import { work } from './work.js'

export function runPanel(app: App, entry: Entry): Panel {
  const { name, kind, about } = entry
  const { payload, headers, item, progress, result, errors, timeout } = about
  const streams = kind === 'stream'
  const body = payload == null ? undefined : editor(app.schemas, payload, 'Payload', about.payload_required ? undefined : true)
  const heads = editor(app.schemas, headers ?? { type: 'object' }, 'Headers', !!headers)
  const patience = h('input.short', { value: (!streams && timeout) || 30, inputMode: 'decimal' })
  const answer = outcome('Answer')

  const asked = (): Asked => {
    const seconds = +patience.value
    if (!(seconds > 0)) throw new Unfit('the time-out is a number of seconds, above 0')
    return {
      kind: streams ? 'stream' : 'call',
      url: app.url,
      name,
      payload: body?.take(),
      headers: (heads.take() as Asked['headers']) ?? {},
      timeout: seconds === 30 ? undefined : seconds,
    }
  }
  const run = async ({ payload, headers, timeout = 30 }: Asked, signal: AbortSignal) => {
    const options: CallOptions = {
      signal,
      headers,
      timeout: timeout * 1000,
      // Without being asked for it, a PENDING answer is the last.
      onProgress: progress == null ? undefined : answer.progress,
    }
    if (!streams) {
      const { status, payload: given, headers } = await app.socket.request(name, payload, options)
      answer.end(status, given, headers)
      return given
    }
    const items = app.socket.stream(name, payload, options)[Symbol.asyncIterator]()
    for (;;) {
      const { value, done } = await items.next()
      if (done) return answer.end(200, value ?? null)
      answer.item(value)
    }
  }
  const { element, go, stop } = work({
    words: streams ? ['Stream', 'Stop'] : ['Call', 'Cancel'],
    outcome: answer,
    asked,
    run,
    editors: { payload: body, headers: heads },
    more: h('label', 'Time-out ', patience, ' s'),
    mark: (text) => app.mark(entry, text),
  })
  return {
    element: article(
      entry,
      [about.ordered && 'ordered: one at a time', about.idempotent && 'idempotent', timeout && `at most ${timeout} s`],
      body?.element ?? h('p.hint', 'It takes no payload.'),
      heads.element,
      element,
      answer.element,
      types(app, { payload, headers, item, progress, result }, errors),
    ),
    go,
    stop,
    editor: body,
    end: stop,
  }
}
