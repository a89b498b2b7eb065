"""
How the client leaves a line whose server is about to end: with all answers, and not with others.

It decides when; what is not written meanwhile, and what is a line, the desk knows.
"""

import asyncio
import random
from typing import Protocol

from .._errors import SocketError
from ._ledger import Heard, payload_of

LONGEST = 3600.0
"""Seconds that a server may give at most."""


class Leaver(Protocol):
    """What it needs of the desk."""

    @property
    def idle(self) -> bool:
        """Whether this line owes nobody an answer."""
        ...

    def leave(self) -> None:
        """Go on over another line, at once."""
        ...


class Leaving:
    """What becomes of one line after another."""

    def __init__(self, desk: Leaver) -> None:
        self._desk = desk
        self.closed = False
        """Nothing new is asked over this line."""
        self._timers: list[asyncio.TimerHandle] = []

    def told(self, frame: Heard) -> None:
        """The server wants us to leave. Told again, it changes nothing."""
        within = _within(frame)
        if within is None or self._timers:
            return
        loop = asyncio.get_running_loop()
        # At random, since all others were told too; and so that what runs then has the other half.
        self._timers = [
            loop.call_later(random.uniform(0, within / 2), self._close),
            loop.call_later(within, self._go),
        ]

    def over(self) -> None:
        """The line is gone."""
        self.closed = False
        timers, self._timers = self._timers, []
        for timer in timers:
            timer.cancel()

    def look(self) -> None:
        """Something has ended: go, if it was the last."""
        if self.closed and self._desk.idle:
            # Not at once: this may be the line's own task.
            asyncio.get_running_loop().call_soon(self._go_if_idle)

    def _close(self) -> None:
        self.closed = True
        self.look()

    def _go_if_idle(self) -> None:
        if self.closed and self._desk.idle:
            self._go()

    def _go(self) -> None:
        self.over()
        self._desk.leave()


def _within(frame: Heard) -> float | None:
    """Seconds until the server ends."""
    try:
        payload = payload_of(frame)
    except SocketError:
        return None
    given = payload.get("within_ms") if isinstance(payload, dict) else None
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        return None
    return min(given / 1000, LONGEST)
