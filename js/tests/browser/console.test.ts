/** The console in a real Chromium, under its own policy, against the real router. */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { launch, out, reasonNot } from '../support/chromium.js'
import { Wire } from '../support/proxy.js'
import { ConsoleServer, freePort } from '../support/python.js'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

describe.skipIf(reasonNot())('the console', () => {
  let browser: Browser
  let server: ConsoleServer
  let wire: Wire
  let page: Page
  let complaints: string[]
  let requests: string[]

  beforeAll(async () => {
    server = await new ConsoleServer(await freePort()).start()
    wire = await new Wire(await freePort(), server.port).open()
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    wire?.close()
    await server?.stop()
  })
  afterEach(async () => {
    await page?.context().close()
    wire.mend()
  })

  const site = () => `http://localhost:${wire.port}`
  const visit = async (path: string, options: BrowserContextOptions = {}) => {
    page = await (await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options })).newPage()
    page.setDefaultTimeout(10_000)
    complaints = []
    requests = []
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    page.on('request', (request) => requests.push(request.url()))
    await page.goto(`${site()}${path}`)
  }
  const open = async (link: string, options?: BrowserContextOptions) => {
    await visit(`/ws#/${link}`, options)
    await shows('#state', 'connected')
    await page.locator('article h2').waitFor()
  }
  const shows = (selector: string, text: string | RegExp) => page.locator(selector).filter({ hasText: text }).first().waitFor()
  const button = (name: string) => page.locator('main').getByRole('button', { name, exact: true })
  const field = (name: string) =>
    page.locator('main').getByLabel(name).and(page.locator('input:not([type=checkbox], [type=radio]), textarea, select')).first()
  const turn = (mode: string) => page.locator('.modes:visible').getByText(mode).first().click()
  const asJson = () => turn('JSON')
  const visitEntry = async (link: string) => {
    await page.evaluate((link) => (location.hash = `#/${link}`), link)
    await page.locator(`a[aria-current=page][href="#/${link}"]`).first().waitFor()
  }
  const area = () => page.locator('.json:visible').first()
  const status = (text: string) => shows('.outcome .status', text)
  const fact = (name: string) => page.locator(`[data-fact=${name}]`).first().innerText()
  const payload = () => page.locator('section[aria-label=Answer] pre.value').first().innerText()
  const call = () => page.keyboard.press('Control+Enter')

  test('it says what there is, and finds it', async () => {
    await visit('/ws')
    await shows('h1', 'Newsroom 1.2.0')
    await shows('article', 'Articles, orders and what happens to them.')
    await page.keyboard.press('/')
    await page.keyboard.type('sum')
    expect(await page.locator('#entries a .name').allInnerTexts()).toEqual(['math/old-sum', 'math/sum'])
    await page.fill('#search', 'deprecated')
    expect(await page.locator('#entries a .name').allInnerTexts()).toEqual(['math/old-sum'])
    await page.fill('#search', 'stream')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('Enter')
    await shows('article h2', 'numbers/count')
    expect(new URL(page.url()).hash).toBe('#/route/numbers%2Fcount')
    await page.fill('#search', 'old-sum')
    await page.press('#search', 'Enter')
    await shows('article h2', 'math/old-sum')
    await page.fill('#search', 'nothing like it')
    await shows('#entries', 'Nothing')
    expect(complaints).toEqual([])
  })

  test('it fetches nothing but the contract, beside its own address', async () => {
    await visit('/ws?tenant=a#/route/echo')
    await shows('#state', 'connected')
    expect(requests.filter((url) => !url.startsWith('data:'))).toEqual([`${site()}/ws?tenant=a`, `${site()}/ws/contract.json?tenant=a`])
    expect(await page.context().cookies()).toEqual([])
    await page.context().close()
    await visit('/slash/#/route/here')
    await shows('#state', 'connected')
    await call()
    await shows('pre.value', '"here"')
    expect(requests.filter((url) => !url.startsWith('data:'))).toEqual([`${site()}/slash/`, `${site()}/slash/contract.json`])
    expect(complaints).toEqual([])
  })

  test('a call by its form: added items, the answer and its times', async () => {
    await open('route/math%2Fsum')
    await page.locator('.item input').fill('40')
    await button('+ add one').click()
    await page.keyboard.type('2')
    await call()
    await status('200')
    expect(JSON.parse(await payload())).toEqual({ sum: 42 })
    expect(await fact('first')).toMatch(/^[\d.]+ ms$/)
    expect(await fact('end')).toMatch(/^[\d.]+ ms$/)
    await page.getByLabel('remove Payload item').first().click()
    await call()
    await shows('pre.value', '"sum": 2')
    await asJson()
    expect(await area().inputValue()).toBe('[\n  2\n]')
    expect(complaints).toEqual([])
  })

  test('what does not fit is told at its field, and a good one is saved', async () => {
    await open('route/articles%2Fsave')
    await field('title').fill('Four')
    await field('pet').selectOption({ label: 'Dog' })
    await field('name string').fill('x')
    await call()
    await status('400')
    await shows('.error', 'at least 5 characters')
    expect(await field('title').getAttribute('aria-invalid')).toBe('true')
    await shows('.error', 'at least 2 characters')
    expect(await field('name string').getAttribute('aria-invalid')).toBe('true')
    await page.screenshot({ path: `${out}console-invalid.png` })
    await field('title').fill('A new bridge')
    await field('name string').fill('Rex')
    await page.getByLabel('send tags').check()
    await page.getByLabel('send x-trace').check()
    await field('x-trace').fill('100')
    await call()
    await status('200')
    // One tag by its sample; the header is heard.
    expect(JSON.parse(await payload())).toEqual({ id: 141, title: 'A new bridge' })
    await page.getByLabel('send x-trace').uncheck()
    await field('title').fill('Nothing here')
    await call()
    await status('404')
    await shows('.error', 'there is no such article')
    expect(complaints).toEqual([])
  })

  test('form and JSON follow each other, and what is no JSON is kept', async () => {
    await open('route/articles%2Fsave')
    await field('title').fill('A new bridge')
    await asJson()
    const value = JSON.parse(await area().inputValue())
    expect(value).toEqual({ title: 'A new bridge', body: 'text', pet: { kind: 'cat' } })
    await area().fill(JSON.stringify({ ...value, unknown: 1, rating: 4.5, marks: { a: 1 }, pet: { kind: 'dog', name: 'Rex' } }))
    await turn('Form')
    expect(await field('rating').inputValue()).toBe('number')
    await shows('.hint', 'also in the JSON: unknown')
    await field('title').fill('Another bridge')
    await asJson()
    expect(JSON.parse(await area().inputValue())).toEqual({
      ...value,
      title: 'Another bridge',
      unknown: 1,
      rating: 4.5,
      marks: { a: 1 },
      pet: { kind: 'dog', name: 'Rex' },
    })
    await area().fill('{"title": ')
    await call()
    await shows('[role=alert]', 'not valid JSON')
    await turn('Form')
    expect(await page.locator('.form').first().evaluate((form) => form.matches(':disabled'))).toBe(true)
    await asJson()
    expect(await area().inputValue()).toBe('{"title": ')
    expect(await page.locator('section[aria-label=Answer]').isVisible()).toBe(false)
    expect(complaints).toEqual([])
  })

  test('headers, an untyped payload, and what the answer has of both', async () => {
    await open('route/echo')
    await area().fill('{"any": ["thing"]}')
    await page.getByRole('checkbox', { name: 'Headers' }).check()
    await asJson()
    await page.locator('.editor', { hasText: 'Headers' }).locator('.json').fill('{"heard": "yes"}')
    await call()
    await status('200')
    expect(JSON.parse(await payload())).toEqual({ any: ['thing'] })
    await shows('pre.value', '"heard": "yes"')
  })

  test('progress is shown; a call is cancelled here and on the server; a time-out ends it', async () => {
    await open('route/jobs%2Fimport')
    await field('Payload').fill('3')
    await call()
    await status('200')
    await shows('.progress', 'progress (3) {"done":3,"of":3}')
    await visitEntry('route/jobs%2Fslow')
    await call()
    await status('…')
    await page.locator('#entries [aria-current=page] .mark', { hasText: '●' }).waitFor()
    await page.keyboard.press('Escape')
    await status('cancelled')
    await field('Time-out').fill('0.05')
    await call()
    await shows('.error', 'not answered within 50 ms')
    await field('Time-out').fill('-1')
    await call()
    await shows('[role=alert]', 'number of seconds')
    await visitEntry('route/jobs%2Fslow-was-cancelled')
    await call()
    await status('200')
    expect(complaints).toEqual([])
  })

  test('a stream is counted, goes on behind another page, and stops on the server', async () => {
    await open('route/numbers%2Fcount')
    await field('Payload').fill('500')
    await call()
    await status('200')
    expect(await fact('count')).toBe('500')
    await field('Payload').fill('-1')
    await call()
    await status('400')
    await shows('.field .error', 'greater than or equal to 0')
    await visitEntry('route/numbers%2Fendless')
    await call()
    await page.locator('[data-fact=count]').waitFor()
    await visitEntry('route/numbers%2Fopen')
    await call()
    await shows('pre.value', '"endless"')
    await page.goBack()
    const before = Number(await fact('count'))
    await vi.waitFor(async () => expect(Number(await fact('count'))).toBeGreaterThan(before))
    await button('Stop').click()
    await status('cancelled')
    await page.goForward()
    await vi.waitFor(async () => {
      await button('Call').click()
      await status('200')
      expect(JSON.parse(await payload())).toEqual([])
    })
    expect(complaints).toEqual([])
  })

  test('a topic: its state, events, publications, a gap, and a refusal', async () => {
    await open('topic/boards%2F%7Bname%7D')
    await field('name').fill('plans')
    await shows('code.topic', 'boards/plans')
    await call()
    await shows('pre.value', '"state": "plans"')
    await visitEntry('topic/orders%2F%7Border_id%7D')
    await field('order_id').fill('13')
    await call()
    await status('403')
    await field('order_id').fill('x')
    await call()
    await status('404')
    await field('order_id').fill('42')
    await call()
    await status('subscribed')
    await field('state').fill('s')
    await button('Publish').click()
    await shows('.field .error', 'at least 2 characters')
    await field('state').fill('shipped')
    await call() // the focus is in what is published
    await shows('section[aria-label=Events] .rows', '{"state":"shipped"}')
    await visitEntry('route/drop')
    await field('Payload').fill('600')
    await call()
    await shows('#log', 'closed with 1012')
    await page.goBack()
    await page.locator('[data-fact=gaps]').waitFor()
    await shows('section[aria-label=Events] .rows', 'gap: events are lost')
    await page.screenshot({ path: `${out}console-gap.png` })
    await page.keyboard.press('Escape')
    await status('left')
    expect(complaints).toEqual([])
  })

  test('pushes are counted; calls of the server wait for an answer or a refusal', async () => {
    await open('route/push')
    await call()
    await status('200')
    await page.locator('#entries a[href="#/push/news"]').locator('.mark', { hasText: '1' }).waitFor()
    await page.locator('#entries a[href="#/push/news"]').click()
    await shows('.rows', '{"id":1,"title":"Rain"}')
    const ask = async () => {
      await visitEntry('route/ask')
      await call()
    }
    await ask()
    await page.locator('#entries a[href="#/call/confirm"]').locator('.mark', { hasText: '1 ?' }).waitFor()
    await visitEntry('call/confirm')
    await shows('.asked', '"title": "Sure?"')
    await page.screenshot({ path: `${out}console-asked.png` })
    await field('Answer').selectOption('true')
    await button('Answer').click()
    await page.goBack()
    await shows('pre.value', 'true')
    await ask()
    await visitEntry('call/confirm')
    await field('Refuse with').fill('409')
    await button('Refuse').click()
    await page.goBack()
    await shows('pre.value', '"refused": 409')
    expect(complaints).toEqual([])
  })

  test('five thousand frames: few rows exist, and the page goes on', async () => {
    await open('route/numbers%2Fcount')
    await field('Payload').fill('5000')
    await call()
    await status('200')
    await shows('#log-count', /^5\d\d\d of 5\d\d\d$/)
    await expect.poll(() => page.locator('#log .rows li').count(), { timeout: 10_000 }).toBeLessThan(100)
    await expect.poll(() => page.locator('section .heap .rows li').count(), { timeout: 10_000 }).toBeLessThan(60)
    await field('Payload').fill('7')
    await page.fill('#log-search', '"payload":4321}')
    await shows('#log-count', '1 of 5')
    await expect.poll(() => page.locator('#log .rows li').count(), { timeout: 10_000 }).toBe(1)
    await page.locator('#log .rows button').click()
    await shows('#log-detail', '"payload": 4321')
    await page.fill('#log-search', '')
    await shows('#log-count', /^5\d\d\d of 5\d\d\d$/)
    await page.locator('#log .rows').evaluate((rows) => (rows.scrollTop = 0))
    await shows('#log .rows li:first-child', 'connected to')
    await call()
    await shows('.heap .rows', '6')
    await shows('#log .rows li:first-child', 'connected to')
    await page.click('#log-clear')
    await shows('#log-count', '0 of 0')
    expect(complaints).toEqual([])
  })

  test('the token is sent, kept nowhere, and not shown in the log', async () => {
    await visit('/private#/route/me')
    await shows('#state', 'closed (1008')
    await shows('#needs-token', 'asks for a token')
    await page.fill('#token', 'sesame')
    await page.keyboard.press('Enter')
    await shows('#state', 'connected')
    await call()
    await shows('pre.value', '"ada"')
    expect(await page.locator('#log').innerText()).not.toContain('sesame')
    expect(await page.evaluate(() => JSON.stringify({ ...sessionStorage, ...localStorage }))).not.toContain('sesame')
    await page.reload()
    await shows('#state', 'closed (1008')
  })

  test('a request is copied as code of two languages and as a frame', async () => {
    await open('route/math%2Fsum', { permissions: ['clipboard-read', 'clipboard-write'] })
    const copied = async (name: string) => {
      await button(name).click()
      await page.locator('#announcer', { hasText: 'Copied' }).waitFor({ state: 'attached' })
      await page.evaluate(() => (document.querySelector('#announcer')!.textContent = ''))
      return page.evaluate(() => navigator.clipboard.readText())
    }
    expect(await copied('TypeScript')).toContain(`await socket.call("math/sum", [0])`)
    expect(await copied('Python')).toContain(`await socket.call("math/sum", [0])`)
    expect(JSON.parse(await copied('Frame'))).toMatchObject({ route: 'math/sum', payload: [0] })
  })

  test('on an insecure origin it connects and copies as well', async () => {
    await visit('/ws#/route/math%2Fsum')
    await page.goto(`http://insecure.test:${wire.port}/ws#/route/math%2Fsum`)
    await shows('#state', 'connected')
    expect(await page.evaluate(() => isSecureContext)).toBe(false)
    await button('Frame').click()
    await shows('.copy', 'Copied')
    await asJson()
    await area().fill('')
    await area().press('Control+V')
    expect(JSON.parse(await area().inputValue())).toMatchObject({ route: 'math/sum', payload: [0] })
    expect(complaints).toEqual([])
  })

  test('it comes back after a loss, by hand and by itself, and takes a contract that has changed', async () => {
    await open('route/math%2Fsum')
    await field('Payload item').fill('7')
    await page.click('#toggle')
    await shows('#state', 'closed (1000')
    await page.click('#toggle')
    await shows('#state', 'connected')
    await fetch(`http://localhost:${server.port}/late`, { method: 'POST' })
    wire.unplug()
    await shows('#state', 'lost')
    wire.mend()
    await shows('#state', 'connected')
    await shows('#entries', 'late')
    expect(await field('Payload item').inputValue()).toBe('7')
    await page.goto(`${site()}/ws#/route/gone`)
    await shows('article', 'This socket has no route/gone.')
  })

  test('where there is no contract, it says so', async () => {
    await visit('/nowhere')
    await shows('[role=alert]', '/nowhere/contract.json was answered with 404')
  })

  test('whatever the server says is text', async () => {
    await page?.context().close()
    page = await (await browser.newContext()).newPage()
    const hits: unknown[] = []
    const violations: string[] = []
    await page.exposeFunction('hit', (n: unknown) => hits.push(n))
    page.on('console', (message) => /Content Security|Trusted/.test(message.text()) && violations.push(message.text()))
    page.on('pageerror', (error) => violations.push(error.message))
    page.on('dialog', (dialog) => (hits.push('dialog'), dialog.dismiss()))
    await page.goto(`${site()}/hostile`)
    await shows('#state', 'connected')
    const links = await page.locator('#entries a').evaluateAll((all) => [...new Set(all.map((one) => one.getAttribute('href')!))])
    expect(links.length).toBeGreaterThan(5)
    for (const link of links) {
      await page.locator('#entries a').evaluateAll((all, link) => (all.find((one) => one.getAttribute('href') === link) as HTMLElement).click(), link)
      await page.locator('article h2').waitFor()
      await page.locator('main .head input[type=checkbox]').evaluateAll((all) => all.forEach((tick) => (tick as HTMLElement).click()))
      await call()
    }
    await page.locator('#entries a').first().click()
    await call()
    await shows('.status', '418')
    await page.locator('#log .rows button').evaluateAll((all) => all.forEach((row) => (row as HTMLElement).click()))
    expect(await page.locator('main img, main svg, main script, nav img, nav script, #log img, #log script').count()).toBe(0)
    expect(await page.locator('script').count()).toBe(1)
    expect(await page.locator('a:not([href^="#/"])').count()).toBe(0)
    expect(await page.locator('[style*="url"], [onerror], [onload], [src]').count()).toBe(0)
    expect(await page.locator('article h2').innerText()).toContain('<img src=x onerror=hit(1)>')
    expect(hits).toEqual([])
    expect(violations).toEqual([])
    // And the policy would stop what got in all the same.
    const tried = await page.evaluate(async () => {
      const div = document.createElement('div')
      const tries: (() => unknown)[] = [
        () => (div.innerHTML = '<img src=x onerror=hit(6)>'),
        () => div.setAttribute('onclick', 'hit(7)'),
        () => (document.createElement('script').textContent = 'hit(8)'),
        () => fetch('http://insecure.test/'),
      ]
      const outcomes = []
      for (const one of tries) {
        try {
          await one()
          outcomes.push('done')
        } catch {
          outcomes.push('stopped')
        }
      }
      return outcomes
    })
    expect(tried).toEqual(['stopped', 'stopped', 'stopped', 'stopped'])
    expect(hits).toEqual([])
  })

  describe.each(['light', 'dark'] as const)('%s', (colorScheme) => {
    // Its own world, where the page's policy does not hold: it would let nobody else's script run.
    const violations = async () => {
      if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE)
      // Colours are all that differs.
      const only = colorScheme === 'dark' ? { runOnly: ['color-contrast'] } : {}
      const { violations } = await page.evaluate((only) => (globalThis as any).axe.run(document, { ...only, resultTypes: ['violations'] }), only)
      return violations.map(({ id, nodes }: any) => [id, nodes.map(({ html, failureSummary }: any) => `${html} ${failureSummary}`)])
    }

    test('no barrier to anybody', async () => {
      await open('route/articles%2Fsave', { colorScheme, bypassCSP: true })
      await field('title').fill('Four')
      await page.getByLabel('send marks').check()
      await page.getByLabel('send rating').check()
      await call()
      await status('400')
      await page.locator('#log .rows button').last().click()
      await page.screenshot({ path: `${out}console-${colorScheme}.png` })
      expect(await violations()).toEqual([])
      await visitEntry('topic/orders%2F%7Border_id%7D')
      await page.screenshot({ path: `${out}console-topic-${colorScheme}.png` })
      expect(await violations()).toEqual([])
      await visitEntry('call/confirm')
      expect(await violations()).toEqual([])
    }, 60_000)

    test('a narrow screen shows one part at a time', async () => {
      await open('route/articles%2Fsave', { colorScheme, bypassCSP: true, viewport: { width: 390, height: 800 } })
      await page.screenshot({ path: `${out}console-narrow-${colorScheme}.png` })
      if (colorScheme === 'light') expect(await violations()).toEqual([])
      const wide = await page.evaluate(() => [...document.querySelectorAll('main *:not(pre *)')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML))
      expect(wide).toEqual([])
      await page.locator('.tabs').getByText('Log').click()
      await shows('#log .rows', '$hello')
      expect(await page.locator('main').isVisible()).toBe(false)
      await page.locator('.tabs').getByText('Routes').click()
      await page.locator('#entries a', { hasText: 'math/sum' }).last().click()
      await shows('article h2', 'math/sum')
    })
  })
})
