import { afterEach, expect, test, vi } from 'vitest'
import { decode, encode, newUuid } from '../../src/wire.js'

afterEach(() => void vi.unstubAllGlobals())

test('a request has the four words of the wire, in their order', () => {
  expect(encode('u', 'math/sum', { a: 1 }, [1, 2])).toBe(
    '{"uuid":"u","route":"math/sum","headers":{"a":1},"payload":[1,2]}',
  )
})

test.each([0, '', false, null, []])('the payload %j is sent as it is', (payload) => {
  expect(JSON.parse(encode('u', 'r', {}, payload)).payload).toEqual(payload)
})

test('a payload that is undefined is absent', () => {
  expect(encode('u', 'r', {})).toBe('{"uuid":"u","route":"r","headers":{}}')
})

test.each(['', '{', 'null', '[]', '7', '"text"', undefined, new ArrayBuffer(2)])('%j is no frame', (data) => {
  expect(decode(data)).toBeUndefined()
})

test('what a peer adds does no harm', () => {
  const frame = decode('{"uuid":"u","__proto__":{"polluted":1},"more":2}')
  expect(frame).toMatchObject({ uuid: 'u' })
  expect(({} as any).polluted).toBeUndefined()
})

const V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('uuids are of version 4', () => expect(newUuid()).toMatch(V4))

test('also where there is no randomUUID, as on an insecure origin, and no two are the same', () => {
  vi.stubGlobal('crypto', { getRandomValues: crypto.getRandomValues.bind(crypto) })
  const many = Array.from({ length: 1_000 }, newUuid)
  for (const uuid of many) expect(uuid).toMatch(V4)
  expect(new Set(many).size).toBe(1_000)
})
