/** The console's rules, without a page: schemas and their samples, types as text, code, the list, the log. */

import { describe, expect, test } from 'vitest'
import { frame, python, typescript, type Asked } from '../../console/code.js'
import { entriesOf, grouped, matches } from '../../console/contract.js'
import { Log } from '../../console/log.js'
import { bounds, notation } from '../../console/notation.js'
import { schemasOf, type Schema } from '../../console/schema.js'
import { topicName } from '../../console/topic.js'

const definitions: Record<string, Schema> = {
  Node: {
    type: 'object',
    properties: { value: { type: 'integer' }, next: { anyOf: [{ $ref: '#/definitions/Node' }, { type: 'null' }] }, all: { type: 'array', items: { $ref: '#/definitions/Node' } } },
    required: ['value', 'next', 'all'],
  },
  Alias: { $ref: '#/definitions/Level' },
  Level: { enum: [1, 2], description: 'How high' },
  Round: { $ref: '#/definitions/Round' },
}
const schemas = schemasOf(definitions)

describe('a sample fits', () => {
  test.each<[Schema, unknown]>([
    [{ type: 'string' }, 'text'],
    [{ type: 'string', minLength: 6 }, 'texttext'.slice(0, 6)],
    [{ type: 'string', maxLength: 2 }, 'te'],
    [{ type: 'string', pattern: '^[A-Z]+$' }, 'TEXT'],
    [{ type: 'string', pattern: '(?P<python>x)' }, 'text'],
    [{ type: 'string', format: 'date' }, '2026-01-31'],
    [{ type: 'string', format: 'uuid' }, '00000000-0000-4000-8000-000000000000'],
    [{ type: 'integer' }, 0],
    [{ type: 'integer', minimum: 5 }, 5],
    [{ type: 'integer', exclusiveMinimum: 5, multipleOf: 4 }, 8],
    [{ type: 'integer', maximum: -3 }, -3],
    [{ type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }, 0.5],
    [{ type: 'boolean' }, false],
    [{ type: 'null' }, null],
    [{}, null],
    [{ const: 'cat' }, 'cat'],
    [{ enum: ['b', 'a'] }, 'b'],
    [{ type: ['string', 'null'] }, 'text'],
    [{ type: 'integer', default: 7 }, 7],
    [{ type: 'integer', default: 7, examples: [8] }, 8],
    [{ type: 'array', items: { type: 'integer' } }, [0]],
    [{ type: 'array', items: { type: 'integer' }, minItems: 2 }, [0, 0]],
    [{ type: 'array', items: {}, maxItems: 0 }, []],
    [{ type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }], minItems: 2 }, [0, 'text']],
    [{ type: 'object', properties: { a: { type: 'integer' }, b: { type: 'integer' } }, required: ['b'] }, { b: 0 }],
    [{ type: 'object', properties: { kind: { const: 'x', default: 'x' } } }, { kind: 'x' }],
    [{ allOf: [{ $ref: '#/definitions/Level' }], default: 2 }, 2],
    [{ allOf: [{ properties: { a: { type: 'integer' } }, required: ['a'] }, { properties: { b: { type: 'null' } }, required: ['b'] }] }, { a: 0, b: null }],
    [{ $ref: '#/definitions/Alias' }, 1],
    [{ $ref: '#/definitions/Node' }, { value: 0, next: null, all: [] }],
  ])('%j: %j', (schema, value) => {
    expect(schemas.sample(schema)).toEqual(value)
    expect(schemas.fits(schema, value)).toBe(true)
  })

  test.each<Schema>([{ $ref: '#/definitions/Round' }, { $ref: '#/definitions/missing' }, { $ref: '#/definitions/toString' }, true, { anyOf: [] }])(
    'and there is one for %j as well',
    (schema) => expect(schemas.sample(schema)).toBeNull(),
  )
})

test.each<[Schema, unknown]>([
  [{ type: 'integer' }, 1.5],
  [{ type: 'string' }, null],
  [{ enum: ['a'] }, 'b'],
  [{ type: 'array', items: { type: 'integer' } }, [1, 'b']],
  [{ type: 'object', properties: { a: {} }, required: ['a'] }, {}],
  [{ type: 'object', properties: {}, additionalProperties: false }, { a: 1 }],
  [{ anyOf: [{ type: 'integer' }, { type: 'null' }] }, 'text'],
])('%j does not fit %j', (schema, value) => expect(schemas.fits(schema, value)).toBe(false))

