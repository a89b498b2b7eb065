/**
 * A form for any schema. A field holds a value, shows it, and hands it out as it came until somebody changes it: what
 * does not fit is shown and not lost.
 */

import { h, join, json, newId, quiet, set } from './dom.js'
import { bounds, short } from './notation.js'
import { isObject, like, type Members, type Plain, type Schema, type Schemas } from './schema.js'

export type Loc = (string | number)[]

export interface Field {
  element: HTMLElement
  /** Undefined where it is left out. Throws where it cannot be taken. */
  get(): any
  /** Shows what is wrong at that place; returns what should have the focus. */
  tell(loc: Loc, message: string): HTMLElement
  clear(): void
}

export interface Around {
  schemas: Schemas
  changed(): void
}

/** What a field is made of, inside of its frame. */
interface Inner {
  element: HTMLElement
  /** What its label is for. */
  control?: HTMLElement
  get(): any
  /** What is odd about it at the moment. */
  doubt?(): string
  fields?(): Field[]
  child?(key: string | number): Field | undefined
}

export interface How {
  required?: boolean
  /** It may be left out: with a tick before its name. */
  optional?: boolean
  /** Its name is said, and not shown: it stands beside it already. */
  bare?: boolean
}

export function field(around: Around, schema: Schema | undefined, name: string, value: unknown, how: How = {}): Field {
  const { schemas, changed } = around
  const plain = schemas.plain(schema)
  const id = newId()
  const grouped = /object|array/.test(plain.shape)
  const note = [plain.description, bounds(plain)].filter(Boolean).join(' · ')
  const error = h('p.error', { id: `${id}e` })
  const body = h('div')
  const tick = h('input', { type: 'checkbox', title: 'send it', 'aria-label': `send ${name}`, checked: value !== undefined })
  const head = h(
    `${grouped ? 'legend' : 'label'}.${how.bare ? 'unseen' : 'head'}`,
    { for: grouped ? null : id },
    how.optional && tick,
    h('span.name', name),
    h('small', ` ${short(schemas, plain)}`),
    how.required && h('b.required', { title: 'required' }, '*', h('span.unseen', ' required')),
  )
  let inner: Inner | undefined
  let control: HTMLElement = tick

  const mark = (message: string) => {
    error.textContent = message
    if (!grouped) set(control, 'aria-invalid', message ? 'true' : null)
  }
  const clear = () => {
    mark(inner?.doubt?.() ?? '')
    for (const one of inner?.fields?.() ?? []) one.clear()
  }
  const put = (value: unknown) => {
    inner = value === undefined ? undefined : innerOf(around, plain, name, value)
    control = inner?.control ?? inner?.element ?? tick
    if (inner && !grouped) {
      set(control, 'id', id)
      set(control, 'aria-describedby', `${id}h ${id}e`)
    }
    body.replaceChildren(inner?.element ?? '')
    clear()
  }
  tick.addEventListener('input', () => {
    put(tick.checked ? schemas.sample(schema) : undefined)
    changed()
  })
  body.addEventListener('input', ({ target }) => {
    if (target !== control || grouped) return
    mark(inner!.doubt?.() ?? '')
    changed()
  })
  put(value)

  const self: Field = {
    element: h(grouped ? 'fieldset.field.group' : 'div.field', head, h('p.hint', { id: `${id}h` }, note), error, body),
    get: () => inner?.get(),
    tell(loc, message) {
      const child = loc.length && inner?.child?.(loc[0]!)
      if (child) return child.tell(loc.slice(1), message)
      // Pydantic puts names of types and validators among the names of members.
      if (loc.length > 1 && inner?.child) return self.tell(loc.slice(1), message)
      mark(join(error.textContent, loc.length ? `${loc.join('.')}: ${message}` : message))
      return control
    },
    clear,
  }
  return self
}

