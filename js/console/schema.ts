/**
 * JSON Schema, as far as pydantic writes it: what a schema is, what fits it, and one value that does.
 *
 * The server judges; what is unknown here is taken for "anything".
 */

export type Schema = { [keyword: string]: any } | boolean
export type Definitions = Record<string, Schema>
export type Shape = 'const' | 'enum' | 'union' | 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null' | 'any'

/** A schema without references at its top; where its values can be counted, `enum` has them. */
export interface Plain {
  [keyword: string]: any
  shape: Shape
  /** The name of the definition it was found under. */
  ref?: string
}

export type Members = Record<string, unknown>

export const isObject = (value: unknown): value is Members =>
  !!value && typeof value === 'object' && !Array.isArray(value)

/** Whether a value is of this kind at all. */
export const like = ({ shape }: Plain, value: unknown): boolean =>
  shape === (Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value)

export type Schemas = ReturnType<typeof schemasOf>

export function schemasOf(definitions: Definitions = {}) {
  function plainOf(schema: Schema | undefined | null): Plain {
    let found: { [keyword: string]: any } = isObject(schema) ? schema : {}
    let ref: string | undefined
    // A definition may be nothing but a reference; one that goes round in a circle says nothing.
    for (let hops = 0; hops < 20; hops++) {
      const { $ref, allOf, ...rest } = found
      if ($ref) {
        ref = decodeURIComponent(`${$ref}`.split('/').pop()!)
        const target = Object.hasOwn(definitions, ref) ? definitions[ref] : {}
        found = { ...(target as object), ...rest }
      } else if (Array.isArray(allOf)) found = { ...allOf.map((part) => plainOf(part)).reduce(merged, {}), ...rest }
      else break
    }
    const values = found.enum ?? ('const' in found ? [found.const] : found.type === 'boolean' ? [false, true] : found.type === 'null' ? [null] : undefined)
    return { ...found, enum: values, shape: shapeOf(found), ref: ref ?? found.ref }
  }

  function branches({ anyOf, oneOf, type, ...rest }: Plain): Schema[] {
    return anyOf ?? oneOf ?? type.map((type: string) => ({ ...rest, type }))
  }

  /** Whether a value has this form; bounds and patterns are the server's business. */
  function fits(schema: Schema | undefined, value: any): boolean {
    const plain = plainOf(schema)
    const { shape, properties = {}, additionalProperties: others, required = [], prefixItems, items } = plain
    if (shape === 'any') return true
    if (plain.enum) return plain.enum.some((one: unknown) => JSON.stringify(one) === JSON.stringify(value))
    if (shape === 'union') return branches(plain).some((branch) => fits(branch, value))
    if (!like(plain, value)) return false
    if (shape === 'array') return value.every((one: unknown, i: number) => fits(prefixItems?.[i] ?? items, one))
    if (shape !== 'object') return plain.type !== 'integer' || Number.isInteger(value)
    const known = (name: string) => Object.hasOwn(properties, name)
    return (
      required.every((name: string) => Object.hasOwn(value, name)) &&
      Object.keys(value).every((name) => (known(name) || others !== false) && fits(known(name) ? properties[name] : others, value[name]))
    )
  }

  /** One value that fits: with what is required and no more, examples and defaults first. */
  function sample(schema: Schema | undefined | null, within: (string | undefined)[] = []): unknown {
    const plain = plainOf(schema)
    const given = plain.examples?.[0] ?? plain.default
    if (given !== undefined) return structuredClone(given)
    const { shape, ref, properties = {}, required = [], prefixItems = [], items, minItems = 0, maxItems = 1 } = plain
    const inside = [...within, ref]
    const inner = (one: Schema | undefined) => sample(one, inside)
    const round = (one: Schema) => inside.includes(plainOf(one).ref ?? '')
    if (plain.enum) return plain.enum[0]
    if (shape === 'union') return inner(branches(plain).find((branch) => !round(branch)))
    if (shape === 'object') {
      // A tag has a default as a rule, and tells the branches of a union apart.
      const wanted = Object.keys(properties).filter((name) => required.includes(name) || plainOf(properties[name]).shape === 'const')
      return Object.fromEntries(wanted.map((name) => [name, inner(properties[name])]))
    }
    if (shape === 'array') {
      const length = Math.max(prefixItems.length, minItems, items && maxItems && !prefixItems[0] && !round(items) ? 1 : 0)
      return Array.from({ length: Math.min(length, 50) }, (_, i) => inner(prefixItems[i] ?? items))
    }
    return shape === 'number' ? number(plain) : shape === 'string' ? text(plain) : null
  }

  return { plain: plainOf, branches, fits, sample }
}

function merged(whole: { [keyword: string]: any }, part: { [keyword: string]: any }) {
  return {
    ...whole,
    ...part,
    ...(part.properties && { properties: { ...whole.properties, ...part.properties } }),
    ...(part.required && { required: [...(whole.required ?? []), ...part.required] }),
  }
}

function shapeOf({ type, enum: values, anyOf, oneOf, properties, prefixItems, ...rest }: { [keyword: string]: any }): Shape {
  if ('const' in rest) return 'const'
  if (Array.isArray(values)) return 'enum'
  if (anyOf || oneOf || Array.isArray(type)) return 'union'
  if (type === 'integer') return 'number'
  if (/^(object|array|string|number|boolean|null)$/.test(type)) return type
  return properties ? 'object' : prefixItems ? 'array' : 'any'
}

/** Of a handful of likely ones the first that fits. */
function number({ type, minimum = -Infinity, maximum = Infinity, exclusiveMinimum: above = -Infinity, exclusiveMaximum: below = Infinity, multipleOf: step = 1 }: Plain): number {
  const low = Math.max(minimum, above)
  const high = Math.min(maximum, below)
  const least = Math.ceil(low / step) * step
  const most = Math.floor(high / step) * step
  const fits = (n: number) => n >= minimum && n <= maximum && n > above && n < below && !(type === 'integer' && n % 1)
  return [0, least, least + step, most, most - step, low, high, (low + high) / 2].find(fits) ?? 0
}

const FORMATS: Record<string, string> = {
  date: '2026-01-31',
  'date-time': '2026-01-31T12:00:00Z',
  time: '12:00:00',
  duration: 'PT1H',
  uuid: '00000000-0000-4000-8000-000000000000',
  email: 'ada@example.com',
  uri: 'https://example.com/',
  ipv4: '127.0.0.1',
  ipv6: '::1',
}

function text({ format, pattern = '', minLength = 0, maxLength = 99 }: Plain): string {
  if (Object.hasOwn(FORMATS, format)) return FORMATS[format]!
  const some = ['text', 'TEXT', 'a', '1', 'a1', '+1', '1.0'].map((one) => one.padEnd(Math.min(minLength, 999), one).slice(0, maxLength))
  try {
    return some.find((one) => new RegExp(pattern, 'u').test(one)) ?? some[0]!
  } catch {
    return some[0]! // a pattern of another language
  }
}
