/** What the parts of the page share: the socket, the contract's types, and who shows what. */

import type { ObservableSocket } from '../src/socket.js'
import type { Contract, Entry } from './contract.js'
import type { Schemas } from './schema.js'

export interface App {
  socket: ObservableSocket<any, any, any, any>
  /** The socket's address. */
  url: string
  contract: Contract
  schemas: Schemas
  /** Something goes on there, or waits there: a few characters in the list; '' for nothing. */
  mark(entry: Entry, text: string | number): void
}

/** One entry, as one works with it. It lives on while another is looked at. */
export interface Panel {
  element: HTMLElement
  /** What Ctrl+Enter does. */
  go?(): unknown
  /** What Escape does; false if there is nothing to be ended. */
  stop?(): boolean
  /** With the text that a panel after it goes on with. */
  editor?: { text: string }
  /** Ends what it has going on. */
  end(): unknown
}
