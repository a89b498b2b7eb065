/** WebSockets that feel like FastAPI: the browser's side. */

export type { Backoff } from './backoff.js'
export type { State, Url } from './connection.js'
export {
  ConnectionLostError,
  QueueFullError,
  ResponseError,
  SocketError,
  TimeoutError,
  isResponseError,
  type ErrorPayload,
} from './errors.js'
export type { Heartbeat, WebSocketLike } from './line.js'
export {
  Message,
  socketConfig,
  type BasicDataTypes,
  type ComplexTypes,
  type Data,
  type MessageResponse,
  type NullTypes,
  type OnConnectionChange,
  type OnMessage,
  type SimpleDataTypes,
  type SocketConfig,
} from './message.js'
export type { SessionInfo } from './greeting.js'
export type { CallOptions, Gap, PublishOptions, SocketOptions, StreamOptions, SubscribeOptions } from './options.js'
export type {
  Answer,
  AnyRoutes,
  Args,
  Errors,
  EventOf,
  Final,
  Handler,
  Handlers,
  Item,
  Payload,
  PublishOf,
  Pushes,
  PushOf,
  Register,
  Result,
  RouteError,
  RouteName,
  Routes,
  SnapshotOf,
  StreamName,
  TopicName,
  Topics,
} from './routes.js'
export { ObservableSocket, type CloseInfo, type Push, type SocketEvents } from './socket.js'
export { StatusCodes } from './status.js'
export type { Observer, Stream, Subscription } from './stream.js'
export type { Headers as MessageHeaders } from './wire.js'
