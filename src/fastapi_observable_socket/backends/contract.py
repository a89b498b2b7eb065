"""
What a backend has to keep, as tests: run them against your own.

    from fastapi_observable_socket.testing import BACKEND_RULES

    @pytest.mark.parametrize("rule", BACKEND_RULES, ids=lambda rule: rule.__name__)
    async def test_my_backend(rule):
        await rule(MyBackend)

Each rule is given a function that makes a backend, calls it as often as it needs peers of one
broker, and closes what it made. Topics are new ones each time.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from ._backend import (
    PRESENCE,
    Backend,
    Entry,
    Keep,
    Message,
    Page,
    Position,
    PresenceBackend,
)

Make = Callable[[], Backend]
Rule = Callable[[Make], Awaitable[None]]

KEEP = Keep(100, 60)
PATIENCE = 10.0


class Ear:
    """A started backend, and what it was told."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.heard: list[Message] = []
        self.up = asyncio.Event()

    def _state(self, up: bool) -> None:
        if up:
            self.up.set()
        else:
            self.up.clear()

    async def start(self) -> None:
        await self.backend.start(self.heard.append, self._state)
        async with asyncio.timeout(PATIENCE):
            await self.up.wait()

    async def has(self, count: int) -> list[Message]:
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:  # noqa: ASYNC110  # of any backend, in any way
                await asyncio.sleep(0.001)
        return self.heard


@asynccontextmanager
async def _ear(make: Make) -> AsyncIterator[Ear]:
    ear = Ear(make())
    await ear.start()
    try:
        yield ear
    finally:
        await ear.backend.close()


def _topic() -> str:
    return f"rule/{secrets.token_hex(8)}"


async def _publish(ear: Ear, topic: str, count: int, keep: Keep = KEEP) -> list[Position]:
    receipts = [await ear.backend.publish(topic, b"%d" % n, keep=keep) for n in range(count)]
    return [receipt.position for receipt in receipts if receipt.position]


def _data(page: Page) -> list[bytes]:
    return [message.data for message in page.messages]


async def offsets_count_from_one_within_an_epoch(make: Make) -> None:
    async with _ear(make) as ear:
        topic = _topic()
        positions = await _publish(ear, topic, 3)
        assert [p.offset for p in positions] == [1, 2, 3]
        assert len({p.epoch for p in positions}) == 1
        assert (await ear.backend.history(topic, None)).position == positions[-1]
        assert await ear.backend.positions([topic, topic]) == [positions[-1]] * 2


async def subscribers_hear_in_order_what_was_published_and_nobody_else(make: Make) -> None:
    async with _ear(make) as ear:
        topic, other = _topic(), _topic()
        await ear.backend.subscribe([topic])
        await _publish(ear, other, 1)
        positions = await _publish(ear, topic, 50)
        heard = await ear.has(50)
        assert [(m.topic, m.data) for m in heard] == [(topic, b"%d" % n) for n in range(50)]
        assert [Position(m.epoch, m.offset) for m in heard] == positions
        assert [m.prev for m in heard] == list(range(50))


async def who_unsubscribes_hears_no_more(make: Make) -> None:
    async with _ear(make) as ear:
        topic, mark = _topic(), _topic()
        await ear.backend.subscribe([topic, mark])
        await ear.backend.unsubscribe([topic])
        await ear.backend.unsubscribe([topic])
        await _publish(ear, topic, 1)
        await _publish(ear, mark, 1)
        assert [m.topic for m in await ear.has(1)] == [mark]


async def history_is_all_after_a_position(make: Make) -> None:
    async with _ear(make) as ear:
        topic = _topic()
        start = (await ear.backend.history(topic, None)).position
        positions = await _publish(ear, topic, 5)
        page = await ear.backend.history(topic, positions[1])
        assert (_data(page), page.gap, page.position) == ([b"2", b"3", b"4"], False, positions[-1])
        assert [(m.offset, m.prev) for m in page.messages] == [(3, 2), (4, 3), (5, 4)]
        assert _data(await ear.backend.history(topic, start)) == [b"%d" % n for n in range(5)]
        now = await ear.backend.history(topic, positions[-1])
        assert (now.messages, now.gap) == ([], False)