describe('a type reads', () => {
  test.each<[Schema, string]>([
    [{ type: 'array', items: { type: 'integer' } }, 'integer[]'],
    [{ type: 'array', items: { anyOf: [{ type: 'integer' }, { type: 'null' }] } }, '(integer | null)[]'],
    [{ type: 'array', prefixItems: [{ type: 'integer' }], items: { type: 'string' } }, '[integer, ...string[]]'],
    [{ type: 'object', additionalProperties: { type: 'integer' } }, '{\n  [key: string]: integer\n}'],
    [{ type: 'object', properties: {}, additionalProperties: false }, '{}'],
    [
      { type: 'object', properties: { 'odd-name': { type: 'string', minLength: 2, description: 'Seen\nby all' } } },
      '{\n  "odd-name"?: string  // minLength 2; Seen\n}',
    ],
    [{ $ref: '#/definitions/Level' }, 'Level = 1 | 2'],
    [{ type: 'array', items: { $ref: '#/definitions/Level' } }, 'Level[]\n\nLevel = 1 | 2'],
    [{ $ref: '#/definitions/Node' }, 'Node = {\n  value: integer\n  next: Node | null\n  all: Node[]\n}'],
  ])('%j', (schema, text) => expect(notation(schemas, schema)).toBe(text))

  test.each<[Schema, string]>([
    [{ type: 'integer' }, 'integer'],
    [{ type: 'string', format: 'date' }, 'date'],
    [{ $ref: '#/definitions/Node' }, 'Node'],
    [{ type: 'object', additionalProperties: { type: 'integer' } }, '{ [key: string]: integer }'],
    [{ type: 'object', properties: { a: { type: 'integer' } } }, 'object'],
    [{ anyOf: [{ type: 'array', items: { $ref: '#/definitions/Node' } }, { type: 'null' }] }, 'Node[] | null'],
    [{}, 'any'],
  ])('shortly, %j', (schema, text) => expect(notation(schemas, schema, true)).toBe(text))

  test('with its bounds', () => {
    expect(bounds(schemas.plain({ type: 'number', minimum: 0, exclusiveMaximum: 1, default: 0, deprecated: true }))).toBe('minimum 0, exclusiveMaximum 1, default 0, deprecated true')
  })
})

describe('a request as code', () => {
  const asked: Asked = { kind: 'call', url: 'ws://here/ws', name: 'math/sum', payload: { a: [true, null, 'null "true"'] } }

  test('in TypeScript', () => {
    expect(typescript(asked)).toContain('console.log(await socket.call("math/sum", {"a":[true,null,"null \\"true\\""]}))')
    expect(typescript({ ...asked, payload: undefined, headers: { a: 1 }, timeout: 5 })).toContain('socket.call("math/sum", undefined, {"timeout":5000,"headers":{"a":1}})')
    expect(typescript({ ...asked, kind: 'stream' })).toContain('for await (const one of socket.stream("math/sum", ')
    expect(typescript({ ...asked, kind: 'topic', payload: undefined })).toContain('socket.subscribe("math/sum")')
    expect(typescript({ ...asked, kind: 'publish' })).toContain('await socket.publish("math/sum", {')
  })

  test('in Python, whose constants are others', () => {
    expect(python(asked)).toContain('print(await socket.call("math/sum", {"a":[True,None,"null \\"true\\""]}))')
    expect(python({ ...asked, payload: undefined, headers: { a: true }, timeout: 5 })).toContain('socket.call("math/sum", headers={"a":True}, timeout=5)')
    expect(python({ ...asked, kind: 'stream' })).toContain('async with socket.stream("math/sum", ')
    expect(python({ ...asked, kind: 'topic', payload: undefined })).toContain('async with socket.subscribe("math/sum") as many:')
  })

  test('as a frame', () => {
    expect(JSON.parse(frame({ ...asked, headers: { a: 1 }, timeout: 5 }))).toEqual({ uuid: '1', route: 'math/sum', headers: { a: 1, $timeout: 5000 }, payload: asked.payload })
    expect(JSON.parse(frame({ ...asked, kind: 'stream' })).headers).toEqual({ $stream: true, $window: 64 })
    expect(JSON.parse(frame({ ...asked, kind: 'topic', payload: undefined }))).toEqual({ uuid: '1', route: '$sub', headers: {}, payload: { topic: 'math/sum' } })
    expect(JSON.parse(frame({ ...asked, kind: 'publish' })).payload).toEqual({ topic: 'math/sum', payload: asked.payload })
  })
})

