"""
Plain functions, run where they block nobody.
"""

from collections.abc import Callable
from typing import Any, TypeVar

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
