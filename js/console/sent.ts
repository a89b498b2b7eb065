/** What the server sends by itself: pushes, which are watched, and calls, which are answered. */

import { Heap } from './answer.js'
import type { App, Panel } from './app.js'
import type { Entry } from './contract.js'
import { announce, button, clock, h } from './dom.js'
import { Editor, Unfit } from './editor.js'
import { article, shown, types } from './look.js'

/** Counts from the beginning, also before anybody looks. */
export function pushPanel(app: App, entry: Entry): Panel {
  const heap = new Heap('pushes')
  const off = app.socket.on('push', ({ route, payload }) => {
    if (route !== entry.name) return
    heap.push(payload)
    app.mark(entry, `${heap.count}`)
  })
  const note = h('p.hint', 'What the server pushes is shown here as it comes.')
  return { element: article(entry, [], note, heap.element, types(app, { payload: entry.about.payload })), end: off }
}

const HOW = ['ask me', 'answer at once with what is below', 'know no such route (404)']

export function askPanel(app: App, entry: Entry): Panel {
  const { name, about } = entry
  const { payload, result } = about
  const modes = HOW.map((_, i) => h('input', { type: 'radio', name: `how ${name}`, checked: !i, input: () => turn() }))
  const answer = new Editor(app.schemas, result ?? {}, 'Answer', result == null ? false : undefined)
  const status = h('input.mono.short', { value: '403', inputmode: 'numeric' })
  const message = h('input', { value: 'refused', autocomplete: 'off' })
  const problem = h('p.error', { role: 'alert' })
  const waiting = h('ol.asked', { 'aria-label': 'calls that wait for an answer' })
  const heap = new Heap('calls')
  let undo: (() => void) | undefined

  const given = () => answer.take() ?? null
  const refusal = () => {
    if (!/^[1-5]\d\d$/.test(status.value)) throw new Unfit('the status is a number from 100 to 599')
    return { status: +status.value, payload: { message: message.value, code: 'refused' } }
  }
  const look = () => app.mark(entry, waiting.children[0] ? `${waiting.children.length} ?` : `${heap.count}`)
  const wait = (payload: unknown, signal: AbortSignal) =>
    new Promise((resolve, reject) => {
      const settle = (take: () => unknown, end: (value: any) => void) => () => {
        try {
          problem.textContent = ''
          end(take())
          done()
        } catch (error) {
          problem.textContent = (error as Error).message
        }
      }
      const done = () => {
        row.remove()
        look()
      }
      const buttons = h('div.actions', button('Answer', settle(given, resolve), {}, '.main'), button('Refuse', settle(refusal, reject)))
      const row = h('li', h('time', clock(Date.now())), shown(payload, 'payload of the call'), buttons)
      waiting.append(row)
      announce(`the server calls ${name}`)
      signal.addEventListener('abort', done)
    })
  const handle = (payload: unknown, { signal }: { signal: AbortSignal }) => {
    heap.push(payload)
    const answered = modes[1]!.checked ? given() : wait(payload, signal)
    look()
    return answered
  }
  const turn = () => {
    if (!modes[2]!.checked) undo ??= app.socket.handle(name, handle)
    else undo = void undo?.()
  }
  turn()

  return {
    element: article(
      entry,
      [],
      h('fieldset.how', h('legend', 'When the server calls'), HOW.map((word, i) => h('label.beside', modes[i], word))),
      waiting,
      answer.element,
      h('div.actions', h('label.beside', 'Refuse with', status), h('label.beside', 'saying', message)),
      problem,
      heap.element,
      types(app, { payload, answer: result }),
    ),
    go: () => waiting.querySelector('button')?.click(),
    end: () => undo?.(),
  }
}
