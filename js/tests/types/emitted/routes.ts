/* eslint-disable */
/** The routes of Torture 1.2.3, made by fastapi-observable-socket. What is changed here is lost. */

import type { ErrorPayload } from 'fastapi-observable-socket'

/** Which contract this is; `hash` differs where anything else does. */
export const contract = { title: 'Torture', version: '1.2.3', hash: 'cbda5c4154561573' } as const

export interface AliasedInput {
  class: string
  /** @default 1 */
  snakeCase?: number
  written: string
  /** @default 0 */
  'odd-name with \'quotes\' and \\'?: number
  /**
   * One line *\/ and
   * another
   *
   * @default ""
   */
  title?: string
}

export interface Aliased {
  class: string
  snakeCase: number
  shown: string
  'odd-name with \'quotes\' and \\': number
  /**
   * One line *\/ and
   * another
   */
  title: string
}

export interface CatInput {
  /** @default "cat" */
  kind?: 'cat'
  /** @default 9 */
  lives?: number
}

export interface Cat {
  kind: 'cat'
  lives: number
}

export interface CollectionsInput {
  pair: [number, string]
  many: number[]
  /** @default [] */
  nothing?: []
  nested: [[number, number], [string, boolean][]]
  by_id: { [key: string]: number }
  by_number: { [key: string]: string }
  /** @default {} */
  by_level?: { [key in Level]?: string }
  by_colour: { [key in Colour]?: number[] }
  open: { [key: string]: unknown }
  anything: unknown[]
}

export interface Collections {
  pair: [number, string]
  many: number[]
  nothing: []
  nested: [[number, number], [string, boolean][]]
  by_id: { [key: string]: number }
  by_number: { [key: string]: string }
  by_level: { [key in Level]?: string }
  by_colour: { [key in Colour]?: number[] }
  open: { [key: string]: unknown }
  anything: unknown[]
}

/** The colours that there are. */
export type Colour = 'red' | 'green'

export interface ComputedInput {
  width: number
  /** @default 1.0 */
  height?: number
  /** @default "" */
  hidden?: string
}

export interface Computed {
  width: number
  height: number
  /** What it covers. */
  area: number
}

export interface ConstrainedInput {
  share: number
  even: number
  few: number[]
  unique: string[]
  /** @default [] */
  frozen?: number[]
}

export interface Constrained {
  share: number
  even: number
  few: number[]
  unique: string[]
  frozen: number[]
}

/** Inherits, and narrows. */
export interface DerivedInput {
  id: 1 | 2
  /** @default true */
  flag?: true
  /** @default null */
  nothing?: null
  mixed: 'a' | 1 | true | null
}

/** Inherits, and narrows. */
export interface Derived {
  id: 1 | 2
  flag: true
  nothing: null
  mixed: 'a' | 1 | true | null
}

export interface Dog {
  kind: 'dog' | 'puppy'
  name: string
}

export interface Draft {
  text?: string
  tags?: Tags
}

export type Empty = { [key: string]: unknown }

export interface Extra {
  known: number
  [key: string]: unknown
}

export interface FishInput {
  kind: 'fish'
  water: WaterInput
}

export interface Fish {
  kind: 'fish'
  water: Water
}

export type Level = 1 | 2

export type LookupInput = { [key: string]: PageCatInput }

export type Lookup = { [key: string]: PageCat }

export interface Movie {
  name: string
  year?: number
}

export interface NotFound {
  message: string
  code: 'not_found'
  id: string | null
}

/**
 * Has pets, and friends who have pets.
 *
 * Recursive, through a list and through a dict.
 */
export interface OwnerInput {
  /** @default [] */
  pets?: ((CatInput & { kind: 'cat' }) | Dog | FishInput)[]
  /** @default [] */
  friends?: OwnerInput[]
  /** @default {} */
  by_name?: { [key: string]: OwnerInput | null }
  /** @default null */
  best?: OwnerInput | null
}

/**
 * Has pets, and friends who have pets.
 *
 * Recursive, through a list and through a dict.
 */
export interface Owner {
  pets: (Cat | Dog | Fish)[]
  friends: Owner[]
  by_name: { [key: string]: Owner | null }
  best: Owner | null
}

export interface PageCatInput {
  items: CatInput[]
  /** @default null */
  next?: string | null
}

export interface PageCat {
  items: Cat[]
  next: string | null
}

export interface PagePagePointInput {
  items: PagePointInput[]
  /** @default null */
  next?: string | null
}

export interface PagePagePoint {
  items: PagePoint[]
  next: string | null
}

export interface PagePointInput {
  items: PointInput[]
  /** @default null */
  next?: string | null
}

export interface PagePoint {
  items: Point[]
  next: string | null
}

export type Pair = [number, string?]

export interface PointInput {
  x: number
  /** @default 0.0 */
  y?: number
  labels?: string[]
}

