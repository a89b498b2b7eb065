"""Streams: items in order, at the reader's pace, with one end, and everything closed behind it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, HTTPException
from pydantic import BaseModel

from fastapi_observable_socket import Progress, SignatureError, SocketRouter
from fastapi_observable_socket._flow import Flow
from fastapi_observable_socket.testing import SocketTestClient


class Token(BaseModel):
    text: str


class Secret(Token):
    key: str = "secret"


async def count(payload: int) -> AsyncIterator[int]:
    for n in range(payload):
        yield n


def routes() -> SocketRouter:
    router = SocketRouter()
    router.route("count")(count)
    return router


STREAM = {"$stream": True}


async def frames_of(client, uuid):
    """All frames up to the final one."""
    frames = []
    while not frames or frames[-1]["status"] == 402:
        frames.append(await client.receive())
        assert frames[-1]["uuid"] == uuid
    return frames


async def ask(client, route, payload=None, headers=None):
    await client.push(route, payload, {**STREAM, **(headers or {})}, uuid="s")
    return await frames_of(client, "s")


async def settled():
    for _ in range(30):
        await asyncio.sleep(0)


# --- the flow


def test_a_flow_is_full_when_as_many_are_out_as_may_be():
    flow = Flow(2)
    assert not flow.full
    flow.sent = 2
    assert flow.full
    flow.take(0)
    assert not flow.full


@pytest.mark.parametrize("seq", [-1, 0, 5, 3])
def test_what_was_never_sent_or_is_taken_already_changes_nothing(seq):
    flow = Flow(2)
    flow.sent, flow.taken = 3, 1
    flow.take(seq)
    assert flow.taken == 1


def test_a_flow_without_a_window_is_never_full():
    flow = Flow(None)
    flow.sent = 10**6
    assert not flow.full


# --- items and their end


def test_items_come_in_order_and_then_one_end(run):
    async def main():
        async with SocketTestClient(routes()) as client:
            frames = await ask(client, "count", 3)
            assert frames == [
                {"uuid": "s", "status": 402, "headers": {"$seq": 0}, "payload": 0},
                {"uuid": "s", "status": 402, "headers": {"$seq": 1}, "payload": 1},
                {"uuid": "s", "status": 402, "headers": {"$seq": 2}, "payload": 2},
                {"uuid": "s", "status": 200, "headers": {"$seq": 3}, "payload": None},
            ]

    run(main())


def test_an_empty_stream_has_only_its_end(run):
    async def main():
        async with SocketTestClient(routes()) as client:
            (end,) = await ask(client, "count", 0)
            assert (end["status"], end["headers"]) == (200, {"$seq": 0})

    run(main())


@pytest.mark.parametrize("headers", [{}, {"$stream": False}, {"$stream": 1}, {"$stream": "true"}])
def test_a_client_that_does_not_ask_gets_one_answer(headers, run):
    async def main():
        async with SocketTestClient(routes()) as client:
            answer = await client.request("count", 3, headers)
            assert (answer.status, answer.headers, answer.payload) == (200, {}, [0, 1, 2])

    run(main())


def test_a_list_that_is_too_long_is_refused_and_the_generator_closed(run):
    async def main():
        router, closed = SocketRouter(max_items=10), []

        @router.route("endless")
        async def endless() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                closed.append(True)

        @router.route("ten")
        async def ten() -> AsyncIterator[int]:
            for _ in range(10):
                yield 1

        async with SocketTestClient(router) as client:
            answer = await client.request("endless")
            assert (answer.status, answer.payload["code"]) == (413, "too_many_items")
            assert closed == [True]
            assert (await client.request("ten")).payload == [1] * 10

    run(main())


def test_a_list_that_is_too_large_is_refused(run):
    async def main():
        router = SocketRouter(max_response_bytes=1000)

        @router.route("large")
        async def large() -> AsyncIterator[str]:
            while True:
                yield "x" * 100

        async with SocketTestClient(router) as client:
            assert (await client.request("large")).payload["code"] == "too_many_items"

    run(main())


def test_items_are_validated_and_filtered_by_their_type(run):
    async def main():
        router = SocketRouter()

        @router.route("tokens")
        async def tokens() -> AsyncIterator[Token]:
            yield Token(text="a")
            yield Secret(text="b")
            yield {"text": "c", "other": 1}

        @router.route("wrong")
        async def wrong() -> AsyncIterator[int]:
            yield 1
            yield "no number"

        async with SocketTestClient(router) as client:
            frames = await ask(client, "tokens")
            assert [f["payload"] for f in frames[:-1]] == [{"text": t} for t in "abc"]
            assert (await client.request("tokens")).payload == [{"text": t} for t in "abc"]
            frames = await ask(client, "wrong")
            assert [f["status"] for f in frames] == [402, 500]
            assert frames[1]["payload"]["code"] == "internal"

    run(main())


@pytest.mark.parametrize("item", [float("nan"), object(), {1, object()}])
def test_an_item_that_is_no_json_ends_the_stream(item, run):
    async def main():
        router, closed = SocketRouter(), []

        @router.route("odd")
        async def odd():
            try:
                yield 1
                yield item
                yield 2
            finally:
                closed.append(True)

        async with SocketTestClient(router) as client:
            frames = await ask(client, "odd")
            assert [f["status"] for f in frames] == [402, 500]
            assert frames[1]["payload"]["code"] == "unserialisable"
            assert closed == [True]
            assert (await client.request("odd")).status == 500

    run(main())


def test_an_error_in_the_middle_comes_after_the_items_before_it(run):
    async def main():
        router = SocketRouter()

        @router.route("broken")
        async def broken(payload: Any) -> AsyncIterator[int]:
            for n in range(10):
                yield n
            if payload:
                raise HTTPException(410, "gone")
            raise LookupError("a secret")

        async with SocketTestClient(router) as client:
            frames = await ask(client, "broken", False)
            assert [f["payload"] for f in frames[:10]] == list(range(10))
            assert frames[10]["status"] == 500
            assert "secret" not in str(frames)
            frames = await ask(client, "broken", True)
            assert (frames[10]["status"], frames[10]["payload"]["message"]) == (410, "gone")
            assert (await client.request("broken", True)).status == 410

    run(main())


def test_hooks_run_before_the_first_item(run):
    async def main():
        router = SocketRouter()

        async def double(payload):
            return payload * 2

        @router.route(
            "checked",
            {
                "data_check": lambda message: message.payload != "bad",
                "access": lambda ws, message: message.payload != "secret",
                "hydrate": lambda ws, message: len(message.payload),
                "dehydrate": double,
            },
        )
        async def checked(size) -> AsyncIterator[int]:
            for n in range(size):
                yield n

        async with SocketTestClient(router) as client:
            assert [f["status"] for f in await ask(client, "checked", "bad")] == [400]
            assert [f["status"] for f in await ask(client, "checked", "secret")] == [403]
            frames = await ask(client, "checked", "abc")
            assert [f["payload"] for f in frames] == [0, 2, 4, None]
            assert (await client.request("checked", "abc")).payload == [0, 2, 4]

    run(main())


def test_a_payload_that_does_not_fit_has_no_items(run):
    async def main():
        async with SocketTestClient(routes()) as client:
            (refused,) = await ask(client, "count", "many")
            assert (refused["status"], refused["payload"]["detail"][0]["loc"]) == (400, ["payload"])

    run(main())


# --- plain generators


def test_a_plain_generator_runs_in_threads_and_its_value_ends_it(run):
    async def main():
        router, threads = SocketRouter(), set()

        @router.route("lines")
        def lines(payload: int) -> Generator[int, None, Token]:
            for n in range(payload):
                threads.add(threading.current_thread())
                yield n
            return Secret(text="done")

        async with SocketTestClient(router) as client:
            frames = await ask(client, "lines", 3)
            assert [f["payload"] for f in frames] == [0, 1, 2, {"text": "done"}]
            assert threading.current_thread() not in threads
            assert (await client.request("lines", 3)).payload == [0, 1, 2]

    run(main())


def test_a_plain_generator_is_closed_when_its_client_cancels(run):
    async def main():
        router, closed = SocketRouter(), threading.Event()

        @router.route("endless")
        def endless() -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                closed.set()

        async with SocketTestClient(router) as client:
            await client.push("endless", None, {**STREAM, "$window": 3}, uuid="s")
            for _ in range(3):
                await client.receive()
            await client.push("$cancel", uuid="s")
            assert (await client.receive())["status"] == 499
            assert await asyncio.to_thread(closed.wait, 10)

    run(main())


def test_a_plain_generator_in_the_middle_of_a_step_is_closed_behind_it(run):
    async def main():
        router, closed = SocketRouter(), threading.Event()
        inside, go_on = threading.Event(), threading.Event()

        @router.route("slow")
        def slow() -> Iterator[int]:
            try:
                inside.set()
                go_on.wait(10)
                yield 1
            finally:
                closed.set()

        async with SocketTestClient(router) as client:
            await client.push("slow", None, STREAM, uuid="s")
            await asyncio.to_thread(inside.wait, 10)
            await client.push("$cancel", uuid="s")
            assert (await client.receive())["status"] == 499
            assert not closed.is_set()
            go_on.set()
            assert await asyncio.to_thread(closed.wait, 10)

    run(main())


# --- the window


def test_no_more_than_the_window_is_on_its_way(run):
    async def main():
        router, made = SocketRouter(), []

        @router.route("count")
        async def counting() -> AsyncIterator[int]:
            for n in range(100):
                made.append(n)
                yield n

        async with SocketTestClient(router) as client:
            await client.push("count", None, {**STREAM, "$window": 5}, uuid="s")
            for n in range(5):
                assert (await client.receive())["payload"] == n
            await settled()
            assert len(made) == 6  # the next one waits for its place
            await client.send_raw('{"uuid": "s", "route": "$ack", "headers": {"$seq": 1}}')
            assert [(await client.receive())["payload"] for _ in "ab"] == [5, 6]
            await settled()
            assert len(made) == 8
            for seq in range(2, 98, 5):
                await client.push("$ack", None, {"$seq": seq}, uuid="s")
            await client.push("PING", uuid="p")
            frames = []
            while not frames or frames[-1]["uuid"] != "p":
                frames.append(await client.receive())
            await client.push("$ack", None, {"$seq": frames[-2]["headers"]["$seq"]}, uuid="s")
            while (frame := await client.receive())["status"] == 402:
                await client.push("$ack", None, frame["headers"], uuid="s")
            assert (frame["status"], frame["headers"]) == (200, {"$seq": 100})

    run(main())


@pytest.mark.parametrize("headers", [None, {}, {"$seq": "1"}, {"$seq": True}, {"$seq": 99}])
def test_an_ack_that_says_nothing_is_ignored(headers, run):
    async def main():
        async with SocketTestClient(routes()) as client:
            await client.push("count", 3, {**STREAM, "$window": 1}, uuid="s")
            await client.receive()
            await client.push("$ack", None, headers, uuid="s")
            await client.push("$ack", None, {"$seq": 0}, uuid="other")
            await client.push("PING", uuid="p")
            assert (await client.receive())["route"] == "PONG"
            await client.push("$ack", None, {"$seq": 0}, uuid="s")
            assert (await client.receive())["payload"] == 1

    run(main())


@pytest.mark.parametrize("window", [0, -1, "3", True, None, 1.5])
def test_a_window_that_makes_no_sense_is_none(window, run):
    async def main():
        async with SocketTestClient(routes()) as client:
            assert len(await ask(client, "count", 10, {"$window": window})) == 11

    run(main())


def test_a_reader_that_stops_holds_the_generator_without_a_window_too(run):
    """The socket's own back-pressure: what is not taken is not made."""

    async def main():
        router, made, way = SocketRouter(), [], asyncio.Event()

        @router.route("count")
        async def counting() -> AsyncIterator[int]:
            for n in range(100_000):
                made.append(n)
                yield n

        client = SocketTestClient(router)
        send = client._send

        async def slow(message):
            if message["type"] == "websocket.send" and len(made) > 10:
                await way.wait()
            await send(message)

        client._send = slow
        async with client:
            await client.push("count", None, STREAM, uuid="s")
            await settled()
            assert len(made) < 100
            way.set()
            frames = await frames_of(client, "s")
            assert [f["payload"] for f in frames[:-1]] == list(range(100_000))

    run(main())


