/** What the server says of its socket, and the list that is made of it. It trusts no part to be there. */

import type { Definitions, Schema } from './schema.js'

export interface Words {
  summary?: string
  description?: string
  tags?: string[]
  deprecated?: boolean
}

export type Errors = Record<string, { description?: string; payload?: Schema | null }>

export interface Route extends Words {
  kind?: 'call' | 'stream'
  ordered?: boolean
  idempotent?: boolean
  timeout?: number | null
  payload?: Schema | null
  payload_required?: boolean
  headers?: Schema | null
  result?: Schema | null
  item?: Schema | null
  progress?: Schema | null
  errors?: Errors
}

export interface Topic extends Words {
  parameters?: Record<string, Schema>
  event?: Schema
  publish_event?: Schema
  snapshot?: Schema | null
  publish?: boolean
  kept?: boolean
  errors?: Errors
}

/** A push; with a result, a call of the server. */
export interface Sent extends Words {
  payload?: Schema | null
  result?: Schema | null
}

export interface Contract {
  format?: number
  title?: string
  version?: string
  description?: string
  hash?: string
  auth?: string | null
  routes?: Record<string, Route>
  topics?: Record<string, Topic>
  pushes?: Record<string, Sent>
  calls?: Record<string, Sent>
  definitions?: Definitions
}

export type Kind = 'call' | 'stream' | 'topic' | 'push' | 'ask'

export const KINDS: Record<Kind, string> = {
  call: 'call',
  stream: 'stream',
  topic: 'topic',
  push: 'push',
  ask: 'server call',
}

export interface Entry {
  kind: Kind
  name: string
  /** The part of the address behind `#/`. */
  link: string
  about: Route & Topic & Sent
}

const PLACES = { route: 'routes', topic: 'topics', push: 'pushes', call: 'calls' } as const

/** Everything that can be looked at, by its link. */
export function entriesOf(contract: Contract): Map<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const [place, member] of Object.entries(PLACES)) {
    for (const [name, about] of Object.entries<Entry['about']>(contract[member] ?? {})) {
      const kind = place === 'route' ? (about.kind === 'stream' ? 'stream' : 'call') : place === 'call' ? 'ask' : place
      const link = `${place}/${encodeURIComponent(name)}`
      entries.set(link, { kind: kind as Kind, name, link, about })
    }
  }
  return entries
}

/** Whether every word is found in it somewhere. */
export function matches({ kind, name, about }: Entry, words: string): boolean {
  const { summary, tags, deprecated } = about
  const text = [name, KINDS[kind], summary, ...(tags ?? []), deprecated && 'deprecated'].join(' ').toLowerCase()
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word))
}

/** The entries in the order in which they are shown, under their headings. */
export function grouped(entries: Iterable<Entry>): [string, Entry[]][] {
  const groups = new Map<string, Entry[]>()
  const add = (title: string, entry: Entry) => {
    if (!groups.get(title)?.push(entry)) groups.set(title, [entry])
  }
  const all = [...entries]
  const routes = all.filter(({ kind }) => kind === 'call' || kind === 'stream')
  const tags = [...new Set(routes.flatMap(({ about }) => about.tags ?? []))]
  for (const tag of tags) for (const entry of routes) if (entry.about.tags?.includes(tag)) add(tag, entry)
  for (const entry of routes) if (!entry.about.tags?.length) add(tags.length ? 'other routes' : 'routes', entry)
  for (const entry of all) if (entry.kind === 'topic') add('topics', entry)
  for (const entry of all) if (entry.kind === 'push') add('pushes', entry)
  for (const entry of all) if (entry.kind === 'ask') add('server calls', entry)
  return [...groups]
}
