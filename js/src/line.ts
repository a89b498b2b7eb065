/**
 * One WebSocket, from its handshake to its end.
 *
 * It tells its end exactly once, and at once: a dead network is not waited for.
 * It never comes back; the socket opens another.
 */

export interface WebSocketLike {
  readonly readyState: number
  onopen: ((event: any) => void) | null
  onmessage: ((event: any) => void) | null
  onclose: ((event: any) => void) | null
  onerror: ((event: any) => void) | null
  send(data: string): void
  close(code?: number, reason?: string): void
}

export interface Heartbeat {
  /** Milliseconds without any frame after which a PING is sent. */
  rate: number
  /** Milliseconds after a PING without any frame after which the line is dead. */
  timeout: number
}

export interface LineEvents {
  open(): void
  data(data: unknown): void
  down(code: number, reason: string): void
  /** The text of a PING. */
  ping(): string
}

/** A server hangs up on whom it has not heard for some minutes, however much it has to say itself. */
const MINUTE = 60_000

export class Line {
  #timer: ReturnType<typeof setTimeout> | undefined
  #seen = 0
  #said = 0
  /** How often the other end wants to hear something, where it said so. */
  #patience: number | undefined
  #pinged = 0

  constructor(
    readonly ws: WebSocketLike,
    private readonly heartbeat: Heartbeat | false,
    private readonly events: LineEvents,
  ) {
    ws.onopen = () => {
      this.#saw()
      this.#said = this.#seen
      this.#watch()
      events.open()
    }
    ws.onmessage = ({ data }) => {
      this.#saw()
      events.data(data)
    }
    ws.onclose = ({ code, reason }) => this.#down(code, reason)
    // The close that follows says more than the error does.
    ws.onerror = () => {}
  }

  /** False when the line is not open: a socket that is closing swallows what it is given. */
  send(text: string): boolean {
    if (this.ws.readyState !== 1) return false
    this.ws.send(text)
    this.#said = Date.now()
    return true
  }

  /** The other end said, just now, that it wants to hear something at least this often, in milliseconds. */
  heed(ms: number): void {
    if (!(ms > 0)) return
    this.#patience = ms
    this.#watch()
  }

  /** Asks at once whether the other end still lives, unless it was heard lately. */
  probe(): void {
    const { heartbeat } = this
    if (!heartbeat || this.#pinged || this.ws.readyState !== 1) return
    if (Date.now() - this.#seen >= heartbeat.timeout) this.#ping()
  }

  /** Says goodbye, if this code can be said; its own `down` is not told. */
  end({ code, reason }: { code: number; reason: string }): void {
    this.#silence()
    try {
      this.ws.close(code, reason)
    } catch {
      this.ws.close()
    }
  }

  #saw(): void {
    this.#seen = Date.now()
    this.#pinged = 0
  }

  #watch(): void {
    if (this.heartbeat) this.#later(this.#due(this.heartbeat))
  }

  #due({ rate }: Heartbeat): number {
    return Math.min(this.#seen + rate, this.#said + (this.#patience ?? Math.max(rate, MINUTE))) - Date.now()
  }

  // One timer looks now and then; frames only leave a note, however many there are.
  #later(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#look(), ms)
  }

  #look(): void {
    const heartbeat = this.heartbeat as Heartbeat
    if (this.#pinged) {
      // Not waited for: on a dead network a close takes as long as it likes.
      this.#down(1006, `no sign of life within ${heartbeat.timeout} ms`)
    } else if (this.#due(heartbeat) <= 0) this.#ping()
    else this.#watch()
  }

  #ping(): void {
    this.#pinged = Date.now()
    this.send(this.events.ping())
    this.#later((this.heartbeat as Heartbeat).timeout)
  }

  #down(code: number, reason: string): void {
    this.#silence()
    this.events.down(code, reason)
  }

  #silence(): void {
    clearTimeout(this.#timer)
    this.ws.onopen = this.ws.onmessage = this.ws.onclose = null
  }
}
