/** A network of one page, played by the test: every WebSocket the client opens is listed, and does what it is told. */

import { vi } from 'vitest'
import { ObservableSocket, type SocketOptions } from '../../src/index.js'

interface Written {
  uuid: string
  route: string
  headers?: any
  payload?: any
  status?: number
}

export class FakeWebSocket {
  static all: FakeWebSocket[] = []
  static get last(): FakeWebSocket {
    return FakeWebSocket.all[FakeWebSocket.all.length - 1]!
  }
  static get living(): FakeWebSocket[] {
    return FakeWebSocket.all.filter((ws) => ws.readyState < 2)
  }

  readyState = 0
  onopen: ((event: any) => void) | null = null
  onmessage: ((event: any) => void) | null = null
  onclose: ((event: any) => void) | null = null
  onerror: ((event: any) => void) | null = null
  /** All that was written, and all but the greeting, which no rule about calls is about. */
  written: string[] = []
  get texts(): string[] {
    return this.written.filter((text) => !text.includes('"route":"$hello"'))
  }
  closedWith: [code?: number, reason?: string] | undefined

  constructor(readonly url: string) {
    FakeWebSocket.all.push(this)
  }

  // As browsers do: nothing is sent in vain aloud, and only some codes can be said.
  send(text: string): void {
    if (this.readyState === 0) throw new Error('InvalidStateError')
    if (this.readyState === 1) this.written.push(text)
  }

  close(code?: number, reason?: string): void {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code < 5000)) throw new Error('InvalidAccessError')
    if (this.readyState >= 2) return
    this.closedWith = [code, reason]
    this.readyState = 2
  }

  // The server's part.

  accept(): this {
    this.readyState = 1
    this.onopen?.({})
    return this
  }

  says(frame: unknown): void {
    this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) })
  }

  answers(payload: unknown, { status = 200, headers = {}, to = this.frames.length - 1 } = {}): void {
    this.says({ uuid: this.frames[to]!.uuid, status, headers, payload })
  }

  /** The server's answer to the greeting; one that is not given is waited for by nobody. */
  greets(payload: unknown = {}, status = 200): void {
    this.says({ uuid: this.hello!.uuid, status, headers: {}, payload })
  }

  item($seq: number, payload: unknown, to = 0): void {
    this.answers(payload, { status: 402, headers: { $seq }, to })
  }

  hangsUp(code = 1006, reason = ''): void {
    this.readyState = 3
    this.onclose?.({ code, reason })
  }

  get frames(): Written[] {
    return this.texts.map((text) => JSON.parse(text))
  }

  get hello(): Written | undefined {
    return this.written.map((text) => JSON.parse(text)).find((frame) => frame.route === '$hello')
  }

  get routes(): string[] {
    return this.frames.map((frame) => frame.route)
  }
}

export const URL = 'ws://server/ws'

/** A socket on that network. */
export const socketWith = (options: SocketOptions = {}) =>
  new ObservableSocket(URL, { WebSocket: FakeWebSocket, ...options })

export const openSocket = (options: SocketOptions = {}) => {
  const socket = socketWith(options)
  return { socket, ws: FakeWebSocket.last.accept() }
}

/** What a promise came to, without waiting longer than it takes. */
export async function outcome(promise: Promise<unknown>): Promise<unknown> {
  const nothing = Symbol('pending')
  let tick = Promise.resolve<unknown>(nothing)
  for (let i = 0; i < 10; i++) tick = tick.then(() => nothing)
  const seen = await Promise.race([promise.catch((error) => error), tick])
  return seen === nothing ? 'pending' : seen
}

/** Time stands still, and chance always takes the least. */
export function still(): void {
  FakeWebSocket.all = []
  vi.useFakeTimers()
  vi.spyOn(Math, 'random').mockReturnValue(0)
}

export function go(): void {
  vi.useRealTimers()
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
}
