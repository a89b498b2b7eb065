"""The client of this package."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from clients.closed_loop import Call, run
from fastapi_observable_socket.client import connect


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Call]:
    async with connect(f"ws://127.0.0.1:{port}/ws") as socket:
        yield partial(socket.call, "math/sum")


if __name__ == "__main__":
    run(connected)
