/** The price of each entry, minified and compressed, as a bundler of today makes it from the built package. */

import { build } from 'esbuild'
import { gzipSync } from 'node:zlib'

const here = new URL('../dist/', import.meta.url).pathname

async function size(code) {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: here },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    external: ['react'],
    write: false,
  })
  return gzipSync(outputFiles[0].contents, { level: 9 }).length
}

const core = await size(`export { ObservableSocket } from './index.mjs'`)
const all = await size(`export * from './index.mjs'`)
const rows = [
  // 6000 until it kept to the bounds of a server, left one that drains, and said its contract: docs/architecture.md says why these are core.
  ['core: ObservableSocket', core, 6400],
  ['.: everything', all, 7500],
  ['./react adds', (await size(`export { ObservableSocket } from './index.mjs'; export * from './react.mjs'`)) - core, 1200],
  ['./topics adds', (await size(`export { ObservableSocket } from './index.mjs'; export * from './topics.mjs'`)) - core, 1200],
  ['./compat', await size(`export * from './compat.mjs'`), 8500],
  ['./tanstack', await size(`export * from './tanstack.mjs'`), 300],
]
let over = false
for (const [name, bytes, budget] of rows) {
  over ||= bytes > budget
  const kB = (n) => `${(n / 1000).toFixed(2)} kB`.padStart(8)
  console.log(`${name.padEnd(24)} ${kB(bytes)}  of ${kB(budget)}${bytes > budget ? '  TOO BIG' : ''}`)
}
process.exit(over ? 1 : 0)
