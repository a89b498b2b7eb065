/**
 * What a route map says about a socket, for the compiler alone: nothing here exists when the program runs.
 */

import type { ErrorPayload } from './errors.js'
import type { Headers } from './wire.js'

/**
 * Any route, any payload, any result: for those who have no route map. One that you write has a member for each route,
 * and those with an `item` are streams:
 *
 *     interface Routes {
 *       'math/sum': { payload: number[]; result: { sum: number } }
 *       'logs/tail': { payload: { file: string }; item: string }
 *     }
 */
export type AnyRoutes = Record<string, { payload?: any; result: any }>

/**
 * Say once which routes the application has, and hooks and sockets know them without being told; likewise what the
 * server calls and pushes, and its topics:
 *
 *     declare module 'fastapi-observable-socket' {
 *       interface Register {
 *         routes: Routes
 *         handlers: { confirm: { payload: string; result: boolean } }
 *         pushes: { news: Article }
 *         topics: { [order: `orders/${number}`]: { event: OrderEvent; snapshot: Order } }
 *       }
 *     }
 */
export interface Register {}

export type Routes = Register extends { routes: infer R } ? R : AnyRoutes

/** What this client answers when the server calls it. */
export type Handlers = Register extends { handlers: infer H } ? H : Record<string, { payload?: any; result?: any }>

/** The payloads of what the server pushes. */
export type Pushes = Register extends { pushes: infer P } ? P : Record<string, any>

/** The events of each topic, and the state of those that have one. A key may be a pattern, such as `orders/${number}`. */
export type Topics = Register extends { topics: infer T } ? T : Record<string, { event: any; snapshot?: any }>

export type TopicName<T> = keyof T & string
export type EventOf<T, K extends keyof T> = 'event' extends keyof T[K] ? T[K]['event'] : any
/** Undefined, where the topic has no state. */
export type SnapshotOf<T, K extends keyof T> = 'snapshot' extends keyof T[K] ? T[K]['snapshot'] : undefined

export type RouteName<R> = keyof R & string
/** The routes that are streams; without a route map, any. */
export type StreamName<R> = string extends keyof R
  ? string & keyof R
  : { [K in RouteName<R>]: 'item' extends keyof R[K] ? K : never }[RouteName<R>]
export type Payload<R, K extends keyof R> = 'payload' extends keyof R[K] ? R[K]['payload'] : undefined
/** What `call` gives: of a stream, all its items. */
export type Result<R, K extends keyof R> = 'item' extends keyof R[K]
  ? R[K]['item'][]
  : 'result' extends keyof R[K]
    ? R[K]['result']
    : undefined
export type Item<R, K extends keyof R> = 'item' extends keyof R[K] ? R[K]['item'] : any
/** What a stream ends with: nothing, from a server that knows no streams. */
export type Final<R, K extends keyof R> = ('result' extends keyof R[K] ? R[K]['result'] : null) | undefined

/** The arguments after the route: a payload may be left out only where the route takes none. */
export type Args<R, K extends keyof R, O> =
  undefined extends Payload<R, K> ? [payload?: Payload<R, K>, options?: O] : [payload: Payload<R, K>, options?: O]

/** A push of any of these. */
export type PushOf<P> = { [K in RouteName<P>]: { route: K; headers: Headers; payload: P[K] } }[RouteName<P>]

/** Answers one route that the server calls. */
export type Handler<H, K extends keyof H> = (
  payload: Payload<H, K>,
  call: { headers: Headers; signal: AbortSignal },
) => Returned<H, K> | Promise<Returned<H, K>>
type Returned<H, K extends keyof H> = 'result' extends keyof H[K] ? H[K]['result'] : void

/** An answer, whatever its status. */
export type Answer<T> =
  | { ok: true; status: number; headers: Headers; payload: T }
  | { ok: false; status: number; headers: Headers; payload: ErrorPayload | null | undefined }
