/**
 * What the user holds: calls in, answers out.
 *
 * It brings the ledger of calls and the life of the connection together, and decides nothing of either.
 * The old client's methods are here too, since they are the same calls.
 */

import { Connection, type End, type State, type Url } from './connection.js'
import { Emitter, safely, type Listener } from './emitter.js'
import { ConnectionLostError, ResponseError, SocketError, TimeoutError } from './errors.js'
import {
  Message,
  optionsFrom,
  type MessageResponse,
  type OnConnectionChange,
  type OnMessage,
  type SocketConfig,
} from './message.js'
import type { CallOptions, SocketOptions } from './options.js'
import type { Answer, Args, Result, RouteName, Routes } from './routes.js'
import { Session, type Call } from './session.js'
import { decode, encode, newUuid, type Frame, type Headers } from './wire.js'

/** A message the server sent that answers nothing. */
export interface Push {
  route: string
  headers: Headers
  payload: any
}

export interface CloseInfo {
  code: number
  reason: string
  /** Whether the socket comes back by itself. */
  reconnects: boolean
}

export interface SocketEvents {
  state: State
  push: Push
  /** A connection, or an attempt at one, is over. */
  close: CloseInfo
  /** What no call is told: a failing `auth`, a frame that one of the ends could not read. Unheard, it is logged. */
  error: unknown
}

const TIMEOUT = 30_000
/** setTimeout takes no more; beyond, it fires at once. */
const LONGEST = 2 ** 31 - 1

export class ObservableSocket<R = Routes> {
  /** What the old signature calls it. */
  readonly name: string = ''
  onMessageReceived?: OnMessage
  onSocketConnectionChange?: OnConnectionChange

  readonly #options: SocketOptions
  readonly #legacy: boolean
  readonly #session: Session
  readonly #connection: Connection
  readonly #emitter = new Emitter<SocketEvents>()