test('the list has everything once under each of its tags', () => {
  const entries = entriesOf({
    routes: { 'a/b': { tags: ['one', 'two'] }, c: { kind: 'stream', summary: 'Counts', deprecated: true }, constructor: {} },
    topics: { 'orders/{id}': { tags: ['one'] } },
    pushes: { c: {} },
    calls: { c: {} },
  })
  expect([...entries.keys()]).toEqual(['route/a%2Fb', 'route/c', 'route/constructor', 'topic/orders%2F%7Bid%7D', 'push/c', 'call/c'])
  expect([...grouped(entries.values())].map(([title, group]) => [title, group.map(({ link }) => link)])).toEqual([
    ['one', ['route/a%2Fb']],
    ['two', ['route/a%2Fb']],
    ['routes', ['route/c', 'route/constructor']],
    ['topics', ['topic/orders%2F%7Bid%7D']],
    ['pushes', ['push/c']],
    ['server calls', ['call/c']],
  ])
  const found = (words: string) => [...entries.values()].filter((entry) => matches(entry, words)).map(({ link }) => link)
  expect(found('COUNTS stream')).toEqual(['route/c'])
  expect(found('deprecated')).toEqual(['route/c'])
  expect(found('one')).toEqual(['route/a%2Fb', 'topic/orders%2F%7Bid%7D'])
  expect(found('server')).toEqual(['call/c'])
  expect(found('one nothing')).toEqual([])
})

test('a topic has its parameters in its name', () => {
  expect(topicName('orders/{order_id}/{file:path}', { order_id: 42, file: 'a/b' })).toBe('orders/42/a/b')
  expect(topicName('orders/{order_id}', {})).toBe('orders/{order_id}')
})

describe('the log', () => {
  const kinds = (log: Log) => log.rows.map(({ direction, kind, route, status, ms }) => [direction, kind, route, status, ms])

  test('knows what each frame is, to which request it belongs, and how long it took', () => {
    const log = new Log()
    const out = (frame: object, at: number) => log.add('out', JSON.stringify(frame), at)
    const back = (frame: object, at: number) => log.add('in', JSON.stringify(frame), at)
    out({ uuid: 'a', route: 'sum', payload: 1 }, 0)
    out({ uuid: 'b', route: 'count', headers: { $stream: true } }, 1)
    back({ uuid: 'b', status: 402, headers: { $seq: 0 }, payload: 7 }, 3)
    out({ uuid: 'b', route: '$ack', headers: { $seq: 0 } }, 4)
    back({ uuid: 'a', status: 402, headers: {}, payload: 'half' }, 5)
    back({ uuid: 'a', status: 200, payload: 'all' }, 6)
    back({ uuid: 'b', status: 500, payload: null }, 7)
    back({ uuid: '#', route: 'news' }, 8)
    back({ uuid: '#orders/4', route: 'orders/4' }, 8)
    back({ uuid: '#orders/4', route: '$gap' }, 8)
    back({ uuid: '#1', route: 'confirm' }, 9)
    out({ uuid: '#1', status: 200 }, 11)
    out({ uuid: 'p', route: 'PING' }, 12)
    back({ uuid: 'p', route: 'PONG' }, 12)
    log.add('in', 'no JSON', 13)
    log.add('note', 'lost', 14)
    expect(kinds(log)).toEqual([
      ['out', 'request', 'sum', undefined, undefined],
      ['out', 'stream', 'count', undefined, undefined],
      ['in', 'item', 'count', 402, 2],
      ['out', 'ack', '$ack', undefined, undefined],
      ['in', 'progress', 'sum', 402, 5],
      ['in', 'answer', 'sum', 200, 6],
      ['in', 'error', 'count', 500, 6],
      ['in', 'push', 'news', undefined, undefined],
      ['in', 'event', 'orders/4', undefined, undefined],
      ['in', 'gap', '$gap', undefined, undefined],
      ['in', 'call', 'confirm', undefined, undefined],
      ['out', 'answer', 'confirm', 200, 2],
      ['out', 'ping', 'PING', undefined, undefined],
      ['in', 'pong', 'PONG', undefined, undefined],
      ['in', 'unreadable', '', undefined, undefined],
      ['note', 'note', '', undefined, undefined],
    ])
  })

  test('keeps the last, so many and so large', () => {
    const log = new Log(3, 1_000)
    for (let n = 0; n < 5; n++) log.add('in', `{"payload":${n}}`, n)
    expect(log.rows.map(({ preview }) => preview)).toEqual(['2', '3', '4'])
    expect(log.dropped).toBe(2)
    log.add('in', JSON.stringify({ payload: 'x'.repeat(2_000) }), 6)
    expect(log.rows.length).toBe(1)
    log.clear()
    expect([log.rows, log.dropped]).toEqual([[], 6])
  })

  test('has no token in it', () => {
    const log = new Log()
    for (const route of ['$hello', '$auth']) log.add('out', JSON.stringify({ uuid: '1', route, payload: { token: 'sesame', client: 'js' } }), 0)
    expect(log.rows.map(({ text }) => text).join()).not.toContain('sesame')
    expect(JSON.parse(log.rows[0]!.text).payload).toEqual({ token: '•••', client: 'js' })
  })
})
