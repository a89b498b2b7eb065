/** The React example, installed from the package as it is packed, served and built by Vite. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { launch, out, reasonNot } from '../support/chromium.js'
import { freePort, Newsroom, Server } from '../support/python.js'

// Not vitest’s "test": Vite is to choose, as it does for everybody.
const NODE_ENV = ''
const example = fileURLToPath(new URL('../../../examples/react/', import.meta.url))

describe.skipIf(reasonNot('uvicorn, aiosqlite, sqlalchemy.ext.asyncio'))('the newsroom in React', () => {
  const folder = mkdtempSync(join(tmpdir(), 'newsroom-'))
  const servers: Server[] = []
  let browser: Browser
  let newsroom: Server
  let page: Page
  let connections: string[]
  let complaints: string[]

  const npm = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('npm', args, {
      cwd: example,
      env: { ...process.env, NODE_ENV },
      encoding: 'utf8',
    })
    if (status) throw new Error(`npm ${args.join(' ')}\n${stdout}${stderr}`)
  }

  beforeAll(async () => {
    npm('ci', '--prefer-offline', '--no-audit', '--no-fund')
    newsroom = await new Newsroom(await freePort(), join(folder, 'newsroom.sqlite3')).start()
    servers.push(newsroom)
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    await Promise.all(servers.map((server) => server.stop()))
    rmSync(folder, { recursive: true })
  })

  const visit = async (command: 'dev' | 'preview') => {
    const port = await freePort()
    const vite = [process.execPath, 'node_modules/vite/bin/vite.js', command, '--host', '127.0.0.1', '--port', `${port}`]
    const variables = { NEWSROOM: `http://127.0.0.1:${newsroom.port}`, NODE_ENV }
    servers.push(await new Server(port, [...vite, '--strictPort'], variables, example).start())
    page = await (await browser.newContext()).newPage()
    page.setDefaultTimeout(15_000)
    connections = []
    complaints = []
    // In development Vite has a socket of its own.
    page.on('websocket', (ws) => ws.url().endsWith('/ws') && connections.push(ws.url()))
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.clock.install()
    await page.goto(`http://127.0.0.1:${port}/`)
    await shows('#state', 'open')
  }
  afterEach(() => page?.context().close())

  const shows = (selector: string, wanted: string) => page.locator(selector).filter({ hasText: wanted }).first().waitFor()

  test('in development, under StrictMode: one connection, and it stays', async () => {
    await visit('dev')
    // Longer than a released socket lingers.
    await page.clock.fastForward(5_000)
    await page.click('form button')
    await shows('#total', '= 6')
    expect(connections).toHaveLength(1)
    expect(complaints).toEqual([])
  })

  test('built: reading, being refused, signing in, and a sum', async () => {
    npm('run', 'build')
    await visit('preview')
    await page.click('text=Harbour ferry')
    await shows('article h2', 'Harbour ferry is back')
    await page.click('text=What the council said')
    await shows('article', 'Not for you')
    await page.selectOption('#person', { label: 'Cleo' })
    await page.locator('#person option:checked:has-text("Cleo")').waitFor({ state: 'attached' })
    await page.click('text=What the council said')
    await shows('article h2', 'What the council said')
    await page.fill('input', '1 two')
    await page.click('form button')
    await shows('#total', 'valid number')
    await page.fill('input', '20 22')
    await page.click('form button')
    await shows('#total', '= 42')
    await page.screenshot({ path: join(out, 'newsroom-react.png'), fullPage: true })
    // One for nobody, one for Cleo.
    expect(connections).toHaveLength(2)
    expect(complaints).toEqual([])
  })

  test('without its server it waits, and comes back with it', async () => {
    await visit('preview')
    await shows('main', 'Harbour ferry')
    await newsroom.stop()
    await shows('#state', 'waiting')
    await newsroom.start()
    await shows('#state', 'open')
    await page.click('form button')
    await shows('#total', '= 6')
  })
})
