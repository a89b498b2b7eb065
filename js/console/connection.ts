/** The connection, as one sees it and sets its token, and all that goes through it. */

import type { WebSocketLike } from '../src/line.js'
import { ObservableSocket } from '../src/socket.js'
import { topics } from '../src/topics.js'
import { by } from './dom.js'
import type { Heard } from './log.js'

const WORDS: Record<string, string> = { connecting: 'connecting …', open: 'connected', waiting: 'lost, coming back' }

export function connect(url: string, heard: Heard): ObservableSocket<any, any, any, any> {
  class Tapped extends WebSocket {
    constructor(url: string) {
      super(url)
      // Before the client's own, so that the frame stands above what the client says to it.
      this.addEventListener('message', ({ data }) => heard('in', `${data}`))
      this.addEventListener('open', () => heard('note', `connected to ${url}`))
    }
    override send(data: string): void {
      heard('out', data)
      super.send(data)
    }
  }
  const token = by<HTMLInputElement>('token')
  const state = by('state')
  const toggle = by('toggle')
  let why = ''
  const socket: ObservableSocket<any, any, any, any> = new ObservableSocket(url, {
    auth: () => token.value || undefined,
    topics,
    WebSocket: Tapped as new (url: string) => WebSocketLike,
  })
  const on = () => /^(open|connecting)$/.test(socket.state)
  const look = () => {
    state.dataset.state = socket.state
    state.textContent = `${WORDS[socket.state] ?? socket.state}${on() ? '' : why}`
    toggle.textContent = on() ? 'Disconnect' : 'Connect'
  }
  socket.on('state', look)
  socket.on('close', ({ code, reason }) => {
    why = ` (${code}: ${reason})`
    heard('note', `closed with ${code}: ${reason}`)
    look()
  })
  socket.on('error', (error) => heard('note', `${error}`))
  toggle.onclick = () => (on() ? socket.close() : socket.reconnect())
  token.onchange = () => socket.reconnect()
  return socket
}
