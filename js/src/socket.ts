/**
 * What the user holds: calls in, answers out.
 *
 * It brings the ledger of calls and the life of the connection together, and decides nothing of either.
 * The old client's methods are here too, since they are the same calls.
 */

import { connection, type Connection, type End, type State, type Url } from './connection.js'
import { Emitter, safely, type Listener } from './emitter.js'
import { ConnectionLostError, SocketError, TimeoutError } from './errors.js'
import { greeting, LONGEST, type Greeting, type SessionInfo } from './greeting.js'
import {
  Message,
  optionsFrom,
  type MessageResponse,
  type OnConnectionChange,
  type OnMessage,
  type SocketConfig,
} from './message.js'
import type { CallOptions, PublishOptions, SocketOptions, StreamOptions, SubscribeOptions } from './options.js'
import type {
  Answer,
  Args,
  Errors,
  EventOf,
  Final,
  Handler,
  Handlers,
  Item,
  PublishOf,
  Pushes,
  PushOf,
  Result,
  RouteName,
  Routes,
  SnapshotOf,
  StreamName,
  TopicName,
  Topics,
} from './routes.js'
import { serving, type Serving } from './serving.js'
import { session, type Call, type Session } from './session.js'
import { source, streamed, type Begin, type Stream } from './stream.js'
import type { Lent, Subscribe } from './topics.js'
import { answer, decode, encode, newUuid, refusal, type Frame, type Headers } from './wire.js'

/** A message the server sent that answers nothing. */
export type Push<P = Pushes> = PushOf<P>

export interface CloseInfo {
  code: number
  reason: string
  /** Whether the socket comes back by itself. */
  reconnects: boolean
}

export interface SocketEvents<P = Pushes> {
  state: State
  push: Push<P>
  /** A connection, or an attempt at one, is over. */
  close: CloseInfo
  /** What no call is told: a failing `auth`, a frame that one of the ends could not read. Unheard, it is logged. */
  error: unknown
}

const TIMEOUT = 30_000

export class ObservableSocket<R = Routes, H = Handlers, P = Pushes, T = Topics> {
  /** What the old signature calls it. */
  readonly name: string = ''
  declare onMessageReceived?: OnMessage
  declare onSocketConnectionChange?: OnConnectionChange

