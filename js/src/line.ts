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

export interface Line {
  readonly ws: WebSocketLike
  /** False when the line is not open: a socket that is closing swallows what it is given. */
  send(text: string): boolean
  /** The other end said, just now, that it wants to hear something at least this often, in milliseconds. */
  heed(ms: number): void
  /** Asks at once whether the other end still lives, unless it was heard lately. */
  probe(): void
  /** Says goodbye, if this code can be said; its own `down` is not told. */
  end(end: { code: number; reason: string }): void
}

export function line(ws: WebSocketLike, heartbeat: Heartbeat | false, events: LineEvents): Line {
  const { rate, timeout } = heartbeat || { rate: Infinity, timeout: Infinity }
  let timer: ReturnType<typeof setTimeout> | undefined
  let seen = 0
  let said = 0
  /** How often the other end wants to hear something. */
  let patience = Math.max(rate, MINUTE)
  let pinged = false

  const saw = () => {
    seen = Date.now()
    pinged = false
  }
  // One timer looks now and then; frames only leave a note, however many there are.
  const later = (ms: number) => {
    clearTimeout(timer)
    if (heartbeat) timer = setTimeout(look, ms)
  }
  const due = () => Math.min(seen + rate, said + patience) - Date.now()
  const look = () => {
    // Not waited for: on a dead network a close takes as long as it likes.
    if (pinged) down(1006, `no sign of life within ${timeout} ms`)
    else if (due() <= 0) ping()
    else later(due())
  }
  const ping = () => {
    pinged = true
    self.send(events.ping())
    later(timeout)
  }
  const silence = () => {
    clearTimeout(timer)
    ws.onopen = ws.onmessage = ws.onclose = null
  }
  const down = (code: number, reason: string) => {
    silence()
    events.down(code, reason)
  }

  ws.onopen = () => {
    saw()
    said = seen
    later(due())
    events.open()
  }
  ws.onmessage = ({ data }) => {
    saw()
    events.data(data)
  }
  ws.onclose = ({ code, reason }) => down(code, reason)
  // The close that follows says more than the error does.
  ws.onerror = () => {}

  const self: Line = {
    ws,
    send(text) {
      if (ws.readyState !== 1) return false
      ws.send(text)
      said = Date.now()
      return true
    },
    heed(ms) {
      if (!(ms > 0)) return
      patience = ms
      later(due())
    },
    probe() {
      if (!pinged && ws.readyState === 1 && Date.now() - seen >= timeout) ping()
    },
    end({ code, reason }) {
      silence()
      try {
        ws.close(code, reason)
      } catch {
        ws.close()
      }
    },
  }
  return self
}
