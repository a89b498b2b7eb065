/** The newsroom's page, as people use it: `examples/demo`, served as `make demo` does. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { launch, out, reasonNot } from '../support/chromium.js'
import { Wire } from '../support/proxy.js'
import { freePort, Newsroom } from '../support/python.js'

describe.skipIf(reasonNot('uvicorn, aiosqlite, sqlalchemy.ext.asyncio'))('the newsroom', () => {
  const folder = mkdtempSync(join(tmpdir(), 'newsroom-'))
  let browser: Browser
  let server: Newsroom
  let wire: Wire
  let page: Page
  let complaints: string[]

  beforeAll(async () => {
    server = await new Newsroom(await freePort(), join(folder, 'newsroom.sqlite3')).start()
    wire = await new Wire(await freePort(), server.port).open()
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    wire?.close()
    await server?.stop()
    rmSync(folder, { recursive: true })
  })

  const visit = async (options: BrowserContextOptions = {}) => {
    page = await (await browser.newContext(options)).newPage()
    page.setDefaultTimeout(10_000)
    complaints = []
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.goto(`http://127.0.0.1:${wire.port}/`)
    await shows('#articles', 'The library')
  }
  afterEach(async () => {
    await page?.context().close()
    wire?.mend()
  })

  const state = (wanted: string) => page.locator(`#state[data-state=${wanted}]`).waitFor()
  const shows = (selector: string, wanted: string) => page.locator(selector).filter({ hasText: wanted }).first().waitFor()
  const signIn = async (name: string) => {
    await page.selectOption('#person', { label: name })
    await shows('#write:enabled', 'Write one')
  }
  const read = (title: string) => page.click(`#articles button:has-text("${title}")`)
  const write = async (title: string, body: string) => {
    await page.click('#write')
    await page.fill('#title', title)
    await page.fill('#body', body)
  }
  const BODY = 'It is said to be longer than the old one.'

  test('everybody reads what is public, and is told what is not for them', async () => {
    await visit()
    await read('Harbour ferry')
    await shows('#reader h2', 'Harbour ferry is back')
    await shows('#articles [aria-current=true]', 'Harbour ferry')
    await read('What the council said')
    await shows('#reader', 'The server answered 403. Sign in')
    expect(complaints).toEqual([])
  })

  test('who signs in gets a connection of their own, and what they may read', async () => {
    await visit()
    await read('What the council said')
    await shows('#reader h2', 'Not for you')
    await signIn('Cleo')
    await shows('#reader h2', 'What the council said') // asked for again by itself
    await read('Notes on the mayor')
    await shows('#reader', 'Cleo may not read this article')
    await signIn('Ada')
    await shows('#reader', 'one very large pumpkin')
    await page.reload()
    await shows('#write:enabled', 'Write one')
    expect(await page.$eval('#person option:checked', (option) => option.textContent)).toBe('Ada')
    expect(complaints).toEqual([])
  })

  test('a draft that does not fit is told field by field, while typed and when saved', async () => {
    await visit()
    await signIn('Ben')
    await write('Bri', 'short')
    await shows('#title-error', 'at least 5')
    await shows('#body-error', 'at least 20')
    await page.screenshot({ path: join(out, 'newsroom-draft.png'), fullPage: true })
    await page.fill('#title', 'The library lends tools now')
    await shows('#title-error', 'There is an article')
    await page.click('#editor [type=submit]')
    await shows('#title-error', 'There is an article')
    await page.fill('#title', 'A new bridge')
    await page.fill('#body', BODY)
    await page.locator('#body:not([aria-invalid=true])').waitFor()
    await page.click('#editor [type=submit]')
    await shows('#reader h2', 'A new bridge')
    await shows('#articles [aria-current=true]', 'A new bridge')
    await page.click('#reader button')
    await page.selectOption('#access', 'AUTHOR')
    await page.click('#editor [type=submit]')
    await shows('#articles [aria-current=true]', 'author only')
    expect(complaints).toEqual([])
  })

  test('markup in an article is text', async () => {
    await visit()
    await signIn('Ben')
    await write('<img src=x onerror=alert(1)>', `<script>alert(1)</script> ${BODY}`)
    await page.click('#editor [type=submit]')
    await shows('#reader', '<script>alert(1)</script>')
    expect(await page.locator('main img, main script').count()).toBe(0)
    expect(complaints).toEqual([])
  })

  test('numbers are added, and what is no number is named', async () => {
    await visit()
    await page.click('#sum button')
    await shows('#total', '= 10')
    await page.fill('#numbers', '1, two')
    await page.press('#numbers', 'Enter')
    await shows('#total', 'number 2: Input should be a valid number')
    expect(complaints).toEqual([])
  })

  test('quick calls overtake slow ones; a timeout and a stop are kept', async () => {
    await visit()
    await page.click('#race')
    await page.locator('#finish li').nth(4).waitFor()
    const finish = await page.locator('#finish li').allTextContents()
    expect(finish.slice(0, 3).sort().map((line) => line.split(':')[0])).toEqual(['1 + 1', '2 + 2', 'the list of articles'])
    expect(finish[3]).toBe('the impatient one: there was no answer in time')
    expect(finish[4]).toMatch(/^the slow one: after \d{4} ms$/)

    await page.locator('#race:enabled').click()
    await page.locator('#finish li').nth(2).waitFor()
    await page.click('#stop')
    await shows('#finish', 'the slow one: stopped')
    await shows('#wire .bad summary', 'left')
    expect(complaints).toEqual([])
  })

  test('behind every call are its frames', async () => {
    await visit()
    await page.click('#sum button')
    await page.click('#wire summary:has-text("math/sum")')
    const frames = await page.locator('#wire li:has-text("math/sum") pre').allTextContents()
    const [request, response] = frames.map((text) => JSON.parse(text.slice(2)))
    expect(request).toEqual({ uuid: expect.any(String), route: 'math/sum', headers: {}, payload: [1, 2, 3, 4] })
    expect(response).toMatchObject({ uuid: request.uuid, status: 200, payload: { sum: 10 } })
  })

  test('offline and back: what is asked meanwhile waits, and is answered', async () => {
    await visit()
    wire.unplug()
    await state('waiting')
    await page.context().setOffline(true)
    await read('The library')
    await page.click('#sum button')
    await page.waitForEvent('websocket') // in vain
    await state('waiting')
    expect(await page.textContent('#total')).toBe('')
    wire.mend()
    await page.context().setOffline(false)
    await state('open')
    await shows('#reader h2', 'The library lends tools now')
    await shows('#total', '= 10')
  })

  test('a server restart in the middle of a conversation', async () => {
    await visit()
    await signIn('Cleo')
    await write('A bridge too far', BODY)
    await page.click('#race')
    await page.locator('#finish li').nth(2).waitFor()
    await server.stop('SIGKILL')
    await state('waiting')
    await shows('#finish', 'the slow one: the connection was lost before the answer came')
    await page.screenshot({ path: join(out, 'newsroom-lost.png'), fullPage: true })
    await page.click('#sum button')
    await server.start()
    await state('open')
    await shows('#total', '= 10')
    // The server has forgotten who signed in; the page has not forgotten what was written.
    await shows('#write:disabled', 'Sign in to write')
    expect(await page.inputValue('#title')).toBe('A bridge too far')
    await page.click('#editor [type=submit]')
    await shows('#editor-error', 'Not saved: access denied')
    await signIn('Cleo')
    await page.click('#editor [type=submit]')
    await shows('#reader h2', 'A bridge too far')
  })

  test('who hangs up stays away until asked, and nothing is sent meanwhile', async () => {
    await visit()
    await page.click('#hang-up')
    await shows('#state', 'closed: you hung up')
    await page.click('#sum button')
    await shows('#total', 'there is no connection, and nothing was sent')
    await page.click('#hang-up:has-text("Connect now")')
    await state('open')
    await page.click('#sum button')
    await shows('#total', '= 10')
    expect(complaints).toEqual([])
  })

  test('its socket, opened as a page, is its console', async () => {
    await visit()
    await page.goto(`http://127.0.0.1:${wire.port}/ws#/route/math%2Fsum`)
    await shows('h1', 'Newsroom')
    await shows('#state', 'connected')
    await page.locator('.item input').fill('42')
    await page.keyboard.press('Control+Enter')
    await shows('pre.value', '"sum": 42')
    await page.goto(`http://127.0.0.1:${wire.port}/ws#/route/list-articles`)
    await shows('article h2', 'list-articles')
    await page.keyboard.press('Control+Enter')
    await shows('pre.value', 'The library')
    expect(complaints).toEqual([])
  })

  test('a page without its client says so', async () => {
    page = await (await browser.newContext()).newPage()
    await page.route('**/client/**', (route) => route.fulfill({ status: 404 }))
    await page.goto(`http://127.0.0.1:${wire.port}/`)
    await shows('#state', 'The client is not built')
  })

  test.each([
    ['light', 1280, 900],
    ['dark', 1280, 900],
    ['light', 390, 844],
  ] as const)('fits a %s screen of %i × %i', async (colorScheme, width, height) => {
    await visit({ colorScheme, viewport: { width, height } })
    await signIn('Ada')
    await read('Harbour ferry')
    await shows('#reader h2', 'Harbour ferry is back')
    await page.click('#sum button')
    await shows('#total', '= 10')
    await page.click('#wire summary:has-text("math/sum")')
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0)
    await page.screenshot({ path: join(out, `newsroom-${colorScheme}-${width}.png`), fullPage: true })
  })
})
