"""
Who is at which topic, on Redis: one lease for each worker, by the server's own clock.

A worker is beaten for every few seconds, not each of its sockets: a million connections cost as
many writes as they come and go. One that is killed is reaped by any other.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ._backend import PRESENCE_KEEP, Entry, Member, Unavailable
from ._redis_scripts import ANNOUNCE, BEAT, COUNT, MEMBERS, REAP

NOBODY = b"-"


class PresenceOnRedis:
    """The verbs of `PresenceBackend`. The rest is the backend's: how to ask, and what names
    things have."""

    _prefix: str
    _channels: bytes
    _incarnation: str
    _meta_ttl_ms: int

    async def _ask(self, ask: Callable[[Any], Awaitable[Any]], changes: bool = False) -> Any:
        raise NotImplementedError

    async def _run(self, link: Any, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        raise NotImplementedError

    async def lease(self, seconds: float) -> str:
        lease = secrets.token_urlsafe(9)
        await self._step(BEAT, [], lease, int(seconds * 1000), "new")
        return lease

    async def beat(self, lease: str, seconds: float) -> bool:
        return bool(await self._step(BEAT, [], lease, int(seconds * 1000), ""))

    async def announce(self, lease: str, entries: Sequence[Entry]) -> bool:
        lines = (
            part
            for topic, user, sockets in entries
            for part in (topic, "-" if user is None else f"={user}", sockets)
        )
        return bool(await self._step(ANNOUNCE, [], *self._common(), lease, *lines))

    async def members(self, topic: str) -> list[Member]:
        reply = await self._reaped(MEMBERS, topic, 0)
        found = [
            Member(None if user == NOBODY else user[1:].decode(), sockets, since / 1000)
            for user, sockets, since in zip(reply[::3], reply[1::3], reply[2::3], strict=True)
        ]
        return sorted(found, key=lambda m: (m.since, m.user_id or ""))

    async def count(self, topic: str) -> int:
        return int(await self._reaped(COUNT, topic, -1))

    async def reap(self, lease: str = "") -> None:
        while await self._step(REAP, [], *self._common(), lease):
            pass

    async def _reaped(self, script: str, topic: str, not_yet: int) -> Any:
        """What the script says once nobody is counted whose worker is gone."""
        for _ in range(3):
            reply = await self._step(script, [f"{self._prefix}p:{{{topic}}}"])
            if reply != not_yet:
                return reply
            await self.reap()
        raise Unavailable("workers die faster than they are reaped")

    async def _step(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        # May be repeated whatever became of it: it says how things are, not how they change.
        return await self._ask(
            lambda link: self._run(link, script, [f"{self._prefix}leases", *keys], *arguments)
        )

    def _common(self) -> tuple[Any, ...]:
        """What CHANGE takes."""
        return (
            self._prefix,
            self._channels,
            secrets.token_hex(8),
            self._incarnation,
            PRESENCE_KEEP.size,
            int(PRESENCE_KEEP.ttl * 1000),
            self._meta_ttl_ms,
        )
