"""
What is done before a signal ends the process: in front of the server's own handler.

A server closes its sockets as soon as it hears of the signal, and tells the application of its
end only after that. So the first signal is heard here, and handed on when the jobs are done.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final

from ._log import failure

ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)

ECHO: Final = 2.0
"""Seconds in which a SIGTERM is no second signal: a supervisor repeats to its workers what they
have heard themselves, from a terminal or from whoever signals all processes of a service."""

Job = Callable[[], Coroutine[Any, Any, None]]


class Signals:
    """Jobs that are done, all at the same time, between the first signal and its handler.

    A second one goes straight through, unless it is an echo of the first: that is handed on
    with it. `clock` tells seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = 0.0
        self._jobs: dict[object, Job] = {}
        self._uses: dict[object, int] = {}
        self._before: dict[int, Any] = {}
        """The handlers that were there."""
        self._kept: dict[int, Any] = {}
        """The same, also once they are back: a signal that came is handed on then, too."""
        self._came: list[int] = []
        self._through = False
        """Whether the handlers that were there have been told."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def add(self, key: object, job: Job) -> bool:
        """Do `job`, on the running loop, before the process ends. False where that cannot be:
        handlers of signals belong to the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return False
        loop = asyncio.get_running_loop()
        if not self._jobs or self._loop is not loop:
            # Another loop in the main thread: the one before is over, and so are its jobs.
            self._jobs.clear()
            self._uses.clear()
            self._loop = loop
            self._install()
        self._jobs[key] = job
        self._uses[key] = self._uses.get(key, 0) + 1
        return True

    def remove(self, key: object) -> None:
        """As often as it was added; then, and after the last, all is as before."""
        if key not in self._uses:
            return
        self._uses[key] -= 1
        if not self._uses[key]:
            del self._uses[key], self._jobs[key]
        if not self._jobs:
            self._restore()

    def _install(self) -> None:
        self._restore()
        self._came, self._through, self._task = [], False, None
        for number in ENDING:
            before = signal.getsignal(number)
            # None is not Python's to call; and what is ignored ends nothing.
            if before is not None and before is not signal.SIG_IGN:
                self._before[number] = self._kept[number] = before
                signal.signal(number, self._heard)

    def _restore(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            if signal.getsignal(number) == self._heard:
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        loop, first = self._loop, not self._came
        self._came.append(number)
        if self._through or loop is None or not loop.is_running():
            self._through = True
            self._hand_on(number, frame)
        elif first:
            self._since = self._clock()
            loop.call_soon_threadsafe(self._begin)
        elif number == signal.SIGINT or self._clock() - self._since > ECHO:
            self._through = True
            self._hand_on(number, frame)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._do())

    async def _do(self) -> None:
        jobs = list(self._jobs.values())
        for done in await asyncio.gather(*[job() for job in jobs], return_exceptions=True):
            if isinstance(done, Exception):
                failure("failed before the end of the process", done)
        if not self._through:
            self._through = True
            for number in self._came:
                self._hand_on(number, None)

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        before = self._kept.get(number)
        if callable(before):
            before(number, frame)
        elif before is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


signals: Final = Signals()
"""Those of this process."""
