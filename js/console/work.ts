/** What is begun by a button and Ctrl+Enter, ended by another and Escape, and can be taken away as code. */

import { ResponseError } from '../src/errors.js'
import { detailsOf, type Outcome } from './answer.js'
import { frame, python, typescript, type Asked } from './code.js'
import { button, copier, h, type Child } from './dom.js'
import { Unfit, type Editor } from './editor.js'

export interface Work {
  element: HTMLElement
  go(): Promise<void>
  /** False where there is nothing to end. */
  stop(): boolean
  /** What is wrong, for people. */
  say(text: string): void
}

interface Doing {
  words: [string, string?]
  outcome: Outcome
  asked(): Asked
  /** Throws Unfit before anything is sent; otherwise what it throws is the outcome. */
  run(asked: Asked, signal: AbortSignal): Promise<unknown>
  /** Those whose fields the server may complain of, by the beginning of the place. */
  editors: Record<string, Editor | undefined>
  more?: Child[]
  mark?(text: string): void
}

export function work({ words: [begin, end], outcome, asked, run, editors, more, mark }: Doing): Work {
  const problem = h('p.error', { role: 'alert' })
  const go = button(begin, () => void self.go(), { title: 'Ctrl+Enter' }, '.main')
  const stop = button(end ?? '', () => self.stop(), { title: 'Escape', disabled: true, hidden: !end })
  let running: AbortController | undefined
  const unfit = (error: unknown) => {
    if (error instanceof Unfit) self.say(error.message)
    else throw error
  }
  const turn = (on: boolean) => {
    const focused = document.activeElement === stop
    go.disabled = on
    stop.disabled = !on
    if (focused) go.focus()
    mark?.(on ? '●' : '')
  }
  const misfits = (payload: unknown) => {
    let left = detailsOf(payload)
    for (const [place, editor] of Object.entries(editors)) {
      const depth = place.split('.').length
      const inside = left.filter(({ loc }) => editor && loc.slice(0, depth).join('.') === place)
      if (!inside[0]) continue
      const homeless = editor!.tell(inside.map(({ loc, msg }) => ({ loc: loc.slice(depth), msg })))
      left = [...left.filter((one) => !inside.includes(one)), ...homeless]
    }
    self.say(left.map(({ loc, msg }) => `${loc.join('.')}: ${msg}`).join('; '))
  }
  const copy = (word: string, write: (asked: Asked) => string) => copier(word, () => write(asked()), unfit)
  const self: Work = {
    element: h('div', h('div.actions', go, stop, more, h('div.copy', 'Copy as', copy('TypeScript', typescript), copy('Python', python), copy('Frame', frame))), problem),
    async go() {
      if (running) return
      self.say('')
      try {
        const request = asked()
        for (const editor of Object.values(editors)) editor?.clear()
        running = new AbortController()
        turn(true)
        outcome.begin()
        misfits(await run(request, running.signal))
      } catch (error) {
        if (!running) return unfit(error)
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
    say: (text) => void (problem.textContent = text),
  }
  return self
}
