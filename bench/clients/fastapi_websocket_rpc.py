"""The client of fastapi-websocket-rpc."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi_websocket_rpc import WebSocketRpcClient

from clients.closed_loop import Call, run


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Call]:
    async with WebSocketRpcClient(f"ws://127.0.0.1:{port}/ws") as client:

        async def call(payload: Any) -> Any:
            return (await client.call("add", {"payload": payload})).result

        yield call


if __name__ == "__main__":
    run(connected)
