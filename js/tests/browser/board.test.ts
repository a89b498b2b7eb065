/** Two windows at two processes, and one board: `examples/board`, as people use it. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { launch, out, reasonNot } from '../support/chromium.js'
import { freePort, Server } from '../support/python.js'
import { noRedis, Redis } from '../support/redis.js'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const python = resolve(process.env.FOS_PYTHON ?? here('../../../.venv/bin/python'))
const example = here('../../../examples/board')

describe.skipIf(reasonNot('uvicorn, sqlalchemy, aiosqlite, redis') ?? noRedis())('a board at two processes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'board-'))
  let browser: Browser
  let redis: Redis
  let one: Server
  let other: Server
  let pages: Page[] = []
  let complaints: string[] = []
  let boards = 0

  const worker = async () => {
    const port = await freePort()
    const command = [
      ...[python, '-m', 'fastapi_observable_socket', 'serve', 'app:app'],
      ...['--app-dir', example, '--port', `${port}`, '--no-access-log'],
    ]
    return new Server(port, command, { REDIS_URL: redis.url, BOARD_DB: join(folder, 'board.sqlite3') })
  }
  beforeAll(async () => {
    redis = await new Redis(await freePort()).start()
    one = await worker()
    other = await worker()
    await Promise.all([one.start(), other.start()])
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    await Promise.all([one?.stop(), other?.stop()])
    await redis?.stop()
    rmSync(folder, { recursive: true })
  })
  afterEach(async () => {
    await Promise.all(pages.map((page) => page.context().close()))
    pages = []
  })

  const open = async (server: Server, board: string, options: BrowserContextOptions = {}): Promise<Page> => {
    const page = await (await browser.newContext(options)).newPage()
    pages.push(page)
    page.setDefaultTimeout(10_000)
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.goto(`http://127.0.0.1:${server.port}/#${board}`)
    await page.locator('#board[data-ready]').waitFor()
    return page
  }
  /** A page at each process, on a board that no other test has. */
  const openBoth = async (): Promise<[Page, Page, string]> => {
    complaints = []
    const board = `board-${++boards}`
    const [left, right] = await Promise.all([open(one, board), open(other, board)])
    const at = (page: Page) => page.getAttribute('#state[data-process]', 'data-process')
    expect(await at(left)).not.toBe(await at(right))
    return [left, right, board]
  }

  const add = async (page: Page, text: string) => {
    await page.click('#add')
    await page.keyboard.type(text)
  }
  /** The element of the note that reads so. */
  const note = async (page: Page, text: string) => {
    const id = await page.waitForFunction((wanted) => {
      const areas = [...document.querySelectorAll('textarea')]
      return (areas.find(({ value }) => value === wanted)?.closest('.note') as HTMLElement | undefined)?.dataset.id
    }, text)
    return page.locator(`[data-id='${await id.jsonValue()}']`)
  }
  /** By keys: another note may lie on it. */
  const press = async (button: Locator) => {
    await button.focus()
    await button.press('Enter')
  }
  /** All that a board shows, whatever the order. */
  const look = (page: Page) =>
    page.$$eval('.note', (notes) =>
      notes
        .map((each) => {
          const { id, x, y, colour } = (each as HTMLElement).dataset
          return { id, x, y, colour, text: each.querySelector('textarea')!.value }
        })
        .sort((a, b) => (a.id! < b.id! ? -1 : 1)),
    )
  const kept = (page: Page) => page.waitForFunction(() => !document.getElementById('unsaved')!.textContent)
  /** What all show, once it is the same everywhere, also to one that comes anew. */
  const agreed = async (board: string, ...those: Page[]) => {
    await Promise.all(those.map(kept))
    const fresh = await open(other, board)
    const wanted = await look(fresh)
    for (const page of those) await expect.poll(() => look(page), { timeout: 10_000 }).toEqual(wanted)
    expect(new Set(wanted.map(({ id }) => id)).size).toBe(wanted.length)
    return wanted
  }
  /** The offsets of the events that a page is told of its board, in their order. */
  const offsets = (page: Page, board: string) => {
    const heard: number[] = []
    page.on('websocket', (ws) =>
      ws.on('framereceived', ({ payload }) => {
        const frame = JSON.parse(String(payload))
        if (frame.route === `boards/${board}`) heard.push(frame.headers.$offset)
        const joined = frame.payload?.topics?.find(({ topic }: { topic: string }) => topic === `boards/${board}`)
        if (joined) heard.push(...(joined.missed ?? []).map(({ offset }: { offset: number }) => offset))
      }),
    )
    return heard
  }

  test('what is added, written, moved, coloured and taken off in one window is so in the other', async () => {
    const [left, right, board] = await openBoth()
    await add(left, 'buy tea')
    const there = await note(right, 'buy tea')
    await press(there.locator('[value=pink]'))
    await left.locator('.note[data-colour=pink]').waitFor()
    await there.locator('textarea').fill('buy coffee')
    const back = await note(left, 'buy coffee')
    const { x } = (await look(left))[0]!
    await back.locator('.handle').focus()
    await left.keyboard.press(Number(x) > 0.5 ? 'ArrowLeft' : 'ArrowRight')
    await expect.poll(async () => (await look(right))[0]!.x).not.toBe(x)
    await add(right, 'and milk')
    await note(left, 'and milk')
    expect(await agreed(board, left, right)).toHaveLength(2)
    await press(back.locator('.remove'))
    await right.locator('#count', { hasText: '1 note' }).waitFor()
    expect(await agreed(board, left, right)).toMatchObject([{ text: 'and milk' }])
    expect(complaints).toEqual([])
  })

  test('who drags is seen while they do, and where it was dropped it stays', async () => {
    const [left, right, board] = await openBoth()
    await add(left, 'drag me')
    const dragged = await note(left, 'drag me')
    const seen = await note(right, 'drag me')
    await kept(left)
    const before = await seen.getAttribute('data-x')
    const { x, y, width, height } = (await dragged.locator('.handle').boundingBox())!
    await left.mouse.move(x + width / 2, y + height / 2)
    await left.mouse.down()
    const around = (await left.locator('#board').boundingBox())!
    await left.mouse.move(around.x + around.width / 2, around.y + 60, { steps: 5 })
    const who = await left.textContent('#me')
    await seen.locator('.holder', { hasText: who! }).waitFor()
    expect(await seen.getAttribute('data-x')).not.toBe(before)
    await left.screenshot({ path: join(out, 'board-drags.png') })
    await right.screenshot({ path: join(out, 'board-sees.png') })
    await left.mouse.up()
    expect(await agreed(board, left, right)).toHaveLength(1)
    await expect.poll(() => seen.locator('.holder').textContent()).toBe('')
    await left.mouse.move(around.x + 40, around.y + 40)
    await right.locator('.hand:not([hidden])', { hasText: who! }).waitFor()
    expect(complaints).toEqual([])
  })

  test('a process is killed in the middle: both boards end equal, nothing is lost, nothing comes twice', async () => {
    const [left, right, board] = await openBoth()
    const heard = offsets(left, board)
    await left.reload()
    await left.locator('#board[data-ready]').waitFor()
    for (let n = 0; n < 3; n++) await Promise.all([add(left, `left ${n}`), add(right, `right ${n}`)])
    await note(left, 'right 2')

    await one.stop('SIGKILL')
    await left.locator('#state[data-state=waiting]').waitFor()
    // Both go on meanwhile: one with the others, one alone.
    for (let n = 3; n < 6; n++) await Promise.all([add(left, `left ${n}`), add(right, `right ${n}`)])
    const alone = await note(left, 'left 0')
    await press(alone.locator('[value=blue]'))
    await press((await note(right, 'right 0')).locator('.remove'))
    await left.locator('#unsaved', { hasText: 'not kept yet' }).waitFor()
    await left.screenshot({ path: join(out, 'board-lost.png') })

    await one.start()
    await left.locator('#state[data-state=open]').waitFor()
    await note(left, 'right 5')
    await note(right, 'left 5')
    const notes = await agreed(board, left, right)
    const texts = notes.map(({ text }) => text).sort()
    const wanted = [0, 1, 2, 3, 4, 5].flatMap((n) => [`left ${n}`, `right ${n}`]).filter((text) => text !== 'right 0')
    expect(texts).toEqual(wanted.sort())
    expect(notes.find(({ text }) => text === 'left 0')).toMatchObject({ colour: 'blue' })
    expect(heard.length).toBeGreaterThan(notes.length)
    expect(heard).toEqual(heard.map((_, n) => heard[0]! + n))
  }, 60_000)

  test('a Redis that comes back empty is a new state and not a loss', async () => {
    const [left, right, board] = await openBoth()
    await add(left, 'before')
    await note(right, 'before')
    await kept(left)
    await redis.stop()
    await add(left, 'meanwhile') // it is kept, and told when there is somebody to tell it
    await left.locator('#count', { hasText: '2 notes' }).waitFor()
    await redis.start()
    await note(right, 'meanwhile')
    expect(await agreed(board, left, right)).toHaveLength(2)
  })

  test('markup is text, and what does not fit is told', async () => {
    const [left, right] = await openBoth()
    await add(left, '<img src=x onerror=alert(1)>')
    await note(right, '<img src=x onerror=alert(1)>')
    expect(await right.locator('#board img').count()).toBe(0)
    expect(complaints).toEqual([])
  })

  test('a page without its client says so', async () => {
    const page = await (await browser.newContext()).newPage()
    pages.push(page)
    await page.route('**/client/**', (route) => route.fulfill({ status: 404 }))
    await page.goto(`http://127.0.0.1:${one.port}/`)
    await page.locator('#state', { hasText: 'The client is not built' }).waitFor()
  })

  test('fits screens that are light, dark and narrow', async () => {
    complaints = []
    const screens = [
      { colorScheme: 'light', viewport: { width: 1100, height: 760 } },
      { colorScheme: 'dark', viewport: { width: 1100, height: 760 } },
      { colorScheme: 'light', viewport: { width: 400, height: 860 } },
      { colorScheme: 'dark', viewport: { width: 320, height: 640 } },
    ] as const
    const opened = await Promise.all(screens.map((each) => open(one, 'main', each)))
    const [first] = opened as [Page]
    for (const [number, page] of opened.entries()) {
      const { colorScheme, viewport } = screens[number]!
      await page.locator('.note').nth(2).waitFor()
      await first.mouse.move(500 + number, 500) // a hand is seen for three seconds
      if (page !== first) await page.locator('.hand').waitFor()
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0)
      const inside = await page.$$eval('.note', (notes) => {
        const board = document.getElementById('board')!.getBoundingClientRect()
        return notes.map((each) => each.getBoundingClientRect()).every((at) => at.left >= board.left && at.right <= board.right)
      })
      expect(inside).toBe(true)
      await page.screenshot({ path: join(out, `board-${colorScheme}-${viewport.width}.png`), fullPage: true })
    }
    expect(complaints).toEqual([])
  })
})
