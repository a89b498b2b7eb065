/** The built package in a real Chromium, against the real router. */

import { build } from 'esbuild'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { ObservableSocket } from '../../src/index.js'
import { launch, out, reasonNot } from '../support/chromium.js'
import { Wire } from '../support/proxy.js'
import { freePort, PythonServer } from '../support/python.js'

declare global {
  // In the page.
  var socket: ObservableSocket
  var events: string[]
  var renders: number
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const reason = reasonNot()

describe.skipIf(reason)('in Chromium', () => {
  let browser: Browser
  let server: PythonServer
  let wire: Wire
  let page: Page
  let connections: string[]
  let complaints: string[]

  beforeAll(async () => {
    await build({
      entryPoints: ['plain.ts', 'react.tsx', 'compat.tsx', 'streams.tsx'].map((name) => here(`pages/${name}`)),
      bundle: true,
      outdir: out,
      jsx: 'automatic',
      define: { 'process.env.NODE_ENV': '"development"' },
      logLevel: 'error',
    })
    server = await new PythonServer(await freePort()).start()
    wire = await new Wire(await freePort(), server.port).open()
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    wire?.close()
    await server?.stop()
  })

  const visit = async (path: string, host = 'localhost') => {
    page = await (await browser.newContext()).newPage()
    connections = []
    complaints = []
    page.on('websocket', (ws) => connections.push(ws.url()))
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.goto(`http://${host}:${wire.port}/page/${path}`)
  }
  afterEach(() => page?.context().close())

  const opened = () => page.waitForFunction(() => socket.state === 'open')
  const sum = (...numbers: number[]) => page.evaluate((numbers) => socket.call('math/sum', numbers), numbers)
  const text = (selector: string, wanted: string) =>
    page.waitForFunction(
      ([selector, wanted]) => document.querySelector(selector!)?.textContent?.includes(wanted!),
      [selector, wanted],
    )

  test('a page calls a route, by a path of its own site', async () => {
    await visit('plain.html')
    expect(await sum(1, 2, 3)).toEqual({ sum: 6 })
    expect(connections).toEqual([`ws://localhost:${wire.port}/ws`])
    expect(complaints).toEqual([])
  })

  test('React under StrictMode: one connection, a form that works', async () => {
    await visit('react.html')
    await text('#state', 'open')
    await page.click('button')
    await text('output', '6')
    await page.fill('input', '1 x')
    await page.click('button')
    await text('output', 'error:')
    await page.fill('input', '40 2')
    await page.click('button')
    await text('output', '42')
    await page.screenshot({ path: `${out}react.png` })
    // Longer than a released socket lingers.
    await page.waitForTimeout(1_500)
    expect(connections).toHaveLength(1)
    expect(complaints).toEqual([])
  })

  test('the old React page under StrictMode: one connection, and it stays', async () => {
    await visit('compat.html')
    await text('#state', 'true')
    await page.click('button')
    await text('output', '"name":"World"')
    await text('output', '"apiKey":"123"')
    await page.waitForTimeout(500)
    await text('#state', 'true')
    expect(connections).toHaveLength(1)
    expect(complaints).toEqual([])
  })

  test('an insecure origin, without crypto.randomUUID', async () => {
    await visit('plain.html', 'insecure.test')
    expect(await page.evaluate(() => [isSecureContext, 'randomUUID' in crypto])).toEqual([false, false])
    expect(await sum(20, 22)).toEqual({ sum: 42 })
  })

  test('offline and back: the dead line is found out, and back online nobody waits', async () => {
    await visit('plain.html?min=60000&rate=200')
    await opened()
    wire.cut()
    await page.context().setOffline(true)
    await page.waitForFunction(() => socket.state === 'waiting')
    const call = sum(1, 2)
    wire.mend()
    const before = Date.now()
    await page.context().setOffline(false)
    expect(await call).toEqual({ sum: 3 })
    expect(Date.now() - before).toBeLessThan(5_000)
  })

  test('a server restart in the middle of a conversation', async () => {
    await visit('plain.html')
    await opened()
    const sent = page.evaluate(() =>
      socket.call('slow', 30).catch(({ name, sent }: { name: string; sent: boolean }) => ({ name, sent })),
    )
    await sum(1)
    await server.stop('SIGKILL')
    expect(await sent).toEqual({ name: 'ConnectionLostError', sent: true })
    const unsent = sum(2, 3)
    await server.start()
    expect(await unsent).toEqual({ sum: 5 })
    expect(await page.evaluate(() => events.filter((state) => state === 'open').length)).toBe(2)
  })

  test('a hundred thousand items, with a rest in the middle: all of them, in their order', async () => {
    await visit('plain.html')
    await opened()
    const seen = await page.evaluate(async () => {
      let next = 0
      for await (const n of socket.stream('count', 100_000)) {
        if (n !== next++) return `${n} where ${next - 1} was due`
        if (n === 50_000) for (let i = 0; i < 20; i++) await socket.call('math/sum', [i])
      }
      return next
    })
    expect(seen).toBe(100_000)
    expect(complaints).toEqual([])
  }, 90_000)

  test('break, an abort and the platform’s own Observable end a stream on the server', async () => {
    await visit('plain.html')
    await opened()
    const ends = await page.evaluate(async () => {
      for await (const _ of socket.stream('endless', 'broken')) break
      const stop = new AbortController()
      let reason
      try {
        for await (const _ of socket.stream('endless', 'aborted', { signal: stop.signal })) stop.abort('enough')
      } catch (error) {
        reason = error
      }
      const { Observable } = globalThis as any
      const some = await Observable.from(socket.stream('endless', 'observed')).take(3).toArray()
      return { reason, some }
    })
    expect(ends).toEqual({ reason: 'enough', some: ['observed 0', 'observed 1', 'observed 2'] })
    await vi.waitFor(async () => expect(await page.evaluate(() => socket.call('streams'))).toEqual([]))
  })

  test('progress, a push, and a call of the server', async () => {
    await visit('plain.html')
    const told = await page.evaluate(async () => {
      const told: unknown[] = []
      socket.on('push', ({ route, payload }) => told.push({ route, payload }))
      socket.handle('confirm', async (payload) => `${payload}: yes`)
      told.push(await socket.call('work', 2, { onProgress: (progress) => told.push(progress) }))
      await socket.call('news', 'rain')
      told.push(await socket.call('ask', 'sure?'))
      return told
    })
    expect(told).toEqual([{ done: 1 }, { done: 2 }, 'done', { route: 'news', payload: 'rain' }, 'sure?: yes'])
  })

  test('a server that dies in the middle of a stream', async () => {
    await visit('plain.html')
    await opened()
    const end = page.evaluate(async () => {
      const seen: unknown[] = []
      try {
        for await (const n of socket.stream('dies', 3)) seen.push(n)
      } catch (error: any) {
        seen.push({ name: error.name, sent: error.sent })
      }
      return seen
    })
    expect(await end).toEqual([0, 1, 2, { name: 'ConnectionLostError', sent: true }])
    await server.stop()
    await server.start()
    expect(await sum(1)).toEqual({ sum: 1 })
  })

  test('useStream under StrictMode: one stream lasts, it stops, and none is left behind', async () => {
    await visit('streams.html')
    const running = () => page.evaluate(() => socket.call('streams'))
    await text('output', 'streaming: 50 items, the last is first')
    await vi.waitFor(async () => expect(await running()).toEqual(['first']))
    await page.click('#second')
    await text('output', 'streaming: 50 items, the last is second')
    await vi.waitFor(async () => expect(await running()).toEqual(['second']))
    // Thousands of items a second, and a render for each frame at most; StrictMode renders twice.
    const [before, then] = await page.evaluate(() => [renders, performance.now()] as const)
    await page.waitForTimeout(500)
    const [after, now] = await page.evaluate(() => [renders, performance.now()] as const)
    expect((after - before) / 2).toBeLessThanOrEqual((now - then) / 16 + 1)
    await page.click('#stop')
    await text('output', 'idle: 50 items')
    await vi.waitFor(async () => expect(await running()).toEqual([]))
    await page.click('#second')
    await page.click('#gone')
    await vi.waitFor(async () => expect(await running()).toEqual([]))
    expect(connections).toHaveLength(1)
    expect(complaints).toEqual([])
  })

  // Playwright loses sight of a page that was put away, so the page tells its story to the server.
  test('into the back/forward cache and out of it', async () => {
    await visit('plain.html')
    await opened()
    await page.evaluate(() => {
      addEventListener('pageshow', async () => {
        const sum = await socket.call('math/sum', [1, 2])
        await socket.call('report', { events, sum })
      })
      location.href = 'back.html'
    })
    const reports = () => fetch(`http://localhost:${server.port}/reports`).then((response) => response.json())
    await vi.waitUntil(async () => (await reports()).length, { timeout: 10_000, interval: 100 })
    expect(await reports()).toEqual([
      { events: ['open', 'waiting', 'connecting', 'pageshow', 'open'], sum: { sum: 3 } },
    ])
  })

  test('a server that is away for a while is found again; a closed socket stays closed', async () => {
    await visit('plain.html')
    await opened()
    await server.stop()
    await page.waitForFunction(() => events.filter((state) => state === 'connecting').length >= 3)
    await server.start()
    expect(await sum(1)).toEqual({ sum: 1 })
    await page.evaluate(() => socket.close())
    await page.waitForTimeout(500)
    expect(await page.evaluate(() => socket.state)).toBe('closed')
  })
})
