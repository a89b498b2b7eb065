"""
Running a coroutine in the current task, and being told when it first waits.

Most handlers never wait, and a task for each would cost more than they do. Others wait
for long, and must not hold up the rest. Which is which only shows when it happens.
"""

import types
from collections.abc import Callable, Coroutine, Generator
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


@types.coroutine
def carry(
    coroutine: Coroutine[Any, Any, T],
    suspended: Callable[[], None],
    run: Callable[..., Any],
) -> Generator[Any, Any, T]:
    """Await `coroutine` here and now; call `suspended` once, at the moment it first waits.

    The coroutine runs in the current task from its first step to its last, so
    `asyncio.current_task()`, timeouts and cancel scopes are right throughout. Each step
    is made by `run`: with `contextvars.Context.run`, what it sets in context variables
    stays its own, as if it had a task to itself.
    """
    try:
        waiting = run(coroutine.send, None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]  # StopIteration carries no type
    suspended()
    while True:
        try:
            value = yield waiting
        except BaseException as error:
            resume, argument = coroutine.throw, error
        else:
            resume, argument = coroutine.send, value  # type: ignore[assignment]
        try:
            waiting = run(resume, argument)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
