/** The built package as its users get it: what each entry exports, as a module and as CommonJS. */

import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'

const core = [
  'ConnectionLostError',
  'Message',
  'ObservableSocket',
  'QueueFullError',
  'ResponseError',
  'SocketError',
  'StatusCodes',
  'TimeoutError',
  'isResponseError',
  'socketConfig',
]
const entries: [string, string[]][] = [
  ['', core],
  ['/vanilla', core],
  ['/react', ['SocketProvider', 'useCall', 'useConnectionState', 'useSocket', 'useStream', 'useTopic']],
  ['/compat', [...core, 'ObservableSocketProvider', 'useObservableSocket']],
  ['/tanstack', ['mutationOptions', 'queryOptions']],
  ['/topics', ['topics']],
]
const require = createRequire(import.meta.url)
const dist = new URL('../../dist/', import.meta.url)

test.each(entries)('fastapi-observable-socket%s', async (entry, names) => {
  const esm = await import(/* @vite-ignore */ `fastapi-observable-socket${entry}`)
  const cjs = require(`fastapi-observable-socket${entry}`)
  expect(Object.keys(esm).sort()).toEqual([...names].sort())
  expect(Object.keys(cjs).sort()).toEqual([...names].sort())
})

test.each(['react.mjs', 'react.cjs', 'compat.mjs', 'compat.cjs'])("%s says 'use client'", (file) => {
  expect(readFileSync(new URL(file, dist), 'utf8').split('\n')[0]).toBe('"use client";')
})

test('the entries without React do not import it', () => {
  for (const file of ['index.mjs', 'vanilla.mjs', 'tanstack.mjs', 'index.cjs', 'vanilla.cjs', 'tanstack.cjs'])
    expect(closure(file)).not.toMatch(/["']react["']/)
})

test('source maps lie beside the code, with the sources in them', () => {
  const maps = readdirSync(dist).filter((name) => /\.[cm]js\.map$/.test(name))
  expect(maps.length).toBeGreaterThan(5)
  for (const map of maps) {
    const { sources, sourcesContent } = JSON.parse(readFileSync(new URL(map, dist), 'utf8'))
    expect(sourcesContent).toHaveLength(sources.length)
  }
})

test('there are no dependencies', () => {
  const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(dependencies).toBeUndefined()
})

/** The text of a file and of all it imports from the package. */
function closure(file: string): string {
  const text = readFileSync(new URL(file, dist), 'utf8')
  const more = [...text.matchAll(/["']\.\/([^"']+)["']/g)].map(([, name]) => closure(name!))
  return [text, ...more].join('\n')
}
