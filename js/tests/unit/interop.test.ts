/** What others take a stream for: RxJS an Observable, TanStack Query an AsyncIterable. */

import { experimental_streamedQuery as streamedQuery, QueryClient } from '@tanstack/react-query'
import { firstValueFrom, from, take, toArray, type Observable } from 'rxjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { go, openSocket, outcome, still } from '../support/fake.js'

beforeEach(still)
afterEach(go)

test('RxJS takes it as it is; its operators leave it on the server', async () => {
  const { socket, ws } = openSocket()
  const count: Observable<number> = from(socket.stream('count', 3, { window: 1 }))
  const two = firstValueFrom(count.pipe(take(2), toArray()))
  ws.item(0, 0)
  expect(ws.routes).toEqual(['count', '$ack'])
  ws.item(1, 1)
  expect(await two).toEqual([0, 1])
  expect(ws.routes).toEqual(['count', '$ack', '$cancel'])
})

test('RxJS hears its end and its error, and subscribes anew each time', async () => {
  const { socket, ws } = openSocket()
  const count = from(socket.stream('count', 3)).pipe(toArray())
  const [good, bad] = [firstValueFrom(count), firstValueFrom(count)]
  ws.item(0, 'a')
  ws.answers(null, { headers: { $seq: 1 }, to: 0 })
  ws.answers({ message: 'gone' }, { status: 500, to: 1 })
  expect(await good).toEqual(['a'])
  expect(await outcome(bad)).toMatchObject({ status: 500 })
})

test('libraries that know only the symbol find it under that', async () => {
  const { socket } = openSocket()
  const symbol = Symbol('observable')
  Object.defineProperty(Symbol, 'observable', { value: symbol, configurable: true })
  try {
    const stream: any = socket.stream('count')
    expect(stream[symbol]()).toBe(stream)
    expect(stream['@@observable']()).toBe(stream)
  } finally {
    delete (Symbol as any).observable
  }
})

test('TanStack Query gathers it, and leaves it when it is cancelled', async () => {
  const { socket, ws } = openSocket()
  const client = new QueryClient()
  const query = (key: string) => ({
    queryKey: [key],
    queryFn: streamedQuery({ streamFn: ({ signal }) => socket.stream('count', 3, { signal }) }),
    retry: false,
  })
  const all = client.fetchQuery(query('all'))
  await outcome(all)
  ws.item(0, 'a')
  ws.answers(null, { headers: { $seq: 1 }, to: 0 })
  expect(await all).toEqual(['a'])
  client.fetchQuery(query('some')).catch(() => {})
  await outcome(Promise.resolve())
  await client.cancelQueries()
  expect(ws.routes).toEqual(['count', 'count', '$cancel'])
})
