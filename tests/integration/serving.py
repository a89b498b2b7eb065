"""
A real uvicorn in a thread, and what can be asked of it from outside.
"""

import asyncio
import os
import socket
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import pytest
import uvicorn
from fastapi import FastAPI

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.uvicorn import Protocol

from .peer import PATIENCE, Peer

T = TypeVar("T")


@dataclass(frozen=True)
class Load:
    """What a server holds: all of it must be as before when everybody has left."""

    tasks: int
    inside: int
    sockets: int


def protocol(ws: str) -> Any:
    """What `--ws` of that name stands for; the fast lane is "lane"."""
    if ws == "lane":
        return Protocol
    if ws != "websockets":
        return ws
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Warning)  # it is deprecated, and still in use
        from uvicorn.protocols.websockets.websockets_impl import WebSocketProtocol

    class Hasty(WebSocketProtocol):
        """Its own tasks survive a socket that was reset by 10 s; the tests wait for them."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.close_timeout = 1

    return Hasty


class _Uvicorn(uvicorn.Server):
    """Starts and stops without uvicorn's ticks of a tenth of a second: tests do it often."""

    async def main_loop(self) -> None:
        self.leave = asyncio.Event()
        await self.leave.wait()


class Server:
    """Serves one router at /ws, until the `with` ends."""

    def __init__(self, router: SocketRouter, ws: str) -> None:
        self.router = router
        app = FastAPI(openapi_url=None)
        router.mount(app, "/ws")
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            ws=protocol(ws),
            log_level="critical",
            ws_ping_interval=None,
            timeout_graceful_shutdown=3,
        )
        self._server = _Uvicorn(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve([self._listener])

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: hasattr(self._server, "leave"))
        self.idle = self.load()
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._server.leave.set)
        self._thread.join(PATIENCE)
        self._listener.close()
        assert not self._thread.is_alive(), "the server does not stop"

    def connect(self, **options: Any) -> Peer:
        return Peer(self.port, **options)

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns in the server's own thread, between two steps of its loop."""
        assert self._loop is not None

        async def calling() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(calling(), self._loop).result(PATIENCE)

    def load(self) -> Load:
        def reading() -> Load:
            return Load(
                # Less the one that is asking.
                tasks=len(asyncio.all_tasks()) - 1,
                inside=self.router._gate._inside,
                sockets=len(self._server.server_state.connections),
            )

        return self.call(reading)

    def assert_nothing_left(self) -> None:
        """Every task, connection and socket is gone, or will be without anybody's doing."""
        eventually(lambda: self.load() == self.idle, self.load)


class Stage:
    """What handlers do and tests watch: counters, and doors that hold handlers up."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.running = 0
        self.peak = 0
        self._doors: dict[Any, asyncio.Event] = {}
        self.stuck = threading.Event()
        """Holds up handlers that run in a thread."""

    def door(self, name: Any = None) -> asyncio.Event:
        return self._doors.setdefault(name, asyncio.Event())

    async def behind(self, name: Any = None) -> None:
        """Wait at a door, and be counted: `running` while there, `ended` or `cancelled` after."""
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await self.door(name).wait()
            self.seen["ended"] += 1
        except asyncio.CancelledError:
            self.seen["cancelled"] += 1
            raise
        finally:
            self.running -= 1


def eventually(fact: Callable[[], Any], tell: Callable[[], Any] = lambda: "") -> None:
    """Wait for `fact` to be true. Fails only when PATIENCE is at its end."""
    deadline = time.monotonic() + PATIENCE
    while not fact():
        if time.monotonic() > deadline:
            pytest.fail(f"still not so after {PATIENCE:g} s: {tell()}")
        time.sleep(0.005)


def resident_bytes() -> int:
    """The memory this process holds. Skips the test where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pytest.skip("no /proc here")
