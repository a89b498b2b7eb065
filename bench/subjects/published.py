"""
This package as released before it was rewritten: 1.1.1.

A route without `hydrate` gets an empty dict there, so `hydrate` hands on the payload.
"""

from typing import Any

from fastapi import FastAPI, WebSocket

from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


async def payload_of(_ws: WebSocket, message: Any) -> Any:
    return message["payload"]


@router.route("math/sum", {"hydrate": payload_of})
async def add(payload: Any) -> Any:
    return {"payload": {"sum": sum(payload)}}


@router.route("echo", {"hydrate": payload_of})
async def echo(payload: Any) -> Any:
    return {"payload": payload}


@app.websocket("/ws")
async def serve(ws: WebSocket) -> None:
    await router(ws)
