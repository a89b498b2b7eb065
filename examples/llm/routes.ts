/* eslint-disable */
/** The routes of The Babbler 0.1.0, made by fastapi-observable-socket. What is changed here is lost. */

/** Which contract this is; `hash` differs where anything else does. */
export const contract = { title: 'The Babbler', version: '0.1.0', hash: 'd8b32dc9790b03b9' } as const

/** A generation, without its text. */
export interface About {
  id: string
  prompt: string
  seed: number
  state: 'running' | 'done' | 'stopped'
}

export interface Ask {
  prompt: string
  /** @default 80 */
  words?: number
  /** @default 0.8 */
  temperature?: number
  /** @default null */
  seed?: number | null
}

export interface News {
  generation: About
  running: number
}

export interface Overview {
  generations: About[]
  running: number
  watching: number
}

export interface Token {
  text: string
  index: number
}

/** What the server answers. */
export interface Routes {
  generate: { payload: Ask; progress: About; item: Token; result: null }
  overview: { result: Overview }
  watch: { payload: string; item: Token; result: null }
}

/** What one can listen to. */
export interface Topics {}

/** What the server says unasked. */
export interface Pushes {
  generation: News
}

declare module 'fastapi-observable-socket' {
  interface Register {
    routes: Routes
    topics: Topics
    pushes: Pushes
  }
}
