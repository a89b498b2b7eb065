/** What every entry shows: its name and words, and its types. */

import type { App } from './app.js'
import { KINDS, type Entry, type Errors, type Kind } from './contract.js'
import { h, json, type Child } from './dom.js'
import { notation } from './notation.js'
import type { Schema } from './schema.js'

export const badge = (kind: Kind): HTMLElement => h('span.kind', { 'data-kind': kind }, KINDS[kind])

export function article({ kind, name, about }: Entry, facts: Child[], ...parts: Child[]): HTMLElement {
  const { summary, description, tags, deprecated } = about
  return h(
    'article',
    h('div.line', badge(kind), h('h2', { tabindex: -1 }, name), deprecated && h('span.warn', 'deprecated')),
    summary && h('p.summary', summary),
    description && prose(description),
    h('p.facts', tags?.map((tag) => h('span.tag', tag)), facts.map((fact) => fact && h('span', fact))),
    parts,
  )
}

/** Markdown, as far as it is worth it: paragraphs, lists, code and stress. Whatever else stays as it was written. */
export function prose(text: string): HTMLElement {
  const parts = text.split(/\n\s*\n/).map((part) => {
    const items = part.trim().split(/^\s*[-*] /m)
    if (/^\s*```/.test(part)) return h('pre', part.replace(/^\s*```.*\n?|\n?```\s*$/g, ''))
    return items[0] ? h('p', stressed(part)) : h('ul', items.slice(1).map((item) => h('li', stressed(item))))
  })
  return h('div.prose', parts)
}

const stressed = (text: string): Child[] =>
  text.split(/`([^`]+)`|\*\*([^*]+)\*\*/).map((part, i) => part && (i % 3 ? h(i % 3 === 1 ? 'code' : 'strong', part) : part))

const block = (looks: string, label: string, ...children: Child[]) => h(`pre${looks}`, { tabindex: 0, role: 'group', 'aria-label': label }, children)

/** The types under their titles; those that are null do not exist. */
export function types(app: App, parts: Record<string, Schema | null | undefined>, errors?: Errors | null): HTMLElement {
  const all = Object.entries(parts).filter(([, schema]) => schema != null)
  for (const [status, { description, payload }] of Object.entries(errors ?? {})) all.push([`${status} ${description ?? ''}`, payload])
  const shown = all.map(([title, schema]) => [h('h4', title), schema != null && typed(title, notation(app.schemas, schema))])
  return h('details.types', { open: 'open' }, h('summary', h('h3', 'Types')), shown[0] ? shown : h('p.hint', 'It takes nothing and gives nothing.'))
}

/** Comments are fainter than what they comment. */
const typed = (title: string, text: string) =>
  block('', `type: ${title}`, text.split(/(  \/\/ .*)/).map((part, i) => (i % 2 ? h('i', part) : part)))

/** A value, as it came; of a very long one the beginning, since a page of it would not scroll. */
export function shown(value: unknown, label: string): HTMLElement {
  const text = json(value)
  const rest = text.length - 200_000
  return block('.value', label, text.slice(0, 200_000), rest > 0 && h('p.warn', `… and ${rest} more characters: see the log`))
}
