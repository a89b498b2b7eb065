/** Two windows and one text: `examples/llm`, as people use it. */

import { resolve, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { launch, out, reasonNot } from '../support/chromium.js'
import { Wire } from '../support/proxy.js'
import { freePort, Server } from '../support/python.js'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const python = resolve(process.env.FOS_PYTHON ?? here('../../../.venv/bin/python'))
const example = here('../../../examples/llm')

describe.skipIf(reasonNot('uvicorn'))('tokens in two windows', () => {
  let browser: Browser
  let server: Server
  let wire: Wire
  let pages: Page[] = []
  let complaints: string[] = []

  beforeAll(async () => {
    const port = await freePort()
    const command = [
      ...[python, '-m', 'fastapi_observable_socket', 'serve', 'app:app'],
      ...['--app-dir', example, '--port', `${port}`, '--no-access-log'],
    ]
    server = await new Server(port, command, { LLM_TOKENS_PER_SECOND: '30' }).start()
    wire = await new Wire(await freePort(), port).open()
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    wire?.close()
    await server?.stop()
  })
  afterEach(async () => {
    await Promise.all(pages.map((page) => page.context().close()))
    pages = []
    wire?.mend()
  })

  const open = async (options: BrowserContextOptions = {}, port = server.port): Promise<Page> => {
    const page = await (await browser.newContext(options)).newPage()
    pages.push(page)
    page.setDefaultTimeout(10_000)
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.goto(`http://127.0.0.1:${port}/`)
    await page.locator('#state[data-state=open]').waitFor()
    return page
  }
  /** Pages that see only what this test begins. */
  const openAll = async (...options: BrowserContextOptions[]) => {
    complaints = []
    const opened = await Promise.all(options.map((each) => open(each)))
    for (const page of opened) await shows(page, '#running', ': 0')
    return opened
  }

  const shows = (page: Page, selector: string, wanted: string) =>
    page.locator(selector).filter({ hasText: wanted }).first().waitFor()
  const ask = async (page: Page, prompt: string, words = 400, seed = '') => {
    await page.fill('#prompt', prompt)
    await page.fill('#words', `${words}`)
    await page.fill('#seed', seed)
    await page.click('#go')
  }
  /** That page shows the text that begins so, and not one from before. */
  const reads = (page: Page, prompt: string) => shows(page, '#text[aria-busy=true]', prompt)
  const text = (page: Page) => page.$eval('#said', (said) => said.textContent!)
  /** The text, once it has this many words more than `before`. */
  const grown = async (page: Page, words = 5, before = '') => {
    const wanted = before.split(' ').length + words
    await page.waitForFunction((n) => document.getElementById('said')!.textContent!.split(' ').length >= n, wanted)
    return text(page)
  }
  const ended = (page: Page) => page.locator('#text[aria-busy=false]').waitFor()

  test('one asks, and the other sees the same text grow to its end', async () => {
    const [asker, viewer] = (await openAll({}, {})) as [Page, Page]
    await ask(asker, 'In the evening', 60)
    await shows(asker, '#role', 'You asked')
    await shows(viewer, '#role', 'You read along')
    await shows(viewer, '#given', 'In the evening')
    const first = await grown(viewer)
    const later = await grown(viewer, 5, first)
    expect(later.startsWith(first)).toBe(true)
    await Promise.all([asker, viewer].map((page) => shows(page, '#outcome', 'The end.')))
    expect((await text(asker)).trim().split(' ')).toHaveLength(60)
    expect(await text(viewer)).toBe(await text(asker))
    await shows(viewer, '#lately [aria-current=true]', 'done')
    await shows(viewer, '#running', ': 0')
    expect(complaints).toEqual([])
  })

  test('stop ends it in both windows, and on the server', async () => {
    const [asker, viewer] = (await openAll({}, {})) as [Page, Page]
    await ask(asker, 'The sea')
    await reads(viewer, 'The sea')
    await grown(viewer)
    await shows(viewer, '#running', ': 1')
    expect(await viewer.isDisabled('#stop')).toBe(true)
    await asker.focus('#stop')
    await asker.keyboard.press('Enter')
    await shows(asker, '#outcome', 'You stopped it.')
    await shows(viewer, '#outcome', 'Whoever asked has stopped it.')
    for (const page of [asker, viewer]) {
      await ended(page)
      await shows(page, '#running', ': 0')
      await shows(page, '#lately [aria-current=true]', 'stopped')
    }
    const [asked, watched] = [await text(asker), await text(viewer)]
    expect(watched.startsWith(asked)).toBe(true) // what was on its way when it was stopped is dropped
    expect(watched.split(' ').length).toBeLessThan(400)
    expect(await asker.evaluate(() => document.activeElement!.id)).toBe('go')
    expect(complaints).toEqual([])
  })

  test('a viewer that is loaded anew catches up, and so does one that comes late', async () => {
    const [asker, viewer] = (await openAll({}, {})) as [Page, Page]
    await ask(asker, 'A cup of tea')
    await reads(viewer, 'A cup of tea')
    const before = await grown(viewer, 10)
    await viewer.reload()
    const late = await open()
    await Promise.all([viewer, late].map((page) => reads(page, 'A cup of tea')))
    expect((await grown(viewer)).startsWith(before)).toBe(true)
    expect((await grown(late)).startsWith(before)).toBe(true)
    await asker.click('#stop')
    await Promise.all([asker, viewer, late].map(ended))
    expect(await text(late)).toBe(await text(viewer))
    expect((await text(viewer)).startsWith(await text(asker))).toBe(true)
    expect(complaints).toEqual([])
  })

  test('a viewer who leaves ends nothing, and may come back', async () => {
    const [asker, viewer] = (await openAll({}, {})) as [Page, Page]
    await ask(asker, 'The wind')
    await reads(viewer, 'The wind')
    await grown(viewer)
    await viewer.click('#leave')
    await shows(viewer, '#outcome', 'You left; it goes on without you.')
    const left = await text(viewer)
    await grown(asker, 5, left)
    expect(await text(viewer)).toBe(left)
    await viewer.click('#lately [data-state=running]')
    await reads(viewer, 'The wind')
    expect((await grown(viewer, 5, left)).startsWith(left)).toBe(true)
    await viewer.close()
    await grown(asker, 5, await text(asker))
    await asker.click('#stop')
    await shows(asker, '#running', ': 0')
    expect(complaints).toEqual([])
  })

  test('the window that asked is closed, and its generator ends', async () => {
    const [asker, viewer] = (await openAll({}, {})) as [Page, Page]
    await ask(asker, 'The keeper')
    await reads(viewer, 'The keeper')
    await grown(viewer)
    await asker.close()
    await shows(viewer, '#outcome', 'Whoever asked has stopped it.')
    await shows(viewer, '#running', ': 0')
  })

  test('a viewer whose connection is lost reads on when it is back', async () => {
    const [asker] = (await openAll({})) as [Page]
    const viewer = await open({}, wire.port)
    await ask(asker, 'The night train')
    await reads(viewer, 'The night train')
    const before = await grown(viewer)
    wire.unplug()
    await viewer.locator('#state[data-state=waiting]').waitFor()
    await shows(viewer, '#outcome', 'The connection was lost.')
    wire.mend()
    await viewer.locator('#state[data-state=open]').waitFor()
    await reads(viewer, 'The night train')
    expect((await grown(viewer, 5, before)).startsWith(before)).toBe(true)
    await asker.click('#stop')
    await shows(viewer, '#outcome', 'Whoever asked has stopped it.')
  })

  test('who asked and lost the connection is told that the text is lost, and asks again', async () => {
    complaints = []
    const asker = await open({}, wire.port)
    await ask(asker, 'The baker')
    await grown(asker)
    wire.unplug()
    await shows(asker, '#outcome', 'The connection was lost, and the generation with it.')
    wire.mend()
    await asker.locator('#state[data-state=open]').waitFor()
    await shows(asker, '#running', ': 0')
    await ask(asker, 'The gulls', 20)
    await shows(asker, '#outcome', 'The end.')
  })

  test('the same seed gives the same text', async () => {
    const [asker] = (await openAll({})) as [Page]
    const texts = []
    for (const seed of ['7', '7', '8']) {
      await ask(asker, 'The sea', 20, seed)
      await shows(asker, '#outcome', 'The end.')
      texts.push(await text(asker))
      await shows(asker, '#lately [aria-current=true]', `done · seed ${seed}`)
    }
    expect(texts[1]).toBe(texts[0])
    expect(texts[2]).not.toBe(texts[0])
  })

  test('what does not fit is told, and markup is text', async () => {
    const [asker, viewer] = (await openAll({}, {})) as [Page, Page]
    await ask(asker, '   ')
    await shows(asker, '#misfit', 'prompt: ')
    await shows(asker, '#role', 'Nothing was begun')
    await ask(asker, '<img src=x onerror=alert(1)>', 10)
    for (const page of [asker, viewer]) {
      await shows(page, '#outcome', 'The end.')
      await shows(page, '#given', '<img src=x')
      expect(await page.locator('main img').count()).toBe(0)
    }
    expect(complaints).toEqual([])
  })

  test('a page without its client says so', async () => {
    const page = await (await browser.newContext()).newPage()
    pages.push(page)
    await page.route('**/client/**', (route) => route.fulfill({ status: 404 }))
    await page.goto(`http://127.0.0.1:${server.port}/`)
    await shows(page, '#state', 'The client is not built')
  })

  test('fits screens that are light, dark and narrow', async () => {
    const screens = [
      { colorScheme: 'light', viewport: { width: 1100, height: 760 } },
      { colorScheme: 'dark', viewport: { width: 1100, height: 760 } },
      { colorScheme: 'light', viewport: { width: 400, height: 860 } },
      { colorScheme: 'dark', viewport: { width: 320, height: 640 } },
    ] as const
    const opened = await openAll(...screens)
    await ask(opened[0]!, 'In the evening')
    await Promise.all(opened.map((page) => reads(page, 'In the evening').then(() => grown(page, 40))))
    for (const [number, page] of opened.entries()) {
      const { colorScheme, viewport } = screens[number]!
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0)
      await page.screenshot({ path: join(out, `llm-${colorScheme}-${viewport.width}.png`), fullPage: true })
    }
    await opened[0]!.click('#stop')
    await shows(opened[0]!, '#running', ': 0')
  })
})
