"""
Letting the sockets of a router go, each with all its answers, before its process ends.

It decides when each one goes. How one is closed is the connection's part; which signals begin
it is that of `_signals`.
"""

import asyncio
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from ._log import logger
from ._signals import signals

LOOK_EVERY: Final = 0.05
"""Seconds between two looks whether something still runs on a socket that is to go."""

TURNS: Final = 4
"""Turns of the loop in which what has arrived is read: so long nothing may run."""

FAREWELL: Final = 1.0
"""Seconds that the last ones have for their close frame, when the time is up."""

RETRY_AFTER: Final = 1
"""Seconds that who comes while sockets are let go is asked to wait: another server may be up."""


class Leaver(Protocol):
    """What is let go: the shell around one socket."""

    @property
    def busy(self) -> bool:
        """Whether something runs on it, or waits to be sent."""
        ...

    def tell_drain(self, within_ms: int) -> bool:
        """Ask the client to leave by itself; False where it does not know how to."""
        ...

    async def send_away(self) -> None:
        """Close it, so that its client comes back."""
        ...


class Drain:
    """The open sockets of a router, and how they leave. To be used on their event loop."""

    def __init__(self, at_signal: float | None = None) -> None:
        if at_signal is not None and not at_signal >= 0:
            raise ValueError(f"drain is a number of seconds, or None, not {at_signal!r}")
        self._at_signal = at_signal
        self._armed = False
        self.draining = False
        """No new sockets, and those that are here are leaving."""
        self._open: set[Leaver] = set()
        self._deadline = math.inf
        self._running: asyncio.Task[None] | None = None
        self._empty: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- at a signal

    def begin(self) -> None:
        """An application starts: sockets are let in, and a signal is waited for."""
        if self._running is None or self._running.done():
            self._running, self.draining = None, False
        self._armed = False
        self.arm()

    def arm(self) -> None:
        """Let all go at the first signal, if that is wanted. Twice is harmless."""
        if self._armed:
            return
        self._armed = True
        seconds = self._at_signal
        if seconds is not None and not signals.add(self, lambda: self.run(seconds)):
            logger.warning(
                "sockets are not drained at a signal: the main thread alone hears of those, and "
                "this event loop runs in another; await router.drain() instead"
            )

    def end(self) -> None:
        """The application has ended: a signal is the server's again."""
        signals.remove(self)
        self._armed = False

    # --- who is open, and how they leave

    @contextmanager
    def holding(self, leaver: Leaver) -> Iterator[None]:
        """It is open while this is entered."""
        self._open.add(leaver)
        if self.draining:
            self._let_go(leaver)
        try:
            yield
        finally:
            self._open.discard(leaver)
            if self._empty is not None and not self._open and not self._empty.done():
                self._empty.set_result(None)

    async def run(self, within: float) -> None:
        """Let all go; returns when nobody is left, or after so many seconds. Whoever calls
        meanwhile waits for the same end."""
        if self._running is None:
            loop = asyncio.get_running_loop()
            self.draining, self._deadline = True, loop.time() + within
            self._running = loop.create_task(self._run())
        await asyncio.shield(self._running)

    async def _run(self) -> None:
        logger.info("letting %d sockets go, within %g s", len(self._open), self._left)
        for leaver in list(self._open):
            self._let_go(leaver)
        if await self._emptied(self._deadline):
            return
        logger.warning("%d sockets are closed with what still runs on them", len(self._open))
        for leaver in list(self._open):
            self._send_away(leaver)
        await self._emptied(self._deadline + FAREWELL)

    @property
    def _left(self) -> float:
        """How many seconds there still are."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def _emptied(self, deadline: float) -> bool:
        """Whether nobody is left, now or until then."""
        loop = asyncio.get_running_loop()
        # More than once: one may have been on its way in.
        while self._open and loop.time() < deadline:
            self._empty = loop.create_future()
            await asyncio.wait([self._empty], timeout=deadline - loop.time())
        return not self._open

    def _let_go(self, leaver: Leaver) -> None:
        left = self._left
        if not self._told(leaver):
            # The first half, so that what runs then has the other; at random, so that they do
            # not come back all together.
            wait = random.uniform(0, left / 2)
            asyncio.get_running_loop().call_later(wait, self._go, leaver)

    def _told(self, leaver: Leaver) -> bool:
        """Whether it leaves by itself, having been asked to."""
        return leaver.tell_drain(math.ceil(self._left * 1000))

    def _go(self, leaver: Leaver, turns: int = TURNS) -> None:
        """Its time has come, but for what it still has to say."""
        if leaver not in self._open:
            return
        if turns == TURNS and self._told(leaver):
            return  # it has said only meanwhile that it knows how to
        loop = asyncio.get_running_loop()
        if leaver.busy:
            loop.call_later(LOOK_EVERY, self._go, leaver)
        elif turns:
            loop.call_soon(self._go, leaver, turns - 1)
        else:
            self._send_away(leaver)

    def _send_away(self, leaver: Leaver) -> None:
        task = asyncio.get_running_loop().create_task(leaver.send_away())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
