// Reads `{name: document}` from standard input, prints `{name: [what is wrong]}`.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Parser } from '@asyncapi/parser'
import Ajv from 'ajv'
import addFormats from 'ajv-formats'

const require = createRequire(import.meta.url)
const ajv = new Ajv({ strict: false, allErrors: true, meta: false, validateSchema: false }) // it brings its own draft-07
addFormats(ajv)
const official = ajv.compile(require('@asyncapi/specs/schemas/3.0.0.json'))
const parser = new Parser()

const wrong = {}
for (const [name, document] of Object.entries(JSON.parse(readFileSync(0, 'utf8')))) {
  const { diagnostics } = await parser.parse(JSON.stringify(document))
  const errors = diagnostics.filter((each) => each.severity === 0).map((each) => `${each.path.join('/')}: ${each.message}`)
  if (!official(document)) errors.push(...official.errors.map((each) => `${each.instancePath}: ${each.message}`))
  wrong[name] = errors
}
console.log(JSON.stringify(wrong))