export interface Point {
  x: number
  y: number
  labels: string[]
}

export interface ScalarsInput {
  /** @format date-time */
  at: string
  /** @format date */
  on: string
  /** @format time */
  clock: string
  /** @format duration */
  took: string
  price: number | string
  /** @format uuid */
  id: string
  /** @format binary */
  raw: string
  /** @format uri */
  link: string
  /** @format ipv4 */
  host: string
  /** @format path */
  file: string
  /** @format password */
  secret: string
  /** @default null */
  text?: string | null
  number: number | null
  /** @default null */
  loose?: unknown
  /** @default "[]" */
  embedded?: string
}

export interface Scalars {
  /** @format date-time */
  at: string
  /** @format date */
  on: string
  /** @format time */
  clock: string
  /** @format duration */
  took: string
  price: string
  /** @format uuid */
  id: string
  /** @format binary */
  raw: string
  /** @format uri */
  link: string
  /** @format ipv4 */
  host: string
  /** @format path */
  file: string
  /** @format password */
  secret: string
  text: string | null
  number: number | null
  loose: unknown
  embedded: number[]
}

export type Tags = string[]

export interface WaterInput {
  /** @default false */
  salt?: boolean
}

export interface Water {
  salt: boolean
}

/** A name that means something in other languages. */
export interface constructorInput {
  /** @default "" */
  default?: string
  /** @default null */
  function?: Empty | null
}

/** A name that means something in other languages. */
export interface constructor {
  default: string
  function: Empty | null
}

