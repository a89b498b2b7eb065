"""
Plain functions, run where they block nobody.
"""

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
        self._closed = False
        # One for all steps: what one sets, the next must be able to reset.
        self._context = contextvars.copy_context()
        self.value: Any = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        found, item = await run_in_threadpool(self._context.run, self._step)
        if not found:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Close it, behind a step that is under way. Raises what its end raises."""
        self._closed = True
        await run_in_threadpool(self._close)

    def _step(self) -> tuple[bool, Any]:
        try:
            with self._lock:
                return True, next(self._generator)
        except StopIteration as end:
            self.value = end.value
            return False, None

    def _close(self) -> None:
        with self._lock:
            self._context.run(self._generator.close)
