/** A value to be sent: as a form and as JSON, which follow each other. What is typed is never thrown away. */

import { fill, h, json, newId, quiet, set } from './dom.js'
import { field, type Field, type Loc } from './fields.js'
import type { Schema, Schemas } from './schema.js'

/** One line of the `detail` of a refusal. */
export interface Detail {
  loc: Loc
  msg: string
}

/** Characters of JSON beyond which a form would be of no use. */
const LARGE = 20_000

/** What was typed cannot be sent. */
export class Unfit extends Error {}

/** What was looked at last is what one wants to see next. */
let asForm = true

export class Editor {
  readonly element: HTMLElement
  readonly #id = newId()
  readonly #area = h('textarea.mono.json', { id: this.#id, rows: 6, spellcheck: 'false', 'aria-describedby': `${this.#id}n`, input: () => this.#typed() })
  readonly #form = h('fieldset.form')
  readonly #note = h('p.error', { id: `${this.#id}n`, role: 'alert' })
  readonly #json: HTMLElement
  readonly #modes: HTMLInputElement[]
  readonly #send: HTMLInputElement
  readonly #body: HTMLElement
  readonly #formless: boolean
  #field?: Field
  #value: unknown
  /** Why the value is not what was typed. */
  #problem = ''
  /** The form shows an older value. */
  #stale = true

  /** `sent` is whether it is sent, where that is for the user to say. */
  constructor(
    private readonly schemas: Schemas,
    private readonly schema: Schema,
    private readonly label: string,
    sent?: boolean,
    private readonly changed = () => {},
  ) {
    this.#formless = schemas.plain(schema).shape === 'any'
    const turn = (form: boolean) => () => this.#turn((asForm = form))
    this.#modes = [true, false].map((form) => h('input', { type: 'radio', name: `${this.#id}m`, input: turn(form) }))
    const modes = h('div.modes', { role: 'radiogroup', 'aria-label': `${label} as`, hidden: this.#formless }, ['Form', 'JSON'].map((word, i) => h('label', this.#modes[i], h('span', word))))
    this.#send = h('input', { type: 'checkbox', checked: sent !== false, input: () => this.#turn() })
    this.#json = h('div', h('label.unseen', { for: this.#id }, `${label} as JSON`), this.#area)
    this.#body = h('div.body', this.#form, this.#json, this.#note)
    const title = h('span.title', label)
    const sample = quiet('Sample', () => this.set(schemas.sample(schema)))
    this.element = h('div.editor', h('div.bar', sent === undefined ? title : h('label.tick', this.#send, title), modes, sample), this.#body)
    set(this.#form, 'aria-label', label)
    this.set(schemas.sample(schema))
  }

  /** What is to be sent; undefined for nothing. Throws Unfit where it is no JSON. */
  take(): unknown {
    if (!this.#send.checked) return
    if (!this.#problem) return this.#value
    this.#body.querySelector<HTMLElement>('[aria-invalid]')?.focus()
    throw new Unfit(`${this.label}: ${this.#problem}`)
  }

  set(value: unknown): void {
    this.text = json(value)
  }

  get text(): string {
    return this.#area.value
  }

  /** Also one that is no JSON yet. */
  set text(text: string) {
    this.#area.value = text
    this.#typed()
    this.#turn()
  }

  /** Shows the errors at their fields; returns those that have none here. */
  tell(details: Detail[]): Detail[] {
    if (!this.#field || !this.#send.checked || this.#form.hidden) return details
    const places = details.map(({ loc, msg }) => this.#field!.tell(loc, msg))
    places[0]?.focus()
    return []
  }

  clear(): void {
    this.#field?.clear()
  }

  #typed(): void {
    this.#stale = true
    this.#follow(() => JSON.parse(this.#area.value))
    set(this.#area, 'aria-invalid', this.#problem ? 'true' : null)
  }

  #follow(read: () => unknown): void {
    this.#problem = ''
    try {
      this.#value = read()
    } catch (error) {
      this.#problem = `not valid JSON: ${(error as Error).message}`
    }
    this.#note.textContent = this.#problem
    this.changed()
  }

  #turn(form = asForm): void {
    form &&= !this.#formless
    this.#modes[form ? 0 : 1]!.checked = true
    this.#form.hidden = !form
    this.#json.hidden = form
    this.#body.hidden = !this.#send.checked
    if (form && this.#stale) this.#show()
  }

  #show(): void {
    // From a text that is no JSON no form can be made, and one of an older value would overwrite it.
    this.#form.disabled = !!this.#problem
    if (this.#problem) return
    this.#stale = false
    this.#field = undefined
    if (this.text.length > LARGE) return fill(this.#form, h('p.hint', 'Too large for a form: edit it as JSON.'))
    const changed = () =>
      this.#follow(() => {
        const value = this.#field!.get()
        this.#area.value = json(value)
        set(this.#area, 'aria-invalid', null)
        return value
      })
    this.#field = field({ schemas: this.schemas, changed }, this.schema, this.label, this.#value, { bare: true })
    fill(this.#form, this.#field.element)
  }
}
