/** A schema as people read it: TypeScript's notation, with what that cannot say as comments. */

import type { Plain, Schema, Schemas } from './schema.js'

/** The root, and each named type that it leads to, once. */
export function notation(schemas: Schemas, schema: Schema): string {
  const named: string[] = []
  const write = (schema: Schema | undefined, indent: string): string => {
    const plain = schemas.plain(schema)
    const { ref } = plain
    if (!ref || !/object|enum|union/.test(plain.shape)) return body(plain, indent)
    if (!named.includes(ref)) named.push(ref)
    return ref
  }
  const body = (plain: Plain, indent: string): string => {
    const { shape, type, prefixItems, items, properties = {}, required = [], additionalProperties: others } = plain
    if (shape === 'const') return JSON.stringify(plain.const)
    if (shape === 'enum') return plain.enum.map((one: unknown) => JSON.stringify(one)).join(' | ')
    if (shape === 'union') return [...new Set(schemas.branches(plain).map((branch) => write(branch, indent)))].join(' | ')
    if (prefixItems) return `[${[...prefixItems.map((one: Schema) => write(one, indent)), ...(items ? [`...${write(items, indent)}[]`] : [])].join(', ')}]`
    if (shape === 'array') return `${write(items, indent).replace(/^[^{]* \| .*$/, '($&)')}[]`
    if (shape !== 'object') return shape === 'number' ? type : shape
    const deeper = `${indent}  `
    const lines = Object.entries<Schema>(properties).map(
      ([name, inner]) =>
        `${deeper}${/^[\w$]+$/.test(name) ? name : JSON.stringify(name)}${required.includes(name) ? '' : '?'}: ${write(inner, deeper)}${comment(schemas.plain(inner))}\n`,
    )
    if (others || (!lines.length && others !== false)) lines.push(`${deeper}[key: string]: ${write(others, deeper)}\n`)
    return lines.length ? `{\n${lines.join('')}${indent}}` : '{}'
  }
  const root = write(schema, '')
  const parts = named[0] === root ? [] : [root + comment(schemas.plain(schema))]
  // Named types are found while they are written.
  for (const name of named) parts.push(`${name} = ${body(schemas.plain({ $ref: name }), '')}`)
  return parts.join('\n\n')
}

/** The type in a word or two, for the label of a field. */
export function short(schemas: Schemas, schema: Schema | undefined): string {
  const plain = schemas.plain(schema)
  const { shape, type, format, ref, prefixItems, items } = plain
  if (shape === 'union') return schemas.branches(plain).map((branch) => short(schemas, branch)).join(' or ')
  if (shape === 'array') return prefixItems ? 'tuple' : `list of ${short(schemas, items)}`
  if (shape === 'const') return JSON.stringify(plain.const)
  if (shape === 'object') return ref ?? (plain.properties || !plain.additionalProperties ? shape : `map of ${short(schemas, plain.additionalProperties)}`)
  return shape === 'enum' ? (ref ?? 'choice') : (format ?? (shape === 'number' ? type : shape))
}

const SAYINGS: Record<string, string> = {
  minimum: '≥ #',
  exclusiveMinimum: '> #',
  maximum: '≤ #',
  exclusiveMaximum: '< #',
  multipleOf: 'multiple of #',
  minLength: 'at least # characters',
  maxLength: 'at most # characters',
  minItems: 'at least # items',
  maxItems: 'at most # items',
  pattern: '/#/',
  format: '#',
  default: 'default #',
}

/** What the type alone does not tell. */
export function bounds(plain: Plain): string {
  const said = Object.entries(SAYINGS).flatMap(([name, text]) => {
    const value = plain[name]
    if (value == null || plain.shape === 'const') return []
    return text.replace('#', () => (name === 'default' ? JSON.stringify(value) : `${value}`))
  })
  return [...said, ...(plain.uniqueItems ? ['no two alike'] : []), ...(plain.deprecated ? ['deprecated'] : [])].join(', ')
}

function comment(plain: Plain): string {
  const said = [bounds(plain), plain.description?.split('\n')[0]].filter(Boolean).join('; ')
  return said && `  // ${said}`
}
