/**
 * What a route map says about a socket, for the compiler alone: nothing here exists when the program runs.
 */

import type { ErrorPayload, ResponseError } from './errors.js'
import type { Headers } from './wire.js'

/**
 * Any route, any payload, any result: for those who have no route map. One that you write has a member for each route,
 * and those with an `item` are streams. `errors` are the payloads of answers that are none of 2xx, by status:
 *
 *     interface Routes {
 *       'math/sum': { payload: number[]; result: { sum: number } }
 *       'logs/tail': { payload: { file: string }; item: string; errors: { 404: { message: string; file: string } } }
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

/** The events of each topic, the state of those that have one, and what clients `publish` where that differs. A key may be a pattern, such as `orders/${number}`. */
export type Topics = Register extends { topics: infer T } ? T : Record<string, { event: any; snapshot?: any }>

export type TopicName<T> = keyof T & string
export type EventOf<T, K extends keyof T> = 'event' extends keyof T[K] ? T[K]['event'] : any
/** What a client publishes: an event, where the topic does not say otherwise. */
export type PublishOf<T, K extends keyof T> = 'publish' extends keyof T[K] ? T[K]['publish'] : EventOf<T, K>
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

/** The payloads of the errors that a route declares, by status. */
export type Errors<R, K extends keyof R> = 'errors' extends keyof R[K]
  ? 0 extends 1 & R[K]
    ? {}
    : R[K]['errors']
  : {}

type Digit = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9
type Status<Hundreds extends number> = `${Hundreds}${Digit}${Digit}` extends infer T
  ? T extends `${infer N extends number}`
    ? N
    : never
  : never
type Success = Status<2>
type Failure = Status<1 | 3 | 4 | 5>
/** All of these, where nothing is declared; else only the others, as literals: a status then tells its payload. */
type Other<E, All extends number> = keyof E & number extends never ? number : Exclude<All, keyof E>
type AnyError = ErrorPayload | null | undefined

/** An answer, whatever its status. Where a route declares `errors`, `ok` and `status` tell what the payload is. */
export type Answer<T, E = {}> =
  | { ok: true; status: Other<E, Success>; headers: Headers; payload: T }
  | { [S in keyof E & number]: { ok: false; status: S; headers: Headers; payload: E[S] } }[keyof E & number]
  | { ok: false; status: Other<E, Failure>; headers: Headers; payload: AnyError }

interface Refusal<K, S, P> extends Omit<ResponseError, 'route' | 'status' | 'payload'> {
  readonly route: K
  readonly status: S
  readonly payload: P
}

/** What a call of this route is refused with: `status` tells what `payload` is, where the route declares `errors`. */
export type RouteError<R, K extends keyof R> =
  | { [S in keyof Errors<R, K> & number]: Refusal<K, S, Errors<R, K>[S]> }[keyof Errors<R, K> & number]
  | Refusal<K, Other<Errors<R, K>, Failure>, AnyError>
