/** What the compiler must accept and refuse, against the built package. Never run, only read. */

import { isResponseError, ObservableSocket, ResponseError, type Answer, type ErrorPayload, type Gap, type RouteError, type Stream, type StreamName, type TopicName } from 'fastapi-observable-socket'
import { mutationOptions, queryOptions } from 'fastapi-observable-socket/tanstack'
import { topics } from 'fastapi-observable-socket/topics'

interface Article {
  id: number
  title: string
}

export interface Routes {
  'math/sum': { payload: number[]; result: { sum: number } }
  'article/get': { payload: { id: number }; result: Article | null }
  'article/list': { payload?: { limit: number }; result: Article[] }
  logout: { result: null }
  'logs/tail': { payload: { file: string }; item: string }
  ticks: { item: number; result: { total: number } }
}

const socket = new ObservableSocket<Routes>('/ws', {
  auth: async () => 'token',
  headers: () => ({ locale: 'en' }),
  shouldReconnect: ({ code, attempt }) => code !== 1008 && attempt < 10,
})

// What is right.
const sum: { sum: number } = await socket.call('math/sum', [1, 2], { timeout: 5, signal: AbortSignal.timeout(5) })
const article: Article | null = await socket.call('article/get', { id: sum.sum })
const articles: Article[] = await socket.call('article/list')
await socket.call('article/list', { limit: 3 })
await socket.call('article/list', undefined, { timeout: 5 })
await socket.call('logout')
socket.notify('logout')
void [article, articles]

const answer: Answer<{ sum: number }> = await socket.request('math/sum', [1])
if (answer.ok) answer.payload.sum.toFixed()
else {
  const error: ErrorPayload | null | undefined = answer.payload
  error?.detail?.[0]?.msg.trim()
}
const { status, headers, payload } = await socket.request('math/sum', [1])
void [status.toFixed(), headers.any, payload]

// @ts-expect-error no such route
await socket.call('math/sun', [1])
// @ts-expect-error wrong payload
await socket.call('math/sum', ['1'])
// @ts-expect-error missing payload
await socket.call('math/sum')
// @ts-expect-error missing payload
socket.notify('article/get')
// @ts-expect-error a member too many
await socket.call('article/get', { id: 1, name: 'x' })
// @ts-expect-error takes no payload
await socket.call('logout', 1)
// @ts-expect-error no such option
await socket.call('logout', undefined, { retry: 3 })
// @ts-expect-error the result has no such member
sum.product
// @ts-expect-error may be null
article.title
// @ts-expect-error an answer that may be an error has no result yet
answer.payload.sum

// Errors that a route declares.
interface NotFound {
  message: string
  missing: number
}
interface Declared extends Routes {
  'article/save': { payload: Article; result: Article; errors: { 404: NotFound; 409: { message: string; theirs: Article } } }
  'article/watch': { payload: number; item: Article; errors: { 404: NotFound } }
}
const declaring = new ObservableSocket<Declared>('/ws')
const draft: Article = { id: 1, title: 'a' }
const saving = await declaring.request('article/save', draft)
if (saving.ok) {
  const saved: Article = saving.payload
  // @ts-expect-error what is declared is no success
  void (saving.status === 404)
  void saved
} else if (saving.status === 404) {
  const missing: number = saving.payload.missing
  // @ts-expect-error of another status
  void [missing, saving.payload.theirs]
} else if (saving.status === 409) {
  saving.payload.theirs.title.trim()
} else {
  const rest: ErrorPayload | null | undefined = saving.payload
  // @ts-expect-error none of these is left
  void [rest, saving.status === 404]
  // @ts-expect-error no status
  void (saving.status === 999)
  void (saving.status === 418)
}
switch (saving.status) {
  case 200:
    saving.payload.title.trim()
    break
  case 404:
    saving.payload.missing.toFixed()
    break
  case 503: {
    const rest: ErrorPayload | null | undefined = saving.payload
    void rest
    break
  }
}
// @ts-expect-error which one is not known yet
saving.payload.missing
const anyStatus: number = saving.status
void anyStatus
// Where none is declared, nothing changes.
const plain: Answer<{ sum: number }> = await declaring.request('math/sum', [1])
if (!plain.ok && plain.status === 404) plain.payload?.detail?.length

