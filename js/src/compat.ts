'use client'

/**
 * Every name of the old package's root, provider and hook included: change the import path, and nothing else.
 */

import {
  createContext,
  createElement,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  type ReactElement,
  type ReactNode,
} from 'react'
import { ObservableSocket, type OnMessage, type SocketConfig } from './index.js'

export * from './index.js'

export interface SocketItem {
  socket: ObservableSocket<any, any, any>
  /** Whether it is connected. */
  socketState: boolean
}

export type AddSocketResult =
  | { ok: true; item: SocketItem }
  | { ok: false; reason: 'exists'; item: SocketItem }

export interface ObservableSocketContextValue {
  /** A socket by this name; with `force`, instead of the one there is. */
  addSocket: (
    name: string,
    url: string,
    onMessage?: OnMessage,
    force?: boolean,
    config?: Partial<SocketConfig>,
  ) => AddSocketResult
  getSocket: (name: string) => SocketItem | undefined
  removeSocket: (name: string) => boolean
}

const Context = createContext<ObservableSocketContextValue | null>(null)

export function ObservableSocketProvider({ children }: { children?: ReactNode }): ReactElement {
  // The truth, at once and for every caller of this render; the number only asks for the next one.
  const sockets = useRef(new Map<string, SocketItem>()).current
  const [version, setVersion] = useState(0)

  const removeSocket = useCallback(
    (name: string) => {
      const item = sockets.get(name)
      sockets.delete(name)
      item?.socket.close()
      if (item) setVersion((n) => n + 1)
      return !!item
    },
    [sockets],
  )

  const addSocket = useCallback<ObservableSocketContextValue['addSocket']>(
    (name, url, onMessage, force, config) => {
      const there = sockets.get(name)
      if (there && !force) return { ok: false, reason: 'exists', item: there }
      const changed = (_: string, socketState: boolean) => {
        // One that was replaced has no say any more.
        if (sockets.get(name)?.socket !== socket) return
        sockets.set(name, { socket, socketState })
        setVersion((n) => n + 1)
      }
      const socket = new ObservableSocket<any, any, any>(name, url, changed, onMessage, config)
      const item = { socket, socketState: false }
      sockets.set(name, item)
      there?.socket.close()
      setVersion((n) => n + 1)
      return { ok: true, item }
    },
    [sockets],
  )

  const mounted = useRef(0)
  useEffect(() => {
    const mount = ++mounted.current
    // Later, and only if nobody mounted again: StrictMode takes every effect back once, to see.
    return () => void setTimeout(() => mount === mounted.current && sockets.forEach(({ socket }) => socket.close()))
  }, [sockets])

  const value = useMemo<ObservableSocketContextValue>(
    () => ({ addSocket, removeSocket, getSocket: (name) => sockets.get(name) }),
    // eslint-disable-next-line react-hooks/exhaustive-deps -- who reads a socket's state wants to render with it
    [version],
  )
  return createElement(Context.Provider, { value }, children)
}

export function useObservableSocket(): ObservableSocketContextValue {
  const context = useContext(Context)
  if (!context) throw new Error('useObservableSocket must be used within an ObservableSocketProvider')
  return context
}
