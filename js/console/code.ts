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
const inPython = (value: unknown) => JSON.stringify(value).replace(/"(?:\\.|[^"\\])*"|true|false|null/g, (word) => WORDS[word] ?? word)

const optionsOf = ({ headers, timeout }: Asked, second: number): [string, unknown][] => [
  ...(timeout ? [['timeout', timeout * second] as [string, unknown]] : []),
  ...(Object.keys(headers ?? {})[0] ? [['headers', headers] as [string, unknown]] : []),
]

/** What is called with it, whether many come of it, and the import that it wants. */
const formOf = ({ kind }: Asked) => ({ method: kind === 'topic' ? 'subscribe' : kind, many: /topic|stream/.test(kind), topic: kind === 'topic' })

export function typescript(asked: Asked): string {
  const { url, name, payload } = asked
  const { method, many, topic } = formOf(asked)
  const options = optionsOf(asked, 1000)
  const given = [name, payload, options[0] && Object.fromEntries(options)]
  while (given.at(-1) === undefined) given.pop()
  const call = `socket.${method}(${given.map((one) => JSON.stringify(one) ?? 'undefined').join(', ')})`
  return `import { ObservableSocket } from 'fastapi-observable-socket'
${topic ? "import { topics } from 'fastapi-observable-socket/topics'\n" : ''}
const socket = new ObservableSocket(${JSON.stringify(url)}${topic ? ', { topics }' : ''})
${many ? `for await (const one of ${call}) console.log(one)` : `console.log(await ${call})`}
`
}

export function python(asked: Asked): string {
  const { url, name, payload } = asked
  const { method, many } = formOf(asked)
  const given = [name, payload].filter((one) => one !== undefined).map(inPython)
  const call = `socket.${method}(${[...given, ...optionsOf(asked, 1).map(([name, one]) => `${name}=${inPython(one)}`)].join(', ')})`
  return `import asyncio

from fastapi_observable_socket.client import connect


async def main():
    async with connect(${inPython(url)}) as socket:
        ${many ? `async with ${call} as many:\n            async for one in many:\n                print(one)` : `print(await ${call})`}


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
