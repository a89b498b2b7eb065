"""
From threads that wait to the loop in the background that works.

All sockets of a process that are not async share that loop, in one daemon thread, which is there
as long as one of them is open.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from .._errors import ConnectionLostError
from ._asked import Handler
from ._desk import safely

T = TypeVar("T")

_OWN = "observable socket"
"""How the names of our threads begin."""


class _Background:
    """The loop that all sockets share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def enter(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                name = f"{_OWN} loop"
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name=name, daemon=True
                )
                self._thread.start()
            self._users += 1
            return self._loop

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            loop, thread, self._loop = self._loop, self._thread, None
            assert loop is not None
            assert thread is not None
            loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join()
                loop.close()


_background = _Background()


class Bridge:
    """From threads that wait to the loop that works."""

    def __init__(self) -> None:
        self.loop = _background.enter()
        self._lock = threading.Lock()
        self.closed = False
        self._waiting: set[Future[Any]] = set()
        # Two, so that what is told in order stays in order, and no handler waits for another.
        self._listeners = ThreadPoolExecutor(1, f"{_OWN} listener")
        self._handlers = ThreadPoolExecutor(None, f"{_OWN} handler")

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for it. Whatever interrupts the wait cancels it."""
        with self._lock:
            if self.closed:
                work.close()
                raise ConnectionLostError(False, 1000, "this socket is closed")
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
            self._waiting.add(future)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            self._waiting.discard(future)

    def now(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function returns that must run on the loop."""

        async def calling() -> T:
            return function(*arguments)

        return self.do(calling())

    def listener(self, function: Callable[..., Any]) -> Callable[..., None]:
        """`function`, called in a thread, one call after another."""

        def later(*arguments: Any) -> None:
            if not self.closed:
                self._listeners.submit(safely, function, *arguments)

        return later

    def in_thread(self, function: Handler, *arguments: Any) -> Any:
        """To be awaited: what `function` returns, which may block and call back."""
        return self.loop.run_in_executor(self._handlers, partial(function, *arguments))

    def end(self) -> None:
        """Leave nothing behind, not even a thread. Twice is harmless."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            waiting = list(self._waiting)
        # Their calls have failed by now; they only have to hear of it while there is a loop.
        for future in waiting:
            future.cancel()
        _background.leave()
        outside = not threading.current_thread().name.startswith(_OWN)
        self._listeners.shutdown(wait=outside)
        self._handlers.shutdown(wait=outside)