async def what_cannot_be_proven_is_a_gap(make: Make) -> None:
    async with _ear(make) as ear:
        topic = _topic()
        now = (await _publish(ear, topic, 3))[-1]
        for since in (Position("other", 1), Position("", 0), Position(now.epoch, 99)):
            page = await ear.backend.history(topic, since)
            assert (page.gap, page.messages, page.position) == (True, [], now)


async def what_is_trimmed_is_a_gap(make: Make) -> None:
    async with _ear(make) as ear:
        topic = _topic()
        positions = await _publish(ear, topic, 20, Keep(5, 60))
        assert (await ear.backend.history(topic, positions[13])).gap
        page = await ear.backend.history(topic, positions[14])
        assert (page.gap, len(page.messages)) == (False, 5)


async def what_is_too_old_is_a_gap(make: Make) -> None:
    async with _ear(make) as ear:
        topic = _topic()
        first, last = await _publish(ear, topic, 2, Keep(5, 0.05))
        async with asyncio.timeout(PATIENCE):
            while not (await ear.backend.history(topic, first)).gap:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        after = await ear.backend.publish(topic, b"after", keep=KEEP)
        assert after.position == Position(last.epoch, 3)  # the counter goes on


async def under_one_id_an_event_is_stored_once(make: Make) -> None:
    async with _ear(make) as ear:
        topic = _topic()
        await ear.backend.subscribe([topic])
        once = [
            (await ear.backend.publish(topic, b"1", keep=KEEP, message_id="m")).position
            for _ in range(3)
        ]
        assert len(set(once)) == 1
        assert (await ear.backend.publish(topic, b"2", keep=KEEP, message_id="n")).position
        assert [m.data for m in await ear.has(2)] == [b"1", b"2"]
        assert (await ear.backend.publish(_topic(), b"1", keep=KEEP, message_id="m")).position


async def what_is_not_kept_is_heard_and_has_no_position(make: Make) -> None:
    async with _ear(make) as ear:
        topic = _topic()
        await ear.backend.subscribe([topic])
        assert (await ear.backend.publish(topic, b"1", keep=None)).position is None
        (message,) = await ear.has(1)
        assert (message.topic, message.data, message.offset) == (topic, b"1", 0)
        assert (await ear.backend.history(topic, None)).position.offset == 0


async def any_bytes_and_any_name_pass_unchanged(make: Make) -> None:
    async with _ear(make) as ear:
        topic = _topic() + " ü{}\n☃ $1"
        await ear.backend.subscribe([topic])
        data = '{"a": "ü  b", "n": [1, 2]} \r\n'.encode() + b"x" * 100_000
        position = (await ear.backend.publish(topic, data, keep=KEEP)).position
        assert position is not None
        assert (await ear.has(1))[0][:2] == (topic, data)
        page = await ear.backend.history(topic, Position(position.epoch, 0))
        assert _data(page) == [data]


async def many_at_a_time_are_all_stored(make: Make) -> None:
    async with _ear(make) as ear:
        topic = _topic()
        await ear.backend.subscribe([topic])
        receipts = await asyncio.gather(
            *(ear.backend.publish(topic, b"%d" % n, keep=Keep(1000, 60)) for n in range(500))
        )
        assert {r.position.offset for r in receipts if r.position} == set(range(1, 501))
        assert [m.offset for m in await ear.has(500)] == list(range(1, 501))


async def one_that_was_closed_starts_again(make: Make) -> None:
    ear = Ear(make())
    for _ in range(3):
        ear.heard.clear()
        await ear.start()
        topic = _topic()
        await ear.backend.subscribe([topic])
        await _publish(ear, topic, 1)
        await ear.has(1)
        await ear.backend.close()


