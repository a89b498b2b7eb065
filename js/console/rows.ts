/**
 * A list of any length, of which only those rows exist that can be seen.
 *
 * Rows are of one height. It follows its end as long as one looks at it.
 */

import { h, perFrame, type Child } from './dom.js'

const AROUND = 6

export class Rows<T> {
  readonly element: HTMLElement
  readonly #list: HTMLElement
  readonly #shown = new Map<number, HTMLElement>()
  #items: readonly T[] = []
  /** The number of the first item. */
  #base = 0
  #following = true
  // Measured when they change: to ask for them at each turn would have the page laid out anew.
  #view = 0
  #top = 0
  #height = 28
  #picked?: T
  readonly #later = perFrame(() => this.#render())

  /** `picked` is told which row was clicked. */
  constructor(
    label: string,
    private readonly row: (item: T) => Child[],
    private readonly picked: (item: T) => void,
  ) {
    this.#list = h('ol', { keydown: (event: KeyboardEvent) => this.#key(event) })
    this.element = h('div.rows', { tabindex: 0, role: 'region', 'aria-label': label }, this.#list)
    this.element.addEventListener('scroll', () => {
      this.#top = this.element.scrollTop
      this.#following = this.#top + this.#view >= (this.#items.length - 1) * this.#height
      this.#render()
    })
    new ResizeObserver(([entry]) => {
      this.#view = entry!.contentRect.height
      this.#height = parseFloat(getComputedStyle(document.documentElement).fontSize) * 1.75
      this.#render()
    }).observe(this.element)
  }

  /** `base` is the number of the first of them: rows that stay are not made anew. */
  show(items: readonly T[], base: number): void {
    // Others than before: nothing of them stays.
    if (base < this.#base || base > this.#base + this.#items.length) this.#forget()
    this.#items = items
    this.#base = base
    this.#later()
  }

  /** All rows are made anew: a filter changed, say. */
  refresh(items: readonly T[], base: number): void {
    this.#forget()
    this.#following = true
    this.#base = base
    this.show(items, base)
  }

  #forget(): void {
    this.#shown.clear()
    this.#list.replaceChildren()
  }

  #render(): void {
    const height = this.#height
    const count = this.#items.length
    this.#list.style.height = `${count * height}px`
    if (!this.#view) return
    if (this.#following) this.#top = Math.max(0, count * height - this.#view)
    const first = Math.max(0, Math.floor(this.#top / height) - AROUND)
    const end = Math.min(count, Math.ceil((this.#top + this.#view) / height) + AROUND)
    for (const [n, row] of this.#shown) {
      if (n >= this.#base + first && n < this.#base + end) continue
      row.remove()
      this.#shown.delete(n)
    }
    let before: Element | null = null
    for (let i = first; i < end; i++) {
      const n = this.#base + i
      let row = this.#shown.get(n)
      if (!row) {
        row = this.#make(this.#items[i]!)
        this.#shown.set(n, row)
        if (before) before.after(row)
        else this.#list.prepend(row)
      }
      row.setAttribute('aria-posinset', `${i + 1}`)
      row.setAttribute('aria-setsize', `${count}`)
      row.style.top = `${i * height}px`
      before = row
    }
    if (this.#following) this.element.scrollTop = this.#top
  }

  #make(item: T): HTMLElement {
    const pick = () => {
      this.#picked = item
      for (const button of this.#list.querySelectorAll('button')) button.ariaCurrent = `${button === own}`
      this.picked(item)
    }
    const own = h('button', { type: 'button', click: pick, 'aria-current': `${item === this.#picked}` }, this.row(item))
    return h('li', own)
  }

  #key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    const row = (event.target as HTMLElement).closest('li')
    const next = step === 1 ? row?.nextElementSibling : step === -1 ? row?.previousElementSibling : undefined
    if (!next) return
    event.preventDefault()
    ;(next.firstElementChild as HTMLElement).focus({ preventScroll: true })
    next.scrollIntoView({ block: 'nearest' })
  }
}
