/** The real server, started and stopped by the test that wants it. */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
export const python = resolve(process.env.FOS_PYTHON ?? here('../../../.venv/bin/python'))
export const src = here('../../../src')

/** Why the real server cannot be had; undefined when it can. It must be where FOS_REQUIRE_SERVER is 1. */
export function unavailable(modules = 'uvicorn'): string | undefined {
  if (!existsSync(python)) return `no Python at ${python}: set FOS_PYTHON`
  const probe = `import sys; sys.path.append(sys.argv[1]); import fastapi_observable_socket, ${modules}`
  const { status, stderr } = spawnSync(python, ['-c', probe, src])
  return status ? `${python} cannot run the server: ${String(stderr).trim().split('\n').pop()}` : undefined
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0)
  const { port } = server.address() as AddressInfo
  await new Promise((closed) => server.close(closed))
  return port
}

/** A program that serves at a port: there once it answers, and again under the same port after a stop. */
export class Server {
  #process: ChildProcess | undefined

  constructor(
    readonly port: number,
    private readonly command: string[],
    private readonly variables: Record<string, string> = {},
    private readonly cwd?: string,
  ) {}

  get url(): string {
    return `ws://127.0.0.1:${this.port}/ws`
  }

  async start(): Promise<this> {
    const [program, ...args] = this.command
    const child = spawn(program!, args, {
      cwd: this.cwd,
      env: { ...process.env, ...this.variables },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#process = child
    let log = ''
    child.stderr!.on('data', (data) => (log = (log + data).slice(-4_000)))
    for (let tries = 0; tries < 400; tries++) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}\n${log}`)
      if (await fetch(`http://127.0.0.1:${this.port}/`).then(() => true, () => false)) return this
      await new Promise((passed) => setTimeout(passed, 50))
    }
    throw new Error(`the server did not start within 20 s\n${log}`)
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((ended) => child.once('exit', ended))
    child.kill(signal)
    await gone
  }
}

/** The router of `tests/server.py`. */
export class PythonServer extends Server {
  constructor(port: number) {
    super(port, [python, here('../server.py'), `${port}`])
  }
}

/** The routes of `tests/console_server.py`, and the console beside them. */
export class ConsoleServer extends Server {
  constructor(port: number) {
    super(port, [python, here('../console_server.py'), `${port}`])
  }
}

/** The newsroom of `examples/demo`, with a database of its own. */
export class Newsroom extends Server {
  constructor(port: number, database: string) {
    super(port, ['sh', here('../../../scripts/demo.sh')], {
      DEMO_PYTHON: python,
      NEWSROOM_DB: database,
      PORT: `${port}`,
    })
  }
}
