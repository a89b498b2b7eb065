/** What is begun by a button and Ctrl+Enter, ended by another and Escape, and can be taken away as code. */

import { ResponseError } from '../src/errors.js'
import type { Outcome } from './answer.js'
import { frame, python, typescript, type Asked } from './code.js'
import { announce, button, copy, h, type Child } from './dom.js'
import { attempt, type Detail, type Editor } from './editor.js'

export interface Work {
  element: HTMLElement
  go(): Promise<void>
  /** False where there is nothing to end. */
  stop(): boolean
}

interface Doing {
  words: [string, string?]
  outcome: Outcome
  asked(): Asked
  /** Throws Unfit before anything is sent; otherwise what it throws is the outcome. */
  run(asked: Asked, signal: AbortSignal): Promise<unknown>
  /** Those whose fields the server may complain of, by the beginning of the place. */
  editors: Record<string, Editor | undefined>
  more?: Child
  mark?(text: string): void
}

export function work({ words: [begin, end], outcome, asked, run, editors, more, mark }: Doing): Work {
  const problem = h('p.error', { role: 'alert' })
  let running: AbortController | undefined
  const turn = (on: boolean) => {
    const focused = document.activeElement === stop
    go.disabled = on
    stop.disabled = !on
    if (focused) go.focus()
    mark?.(on ? '●' : '')
  }
  /** The list of what does not fit, where the server gave one: at its fields, or here. */
  const misfits = (payload: any) => {
    const detail = payload?.detail
    let left: Detail[] = Array.isArray(detail) ? detail.filter((one) => Array.isArray(one?.loc)) : []
    for (const [place, editor] of Object.entries(editors)) {
      const depth = place.split('.').length
      const inside = left.filter(({ loc }) => editor && loc.slice(0, depth).join('.') === place)
      const homeless = inside[0] ? editor!.tell(inside.map(({ loc, msg }) => ({ loc: loc.slice(depth), msg }))) : []
      left = [...left.filter((one) => !inside.includes(one)), ...homeless]
    }
    problem.textContent = left.map(({ loc, msg }) => `${loc.join('.')}: ${msg}`).join('; ')
  }
  const copier = (word: string, write: (asked: Asked) => string) => {
    const own = button(word, () =>
      attempt(problem, () => {
        copy(write(asked()))
        announce((own.textContent = 'Copied'))
        setTimeout(() => (own.textContent = word), 1_500)
      }),
    )
    return own
  }
  const self: Work = {
    element: h('div'),
    async go() {
      const request = running ? undefined : attempt(problem, asked)
      if (!request) return
      for (const editor of Object.values(editors)) editor?.clear()
      running = new AbortController()
      turn(true)
      outcome.begin()
      try {
        misfits(await run(request, running.signal))
      } catch (error) {
        outcome.fail(error)
        if (error instanceof ResponseError) misfits(error.payload)
      }
      running = undefined
      turn(false)
    },
    stop() {
      running?.abort()
      return !!running
    },
  }
  const go = button(begin, self.go, { title: 'Ctrl+Enter' }, '.main')
  const stop = button(end, self.stop, { title: 'Escape', disabled: true, hidden: !end }, '')
  self.element.append(
    h('div.bar', go, stop, more, h('span.copy', 'Copy as', copier('TypeScript', typescript), copier('Python', python), copier('Frame', frame))),
    problem,
  )
  return self
}
