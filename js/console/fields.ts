/**
 * A form for any schema. It shows a value and changes it in place, member by member: what does not fit is shown and not
 * lost. Whatever changes its structure has it drawn anew.
 */

import { button, fill, h, json, newId, type Child } from './dom.js'
import { bounds, notation } from './notation.js'
import { isObject, like, type Schema, type Schemas } from './schema.js'

export type Loc = (string | number)[]

export interface Field {
  element: HTMLElement
  /** Throws where it cannot be taken. */
  get(): any
  /** Shows what is wrong at that place; returns what should have the focus. */
  tell(loc: Loc, message: string): HTMLElement
  clear(): void
}

export interface Around {
  schemas: Schemas
  changed(): void
}

/** A text that is no JSON yet, in the place of a value. */
class Raw {
  constructor(readonly text: string) {}
  toJSON(): unknown {
    return JSON.parse(this.text)
  }
}

/** How a field stands in another. */
interface How {
  /** It may be left out: with a tick before its name. */
  optional?: boolean
  required?: boolean
  /** Its name is said, and not shown: it stands beside it already. */
  bare?: boolean
  /** So many unions have the same place. */
  level?: number
}

type Put = (value: unknown) => void

/** Also one that is called `__proto__`. */
const put = (holder: any, key: string | number, value: unknown) => {
  if (value === undefined) delete holder[key]
  else Object.defineProperty(holder, key, { value, writable: true, enumerable: true, configurable: true })
}