def test_a_client_that_does_not_read_can_still_cancel(run):
    async def main():
        router, way, left = SocketRouter(), asyncio.Event(), asyncio.Event()

        @router.route("endless")
        async def endless() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                left.set()

        client = SocketTestClient(router)
        send = client._send

        async def slow(message):
            if message["type"] == "websocket.send":
                await way.wait()
            await send(message)

        client._send = slow
        async with client:
            await client.push("endless", None, STREAM, uuid="s")
            await settled()
            await client.push("$cancel", uuid="s")
            await asyncio.wait_for(left.wait(), 5)
            way.set()
            assert (await frames_of(client, "s"))[-1]["status"] == 499

    run(main())


# --- its end before its time


@pytest.mark.parametrize("waits", [True, False])
def test_a_cancelled_stream_ends_and_closes_what_it_opened(waits, run):
    async def main():
        router, events = SocketRouter(), []

        async def resource():
            events.append("open")
            try:
                yield 7
            finally:
                events.append("closed")

        @router.route("endless")
        async def endless(it: Annotated[int, Depends(resource)]) -> AsyncIterator[int]:
            try:
                yield it
                if waits:
                    await asyncio.Event().wait()
                while True:
                    yield it
            finally:
                events.append("left")

        async with SocketTestClient(router) as client:
            await client.push("endless", None, {**STREAM, "$window": 1}, uuid="s")
            assert (await client.receive())["payload"] == 7
            await settled()
            assert events == ["open"]
            await client.push("$cancel", uuid="s")
            assert (await client.receive())["status"] == 499
            await settled()
            assert events == ["open", "left", "closed"]

    run(main())


