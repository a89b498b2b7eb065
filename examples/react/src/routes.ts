/** The routes of ../../demo/app.py that this page calls. A wrong name, payload or use of a result does not compile. */

export interface Person {
  id: number
  name: string
}

export interface Headline {
  id: number
  title: string
  access: 'PUBLIC' | 'MEMBERS' | 'AUTHOR'
  author: Person
}

export interface Article {
  id: number
  title: string
  author: string
  body: string
}

export interface Routes {
  me: { result: { user: Person | null; people: Person[] } }
  'list-articles': { result: Headline[] }
  'get-article': { result: Article }
  'math/sum': { payload: number[]; result: { sum: number } }
}

declare module 'fastapi-observable-socket' {
  interface Register {
    routes: Routes
  }
}
