/** A list of any length, of which only those rows exist that can be seen. It follows its end as long as one looks at it. */

import { button, h, type Child } from './dom.js'

/** Pixels, as the style sheet has it. */
const HEIGHT = 28

export interface Rows<T> {
  element: HTMLElement
  show(items: readonly T[]): void
}

/** `picked` is told which row was clicked. */
export function rows<T extends object>(label: string, cells: (item: T) => Child[], picked: (item: T) => void): Rows<T> {
  const made = new WeakMap<T, HTMLElement>()
  let items: readonly T[] = []
  let following = true
  // Known, and not asked for at each turn: that would have the page laid out anew.
  let view = 0
  let top = 0
  let current: HTMLElement | undefined
  const list = h('ol')
  const element = h('div.rows', { tabIndex: 0, role: 'region', 'aria-label': label }, list)
  const make = (item: T) => {
    const own = button(cells(item), () => {
      current?.removeAttribute('aria-current')
      current = own
      own.setAttribute('aria-current', 'true')
      picked(item)
    })
    const row = h('li', own)
    made.set(item, row)
    return row
  }
  const render = () => {
    const height = items.length * HEIGHT
    if (following) top = Math.max(0, height - view)
    const first = Math.max(0, Math.floor(top / HEIGHT) - 9)
    const shown = items.slice(first, first + view / HEIGHT + 18).map((item) => made.get(item) ?? make(item))
    list.style.height = `${height}px`
    list.style.paddingTop = `${first * HEIGHT}px`
    // Those that stay are not moved: one of them may have the focus.
    for (const row of [...list.children]) if (!shown.includes(row as HTMLElement)) row.remove()
    shown.forEach((row, i) => {
      row.setAttribute('aria-posinset', `${first + i + 1}`)
      row.setAttribute('aria-setsize', `${items.length}`)
      if (list.children[i] !== row) list.insertBefore(row, list.children[i] ?? null)
    })
    if (following) element.scrollTop = top
  }
  element.onscroll = () => {
    if (Math.abs(top - element.scrollTop) < 1) return
    top = element.scrollTop
    following = top + view > (items.length - 1) * HEIGHT
    render()
  }
  new ResizeObserver(([entry]) => {
    view = entry!.contentRect.height
    render()
    // One that was away is at its beginning.
    element.scrollTop = top
  }).observe(element)
  return {
    element,
    show(some) {
      items = some
      render()
    },
  }
}
