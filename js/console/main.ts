/** The console of one socket: the page that is at its address over plain HTTP. */

import type { App, Panel } from './app.js'
import { connect } from './connection.js'
import { entriesOf, grouped, matches, type Contract, type Entry } from './contract.js'
import { announce, button, by, fill, h } from './dom.js'
import { logView } from './logview.js'
import { badge, prose } from './look.js'
import { runPanel } from './run.js'
import { schemasOf } from './schema.js'
import { askPanel, pushPanel } from './sent.js'
import { topicPanel } from './topic.js'

const PANELS = { call: runPanel, stream: runPanel, topic: topicPanel, push: pushPanel, 'server call': askPanel }

// With the query: a socket may ask for something in it.
const url = location.origin.replace('http', 'ws') + location.pathname + location.search
const source = `${location.pathname.replace(/\/+$/, '')}/contract.json${location.search}`

const main = by('main')
const place = by('entries')
const search = by<HTMLInputElement>('search')
const heard = logView()
const marks = new Map<string, string | number>()
const panels = new Map<string, Panel>()
const links = () => [...place.querySelectorAll('a')]
const app: App = {
  socket: connect(url, heard),
  url,
  contract: {},
  schemas: schemasOf(),
  mark({ link }, text) {
    marks.set(link, text)
    // An entry may stand under several tags.
    for (const one of links()) if (one.hash === `#/${link}`) one.lastChild!.textContent = `${text}`
  },
}
let entries = new Map<string, Entry>()
let current: Panel | undefined

const panelOf = (entry: Entry): Panel => {
  const panel = panels.get(entry.link) ?? PANELS[entry.kind](app, entry)
  panels.set(entry.link, panel)
  return panel
}

/** On a narrow screen one part is seen at a time. */
const turn = (part: string) => {
  by<HTMLInputElement>(`turn-${part}`).checked = true
}

function list(): void {
  const some = [...entries.values()].filter((entry) => matches(entry, search.value.trim()))
  const line = ({ kind, name, link, about: { summary, deprecated } }: Entry) => {
    const words = h('span', h('span.name', name), deprecated && h('small', ' deprecated'), h('br'), h('small', summary))
    return h('li', h('a', { href: `#/${link}` }, badge(kind), words, h('b.mark', marks.get(link))))
  }
  fill(place, some[0] ? [...grouped(some)].map(([title, group]) => [h('h2', title), h('ul', group.map(line))]) : h('p.hint', 'Nothing is called so.'))
  point()
}

function point(): void {
  for (const one of links()) {
    const own = one.hash === location.hash
    one.ariaCurrent = own ? 'page' : null
    if (own) one.scrollIntoView({ block: 'nearest' })
  }
}

function visit(): void {
  const link = location.hash.slice(2)
  const entry = entries.get(link)
  const { title = 'Socket', description } = app.contract
  current = entry && panelOf(entry)
  document.title = `${entry?.name ?? title} · console`
  point()
  fill(
    main,
    current?.element ??
      h(
        'article',
        h('h2', { tabIndex: -1 }, title),
        link && h('p.warn', `This socket has no ${link}.`),
        description && prose(description),
        h('p.hint', 'Keys: / search, ↑ ↓ move, Ctrl+Enter call, stream, subscribe, publish or answer, Esc end.'),
      ),
  )
  main.scrollTop = 0
}

async function load(): Promise<void> {
  let contract: Contract
  try {
    const response = await fetch(source)
    if (!response.ok) throw new Error(`${source} was answered with ${response.status}`)
    contract = await response.json()
  } catch (error) {
    heard('note', `${error}`)
    if (!app.contract.hash) fill(main, h('article', { role: 'alert' }, h('p', `${error}`), button('Try again', load)))
    return
  }
  if (JSON.stringify(contract) !== JSON.stringify(app.contract)) take(contract)
}

/** The first contract, or one that has changed while the page was open: what is the same goes on undisturbed. */
function take(contract: Contract): void {
  const before = entries
  const changed = JSON.stringify(contract.definitions) !== JSON.stringify(app.contract.definitions)
  if (app.contract.hash) announce('the contract has changed')
  app.contract = contract
  app.schemas = schemasOf(contract.definitions)
  entries = entriesOf(contract)
  for (const [link, panel] of [...panels]) {
    const entry = entries.get(link)
    if (entry && !changed && JSON.stringify(entry) === JSON.stringify(before.get(link))) continue
    panel.end()
    panels.delete(link)
    marks.delete(link)
    const next = entry && panel.editor && panelOf(entry).editor
    if (next) next.text = panel.editor!.text
  }
  // Before anybody looks at them: what comes is not to be missed.
  for (const entry of entries.values()) if (/^(push|server)/.test(entry.kind)) panelOf(entry)
  by('title').textContent = `${contract.title ?? 'Socket'} ${contract.version ?? ''}`
  by('needs-token').hidden = contract.auth !== 'required'
  list()
  visit()
}

search.oninput = list
onhashchange = () => {
  visit()
  turn('main')
  main.querySelector<HTMLElement>('h2')!.focus({ preventScroll: true })
}
document.onkeydown = (event) => {
  const { key, ctrlKey, metaKey } = event
  const target = event.target as HTMLElement
  const step = { ArrowDown: 1, ArrowUp: -1 }[key]
  const all = [...(target.closest('#list, .rows')?.querySelectorAll<HTMLElement>('input, a, button') ?? [])]
  const next = step && all[all.indexOf(target) + step]
  if (key === 'Enter' && (ctrlKey || metaKey)) current?.go?.()
  else if (key === 'Enter' && target === search) links()[0]?.click()
  else if (key === 'Escape' && target !== search && current?.stop?.()) {
  } else if (key === '/' && !target.matches('input, textarea, select')) {
    turn('list')
    search.focus()
  } else if (next) {
    next.focus({ preventScroll: true })
    next.scrollIntoView({ block: 'nearest' })
  } else return
  event.preventDefault()
}
// Behind a lost connection may be a server with other routes.
let opened = 0
app.socket.on('state', (state) => {
  if (state === 'open' && opened++) void load()
})
if (location.hash[2]) turn('main')
void load()
