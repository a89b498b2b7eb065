/**
 * What a route map says about a socket, for the compiler alone: nothing here exists when the program runs.
 */

import type { ErrorPayload } from './errors.js'
import type { Headers } from './wire.js'

/**
 * Any route, any payload, any result: for those who have no route map. One that you write has a member for each route:
 *
 *     interface Routes { 'math/sum': { payload: number[]; result: { sum: number } } }
 */
export type AnyRoutes = Record<string, { payload?: any; result: any }>

/**
 * Say once which routes the application has, and hooks and sockets know them without being told:
 *
 *     declare module 'fastapi-observable-socket' {
 *       interface Register { routes: Routes }
 *     }
 */
export interface Register {}

export type Routes = Register extends { routes: infer R } ? R : AnyRoutes

export type RouteName<R> = keyof R & string
export type Payload<R, K extends keyof R> = 'payload' extends keyof R[K] ? R[K]['payload'] : undefined
export type Result<R, K extends keyof R> = 'result' extends keyof R[K] ? R[K]['result'] : undefined

/** The arguments after the route: a payload may be left out only where the route takes none. */
export type Args<R, K extends keyof R, O> =
  undefined extends Payload<R, K> ? [payload?: Payload<R, K>, options?: O] : [payload: Payload<R, K>, options?: O]

/** An answer, whatever its status. */
export type Answer<T> =
  | { ok: true; status: number; headers: Headers; payload: T }
  | { ok: false; status: number; headers: Headers; payload: ErrorPayload | null | undefined }