def test_dependencies_stay_open_until_the_last_item(run):
    async def main():
        router, events = SocketRouter(), []

        async def resource():
            events.append("open")
            yield
            events.append("closed")

        @router.route("count", {"dehydrate": lambda n: [n, list(events)]})
        async def counting(it: Annotated[None, Depends(resource)]) -> AsyncIterator[int]:
            for n in range(3):
                yield n

        async with SocketTestClient(router) as client:
            frames = await ask(client, "count")
            assert [f["payload"] for f in frames[:-1]] == [[n, ["open"]] for n in range(3)]
            await settled()
            assert events == ["open", "closed"]

    run(main())


def test_a_lost_client_ends_its_streams(run):
    async def main():
        router, left = SocketRouter(), asyncio.Event()

        @router.route("endless")
        async def endless() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
                    await asyncio.sleep(0)
            finally:
                left.set()

        async with SocketTestClient(router) as client:
            await client.push("endless", None, {**STREAM, "$window": 2}, uuid="s")
            await client.receive()
        assert left.is_set()

    run(main())


def test_a_shielded_stream_runs_to_its_end_without_its_client(run):
    async def main():
        router, made = SocketRouter(), []

        @router.route("count", shield=True)
        async def counting() -> AsyncIterator[int]:
            for n in range(100):
                made.append(n)
                yield n
                await asyncio.sleep(0)

        async with SocketTestClient(router) as client:
            await client.push("count", None, {**STREAM, "$window": 2}, uuid="s")
            await client.receive()
        assert made == list(range(100))

    run(main())


