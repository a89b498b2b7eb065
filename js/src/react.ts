'use client'

/**
 * The binding to React: the socket lives outside it, components hold it and look at it.
 */

import {
  createContext,
  createElement,
  useCallback,
  useContext,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
  type ReactElement,
  type ReactNode,
} from 'react'
import {
  ObservableSocket,
  type Args,
  type CallOptions,
  type EventOf,
  type Gap,
  type Handlers,
  type Item,
  type Pushes,
  type Result,
  type RouteName,
  type Routes,
  type SnapshotOf,
  type SocketOptions,
  type State,
  type StreamName,
  type StreamOptions,
  type TopicName,
  type Topics,
} from './index.js'

const Context = createContext<ObservableSocket<any, any, any, any> | null>(null)

export type SocketProviderProps = { children?: ReactNode } & (
  | { socket: ObservableSocket<any, any, any, any>; url?: undefined; options?: undefined }
  | { url: string; options?: SocketOptions; socket?: undefined }
)

/** Give it a socket made outside, or the `url` of one that it makes, and that lives as long as it is mounted. */
export function SocketProvider({ socket, url, options, children }: SocketProviderProps): ReactElement {
  // Lazy, so that the copy StrictMode makes and throws away never connects.
  const [own] = useState(() => socket ?? new ObservableSocket<any, any, any, any>(url!, { ...options, lazy: true }))
  const value = socket ?? own
  useEffect(() => value.retain(), [value])
  return createElement(Context.Provider, { value }, children)
}

/** The socket of the provider above. It never changes by itself, so it causes no render. */
export function useSocket<R = Routes, H = Handlers, P = Pushes, T = Topics>(): ObservableSocket<R, H, P, T> {
  const socket = useContext(Context)
  if (!socket) throw new Error('useSocket needs a <SocketProvider> above it')
  return socket
}

/** Renders again at every change. */
export function useConnectionState(): State {
  const socket = useSocket()
  const subscribe = useCallback((changed: () => void) => socket.on('state', changed), [socket])
  return useSyncExternalStore(subscribe, () => socket.state, () => 'connecting')
}

export interface CallState<R, K extends RouteName<R>> {
  /** Calls the route; the state is that of the latest call. The promise may be ignored. */
  call: (...args: Args<R, K, CallOptions>) => Promise<Result<R, K>>
  data: Result<R, K> | undefined
  error: unknown
  pending: boolean
  /** Leaves the latest call, here and on the server. */
  cancel: () => void
}

/** A call that renders: `const sum = useCall('math/sum')`, `sum.call([1, 2])`, `sum.pending`, `sum.data`, `sum.error`. */
export function useCall<K extends RouteName<R>, R = Routes>(route: K): CallState<R, K> {
  const socket = useSocket<R>()
  const [state, setState] = useState<Pick<CallState<R, K>, 'data' | 'error' | 'pending'>>(nothing)
  // What a component asked for is not undone when it goes; only its eyes are.
  const latest = useRef<AbortController | undefined>(undefined)

  const call = useCallback(
    (...[payload, options]: Args<R, K, CallOptions>) => {
      const mine = (latest.current = new AbortController())
      const theirs = options?.signal
      const leave = () => mine.abort(theirs?.reason)
      if (theirs?.aborted) leave()
      theirs?.addEventListener('abort', leave)
      setState(({ data }) => ({ data, error: undefined, pending: true }))
      const promise = socket.call(route, ...([payload, { ...options, signal: mine.signal }] as never))
      const settle = (next: { data?: Result<R, K>; error?: unknown }) => {
        theirs?.removeEventListener('abort', leave)
        if (latest.current === mine) setState(({ data }) => ({ data, error: undefined, ...next, pending: false }))
      }
      promise.then(
        (data) => settle({ data }),
        (error) => settle({ error }),
      )
      return promise
    },
    [socket, route],
  )
  const cancel = useCallback(() => latest.current?.abort(), [])
  return { call, cancel, ...state }
}

const nothing = { data: undefined, error: undefined, pending: false }

/** Milliseconds in which items are gathered for one render: a frame, and also where no frames are drawn. */
const FRAME = 16

/** One copy for all that came in a frame, never one for each; `keep` is how many it holds, the newest. */
function gather<T>(keep: number, show: (add: (old: readonly T[]) => readonly T[]) => void) {
  let batch: T[] = []
  let timer: ReturnType<typeof setTimeout> | undefined
  const flush = () => {
    clearTimeout(timer)
    timer = undefined
    const news = batch
    batch = []
    show((old) => (news.length ? old.concat(news).slice(-keep) : old))
  }
  const item = (item: T) => {
    batch.push(item)
    timer ??= setTimeout(flush, FRAME)
  }
  /** What is gathered is not shown any more. */
  const drop = () => {
    clearTimeout(timer)
    timer = undefined
    batch = []
  }
  return { item, flush, drop }
}

