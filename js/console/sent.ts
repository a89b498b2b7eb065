/** What the server sends by itself: pushes, which are watched, and calls, which are answered. */

import { heap } from './answer.js'
import type { App, Panel } from './app.js'
import type { Entry } from './contract.js'
import { announce, button, clock, h } from './dom.js'
import { attempt, editor, Unfit } from './editor.js'
import { article, shown, types } from './look.js'

/** Counts from the beginning, also before anybody looks. */
export function pushPanel(app: App, entry: Entry): Panel {
  const came = heap('pushes')
  const end = app.socket.on('push', ({ route, payload }) => {
    if (route !== entry.name) return
    came.push(payload)
    app.mark(entry, came.count)
  })
  const note = h('p.hint', 'Shown as it comes.')
  return { element: article(entry, [], note, came.element, types(app, { payload: entry.about.payload })), end }
}

export function askPanel(app: App, entry: Entry): Panel {
  const { name, about } = entry
  const { payload, result } = about
  const answer = editor(app.schemas, result ?? {}, 'Answer', result == null ? false : undefined)
  const status = h('input.short', { type: 'number', min: 100, max: 599, value: 403 })
  const message = h('input', { value: 'refused' })
  const problem = h('p.error', { role: 'alert' })
  const waiting = h('ol.asked', { 'aria-label': 'waiting calls' })
  const calls = heap('calls')

  const look = () => app.mark(entry, waiting.firstChild ? `${waiting.children.length} ?` : calls.count)
  const handle = (payload: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((resolve, reject) => {
      const settle = (word: string, end: () => void, looks: string) =>
        button(
          word,
          () =>
            attempt(problem, () => {
              end()
              done()
            }),
          {},
          looks,
        )
      const done = () => {
        row.remove()
        look()
      }
      const row = h(
        'li',
        h('time', clock()),
        shown(payload, 'payload'),
        settle('Answer', () => resolve(answer.take() ?? null), '.main'),
        ' ',
        settle('Refuse', () => {
            if (!status.reportValidity()) throw new Unfit('no such status')
            reject({ status: status.value, payload: { message: message.value, code: 'refused' } })
          }, ''),
      )
      calls.push(payload)
      waiting.append(row)
      look()
      announce(`the server calls ${name}`)
      signal.addEventListener('abort', done)
    })

  return {
    element: article(
      entry,
      [],
      waiting,
      answer.element,
      h('div.bar', h('label', 'Refuse with ', status), h('label', 'saying ', message)),
      problem,
      calls.element,
      types(app, { payload, answer: result }),
    ),
    go: () => waiting.querySelector('button')?.click(),
    end: app.socket.handle(name, handle),
  }
}