def test_a_stream_has_no_time_limit_but_its_own(run):
    async def main():
        router = SocketRouter(handler_timeout=0.01)

        async def slow() -> AsyncIterator[int]:
            for n in range(3):
                await asyncio.sleep(0.02)
                yield n

        router.route("unlimited")(slow)
        router.route("limited", timeout=0.03)(slow)
        async with SocketTestClient(router) as client:
            assert [f["status"] for f in await ask(client, "unlimited")] == [402] * 3 + [200]
            frames = await ask(client, "limited")
            assert (frames[-1]["status"], frames[-1]["payload"]["code"]) == (504, "timeout")
            assert (await client.request("unlimited")).status == 504
            frames = await ask(client, "unlimited", None, {"$timeout": 5})
            assert [f["status"] for f in frames] == [408]

    run(main())


def test_a_generator_that_will_not_end_is_left_alone(run):
    async def main():
        router = SocketRouter()

        @router.route("stubborn")
        async def stubborn() -> AsyncIterator[int]:
            for n in range(10**6):
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    pass
                yield n

        async with SocketTestClient(router) as client:
            await client.push("stubborn", None, {**STREAM, "$window": 1}, uuid="s")
            await client.receive()
            await client.push("$cancel", uuid="s")
            assert (await client.receive())["status"] == 499
            await client.push("PING", uuid="p")
            assert (await client.receive())["uuid"] == "p"

    run(main())


# --- many at a time


