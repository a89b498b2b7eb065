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
  type Result,
  type RouteName,
  type Routes,
  type SocketOptions,
  type State,
} from './index.js'

const Context = createContext<ObservableSocket<any> | null>(null)

export type SocketProviderProps = { children?: ReactNode } & (
  | { socket: ObservableSocket<any>; url?: undefined; options?: undefined }
  | { url: string; options?: SocketOptions; socket?: undefined }
)

/** Give it a socket made outside, or the `url` of one that it makes, and that lives as long as it is mounted. */
export function SocketProvider({ socket, url, options, children }: SocketProviderProps): ReactElement {
  // Lazy, so that the copy StrictMode makes and throws away never connects.
  const [own] = useState(() => socket ?? new ObservableSocket<any>(url!, { ...options, lazy: true }))
  const value = socket ?? own
  useEffect(() => value.retain(), [value])
  return createElement(Context.Provider, { value }, children)
}

/** The socket of the provider above. It never changes by itself, so it causes no render. */
export function useSocket<R = Routes>(): ObservableSocket<R> {
  const socket = useContext(Context)
  if (!socket) throw new Error('useSocket needs a <SocketProvider> above it')
  return socket as ObservableSocket<R>
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
