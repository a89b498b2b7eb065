"""Numbers published to topics while something happens, and what became of each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from fastapi_observable_socket._hub import Hub
from fastapi_observable_socket.backends import Keep, Position, Unavailable, Uncertain
from fastapi_observable_socket.backends.redis import RedisBackend

KEEP = Keep(10_000, 60)
GAP = -1
PATIENT = 25.0


class Witness:
    """A listener that keeps the numbers it hears, and the gaps between them."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.positions: list[Position] = []

    def event(self, message: Any) -> None:
        self.items.append(int(message.data.partition(b" ")[0]))
        self.positions.append(Position(message.epoch, message.offset))

    def gap(self, position: Position) -> None:
        self.items.append(GAP)

    @property
    def numbers(self) -> list[int]:
        return [n for n in self.items if n != GAP]

    @property
    def gaps(self) -> int:
        return self.items.count(GAP)

    def has(self, acknowledged: Sequence[int]) -> bool:
        """The last of them, or a gap in its place."""
        return bool(self.items) and self.items[-1] in (GAP, max(acknowledged, default=GAP))

    def holds(self, acknowledged: Sequence[int]) -> None:
        """In order, none twice, and whatever was acknowledged is here or behind a gap."""
        heard = [-1, *self.items]
        for at, number in enumerate(heard):
            if number == GAP and at:
                continue
            rest = heard[at + 1 :]
            following = next((n for n in rest if n != GAP), None)
            through_gap = bool(rest) and rest[0] == GAP
            if following is not None:
                # The same once more only where its first publication is of another history.
                assert following > number or (through_gap and following == number)
            if not through_gap:
                end = 10**9 if following is None else following
                silent = [n for n in acknowledged if number < n < end]
                assert not silent, f"lost in silence: {silent[:10]} of {len(silent)}"


class Traffic:
    """One publisher for each topic, one number after another. With `persist` each number is
    published until it is acknowledged."""

    def __init__(self, hub: Hub, topics: Sequence[str], persist: bool = False) -> None:
        self.hub = hub
        self.topics = topics
        self.persist = persist
        self.pause = 0.005
        self.timeout = 1.0
        self.acknowledged: dict[str, list[int]] = {topic: [] for topic in topics}
        self.refused = 0
        self._next = dict.fromkeys(topics, 0)
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Traffic":
        self._tasks = [asyncio.create_task(self._publish(topic)) for topic in self.topics]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _publish(self, topic: str) -> None:
        while not self._over:
            await self.one(topic)
            await asyncio.sleep(self.pause)

    async def one(self, topic: str) -> None:
        number = self._next[topic]
        self._next[topic] += 1
        while True:
            try:
                await self.hub.publish(topic, b"%d" % number, KEEP, f"m{number}", self.timeout)
            except (Unavailable, Uncertain):
                self.refused += 1
                if not self.persist:
                    return
                await asyncio.sleep(0.02)
            else:
                self.acknowledged[topic].append(number)
                return

    async def flows(self, count: int = 20) -> None:
        """Until so many more are acknowledged for each topic."""
        before = {topic: len(self.acknowledged[topic]) for topic in self.topics}
        await until(
            lambda: all(len(self.acknowledged[t]) >= before[t] + count for t in self.topics)
        )

    async def arrived(self, witnesses: dict[str, Witness]) -> None:
        """Until all hear what is published now: one that is newer than all before."""
        ends = dict(self._next)
        await until(
            lambda: all(w.numbers and w.numbers[-1] >= ends[t] for t, w in witnesses.items()),
            lambda: asyncio.gather(*(self.one(topic) for topic in self.topics)),
        )
        # The last round is acknowledged, and may still be on its way.
        await until(lambda: all(w.has(self.acknowledged[t]) for t, w in witnesses.items()))


async def until(fact: Callable[[], Any], do: Callable[[], Any] | None = None) -> None:
    async with asyncio.timeout(PATIENT):
        while not fact():
            if do is not None:
                await do()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def hub_at(url: str, **options: Any) -> AsyncIterator[Hub]:
    """A hub that is quick to notice things."""
    waits = {name: options.pop(name) for name in ("audit", "linger") if name in options}
    backend = RedisBackend(url, **{"command_timeout": 0.6, "probe_every": 0.3, **options})
    hub = Hub(backend, **{"audit": 0.5, **waits})
    try:
        yield hub
    finally:
        await hub.close()


async def listen(hub: Hub, topics: Sequence[str]) -> dict[str, Witness]:
    witnesses = {topic: Witness() for topic in topics}
    await asyncio.gather(*(_attach(hub, topic, w) for topic, w in witnesses.items()))
    return witnesses


async def _attach(hub: Hub, topic: str, witness: Witness) -> None:
    """As clients do: again, where a busy machine has kept the broker from answering in time."""
    async with asyncio.timeout(PATIENT):
        while True:
            try:
                await hub.attach(topic, witness)
            except Unavailable:
                await asyncio.sleep(0.1)
            else:
                return


def names(count: int, prefix: str = "t") -> list[str]:
    return [f"{prefix}{n}" for n in range(count)]


def in_order(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(numbers))
