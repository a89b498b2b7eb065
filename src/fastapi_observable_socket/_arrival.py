"""
Waiting for what a transport brings, without a turn of the loop in between.

A future has whoever awaits it go on at the loop's next turn. An arrival has them go on at
once, inside the call that brings the data: in their own task and its context, as ever.
"""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

Step = Callable[[Callable[..., Any], Callable[[Any], object], Any], object]
"""Has a waiting task take its step, by calling the first argument with the others."""


def at_once(run: Callable[..., Any], *arguments: Any) -> None:
    run(*arguments)


class Arrival:
    """A wait of one task, and of another one once that is over. `step` may do something before and
    after the step that the task then takes.

    Built on what `asyncio` asks of an object that a task may wait for beside its own futures
    (see `asyncio.isfuture`).
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "_wake_up", "step")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.step: Step = at_once
        self._asyncio_future_blocking = False
        self._loop = loop
        self._wake_up: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._cancelled: asyncio.CancelledError | None = None

    def arrive(self) -> bool:
        """Let the waiting task go on; False where none waits any more.

        It runs at once, until it waits again. Where another task is running now, it goes on
        at the loop's next turn instead: two tasks cannot run inside one another.
        """
        if self._wake_up is None:
            return False
        if asyncio.current_task(self._loop) is None:
            self._go_on()
        else:
            self._loop.call_soon(self._go_on)
        return True

    def _go_on(self) -> None:
        wake_up, self._wake_up = self._wake_up, None
        if wake_up is not None:
            assert self._context is not None
            self.step(self._context.run, wake_up, self)

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self

    # --- what a task asks of it

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, wake_up: Callable[[Any], object], *, context: Context) -> None:
        self._wake_up, self._context = wake_up, context

    def result(self) -> None:
        if self._cancelled is not None:
            raise self._cancelled

    def cancel(self, msg: Any = None) -> bool:
        if self._wake_up is None:
            return False
        # anyio knows its own cancellations by what they say.
        self._cancelled = asyncio.CancelledError(*(() if msg is None else (msg,)))
        self._loop.call_soon(self._go_on)
        return True