export interface StreamState<R, K extends StreamName<R>> {
  /** Runs a stream, in place of the one before it. Returns its undoing, as an effect does. */
  start: (...args: Args<R, K, StreamOptions>) => () => void
  /** Leaves it, here and on the server; its items stay until the next start. */
  stop: () => void
  items: readonly Item<R, K>[]
  last: Item<R, K> | undefined
  status: 'idle' | 'streaming' | 'done' | 'error'
  error: unknown
}

/**
 * A stream that renders, once a frame at most: `const log = useStream('logs/tail', { keep: 100 })`,
 * `useEffect(() => log.start(file), [log.start, file])`, `log.items`. It ends with the component. `keep` is how many
 * items it holds, the newest; without it, all.
 */
export function useStream<K extends StreamName<R>, R = Routes>(
  route: K,
  { keep = Infinity }: { keep?: number } = {},
): StreamState<R, K> {
  type Shown = Pick<StreamState<R, K>, 'items' | 'status' | 'error'>
  const socket = useSocket<R>()
  const [state, setState] = useState<Shown>(unstarted)
  const latest = useRef<(() => void) | undefined>(undefined)
  const stop = useCallback(() => latest.current?.(), [])

  const start = useCallback(
    (...[payload, options]: Args<R, K, StreamOptions>) => {
      const { item, flush } = gather<Item<R, K>>(keep, (add) => setState((old) => ({ ...old, items: add(old.items) })))
      const show = (more: Partial<Shown>) => {
        flush()
        setState((old) => ({ ...old, ...more }))
      }
      const leave = () => {
        if (latest.current !== leave) return
        latest.current = undefined
        subscription?.unsubscribe()
        show({ status: 'idle' })
      }
      const end = (more: Partial<Shown>) => {
        latest.current = undefined
        show(more)
      }
      stop()
      latest.current = leave
      setState({ ...unstarted, status: 'streaming' })
      const subscription = socket.stream(route, ...([payload, options] as never)).subscribe({
        next: item,
        error: (error) => end({ status: 'error', error }),
        complete: () => end({ status: 'done' }),
      })
      return leave
    },
    [socket, route, keep, stop],
  )
  useEffect(() => stop, [stop, start])
  return { start, stop, ...state, last: state.items[state.items.length - 1] }
}

const unstarted = { items: [], status: 'idle', error: undefined } as const

export interface TopicState<T, K extends TopicName<T>> {
  /** Those that came since the snapshot, where there is one: the newest `keep`. */
  events: readonly EventOf<T, K>[]
  last: EventOf<T, K> | undefined
  /** The state of the topic, where it has one. */
  snapshot: SnapshotOf<T, K> | undefined
  /** `subscribed` from the first answer on, also while the connection is away: what is missed meanwhile follows. */
  status: 'idle' | 'subscribing' | 'subscribed' | 'error'
  error: unknown
}

/**
 * A topic that renders, once a frame at most: `const { events } = useTopic('orders/42')`. It ends with the component,
 * and is another with another name; null is none. `keep` is how many events it holds: 100.
 */
export function useTopic<K extends TopicName<T>, T = Topics>(
  topic: K | null,
  { onGap, keep = 100 }: { onGap?: (gap: Gap) => void; keep?: number } = {},
): TopicState<T, K> {
  type Shown = Omit<TopicState<T, K>, 'last'>
  const socket = useSocket<any, any, any, T>()
  const [[shown, state], setState] = useState<[K | null, Shown]>([null, unjoined])
  const gapped = useRef(onGap)
  useEffect(() => {
    gapped.current = onGap
  })
  useEffect(() => {
    if (topic === null) return
    const show = (more: Partial<Shown>) => setState(([, old]) => [topic, { ...old, ...more }])
    const { item, flush, drop } = gather<EventOf<T, K>>(keep, (add) =>
      setState(([, old]) => [topic, { ...old, events: add(old.events) }]),
    )
    setState([topic, { ...unjoined, status: 'subscribing' }])
    const { unsubscribe } = socket
      .subscribe(topic, {
        onGap: (gap) => gapped.current?.(gap),
        onSubscribed(snapshot) {
          // What came before it is in it.
          drop()
          show({ snapshot, events: [], status: 'subscribed' })
        },
      })
      .subscribe({
        next: item,
        error(error) {
          flush()
          show({ error, status: 'error' })
        },
      })
    return () => {
      drop()
      unsubscribe()
    }
  }, [socket, topic, keep])
  // Of the topic before, nothing is shown.
  const now = shown === topic ? state : unjoined
  return { ...now, last: now.events[now.events.length - 1] }
}

const unjoined = { events: [], snapshot: undefined, status: 'idle', error: undefined } as const
