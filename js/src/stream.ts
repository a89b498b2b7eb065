/**
 * Many answers to one request, for whoever takes them: one by one with `for await`, or as they come with `subscribe`.
 *
 * It counts the items, says how far they were taken, and knows every way in which a stream ends. It never touches the
 * line: what it sends goes through what `begin` returns.
 */

import { safely, until } from './emitter.js'
import { SocketError } from './errors.js'
import type { StreamOptions } from './options.js'
import { answer, refusal, type Frame, type Headers } from './wire.js'

export interface Observer<T> {
  next?(item: T): void
  error?(error: unknown): void
  complete?(): void
}

export interface Subscription {
  /** Leaves the stream, here and on the server. */
  unsubscribe(): void
}

/** Nothing runs before somebody takes it; each iteration and each subscription is a stream of its own on the server. */
export interface Stream<T, R = unknown> {
  /** Its end has the result of the stream. `break` leaves it; a slow body holds the server up, by the window. */
  [Symbol.asyncIterator](): AsyncIterator<T, R>
  /** The signal unsubscribes. An error that nobody takes is an `error` event of the socket. */
  subscribe(observer?: Observer<T> | ((item: T) => void), options?: { signal?: AbortSignal }): Subscription
  subscribe(next: (item: T) => void, error?: (error: unknown) => void, complete?: () => void): Subscription
}

/** A request on its way. */
export interface Begun {
  ack(seq: number): void
  /** Fails it with this error, and tells the server; nothing once it is over. */
  leave(error?: unknown): void
  /** The largest window this server keeps. */
  limit(): number
}

/** Sends the request with these headers more. Any number of items, then one of `done` and `failed`. */
export type Begin = (
  headers: Headers,
  done: (frame: Frame) => void,
  failed: (error: unknown) => void,
  item: (seq: number, payload: any) => void,
) => Begun

/** How a stream ended. */
type Last = { error: unknown } | { value?: unknown }

/** Where a stream goes. After its end, or after it was left, it is told no more. */
export interface Sink<T> {
  item(item: T): void
  end(last: Last): void
  /** Calls back once the items before it are done with. */
  tell(what: () => void): void
}

/** What runs for one who takes it. */
export interface Running {
  /** One more item is with its consumer. */
  took(): void
  leave(): void
}

interface Cell<T> {
  item?: T
  told?: (() => void)[]
  next?: Cell<T>
}

/** One run of a stream of the server. */
export const streamed =
  <T>(route: string, { window = 64, signal }: StreamOptions, begin: Begin) =>
  (to: Sink<T>): Running => {
    let count = 0
    let taken = 0
    let acked = 0
    let over = false
    let begun: Begun | undefined
    const end = (last: Last) => {
      if (over) return
      over = true
      to.end(last)
    }
    const failed = (error: unknown) => end({ error })
    const wrong = (seq: unknown) => new SocketError(`${route} came to ${seq} where ${count} was due`)
    const done = (frame: Frame) => {
      const final = answer(frame)
      const { payload } = final
      const seq = final.headers.$seq
      if (!final.ok) failed(refusal(route, final))
      else if (seq === count) end({ value: payload })
      else if (seq !== undefined || count) failed(wrong(seq))
      else {
        // From a route that is no stream, or a server that knows none: nothing of it can be acknowledged.
        acked = Infinity
        for (const item of Array.isArray(payload) ? payload : [payload]) {
          if (signal?.aborted) failed(signal.reason)
          if (over) return
          to.item(item)
        }
        end({})
      }
    }
    const item = (seq: number, payload: T) => {
      if (seq !== count) return begun!.leave(wrong(seq))
      count++
      to.item(payload)
    }
    try {
      begun = begin({ $stream: true, $window: window }, done, failed, item)
    } catch (error) {
      failed(error)
    }
    return {
      took() {
        taken++
        // Half a window, and of the window the server really keeps: else both would wait for ever.
        if (!over && taken - acked >= Math.min(window, begun!.limit()) >> 1) begun!.ack((acked = taken) - 1)
      },
      leave() {
        over = true
        begun?.leave()
      },
    }
  }

export function source<T, R>(
  start: (to: Sink<T>) => Running,
  signal: AbortSignal | undefined,
  unheard: (error: unknown) => void,
): Stream<T, R> {
  const iterate = (): AsyncIterator<T, any> => {
    // What came and is not taken yet hangs between the two: never more than a window.
    let head: Cell<T> = {}
    let tail = head
    let last: Last | undefined
    let running: Running | undefined
    const waiting: [(result: IteratorResult<T, any>) => void, (error: unknown) => void][] = []
    const hand = () => {
      // Who aborts wants to see no more of it.
      if (signal?.aborted && head !== tail) {
        head = tail
        last = { error: signal.reason }
      }
      while (waiting[0] && (last || head !== tail)) {
        const [resolve, reject] = waiting.shift()!
        if (head !== tail) {
          head = head.next!
          resolve({ value: head.item!, done: false })
          running!.took()
        } else {
          const end = last!
          last = {}
          if ('error' in end) reject(end.error)
          else resolve({ value: end.value, done: true })
        }
      }
    }
    const end = (how: Last) => {
      last = how
      hand()
    }
    const item = (item: T) => {
      tail = tail.next = { item }
      hand()
    }
    const tell = (what: () => void) => {
      if (waiting[0]) safely(what)
      else (tail.told ??= []).push(what)
    }
    return {
      next: () =>
        new Promise((resolve, reject) => {
          // Who asks for more is done with what it has.
          head.told?.splice(0).forEach(safely)
          if (!last) running ??= start({ item, end, tell })
          waiting.push([resolve, reject])
          hand()
        }),
      async return(value) {
        head = tail
        running?.leave()
        end({})
        return { value, done: true }
      },
    }
  }

  const subscribe = (
    first: Observer<T> | ((item: T) => void) = {},
    second?: { signal?: AbortSignal } | ((error: unknown) => void),
    complete?: () => void,
  ): Subscription => {
    const [error, stop] = typeof second === 'function' ? [second] : [undefined, second?.signal]
    const observer: Observer<T> = typeof first === 'function' ? { next: first, error, complete } : first
    let running: Running | undefined
    let unsubscribe = () => {}
    const item = (item: T) => {
      safely(() => observer.next?.(item))
      running!.took()
    }
    const end = (last: Last) => {
      unsubscribe()
      if (!('error' in last)) safely(() => observer.complete?.())
      else if (observer.error) safely(() => observer.error!(last.error))
      else unheard(last.error)
    }
    until(
      stop,
      (off) => {
        unsubscribe = off
        running = start({ item, end, tell: safely })
      },
      () => running?.leave(),
    )
    return { unsubscribe }
  }

  // RxJS looks for one of these names; a native Observable is content with an iterator.
  const self = () => stream
  const stream = {
    [Symbol.asyncIterator]: iterate,
    subscribe,
    '@@observable': self,
    [(Symbol as any).observable ?? '@@observable']: self,
  }
  return stream
}