def test_streams_take_no_place_of_calls_and_are_bounded_apart(run):
    async def main():
        router = SocketRouter(max_in_flight=2, max_streams=3)

        @router.route("endless")
        async def endless() -> AsyncIterator[int]:
            yield 1
            await asyncio.Event().wait()

        @router.route("echo")
        async def echo(payload):
            await asyncio.sleep(0)
            return payload

        async with SocketTestClient(router) as client:
            for n in range(3):
                await client.push("endless", None, STREAM, uuid=n + 1)
                assert (await client.receive())["uuid"] == n + 1
            refused = await client.request("endless", None, STREAM, uuid="too many")
            assert (refused.status, refused.payload["code"]) == (429, "too_many_streams")
            assert (await client.request("echo", "calls go on", uuid="e")).payload == "calls go on"
            await client.push("$cancel", uuid=2)
            assert (await client.receive())["status"] == 499
            await client.push("endless", None, STREAM, uuid=4)
            assert (await client.receive())["uuid"] == 4

    run(main())


def test_a_stream_that_takes_the_socket_does_not_hold_up_others_that_do(run):
    async def main():
        router = SocketRouter()

        @router.route("endless")
        async def endless(ws, headers, payload) -> AsyncIterator[int]:
            yield 1
            await asyncio.Event().wait()

        @router.route("ordered")
        async def ordered(ws, headers, payload):
            return payload

        async with SocketTestClient(router) as client:
            await client.push("endless", None, STREAM, uuid="s")
            await client.receive()
            assert (await client.request("ordered", 1)).payload == 1

    run(main())


def test_ordered_streams_wait_for_each_other(run):
    async def main():
        router = SocketRouter(max_in_flight=1)
        router.route("count", ordered=True)(count)
        async with SocketTestClient(router) as client:
            for uuid in (1, 2, 3):
                await client.push("count", 2, {**STREAM, "$window": 1}, uuid=uuid)
            seen = []
            for _ in range(9):
                frame = await client.receive()
                seen.append(frame["uuid"])
                if frame["status"] == 402:
                    await client.push("$ack", None, frame["headers"], uuid=frame["uuid"])
            assert seen == [1, 1, 1, 2, 2, 2, 3, 3, 3]

    run(main())


def test_a_fast_stream_lets_others_have_their_turn(run):
    async def main():
        router, seen = SocketRouter(), []

        @router.route("fast")
        async def fast() -> AsyncIterator[int]:
            for n in range(10_000):
                yield n
                seen.append(n)

        @router.route("echo")
        async def echo(payload):
            return len(seen)

        async with SocketTestClient(router) as client:
            await client.push("fast", None, STREAM, uuid="s")
            assert (await client.request("echo")).payload < 1000
            with contextlib.suppress(Exception):
                await client.push("$cancel", uuid="s")

    run(main())


# --- progress


def test_progress_reaches_those_who_asked_and_nobody_else(run):
    async def main():
        router, wanted = SocketRouter(), []

        @router.route("work")
        async def work(payload: int, progress: Progress) -> str:
            wanted.append(progress.wanted)
            for n in range(payload):
                await progress({"done": n})
            return "done"

        async with SocketTestClient(router) as client:
            await client.push("work", 2, {"$progress": True}, uuid="s")
            assert await frames_of(client, "s") == [
                {"uuid": "s", "status": 402, "headers": {}, "payload": {"done": 0}},
                {"uuid": "s", "status": 402, "headers": {}, "payload": {"done": 1}},
                {"uuid": "s", "status": 200, "headers": {}, "payload": "done"},
            ]
            assert (await client.request("work", 2)).payload == "done"
            assert wanted == [True, False]

    run(main())


def test_progress_after_the_answer_is_told_to_nobody(run):
    async def main():
        router, kept = SocketRouter(), []

        @router.route("work")
        async def work(progress: Progress):
            kept.append(progress)

        async with SocketTestClient(router) as client:
            await client.push("work", None, {"$progress": True}, uuid="s")
            assert (await client.receive())["status"] == 200
            await kept[0]("too late")
            await client.push("PING", uuid="p")
            assert (await client.receive())["route"] == "PONG"

    run(main())


def test_progress_that_is_no_json_fails_in_the_handler(run):
    async def main():
        router = SocketRouter()

        @router.route("work")
        async def work(progress: Progress):
            await progress(object())

        async with SocketTestClient(router) as client:
            await client.push("work", None, {"$progress": True}, uuid="s")
            assert (await client.receive())["payload"]["code"] == "unserialisable"
            assert (await client.request("work")).ok  # nobody wants it: it is not even encoded

    run(main())


