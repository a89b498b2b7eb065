"""What the client asks about topics, and what its readers get; the test is the server."""

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from fastapi_observable_socket.client import (
    ConnectionLostError,
    Events,
    Gap,
    Position,
    ResponseError,
    SocketError,
    SocketTimeoutError,
)
from fastapi_observable_socket.client import _topics as rooms
from fastapi_observable_socket.client._items import reader
from fastapi_observable_socket.client._ledger import Heard, payload_of, read
from fastapi_observable_socket.client._subscription import RELOAD_WITHIN, Subscription
from fastapi_observable_socket.client._topics import AT_ONCE, BEHIND, Topics

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which attempt each wait was for; none of them waits."""
    waits: list[int] = []

    def delay(attempt: int, shortest: float, longest: float) -> float:
        waits.append(attempt)
        return 0.0

    monkeypatch.setattr(rooms, "delay", delay)
    return waits


class Server:
    """The desk of the client, and what is behind it."""

    def __init__(self) -> None:
        self.closed = False
        self.writable = True
        self.asked: list[tuple[str, Any]] = []
        self.topics = Topics(self, (1.0, 30.0))
        self._waiting: list[Callable[[Heard], None]] = []

    def ask_now(self, route: str, payload: Any, answered: Callable[[Heard], None]) -> bool:
        if self.writable:
            self.asked.append((route, payload))
            self._waiting.append(answered)
        return self.writable

    def gone(self, sent: bool) -> Exception:
        return ConnectionLostError(sent, 1000, "gone")

    def subscribe(self, topic: str = "news", since: Any = None, **options: Any) -> Events[Any, Any]:
        subscription = Subscription(topic, None if since is None else Position(*since))
        kind = options.get("event")
        return Events(
            self.topics,
            subscription,
            payload_of if kind is None else reader(kind),
            payload_of if options.get("snapshot") is None else reader(options["snapshot"]),
            options.get("on_gap"),
            options.get("timeout", 10),
        )

    async def joined(self, topic: str = "news", **said: Any) -> Events[Any, Any]:
        """Subscribed, at offset 1 of epoch "a" unless it is said otherwise."""
        events = self.subscribe(topic)
        entering = asyncio.create_task(events.__aenter__())
        await turns()
        self.answer([told(**said)])
        await entering
        self.asked.clear()
        return events

    def answer(self, topics: list[dict[str, Any]] | None = None, status: int = 200, **more: Any):
        payload = {"topics": topics} if topics is not None else more
        answered = self._waiting.pop(0)
        answered(frame(uuid="1", status=status, payload=payload))

    def event(
        self, payload: Any, offset: int | None, topic: str = "news", epoch: str = "a"
    ) -> bool:
        headers = {} if offset is None else {"$epoch": epoch, "$offset": offset}
        return self.topics.heard(
            frame(uuid=f"#{topic}", route=topic, headers=headers, payload=payload)
        )

    def gap(self, offset: int, wait: Any, epoch: str = "a", topic: str = "news") -> None:
        headers = {"$epoch": epoch, "$offset": offset}
        payload = {"topic": topic, "reload_after_ms": wait}
        self.topics.heard(frame(uuid=f"#{topic}", route="$gap", headers=headers, payload=payload))

    def lose_line(self) -> None:
        self.writable = False
        self._waiting.clear()
        self.asked.clear()
        self.topics.changed("waiting", True)

    def open_line(self) -> None:
        self.writable = True
        self.topics.changed("open", False)


def frame(**members: Any) -> Heard:
    heard = read(json.dumps(members))
    assert heard is not None
    return heard


def told(
    offset: int = 1, epoch: str = "a", *missed: tuple[int, Any], **more: Any
) -> dict[str, Any]:
    said = [{"epoch": epoch, "offset": at, "payload": payload} for at, payload in missed]
    answer = {"status": 200, "epoch": epoch, "offset": offset, "recovered": False, "missed": said}
    return {**answer, **more}


def wanted(topic: str = "news", at: tuple[str, int] | None = None) -> dict[str, Any]:
    recover = {} if at is None else {"recover": {"epoch": at[0], "offset": at[1]}}
    return {"topic": topic, **recover}


async def turns() -> None:
    """Whatever can happen has happened."""
    for _ in range(5):
        await asyncio.sleep(0)


async def enters(server: Server, *subscriptions: Events[Any, Any]) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(each.__aenter__()) for each in subscriptions]
    await turns()
    return tasks


async def waiting_in(events: Events[Any, Any]) -> list[Any]:
    """All that waits there."""
    return [await anext(events) for _ in range(events.waiting)]


# --- beginning


def test_all_that_is_wanted_in_one_turn_is_asked_for_in_one_frame(run: Run):
    async def main() -> None:
        server = Server()
        entering = await enters(server, *[server.subscribe(f"t/{n}") for n in range(3)])
        assert server.asked == [("$sub", {"topics": [wanted(f"t/{n}") for n in range(3)]})]
        server.answer([told(n) for n in range(3)])
        events = await asyncio.gather(*entering)
        assert [each.position for each in events] == [Position("a", n) for n in range(3)]
        for n in (2, 0, 1):
            assert server.event({"n": n}, 9, f"t/{n}")
        assert [await anext(each) for each in events] == [{"n": n} for n in range(3)]
        assert events[0].position == Position("a", 9)

    run(main())


def test_those_of_one_topic_share_one_subscription_of_the_server(run: Run):
    async def main() -> None:
        server = Server()
        first = await server.joined()
        server.event("x", 2)
        (entering,) = await enters(server, server.subscribe())
        second = await entering
        assert second.position == Position("a", 2)
        server.event("y", 3)
        assert await waiting_in(first) == ["x", "y"]
        assert await waiting_in(second) == ["y"]
        await first.aclose()
        await turns()
        assert server.asked == []
        server.event("z", 4)
        assert await waiting_in(second) == ["z"]
        await second.aclose()
        await turns()
        assert server.asked == [("$unsub", {"topic": "news"})]
        assert server.event("late", 5)  # on its way as it was sent, and nobody's
        server.answer(status=200)
        assert not server.event("later", 6)

    run(main())


def test_who_comes_back_in_the_same_turn_was_never_away(run: Run):
    async def main() -> None:
        server = Server()
        async with await server.joined():
            pass
        async with server.subscribe():
            await turns()
            assert server.asked == []

    run(main())


def test_who_comes_while_the_server_is_told_that_nobody_is_there_is_joined_after_it(run: Run):
    async def main() -> None:
        server = Server()
        await (await server.joined()).aclose()
        await turns()
        (entering,) = await enters(server, server.subscribe())
        assert [route for route, _ in server.asked] == ["$unsub"]
        server.answer(status=200)
        await turns()
        assert server.asked[1:] == [("$sub", {"topics": [wanted()]})]
        server.answer([told(7)])
        assert (await entering).position == Position("a", 7)

    run(main())


def test_who_leaves_before_the_answer_is_taken_off_the_server_too(run: Run):
    async def main() -> None:
        server = Server()
        (entering,) = await enters(server, server.subscribe())
        entering.cancel()
        await turns()
        assert entering.cancelled()
        assert [route for route, _ in server.asked] == ["$sub"]
        server.answer([told()])
        await turns()
        assert server.asked[1:] == [("$unsub", {"topic": "news"})]

    run(main())


def test_what_is_since_a_position_comes_first(run: Run):
    async def main() -> None:
        server = Server()
        present = await server.joined(offset=5)
        (entering,) = await enters(server, server.subscribe(since=("a", 2)))
        assert server.asked == [("$sub", {"topics": [wanted(at=("a", 2))]})]
        server.event("six", 6)  # before the answer, so it is among the missed
        server.answer([told(6, "a", (4, "four"), (6, "six"), recovered=True)])
        events = await entering
        assert (events.position, events.snapshot) == (Position("a", 2), None)
        server.event("seven", 7)
        assert await waiting_in(events) == ["four", "six", "seven"]
        assert await waiting_in(present) == ["six", "seven"]

    run(main())


def test_a_position_that_is_too_old_is_a_gap(run: Run):
    async def main() -> None:
        server = Server()
        (entering,) = await enters(server, server.subscribe(since=("a", 2)))
        server.answer([told(900)])
        events = await entering
        assert events.position == Position("a", 2)
        with pytest.raises(Gap) as gap:
            await anext(events)
        assert gap.value.position == events.position == Position("a", 900)
        assert 0 <= gap.value.reload_after_ms <= RELOAD_WITHIN * 1000

    run(main())


def test_nothing_is_listened_to_on_a_socket_that_is_closed(run: Run):
    async def main() -> None:
        server = Server()
        server.closed = True
        events = server.subscribe()
        with pytest.raises(ConnectionLostError):
            await events.__aenter__()
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    run(main())


@pytest.mark.parametrize("line", [True, False])
def test_the_beginning_is_waited_for_no_longer_than_the_timeout(run: Run, line: bool):
    async def main() -> None:
        server = Server()
        server.writable = line
        with pytest.raises(SocketTimeoutError) as error:
            await server.subscribe(timeout=0.01).__aenter__()
        assert error.value.sent is line
        await turns()
        if line:
            server.answer([told()])
            assert server.asked[1:] == [("$unsub", {"topic": "news"})]

    run(main())


# --- being refused


def test_a_refusal_ends_the_one_that_was_refused(run: Run):
    async def main() -> None:
        server = Server()
        entering = await enters(server, server.subscribe("mine"), server.subscribe("yours"))
        refusal = {"topic": "yours", "status": 403, "message": "not yours", "code": "forbidden"}
        server.answer([told(), refusal])
        await entering[0]
        with pytest.raises(ResponseError, match="not yours") as error:
            await entering[1]
        assert (error.value.route, error.value.status) == ("yours", 403)
        assert error.value.code == "forbidden"
        server.event(1, 2, "mine")
        assert await waiting_in(entering[0].result()) == [1]
        assert len(server.asked) == 1

    run(main())


def test_a_refusal_that_was_declared_has_the_payload_that_was_declared(run: Run):
    async def main() -> None:
        server = Server()
        (entering,) = await enters(server, server.subscribe("mine"))
        payload = {"message": "no order 3", "id": 3}
        server.answer([{"topic": "mine", "status": 404, "code": "refused", "payload": payload}])
        with pytest.raises(ResponseError, match="no order 3") as error:
            await entering
        assert (error.value.status, error.value.payload) == (404, payload)

    run(main())


def test_a_server_without_topics_is_told_as_such(run: Run):
    async def main() -> None:
        server = Server()
        entering = await enters(server, server.subscribe("a"), server.subscribe("b"))
        server.answer(None, 404, message="no route '$sub'", code="not_found")
        for each in entering:
            with pytest.raises(ResponseError, match="the server has no topics") as error:
                await each
            assert (error.value.status, error.value.code) == (404, "not_found")
        await turns()
        assert len(server.asked) == 1

    run(main())


def test_what_is_too_much_for_one_frame_is_asked_for_in_parts(run: Run):
    async def main() -> None:
        server = Server()
        entering = await enters(server, *[server.subscribe(f"t{n}") for n in range(4)])
        server.answer(None, 500, code="response_too_large")
        assert [[t["topic"] for t in asked["topics"]] for _, asked in server.asked[1:]] == [
            ["t0", "t1"],
            ["t2", "t3"],
        ]
        server.answer([told(), told()])
        server.answer(None, 400, code="bad_request", message="too bad")
        assert [[t["topic"] for t in asked["topics"]] for _, asked in server.asked[3:]] == [
            ["t2"],
            ["t3"],
        ]
        server.answer(None, 400, code="bad_request", message="too bad")
        server.answer([told()])
        await asyncio.gather(entering[0], entering[1], entering[3])
        with pytest.raises(ResponseError, match="too bad"):
            await entering[2]

    run(main())


def test_a_frame_has_so_many_topics_at_most(run: Run):
    async def main() -> None:
        server = Server()
        entering = await enters(server, *[server.subscribe(f"t{n}") for n in range(AT_ONCE + 1)])
        assert [len(asked["topics"]) for _, asked in server.asked] == [AT_ONCE, 1]
        server.answer([told()] * AT_ONCE)
        server.answer([told()])
        await asyncio.gather(*entering)

    run(main())


@pytest.mark.parametrize("whole", [True, False])
def test_a_broker_that_is_away_is_asked_again_after_growing_waits(
    run: Run, whole: bool, no_waits: list[int]
):
    async def main() -> None:
        server = Server()
        events = await server.joined("there")
        entering = await enters(server, server.subscribe("away"))
        away = {"status": 503, "message": "away", "code": "unavailable"}
        for _ in range(3):
            server.answer(None, **away) if whole else server.answer([away])
            await turns()
        assert no_waits == [0, 1, 2]
        assert server.asked == [("$sub", {"topics": [wanted("away")]})] * 4
        server.event(1, 2, "there")
        assert await waiting_in(events) == [1]
        server.answer([told(3)])
        assert (await entering[0]).position == Position("a", 3)
        server.lose_line()
        server.open_line()
        server.answer(None, **away)
        assert no_waits == [0, 1, 2, 0]

    run(main())


@pytest.mark.parametrize("topics", [[], [{"offset": "x"}], "none"])
def test_an_answer_that_cannot_be_read_ends_what_it_is_about(run: Run, topics: Any):
    async def main() -> None:
        server = Server()
        (entering,) = await enters(server, server.subscribe())
        server.answer(topics)
        with pytest.raises(SocketError, match="cannot be read"):
            await entering

    run(main())


# --- coming back


def test_a_new_line_is_told_of_all_topics_in_one_frame_with_their_positions(run: Run):
    async def main() -> None:
        server = Server()
        one, two = await server.joined("one"), await server.joined("two", offset=9)
        server.event("seen", 2, "one")
        assert await anext(one) == "seen"
        server.event("not taken yet", 3, "one")
        server.lose_line()
        await turns()
        assert server.asked == []
        server.open_line()
        assert server.asked == [
            ("$sub", {"topics": [wanted("one", ("a", 3)), wanted("two", ("a", 9))]})
        ]
        server.answer(
            [
                told(5, "a", (4, "missed"), (5, "missed, too"), recovered=True),
                told(9, recovered=True),
            ]
        )
        server.event("missed, too", 5, "one")  # it was in the answer already
        server.event("live", 6, "one")
        server.event("first", 10, "two")
        assert await waiting_in(one) == ["not taken yet", "missed", "missed, too", "live"]
        assert await waiting_in(two) == ["first"]
        assert len(server.asked) == 1

    run(main())


def test_what_cannot_be_had_any_more_is_a_gap_and_iterating_goes_on(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined()
        server.event("before", 2)
        server.lose_line()
        server.open_line()
        server.answer([told(1, "b")])
        server.event("after", 2, epoch="b")
        assert await anext(events) == "before"
        with pytest.raises(Gap) as gap:
            await anext(events)
        assert gap.value.topic == "news"
        assert gap.value.position == Position("b", 1)
        assert 0 <= gap.value.reload_after_ms <= RELOAD_WITHIN * 1000
        assert await anext(events) == "after"

    run(main())


@pytest.mark.parametrize("awaited", [True, False])
def test_a_gap_is_given_to_on_gap_in_its_turn(run: Run, awaited: bool):
    told_of: list[Gap] = []

    async def later(gap: Gap) -> None:
        await asyncio.sleep(0)
        told_of.append(gap)

    async def main() -> None:
        server = Server()
        (entering,) = await enters(
            server, server.subscribe(on_gap=later if awaited else told_of.append)
        )
        server.answer([told()])
        events = await entering
        server.event("before", 2)
        server.gap(7, 1234)
        server.event("after", 8)
        assert await anext(events) == "before"
        assert told_of == []
        assert await anext(events) == "after"
        assert [(gap.position, gap.reload_after_ms) for gap in told_of] == [(("a", 7), 1234)]

    run(main())


def test_a_topic_that_is_refused_to_who_comes_back_ends_after_what_came_before(run: Run):
    async def main() -> None:
        server = Server()
        mine, yours = await server.joined("mine"), await server.joined("yours")
        server.event("before", 2, "yours")
        server.lose_line()
        server.open_line()
        refusal = {"status": 404, "message": "no topic 'yours'", "code": "not_found"}
        server.answer([told(1, recovered=True), refusal])
        assert await anext(yours) == "before"
        with pytest.raises(ResponseError, match="no topic"):
            await anext(yours)
        with pytest.raises(StopAsyncIteration):
            await anext(yours)
        server.event("on", 2, "mine")
        assert await anext(mine) == "on"
        server.lose_line()
        server.open_line()
        assert server.asked == [("$sub", {"topics": [wanted("mine", ("a", 2))]})]

    run(main())


def test_a_server_that_is_behind_neither_doubles_nor_rewinds(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined(offset=10)
        server.lose_line()
        server.open_line()
        server.answer([told(7, recovered=True)])
        for offset in range(8, 12):
            server.event(offset, offset)
        assert await waiting_in(events) == [11]
        server.lose_line()
        server.open_line()
        assert server.asked == [("$sub", {"topics": [wanted(at=("a", 11))]})]

    run(main())


def test_who_had_no_answer_yet_is_asked_for_on_the_next_line(run: Run):
    async def main() -> None:
        server = Server()
        (entering,) = await enters(server, server.subscribe())
        server.lose_line()
        server.open_line()
        assert server.asked == [("$sub", {"topics": [wanted()]})]
        server.answer([told(4)])
        assert (await entering).position == Position("a", 4)

    run(main())


def test_what_is_left_while_there_is_no_line_is_never_spoken_of(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined()
        server.lose_line()
        await events.aclose()
        await turns()
        server.open_line()
        assert server.asked == []

    run(main())


def test_a_closed_socket_ends_all_after_what_came_before(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined()
        server.event("last", 2)
        reading = asyncio.create_task(gathered(events))
        server.writable, server.closed = False, True
        server.topics.changed("closed", True)
        seen, error = await reading
        assert seen == ["last"]
        assert isinstance(error, ConnectionLostError)

    run(main())


async def gathered(events: Events[Any, Any]) -> tuple[list[Any], BaseException | None]:
    seen: list[Any] = []
    try:
        async for event in events:
            seen.append(event)
    except Exception as error:
        return seen, error
    return seen, None


# --- a topic with a state


def test_everybody_who_comes_gets_a_state_of_his_own(run: Run):
    async def main() -> None:
        server = Server()
        first = await server.joined(snapshot={"n": 1})
        assert first.snapshot == {"n": 1}
        server.event("x", 2)
        (entering,) = await enters(server, server.subscribe())
        assert server.asked == [("$sub", {"topics": [wanted()]})]
        server.event("y", 3)
        server.answer([told(3, snapshot={"n": 3})])
        second = await entering
        assert (second.snapshot, second.position) == ({"n": 3}, Position("a", 3))
        server.event("z", 4)
        assert await waiting_in(first) == ["x", "y", "z"]
        assert first.snapshot == {"n": 1}
        assert await waiting_in(second) == ["z"]

    run(main())


def test_who_comes_where_nobody_knows_whether_there_is_a_state_asks(run: Run):
    async def main() -> None:
        server = Server()
        (entering,) = await enters(server, server.subscribe(since=("a", 1)))
        server.answer([told(1, recovered=True)])
        await entering
        (entering,) = await enters(server, server.subscribe())
        server.answer([told(1, snapshot="it has")])
        assert (await entering).snapshot == "it has"

    run(main())


def test_a_gap_comes_together_with_the_new_state(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined(snapshot="old")
        server.event("before", 2)
        server.gap(7, 0)
        server.event("of no use without the state, which has it", 8)
        assert await anext(events) == "before"
        reading = asyncio.ensure_future(anext(events))
        await until(lambda: server.asked)
        assert server.asked == [("$sub", {"topics": [wanted()]})]
        assert not reading.done()
        server.answer([told(8, snapshot="new")])
        server.event("after", 9)
        with pytest.raises(Gap) as gap:
            await reading
        assert (gap.value.position, gap.value.reload_after_ms) == (("a", 8), 0)
        assert events.snapshot == "new"
        assert await anext(events) == "after"

    run(main())


async def until(fact: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def test_who_waits_for_the_state_as_the_line_is_lost_gets_it_from_the_next(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined(snapshot="old")
        server.gap(7, 3_600_000)
        server.lose_line()
        server.open_line()
        assert server.asked == [("$sub", {"topics": [wanted()]})]
        server.answer([told(9, snapshot="new")])
        with pytest.raises(Gap):
            await anext(events)
        assert events.snapshot == "new"

    run(main())


def test_who_leaves_while_waiting_for_the_state_leaves_no_timer(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined(snapshot="old")
        server.gap(7, 3_600_000)
        await events.aclose()
        await turns()
        assert server.asked == [("$unsub", {"topic": "news"})]

    run(main())


def test_who_comes_back_with_events_gets_no_state_and_else_a_gap_with_one(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined(snapshot="old")
        server.lose_line()
        server.open_line()
        server.answer([told(2, "a", (2, "missed"), recovered=True)])
        assert await anext(events) == "missed"
        assert events.snapshot == "old"
        server.lose_line()
        server.open_line()
        server.answer([told(1, "b", snapshot="new")])
        with pytest.raises(Gap) as gap:
            await anext(events)
        assert gap.value.reload_after_ms == 0
        assert events.snapshot == "new"

    run(main())


# --- slow readers, and those that read what is not there


def test_who_reads_slowly_gets_the_rest_from_the_history_and_holds_up_nobody(run: Run):
    async def main() -> None:
        server = Server()
        slow, fast = await server.joined(), await joined_too(server)
        for offset in range(2, BEHIND + 12):
            server.event(offset, offset)
            assert await anext(fast) == offset
        assert slow.waiting == BEHIND
        assert [await anext(slow) for _ in range(BEHIND)] == list(range(2, BEHIND + 2))
        assert server.asked == []
        reading = asyncio.create_task(anext(slow))
        await turns()
        assert server.asked == [("$sub", {"topics": [wanted(at=("a", BEHIND + 1))]})]
        server.event(BEHIND + 12, BEHIND + 12)
        missed = [(offset, offset) for offset in range(BEHIND + 2, BEHIND + 13)]
        server.answer([told(BEHIND + 12, "a", *missed, recovered=True)])
        assert await reading == BEHIND + 2
        server.event("live", BEHIND + 13)
        assert await waiting_in(slow) == [*range(BEHIND + 3, BEHIND + 13), "live"]
        assert await waiting_in(fast) == [BEHIND + 12, "live"]

    run(main())


async def joined_too(server: Server) -> Events[Any, Any]:
    (entering,) = await enters(server, server.subscribe())
    return await entering


def test_where_nothing_is_kept_a_slow_reader_has_a_gap(run: Run):
    async def main() -> None:
        server = Server()
        slow = await server.joined(epoch="", offset=0)
        for number in range(BEHIND + 1):
            server.event(number, None)
        assert await waiting_in(slow) == list(range(BEHIND))
        assert slow.position == Position("", 0)
        reading = asyncio.create_task(anext(slow))
        await turns()
        server.answer([told(0, "")])
        with pytest.raises(Gap):
            await reading

    run(main())


class News(BaseModel):
    title: str


def test_an_event_that_is_not_of_its_type_is_told_and_passed_over(run: Run):
    async def main() -> None:
        server = Server()
        (entering,) = await enters(server, server.subscribe(event=News))
        server.answer([told()])
        events = await entering
        for offset, payload in enumerate([{"title": "a"}, {"name": "b"}, {"title": "c"}], 2):
            server.event(payload, offset)
        assert await anext(events) == News(title="a")
        with pytest.raises(ValidationError):
            await anext(events)
        assert await anext(events) == News(title="c")

    run(main())


def test_a_state_that_is_not_of_its_type_ends_it(run: Run):
    async def main() -> None:
        server = Server()
        (entering,) = await enters(server, server.subscribe(snapshot=News))
        server.answer([told(snapshot={"name": "a"})])
        with pytest.raises(ValidationError):
            await entering
        (entering,) = await enters(server, server.subscribe("other", snapshot=News))
        server.answer([], 200)  # the `$unsub`
        server.answer([told(snapshot={"title": "a"})])
        events = await entering
        assert events.snapshot == News(title="a")
        server.lose_line()
        server.open_line()
        server.answer([told(1, "b", snapshot={"name": "a"})])
        with pytest.raises(ValidationError):
            await anext(events)
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    run(main())


def test_an_event_is_not_lost_with_whoever_waited_no_longer_for_it(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(events)
        server.event(1, 2)
        assert await anext(events) == 1

    run(main())


def test_one_task_reads_at_a_time(run: Run):
    async def main() -> None:
        server = Server()
        events = await server.joined()
        reading = asyncio.create_task(anext(events))
        await turns()
        with pytest.raises(RuntimeError, match="one task at a time"):
            await anext(events)
        server.event(1, 2)
        assert await reading == 1

    run(main())


def test_without_a_with_it_begins_with_the_first_and_ends_with_its_reader(run: Run):
    async def main() -> None:
        server = Server()
        seen: list[Any] = []

        async def reading() -> None:
            async for event in server.subscribe():
                seen.append(event)
                if event == "enough":
                    break

        task = asyncio.create_task(reading())
        await turns()
        server.answer([told()])
        server.event("one", 2)
        server.event("enough", 3)
        await task
        del task
        gc.collect()
        await turns()
        assert seen == ["one", "enough"]
        assert server.asked[1:] == [("$unsub", {"topic": "news"})]

    run(main())


def test_a_gap_that_does_not_say_how_long_to_wait_is_given_a_wait_at_random(run: Run):
    async def main() -> None:
        for wait in (None, "soon", -1, True):
            server = Server()
            events = await server.joined()
            server.gap(5, wait)
            with pytest.raises(Gap) as gap:
                await anext(events)
            assert 0 <= gap.value.reload_after_ms <= RELOAD_WITHIN * 1000

    run(main())
