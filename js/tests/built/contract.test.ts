/** Whatever a contract holds, its TypeScript compiles: what the Python emitter makes of contracts that nobody would write. */

import { spawnSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import ts54 from 'typescript54'
import { expect, test } from 'vitest'
import { python, src, unavailable } from '../support/python.js'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const out = at('../../.out/contracts/')
const reason = unavailable('hypothesis')
if (reason && process.env.FOS_REQUIRE_SERVER === '1') throw new Error(reason)

test.skipIf(reason)('contracts that nobody would write compile', () => {
  rmSync(out, { recursive: true, force: true })
  const made = spawnSync(python, [at('../../../tests/emitting/schemas.py'), out, '60'], { encoding: 'utf8', env: { PYTHONPATH: src, ...process.env } })
  expect(made.stderr).toBe('')
  const files = readdirSync(out).map((file) => out + file)
  expect(files.length).toBeGreaterThan(30)
  for (const compiler of [ts, ts54 as unknown as typeof ts]) expect(complaints(compiler, files)).toEqual([])
}, 120_000)

function complaints(compiler: typeof ts, files: string[]): unknown[] {
  const program = compiler.createProgram(files, {
    target: compiler.ScriptTarget.ES2022,
    module: compiler.ModuleKind.ESNext,
    moduleResolution: compiler.ModuleResolutionKind.Bundler,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    types: [],
  })
  return compiler.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => [
    compiler.flattenDiagnosticMessageText(messageText, '\n'),
    file?.text.slice(start, start! + 200),
  ])
}
