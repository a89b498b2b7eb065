/** The console of one socket: the page that is at its address over plain HTTP. */

import type { App, Panel } from './app.js'
import { connect } from './connection.js'
import { entriesOf, type Contract, type Entry } from './contract.js'
import { announce, button, by, fill, h } from './dom.js'
import { keys } from './keys.js'
import { list } from './list.js'
import { logView } from './logview.js'
import { prose } from './look.js'
import { runPanel } from './run.js'
import { Schemas } from './schema.js'
import { askPanel, pushPanel } from './sent.js'
import { layout } from './layout.js'
import { topicPanel } from './topic.js'

const PANELS = { call: runPanel, stream: runPanel, topic: topicPanel, push: pushPanel, ask: askPanel }

// With the query: a socket may ask for something in it.
const url = `${location.origin}${location.pathname}${location.search}`.replace(/^http/, 'ws')
const source = `${location.pathname.replace(/\/+$/, '')}/contract.json${location.search}`

const heard = logView()
const socket = connect(url, heard)
const listed = list()
const main = by('main')
const turn = layout()
const app: App = { socket, url, contract: {}, schemas: new Schemas(), mark: ({ link }, text) => listed.mark(link, text) }
const panels = new Map<string, Panel>()
let entries = new Map<string, Entry>()
let current: Panel | undefined

const panelOf = (entry: Entry): Panel => {
  const panel = panels.get(entry.link) ?? PANELS[entry.kind](app, entry)
  panels.set(entry.link, panel)
  return panel
}

function visit(): void {
  const link = location.hash.slice(2)
  const entry = entries.get(link)
  current = entry && panelOf(entry)
  document.title = [entry?.name, app.contract.title || 'Socket', 'console'].filter(Boolean).join(' · ')
  listed.point(link)
  if (!current) return fill(main, link && app.contract.hash ? gone(link) : welcome())
  fill(main, current.element)
  main.scrollTop = 0
}

function gone(link: string) {
  let name = link
  try {
    name = decodeURIComponent(link)
  } catch {}
  return h('article', h('h2', { tabindex: -1 }, 'Not here'), h('p', `This socket has no ${name}.`))
}

function welcome() {
  const { title, description, version } = app.contract
  const all = [...entries.values()]
  const count = (what: string, ...kinds: string[]) => {
    const n = all.filter(({ kind }) => kinds.includes(kind)).length
    return n > 0 && h('li', h('b', n), ` ${what}${n === 1 ? '' : what.endsWith('sh') ? 'es' : 's'}`)
  }
  return h(
    'article.welcome',
    h('h2', { tabindex: -1 }, title || 'A socket'),
    version && h('p.hint', `version ${version}`),
    description && prose(description),
    h('ul.counts', count('call', 'call'), count('stream', 'stream'), count('topic', 'topic'), count('push', 'push'), count('server call', 'ask')),
    h('p', 'Choose one on the left, or press ', h('kbd', '/'), ' to search. ', h('kbd', '?'), ' shows the other keys.'),
  )
}

async function load(): Promise<void> {
  let contract: Contract
  try {
    const response = await fetch(source, { headers: { accept: 'application/json' } })
    if (!response.ok) throw new Error(`${source} was answered with ${response.status}`)
    contract = await response.json()
  } catch (error) {
    if (app.contract.hash) return heard('note', `contract: ${(error as Error).message}`)
    const retry = button('Try again', () => void load(), {}, '.main')
    return fill(main, h('article', { role: 'alert' }, h('h2', 'There is no contract'), h('p', `What this socket takes could not be read: ${(error as Error).message}.`), retry))
  }
  if (app.contract.hash && JSON.stringify(contract) === JSON.stringify(app.contract)) return
  take(contract)
}

/** The first contract, or one that has changed while the page was open: what is the same goes on undisturbed. */
function take(contract: Contract): void {
  const before = entries
  const changed = JSON.stringify(contract.definitions) !== JSON.stringify(app.contract.definitions)
  const anew = !!app.contract.hash
  app.contract = contract
  app.schemas = new Schemas(contract.definitions)
  entries = entriesOf(contract)
  for (const [link, panel] of panels) {
    const entry = entries.get(link)
    if (entry && !changed && JSON.stringify(entry) === JSON.stringify(before.get(link))) continue
    panel.end()
    panels.delete(link)
    listed.mark(link, '')
    const { editor } = panel
    if (editor && entry) {
      const { editor: next } = panelOf(entry)
      if (next) next.text = editor.text
    }
  }
  // Before anybody looks at them: what comes is not to be missed.
  for (const entry of entries.values()) if (entry.kind === 'push' || entry.kind === 'ask') panelOf(entry)
  listed.show(entries)
  by('title').textContent = contract.title || 'Socket'
  by('version').textContent = contract.version ?? ''
  by('needs-token').hidden = contract.auth !== 'required'
  visit()
  if (anew) announce('the contract has changed')
  if (anew) heard('note', 'the contract has changed')
}

addEventListener('hashchange', () => {
  visit()
  turn('main')
  main.querySelector<HTMLElement>('h2')?.focus({ preventScroll: true })
})
// Behind a lost connection may be a server with other routes.
let opened = 0
socket.on('state', (state) => {
  if (state === 'open' && opened++) void load()
})
keys(() => current, turn)
void load()
