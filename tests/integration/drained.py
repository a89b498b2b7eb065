"""
An application that lets its sockets go at a signal, as a program: `python drained.py <port>`.

Others may listen on its port, too. It says on standard output what it does; `DRAIN` is in seconds.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI

from fastapi_observable_socket import SocketRouter

app = FastAPI(openapi_url=None)
router = SocketRouter(drain=float(os.environ.get("DRAIN", "60")))


async def until_draining() -> None:
    while not router.draining:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


@router.route("pid")
async def pid() -> int:
    return os.getpid()


@router.route("hold")
async def hold(payload: Any) -> list[Any]:
    """Is answered only when the sockets are on their way out."""
    await until_draining()
    await asyncio.sleep(0.1)
    return [os.getpid(), payload]


@router.route("items")
async def items(payload: int) -> AsyncIterator[int]:
    """The half of them comes only then."""
    for number in range(payload):
        if number == payload // 2:
            await until_draining()
        yield number


@router.route("stuck")
async def stuck() -> None:
    print("stuck", flush=True)
    await until_draining()
    print("draining", flush=True)
    await asyncio.sleep(3600)


router.mount(app, "/ws")


def main(port: int) -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(
        app,
        ws=os.environ.get("UVICORN_WS", "auto"),
        log_level="warning",
        ws_ping_interval=None,
        timeout_graceful_shutdown=2,
    )
    listener.listen(config.backlog)
    print("listening", flush=True)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
