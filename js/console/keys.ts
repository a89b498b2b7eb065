/** The keys of the page. */

import type { Panel } from './app.js'
import { by } from './dom.js'
import type { View } from './layout.js'

export function keys(current: () => Panel | undefined, turn: (view: View) => void): void {
  const help = by<HTMLDialogElement>('help')
  by('open-help').addEventListener('click', () => help.showModal())
  by('close-help').addEventListener('click', () => help.close())
  addEventListener('keydown', (event) => {
    const { key, target, ctrlKey, metaKey, altKey } = event
    if (event.defaultPrevented || document.querySelector('dialog[open]')) return
    const typing = (target as HTMLElement).matches('input:not([type=checkbox], [type=radio]), textarea, select')
    if (key === 'Enter' && (ctrlKey || metaKey)) current()?.go?.()
    else if (key === 'Escape') {
      if (!current()?.stop?.()) return
    } else if (typing || ctrlKey || metaKey || altKey) return
    else if (key === '/') {
      turn('list')
      by('search').focus()
    } else if (key === '?') help.showModal()
    else return
    event.preventDefault()
  })
}
