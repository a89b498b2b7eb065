/**
 * Options for TanStack Query, which is not imported: what it wants is a key and a function.
 *
 *     useQuery(queryOptions(socket, 'math/sum', [1, 2, 3]))
 *     useMutation(mutationOptions(socket, 'articles/save'))
 */

import type { Args, CallOptions, ObservableSocket, Payload, Result, RouteName, Routes } from './index.js'

export type QueryKey<R, K> = readonly [route: K, payload: Payload<R, K & keyof R>]

/** A query that unmounts, or is overtaken, is cancelled on the server. */
export function queryOptions<R = Routes, K extends RouteName<R> = RouteName<R>>(
  socket: ObservableSocket<R, any, any>,
  route: K,
  ...[payload, options]: Args<R, K, Omit<CallOptions, 'signal'>>
): {
  queryKey: QueryKey<R, K>
  queryFn: (context: { signal: AbortSignal }) => Promise<Result<R, K>>
} {
  return {
    queryKey: [route, payload as Payload<R, K>],
    queryFn: ({ signal }) => socket.call(route, ...([payload, { ...options, signal }] as never)),
  }
}

export function mutationOptions<R = Routes, K extends RouteName<R> = RouteName<R>>(
  socket: ObservableSocket<R, any, any>,
  route: K,
  options?: CallOptions,
): {
  mutationKey: readonly [route: K]
  mutationFn: (payload: Payload<R, K>) => Promise<Result<R, K>>
} {
  return {
    mutationKey: [route],
    mutationFn: (payload) => socket.call(route, ...([payload, options] as never)),
  }
}
