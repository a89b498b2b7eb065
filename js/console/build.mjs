/**
 * The console as one file, for the Python package: `node console/build.mjs` writes it, `--check` fails where the one
 * that is there is another, or has become too big.
 */

import { transform } from 'esbuild'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const place = here('../../src/fastapi_observable_socket/console/index.html')

/** What grows beyond has to be worth more than what it takes the place of. */
export const RAW = 60_000
export const COMPRESSED = 20_000

/** What the page never uses of the client. No bundler sees that: they are members of what is used. */
const CUTS = {
  'src/socket.ts': [
    // The signature and the methods of the old client.
    [/this\.#legacy \? .* : /, ''],
    // For those that await nothing.
    [/if \(stale\) \{[^}]*\} else /, ''],
    [/^.*call\.stale\?.*\n/m, ''],
    [/this\.#legacy(?! =)|typeof second === 'string'/g, 'false'],
    [/^.*(onMessageReceived|onSocketConnectionChange).*\n/gm, ''],
    [/\n\n  (\/\*\*(?:(?!\n\n)[^])*\n  )?(async call|connect|get socket|publish|notify|sendMessage|onResponse|sendAndWait|#serialize|#tell)\b(?:(?!\n\n)[^])*/g, ''],
  ],
  // It is wanted from the beginning to the end.
  'src/connection.ts': [
    [/\n\n  const rest = (?:(?!\n\n)[^])*/, ''],
    [/^ +rest\(\)\n/m, ''],
    [/^ +const here = .*\n.*?(?=self)/m, ''],
  ],
  // The page has no contract that it was written for.
  'src/greeting.ts': [[/^.*compatible === false.*\n/m, '']],
  // The page takes one by one what comes.
  'src/stream.ts': [[/\n\n  const subscribe = (?:(?!\n}\n)[^])*/, '\n  return { [Symbol.asyncIterator]: iterate }']],
}

/** Members that only the page and the client know: neither the platform's, nor on the wire, nor in a contract. */
const OWN = `about ahead asked backoff bare branches busy changed connectTimeout counts desist direction dropped editor editors element emit fail fits
fresh going groups heard heed hello idle joined leave level lost mark maxAttempts members most onGap onProgress onSubscribed opened outcome plain
preview probe queueLimit receive reconnect reconnects reloadAfterMs retain sample schemas sent serve settled shape shouldReconnect stale stateful
take tell words`.split(/\s+/)
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
const short = {
  loader: 'ts',
  target: 'esnext',
  mangleProps: new RegExp(`^(${OWN.join('|')})$`),
  mangleCache: Object.fromEntries(OWN.map((name, i) => [name, LETTERS[i] ?? `$${LETTERS[i - LETTERS.length]}`])),
}

const less = {
  name: 'less',
  async transform(code, id) {
    const cuts = Object.entries(CUTS).find(([file]) => id.endsWith(file))?.[1] ?? []
    for (const [what, instead] of cuts) {
      if (code.search(what) < 0) throw new Error(`${id} has no ${what} any more`)
      code = code.replace(what, instead)
    }
    return (await transform(code, short)).code
  },
}

export async function page() {
  const bundle = await rolldown({ input: here('main.ts'), plugins: [less], logLevel: 'silent' })
  const { output } = await bundle.generate({ format: 'iife', minify: true })
  const { code: style } = await transform(readFileSync(here('page.css'), 'utf8'), { loader: 'css', minify: true })
  const script = output[0].code.replaceAll('</script', '<\\/script').trim()
  const html = readFileSync(here('page.html'), 'utf8')
    .replace(/\s*\n\s*/g, '')
    .replace(/ \/>/g, '>')
    .replace(/="([\w.:,-]+)"(?=[ >])/g, '=$1')
    .replace(/<\/?(html|head|body)>/g, '')
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
