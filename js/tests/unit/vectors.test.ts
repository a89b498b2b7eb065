/** The project's conversations, with the server's part played by the test: "on this frame, these frames". */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { State } from '../../src/index.js'
import { FakeWebSocket, go, openSocket, outcome, still } from '../support/fake.js'

interface Step {
  client?: unknown
  client_text?: string
  server?: unknown
  close?: number
}
interface Conversation {
  name: string
  steps: Step[]
}

const folder = new URL('../../../vectors/', import.meta.url)
const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : []

// They come with the protocol’s document: until that is there, there is nothing to replay.
const due = existsSync(new URL('../PROTOCOL.md', folder)) || process.env.FOS_REQUIRE_SERVER === '1'
test.runIf(due)('there are conversations', () => expect(files).not.toEqual([]))

beforeEach(still)
afterEach(go)

const object = (value: unknown): value is Record<string, any> =>
  !!value && typeof value === 'object' && !Array.isArray(value)

/** What this client would write, but for the uuid: the older spelling and the protocol's own routes are for others. */
const request = (frame: unknown): frame is { uuid: string | number; route: string; headers?: any; payload?: any } =>
  object(frame) &&
  (Number.isSafeInteger(frame.uuid) || (typeof frame.uuid === 'string' && /^.{1,128}$/s.test(frame.uuid))) &&
  typeof frame.route === 'string' &&
  /^.{1,256}$/s.test(frame.route) &&
  frame.route !== 'PING' &&
  frame.route[0] !== '$' &&
  (frame.headers == null || object(frame.headers)) &&
  Object.keys(frame).every((key) => ['uuid', 'route', 'headers', 'payload', 'status'].includes(key))

let replayed = 0
let skipped = 0
afterAll(() => {
  console.info(`conversations: ${replayed} steps replayed, ${skipped} not this client’s to write`)
  expect(replayed > 0).toBe(files.length > 0)
})

describe.each(files)('%s', (file) => {
  const { conversations } = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as { conversations: Conversation[] }

  test.each(conversations.map((one) => [one.name, one.steps] as const))('%s', async (_, steps) => {
    const { socket, ws } = openSocket({ heartbeat: false })
    socket.on('error', () => {})
    const live = new Map<unknown, { uuid: string; outcome: Promise<unknown> }>()
    let state: State = 'open'
    for (const { client, server, close } of steps) {
      if (request(client) && !live.has(client.uuid)) {
        replayed++
        const { route, headers, payload } = client
        const answer = socket.request(route, payload, { headers: headers ?? undefined, timeout: Infinity })
        const written = ws.frames[ws.frames.length - 1]!
        const { status: _, ...expected } = { ...client, headers: headers ?? {}, uuid: written.uuid } as any
        expect(written).toEqual(expected)
        live.set(client.uuid, { uuid: written.uuid, outcome: answer })
      } else if (object(server)) {
        const call = live.get(server.uuid)
        ws.says({ ...server, uuid: call?.uuid ?? server.uuid })
        if (!call || server.route === 'PONG') skipped++
        else {
          replayed++
          live.delete(server.uuid)
          const { status, headers, payload } = server
          expect(await outcome(call.outcome)).toEqual({
            ok: status >= 200 && status < 300,
            status,
            headers: headers ?? {},
            payload,
          })
        }
      } else if (close !== undefined) {
        replayed++
        ws.hangsUp(close)
        state = close === 1008 ? 'closed' : 'waiting'
      } else skipped++
    }
    expect(socket.state).toBe(state)
    expect(FakeWebSocket.all).toHaveLength(1)
  })
})
