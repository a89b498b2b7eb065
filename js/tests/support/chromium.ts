/** The real browser, for the tests that want one. It must be there where FOS_REQUIRE_BROWSER is 1. */

import { existsSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser } from 'playwright-core'
import { unavailable } from './python.js'

const executablePath = process.env.FOS_BROWSER ?? '/usr/bin/chromium'

/** Where bundles and screenshots go. */
export const out = fileURLToPath(new URL('../../.out/', import.meta.url))

/** Why there is no browser, or no server with these modules to show it; undefined when there is. */
export function reasonNot(modules?: string): string | undefined {
  const noBrowser = existsSync(executablePath) ? undefined : `no browser at ${executablePath}: set FOS_BROWSER`
  const reason = unavailable(modules) ?? noBrowser
  if (reason && process.env.FOS_REQUIRE_BROWSER === '1') throw new Error(reason)
  if (reason) console.warn(`skipped: ${reason}`)
  return reason
}

export function launch(): Promise<Browser> {
  mkdirSync(out, { recursive: true })
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP insecure.test 127.0.0.1',
    ],
    // Playwright’s default keeps every page out of it.
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
  })
}
