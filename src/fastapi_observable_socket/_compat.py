"""
What older and newer foundations lack.

Everything that leans on another project's internals, or fills a gap that differs between
versions, is here and nowhere else. No room below `_connection` imports it.
"""

import asyncio
import inspect
import logging
import socket
import struct
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import AsyncExitStack
from typing import Any, Generic, TypeVar

from fastapi import FastAPI

logger = logging.getLogger("fastapi_observable_socket")

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


# --- asyncio.Queue.shutdown, native since Python 3.13

if sys.version_info >= (3, 13):
    from asyncio import Queue as ClosableQueue
    from asyncio import QueueShutDown
else:

    class QueueShutDown(Exception):
        """Raised by `get` and `put` of a queue that was shut down."""

    class ClosableQueue(asyncio.Queue[T], Generic[T]):
        """`asyncio.Queue` with the `shutdown` of Python 3.13, for one reader at a time."""

        _SENTINEL: Any = object()
        _shut = False

        def shutdown(self, immediate: bool = False) -> None:
            """No more `put`; `get` gives what is left, unless `immediate`, then raises."""
            self._shut = True
            while immediate and not self.empty():
                super().get_nowait()
            super().put_nowait(self._SENTINEL)

        def put_nowait(self, item: T) -> None:
            if self._shut:
                raise QueueShutDown
            super().put_nowait(item)

        async def put(self, item: T) -> None:
            if self._shut:
                raise QueueShutDown
            await super().put(item)

        def get_nowait(self) -> T:
            item = super().get_nowait()
            if item is self._SENTINEL:
                # Left for the next reader: a queue that was shut down stays so.
                super().put_nowait(item)
                raise QueueShutDown
            return item


# --- an object with __call__ that is taken for a coroutine function

if sys.version_info >= (3, 12):
    mark_coroutine_function = inspect.markcoroutinefunction
else:

    def mark_coroutine_function(func: F) -> F:
        """uvicorn tells ASGI 3 from ASGI 2 by asking whether `__call__` is one."""
        func._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
        return func


# --- the mounting line of the first README, gone with Starlette 1.0


def restore_add_websocket_route() -> None:
    """Give FastAPI `add_websocket_route` back, only where it is absent."""
    if hasattr(FastAPI, "add_websocket_route"):
        return

    def add_websocket_route(
        self: FastAPI, path: str, route: Callable[..., Any], name: str | None = None
    ) -> None:
        self.router.add_websocket_route(path, route, name=name)

    FastAPI.add_websocket_route = add_websocket_route  # type: ignore[attr-defined]


# --- an endpoint that forgot its `await`


class Serving(Coroutine[Any, Any, None]):
    """A socket about to be served: awaiting it, or making a task of it, serves.

    An endpoint that calls the router and forgets the `await` would end at once, and the
    peer would wait for ever. FastAPI closes an exit stack behind each endpoint; from there
    the socket is served after all.
    """

    warned = False

    def __init__(self, serve: Callable[[], Coroutine[Any, Any, None]], scope: Any) -> None:
        self._serve = serve
        self._serving: Coroutine[Any, Any, None] | None = None
        for key in ("fastapi_function_astack", "fastapi_inner_astack", "fastapi_astack"):
            stack = scope.get(key)
            if isinstance(stack, AsyncExitStack):
                stack.push_async_exit(self._left)
                break

    def _begun(self) -> Coroutine[Any, Any, None]:
        if self._serving is None:
            self._serving = self._serve()
        return self._serving

    def __await__(self) -> Generator[Any, Any, None]:
        return self._begun().__await__()

    def send(self, value: Any) -> Any:
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        return self._begun().throw(*error)

    def close(self) -> None:
        self._begun().close()

    async def _left(self, _kind: Any, error: Any, _traceback: Any) -> None:
        await asyncio.sleep(0)  # a task that was made of it begins only now
        if self._serving is not None or error is not None:
            return
        if not Serving.warned:
            Serving.warned = True
            logger.warning(
                "the endpoint called the SocketRouter without `await`: serving the socket "
                "after it returned; write `await router(ws)`"
            )
        await self

    def __del__(self) -> None:
        if self._serving is None:
            logger.error("a SocketRouter was called and never awaited: write `await router(ws)`")


# --- the transport below an ASGI server's `send`


def abort_transport(send: Any) -> bool:
    """Drop the TCP connection below `send`, at once and with all that waits in it.

    ASGI has no word for it, and a peer that never reads holds its socket for ever
    otherwise. Says whether there was a transport to be found.
    """
    transport = transport_below(send)
    if transport is None:
        return False
    _reset(transport)
    return True


def pending_bytes(send: Any) -> int:
    """Bytes that wait below `send` for a peer to read them; 0 where nobody can tell."""
    transport = transport_below(send)
    size = getattr(transport, "get_write_buffer_size", None)
    return size() if size is not None else 0


def is_gone(send: Any) -> bool:
    """Whether the peer's end of the connection below `send` is known to be closed.

    For one from which nothing is read: a server that stops reading does not notice. False
    where nobody can tell.
    """
    transport = transport_below(send)
    if transport is None:
        return False
    if transport.is_closing():
        return True
    peer = transport.get_extra_info("socket")
    try:
        state = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except (AttributeError, OSError, IndexError):  # Linux alone tells, and of TCP alone
        return False
    return state in _ENDED


_ENDED = (7, 8)  # TCP_CLOSE and TCP_CLOSE_WAIT of Linux's <netinet/tcp.h>


def transport_below(send: Any) -> Any:
    """The transport of uvicorn and of servers built alike, also through Starlette's wrappers."""
    seen: set[int] = set()
    rest: list[Any] = [send]
    while rest and len(seen) < 64:
        item = rest.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        transport = getattr(getattr(item, "__self__", None), "transport", None)
        if hasattr(transport, "abort") and hasattr(transport, "get_extra_info"):
            return transport
        for cell in getattr(item, "__closure__", None) or ():
            try:
                if callable(cell.cell_contents):
                    rest.append(cell.cell_contents)
            except ValueError:  # an empty cell
                continue
        rest.extend(filter(None, (getattr(item, "func", None), getattr(item, "_send", None))))
    return None


def _reset(transport: Any) -> None:
    peer = transport.get_extra_info("socket")
    if peer is not None:
        try:
            # Linger 0: the kernel forgets what the peer would never have read.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
    transport.abort()
