"""A forgotten `await` is an error for mypy. Read by it, never run."""

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


@app.websocket("/ws")
async def endpoint(ws: WebSocket) -> None:
    router(ws)  # type: ignore[unused-coroutine]


async def below(scope: Scope, receive: Receive, send: Send) -> None:
    router(scope, receive, send)  # type: ignore[unused-coroutine]
