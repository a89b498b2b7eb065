/** A WebSocket that tells what goes through it. */

import type { Direction } from './log.js'
import type { WebSocketLike } from '../src/line.js'

export type Heard = (direction: Direction, text: string) => void

export function tapped(heard: Heard): new (url: string) => WebSocketLike {
  return class extends WebSocket {
    constructor(url: string) {
      super(url)
      // Before the client's own, so that the frame stands above what the client says to it.
      this.addEventListener('message', ({ data }) => heard('in', typeof data === 'string' ? data : '(binary)'))
      this.addEventListener('open', () => heard('note', `connected to ${url}`))
    }
    override send(data: string): void {
      heard('out', data)
      super.send(data)
    }
  } as new (url: string) => WebSocketLike
}
