/**
 * The type tests, and the pages of the examples, which are JavaScript that the compiler reads; each with the newest
 * TypeScript and with the oldest that is supported.
 */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))

const examples = ['demo', 'llm'].map((name) => `../../../examples/${name}`)

for (const project of ['.', 'registered', 'emitted', ...examples]) {
  for (const compiler of ['typescript', 'typescript54']) {
    const { status } = spawnSync(process.execPath, [at(`../../node_modules/${compiler}/bin/tsc`), '-p', at(project)], {
      stdio: 'inherit',
    })
    if (status !== 0) {
      console.error(`${at(project)} does not compile with ${compiler}`)
      process.exit(1)
    }
  }
}