  /** Connects at once, unless `lazy`. A path such as `/ws` is one of the page's own site. */
  constructor(url: Url, options?: SocketOptions)
  /** The signature of `@djanext/observable-socket`. */
  constructor(
    name: string,
    url: string,
    onSocketConnectionChange?: OnConnectionChange,
    onMessageReceived?: OnMessage,
    config?: Partial<SocketConfig>,
  )
  constructor(
    first: Url,
    second: SocketOptions | string = {},
    onSocketConnectionChange?: OnConnectionChange,
    onMessageReceived?: OnMessage,
    config?: Partial<SocketConfig>,
  ) {
    this.#legacy = typeof second === 'string'
    if (typeof second === 'string') {
      this.name = first as string
      this.onSocketConnectionChange = onSocketConnectionChange
      this.onMessageReceived = onMessageReceived
      first = second
      second = optionsFrom(config)
    }
    this.#options = second
    this.#session = new Session(second.queueLimit ?? 1_000)
    this.#connection = new Connection(first, second, {
      opened: (token) => this.#opened(token),
      data: (data) => this.#receive(data),
      state: (state, end) => this.#changed(state, end),
      error: (error) => this.#error(error),
      ping: () => (this.#legacy ? this.#serialize(new Message('PING', {})) : encode(newUuid(), 'PING', {})),
      quiet: () => this.#session.empty,
    })
    this.#connection.start()
  }

  get state(): State {
    return this.#connection.state
  }

  /** The WebSocket of this moment, if there is one. */
  get socket(): WebSocket | undefined {
    return this.#connection.line?.ws as WebSocket | undefined
  }

  /** The payload of a 2xx answer. Rejects with ResponseError for any other, and as `request` does. */
  async call<K extends RouteName<R>>(route: K, ...args: Args<R, K, CallOptions>): Promise<Result<R, K>> {
    const { ok, status, headers, payload } = await this.request(route, ...args)
    if (!ok) throw new ResponseError(route, status, headers, payload)
    return payload as Result<R, K>
  }

  /**
   * The answer, whatever its status. Waits for a connection if there is none. Rejects when no answer can come: with
   * TimeoutError, ConnectionLostError, QueueFullError or the reason of the signal. Never sent twice.
   */
  request<K extends RouteName<R>>(route: K, ...args: Args<R, K, CallOptions>): Promise<Answer<Result<R, K>>> {
    const [payload, options = {}] = args
    return new Promise((resolve, reject) => {
      const uuid = newUuid()
      const text = encode(uuid, route, this.#headers(options.headers), payload)
      this.#ask(uuid, route, text, (frame) => resolve(answer(frame)), reject, options)
    })
  }

  /**
   * Sends, and awaits nothing; waits for a connection no longer than a call would, and then is an `error` event.
   * Throws ConnectionLostError on a closed socket, QueueFullError on a full one.
   */
  notify<K extends RouteName<R>>(route: K, ...[payload, options]: Args<R, K, Pick<CallOptions, 'headers'>>): void {
    const uuid = newUuid()
    this.#tell(uuid, route, encode(uuid, route, this.#headers(options?.headers), payload))
  }

  /** Returns its undoing. */
  on<E extends keyof SocketEvents>(
    event: E,
    listener: Listener<SocketEvents[E]>,
    options?: { signal?: AbortSignal },
  ): () => void {
    return this.#emitter.on(event, listener, options?.signal)
  }

  /** Resolves when the connection is open, now or after any number of attempts; rejects when it closes for good. */
  ready({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (signal?.aborted) reject(signal.reason)
        else if (this.state === 'open') resolve()
        else if (this.state === 'closed') reject(this.#gone(false))
        else return
        off()
        signal?.removeEventListener('abort', look)
      }
      const off = this.on('state', look)
      signal?.addEventListener('abort', look)
      this.#connection.use()
      look()
    })
  }

  /** Wants a connection, also after a close. Does nothing while there is one, or one is on its way. */
  connect(): void {
    this.#connection.connect()
  }

  /** A fresh connection, at once, with a fresh `auth`: after a login, say. */
  reconnect(): void {
    this.#connection.reconnect()
  }

  /** Ends it for good: no timer, no event and no render brings it back, only `connect` or `reconnect`. */
  close(code?: number, reason?: string): void {
    this.#connection.close(code, reason)
  }

  /** Holds a lazy socket open. Returns its undoing; after the last one the socket goes idle, a moment later. */
  retain(): () => void {
    return this.#connection.retain()
  }

  /** Sends, and awaits nothing. Where `notify` throws, this only logs, as it always did. */
  sendMessage(message: Message<any>): void {
    try {
      this.#tell(message.uuid, `${message.route}`, this.#serialize(message))
    } catch (error) {
      this.#error(error)
    }
  }

  /** Calls back once: with the first answer, or with `{ message: null, success: false, error }`. */
  onResponse(request: Message<any>, onReceivedAction: (response: MessageResponse) => unknown): void {
    this.#ask(
      request.uuid,
      `${request.route}`,
      this.#serialize(request),
      (frame) => onReceivedAction({ message: frame as Message, success: true }),
      (error) => onReceivedAction({ message: null, success: false, error }),
    )
  }

  /** Resolves as `onResponse` calls back; rejects on a socket that is closed. */
  sendAndWait = (message: Message<any>): Promise<MessageResponse> =>
    new Promise((resolve, reject) => {
      if (this.state === 'closed') reject(this.#gone(false))
      else this.onResponse(message, resolve)
    })

  #headers(own?: Headers): Headers {
    const { headers } = this.#options
    return { ...(typeof headers === 'function' ? headers() : headers), ...own }
  }

  #serialize(message: Message<any>): string {
    message.headers = this.#headers(message.headers)
    return message.serialize()
  }

  #tell(uuid: string, route: string, text: string): void {
    const timeout = this.#options.timeout ?? TIMEOUT
    const until = Date.now() + timeout
    this.#send({
      uuid,
      text,
      sent: false,
      stale: () => (Date.now() < until ? undefined : new TimeoutError(route, timeout, false)),
      fail: (error) => this.#error(error),
    })
  }

  /** One of `done` and `failed` is called, once. */
  #ask(
    uuid: string,
    route: string,
    text: string,
    done: (frame: Frame) => void,
    failed: (error: unknown) => void,
    { signal, timeout = this.#options.timeout ?? TIMEOUT }: CallOptions = {},
  ): void {
    if (signal?.aborted) return failed(signal.reason)
    const end = () => {
      this.#session.end(call)
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
    const call: Call = {
      uuid,
      text,
      sent: false,
      // Ended first: whoever is told may start the next one under the same uuid.
      answer: (frame) => (end(), done(frame)),
      fail: (error) => (end(), failed(error)),
    }
    const leave = (error: unknown) => {
      // The answer is of no use any more, so neither is the work. A server that knows no better answers 404, to nobody.
      if (call.sent && !this.#legacy) this.#connection.line?.send(encode(uuid, '$cancel', {}))
      safely(() => call.fail(error))
    }
    const abort = () => leave(signal!.reason)
    const late = () => leave(new TimeoutError(route, timeout, call.sent))
    const timer = timeout <= LONGEST ? setTimeout(late, timeout) : undefined
    signal?.addEventListener('abort', abort)
    try {
      this.#send(call)
    } catch (error) {
      call.fail(error)
    }
  }

  #send(call: Call): void {
    if (this.state === 'closed') throw this.#gone(false)
    this.#session.start(call)
    this.#connection.use()
    if (this.state === 'open') this.#write(call)
  }

  #write(call: Call): void {
    if (this.#connection.line?.send(call.text)) this.#session.sent(call)
  }

  #opened(token: string | null | undefined): void {
    // Not awaited: the server judges what follows on the same line after it.
    if (token != null) this.#hello(token)
    for (const call of this.#session.waiting()) {
      const stale = call.stale?.()
      if (stale) {
        this.#session.end(call)
        call.fail(stale)
      } else this.#write(call)
    }
  }

  #hello(token: string): void {
    const uuid = newUuid()
    const call: Call = {
      uuid,
      text: encode(uuid, '$hello', {}, { protocol: 1, client: 'js', token }),
      sent: false,
      answer: (frame) => {
        this.#session.end(call)
        const { ok, status, headers, payload } = answer(frame)
        if (!ok) this.#error(new ResponseError('$hello', status, headers, payload))
      },
      fail() {},
    }
    this.#session.start(call, true)
    this.#write(call)
  }

  #receive(data: unknown): void {
    const frame = decode(data)
    if (!frame) return this.#error(new SocketError('received a frame that is no JSON object'))
    // The old callback sees every frame but PONG, and before those who wait for it: it may end their call.
    if (frame.route !== 'PONG') safely(() => this.onMessageReceived?.({ message: frame as Message, success: true }))
    const step = this.#session.receive(frame)
    const { status, headers, payload } = answer(frame)
    if (step.do === 'answer') safely(() => step.call.answer!(frame))
    if (step.do === 'push') this.#emitter.emit('push', { route: frame.route as string, headers, payload })
    if (step.do === 'complain') this.#error(new ResponseError('?', status, headers, payload))
  }

  #changed(state: State, end?: End): void {
    const lost = end ? this.#session.lost(state === 'closed') : []
    if (state !== 'connecting') safely(() => this.onSocketConnectionChange?.(this.name, state === 'open'))
    this.#emitter.emit('state', state)
    // By now: a listener may have closed it.
    const reconnects = this.state !== 'closed' && this.state !== 'idle'
    if (end) this.#emitter.emit('close', { code: end.code, reason: end.reason, reconnects })
    for (const call of lost) safely(() => call.fail(this.#gone(call.sent, end)))
  }

  #error(error: unknown): void {
    if (!this.#emitter.emit('error', error)) console.error(error)
  }

  #gone(sent: boolean, { code, reason, cause }: End = this.#connection.end): ConnectionLostError {
    return new ConnectionLostError(sent, code, reason, cause)
  }
}

function answer(frame: Frame): Answer<any> {
  const status = typeof frame.status === 'number' ? frame.status : 200
  const payload = frame.payload as any
  return { ok: (status >= 200 && status < 300) as true, status, headers: frame.headers ?? {}, payload }
}
