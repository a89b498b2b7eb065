"""python-socketio's asynchronous client, on the WebSocket transport alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import socketio

from clients.closed_loop import Call, run


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Call]:
    client = socketio.AsyncClient()
    await client.connect(f"http://127.0.0.1:{port}", transports=["websocket"])
    yield partial(client.call, "math/sum")
    await client.disconnect()


if __name__ == "__main__":
    run(connected)
