"""
Who is at which topic through this process, told to the backend, and who is there in all.

How many sockets of whom is kept here and changes at once; one task makes the backend agree. All
is said under a lease: when that is lost, or the broker was, a new one is taken and all is said
again, so that nobody is forgotten and nobody stays for ever.
"""

import asyncio
import dataclasses
import random
from contextlib import suppress
from typing import Any, Literal

from pydantic import TypeAdapter

from ._call import Call
from ._handle import Connection
from ._hub import AGAIN, PATIENCE, Hub
from ._log import failure
from ._topic import Topic
from .backends._backend import (
    PRESENCE_KEEP,
    Entry,
    Member,
    PresenceBackend,
    Unavailable,
    Uncertain,
)

LEASE = 15.0
"""Seconds after which a worker that is not heard of counts as gone, with all its sockets."""

BEAT = 5.0
"""Seconds, about, between two signs of life."""

AT_ONCE = 200
"""Users that are told of in one step."""

FAREWELL = 2.0
"""Seconds in which a process that ends may say so; else its lease does."""

Key = tuple[str, str | None]
"""A topic, and a user at it: None is nobody in particular."""


@dataclasses.dataclass(frozen=True, slots=True)
class PresenceChange:
    """A user came to a topic by the first of their sockets, or left it by the last.

    `since` is when they came, in seconds since 1970. Of those without a user (`user_id` None) each
    socket is told of; `sockets` is how many they are now.
    """

    event: Literal["join", "leave"]
    user_id: str | None
    sockets: int
    since: float


_change = TypeAdapter(PresenceChange)


class Attendance:
    """That of one router."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._backend: Any = hub.backend
        self._places: dict[Connection, dict[str, str | None]] = {}
        self._here: dict[Key, int] = {}
        self._unsaid: dict[Key, None] = {}
        self._lease = ""
        self._over: list[str] = []
        """Leases of ours that are to be ended, once all is said under the new one."""
        self._anew = False
        self._ended = False
        self._saying: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        hub.on_up.append(self._say_anew)

    def check(self, pattern: str) -> None:
        """Raises `TypeError` where the backend does not know who is there."""
        if not isinstance(self._backend, PresenceBackend):
            raise TypeError(
                f"topic {pattern!r} has presence, and {type(self._backend).__name__} does not know "
                "who is there: it is no backends.PresenceBackend"
            )

    # --- what happens here

    def came(self, connection: Connection, topic: str) -> None:
        """Twice is harmless."""
        places = self._places.setdefault(connection, {})
        if topic not in places:
            places[topic] = connection.user_id
            self._count(topic, connection.user_id, 1)

    def went(self, connection: Connection, topic: str) -> None:
        """Twice is harmless."""
        places = self._places.get(connection, {})
        if topic in places:
            self._count(topic, places.pop(topic), -1)
        if not places:
            self._places.pop(connection, None)

    def gone(self, connection: Connection) -> None:
        """From everywhere."""
        for topic, user in self._places.pop(connection, {}).items():
            self._count(topic, user, -1)

    def renamed(self, connection: Connection) -> None:
        """It has become known who that is."""
        places = self._places.get(connection, {})
        for topic, user in places.items():
            places[topic] = connection.user_id
            self._count(topic, connection.user_id, 1)
            self._count(topic, user, -1)

    def _count(self, topic: str, user: str | None, more: int) -> None:
        key = topic, user
        sockets = self._here.get(key, 0) + more
        if sockets:
            self._here[key] = sockets
        else:
            del self._here[key]
        self._unsaid[key] = None
        self._say_soon()

    # --- saying it

    def _say_anew(self) -> None:
        """The broker is there, or is back, with whatever it still knows."""
        self._anew, self._ended = True, False
        self._say_soon()

    def _say_soon(self) -> None:
        if self._hub.up and not self._ended and (self._saying is None or self._saying.done()):
            self._saying = self._hub.spawn(self._say())

    async def _say(self) -> None:
        try:
            # In one loop: people come and go also while an old lease is being ended.
            while self._unsaid or self._anew or self._over:
                if self._unsaid or self._anew:
                    if self._anew or not self._lease:
                        await self._begin_lease()
                    await self._say_some()
                else:
                    await self._backend.reap(self._over[-1])
                    self._over.pop()
        except Exception as error:
            if not isinstance(error, Unavailable | Uncertain):
                failure("who is there could not be told", error)
            if self._hub.up:
                asyncio.get_running_loop().call_later(AGAIN, self._say_soon)

    async def _begin_lease(self) -> None:
        self._anew = False
        if not self._here and not self._lease:
            self._unsaid.clear()  # who came has gone, and nobody has heard of it
            return
        try:
            lease = await self._backend.lease(LEASE if self._backend.remote else float("inf"))
        except BaseException:
            self._anew = True
            raise
        if self._lease:
            self._over.append(self._lease)
        self._lease = lease
        self._unsaid = dict.fromkeys(self._here)
        if self._backend.remote and (self._beating is None or self._beating.done()):
            self._beating = self._hub.spawn(self._beat())

    async def _say_some(self) -> None:
        some = list(self._unsaid)[:AT_ONCE]
        for key in some:
            del self._unsaid[key]  # before: what changes meanwhile is said again
        entries = [Entry(*key, self._here.get(key, 0)) for key in some]
        try:
            if entries and not await self._backend.announce(self._lease, entries):
                self._anew = True
        except BaseException:
            self._unsaid |= dict.fromkeys(some)
            raise

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT * random.uniform(0.8, 1.2))
            try:
                if not await self._backend.beat(self._lease, LEASE):
                    self._say_anew()  # we were away for long, and were taken for dead
                await self._backend.reap()
            except Unavailable:
                pass  # when it is back all is said again
            except Exception as error:
                failure("who is gone could not be told", error)

    async def close(self) -> None:
        """All who are here leave, as far as others are concerned."""
        self._ended = True  # until the hub begins again
        for task in (self._saying, self._beating):
            if task is not None:
                task.cancel()
        lease, self._lease = self._lease, ""
        self._over.clear()
        if lease and self._hub.up:
            with suppress(Exception):
                async with asyncio.timeout(FAREWELL):
                    await self._backend.reap(lease)

    # --- asking

    async def members(self, topic: str) -> list[Member]:
        """Those who are there; of this process, as it is now. Raises `Unavailable`."""
        await self._said()
        found: list[Member] = await self._backend.members(topic)
        return found

    async def count(self, topic: str) -> int:
        """How many users there are, and sockets of none. Raises `Unavailable`."""
        await self._said()
        number: int = await self._backend.count(topic)
        return number

    async def _said(self) -> None:
        await self._hub.ready()
        if self._saying is not None and not self._saying.done():
            await asyncio.wait([self._saying], timeout=PATIENCE)


class Roster:
    """Who is at a topic, as a topic of its own: `<topic>/@presence`. Whoever may listen to that
    topic may listen to this; its state are the members, and its events their changes."""

    keep = PRESENCE_KEEP
    conflate = None
    snapshots = True
    presence = False

    def __init__(self, topic: Topic, name: str, attendance: Attendance) -> None:
        self._topic = topic
        self._name = name
        self._attendance = attendance
        self.takes_socket = topic.takes_socket

    async def admit(self, call: Call, path: dict[str, Any], wants_state: bool) -> Any:
        """As `Topic.admit`."""
        await self._topic.admit(call, path, False)
        return await self._attendance.members(self._name) if wants_state else None

    def read(self, data: bytes) -> PresenceChange:
        return _change.validate_json(data)
