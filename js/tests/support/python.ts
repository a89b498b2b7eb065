/** The real server, started and stopped by the test that wants it. */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const python = process.env.FOS_PYTHON ?? here('../../../.venv/bin/python')
const src = here('../../../src')

/** Why the real server cannot be had; undefined when it can. It must be where FOS_REQUIRE_SERVER is 1. */
export function unavailable(): string | undefined {
  if (!existsSync(python)) return `no Python at ${python}: set FOS_PYTHON`
  const probe = 'import sys; sys.path.append(sys.argv[1]); import uvicorn; from fastapi_observable_socket import SocketRouter'
  const { status, stderr } = spawnSync(python, ['-c', probe, src])
  return status ? `${python} cannot run the server: ${String(stderr).trim().split('\n').pop()}` : undefined
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0)
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

export class PythonServer {
  #process: ChildProcess | undefined

  constructor(readonly port: number) {}

  get url(): string {
    return `ws://127.0.0.1:${this.port}/ws`
  }

  async start(): Promise<this> {
    const child = spawn(python, [here('../server.py'), `${this.port}`], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#process = child
    let log = ''
    child.stderr!.on('data', (data) => (log = (log + data).slice(-4_000)))
    for (let tries = 0; tries < 200; tries++) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}\n${log}`)
      if (await fetch(`http://127.0.0.1:${this.port}/pid`).then((r) => r.ok, () => false)) return this
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`the server did not start within 10 s\n${log}`)
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await gone
  }
}