try {
  await declaring.call('article/save', draft)
} catch (error) {
  if (isResponseError<'article/save', Declared>(error, 'article/save')) {
    const route: 'article/save' = error.route
    const all: Error = error
    error.headers.any
    if (error.status === 404) error.payload.missing.toFixed()
    else if (error.status === 409) error.payload.theirs.title.trim()
    else error.payload?.detail?.[0]?.msg.trim()
    // @ts-expect-error which one is not known here
    void error.payload.missing
    void [route, all, error.code?.trim(), error.message.trim()]
  }
  // @ts-expect-error no such route
  if (isResponseError<'article/sav', Declared>(error, 'article/sav')) void 0
  // @ts-expect-error another one
  if (isResponseError<'article/save', Declared>(error, 'math/sum')) void 0
  // Without a route map, any.
  if (isResponseError(error, 'any/route')) error.payload?.message?.trim()
  // The class alone knows no route.
  if (error instanceof ResponseError) {
    const { status, payload }: { status: number; payload: ErrorPayload | null | undefined } = error
    void [status, payload]
  }
}
declare const watching: RouteError<Declared, 'article/watch'>
if (watching.status === 404) watching.payload.missing.toFixed()
declare const summing: RouteError<Declared, 'math/sum'>
const { status: sumStatus, payload: sumError }: { status: number; payload: ErrorPayload | null | undefined } = summing
void [sumStatus, sumError]

// Streams.
const lines: Stream<string, null | undefined> = socket.stream('logs/tail', { file: 'a' }, { window: 8, timeout: 5 })
for await (const line of lines) line.trim()
for await (const tick of socket.stream('ticks')) tick.toFixed()
const { unsubscribe } = lines.subscribe((line) => line.trim(), (error: unknown) => void error, () => {})
lines.subscribe({ next: (line) => line.trim(), error() {}, complete() {} }, { signal: AbortSignal.abort() })
lines.subscribe((line) => line.trim(), { signal: AbortSignal.abort() })
lines.subscribe({}).unsubscribe()
unsubscribe()
const ticking = socket.stream('ticks')[Symbol.asyncIterator]()
const tick = await ticking.next()
if (tick.done) tick.value?.total.toFixed()
else tick.value.toFixed()
await ticking.return?.()
const anyIterable: AsyncIterable<string> = lines
const whole: string[] = await socket.call('logs/tail', { file: 'a' }, { onProgress: (done) => done.any })
const streams: StreamName<Routes>[] = ['logs/tail', 'ticks']
void [anyIterable, whole, streams]

// @ts-expect-error no such route
socket.stream('nope')
// @ts-expect-error no stream
socket.stream('math/sum', [1])
// @ts-expect-error missing payload
socket.stream('logs/tail')
// @ts-expect-error wrong payload
socket.stream('logs/tail', { file: 7 })
// @ts-expect-error takes no payload
socket.stream('ticks', 1)
// @ts-expect-error no such option
socket.stream('ticks', undefined, { retry: 3 })
// @ts-expect-error an option of streams alone
await socket.call('ticks', undefined, { window: 3 })
// @ts-expect-error an item is text
lines.subscribe((line) => line.toFixed())
// @ts-expect-error one item, not all of them
for await (const line of lines) line.map
// @ts-expect-error the answer to a call is all the items
whole.trim()

// Calls and pushes of the server.
interface Handlers {
  confirm: { payload: { text: string }; result: boolean }
  reload: {}
}
interface Pushes {
  news: { title: string }
  tick: number
}
const called = new ObservableSocket<Routes, Handlers, Pushes>('/ws')
const undo: () => void = called.handle('confirm', ({ text }, { signal, headers }) => {
  void headers.any
  return !signal.aborted && text.length > 3
})
called.handle('confirm', async ({ text }) => text === 'yes', { signal: AbortSignal.abort() })
called.handle('reload', () => {})
called.handle('reload', async () => {})
called.on('push', (push) => {
  if (push.route === 'news') push.payload.title.trim()
  else push.payload.toFixed()
  // @ts-expect-error nothing of the kind is pushed
  void (push.route === 'weather')
})
undo()
queryOptions(called, 'math/sum', [1])
// @ts-expect-error the server calls no such route
called.handle('nope', () => true)
// @ts-expect-error wrong result
called.handle('confirm', () => 'yes')
// @ts-expect-error wrong payload
called.handle('confirm', ({ title }) => !!title)

