/** The list of everything there is, and the search in it. */

import { grouped, matches, type Entry } from './contract.js'
import { by, fill, h, set } from './dom.js'
import { badge } from './look.js'

export interface List {
  show(entries: Map<string, Entry>): void
  /** Which one is looked at. */
  point(link: string): void
  mark(link: string, text: string): void
}

export function list(): List {
  const search = by<HTMLInputElement>('search')
  const place = by('entries')
  const found = by('found')
  const marks = new Map<string, string>()
  let entries = new Map<string, Entry>()
  let current = ''

  const anchors = () => [...place.querySelectorAll('a')]
  const link = (entry: Entry) => {
    const { name, link, about } = entry
    const { deprecated, summary } = about
    const words = h('span.words', h('span.name', name), summary && h('small', summary), deprecated && h('span.unseen', ' deprecated'))
    return h('li', h(`a${deprecated ? '.deprecated' : ''}`, { href: `#/${link}`, 'data-link': link }, badge(entry.kind), words, h('span.mark', marks.get(link))))
  }
  const render = () => {
    const some = [...entries.values()].filter((entry) => matches(entry, search.value.trim()))
    fill(place, grouped(some).map(([title, group]) => [h('h2', title), h('ul', group.map(link))]))
    found.textContent = search.value ? `${some.length} of ${entries.size}` : ''
    if (entries.size && !some.length) fill(place, h('p.hint', 'Nothing is called so.'))
    point(current)
  }
  const point = (link: string) => {
    current = link
    for (const one of anchors()) {
      const own = one.dataset.link === link
      set(one, 'aria-current', own ? 'page' : null)
      if (own) one.scrollIntoView({ block: 'nearest' })
    }
  }

  search.addEventListener('input', render)
  search.addEventListener('keydown', (event) => {
    const first = anchors()[0]
    if (event.key === 'Escape' && search.value) {
      search.value = ''
      render()
      event.stopPropagation()
    } else if (event.key === 'ArrowDown' && first) first.focus()
    else if (event.key === 'Enter' && first) first.click()
    else return
    event.preventDefault()
  })
  place.addEventListener('keydown', (event) => {
    const all = anchors()
    const at = all.indexOf(event.target as HTMLAnchorElement)
    const next = { ArrowDown: all[at + 1], ArrowUp: at ? all[at - 1] : search, Home: all[0], End: all.at(-1) }[event.key]
    if (at < 0 || !next) return
    next.focus()
    event.preventDefault()
  })

  return {
    show(all) {
      entries = all
      render()
    },
    point,
    mark(link, text) {
      marks.set(link, text)
      // An entry may stand under several tags.
      for (const one of anchors()) if (one.dataset.link === link) one.querySelector('.mark')!.textContent = text
    },
  }
}
