// A small client: calls routes over one socket, comes back when the connection is lost.
//
//   const socket = open('/ws', { onState: (state) => ... })
//   const { status, headers, payload } = await socket.call('math/sum', [1, 2, 3])

const HEARTBEAT = 30_000
const PATIENCE = 10_000
const FINAL = [1008, 1011] // the server does not want us back

export class ConnectionLost extends Error {}

export function open(path, { onState = () => {} } = {}) {
  const url = new URL(path, location.href)
  url.protocol = url.protocol.replace('http', 'ws')

  const pending = new Map() // uuid → the call that waits for its answer
  const unsent = [] // calls made while there was no connection
  let socket, heartbeat, deadline, retry
  let lastUuid = 0
  let attempts = 0

  function connect() {
    clearTimeout(retry)
    onState('connecting')
    const mine = (socket = new WebSocket(url))
    const isCurrent = () => socket === mine
    mine.onopen = () => {
      if (!isCurrent()) return
      attempts = 0
      heartbeat = setInterval(ping, HEARTBEAT)
      for (const call of unsent.splice(0)) send(call)
      onState('connected')
    }
    mine.onmessage = (event) => isCurrent() && receive(JSON.parse(event.data))
    mine.onclose = (event) => isCurrent() && lost(event)
  }

  function send(call) {
    pending.set(call.request.uuid, call)
    socket.send(JSON.stringify(call.request))
  }

  function receive(frame) {
    if (frame.route === 'PONG') return clearTimeout(deadline)
    pending.get(frame.uuid)?.resolve(frame)
    pending.delete(frame.uuid)
  }

  function ping() {
    socket.send(JSON.stringify({ uuid: ++lastUuid, route: 'PING' }))
    clearTimeout(deadline)
    deadline = setTimeout(reopen, PATIENCE)
  }

  function leave(reason) {
    clearInterval(heartbeat)
    clearTimeout(deadline)
    // They may or may not have been carried out: only the caller knows whether to call again.
    for (const call of pending.values()) call.reject(new ConnectionLost(reason))
    pending.clear()
  }

  function lost({ code, reason }) {
    leave('The connection was lost before the answer came')
    if (FINAL.includes(code)) {
      socket = undefined
      for (const call of unsent.splice(0)) call.reject(new ConnectionLost(reason))
      return onState('refused', reason)
    }
    const wait = Math.random() * Math.min(30_000, 500 * 2 ** attempts++)
    onState('waiting', wait)
    retry = setTimeout(connect, wait)
  }

  /** Leave this connection for a new one, with the cookies as they are now. */
  function reopen() {
    leave('The connection was opened anew before the answer came')
    const old = socket
    connect()
    old?.close()
  }

  /** Ask for `route`; resolves with { status, headers, payload }, whatever the status. */
  function call(route, payload, headers = {}) {
    return new Promise((resolve, reject) => {
      const request = { uuid: ++lastUuid, route, headers, payload }
      const waiting = { request, resolve, reject }
      if (socket?.readyState === WebSocket.OPEN) send(waiting)
      else if (socket) unsent.push(waiting)
      else reject(new ConnectionLost('The server refused this page'))
    })
  }

  connect()
  return { call, reopen }
}
