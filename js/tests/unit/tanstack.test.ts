import { QueryClient } from '@tanstack/react-query'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { mutationOptions, queryOptions } from '../../src/tanstack.js'
import { go, openSocket, still } from '../support/fake.js'

beforeEach(still)
afterEach(go)

test('a query calls its route, and its key is route and payload', async () => {
  const { socket, ws } = openSocket()
  const options = queryOptions(socket, 'math/sum', [1, 2])
  expect(options.queryKey).toEqual(['math/sum', [1, 2]])
  const client = new QueryClient()
  const sum = client.fetchQuery(options)
  ws.answers({ sum: 3 })
  expect(await sum).toEqual({ sum: 3 })
})

test('a query that is cancelled is cancelled on the server', async () => {
  const { socket, ws } = openSocket()
  const client = new QueryClient()
  const query = client.fetchQuery({ ...queryOptions(socket, 'slow', null, { timeout: 99 }), retry: false })
  query.catch(() => {})
  await client.cancelQueries()
  expect(ws.routes).toEqual(['slow', '$cancel'])
})

test('a mutation calls its route with what it is given', async () => {
  const { socket, ws } = openSocket()
  const { mutationKey, mutationFn } = mutationOptions(socket, 'save', { headers: { a: 1 } })
  const saved = mutationFn({ id: 1 })
  ws.answers('ok')
  expect(await saved).toBe('ok')
  expect(mutationKey).toEqual(['save'])
  expect(ws.frames).toMatchObject([{ route: 'save', headers: { a: 1 }, payload: { id: 1 } }])
})
