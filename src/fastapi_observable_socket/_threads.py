"""
Plain functions, run where they block nobody.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Generator
from typing import Any, Self, TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")


async def run_sync(function: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
    """Await a plain function in the thread pool. Raises what it raises."""
    return await run_in_threadpool(_contained, function, arguments, keywords)


def _contained(function: Callable[..., T], arguments: Any, keywords: Any) -> T:
    try:
        return function(*arguments, **keywords)
    except (StopIteration, GeneratorExit) as error:
        # These two steer coroutines; on their way to us they would steer the wrong one.
        raise RuntimeError(f"{type(error).__name__} left a function") from error


class SyncItems:
    """A plain generator as an asynchronous one: each step in the thread pool.

    `value` is what it returned, once it is at its end.
    """

    def __init__(self, generator: Generator[Any, None, Any]) -> None:
        self._generator = generator
        self._lock = threading.Lock()
        self._running = False
        self._closed = False
        self._failed: BaseException | None = None
        self._ended: asyncio.Future[None] | None = None
        # One for all steps: what one sets, the next must be able to reset.
        self._context = contextvars.copy_context()
        self.value: Any = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        found, item = await run_in_threadpool(self._context.run, self._step, loop, self._ended)
        if not found:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Close it, behind a step that is under way. Raises what its end raises."""
        self._closed = True
        if self._running and self._ended is not None:
            # Not in a thread: those that hang must not cost those that wait for them another.
            await asyncio.shield(self._ended)
        # Not in the pool of the steps, which may be full of those that hang; and to its end, also
        # where nobody waits any more.
        close = asyncio.get_running_loop().run_in_executor(None, self._context.run, self._close)
        with contextlib.suppress(RuntimeError):  # a step has just begun, and will see to it
            await asyncio.shield(close)
        if self._failed is not None:
            raise self._failed

    def _step(self, loop: asyncio.AbstractEventLoop, ended: Any) -> tuple[bool, Any]:
        self._running = True
        try:
            with self._lock:
                return True, next(self._generator)
        except StopIteration as end:
            self.value = end.value
            return False, None
        finally:
            if self._closed:  # and perhaps nobody waits any more
                self._close()
            self._running = False
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_resolve, ended)

    def _close(self) -> None:
        try:
            with self._lock:
                self._generator.close()
        except BaseException as error:
            self._failed = error


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