// Topics.
interface Order {
  state: 'new' | 'shipped'
}
interface Topics {
  news: { event: { title: string } }
  board: { event: string; snapshot: { notes: string[] } }
  [order: `orders/${number}`]: { event: Order }
  alarm: { event: { id: number; text: string }; publish: { text: string } }
}
const listening = new ObservableSocket<Routes, Handlers, Pushes, Topics>('/ws', { topics })
const id: number = 42
const orders: Stream<Order, undefined> = listening.subscribe(`orders/${id}`, { onGap: (gap: Gap) => gap.reloadAfterMs.toFixed() })
for await (const order of orders) order.state === 'shipped'
for await (const order of listening.subscribe('orders/7')) order.state === 'new'
listening.subscribe('board', { onSubscribed: ({ notes }) => notes.join(), signal: AbortSignal.abort() }).subscribe((note) => note.trim())
listening.subscribe('news', { onSubscribed: (nothing: undefined) => nothing }).subscribe(({ title }) => title.trim(), { signal: AbortSignal.abort() })
const published: { epoch?: string; offset?: number } = await listening.publish('orders/42', { state: 'new' }, { messageId: 'm', timeout: 5 })
await listening.publish('board', 'buy tea')
await listening.publish('alarm', { text: 'fire' })
const names: TopicName<Topics>[] = ['news', 'board', 'orders/1', 'alarm']
void [published, names]
// @ts-expect-error no such topic
listening.subscribe('order/42')
// @ts-expect-error no such topic
listening.subscribe('orders/all')
// @ts-expect-error no such event
for await (const order of orders) order.state === 'lost'
// @ts-expect-error wrong event
await listening.publish('orders/42', { state: 'lost' })
// @ts-expect-error an event is needed
await listening.publish('news')
// @ts-expect-error a client publishes less than an event has
await listening.publish('alarm', { id: 1, text: 'fire' })
// @ts-expect-error wrong state
listening.subscribe('board', { onSubscribed: ({ title }) => title })
// @ts-expect-error no such option
listening.subscribe('board', { window: 8 })
// @ts-expect-error what the option takes
new ObservableSocket('/ws', { topics: true })

// What the server said.
const limit: number | undefined = socket.session?.limits.window
const features: string[] | undefined = socket.session?.features
void [limit, features]

// Events.
const off: () => void = socket.on('state', (state) => state === 'open')
socket.on('push', ({ route, payload }) => void [route.trim(), payload])
socket.on('close', ({ code, reconnects }) => void [code.toFixed(), reconnects === true], { signal: AbortSignal.abort() })
off()
// @ts-expect-error no such event
socket.on('message', () => {})
// @ts-expect-error no such state
socket.on('state', (state) => state === 'opened')

// Options.
// @ts-expect-error no such option
new ObservableSocket('/ws', { reconnect: true })
// @ts-expect-error a token is text
new ObservableSocket('/ws', { auth: () => 7 })
// @ts-expect-error an address is needed
new ObservableSocket()

// TanStack Query.
const query = queryOptions(socket, 'math/sum', [1])
const result: Promise<{ sum: number }> = query.queryFn({ signal: AbortSignal.abort() })
const key: readonly ['math/sum', number[]] = query.queryKey
queryOptions(socket, 'article/list')
const save = mutationOptions(socket, 'article/get')
const saved: Promise<Article | null> = save.mutationFn({ id: 1 })
void [result, key, saved]
// @ts-expect-error missing payload
queryOptions(socket, 'math/sum')
// @ts-expect-error no such route
mutationOptions(socket, 'nope')
// @ts-expect-error wrong payload
save.mutationFn({ id: '1' })

// Without a route map, anything goes.
const loose = new ObservableSocket('/ws', { hello: false })
for await (const item of loose.stream('any/stream', { any: 'payload' })) item.any.member
loose.handle('any/call', (payload) => payload.any.member)
loose.on('push', ({ route, payload }) => void [route.trim(), payload.any.member])
for await (const event of loose.subscribe('any/topic')) event.any.member
loose.subscribe('any/topic', { onSubscribed: (state) => state.any.member })
await loose.publish('any/topic', { any: 'event' })
const whatever = await loose.call('any/route', { any: 'payload' })
whatever.any.member
await loose.call('any/route')
// @ts-expect-error a route is text
await loose.call(7)
