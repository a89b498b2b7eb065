/** A value to be sent: as a form and as JSON, which follow each other. What is typed is never thrown away. */

import { button, fill, h, json, newId } from './dom.js'
import { field, type Field, type Loc } from './fields.js'
import type { Schema, Schemas } from './schema.js'

/** One line of the `detail` of a refusal. */
export interface Detail {
  loc: Loc
  msg: string
}

export interface Editor {
  element: HTMLElement
  /** As JSON; also one that is none yet. */
  text: string
  /** The last that was JSON. */
  readonly value: unknown
  /** What is to be sent; undefined for nothing. Throws Unfit where it is no JSON. */
  take(): unknown
  /** Shows the errors at their fields; returns those that have none here. */
  tell(details: Detail[]): Detail[]
  clear(): void
}

/** What was typed cannot be sent. */
export class Unfit extends Error {}

/** Tells people what is unfit. */
export function attempt<T>(problem: HTMLElement, what: () => T): T | undefined {
  problem.textContent = ''
  try {
    return what()
  } catch (error) {
    problem.textContent = (error as Error).message
    if (!(error instanceof Unfit)) throw error
  }
}

/** What was looked at last is what one wants to see next. */
let asForm = true

/** `sent` is whether it is sent, where that is for the user to say. */
export function editor(schemas: Schemas, schema: Schema, label: string, sent?: boolean, changed = () => {}): Editor {
  const formless = schemas.plain(schema).shape === 'any'
  const name = newId()
  const area = h('textarea.mono.json', { spellcheck: false, 'aria-label': `${label} as JSON`, oninput: () => typed() })
  const form = h('fieldset.form', { 'aria-label': label })
  const note = h('p.error', { role: 'alert' })
  const body = h('div', form, area, note)
  const send = h('input', { type: 'checkbox', checked: sent !== false, oninput: () => turn() })
  const modes = [true, false].map((form) => h('input', { type: 'radio', name, oninput: () => turn((asForm = form)) }))
  let shown: Field | undefined
  let value: unknown
  /** The form shows an older value. */
  let stale = true

  const follow = (read: () => unknown) => {
    note.textContent = ''
    try {
      value = read()
    } catch (error) {
      note.textContent = `not valid JSON: ${(error as Error).message}`
    }
    area.setAttribute('aria-invalid', `${!!note.textContent}`)
    changed()
  }
  const typed = () => {
    stale = true
    follow(() => JSON.parse(area.value))
  }
  const turn = (asked = asForm) => {
    const on = asked && !formless
    modes[on ? 0 : 1]!.checked = true
    form.hidden = !on
    area.hidden = on
    body.hidden = !send.checked
    if (!on || !stale) return
    // From a text that is no JSON no form can be made, and one of an older value would overwrite it.
    form.disabled = !!note.textContent
    if (form.disabled) return
    stale = false
    shown = undefined
    if (area.value.length > 20_000) return fill(form, 'Too large for a form: edit it as JSON.')
    const changed = () =>
      follow(() => {
        const value = shown!.get()
        area.value = json(value)
        return value
      })
    shown = field({ schemas, changed }, schema, label, structuredClone(value))
    fill(form, shown.element)
  }
  const self: Editor = {
    element: h(
      'div.editor',
      h(
        'div.bar',
        h('label', sent !== undefined && send, h('b', label)),
        h('span.modes', { hidden: formless }, ['Form', 'JSON'].map((word, i) => h('label', modes[i], word))),
        button('Sample', () => (self.text = json(schemas.sample(schema)))),
      ),
      body,
    ),
    get text() {
      return area.value
    },
    set text(text) {
      area.value = text
      typed()
      turn()
    },
    get value() {
      return value
    },
    take() {
      if (!send.checked) return
      if (!note.textContent) return value
      body.querySelector<HTMLElement>('[aria-invalid=true]')?.focus()
      throw new Unfit(`${label}: ${note.textContent}`)
    },
    tell(details) {
      if (!shown || !send.checked || form.hidden) return details
      details.map(({ loc, msg }) => shown!.tell(loc, msg))[0]?.focus()
      return []
    },
    clear: () => shown?.clear(),
  }
  self.text = json(schemas.sample(schema))
  return self
}
