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

/** The kinds, as people are told of them. */
export type Kind = 'call' | 'stream' | 'topic' | 'push' | 'server call'

export interface Entry {
  kind: Kind
  name: string
  /** The part of the address behind `#/`. */
  link: string
  /** The headings that it stands under. */
  groups: string[]
  about: Route & Topic & Sent
}

type Part = 'routes' | 'topics' | 'pushes' | 'calls'
const PLACES: [string, Part, Kind, string?][] = [
  ['route', 'routes', 'call'],
  ['topic', 'topics', 'topic'],
  ['push', 'pushes', 'push'],
  ['call', 'calls', 'server call', 'server calls'],
]

/** Everything that can be looked at, by its link. */
export function entriesOf(contract: Contract): Map<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const [place, member, kind, group = member] of PLACES) {
    for (const [name, about] of Object.entries<Entry['about']>(contract[member] ?? {})) {
      const link = `${place}/${encodeURIComponent(name)}`
      const tags = kind === 'call' && about.tags?.[0] && about.tags
      entries.set(link, { kind: about.kind === 'stream' ? 'stream' : kind, name, link, about, groups: tags || [group] })
    }
  }
  return entries
}

/** Whether every word is found in it somewhere. */
export function matches({ kind, name, about }: Entry, words: string): boolean {
  const { summary, tags, deprecated } = about
  const text = [name, kind, summary, tags, deprecated && 'deprecated'].join(' ').toLowerCase()
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word))
}

/** The entries in the order in which they are shown, under their headings: tags first. */
export function grouped(entries: Iterable<Entry>): Map<string, Entry[]> {
  const groups = new Map<string, Entry[]>()
  const all = [...entries]
  for (const tagged of [true, false])
    for (const entry of all)
      if ((entry.groups === entry.about.tags) === tagged)
        for (const group of entry.groups) groups.set(group, [...(groups.get(group) ?? []), entry])
  return groups
}
