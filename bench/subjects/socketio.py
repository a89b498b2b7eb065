"""python-socketio: events answered by acknowledgements, on the WebSocket transport alone."""

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])


@server.on("math/sum")
async def add(_sid: str, payload: Any) -> Any:
    return {"sum": sum(payload)}


@server.on("echo")
async def echo(_sid: str, payload: Any) -> Any:
    # An acknowledgement spreads a tuple over its arguments; a list stays one.
    return payload


app = socketio.ASGIApp(server)
