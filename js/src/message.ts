/**
 * The old client's names: a message, and the configuration of a socket. Their frames are the old ones, byte for byte.
 */

import type { SocketOptions } from './options.js'
import type { StatusCodes } from './status.js'
import { newUuid } from './wire.js'

export type NullTypes = null | undefined
export type SimpleDataTypes = string | number | boolean
export type BasicDataTypes = SimpleDataTypes | NullTypes
export type ComplexTypes = SimpleDataTypes[] | Record<string, any> | ComplexTypes[]
export type Data = BasicDataTypes | ComplexTypes

export class Message<T = Data> {
  declare uuid: string
  declare route: string | null
  declare headers?: Record<string, unknown>
  declare payload: T
  /** In a request it is always there, and means nothing. */
  declare status: StatusCodes

  constructor(
    route: string,
    payload: T,
    headers?: Record<string, unknown>,
    status: StatusCodes = 200,
    uuid: string | null = null,
  ) {
    // The order of these lines is the order on the wire.
    this.uuid = uuid || newUuid()
    this.route = route
    this.headers = headers
    this.payload = payload
    this.status = status
  }

  serialize = (): string => JSON.stringify(this)
}

export interface MessageResponse {
  message: Message<any> | null
  success: boolean
  /** Why there is no message: the old client could not tell a timeout from a lost connection. */
  error?: unknown
}

export type OnMessage = (response: MessageResponse) => void
export type OnConnectionChange = (name: string, connected: boolean) => void

export interface SocketConfig {
  /** Without effect: timeouts are always kept. */
  queManager: boolean
  /** Without effect, likewise. */
  queRunTimeout: number
  /** Milliseconds, from 2 seconds to 30 minutes. */
  requestTimeout: number
  /** Attempts in a row, after which the socket closes for good. */
  maxReconnectAttempts: number
  heartbeatRate: number
  heartbeatTimeoutDuration: number
  globalHeaders: Record<string, ComplexTypes | SimpleDataTypes | NullTypes>
}

/** The defaults, read whenever a socket is made by the old signature. */
export const socketConfig: SocketConfig = {
  queManager: false,
  queRunTimeout: 5_000,
  requestTimeout: 30_000,
  maxReconnectAttempts: Infinity,
  heartbeatRate: 60_000,
  heartbeatTimeoutDuration: 59_000,
  globalHeaders: {},
}

export function optionsFrom(config?: Partial<SocketConfig>): SocketOptions {
  const { requestTimeout, maxReconnectAttempts, heartbeatRate, heartbeatTimeoutDuration, globalHeaders } = {
    ...socketConfig,
    ...config,
  }
  return {
    timeout: Math.min(Math.max(requestTimeout, 2_000), 1_800_000),
    maxAttempts: maxReconnectAttempts,
    heartbeat: { rate: heartbeatRate, timeout: heartbeatTimeoutDuration },
    headers: () => globalHeaders,
  }
}
