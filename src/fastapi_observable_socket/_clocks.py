"""
How long a connection may be silent, and how long its peer may refuse to read.

Watches and tells; what is then done is the connection's part.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from ._outbox import Bounds, Outbox
from ._session import ServerSession
from ._status import CloseCode


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one connection. Times are in seconds, sizes in bytes of UTF-8."""

    max_message_bytes: int = 256 * 1024
    max_response_bytes: int = 16 * 1024 * 1024
    max_in_flight: int = 64
    look_ahead: int = 64
    reject_overflow: bool = False
    max_bad_messages: int = 100
    idle_timeout: float = 180.0
    idle_timeout_without_heartbeat: float = 3600.0
    send_timeout: float = 10.0
    max_streams: int = 128
    max_pushed: int = 8 * 1024 * 1024
    outbox: Bounds = field(default_factory=Bounds)
    behind_timeout: float = 5.0


class Clocks:
    """Those of one connection. `begun` are its calls under way, `pending` tells the bytes
    that wait below the outbox, and `cut` is told why the connection must end."""

    __slots__ = (
        "_begun",
        "_behind",
        "_cut",
        "_heard_at",
        "_idle",
        "_limits",
        "_loop",
        "_outbox",
        "_pending",
        "_session",
        "_stalled",
        "heard",
    )

    def __init__(
        self,
        limits: Limits,
        session: ServerSession,
        outbox: Outbox,
        begun: Collection[Any],
        pending: Callable[[], int],
        cut: Callable[[CloseCode], None],
    ) -> None:
        self._limits = limits
        self._session = session
        self._outbox = outbox
        self._begun = begun
        self._pending = pending
        self._cut = cut
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._idle: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._behind: asyncio.TimerHandle | None = None
        self.heard = False
        """Set by whoever hears a frame; no clock is read for each."""

    def start(self) -> None:
        shortest = min(self._limits.idle_timeout, self._limits.idle_timeout_without_heartbeat)
        # Often enough that a connection is closed at most an eighth later than it could be.
        self._idle = self._loop.call_later(shortest / 8, self._check_idle)

    def stop(self) -> None:
        for timer in (self._idle, self._stalled, self._behind):
            if timer is not None:
                timer.cancel()

    def look_at_sending(self) -> None:
        """Begin to watch the outbox, if it is busy: from now on its peer must take something."""
        if self._outbox.busy and self._stalled is None:
            self._stalled = self._loop.call_later(
                self._limits.send_timeout, self._check_stalled, self._outbox.sent, self._pending()
            )

    def look_at_pushes(self) -> None:
        """Begin to watch a peer that takes what is pushed to it too slowly."""
        if self._behind is None:
            self._outbox.recovered = False
            self._behind = self._loop.call_later(self._limits.behind_timeout, self._check_behind)

    def _check_behind(self) -> None:
        self._behind = None
        if not self._outbox.recovered:
            self._cut(CloseCode.SLOW_CONSUMER)
        elif self._outbox.is_behind:
            self.look_at_pushes()

    def _check_stalled(self, sent: int, pending: int) -> None:
        """Whether anything was taken since `sent` texts were out and `pending` bytes waited."""
        self._stalled = None
        if not self._outbox.busy:
            return
        if self._outbox.sent == sent and self._pending() >= pending:
            self._cut(CloseCode.SLOW_CONSUMER)
        else:
            self.look_at_sending()

    def _check_idle(self) -> None:
        limits, now = self._limits, self._loop.time()
        # Calls are bounded in time, and streams are not: those must not keep a dead peer.
        if self.heard or any(call.flow is None for call in self._begun):
            self.heard = False
            self._heard_at = now
        heartbeats = self._session.heartbeats
        limit = limits.idle_timeout if heartbeats else limits.idle_timeout_without_heartbeat
        if now - self._heard_at >= limit:
            self._cut(CloseCode.IDLE)
        else:
            self.start()