export function field({ schemas, changed }: Around, schema: Schema | undefined, name: string, tree: unknown): Field {
  const prefix = newId()
  const element = h('div')
  /** By their keys from the root. */
  const places = new Map<string, { error: HTMLElement; mark(message: string): HTMLElement }>()
  /** Which branch was chosen where: its sample may fit another one, too. */
  const chosen = new Map<string, number>()
  let count = 0
  const find = (id: string) => element.querySelector<HTMLElement>(`#${id}`)

  const draw = () => {
    const { id } = document.activeElement!
    places.clear()
    count = 0
    fill(element, make(schema, name, tree, (value) => (tree = value), '', { bare: true }))
    if (id) find(id)?.focus()
  }

  const make = (schema: Schema | undefined, name: string, value: unknown, set: Put, path: string, { optional, required, bare, level = 0 }: How): HTMLElement => {
    const plain = schemas.plain(schema)
    const { shape, type } = plain
    // Before its parts: they do not change it.
    const id = `${prefix}-${count++}`
    const redraw = (value: unknown) => {
      set(value)
      draw()
      changed()
    }
    const grouped = /object|array/.test(shape)
    const error = h('p.error', { id: `${id}e` })
    const named = { id, 'aria-describedby': `${id}h ${id}e` }
    const sent = value !== undefined
    const turn = ({ target }: any) => redraw(target.checked ? schemas.sample(schema) : undefined)
    const tick = !!optional && h('input', { type: 'checkbox', id: `${id}t`, checked: sent, 'aria-label': `send ${name}`, oninput: turn })
    const select = (words: string[], chosen: number, pick: (i: number) => void): HTMLSelectElement => {
      const own = h('select', { ...named, oninput: () => pick(own.selectedIndex) }, words.map((word) => h('option', word)))
      own.selectedIndex = chosen
      return own
    }
    /** The parts of a list, or members with names of their own; the first so many are always there. */
    const items = (
      holder: any,
      pairs: [string | number, unknown][],
      of: (i: number) => Schema | undefined,
      fixed: number,
      word: string,
      rename?: (old: any, key: string) => string,
    ) => [
      h(
        'div.members',
        pairs.map(([key, one], i) => {
          const inner = rename ? `value of ${key}` : `${name} item`
          const label = h('input.key', { value: key, 'aria-label': 'key', oninput: () => (key = rename!(key, label.value)) })
          const drop = () => {
            if (rename) delete holder[key]
            else holder.splice(key, 1)
            chosen.clear()
            redraw(holder)
            find(`${id}a`)?.focus()
          }
          return h(
            'div.item',
            rename && label,
            make(of(i), inner, one, (one) => put(holder, key, one), `${path}/${key}`, { bare: true }),
            i >= fixed && button('✕', drop, { 'aria-label': `remove ${inner}` }),
          )
        }),
      ),
      word &&
        button(word, () => {
          const { length } = pairs
          let n = length
          while (rename && Object.hasOwn(holder, `key${++n}`));
          put(holder, rename ? `key${n}` : n, schemas.sample(of(length)))
          redraw(holder)
          find(`${id}a`)!.previousElementSibling!.lastElementChild!.querySelector<HTMLElement>('input, select, textarea')!.focus()
        }, { id: `${id}a` }),
    ]

    const inside = (): Child => {
      if (shape === 'union') {
        const branches = schemas.branches(plain)
        const key = `${path} ${level}`
        const i =
          [chosen.get(key) ?? 0, ...branches.keys()].find((i) => schemas.fits(branches[i], value)) ??
          Math.max(0, branches.findIndex((branch) => like(schemas.plain(branch), value)))
        const body = schemas.plain(branches[i]).shape !== 'null' && h('div.branch')
        control = select(branches.map((branch) => notation(schemas, branch, true)), i, (i) => {
          chosen.set(key, i)
          redraw(schemas.sample(branches[i]))
        })
        if (body) body.append(make(branches[i], name, value, set, path, { bare: true, level: level + 1 }))
        return [control, body]
      }
      if (shape === 'object' && isObject(value) && !(value instanceof Raw)) {
        const { properties = {}, required = [], additionalProperties: others = !plain.properties } = plain
        const known = Object.entries<Schema>(properties).map(([key, schema]) => {
          const must = required.includes(key)
          if (must && !Object.hasOwn(value, key)) put(value, key, schemas.sample(schema))
          return make(schema, key, Object.hasOwn(value, key) ? value[key] : undefined, (one) => put(value, key, one), `${path}/${key}`, { required: must, optional: !must })
        })
        const rest = Object.entries(value).filter(([key]) => !Object.hasOwn(properties, key))
        const rename = (old: string, key: string) => {
          const twice = Object.hasOwn(value, key)
          mark(twice ? `${key} is there already` : '')
          if (twice) return old
          for (const [name, one] of Object.entries(value)) {
            delete value[name]
            put(value, name === old ? key : name, one)
          }
          changed()
          return key
        }
        return [
          h('div.members', known),
          others
            ? items(value, rest, () => others, 0, '+ add a key', rename)
            : // What the schema does not know is not shown, and goes along.
              rest[0] && h('p.hint', `also in the JSON: ${rest.map(([key]) => key).join(', ')}`),
        ]
      }
      if (shape === 'array' && Array.isArray(value)) {
        const { prefixItems = [], items: others } = plain
        return items(value, [...value.entries()], (i) => prefixItems[i] ?? others, prefixItems.length, prefixItems[0] && !others ? '' : '+ add one')
      }
      // A tick would not say what it stands for where the name is hidden, and looks like that of what may be left out.
      const known: unknown[] | undefined = plain.enum
      if (known) {
        const words = known.map((one) => JSON.stringify(one))
        const own = JSON.stringify(value)
        // One that the schema does not know is kept, until another is chosen.
        const all = words.includes(own) ? known : [value, ...known]
        return (control = select(all.map((one) => (one && typeof one === 'string' ? one : JSON.stringify(one))), Math.max(0, words.indexOf(own)), (i) => {
          set(all[i])
          changed()
        }))
      }
      // A string or a number as it is; whatever else, and what does not fit, as JSON.
      const own = /string|number/.test(shape) && typeof value === shape
      const numeric = own && shape === 'number'
      const area: HTMLInputElement | HTMLTextAreaElement = h(numeric || plain.writeOnly ? 'input' : own ? 'textarea' : 'textarea.mono', {
        ...named,
        ...(plain.writeOnly && { type: 'password' }),
        rows: 1,
        value: value instanceof Raw ? value.text : own ? `${value}` : json(value),
        autocomplete: 'off',
        spellcheck: false,
        oninput() {
          const text = area.value
          let odd = ''
          let next: unknown = text
          if (numeric) {
            if (text.trim() && Number.isFinite(+text)) next = +text
            if (next === text) odd = `no ${type}: it is sent as text`
            else if (Number.isInteger(next) && !Number.isSafeInteger(next)) odd = 'too large to be exact in a browser'
          } else if (!own) {
            try {
              next = JSON.parse(text)
            } catch (error) {
              odd = `not valid JSON: ${(error as Error).message}`
              next = new Raw(text)
            }
          }
          set(next)
          mark(odd)
          changed()
        },
      }) as any
      return (control = area)
    }

    let control: HTMLElement = tick || error
    const mark = (message: string) => {
      error.textContent = message
      if (!grouped) control.setAttribute('aria-invalid', `${!!message}`)
      return control
    }
    // Before what is inside: what is in its place is told of.
    places.set(path, { error, mark })
    const body = sent && h('div', inside())
    return h(
      grouped ? 'fieldset.field' : 'div.field',
      h(
        `${grouped ? 'legend' : 'label'}.${bare ? 'unseen' : 'head'}`,
        { htmlFor: id },
        tick,
        h('b.name', name),
        h('small', ` ${notation(schemas, schema, true)}`),
        required && h('b.required', { title: 'required' }, '*'),
      ),
      h('p.hint', { id: `${id}h` }, [plain.description, bounds(plain)].filter(Boolean).join(' · ')),
      error,
      body,
    )
  }
  draw()

  return {
    element,
    get: () => JSON.parse(JSON.stringify(tree)),
    tell(loc, message) {
      let path = ''
      let rest: Loc = []
      for (const key of loc) {
        // Pydantic puts names of types and validators among the names of members.
        if (places.has(`${path}/${key}`)) {
          path += `/${key}`
          rest = []
        } else rest.push(key)
      }
      const { error, mark } = places.get(path)!
      const place = rest[0] === undefined ? '' : `${rest.join('.')}: `
      return mark(`${error.textContent ? `${error.textContent}; ` : ''}${place}${message}`)
    },
    clear: () => places.forEach(({ mark }) => mark('')),
  }
}
