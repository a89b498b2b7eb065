/** What the console proposes to send is what the server takes: on models that are hard to write down. */

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { schemasOf } from '../../console/schema.js'
import { unavailable } from '../support/python.js'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const python = resolve(process.env.FOS_PYTHON ?? here('../../../.venv/bin/python'))
const START = 'import json, sys; sys.path[:0] = sys.argv[1:]\nfrom torture import TYPES, router\n'
const run = (code: string, input = '') => {
  const { stdout, stderr, status } = spawnSync(python, ['-c', START + code, here('../../../src'), here('../../../tests')], { input, encoding: 'utf8' })
  if (status) throw new Error(stderr)
  return JSON.parse(stdout)
}

describe.skipIf(unavailable())('samples', () => {
  test('fit', () => {
    const contract = run('from fastapi_observable_socket.contract import contract_of\nprint(json.dumps(contract_of(router()).as_json()))')
    const schemas = schemasOf(contract.definitions)
    const samples = Object.fromEntries(
      Object.entries<any>(contract.routes)
        .filter(([name, { payload }]) => name.startsWith('only/in/') && payload !== null)
        .map(([name, { payload }]) => [name.slice('only/in/'.length), schemas.sample(payload)]),
    )
    expect(Object.keys(samples).length).toBeGreaterThan(25)
    const misfits = run(
      `
from pydantic import TypeAdapter, ValidationError
def misfit(name, sample):
    try:
        TypeAdapter(TYPES[name]).validate_json(json.dumps(sample))
    except ValidationError as error:
        return str(error)
print(json.dumps({name: wrong for name, sample in json.load(sys.stdin).items() if (wrong := misfit(name, sample))}))`,
      JSON.stringify(samples),
    )
    expect(misfits).toEqual({})
  })
})
