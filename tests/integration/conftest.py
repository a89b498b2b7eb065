"""
Servers for the tests of this folder, on each of uvicorn's WebSocket implementations, and on ours.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from uvicorn.config import WS_PROTOCOLS

from fastapi_observable_socket import SocketRouter

from .serving import Server, Stage

IMPLEMENTATIONS = [
    name for name in ("websockets-sansio", "websockets", "wsproto") if name in WS_PROTOCOLS
] + ["lane"]
"""Older versions of uvicorn have no sans-I/O one."""

if chosen := os.environ.get("FOS_IMPLEMENTATIONS"):
    IMPLEMENTATIONS = [name for name in IMPLEMENTATIONS if name in chosen.split(",")]


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def ws(request: pytest.FixtureRequest) -> str:
    """Which code below us speaks the frames."""
    return request.param


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def serve(ws: str) -> Iterator[Callable[[SocketRouter], Server]]:
    """Starts a server for a router; it ends with the test."""
    with ExitStack() as stack:
        yield lambda router: stack.enter_context(Server(router, ws))
