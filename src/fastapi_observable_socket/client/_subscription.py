"""
One who listens to a topic: what it was given and has not taken yet, and how far it has come.

It asks for nothing: that is the part of `_topics`.
"""

import asyncio
import random
from collections import deque
from typing import Any, Final, NamedTuple

import msgspec

from .._errors import SocketError
from .._status import Status
from ..backends._backend import Position
from ._ledger import Heard, payload_of

RELOAD_WITHIN: Final = 5.0
"""Seconds over which those who lost events spread their reloading, if the server does not say."""


class Event(NamedTuple):
    """One event, and where it stands; None where its topic keeps none."""

    frame: Heard
    position: Position | None


class Lost(NamedTuple):
    """Events were lost before `position`; `state` is what is so there, where that is known."""

    position: Position
    reload_after_ms: int
    state: Heard | None


class Began(NamedTuple):
    """Where a subscription stands at its beginning, and the topic's state, if it came."""

    position: Position
    state: Heard | None


class Subscription:
    """One who listens to a topic here, and what was not taken from it yet."""

    __slots__ = (
        "asked",
        "at",
        "began",
        "behind",
        "error",
        "fresh",
        "items",
        "joined",
        "over",
        "resting",
        "topic",
        "waiter",
    )

    def __init__(self, topic: str, since: Position | None) -> None:
        self.topic = topic
        self.at = since
        """How far it was told; None where only a new beginning helps."""
        self.fresh = True
        """It has not begun yet."""
        self.asked = False
        """The server may know of it."""
        self.joined = False
        """It is given what comes over this line."""
        self.behind = False
        """So much waits here that the rest is asked for later."""
        self.resting = False
        """It waits before it asks for a new state, since all others ask too."""
        self.items: deque[Event | Lost] = deque()
        self.began: asyncio.Future[Began] | None = None
        """Where somebody waits for it."""
        self.over = False
        self.error: Exception | None = None
        """Why no more will come, told after what came."""
        self.waiter: asyncio.Future[None] | None = None

    def begin(self, position: Position, state: Heard | None = None) -> None:
        self.fresh = False
        if self.began is not None and not self.began.done():
            self.began.set_result(Began(position, state))

    def give(self, event: Event) -> None:
        """One more, unless it is known."""
        at, position = self.at, event.position
        if position is not None:
            if at is not None and at.epoch == position.epoch and position.offset <= at.offset:
                return
            self.at = position
        self.items.append(event)
        self._wake()

    def lose(self, lost: Lost) -> None:
        self.at = lost.position
        self.items.append(lost)
        self._wake()

    def fail(self, error: Exception | None) -> None:
        """No more will come; without an error, since nobody wants it."""
        self.over, self.error = True, error
        if self.began is not None and not self.began.done():
            self.began.set_exception(error or SocketError("it was left"))
            self.began.exception()  # perhaps nobody waits any more
        self._wake()

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def more(self) -> None:
        """Until something has come, or nothing will."""
        self.waiter = asyncio.get_running_loop().create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None


# --- what the server says


class Missed(msgspec.Struct):
    epoch: str
    offset: int
    payload: msgspec.Raw = msgspec.Raw(b"null")


class Told(msgspec.Struct):
    """What the server says of a topic that was asked for."""

    status: int = Status.OK
    epoch: str = ""
    offset: int = 0
    recovered: bool = False
    missed: list[Missed] = msgspec.field(default_factory=list)
    snapshot: msgspec.Raw = msgspec.Raw(b"")
    message: Any = None
    code: Any = None
    payload: Any = msgspec.UNSET

    @property
    def refusal(self) -> Any:
        """The payload of an error: as it was declared, or the usual one."""
        if self.payload is not msgspec.UNSET:
            return self.payload
        return {"message": self.message, "code": self.code}

    @property
    def state(self) -> Heard | None:
        return Heard(payload=self.snapshot) if bytes(self.snapshot) else None


def bring_up(
    subscription: Subscription, since: Position | None, position: Position, told: Told
) -> None:
    """It gets what it missed since then, or hears that this cannot be had, and is joined."""
    if not told.recovered and (since is not None or not subscription.fresh):
        # With the state in hand there is nothing to be read anew, and so nothing to wait for.
        wait = reload_wait() if told.state is None else 0
        subscription.lose(Lost(position, wait, told.state))
    for missed in told.missed:
        known = Position(missed.epoch, missed.offset)
        subscription.give(Event(Heard(payload=missed.payload), known))
    at = subscription.at
    # A server may know less than we do: never back in the same history.
    if at is None or at.epoch != position.epoch or at.offset < position.offset:
        subscription.at = position
    subscription.joined = True
    if subscription.fresh:
        subscription.begin(since or position, told.state)


def position_of(frame: Heard) -> Position | None:
    """Where an event or a gap stands; None where it does not say."""
    headers = frame.headers or {}
    epoch, offset = headers.get("$epoch"), headers.get("$offset")
    return Position(epoch, offset) if isinstance(epoch, str) and type(offset) is int else None


def reload_wait() -> int:
    """Milliseconds, at random: others lost the same events."""
    return int(random.uniform(0, RELOAD_WITHIN) * 1000)


def reload_after_ms(frame: Heard) -> int:
    """How long a `$gap` asks to wait."""
    try:
        payload = payload_of(frame)
    except SocketError:
        payload = None
    wait = payload.get("reload_after_ms") if isinstance(payload, dict) else None
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= 3_600_000:
        return reload_wait()
    return int(wait)