# --- who is there, where a backend knows that


class _Room(NamedTuple):
    """A topic, its backend, and what is told of it."""

    topic: str
    backend: Any
    ear: Ear

    async def has(self, *users: Any) -> None:
        """So many sockets of each, by name; in any order."""
        found = {m.user_id: m.sockets for m in await self.backend.members(self.topic)}
        assert found == dict(users), found

    async def told(self, count: int) -> list[tuple[Any, Any, Any]]:
        """Event, user and sockets of each that was told by now."""
        events = [json.loads(m.data) for m in await self.ear.has(count)]
        assert len(events) == count, events
        return [(e["event"], e["user_id"], e["sockets"]) for e in events]


@asynccontextmanager
async def _room(make: Make) -> AsyncIterator[_Room | None]:
    """None for a backend that does not know who is there: nothing is asked of it then."""
    async with _ear(make) as ear:
        backend, topic = ear.backend, _topic() + " ü{}"
        if not isinstance(backend, PresenceBackend):
            yield None
            return
        await backend.subscribe([topic + PRESENCE])
        yield _Room(topic, backend, ear)


async def a_user_joins_by_the_first_socket_and_leaves_by_the_last(make: Make) -> None:
    async with _room(make) as room:
        if room is None:
            return
        one, two = [await room.backend.lease(60) for _ in "ab"]
        topic, announce = room.topic, room.backend.announce
        assert await announce(one, [Entry(topic, "ann", 1), Entry(topic, "bob", 1)])
        assert await announce(two, [Entry(topic, "ann", 2), Entry(topic, "ann", 3)])
        await room.has(("ann", 4), ("bob", 1))
        assert await room.backend.count(topic) == 2
        await announce(one, [Entry(topic, "ann", 0), Entry(topic, "bob", 0)])
        await room.has(("ann", 3))
        await announce(two, [Entry(topic, "ann", 0), Entry(topic, "eve", 0)])
        await room.has()
        assert await room.told(4) == [
            ("join", "ann", 1),
            ("join", "bob", 1),
            ("leave", "bob", 0),
            ("leave", "ann", 0),
        ]


async def what_is_announced_twice_is_so_once(make: Make) -> None:
    async with _room(make) as room:
        if room is None:
            return
        lease = await room.backend.lease(60)
        for sockets in (2, 2, 1, 1):
            await room.backend.announce(lease, [Entry(room.topic, "ann", sockets)])
            await room.has(("ann", sockets))
        for _ in "ab":
            await room.backend.announce(lease, [Entry(room.topic, "ann", 0)])
        assert await room.told(2) == [("join", "ann", 2), ("leave", "ann", 0)]


async def those_who_are_nobody_are_counted(make: Make) -> None:
    async with _room(make) as room:
        if room is None:
            return
        one, two = [await room.backend.lease(60) for _ in "ab"]
        announce = room.backend.announce
        await announce(one, [Entry(room.topic, None, 2), Entry(room.topic, "", 1)])
        await announce(two, [Entry(room.topic, None, 1)])
        await room.has((None, 3), ("", 1))
        assert await room.backend.count(room.topic) == 4
        await announce(one, [Entry(room.topic, None, 1)])
        await announce(one, [Entry(room.topic, None, 1)])
        assert await room.told(4) == [
            ("join", None, 2),
            ("join", "", 1),
            ("join", None, 3),
            ("leave", None, 2),
        ]


async def a_worker_that_is_gone_has_left(make: Make) -> None:
    async with _room(make) as room:
        if room is None:
            return
        stays, goes = await room.backend.lease(60), await room.backend.lease(0.1)
        users = [Entry(room.topic, f"u{n}", 1) for n in range(450)]
        await room.backend.announce(stays, users[:1])
        assert await room.backend.announce(goes, users)
        async with asyncio.timeout(PATIENCE):
            while len(await room.backend.members(room.topic)) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await room.backend.count(room.topic) == 1
        await room.backend.reap()
        await room.has(("u0", 1))
        told = await room.told(450 + 449)
        assert {user for event, user, _ in told if event == "leave"} == {
            f"u{n}" for n in range(1, 450)
        }
        assert not await room.backend.beat(goes, 60)
        assert not await room.backend.announce(goes, users)
        assert await room.backend.beat(stays, 60)


