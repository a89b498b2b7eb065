/** A real Redis for the tests that want one; it keeps nothing. */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'

const program = ['redis-server', 'valkey-server'].find((name) => spawnSync(name, ['--version']).status === 0)

/** Why there is none; undefined when there is. It must be there where FOS_REQUIRE_BROWSER is 1. */
export function noRedis(): string | undefined {
  const reason = program ? undefined : 'no redis-server'
  if (reason && process.env.FOS_REQUIRE_BROWSER === '1') throw new Error(reason)
  if (reason) console.warn(`skipped: ${reason}`)
  return reason
}

export class Redis {
  #process: ChildProcess | undefined

  constructor(readonly port: number) {}

  get url(): string {
    return `redis://127.0.0.1:${this.port}/0`
  }

  async start(): Promise<this> {
    const options = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--save', '', '--dir', tmpdir()]
    this.#process = spawn(program!, options, { stdio: 'ignore' })
    for (let tries = 0; tries < 400; tries++) {
      if (await this.#answers()) return this
      await new Promise((passed) => setTimeout(passed, 25))
    }
    throw new Error('redis-server did not start within 10 s')
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const client = connect(this.port, '127.0.0.1', () => client.write('PING\r\n'))
      client.on('data', (data) => (client.destroy(), resolve(String(data).startsWith('+PONG'))))
      client.on('error', () => resolve(false))
    })
  }

  async stop(): Promise<void> {
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((ended) => child.once('exit', ended))
    child.kill('SIGKILL')
    await gone
  }
}
