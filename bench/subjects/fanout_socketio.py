"""python-socketio: a room that every client is in, and an event that emits to it."""

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])


@server.event
async def connect(sid: str, _environ: Any) -> None:
    await server.enter_room(sid, "news")


@server.on("publish")
async def publish(_sid: str, payload: Any) -> None:
    await server.emit("news", payload, room="news")


app = socketio.ASGIApp(server)
