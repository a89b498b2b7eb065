/**
 * The console as one file, for the Python package: `node console/build.mjs` writes it, `--check` fails where the one
 * that is there is another, or has become too big.
 */

import { build, transform } from 'esbuild'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const place = here('../../src/fastapi_observable_socket/console/index.html')

/** Of which a fourth is the client. What grows beyond has to be worth it. */
export const RAW = 74_000
export const COMPRESSED = 29_500

export async function page() {
  const { outputFiles } = await build({
    entryPoints: [here('main.ts')],
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2022',
    charset: 'utf8',
    legalComments: 'none',
    write: false,
    logLevel: 'error',
  })
  const { code: style } = await transform(readFileSync(here('page.css'), 'utf8'), { loader: 'css', minify: true })
  const script = outputFiles[0].text.replaceAll('</script', '<\\/script').trim()
  const html = readFileSync(here('page.html'), 'utf8').replace(/\n\s*/g, '\n').replace(/\n(?=\S*[a-z-]+=)/g, ' ')
  // Functions: a string would have its dollars read.
  return html.replace('<style></style>', () => `<style>${style.trim()}</style>`).replace('<script></script>', () => `<script>${script}</script>`)
}

export const size = (text) => ({ raw: Buffer.byteLength(text), compressed: gzipSync(text, { level: 9 }).length })

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await page()
  const { raw, compressed } = size(text)
  console.log(`console: ${raw} bytes of ${RAW}, compressed ${compressed} of ${COMPRESSED}`)
  let bad = raw > RAW || compressed > COMPRESSED
  if (process.argv.includes('--check')) {
    const old = readFileSync(place, 'utf8')
    if (old !== text) console.error('console/index.html is not what its sources make: npm run build:console')
    bad ||= old !== text
  } else writeFileSync(place, text)
  process.exit(bad ? 1 : 0)
}
