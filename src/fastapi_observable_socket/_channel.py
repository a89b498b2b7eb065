"""
What one process knows of one topic: who listens, and how far it has come.

A channel decides nothing and asks nobody; the hub does.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .backends._backend import Message, Position

RING = 256
"""Events of a topic that are kept here, so that those who come back are not the broker's load."""

MOST = 4 * RING
"""Of what those who come back have missed, so many events are kept for the next of them."""


class Listener(Protocol):
    """One who is told of the events of a topic. Neither waits nor raises."""

    def event(self, message: Message) -> None: ...

    def gap(self, position: Position) -> None: ...


class Attached(NamedTuple):
    """How a listener began: at `position`, with the events it had `missed` since it left;
    not `recovered`, where these cannot be had."""

    position: Position
    missed: list[Message]
    recovered: bool


NOWHERE = Position("", 0)


class Channel:
    """What this process knows of one topic."""

    __slots__ = (
        "_ring",
        "asking",
        "behind",
        "coming",
        "cursor",
        "fleeting",
        "joined",
        "latest",
        "linger",
        "listeners",
        "lost",
        "only",
        "period",
        "recovery",
        "returning",
        "seen",
        "told_at",
        "topic",
        "waiting",
    )

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.fleeting = topic[:1] == "@"
        """Whether it is one between processes: nothing of it is kept, and nothing asked."""
        self.listeners: dict[Listener, None] = {}
        self.coming = 0
        """How many are about to listen."""
        self.joined = False
        """Whether the broker has confirmed that it tells us."""
        self.cursor = NOWHERE
        """How far this process has come; without an epoch until that is known."""
        self.returning: dict[Listener, Position] = {}
        """Those who come back and have no answer yet, and where they stood."""
        self.asking: asyncio.Event | None = None
        """While the history is asked for them."""
        self.lost = NOWHERE
        """Nothing after this or an earlier position in its epoch is to be had any more."""
        self.only = ""
        """The epoch besides which no other is to be had, once the broker has said so."""
        self._ring: deque[Message] | None = None  # most topics have no event for long
        self.waiting: list[Message] | None = None
        """What came while the history was being asked."""
        self.behind = False
        """Whether there may be something behind the cursor that was not asked for yet."""
        self.recovery: asyncio.Task[None] | None = None
        self.linger: asyncio.TimerHandle | None = None
        self.period = 0.0
        """Seconds between two events that are told; of those between, the latest alone is."""
        self.latest: Message | None = None
        self.told_at = -1e9
        self.seen = True
        """Whether it has had an event since the last audit."""

    @property
    def ring(self) -> deque[Message]:
        """The last events."""
        if self._ring is None:
            self._ring = deque(maxlen=RING)
        return self._ring

    @property
    def wanted(self) -> bool:
        return bool(self.listeners or self.coming)

    def since(self, position: Position) -> list[Message] | None:
        """What came after `position`, if all of it is still here."""
        epoch, offset = position
        if epoch != self.cursor.epoch or offset > self.cursor.offset:
            return None
        if offset == self.cursor.offset:
            return []
        found = [message for message in self.ring if message.offset > offset]
        return found if found and found[0].prev <= offset else None

    def has_lost(self, position: Position) -> bool:
        """Whether the broker has said already that what came after it cannot be had."""
        if self.only and position.epoch != self.only:
            return True
        return position.epoch == self.lost.epoch and position.offset <= self.lost.offset

    def furthest(self, like: Position) -> Position:
        """Where the one who comes back from furthest behind stood, in the epoch of `like`: one
        question for all of them."""
        those = [p for p in self.returning.values() if p.epoch == like.epoch]
        return min(those, key=lambda position: position.offset, default=like)

    def remember(self, missed: Sequence[Message]) -> None:
        """For the next who come back: these end at the cursor."""
        if len(missed) > len(self._ring or ()):
            self._ring = deque(missed, maxlen=min(max(RING, len(missed)), MOST))


class Batch:
    """Topics about which the broker is made to agree in one go."""

    __slots__ = ("channels", "done", "refused")

    def __init__(self) -> None:
        self.channels: dict[Channel, None] = {}
        self.done = asyncio.Event()
        self.refused: dict[Channel, Exception] = {}
