/** What every entry shows: its name and words, and its types. */

import type { App } from './app.js'
import type { Entry, Errors, Kind } from './contract.js'
import { h, json, type Child } from './dom.js'
import { notation } from './notation.js'
import type { Schema } from './schema.js'

export const badge = (kind: Kind): HTMLElement => h('span.kind', kind)

export function article({ kind, name, about }: Entry, facts: Child[], ...parts: Child[]): HTMLElement {
  const { summary, description, tags, deprecated } = about
  return h(
    'article',
    h('div.line', badge(kind), h('h2', { tabIndex: -1 }, name), deprecated && h('span.warn', 'deprecated')),
    h('p', summary),
    description && prose(description),
    h('p.hint', [...(tags ?? []), ...facts].filter(Boolean).join(' · ')),
    parts,
  )
}

/** Markdown, as far as it is worth it: paragraphs and code. Whatever else stays as it was written. */
export const prose = (text: string): HTMLElement =>
  h('div.prose', text.split(/\n\s*\n/).map((part) => h('p', part.split(/`+([^`]+)`+/).map((piece, i) => (i % 2 ? h('code', piece) : piece)))))

const block = (label: string, ...children: Child[]) => h('pre.value', { tabIndex: 0, role: 'group', 'aria-label': label }, children)

/** The types under their titles; those that are null do not exist. */
export function types({ schemas }: App, parts: Record<string, Schema | null | undefined>, errors?: Errors | null): HTMLElement {
  const all = Object.entries(parts).filter(([, schema]) => schema != null)
  for (const [status, { description, payload }] of Object.entries(errors ?? {})) all.push([`${status} ${description ?? ''}`, payload])
  return h(
    'details',
    { open: true },
    h('summary', 'Types'),
    all.map(([title, schema]) => [h('h3', title), schema != null && block(`type: ${title}`, notation(schemas, schema))]),
  )
}

/** A value, as it came; of a very long one the beginning, since a page of it would not scroll. */
export function shown(value: unknown, label: string): HTMLElement {
  const text = json(value)
  const rest = text.length - 200_000
  return block(label, text.slice(0, 200_000), rest > 0 && h('p.warn', `… and ${rest} more characters`))
}
