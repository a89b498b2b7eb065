/** The old README’s code, with the import path changed and nothing else. */

'use client'
import React from "react"
import { ObservableSocket } from "fastapi-observable-socket/compat"
import { ObservableSocketProvider, useObservableSocket } from "fastapi-observable-socket/compat"
import { Message } from "fastapi-observable-socket/compat"
import { ObservableSocket as Vanilla, Message as VanillaMessage, StatusCodes as VanillaStatus } from "fastapi-observable-socket/vanilla"
import {
  socketConfig,
  StatusCodes,
  type ComplexTypes,
  type Data,
  type OnMessage,
  type SocketConfig,
} from "fastapi-observable-socket/compat"

const ws = new ObservableSocket(
  "app",
  "wss://example.com/ws/app/",
  (name, connected) => console.log("Connected:", connected, name),
  (res) => console.log("Server says:", res),
  { requestTimeout: 15000, globalHeaders: { token: "XYZ" } }
)

const res = await ws.sendAndWait(new Message("sayHello", { name: "Alireza" }))
console.log(res.message?.payload) // "Hello, Alireza!"

export default function App() {
  return (
    <ObservableSocketProvider>
      <Dashboard />
    </ObservableSocketProvider>
  );
}

function Dashboard() {
  const { addSocket, getSocket, removeSocket } = useObservableSocket();

  React.useEffect(() => {
    addSocket(
      "app",
      "wss://example.com/ws/app/",
      (res) => console.log("Push:", res),
      false,
      { globalHeaders: { apiKey: "123" } }
    )
    return () => void removeSocket("app")
  }, [addSocket, removeSocket])

  const handleClick = async () => {
    const app = getSocket("app")
    if (!app) return alert("Socket not ready!")
    const result = await app.socket.sendAndWait(new Message("sayHello", { name: "World" }))
    console.log(result)
  }

  return <button onClick={handleClick}>Say Hello</button>
}

// The rest of the old surface.
const onMessage: OnMessage = ({ message, success }) => void [message?.uuid, message?.payload, success]
const config: Partial<SocketConfig> = {
  queManager: true,
  queRunTimeout: 5000,
  requestTimeout: socketConfig.requestTimeout,
  maxReconnectAttempts: 5,
  heartbeatRate: 60000,
  heartbeatTimeoutDuration: 59000,
  globalHeaders: { list: [1], record: {} },
}
const data: Data = [{ any: 1 }] satisfies ComplexTypes
const message = new Message<Data>("route", data, { header: 1 }, StatusCodes.OK, "uuid")
const text: string = message.serialize()
const ok: StatusCodes.OK = StatusCodes.OK
const vanilla = new Vanilla("app", "wss://example.com", undefined, onMessage, config)
vanilla.sendMessage(new VanillaMessage("route", null))
vanilla.onResponse(message, onMessage)
vanilla.onSocketConnectionChange = (name: string, state: boolean) => void [name, state]
vanilla.onMessageReceived = onMessage
vanilla.socket?.readyState
vanilla.close()
void [text, ok, VanillaStatus.PENDING]

// @ts-expect-error a message is needed
ws.sendAndWait("route")
// @ts-expect-error no such setting
new ObservableSocket("app", "wss://example.com", undefined, undefined, { retries: 1 })
