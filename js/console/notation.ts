/** A schema as people read it: TypeScript's notation, with what that cannot say as comments. */

import type { Plain, Schema, Schemas } from './schema.js'

/** The root, and each named type that it leads to, once; in `short`, what fits beside the name of a field. */
export function notation(schemas: Schemas, schema: Schema | undefined, short?: boolean): string {
  const named: string[] = []
  const write = (schema: Schema | undefined, indent: string): string => {
    const plain = schemas.plain(schema)
    const { ref, shape } = plain
    if (short && shape === 'object' && plain.properties) return ref ?? shape
    if (!ref || !/object|enum|union/.test(shape)) return body(plain, indent)
    if (!named.includes(ref)) named.push(ref)
    return ref
  }
  const body = (plain: Plain, indent: string): string => {
    const { shape, type, format, prefixItems, items, properties = {}, required = [], additionalProperties: others } = plain
    if (shape === 'const' || shape === 'enum') return plain.enum.map((one: unknown) => JSON.stringify(one)).join(' | ')
    if (shape === 'union') return [...new Set(schemas.branches(plain).map((branch) => write(branch, indent)))].join(' | ')
    if (prefixItems) return `[${[...prefixItems.map((one: Schema) => write(one, indent)), ...(items ? [`...${write(items, indent)}[]`] : [])].join(', ')}]`
    if (shape === 'array') return `${write(items, indent).replace(/^[^{]* \| .*$/, '($&)')}[]`
    if (shape !== 'object') return (short && format) || (shape === 'number' ? type : shape)
    const deeper = `${indent}  `
    const line = (name: string, inner: Schema | undefined) => `${deeper}${name}: ${write(inner, deeper)}${comment(schemas.plain(inner))}\n`
    const key = (name: string) => (/^[\w$]+$/.test(name) ? name : JSON.stringify(name)) + (required.includes(name) ? '' : '?')
    const lines = Object.entries<Schema>(properties).map(([name, inner]) => line(key(name), inner))
    if (others || (!lines[0] && others !== false)) lines.push(line('[key: string]', others))
    return lines[0] ? `{\n${lines.join('')}${indent}}` : '{}'
  }
  const root = write(schema, '')
  if (short) return root.replace(/\s+/g, ' ')
  const parts = named[0] === root ? [] : [root + comment(schemas.plain(schema))]
  // Named types are found while they are written.
  for (const name of named) parts.push(`${name} = ${body(schemas.plain({ $ref: name }), '')}`)
  return parts.join('\n\n')
}

/** What the type alone does not tell, in the words of JSON Schema. */
export const bounds = (plain: Plain): string =>
  Object.entries(plain)
    .filter(([name, value]) => /^(m[aiu]|exclusive|pattern|default|unique|deprec)/.test(name) && value != null)
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
    .join(', ')

function comment(plain: Plain): string {
  const said = [bounds(plain), plain.description?.split('\n')[0]].filter(Boolean).join('; ')
  return said && `  // ${said}`
}
