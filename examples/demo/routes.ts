/* eslint-disable */
/** The routes of Newsroom 0.1.0, made by fastapi-observable-socket. What is changed here is lost. */

/** Which contract this is; `hash` differs where anything else does. */
export const contract = { title: 'Newsroom', version: '0.1.0', hash: '156a3c815737d593' } as const

export interface Byline {
  id: number
  name: string
}

/** An article as its author types it. */
export interface Draft {
  title: string
  body: string
  /** @default "PUBLIC" */
  access?: 'PUBLIC' | 'MEMBERS' | 'AUTHOR'
}

/** What is wrong with the value of one field; nothing is, if `message` is null. */
export interface Finding {
  field: string
  message: string | null
}

/** An article without its text, for everyone. */
export interface Headline {
  id: number
  title: string
  access: 'PUBLIC' | 'MEMBERS' | 'AUTHOR'
  author: Byline
}

/** Who the server takes us for, and who else there is. */
export interface Me {
  user: Byline | null
  people: Byline[]
}

export interface NapInput {
  /** @default 2 */
  seconds?: number
}

export interface Nap {
  seconds: number
}

/** An article with its text, for those who may read it. */
export interface Story {
  id: number
  title: string
  author: string
  access: 'PUBLIC' | 'MEMBERS' | 'AUTHOR'
  body: string
}

export interface Sum {
  sum: number
}

/** What the server answers. */
export interface Routes {
  /** A draft that does not fit is answered with 400, and with what is wrong in which field. */
  'add-article': { payload: Draft; result: Story }
  /** `field` and `value` are keys of the payload; the header says which article is edited. */
  'check-field': {
    payload: { field: 'title' | 'body'; value: string }
    headers: {
      /** @default null */
      article?: number | null
    }
    result: Finding
  }
  /** `article` is what the access hook left in `local["value"]`, still in this session. */
  'edit-article': { payload: Draft; result: Story }
  'get-article': { payload?: unknown; result: Story }
  'list-articles': { result: Headline[] }
  'math/sum': { payload: number[]; result: Sum }
  me: { result: Me }
  slow: { payload: NapInput; result: Nap }
}

/** What one can listen to. */
export interface Topics {}

declare module 'fastapi-observable-socket' {
  interface Register {
    routes: Routes
    topics: Topics
  }
}