def test_a_last_answer_of_402_is_an_error_to_who_waits_for_the_last(run):
    async def main():
        router = SocketRouter()

        @router.route("pending")
        async def pending():
            return {"status": 402, "payload": None}

        async with SocketTestClient(router) as client:
            assert (await client.request("pending")).status == 402
            for header in ("$progress", "$stream"):
                assert (await client.request("pending", None, {header: True})).status == 500

    run(main())


# --- what could never work


def test_a_generators_return_annotation_is_read(run):
    async def main():
        router = SocketRouter()

        @router.route("bare")
        async def bare():
            yield {"status": "active"}

        @router.route("generator")
        async def generator() -> AsyncGenerator[Token, None]:
            yield Secret(text="a")

        async with SocketTestClient(router) as client:
            assert (await client.request("bare")).payload == [{"status": "active"}]
            assert (await client.request("generator")).payload == [{"text": "a"}]

    run(main())


def test_an_item_type_without_a_schema_is_refused():
    class Odd:
        pass

    async def odd() -> AsyncIterator[Odd]:
        yield Odd()

    with pytest.raises(SignatureError, match="cannot serialise"):
        SocketRouter().route("r")(odd)


# --- bursts


@pytest.mark.parametrize("last", ["$cancel", "$timeout"])
def test_a_stream_that_ends_before_its_first_step_is_answered(last, run):
    """Both in one burst: the task that would have answered never ran."""

    async def main():
        async with SocketTestClient(routes()) as client:
            for n in range(50):
                if last == "$cancel":
                    await asyncio.gather(
                        client.push("count", 3, STREAM, uuid=n + 1),
                        client.push("$cancel", uuid=n + 1),
                    )
                    expected = {499}
                else:
                    await client.push("count", 3, {**STREAM, "$timeout": 0}, uuid=n + 1)
                    expected = {200, 408}
                frames = await frames_of(client, n + 1)
                assert frames[-1]["status"] in expected

    run(main())


def test_a_postponed_call_that_is_cancelled_as_it_begins_is_answered(run):
    async def main():
        router, gate = SocketRouter(max_in_flight=1), asyncio.Event()

        @router.route("hold")
        async def hold():
            await gate.wait()

        async with SocketTestClient(router) as client:
            await client.push("hold", uuid=1)
            await client.push("hold", uuid=2)
            await settled()
            # Its end gives the second its place, and the second is cancelled in the same turn.
            await asyncio.gather(client.push("$cancel", uuid=1), client.push("$cancel", uuid=2))
            frames = [await client.receive() for _ in "ab"]
            assert {(f["uuid"], f["status"]) for f in frames} == {(1, 499), (2, 499)}

    run(main())


def test_calls_behind_an_ordered_stream_do_not_keep_its_acks_from_being_heard(run):
    async def main():
        router = SocketRouter(max_in_flight=2)
        router.route("count", ordered=True)(count)

        @router.route("ordered", ordered=True)
        async def ordered(payload):
            return payload

        async with SocketTestClient(router) as client:
            await client.push("count", 10, {**STREAM, "$window": 2}, uuid="s")
            for n in range(200):
                await client.push("ordered", n, uuid=n + 1)
            statuses = {}
            while len(statuses) < 201:
                frame = await client.receive()
                if frame["status"] == 402:
                    await client.push("$ack", None, frame["headers"], uuid="s")
                else:
                    statuses[frame["uuid"]] = frame["status"]
            assert statuses["s"] == 200
            assert set(statuses.values()) == {200, 429}

    run(main())


def test_streams_make_nothing_more_while_a_close_waits_for_its_peer(run):
    async def main():
        router, made, way = SocketRouter(), [], asyncio.Event()

        @router.route("endless")
        async def endless() -> AsyncIterator[int]:
            while True:
                made.append(1)
                yield 1

        client = SocketTestClient(router)
        send = client._send

        async def jammed(message):
            if message["type"] != "websocket.accept":
                await way.wait()
            await send(message)

        client._send = jammed
        async with client:
            for n in range(5):
                await client.push("endless", None, STREAM, uuid=n + 1)
            await settled()
            (connection,) = router.connections
            closing = asyncio.create_task(connection.close(4000))
            await settled()
            before = len(made)
            await asyncio.sleep(0.05)
            assert len(made) == before < 50
            way.set()
            await closing

    run(main())
