/** Which parts of the page are seen, and in which colours. */

import { by, set, stored } from './dom.js'

export type View = 'list' | 'main' | 'log'

const THEMES = ['auto', 'light', 'dark']

/** Returns the way to turn to a part, where there is room for one only. */
export function layout(): (view: View) => void {
  const { body, documentElement: root } = document
  const tabs = [...document.querySelectorAll<HTMLElement>('[data-turn]')]
  const turn = (view: View) => {
    set(body, 'data-view', view)
    for (const tab of tabs) set(tab, 'aria-pressed', `${tab.dataset.turn === view}`)
  }
  for (const tab of tabs) tab.addEventListener('click', () => turn(tab.dataset.turn as View))
  turn(location.hash.length > 2 ? 'main' : 'list')

  const theme = by<HTMLButtonElement>('theme')
  const paint = (name: string) => {
    set(root, 'data-theme', name)
    theme.textContent = `Theme: ${name}`
    stored('theme', name === 'auto' ? '' : name)
  }
  theme.addEventListener('click', () => paint(THEMES[(THEMES.indexOf(root.dataset.theme!) + 1) % 3]!))
  paint(THEMES.includes(stored('theme')) ? stored('theme') : 'auto')

  const log = by<HTMLButtonElement>('show-log')
  const dock = (open: boolean) => {
    set(body, 'data-log', open ? 'open' : 'shut')
    set(log, 'aria-pressed', `${open}`)
    stored('log', open ? '' : 'shut')
  }
  log.addEventListener('click', () => dock(body.dataset.log !== 'open'))
  dock(stored('log') !== 'shut')
  return turn
}
