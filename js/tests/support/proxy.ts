/** A wire between browser and server that can be cut, as networks are: without a word to either end. */

import { connect, createServer, type Server, type Socket } from 'node:net'

export class Wire {
  #pairs: [Socket, Socket][] = []
  #server: Server | undefined
  #cut = false
  #unplugged = false

  constructor(
    readonly port: number,
    private readonly to: number,
  ) {}

  async open(): Promise<this> {
    this.#server = createServer((near) => {
      if (this.#unplugged) return near.destroy()
      const far = connect(this.to, '127.0.0.1')
      for (const end of [near, far]) end.setNoDelay(true)
      this.#pairs.push([near, far])
      for (const end of [near, far]) {
        end.on('error', () => {})
        // A cut wire carries no farewell either.
        end.on('close', () => this.#cut || (near.destroy(), far.destroy()))
      }
      near.on('data', (data) => this.#cut || far.write(data))
      far.on('data', (data) => this.#cut || near.write(data))
    })
    await new Promise<void>((resolve) => this.#server!.listen(this.port, '0.0.0.0', resolve))
    return this
  }

  cut(): void {
    this.#cut = true
  }

  /** What was open when it was cut stays dead. */
  mend(): void {
    this.unplug()
    this.#cut = this.#unplugged = false
  }

  /** Pulled out aloud: what is open ends at once, and so does whatever comes, until it is mended. */
  unplug(): void {
    this.#unplugged = true
    for (const [near, far] of this.#pairs.splice(0)) near.destroy(), far.destroy()
  }

  close(): void {
    this.mend()
    this.#server?.close()
  }
}
