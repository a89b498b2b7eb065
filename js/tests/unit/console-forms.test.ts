// @vitest-environment happy-dom

/** The form of a schema: what it hands out, what it keeps, and where it shows what is wrong. */

import { beforeEach, describe, expect, test, vi } from 'vitest'
import { editor as editorOf, Unfit, type Editor } from '../../console/editor.js'
import { field, type Field } from '../../console/fields.js'
import { schemasOf, type Schema } from '../../console/schema.js'

const definitions: Record<string, Schema> = {
  Cat: { type: 'object', title: 'Cat', properties: { kind: { const: 'cat', type: 'string' }, lives: { type: 'integer' } }, required: ['lives'] },
  Dog: { type: 'object', title: 'Dog', properties: { kind: { const: 'dog', type: 'string' }, name: { type: 'string' } }, required: ['kind', 'name'] },
  Node: { type: 'object', properties: { next: { anyOf: [{ $ref: '#/definitions/Node' }, { type: 'null' }] } } },
}
const schemas = schemasOf(definitions)
const changed = vi.fn()
const made = (schema: Schema, value: unknown = schemas.sample(schema)): Field => field({ schemas, changed }, schema, 'it', value)
const one = <T extends HTMLElement = HTMLInputElement>({ element }: { element: HTMLElement }, selector = 'input, textarea') => element.querySelector<T>(selector)!
const type = (control: HTMLInputElement | HTMLTextAreaElement, text: string) => {
  control.value = text
  control.dispatchEvent(new Event('input', { bubbles: true }))
}
const click = (control: HTMLInputElement, checked: boolean) => {
  control.checked = checked
  control.dispatchEvent(new Event('input', { bubbles: true }))
}
const errors = ({ element }: { element: HTMLElement }) => [...element.querySelectorAll('.error')].map((one) => one.textContent).filter(Boolean)

beforeEach(() => changed.mockClear())

describe('a field hands out what it was given', () => {
  test.each<[Schema, unknown]>([
    [{ type: 'string' }, 'a\nb'],
    [{ type: 'string', format: 'date' }, 'no date'],
    [{ type: 'integer' }, 7],
    [{ type: 'number' }, 1e21],
    [{ type: 'boolean' }, true],
    [{ type: 'null' }, null],
    [{ const: { a: 1 } }, { a: 1 }],
    [{ enum: ['a', 1, null] }, null],
    [{}, { any: ['thing', null] }],
    [{ type: 'array', items: { type: 'integer' } }, [1, 2, 3]],
    [{ type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }] }, [1, 'b']],
    [{ type: 'object', additionalProperties: { type: 'integer' } }, { a: 1, b: 2 }],
    [{ type: 'object', properties: { a: { type: 'string' } } }, { a: 'x', unknown: [1] }],
    [{ anyOf: [{ $ref: '#/definitions/Cat' }, { $ref: '#/definitions/Dog' }] }, { kind: 'dog', name: 'Rex' }],
    [{ $ref: '#/definitions/Node' }, { next: { next: { next: null } } }],
    // What does not fit is kept as well.
    [{ type: 'integer' }, 'seven'],
    [{ type: 'string' }, 7],
    [{ type: 'boolean' }, 'yes'],
    [{ type: 'array', items: {} }, 'none'],
    [{ type: 'object', properties: {} }, [1]],
    [{ enum: ['a'] }, 'b'],
    [{ const: 1 }, 2],
    [{ anyOf: [{ type: 'integer' }, { type: 'null' }] }, 'text'],
  ])('%j: %j', (schema, value) => expect(made(schema, value).get()).toEqual(value))
})

test('text is text, a number a number, and what is none is sent as text and said so', () => {
  const text = made({ type: 'string' })
  type(one(text), '7')
  expect(text.get()).toBe('7')
  const number = made({ type: 'integer' })
  type(one(number), '7')
  expect(number.get()).toBe(7)
  type(one(number), 'seven')
  expect(number.get()).toBe('seven')
  expect(errors(number)).toEqual(['no integer: it is sent as text'])
  type(one(number), '12345678901234567890')
  expect(errors(number)).toEqual(['too large to be exact in a browser'])
  expect(changed).toHaveBeenCalledTimes(4)
})

test('anything is JSON, and what is none cannot be taken', () => {
  const any = made({})
  type(one(any), '{"a": [1')
  expect(() => any.get()).toThrow()
  expect(errors(any)[0]).toMatch(/^not valid JSON/)
  type(one(any), '{"a": [1]}')
  expect(any.get()).toEqual({ a: [1] })
  expect(errors(any)).toEqual([])
})

test('what may be left out has a tick, what is required has none', () => {
  const form = made({ type: 'object', properties: { a: { type: 'string' }, b: { type: 'integer', default: 5 } }, required: ['a'] })
  expect(form.get()).toEqual({ a: 'text' })
  const ticks = form.element.querySelectorAll<HTMLInputElement>('[type=checkbox]')
  expect([...ticks].map((tick) => tick.getAttribute('aria-label'))).toEqual(['send b'])
  click(ticks[0]!, true)
  expect(form.get()).toEqual({ a: 'text', b: 5 })
  click(ticks[0]!, false)
  expect(form.get()).toEqual({ a: 'text' })
})

