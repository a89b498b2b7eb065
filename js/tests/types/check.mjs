/**
 * The type tests, with the newest TypeScript and the oldest that is supported; and the pages of the examples, which are
 * JavaScript that the compiler reads.
 */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))

function check(project, compiler) {
  const { status } = spawnSync(process.execPath, [at(`../../node_modules/${compiler}/bin/tsc`), '-p', at(project)], {
    stdio: 'inherit',
  })
  if (status === 0) return
  console.error(`${at(project)} does not compile with ${compiler}`)
  process.exit(1)
}

for (const project of ['.', 'registered', 'emitted']) {
  check(project, 'typescript')
  check(project, 'typescript54')
}
for (const example of ['demo', 'llm']) check(`../../../examples/${example}`, 'typescript')