function innerOf(around: Around, plain: Plain, name: string, value: unknown): Inner {
  const { shape } = plain
  if (shape === 'union') return union(around, plain, name, value)
  if (shape === 'object' && isObject(value)) return object(around, plain, value)
  if (shape === 'array' && Array.isArray(value)) return array(around, plain, name, value)
  if (shape === 'enum') return choice(plain.enum, value)
  // A tick would not say what it stands for where the name is hidden, and looks like that of what may be left out.
  if (shape === 'boolean') return choice([false, true], value)
  return text(plain, value)
}

function choice(known: unknown[], value: unknown): Inner {
  const words = known.map((one) => JSON.stringify(one))
  // One that the schema does not know is kept, until another is chosen.
  const all = words.includes(JSON.stringify(value)) ? known : [value, ...known]
  const element = h('select', all.map((one) => h('option', typeof one === 'string' && one ? one : JSON.stringify(one))))
  element.selectedIndex = all.findIndex((one) => JSON.stringify(one) === JSON.stringify(value))
  return { element, get: () => all[element.selectedIndex] }
}

/** A string or a number as it is; whatever else, and what does not fit, as JSON. */
function text({ shape, type, format, writeOnly }: Plain, value: unknown): Inner {
  const own = typeof value === shape
  const numeric = own && shape === 'number'
  const shown = own ? `${value}` : json(value)
  const fixed = /const|null/.test(shape)
  const element = h(numeric || fixed || (own && format) ? 'input' : own ? 'textarea' : 'textarea.mono', {
    type: numeric || !writeOnly ? 'text' : 'password',
    rows: 1,
    value: shown,
    readOnly: fixed,
    inputmode: numeric ? 'decimal' : null,
    autocomplete: 'off',
    spellcheck: 'false',
  }) as HTMLInputElement
  const get = () => {
    const { value: now } = element
    if (now === shown) return value
    if (numeric) return now.trim() && Number.isFinite(+now) ? +now : now
    return own ? now : JSON.parse(now)
  }
  const doubt = () => {
    try {
      const now = get()
      if (!numeric) return ''
      if (typeof now === 'string') return `no ${type}: it is sent as text`
      return Number.isInteger(now) && !Number.isSafeInteger(now) ? 'too large to be exact in a browser' : ''
    } catch (error) {
      return `not valid JSON: ${(error as Error).message}`
    }
  }
  return { element, get, doubt }
}

function union(around: Around, plain: Plain, name: string, value: unknown): Inner {
  const { schemas, changed } = around
  const branches = schemas.branches(plain)
  const names = branches.map((branch) => short(schemas, branch))
  const body = h('div.branch')
  let inner: Field
  const put = (value: unknown) => {
    inner = field(around, branches[control.selectedIndex], name, value, { bare: true })
    fill()
  }
  const fill = () => body.replaceChildren(schemas.plain(branches[control.selectedIndex]).shape === 'null' ? '' : inner.element)
  const control = h('select', names.map((one) => h('option', one)))
  const first = (fits: (branch: Schema) => boolean) => branches.findIndex(fits)
  const found = first((branch) => schemas.fits(branch, value))
  control.selectedIndex = Math.max(0, found < 0 ? first((branch) => like(schemas.plain(branch), value)) : found)
  control.addEventListener('input', () => put(schemas.sample(branches[control.selectedIndex])))
  put(value)
  const known = branches.filter((branch) => schemas.plain(branch).shape !== 'null')
  return {
    element: h('div', control, body),
    control,
    get: () => inner.get(),
    fields: () => [inner],
    // Errors of the branches that were not meant are of no use, and those of the only one do not name it.
    child: (key) => (known.length < 2 ? whole(inner, key) : called(schemas.plain(branches[control.selectedIndex]), key) ? inner : undefined),
  }
}

/** A field that takes the place before it as well. */
const whole = (inner: Field, key: string | number): Field => ({ ...inner, tell: (loc, message) => inner.tell([key, ...loc], message) })