test('items and keys are added and removed', () => {
  const list = made({ type: 'array', items: { type: 'integer' } }, [1, 2])
  const buttons = () => [...list.element.querySelectorAll('button')]
  buttons().at(-1)!.click()
  expect(list.get()).toEqual([1, 2, 0])
  buttons()[0]!.click()
  expect(list.get()).toEqual([2, 0])
  const keys = made({ type: 'object', additionalProperties: { type: 'integer' } }, { a: 1 })
  keys.element.querySelectorAll('button')[1]!.click()
  expect(keys.get()).toEqual({ a: 1, key2: 0 })
  type(one(keys, '.key'), '__proto__')
  expect(Object.entries(keys.get())).toEqual([['__proto__', 1], ['key2', 0]])
  type(one(keys, '.key'), 'key2')
  expect(Object.keys(keys.get())).toEqual(['__proto__', 'key2'])
  expect(errors(keys)).toEqual(['key2 is there already'])
  type(one(keys, '.key'), 'key3')
  keys.element.querySelectorAll('button')[2]!.click()
  expect(Object.keys(keys.get())).toEqual(['key3', 'key2', 'key4'])
  const pair = made({ type: 'array', prefixItems: [{ type: 'integer' }, {}] }, [1, 2])
  expect([...pair.element.querySelectorAll('button')].filter(({ hidden }) => !hidden)).toEqual([])
})

test('another branch begins with a sample of its own', () => {
  const pet = made({ oneOf: [{ $ref: '#/definitions/Cat' }, { $ref: '#/definitions/Dog' }], discriminator: { propertyName: 'kind' } })
  expect(pet.get()).toEqual({ kind: 'cat', lives: 0 })
  const select = one<HTMLSelectElement>(pet, 'select')
  select.selectedIndex = 1
  select.dispatchEvent(new Event('input', { bubbles: true }))
  expect(pet.get()).toEqual({ kind: 'dog', name: 'text' })
  expect(changed).toHaveBeenCalled()
})

describe('an error is shown at its place', () => {
  const form = () =>
    made(
      {
        type: 'object',
        properties: {
          list: { type: 'array', items: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] } },
          pet: { oneOf: [{ $ref: '#/definitions/Cat' }, { $ref: '#/definitions/Dog' }] },
          maybe: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
          left: { type: 'string' },
        },
        required: ['list', 'pet', 'maybe'],
      },
      { list: [{ n: 1 }, { n: 2 }], pet: { kind: 'dog', name: 'Rex' }, maybe: 3 },
    )
  const name = (control: HTMLElement) => control.closest('.field')!.querySelector('.name')!.textContent

  test.each<[(string | number)[], string]>([
    [['list', 1, 'n'], 'n'],
    [['pet', 'dog', 'name'], 'name'],
    [['pet', 'Dog', 'name'], 'name'],
    [['maybe'], 'it'],
    [['function-after[check(), Form]', 'pet', 'dog', 'name'], 'name'],
    [['left'], 'left'],
  ])('%j', (loc, wanted) => {
    const shown = form()
    const focus = shown.tell(loc, 'is wrong')
    expect(errors(shown)).toEqual(['is wrong'])
    if (wanted !== 'it') expect(name(focus)).toBe(wanted)
    shown.clear()
    expect(errors(shown)).toEqual([])
  })

  test('one without a place is shown above', () => {
    const shown = form()
    shown.tell(['nowhere'], 'is wrong')
    shown.tell([], 'all of it')
    expect(shown.element.querySelector(':scope > * > .error')!.textContent).toBe('nowhere: is wrong; all of it')
  })

  test('two at one place are both told', () => {
    const shown = form()
    shown.tell(['list', 0, 'n'], 'first')
    shown.tell(['list', 0, 'n'], 'second')
    expect(errors(shown)).toEqual(['first; second'])
  })
})

describe('an editor', () => {
  const editor = (schema: Schema, sent?: boolean) => editorOf(schemas, schema, 'Payload', sent)
  const mode = (editor: Editor, i: number) => {
    const radio = editor.element.querySelectorAll<HTMLInputElement>('[type=radio]')[i]!
    radio.dispatchEvent(new Event('input'))
  }
  const area = (editor: Editor) => one<HTMLTextAreaElement>(editor, '.json')

  test('begins with a sample, and form and text follow each other', () => {
    const it = editor({ type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] })
    mode(it, 0)
    expect(it.take()).toEqual({ a: 0 })
    type(one(it, '.form input'), '4')
    expect(JSON.parse(it.text)).toEqual({ a: 4 })
    mode(it, 1)
    type(area(it), '{"a": 5, "b": 6}')
    mode(it, 0)
    expect(one(it, '.form input').value).toBe('5')
    type(one(it, '.form input'), '7')
    expect(it.take()).toEqual({ a: 7, b: 6 })
  })

  test('keeps what is no JSON yet, says so, and sends nothing', () => {
    const it = editor({ type: 'integer' })
    mode(it, 1)
    type(area(it), '[1, 2')
    expect(() => it.take()).toThrow(Unfit)
    expect(errors(it)[0]).toMatch(/^not valid JSON/)
    mode(it, 0)
    expect(one<HTMLFieldSetElement>(it, '.form').disabled).toBe(true)
    expect(it.text).toBe('[1, 2')
    type(area(it), '7')
    mode(it, 0)
    expect(it.take()).toBe(7)
    expect(one<HTMLFieldSetElement>(it, '.form').disabled).toBe(false)
  })

  test('sends nothing where its tick is off', () => {
    expect(editor({ type: 'integer' }, false).take()).toBeUndefined()
    expect(editor({ type: 'integer' }, true).take()).toBe(0)
  })

  test('has no form for what is large', () => {
    const it = editor({ type: 'array', items: { type: 'integer' } })
    it.text = JSON.stringify(Array.from({ length: 20_000 }, (_, i) => i))
    mode(it, 0)
    expect(it.element.querySelectorAll('.form input').length).toBe(0)
    expect(it.tell([{ loc: [0], msg: 'is wrong' }])).toEqual([{ loc: [0], msg: 'is wrong' }])
    expect(it.take()).toHaveLength(20_000)
  })
})
