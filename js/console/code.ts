/** A request as code, for whoever wants it in a program. */

import type { Headers } from '../src/wire.js'

export interface Asked {
  kind: 'call' | 'stream' | 'topic' | 'publish'
  url: string
  /** The route, or the topic. */
  name: string
  /** Undefined where there is none. */
  payload?: unknown
  headers?: Headers
  /** Seconds; undefined for the client's own. */
  timeout?: number
}

/** JSON is an expression of both languages but for its three words, which may also stand in its strings. */
const WORDS: Record<string, string> = { true: 'True', false: 'False', null: 'None' }
const inPython = (value: unknown) =>
  JSON.stringify(value).replace(/"(?:\\.|[^"\\])*"|true|false|null/g, (word) => WORDS[word] ?? word)

const some = (headers?: Headers) => !!headers && Object.keys(headers).length > 0

export function typescript({ kind, url, name, payload, headers, timeout }: Asked): string {
  const topic = kind === 'topic'
  const options = { ...(timeout && { timeout: timeout * 1000 }), ...(some(headers) && { headers }) }
  const given = [name, payload, some(options) ? options : undefined].map((one) => JSON.stringify(one))
  while (given.at(-1) === undefined) given.pop()
  const args = given.map((one) => one ?? 'undefined').join(', ')
  const loop = `for await (const one of socket.${topic ? 'subscribe' : kind}(${args})) console.log(one)`
  return `import { ObservableSocket } from 'fastapi-observable-socket'
${topic ? "import { topics } from 'fastapi-observable-socket/topics'\n" : ''}
const socket = new ObservableSocket(${JSON.stringify(url)}${topic ? ', { topics }' : ''})
${topic || kind === 'stream' ? loop : `console.log(await socket.${kind}(${args}))`}
`
}

export function python({ kind, url, name, payload, headers, timeout }: Asked): string {
  const args = [
    inPython(name),
    ...(payload === undefined ? [] : [inPython(payload)]),
    ...(some(headers) ? [`headers=${inPython(headers)}`] : []),
    ...(timeout ? [`timeout=${timeout}`] : []),
  ].join(', ')
  const many = `async with socket.${kind === 'topic' ? 'subscribe' : kind}(${args}) as many:
            async for one in many:
                print(one)`
  return `import asyncio

from fastapi_observable_socket.client import connect


async def main():
    async with connect(${inPython(url)}) as socket:
        ${/topic|stream/.test(kind) ? many : `print(await socket.${kind}(${args}))`}


asyncio.run(main())
`
}

/** What goes over the wire, but for the uuid, which is anew each time. */
export function frame({ kind, name, payload, headers, timeout }: Asked): string {
  const stream = kind === 'stream' && { $stream: true, $window: 64 }
  const all = { ...headers, ...(timeout && { $timeout: timeout * 1000 }), ...stream }
  const route = { topic: '$sub', publish: '$pub', call: name, stream: name }[kind]
  return JSON.stringify({ uuid: '1', route, headers: all, payload: route === name ? payload : { topic: name, payload } })
}
