"""
The seam to a broker: what a hub asks of it, and what it promises.

An implementation is one class in one file; `testing.BackendContract` says whether it keeps the
promises written here. It knows neither frames nor subscribers.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable


class Message(NamedTuple):
    """One event of a topic, as JSON.

    `offset` counts from 1 within an `epoch`; `prev` is the offset before it, so that a reader
    knows whether it missed one. An event that is not kept has offset and prev 0.
    """

    topic: str
    data: bytes
    epoch: str
    offset: int
    prev: int


class Position(NamedTuple):
    """How far a topic has come: which history this is, and the offset of its last event."""

    epoch: str
    offset: int


class Page(NamedTuple):
    """What came after a position. `gap`: not all of it is there any more, or it cannot be
    proven; `messages` is empty then, and `position` is that of now."""

    position: Position
    messages: list[Message]
    gap: bool = False


class Receipt(NamedTuple):
    """What is known of a published event: its position, None where it is not kept, and how many
    processes listen, None where the broker does not tell."""

    position: Position | None
    receivers: int | None = None


class Keep(NamedTuple):
    """How much history a topic has: at most `size` events, none older than `ttl` seconds."""

    size: int = 256
    ttl: float = 300.0


class Unavailable(Exception):
    """The broker is away, and the event was certainly not stored."""


class Uncertain(Exception):
    """The broker was asked and did not answer: the event may be stored or not.

    Publishing it again under the same `message_id` stores it once.
    """


class Backend(Protocol):
    """A broker's adapter. All of it is called on one event loop.

    Order: events of a topic reach `on_message` in the order of their offsets, the same
    in every process, and never before they are stored. An epoch changes whenever it
    cannot be proven that the history goes on: a page then says `gap`. A false gap is
    allowed, a silent loss is not.
    """

    remote: bool
    """Whether there is a way to it on which something may be lost, and which is watched then.
    Where there is none, publishing is neither repeated nor bounded in time."""

    async def start(
        self, on_message: Callable[[Message], None], on_state: Callable[[bool], None]
    ) -> None:
        """Begin. `on_message` is given each event of subscribed topics, `on_state` False when
        events may be lost from now on, True when subscriptions may be made again (all of
        them must be). Neither raises. Returns without waiting for a broker that is away."""

    async def publish(
        self, topic: str, data: bytes, *, keep: Keep | None, message_id: str = ""
    ) -> Receipt:
        """Store an event (not, where `keep` is None) and hand it to all subscribers, in one step.
        Raises `Unavailable` and `Uncertain`. A `message_id` is remembered for a minute at least."""
        ...

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Returns when the broker has confirmed it. Raises `Unavailable`."""

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Twice is harmless. Raises nothing."""

    async def history(self, topic: str, since: Position | None) -> Page:
        """All after `since`; for None the position alone. Raises `Unavailable`."""
        ...

    async def positions(self, topics: Sequence[str]) -> list[Position]:
        """Those of many topics at once. Raises `Unavailable`."""
        ...

    async def close(self) -> None:
        """End, with every task and connection. `start` may follow."""


PRESENCE = "/@presence"
"""What comes behind the name of a topic where its comings and goings are told."""

PRESENCE_KEEP = Keep(256, 300.0)
"""Of these too some are kept: they are lost as little as other events."""


class Entry(NamedTuple):
    """How many sockets of a user a worker has at a topic. The user None is nobody in particular."""

    topic: str
    user: str | None
    sockets: int


@dataclass(frozen=True, slots=True)
class Member:
    """One who is at a topic: how many `sockets` they have there, in all processes, and `since`
    when, in seconds since 1970. All who are nobody in particular are one, with `user_id` None."""

    user_id: str | None
    sockets: int
    since: float


@runtime_checkable
class PresenceBackend(Protocol):
    """What a backend may know besides: who is at which topic, in all processes.

    What is told of it holds as long as the lease under which it was said. All of it says how things
    are, and may be repeated. Each raises `Unavailable`.

    The first socket of a user at a topic, and the end of the last, are told on the topic of that
    name with `PRESENCE` behind, stored as `PRESENCE_KEEP` says and in the same step: `change`
    is how. Of nobody in particular every change of the number is.
    """

    async def lease(self, seconds: float) -> str:
        """A new one; it ends unless it is beaten for in time."""
        ...

    async def beat(self, lease: str, seconds: float) -> bool:
        """Whether it still holds, for so many seconds from now on. If not, all that was said under
        it is gone or about to go."""
        ...

    async def announce(self, lease: str, entries: Sequence[Entry]) -> bool:
        """This is how things are now, for the worker with this lease; 0 sockets is nobody. False,
        and nothing of it done, where the lease is over."""
        ...

    async def members(self, topic: str) -> list[Member]:
        """Those who are there, longest first; none under a lease that is over."""
        ...

    async def count(self, topic: str) -> int:
        """How many: users, and sockets of nobody in particular."""
        ...

    async def reap(self, lease: str = "") -> None:
        """End this lease, and all that is over. Whoever left by that is told."""


def change(event: str, member: Member) -> bytes:
    """The event "join" or "leave": of whom, how many sockets they have now, since when."""
    told = {"user_id": member.user_id, "sockets": member.sockets, "since": member.since}
    return json.dumps({"event": event, **told}).encode()