const WORDS: Record<string, string> = { string: 'str', integer: 'int', number: 'float', boolean: 'bool', array: 'list', object: 'dict' }

/** Whether pydantic means this branch by what it wrote into the place of an error. */
function called({ ref, title, type, properties = {} }: Plain, word: string | number): boolean {
  const tags = Object.values<any>(properties).flatMap((one) => one?.const ?? one?.enum ?? [])
  return [ref, ref?.replace(/-Input$/, ''), title, ...tags].includes(word) || `${word}`.includes(WORDS[type] ?? '\0')
}

function object(around: Around, plain: Plain, value: Members): Inner {
  const { schemas } = around
  const { properties, required = [], additionalProperties: others = !properties } = plain
  const known = new Map<string, Field>()
  for (const [key, schema] of Object.entries<Schema>(properties ?? {})) {
    const must = required.includes(key)
    const given = Object.hasOwn(value, key) ? value[key] : must ? schemas.sample(schema) : undefined
    known.set(key, field(around, schema, key, given, { required: must, optional: !must }))
  }
  const rest = Object.entries(value).filter(([key]) => !known.has(key))
  const pairs = others ? rows(around, () => others, '+ add a key', rest, 0, true) : undefined
  // What the schema does not know is not shown, and goes along.
  const unknown = pairs ? [] : rest
  const also = unknown.length > 0 && h('p.hint', `also in the JSON: ${unknown.map(([key]) => key).join(', ')}`)
  const entries = () => [...known, ...(pairs?.entries() ?? [])]
  return {
    element: h('div.members', [...known.values()].map((one) => one.element), also, pairs?.element),
    get: () => Object.fromEntries([...entries().map(([key, one]) => [key, one.get()]), ...unknown].filter(([, one]) => one !== undefined)),
    fields: () => entries().map(([, one]) => one),
    child: (key) => entries().find(([name]) => name === `${key}`)?.[1],
  }
}

function array(around: Around, { prefixItems, items }: Plain, name: string, value: unknown[]): Inner {
  const schema = (i: number): Schema | undefined => prefixItems?.[i] ?? items
  const fixed = prefixItems?.length ?? 0
  const given = value.map((one): [string, unknown] => [`${name} item`, one])
  const all = rows(around, schema, prefixItems && !items ? '' : '+ add one', given, fixed)
  const fields = () => all.entries().map(([, one]) => one)
  return { element: all.element, get: () => fields().map((one) => one.get()), fields, child: (key) => fields()[key as number] }
}

/** Rows that can be added and removed; keyed, they have names of their own. */
function rows(around: Around, schema: (i: number) => Schema | undefined, word: string, given: [string, unknown][], fixed: number, keyed?: boolean) {
  const { schemas, changed } = around
  const list = h('div.members.counted')
  const all: [HTMLInputElement, Field][] = []
  const put = ([name, value]: [string, unknown]) => {
    const key = h('input.key.mono', { value: name, 'aria-label': 'key', autocomplete: 'off', input: changed })
    const inner = field(around, schema(all.length), keyed ? `value of ${name}` : name, value, { bare: true })
    const row: (typeof all)[0] = [key, inner]
    const remove = quiet('✕', () => {
      all.splice(all.indexOf(row), 1)
      element.remove()
      adder.focus()
      changed()
    }, { 'aria-label': `remove ${name}` })
    const element = h('div.item', keyed ? key : h('small'), inner.element, all.length >= fixed && remove)
    all.push(row)
    list.append(element)
    return element
  }
  const adder = quiet(word, () => {
    const name = keyed ? `key${all.length + 1}` : (given[0]?.[0] ?? 'item')
    put([name, schemas.sample(schema(all.length))]).querySelector<HTMLElement>('input, select, textarea')?.focus()
    changed()
  }, { hidden: !word })
  given.forEach(put)
  return { element: h('div', list, adder), entries: () => all.map(([key, inner]): [string, Field] => [key.value, inner]) }
}
