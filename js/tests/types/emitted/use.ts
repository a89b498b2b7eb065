/**
 * What a page may do with `routes.ts` beside it, which `contract --typescript` made of `tests/torture.py`. The map is
 * registered: no socket is told of it. Never run, only read.
 */

import { isResponseError, ObservableSocket, type ErrorPayload, type StreamName, type TopicName } from 'fastapi-observable-socket'
import { topics } from 'fastapi-observable-socket/topics'
import { contract, type Cat, type Dog, type NotFound, type Owner, type OwnerInput, type PageCat, type Point, type Routes } from './routes.js'

/** Whether two types are the same, and not only fit. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>) => {}

const socket = new ObservableSocket('/ws', { topics })

// Wrong route, wrong payload, missing payload, unknown topic.
// @ts-expect-error no such route
await socket.call('both/nothing')
// @ts-expect-error wrong payload
await socket.call('both/int', 'one')
// @ts-expect-error missing payload
await socket.call('both/int')
// @ts-expect-error takes no payload
await socket.call('only/out/int', 1)
// @ts-expect-error no such topic
socket.subscribe('old-news')
// @ts-expect-error an order has a number
socket.subscribe('orders/one/a.txt')
// @ts-expect-error no stream
socket.stream('both/int', 1)
// @ts-expect-error nothing of the kind is called
socket.handle('nothing', () => true)
// @ts-expect-error the answer is yes or no
socket.handle('confirm', () => 'yes')

// What comes in may leave out what has a default; what is sent never does.
const owner: Owner = await socket.call('both/owner', {})
await socket.call('both/owner', { friends: [{ pets: [] }], best: null })
owner.pets.map(({ kind }) => kind.trim())
owner.friends.map((friend) => friend.by_name.ann?.best?.pets.length)
const back: OwnerInput = owner
// @ts-expect-error not all that is sent is there
const forth: Owner = back
// @ts-expect-error read only: what is computed is not taken
await socket.call('both/computed', { width: 1, area: 2 })
same<number, Awaited<ReturnType<typeof computed>>['area']>(true)
const computed = () => socket.call('both/computed', { width: 1, hidden: 'h' })
// @ts-expect-error hidden stays on the server
void (await computed()).hidden

// A discriminator tells members of a union apart, and is needed there although it has a default.
await socket.call('both/page', { items: [{ lives: 3 }] })
await socket.call('both/pet', { kind: 'cat' })
await socket.call('both/pet', { kind: 'puppy', name: 'Rex' })
// @ts-expect-error which of them?
await socket.call('both/pet', { lives: 3 })
// @ts-expect-error no such pet
await socket.call('both/pet', { kind: 'cow' })
// @ts-expect-error a cat has no name
await socket.call('both/pet', { kind: 'cat', name: 'Tom' })
const pet = await socket.call('only/out/pet')
if (pet.kind === 'cat') pet.lives.toFixed()
else if (pet.kind === 'fish') pet.water.salt.valueOf()
else same<typeof pet, Dog>(true)

// Shapes.
const tuple = await socket.call('both/tuple', [1, 'two', { kind: 'cat' }])
same<(typeof tuple)[0], number>(true)
same<(typeof tuple)['length'], 3>(true)
// @ts-expect-error too short
await socket.call('both/tuple', [1, 'two'])
await socket.call('both/pair', [1])
// @ts-expect-error too long
await socket.call('both/pair', [1, 'r', 2])
const collected = await socket.call('only/out/collections')
same<typeof collected.by_colour.red, number[] | undefined>(true)
same<typeof collected.many, number[]>(true)
same<typeof collected.nothing, []>(true)
// @ts-expect-error no such colour
void collected.by_colour.blue
const union = await socket.call('both/union', null)
same<typeof union, Cat | Point | number[] | string | null>(true)
const aliased = await socket.call('both/aliased', { class: 'c', written: 'w' })
same<typeof aliased.shown, string>(true)
aliased["odd-name with 'quotes' and \\"].toFixed()
const { price } = await socket.call('only/out/scalars')
same<typeof price, string>(true)
same<Routes['both/scalars']['payload']['price'], number | string>(true)
same<Routes['both/literal']['result'], 'a' | 'b' | 3>(true)
same<Routes['both/derived']['result']['mixed'], 'a' | 1 | true | null>(true)
same<Routes['both/movie']['result']['year'], number | undefined>(true)
const extra = await socket.call('both/extra', { known: 1, other: 'o' })
same<typeof extra.other, unknown>(true)
const raw = await socket.call('seed', { any: 'thing' })
same<typeof raw, unknown>(true)
await socket.call('seed')
await socket.call('keys', { first: 1, pet: { kind: 'cat' }, 'odd-name': 'ab' })
// @ts-expect-error a key is missing
await socket.call('keys', { pet: { kind: 'cat' } })
same<Routes['keys']['errors'][404], NotFound | ErrorPayload>(true)
same<Routes['keys']['headers'], { 'x-trace'?: string; depth?: number | null }>(true)

// Errors that are declared are known by their status; one that was raised without a model has the usual payload.
const found = await socket.request('keys', { first: 1, pet: { kind: 'cat' } })
if (found.ok) found.payload.pets.length
else if (found.status === 404) {
  found.payload.message?.trim()
  if ('id' in found.payload) same<typeof found.payload, NotFound>(true)
  else same<typeof found.payload, ErrorPayload>(true)
  // @ts-expect-error there only where a model was raised
  void found.payload.id
} else if (found.status === 409) same<typeof found.payload, ErrorPayload>(true)
const failed: unknown = null
if (isResponseError(failed, 'keys') && failed.status === 422 && Array.isArray(failed.payload)) failed.payload.map(({ kind }) => kind.trim())

// Streams.
for await (const item of socket.stream('stream', {})) item.kind.trim()
const returns = socket.stream('stream/returns')[Symbol.asyncIterator]()
const last = await returns.next()
if (!last.done) same<typeof last.value, Point>(true)
else last.value?.area.toFixed()
const streams: StreamName<Routes>[] = ['stream', 'stream/returns', 'stream/untyped']
const all: Point[] = await socket.call('stream/returns', 3)

// Topics.
for await (const event of socket.subscribe('orders/7/notes/today.txt', { onSubscribed: (page: PageCat) => page.items })) same<typeof event, Owner>(true)
for await (const { kind } of socket.subscribe('news')) kind.trim()
for await (const anything of socket.subscribe(`untyped/${owner.pets.length}`)) same<typeof anything, unknown>(true)
const names: TopicName<import('./routes.js').Topics>[] = ['news', 'orders/1/a', 'untyped/x']

// What the server says by itself.
socket.on('push', (push) => {
  if (push.route === 'news') push.payload.area.toFixed()
  else if (push.route === 'reload') same<typeof push.payload, null>(true)
  // @ts-expect-error nothing of the kind is pushed
  else void (push.route === 'weather')
})
socket.handle('confirm', ({ snakeCase, shown }) => snakeCase > 1 && shown.length > 1)
socket.handle('aliased', () => ({ class: 'c', written: 'w' }))
socket.handle('refresh', () => {})

// Which contract it is.
const version: '1.2.3' = contract.version
void [forth, streams, all, names, version]
