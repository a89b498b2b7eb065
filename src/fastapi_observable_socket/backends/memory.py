"""
Topics of one process: nothing else to install, and nothing that outlives it.
"""

import logging
import multiprocessing
import os
import secrets
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import pairwise

from ._backend import (
    PRESENCE,
    PRESENCE_KEEP,
    Entry,
    Keep,
    Member,
    Message,
    Page,
    Position,
    Receipt,
    change,
)

logger = logging.getLogger("fastapi_observable_socket")

REMEMBERED = 60.0
"""Seconds for which a message id is known."""

FORGOTTEN_AFTER = 24 * 3600.0
"""Seconds after which a topic that nobody published to has no position any more."""

SWEEP_EVERY = 1024
"""Published events between two looks at what has become too old."""


class _History:
    __slots__ = ("epoch", "events", "keep", "offset", "used")

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.offset = 0
        self.events: deque[tuple[float, Message]] = deque()
        self.keep = Keep()
        self.used = 0.0

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.offset)

    def shorten(self, now: float) -> None:
        events, keep = self.events, self.keep
        while events and (len(events) > keep.size or now - events[0][0] > keep.ttl):
            events.popleft()


class _Person:
    """A user at a topic: how many sockets there are by each lease."""

    __slots__ = ("held", "since")

    def __init__(self) -> None:
        self.since = round(time.time(), 3)
        self.held: dict[str, int] = {}

    @property
    def sockets(self) -> int:
        return sum(self.held.values())


