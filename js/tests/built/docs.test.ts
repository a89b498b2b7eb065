/** The code in the documents compiles, against the built package. */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'

const root = new URL('../../', import.meta.url)
const out = new URL('.out/docs/', root)

/** What a block may take for granted. */
const given: Record<string, string> = { 'routes.ts': `export interface Routes { [route: string]: { payload?: any; result: any } }` }

test.each(['README.md', '../docs/migrate.md', '../docs/typescript.md'])('%s', (name) => {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  const blocks = [...readFileSync(new URL(name, root), 'utf8').matchAll(/^```(tsx?)\n(.*?)^```/gms)]
  expect(blocks.length).toBeGreaterThan(0)
  const files = blocks.map(([, extension, code], i) => [`block${i}.${extension}`, code!] as const)
  for (const [file, code] of [...files, ...Object.entries(given)]) writeFileSync(new URL(file, out), code)
  const program = ts.createProgram(
    files.map(([file]) => fileURLToPath(new URL(file, out))),
    {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
      jsx: ts.JsxEmit.ReactJSX,
      strict: true,
      skipLibCheck: true,
      noEmit: true,
      types: [],
    },
  )
  const errors = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => [
    file?.fileName.split('/').pop(),
    ts.flattenDiagnosticMessageText(messageText, '\n'),
  ])
  expect(errors).toEqual([])
}, 30_000)