/** What the server answers. */
export interface Routes {
  'both/aliased': { payload: AliasedInput; result: Aliased }
  'both/any': { payload?: unknown; result: unknown }
  'both/bool': { payload: boolean; result: boolean }
  'both/collections': { payload: CollectionsInput; result: Collections }
  'both/colour': { payload: Colour; result: Colour }
  'both/computed': { payload: ComputedInput; result: Computed }
  'both/constrained': { payload: ConstrainedInput; result: Constrained }
  'both/constructor': { payload: constructorInput; result: constructor }
  'both/derived': { payload: DerivedInput; result: Derived }
  'both/dict': { payload: { [key: string]: Pair[] }; result: { [key: string]: Pair[] } }
  'both/draft': { payload: Draft; result: Draft }
  'both/empty': { payload: Empty; result: Empty }
  'both/extra': { payload: Extra; result: Extra }
  'both/int': { payload: number; result: number }
  'both/level': { payload: Level; result: Level }
  'both/literal': { payload: 'a' | 'b' | 3; result: 'a' | 'b' | 3 }
  'both/lookup': { payload: LookupInput; result: Lookup }
  'both/movie': { payload: Movie; result: Movie }
  'both/none': { payload?: null; result: null }
  'both/optional': { payload?: number | null; result: number | null }
  'both/owner': { payload: OwnerInput; result: Owner }
  'both/page': { payload: PageCatInput; result: PageCat }
  'both/pages': { payload: PagePagePointInput; result: PagePagePoint }
  'both/pair': { payload: Pair; result: Pair }
  'both/pet': { payload: (CatInput & { kind: 'cat' }) | Dog | FishInput; result: Cat | Dog | Fish }
  'both/pets': { payload: ((CatInput & { kind: 'cat' }) | Dog | FishInput)[]; result: (Cat | Dog | Fish)[] }
  'both/point': { payload: PointInput; result: Point }
  'both/scalars': { payload: ScalarsInput; result: Scalars }
  'both/tags': { payload: Tags; result: Tags }
  'both/text': { payload: string; result: string }
  'both/tuple': {
    payload: [number, string, (CatInput & { kind: 'cat' }) | Dog | FishInput]
    result: [number, string, Cat | Dog | Fish]
  }
  'both/union': {
    payload?: CatInput | PointInput | number[] | string | null
    result: Cat | Point | number[] | string | null
  }
  default: { payload?: PageCatInput; result: number }
  /**
   * Take keys of a payload.
   *
   * With `code`, *stars* and a
   * second line.
   *
   * @deprecated
   */
  keys: {
    payload: {
      first: number
      pet: (CatInput & { kind: 'cat' }) | Dog | FishInput
      /** @default "ab" */
      'odd-name'?: string
    }
    headers: {
      /** @default "" */
      'x-trace'?: string
      /** @default null */
      depth?: number | null
    }
    result: Owner
    errors: {
      /** Not found */
      404: NotFound | ErrorPayload
      /** Taken */
      409: ErrorPayload
      /** Unprocessable entity */
      422: (Cat | Dog | Fish)[] | ErrorPayload
    }
  }
  'only/in/aliased': { payload: AliasedInput; result: null }
  'only/in/any': { payload?: unknown; result: null }
  'only/in/bool': { payload: boolean; result: null }
  'only/in/collections': { payload: CollectionsInput; result: null }
  'only/in/colour': { payload: Colour; result: null }
  'only/in/computed': { payload: ComputedInput; result: null }
  'only/in/constrained': { payload: ConstrainedInput; result: null }
  'only/in/constructor': { payload: constructorInput; result: null }
  'only/in/derived': { payload: DerivedInput; result: null }
  'only/in/dict': { payload: { [key: string]: Pair[] }; result: null }
  'only/in/draft': { payload: Draft; result: null }
  'only/in/empty': { payload: Empty; result: null }
  'only/in/extra': { payload: Extra; result: null }
  'only/in/int': { payload: number; result: null }
  'only/in/level': { payload: Level; result: null }
  'only/in/literal': { payload: 'a' | 'b' | 3; result: null }
  'only/in/lookup': { payload: LookupInput; result: null }
  'only/in/movie': { payload: Movie; result: null }
  'only/in/none': { payload?: null; result: null }
  'only/in/optional': { payload?: number | null; result: null }
  'only/in/owner': { payload: OwnerInput; result: null }
  'only/in/page': { payload: PageCatInput; result: null }
  'only/in/pages': { payload: PagePagePointInput; result: null }
  'only/in/pair': { payload: Pair; result: null }
  'only/in/pet': { payload: (CatInput & { kind: 'cat' }) | Dog | FishInput; result: null }
  'only/in/pets': { payload: ((CatInput & { kind: 'cat' }) | Dog | FishInput)[]; result: null }
  'only/in/point': { payload: PointInput; result: null }
  'only/in/scalars': { payload: ScalarsInput; result: null }
  'only/in/tags': { payload: Tags; result: null }
  'only/in/text': { payload: string; result: null }
  'only/in/tuple': { payload: [number, string, (CatInput & { kind: 'cat' }) | Dog | FishInput]; result: null }
  'only/in/union': { payload?: CatInput | PointInput | number[] | string | null; result: null }
  'only/out/aliased': { result: Aliased }
  'only/out/any': { result: unknown }
  'only/out/bool': { result: boolean }
  'only/out/collections': { result: Collections }
  'only/out/colour': { result: Colour }
  'only/out/computed': { result: Computed }
  'only/out/constrained': { result: Constrained }
  'only/out/constructor': { result: constructor }
  'only/out/derived': { result: Derived }
  'only/out/dict': { result: { [key: string]: Pair[] } }
  'only/out/draft': { result: Draft }
  'only/out/empty': { result: Empty }
  'only/out/extra': { result: Extra }
  'only/out/int': { result: number }
  'only/out/level': { result: Level }
  'only/out/literal': { result: 'a' | 'b' | 3 }
  'only/out/lookup': { result: Lookup }
  'only/out/movie': { result: Movie }
  'only/out/none': { result: null }
  'only/out/optional': { result: number | null }
  'only/out/owner': { result: Owner }
  'only/out/page': { result: PageCat }
  'only/out/pages': { result: PagePagePoint }
  'only/out/pair': { result: Pair }
  'only/out/pet': { result: Cat | Dog | Fish }
  'only/out/pets': { result: (Cat | Dog | Fish)[] }
  'only/out/point': { result: Point }
  'only/out/scalars': { result: Scalars }
  'only/out/tags': { result: Tags }
  'only/out/text': { result: string }
  'only/out/tuple': { result: [number, string, Cat | Dog | Fish] }
  'only/out/union': { result: Cat | Point | number[] | string | null }
  seed: { payload?: unknown; result: unknown }
  stream: { payload: CatInput; progress: Pair; item: Cat | Dog | Fish; result: null }
  'stream/returns': { payload?: number | null; item: Point; result: Computed }
  'stream/untyped': { item: unknown; result: null }
}

/** What one can listen to. */
export interface Topics {
  /** What happens to an order. */
  [order_id: `orders/${number}/${string}`]: {
    event: Owner
    snapshot: PageCat
    publish: OwnerInput
    errors: {
      /** Not found */
      404: NotFound | ErrorPayload
    }
  }
  [room: `rooms/${string}`]: { event: unknown }
  /**
   * News
   *
   * All
   *
   * @deprecated
   */
  news: { event: Cat | Dog | Fish }
  [name: `untyped/${string}`]: { event: unknown }
}

/** What the server says unasked. */
export interface Pushes {
  /**
   * Something new
   *
   * Now and then.
   */
  news: Computed
  /** @deprecated */
  reload: null
  anything: unknown
}

/** What the server asks of the page. */
export interface Handlers {
  /** Asks */
  confirm: { payload: Aliased; result: boolean }
  aliased: { result: AliasedInput }
  refresh: {}
}

declare module 'fastapi-observable-socket' {
  interface Register {
    routes: Routes
    topics: Topics
    pushes: Pushes
    handlers: Handlers
  }
}
