/** The type tests, each with the newest TypeScript and with the oldest that is supported. */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))

for (const project of ['.', 'registered', 'emitted']) {
  for (const compiler of ['typescript', 'typescript54']) {
    const { status } = spawnSync(process.execPath, [at(`../../node_modules/${compiler}/bin/tsc`), '-p', at(project)], {
      stdio: 'inherit',
    })
    if (status !== 0) {
      console.error(`tests/types/${project} does not compile with ${compiler}`)
      process.exit(1)
    }
  }
}
