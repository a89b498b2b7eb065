"""A forgotten `await` is an error for pyright. Read by it, never run."""

# mypy: disable-error-code="unused-coroutine"
# pyright: reportUnnecessaryTypeIgnoreComment=true
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


@app.websocket("/ws")
async def endpoint(ws: WebSocket) -> None:
    router(ws)  # pyright: ignore[reportUnusedCoroutine]


async def below(scope: Scope, receive: Receive, send: Send) -> None:
    router(scope, receive, send)  # pyright: ignore[reportUnusedCoroutine]
