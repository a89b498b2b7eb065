/** A server of the base protocol alone: it knows no extension, reads no header, and answers each request once. */

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

type Handler = (payload: any) => unknown

export class BaseServer {
  /** Every frame it was sent. */
  readonly heard: { uuid: unknown; route: string; headers?: any; payload?: any }[] = []
  #server: WebSocketServer | undefined

  constructor(private readonly routes: Record<string, Handler>) {}

  async start(): Promise<this> {
    const server = (this.#server = new WebSocketServer({ port: 0, host: '127.0.0.1' }))
    server.on('connection', (peer) =>
      peer.on('message', async (data) => {
        const frame = JSON.parse(String(data))
        const { uuid, route, payload } = frame
        this.heard.push(frame)
        const handler = this.routes[route]
        const answer = handler
          ? { status: 200, payload: await handler(payload) }
          : { status: 404, payload: { message: 'no such route', code: 'not_found' } }
        if (route === 'PING') peer.send(JSON.stringify({ uuid, route: 'PONG', headers: null, payload: null }))
        else peer.send(JSON.stringify({ uuid, headers: {}, ...answer }))
      }),
    )
    await once(server, 'listening')
    return this
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server!.address() as AddressInfo).port}/ws`
  }

  get routesHeard(): string[] {
    return this.heard.map(({ route }) => route)
  }

  stop(): void {
    for (const peer of this.#server!.clients) peer.terminate()
    this.#server!.close()
  }
}