class MemoryBackend:
    """The default: the promises of `Backend`, within one process.

    Several workers would each have topics of their own. Where it can see that there are
    several, it says so once, loudly. `clock` tells seconds.
    """

    remote = False

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._histories: dict[str, _History] = {}
        self._epoch = secrets.token_hex(8)
        """Of the topics that begin now."""
        self._subscribed: set[str] = set()
        self._ids: OrderedDict[tuple[str, str], tuple[float, Receipt]] = OrderedDict()
        self._on_message: Callable[[Message], None] = lambda _: None
        self._leases: dict[str, float] = {}
        self._people: dict[str, dict[str | None, _Person]] = {}
        self._published = 0
        self._warned = False

    async def start(
        self, on_message: Callable[[Message], None], on_state: Callable[[bool], None]
    ) -> None:
        self._on_message = on_message
        on_state(True)

    def _warn_once(self) -> None:
        """Not before something depends on it: to hold users is no reason to warn."""
        if not self._warned and several_workers():
            logger.warning(
                "topics are kept in the memory of each worker, and there are several: a message "
                "reaches only the sockets of the worker that published it; use a broker, "
                'SocketRouter(backend=RedisBackend("redis://..."))'
            )
        self._warned = True

    async def publish(
        self, topic: str, data: bytes, *, keep: Keep | None, message_id: str = ""
    ) -> Receipt:
        self._warn_once()
        now = self._clock()
        if message_id and (known := self._known(topic, message_id, now)) is not None:
            return known
        receivers = int(topic in self._subscribed)
        if keep is None:
            message, receipt = Message(topic, data, "", 0, 0), Receipt(None, receivers)
        else:
            message = self._store(topic, data, keep, now)
            receipt = Receipt(Position(message.epoch, message.offset), receivers)
        if message_id:
            self._ids[topic, message_id] = now, receipt
        if receivers:
            self._on_message(message)
        return receipt

    def _known(self, topic: str, message_id: str, now: float) -> Receipt | None:
        while self._ids and now - next(iter(self._ids.values()))[0] > REMEMBERED:
            self._ids.popitem(last=False)
        known = self._ids.get((topic, message_id))
        return known[1] if known else None

    def _store(self, topic: str, data: bytes, keep: Keep, now: float) -> Message:
        self._published += 1
        if self._published % SWEEP_EVERY == 0:
            self._sweep(now)
        history = self._history(topic, now)
        history.keep, history.used = keep, now
        history.offset += 1
        message = Message(topic, data, history.epoch, history.offset, history.offset - 1)
        history.events.append((now, message))
        history.shorten(now)
        return message

    def _history(self, topic: str, now: float) -> _History:
        history = self._histories.get(topic)
        if history is None:
            history = self._histories[topic] = _History(self._epoch)
            history.used = now
        return history

    def _sweep(self, now: float) -> None:
        for topic, history in list(self._histories.items()):
            history.shorten(now)
            if now - history.used > FORGOTTEN_AFTER and topic not in self._subscribed:
                del self._histories[topic]
                self._epoch = secrets.token_hex(8)  # it begins again, and that must show

    async def subscribe(self, topics: Sequence[str]) -> None:
        if any(topic[:1] != "@" for topic in topics):
            self._warn_once()
        self._subscribed.update(topics)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        self._subscribed.difference_update(topics)
        for topic in topics:
            # There is no end of names, and of one without events there is nothing to be known.
            history = self._histories.get(topic)
            if history is not None and not history.offset:
                del self._histories[topic]

    async def history(self, topic: str, since: Position | None) -> Page:
        now = self._clock()
        history = self._history(topic, now)
        history.shorten(now)
        position = history.position
        if since is None:
            return Page(position, [])
        missing = position.offset - since.offset
        if since.epoch != position.epoch or missing < 0 or missing > len(history.events):
            return Page(position, [], gap=True)
        events = list(history.events)[len(history.events) - missing :]
        return Page(position, [message for _, message in events])

    async def positions(self, topics: Sequence[str]) -> list[Position]:
        now = self._clock()
        return [self._history(topic, now).position for topic in topics]

    async def close(self) -> None:
        self._subscribed.clear()

    # --- who is there

    async def lease(self, seconds: float) -> str:
        lease = secrets.token_hex(8)
        self._leases[lease] = self._clock() + seconds
        return lease

    async def beat(self, lease: str, seconds: float) -> bool:
        if lease not in self._leases:
            return False
        self._leases[lease] = self._clock() + seconds
        return True

    async def announce(self, lease: str, entries: Sequence[Entry]) -> bool:
        if lease not in self._leases:
            return False
        for entry in entries:
            self._change(lease, entry)
        return True

    async def members(self, topic: str) -> list[Member]:
        await self.reap()
        people = self._people.get(topic, {})
        found = [Member(user, person.sockets, person.since) for user, person in people.items()]
        return sorted(found, key=lambda m: (m.since, m.user_id or ""))

    async def count(self, topic: str) -> int:
        return sum(1 if m.user_id is not None else m.sockets for m in await self.members(topic))

    async def reap(self, lease: str = "") -> None:
        now = self._clock()
        for over in [key for key, until in self._leases.items() if key == lease or until <= now]:
            del self._leases[over]
            for topic, people in list(self._people.items()):
                for user in [user for user, person in people.items() if over in person.held]:
                    self._change(over, Entry(topic, user, 0))

    def _change(self, lease: str, entry: Entry) -> None:
        topic, user, sockets = entry
        people = self._people.setdefault(topic, {})
        person = people.setdefault(user, _Person())
        before = person.sockets
        person.held[lease] = sockets
        if not sockets:
            del person.held[lease]
        after = person.sockets
        if not after:
            del people[user]
        if not people:
            del self._people[topic]
        if (before == 0) != (after == 0) or (user is None and before != after):
            now = Member(user, after, person.since)
            self._tell(topic + PRESENCE, change("join" if after > before else "leave", now))

    def _tell(self, topic: str, data: bytes) -> None:
        message = self._store(topic, data, PRESENCE_KEEP, self._clock())
        if topic in self._subscribed:
            self._on_message(message)


def several_workers() -> bool:
    """Whether this process can see that it is one of several that serve the same application."""
    if multiprocessing.parent_process() is None and "gunicorn" not in os.environ.get(
        "SERVER_SOFTWARE", ""
    ):
        return False
    asked = os.environ.get("WEB_CONCURRENCY", "1")
    words = [w for word in sys.argv for w in word.split("=", 1)]
    for option, value in pairwise(words):
        if option in ("--workers", "-w"):
            asked = value
    return asked.isdecimal() and int(asked) > 1