async def a_worker_that_is_beaten_for_stays(make: Make) -> None:
    async with _room(make) as room:
        if room is None:
            return
        lease, other = await room.backend.lease(0.3), await room.backend.lease(0.01)
        await room.backend.announce(lease, [Entry(room.topic, "ann", 1)])
        assert await room.backend.beat(lease, 60)
        async with asyncio.timeout(PATIENCE):
            while await room.backend.announce(other, []):  # time goes on
                await room.backend.reap()
                await asyncio.sleep(0.01)
        await room.has(("ann", 1))
        await room.backend.reap(lease)
        await room.has()
        await room.backend.reap(lease)
        assert await room.told(2) == [("join", "ann", 1), ("leave", "ann", 0)]


async def a_worker_takes_a_new_lease_and_nobody_notices(make: Make) -> None:
    async with _room(make) as room:
        if room is None:
            return
        old = await room.backend.lease(60)
        entries = [Entry(room.topic, "ann", 2), Entry(room.topic, "bob", 1)]
        await room.backend.announce(old, entries)
        since = (await room.backend.members(room.topic))[0].since
        new = await room.backend.lease(60)
        await room.backend.announce(new, entries[:1])
        await room.backend.reap(old)
        (member,) = await room.backend.members(room.topic)
        assert (member.user_id, member.sockets, member.since) == ("ann", 2, since)
        assert [t[0] for t in await room.told(3)] == ["join", "join", "leave"]


async def comings_and_goings_are_events_like_others(make: Make) -> None:
    async with _room(make) as room:
        if room is None:
            return
        start = (await room.backend.history(room.topic + PRESENCE, None)).position
        lease, odd = await room.backend.lease(60), 'ü "\\/\n\x7f= -'
        for sockets in (1, 0, 1):
            await room.backend.announce(lease, [Entry(room.topic, odd, sockets)])
        page = await room.backend.history(room.topic + PRESENCE, start)
        assert [m.offset for m in page.messages] == [1, 2, 3]
        assert page.messages == await room.ear.has(3)
        told = [json.loads(m.data) for m in page.messages]
        assert [(t["event"], t["user_id"]) for t in told] == [
            (event, odd) for event in ("join", "leave", "join")
        ]
        (member,) = await room.backend.members(room.topic)
        assert (member.user_id, told[-1]["since"]) == (odd, member.since)
        assert told[0]["since"] == told[1]["since"] <= member.since


BACKEND_RULES: tuple[Rule, ...] = (
    offsets_count_from_one_within_an_epoch,
    subscribers_hear_in_order_what_was_published_and_nobody_else,
    who_unsubscribes_hears_no_more,
    history_is_all_after_a_position,
    what_cannot_be_proven_is_a_gap,
    what_is_trimmed_is_a_gap,
    what_is_too_old_is_a_gap,
    under_one_id_an_event_is_stored_once,
    what_is_not_kept_is_heard_and_has_no_position,
    any_bytes_and_any_name_pass_unchanged,
    many_at_a_time_are_all_stored,
    one_that_was_closed_starts_again,
    a_user_joins_by_the_first_socket_and_leaves_by_the_last,
    what_is_announced_twice_is_so_once,
    those_who_are_nobody_are_counted,
    a_worker_that_is_gone_has_left,
    a_worker_that_is_beaten_for_stays,
    a_worker_takes_a_new_lease_and_nobody_notices,
    comings_and_goings_are_events_like_others,
)
"""Each is an async function of one that makes a backend; it raises AssertionError."""