  readonly #options: SocketOptions
  readonly #legacy: boolean
  readonly #session: Session
  readonly #connection: Connection
  readonly #emitter = new Emitter<SocketEvents<P>>()
  readonly #error = (error: unknown): void => {
    if (!this.#emitter.emit('error', error)) console.error(error)
  }
  readonly #serving: Serving = serving(this.#error)
  readonly #greeting: Greeting
  readonly #lent: Lent
  #subscribe?: Subscribe

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
    const greets = !this.#legacy && second.hello !== false
    this.#options = second
    this.#session = session(second.queueLimit ?? 1_000, greets)
    this.#lent = {
      ask: (route, payload, done) => {
        const uuid = newUuid()
        const text = encode(uuid, route, {}, payload)
        this.#ask(uuid, route, text, (frame) => done(answer(frame)), () => {}, { timeout: Infinity }, undefined, true)
      },
      error: this.#error,
      backoff: { min: 1_000, max: 30_000, ...second.backoff },
    }
    this.#greeting = greeting(second, this.#lent, this.#session, (ms) => this.#connection.line?.heed(ms))
    this.#connection = connection(first, second, this.#lent.backoff, {
      opened: (token) => {
        // Not awaited: the server judges what follows on the same line after it.
        if (greets) this.#greeting.hello(token)
        else if (token != null) this.#greeting.auth(token)
        this.#go(true)
      },
      data: (data) => this.#receive(data),
      state: (state, end) => this.#changed(state, end),
      error: this.#error,
      ping: () => (this.#legacy ? this.#serialize(new Message('PING', {})) : encode(newUuid(), 'PING', {})),
      quiet: (sent) => this.#session.quiet(sent) && this.#serving.idle(),
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

  /** What the server said of itself and this line; undefined before it did, and where it cannot. */
  get session(): SessionInfo | undefined {
    return this.#greeting.session
  }

  /** The payload of a 2xx answer. Rejects with ResponseError for any other, and as `request` does. */
  async call<K extends RouteName<R>>(route: K, ...args: Args<R, K, CallOptions>): Promise<Result<R, K>> {
    const answer = (await this.request(route, ...args)) as Answer<Result<R, K>>
    if (!answer.ok) throw refusal(route, answer)
    return answer.payload
  }

  /**
   * The answer, whatever its status. Waits for a connection if there is none. Rejects when no answer can come: with
   * TimeoutError, ConnectionLostError, QueueFullError or the reason of the signal. Never sent twice.
   */
  request<K extends RouteName<R>>(
    route: K,
    ...[payload, options = {}]: Args<R, K, CallOptions>
  ): Promise<Answer<Result<R, K>, Errors<R, K>>> {
    return new Promise((resolve, reject) => {
      this.#begin(route, payload, options, {}, (frame) => resolve(answer(frame) as never), reject)
    })
  }

  /**
   * A source of items: `for await` takes them one by one, `subscribe` as they come, and so do RxJS and the platform's
   * own Observable. Each starts a stream of its own on the server. What was received before it ends badly is given
   * first; it ends with ResponseError, or as a `request` does, and never starts again by itself.
   */
  stream<K extends StreamName<R>>(
    route: K,
    ...[payload, options = {}]: Args<R, K, StreamOptions>
  ): Stream<Item<R, K>, Final<R, K>> {
    const begin: Begin = (headers, done, failed, item) => {
      const { uuid, leave } = this.#begin(route, payload, options, headers, done, failed, item)
      return {
        leave,
        ack: ($seq) => this.#connection.line?.send(encode(uuid, '$ack', { $seq })),
        limit: () => this.session?.limits?.window ?? 1024,
      }
    }
    return source(streamed(route, options, begin), options.signal, this.#error)
  }

  /**
   * A source of the events of a topic, as `stream` is one of items. It outlives connections: whoever comes back gets
   * what was missed, in order and once, or is told by `onGap`. It ends with ResponseError where the server refuses it,
   * and with ConnectionLostError on a socket that closes. Wants `topics` among the options of the socket.
   */
  subscribe<K extends TopicName<T>>(
    topic: K,
    options: SubscribeOptions<SnapshotOf<T, K>> = {},
  ): Stream<EventOf<T, K>, undefined> {
    const { topics } = this.#options
    if (!topics) throw new SocketError('subscribe wants { topics } of fastapi-observable-socket/topics')
    return (this.#subscribe ??= topics(this, this.#lent))(topic, options)
  }

  /** Publishes where the topic lets clients; resolves with its position, where the topic keeps events. */
  publish<K extends TopicName<T>>(
    topic: K,
    payload: PublishOf<T, K>,
    { messageId, ...options }: PublishOptions = {},
  ): Promise<{ epoch?: string; offset?: number }> {
    return (this as ObservableSocket<any>).call('$pub', { topic, payload, message_id: messageId }, options) as Promise<any>
  }

  /**
   * Answers a route that the server calls: with what the handler returns; with the status and payload of an error that
   * has both, such as ResponseError; and with 500 and no more for any other, which is an `error` event here. The
   * handler's signal aborts when the server no longer waits. Returns its undoing; throws if the route has a handler.
   */
  handle<K extends RouteName<H>>(route: K, handler: Handler<H, K>, options?: { signal?: AbortSignal }): () => void {
    return this.#serving.handle(route, handler, options?.signal)
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
  on<E extends keyof SocketEvents<P>>(
    event: E,
    listener: Listener<SocketEvents<P>[E]>,
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
      fail: this.#error,
    })
  }

  #begin(
    route: string,
    payload: unknown,
    options: CallOptions,
    headers: Headers,
    done: (frame: Frame) => void,
    failed: (error: unknown) => void,
    item?: (seq: number, payload: any) => void,
  ) {
    const uuid = newUuid()
    const progress = options.onProgress && { $progress: true }
    const text = encode(uuid, route, this.#headers({ ...options.headers, ...headers, ...progress }), payload)
    return { uuid, leave: this.#ask(uuid, route, text, done, failed, options, item) }
  }

  /**
   * `done` or `failed` is called; of two calls, as where somebody leaves while the line is being lost, the first counts.
   * Where items or progress are wanted, an answer that is PENDING is not the last; the first item ends the wait for it.
   * Returns the way to leave.
   */
  #ask(
    uuid: string,
    route: string,
    text: string,
    done: (frame: Frame) => void,
    failed: (error: unknown) => void,
    { signal, timeout = this.#options.timeout ?? TIMEOUT, onProgress }: CallOptions = {},
    item?: (seq: number, payload: any) => void,
    own?: boolean,
  ): (error?: unknown) => void {
    let live = true
    const end = () => {
      live = false
      this.#session.end(call)
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
    const call: Call = {
      uuid,
      text,
      sent: false,
      own,
      counts: !own && !item,
      answer: (frame) => {
        const seq = frame.headers?.$seq
        if (frame.status !== 402 || !(item || onProgress)) {
          // Ended first: whoever is told may start the next one under the same uuid.
          end()
          done(frame)
        } else if (item && typeof seq === 'number') {
          clearTimeout(timer)
          item(seq, frame.payload)
        } else safely(() => onProgress?.(frame.payload))
      },
      fail: (error) => {
        end()
        failed(error)
      },
    }
    const leave = (error?: unknown) => {
      // The answer is of no use any more, so neither is the work. A server that knows no better answers 404, to nobody.
      if (live && call.sent && (item || !this.#legacy)) this.#connection.line?.send(encode(uuid, '$cancel', {}))
      safely(() => call.fail(error))
    }
    const abort = () => leave(signal!.reason)
    const late = () => leave(new TimeoutError(route, timeout, call.sent))
    const timer = timeout <= LONGEST ? setTimeout(late, timeout) : undefined
    signal?.addEventListener('abort', abort)
    try {
      if (signal?.aborted) throw signal.reason
      this.#send(call)
    } catch (error) {
      call.fail(error)
    }
    return leave
  }

  #send(call: Call): void {
    const { state } = this
    if (state === 'closed') throw this.#gone(false)
    this.#session.start(call, state === 'open')
    this.#connection.use()
    // What the server asks here may depend on a call that is made for it: that must not wait.
    if (!this.#serving.idle()) this.#write(call, this.#connection.line)
    else if (call.counts) this.#go()
    else this.#write(call)
  }

  #write(call: Call, line = this.#connection.fresh): boolean | undefined {
    const sent = line?.send(call.text)
    if (sent) this.#session.sent(call)
    return sent
  }

  /** Sends what waits, in order, as far as the server takes it; `all`: behind it, too, what is not bounded. */
  #go(all?: boolean): void {
    this.#connection.settled()
    for (const call of this.#session.waiting) {
      const stale = call.stale?.()
      if (stale) {
        this.#session.end(call)
        call.fail(stale)
      } else if (this.#session.full(call) ? !all : !this.#write(call)) return
    }
  }

  #receive(data: unknown): void {
    const frame = decode(data)
    if (!frame) return this.#error(new SocketError('received a frame that is no JSON object'))
    // The old callback sees every frame but PONG, and before those who wait for it: it may end their call.
    if (frame.route !== 'PONG') safely(() => this.onMessageReceived?.({ message: frame as Message, success: true }))
    const step = this.#session.receive(frame)
    const answered = answer(frame)
    if (typeof step === 'object') safely(() => step.answer!(frame))
    if (step === 'push' && !this.#lent.heard?.(frame)) {
      const { headers, payload } = answered
      this.#emitter.emit('push', { route: frame.route, headers, payload } as Push<P>)
    }
    if (step === 'desist') this.#serving.desist(frame.uuid)
    if (step === 'serve') {
      const { line } = this.#connection
      void this.#serving.serve(frame, (text) => {
        line?.send(text)
        this.#go()
      })
    }
    if (step === 'drain') this.#connection.drain((frame.payload as any)?.within_ms)
    if (step === 'complain') this.#error(refusal('?', answered))
    this.#go()
  }

  #changed(state: State, end?: End): void {
    let lost: Call[] = []
    if (end) {
      lost = this.#session.lost(state === 'closed')
      this.#greeting.over()
      this.#serving.lost()
    }
    if (state !== 'connecting') safely(() => this.onSocketConnectionChange?.(this.name, state === 'open'))
    this.#emitter.emit('state', state)
    // By now: a listener may have closed it.
    const reconnects = this.state !== 'closed' && this.state !== 'idle'
    if (end) this.#emitter.emit('close', { code: end.code, reason: end.reason, reconnects })
    for (const call of lost) safely(() => call.fail(this.#gone(call.sent, end)))
  }

  #gone(sent: boolean, { code, reason, cause }: End = this.#connection.end): ConnectionLostError {
    return new ConnectionLostError(sent, code, reason, cause)
  }
}
