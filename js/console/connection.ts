/** The connection, as one sees it and sets its token. */

import { ObservableSocket } from '../src/socket.js'
import { topics } from '../src/topics.js'
import { by, set, stored } from './dom.js'
import type { Direction } from './log.js'
import { tapped } from './tap.js'

export type Any = ObservableSocket<any, any, any, any>

const WORDS = { idle: 'not connected', connecting: 'connecting …', open: 'connected', waiting: 'lost, coming back', closed: 'closed' }

export function connect(url: string, heard: (direction: Direction, text: string) => void): Any {
  let token = stored('token')
  let why = ''
  const socket: Any = new ObservableSocket(url, {
    auth: () => token || undefined,
    topics,
    WebSocket: tapped(heard),
  })
  const state = by('state')
  const toggle = by<HTMLButtonElement>('toggle')
  const dialog = by<HTMLDialogElement>('settings')
  const field = by<HTMLInputElement>('token')
  const keep = by<HTMLInputElement>('keep')

  const look = () => {
    const { state: now } = socket
    set(state, 'data-state', now)
    state.textContent = `${WORDS[now]}${now === 'open' || now === 'connecting' || !why ? '' : ` (${why})`}`
    toggle.textContent = now === 'open' || now === 'connecting' ? 'Disconnect' : now === 'waiting' ? 'Try now' : 'Connect'
  }
  socket.on('state', look)
  socket.on('close', ({ code, reason, reconnects }) => {
    why = [code, reason].filter(Boolean).join(': ')
    heard('note', `closed with ${why}${reconnects ? ', and comes back' : ''}`)
    look()
  })
  socket.on('error', (error) => heard('note', `${(error as Error)?.message ?? error}`))
  toggle.addEventListener('click', () => {
    if (toggle.textContent === 'Disconnect') socket.close(1000, 'disconnected by hand')
    else socket.reconnect()
  })
  look()

  by('open-settings').addEventListener('click', () => {
    field.value = token
    keep.checked = !!stored('token')
    dialog.showModal()
  })
  by('settings-form').addEventListener('submit', (event) => {
    event.preventDefault()
    stored('token', keep.checked ? field.value : '')
    dialog.close()
    if (token !== field.value) {
      token = field.value
      socket.reconnect()
    }
  })
  by('settings-cancel').addEventListener('click', () => dialog.close())
  return socket
}
