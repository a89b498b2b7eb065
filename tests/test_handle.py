"""Pushes, and calls of the client: what an application does with an open socket."""

import asyncio
import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends
from pydantic import BaseModel

from fastapi_observable_socket import (
    CallsNotTakenError,
    CloseCode,
    Connection,
    ConnectionLostError,
    MisfitError,
    PerConnection,
    Progress,
    ResponseError,
    SocketError,
    SocketRouter,
    SocketTimeoutError,
)
from fastapi_observable_socket.testing import SocketClosed, SocketTestClient


class Verdict(BaseModel):
    ok: bool


HELLO = {"protocol": 1, "features": ["calls"]}


async def greeted(client: SocketTestClient) -> dict[str, Any]:
    answer = await client.request("$hello", HELLO, uuid="hello")
    assert answer.ok
    return answer.payload


def asking(**options: Any) -> tuple[SocketRouter, list[Any]]:
    """A router whose route `ask` asks its client, and what came of it."""
    router, outcomes = SocketRouter(**options), []

    @router.route("ask")
    async def ask(payload: float, connection: Connection):
        try:
            outcomes.append(await connection.call("confirm", {"n": 1}, timeout=payload))
        except SocketError as error:
            outcomes.append(error)
        return "asked"

    @router.route("echo")
    async def echo(payload):
        return payload

    return router, outcomes


async def settled():
    for _ in range(30):
        await asyncio.sleep(0)


# --- pushes


def test_a_push_comes_before_the_answer_of_the_handler_that_sent_it(run):
    async def main():
        router = SocketRouter()

        @router.route("push")
        async def push(payload, connection: Connection):
            await connection.push("news", payload, {"a": 1})
            await connection.push("more")
            return "pushed"

        async with SocketTestClient(router) as client:
            await client.push("push", {"n": 1}, uuid="p")
            assert [await client.receive() for _ in "abc"] == [
                {"uuid": "#", "route": "news", "headers": {"a": 1}, "payload": {"n": 1}},
                {"uuid": "#", "route": "more", "headers": {}, "payload": None},
                {"uuid": "p", "status": 200, "headers": {}, "payload": "pushed"},
            ]

    run(main())


def test_connections_are_those_that_are_open(run):
    async def main():
        router = SocketRouter()
        assert (len(router.connections), list(router.connections)) == (0, [])
        async with SocketTestClient(router, scope={"user": "ann"}) as first:
            await greeted(first)
            async with SocketTestClient(router, scope={"user": {"id": 7}}) as second:
                session = (await greeted(second))["session"]
                assert len(router.connections) == 2
                found = router.connections.get(session)
                assert found.user == {"id": 7}
                assert found.user_id == "7"
                assert router.connections.of(7) == [found]
                assert [c.user for c in router.connections.of("ann")] == ["ann"]
                assert router.connections.of("bob") == []
                assert router.connections.push("news", 1) == 2
                assert (await first.receive())["payload"] == 1
                assert (await second.receive())["payload"] == 1
                assert router.connections.push("news", 2, user_id="ann") == 1
                assert (await first.receive())["payload"] == 2
            assert len(router.connections) == 1
            assert router.connections.get(session) is None
            await found.push("to nobody")
            with pytest.raises(ConnectionLostError) as lost:
                await found.call("confirm")
            assert not lost.value.sent

    run(main())


def test_an_included_router_sees_the_sockets_of_those_around_it(run):
    async def main():
        inner, middle, outer = SocketRouter(), SocketRouter(), SocketRouter()
        middle.include(inner)
        outer.include(middle)
        outer.include(inner, prefix="again/")
        async with SocketTestClient(outer) as client:
            await greeted(client)
            assert len(inner.connections) == 1
            assert inner.connections.push("news") == 1
            assert (await client.receive())["route"] == "news"

    run(main())


@pytest.mark.parametrize("name", ["", "$sub", "PING", "x" * 257, 7])
def test_a_name_that_no_route_can_have_is_refused(name, run):
    async def main():
        router, errors = SocketRouter(), []

        @router.route("go")
        async def go(connection: Connection):
            for act in (connection.push, connection.call):
                with pytest.raises(ValueError, match="route"):
                    await act(name)
                errors.append(act)

        async with SocketTestClient(router) as client:
            assert (await client.request("go")).ok
            assert len(errors) == 2
        with pytest.raises(ValueError, match="route"):
            router.connections.push(name)

    run(main())


def test_a_push_that_is_no_json_is_refused_and_nothing_sent(run):
    async def main():
        router = SocketRouter()

        @router.route("go")
        async def go(connection: Connection):
            await connection.push("news", object())

        async with SocketTestClient(router) as client:
            assert (await client.request("go")).payload["code"] == "unserialisable"

    run(main())


def test_who_does_not_read_what_is_pushed_is_cut_and_nobody_waits(run):
    async def main():
        router, way = SocketRouter(max_pushed_bytes=100_000), asyncio.Event()
        jammed = SocketTestClient(router)
        send = jammed._send

        async def never(message):
            if message["type"] == "websocket.send":
                await way.wait()
            await send(message)

        jammed._send = never
        async with jammed, SocketTestClient(router) as reader:
            await greeted(reader)
            for n in range(200):
                router.connections.push("news", [n, "x" * 1000])
                frame = await reader.receive()
                assert frame["payload"][0] == n
            await settled()
            assert jammed.closed.code == CloseCode.SLOW_CONSUMER
            way.set()

    run(main())


def test_a_thread_may_push_to_all(run):
    async def main():
        router = SocketRouter()

        @router.route("sync")
        def sync():
            return router.connections.push("news", "from a thread")

        async with SocketTestClient(router) as client:
            await client.push("sync", uuid="s")
            frames = [await client.receive() for _ in "ab"]
            assert {f["payload"] for f in frames} == {"from a thread", 1}

    run(main())


def test_one_that_pushes_without_end_goes_at_the_pace_of_its_peer(run):
    async def main():
        router = SocketRouter(max_pushed_bytes=200_000)

        @router.route("flood")
        async def flood(connection: Connection):
            for n in range(1000):
                await connection.push("news", [n, "x" * 1000])

        async with SocketTestClient(router) as client:
            await client.push("flood", uuid="f")
            frames = [await client.receive() for _ in range(1001)]
            assert [f["payload"][0] for f in frames[:-1]] == list(range(1000))

    run(main())


def test_a_handle_can_close_its_socket(run):
    async def main():
        router = SocketRouter()
        async with SocketTestClient(router) as client:
            await greeted(client)
            (connection,) = router.connections
            await connection.close(CloseCode.POLICY, "logged out")
            await connection.close()
            with pytest.raises(SocketClosed) as closed:
                await client.receive()
            assert (closed.value.code, closed.value.reason) == (1008, "logged out")

    run(main())


def test_dependencies_may_ask_for_the_connection(run):
    async def main():
        router = SocketRouter()

        def session(connection: Connection) -> str:
            return connection.id

        @router.route("id")
        async def ids(
            a: Annotated[str, Depends(session)],
            b: Annotated[str, PerConnection(session)],
            connection: Connection,
        ):
            return [a, b, connection.id]

        async with SocketTestClient(router) as client:
            greeting = await greeted(client)
            assert (await client.request("id")).payload == [greeting["session"]] * 3

    run(main())


# --- calls


def test_a_call_gets_the_clients_answer(run):
    async def main():
        router, outcomes = asking()
        async with SocketTestClient(router) as client:
            await greeted(client)
            await client.push("ask", 10, uuid="a")
            assert await client.receive() == {
                "uuid": "#1",
                "route": "confirm",
                "headers": {},
                "payload": {"n": 1},
            }
            await client.send_raw('{"uuid":"#1","status":200,"payload":{"ok":true}}')
            assert (await client.receive())["payload"] == "asked"
            assert outcomes == [{"ok": True}]

    run(main())


def test_an_answer_of_another_status_is_raised(run):
    async def main():
        router, outcomes = asking()
        async with SocketTestClient(router) as client:
            await greeted(client)
            await client.push("ask", 10, uuid="a")
            await client.receive()
            refusal = {"message": "no such thing", "code": "not_found"}
            await client.send_raw(json.dumps({"uuid": "#1", "status": 404, "payload": refusal}))
            await client.receive()
            (error,) = outcomes
            assert isinstance(error, ResponseError)
            assert (error.status, error.code, str(error)) == (404, "not_found", "no such thing")

    run(main())


def test_a_result_is_validated(run):
    async def main():
        router = SocketRouter()

        @router.route("ask")
        async def ask(connection: Connection) -> bool:
            verdict = await connection.call("confirm", result=Verdict, timeout=10)
            assert type(verdict) is Verdict
            with pytest.raises(MisfitError, match="ok: bool_parsing"):
                await connection.call("confirm", result=Verdict, timeout=10)
            return verdict.ok

        async with SocketTestClient(router) as client:
            await greeted(client)
            await client.push("ask", uuid="a")
            for payload in ('{"ok":true}', '{"ok":"perhaps"}'):
                uuid = (await client.receive())["uuid"]
                await client.send_raw(f'{{"uuid":"{uuid}","status":200,"payload":{payload}}}')
            assert (await client.receive())["payload"] is True

    run(main())


def test_an_answer_that_never_comes_times_out_and_the_client_is_told(run):
    async def main():
        router, outcomes = asking()
        async with SocketTestClient(router) as client:
            await greeted(client)
            await client.push("ask", 0.01, uuid="a")
            assert (await client.receive())["route"] == "confirm"
            assert (await client.receive())["route"] == "$cancel"
            assert (await client.receive())["payload"] == "asked"
            assert isinstance(outcomes[0], SocketTimeoutError)
            assert isinstance(outcomes[0], TimeoutError)
            # Too late, twice, and for nothing at all: nobody notices.
            for uuid in ("#1", "#1", "#99", "#"):
                await client.send_raw(f'{{"uuid":"{uuid}","status":200,"payload":1}}')
            assert (await client.request("echo", 1, uuid="e")).payload == 1

    run(main())


def test_a_client_that_takes_no_calls_is_not_asked(run):
    async def main():
        router, outcomes = asking()
        async with SocketTestClient(router) as client:
            assert (await client.request("ask", 10)).payload == "asked"
            await client.request("$hello", {"protocol": 1}, uuid="h")
            assert (await client.request("ask", 10)).payload == "asked"
            assert [type(e) for e in outcomes] == [CallsNotTakenError] * 2

    run(main())


def test_a_client_that_leaves_answers_no_more(run):
    async def main():
        router, outcomes = SocketRouter(), []

        @router.route("ask", shield=True)
        async def ask(connection: Connection):
            try:
                await connection.call("confirm", timeout=None)
            except ConnectionLostError as lost:
                outcomes.append(lost.sent)

        async with SocketTestClient(router) as client:
            await greeted(client)
            await client.push("ask", uuid="a")
            assert (await client.receive())["route"] == "confirm"
        assert outcomes == [True]

    run(main())


def test_a_cancelled_call_is_cancelled_at_the_client_too(run):
    async def main():
        router, _ = asking()
        async with SocketTestClient(router) as client:
            await greeted(client)
            await client.push("ask", 10, uuid="a")
            await client.receive()
            await client.push("$cancel", uuid="a")
            frames = [await client.receive() for _ in "ab"]
            assert {(f["uuid"], f.get("route"), f.get("status")) for f in frames} == {
                ("#1", "$cancel", None),
                ("a", None, 499),
            }

    run(main())


@pytest.mark.parametrize("options", [{}, {"ordered": True}, {"max_in_flight": 1}])
def test_a_call_inside_a_handler_does_not_wait_for_itself(options, run):
    async def main():
        router, outcomes = asking(**options)
        async with SocketTestClient(router) as client:
            await greeted(client)
            # More than are read at all where nobody waits for the client.
            for n in range(300):
                await client.push("ask", 10, uuid=n + 1)
            answers = {}
            while len(answers) < 300:
                frame = await client.receive()
                if frame.get("route") == "confirm":
                    await client.send_raw(f'{{"uuid":"{frame["uuid"]}","status":200}}')
                else:
                    answers[frame["uuid"]] = frame["status"]
            assert set(answers.values()) == {200, 429}
            assert len(outcomes) == list(answers.values()).count(200) >= 1

    run(main())


def test_many_calls_at_a_time_find_their_own_answers(run):
    async def main():
        router = SocketRouter()

        @router.route("ask")
        async def ask(payload, connection: Connection):
            return await connection.call("double", payload, timeout=10)

        async with SocketTestClient(router) as client:
            await greeted(client)
            for n in range(50):
                await client.push("ask", n, uuid=n + 1)
            questions = [await client.receive() for _ in range(50)]
            for question in reversed(questions):
                answer = {"uuid": question["uuid"], "status": 200, "payload": question["payload"]}
                await client.send_raw(json.dumps(answer | {"payload": question["payload"] * 2}))
            answers = [await client.receive() for _ in range(50)]
            assert {a["uuid"]: a["payload"] for a in answers} == {n + 1: n * 2 for n in range(50)}

    run(main())


@pytest.mark.parametrize(
    "frame",
    [
        '{"uuid":"#1","status":"200"}',
        '{"uuid":"#1","status":true}',
        '{"uuid":"#1"}',
        '{"uuid":1,"status":200}',
    ],
)
def test_what_only_looks_like_an_answer_is_a_bad_frame(frame, run):
    async def main():
        async with SocketTestClient(SocketRouter()) as client:
            await client.send_raw(frame)
            assert (await client.receive())["payload"]["code"] == "bad_route"

    run(main())


# --- closing, and what runs meanwhile


def test_a_close_goes_on_where_nobody_waits_for_it(run):
    async def main():
        router, way = SocketRouter(), asyncio.Event()
        client = SocketTestClient(router)
        send = client._send

        async def slow_close(message):
            if message["type"] == "websocket.close":
                await way.wait()
            await send(message)

        client._send = slow_close
        ran = []

        @router.route("late")
        async def late():
            ran.append(True)

        async with client:
            await greeted(client)
            (connection,) = router.connections
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.close(4000, "enough"), 0.02)
            assert len(router.connections) == 0
            await client.push("late", uuid="l")
            await settled()
            assert ran == []  # nothing is served behind a close
            way.set()
            with pytest.raises(SocketClosed, match="enough"):
                await client.receive()

    run(main())


def test_a_shielded_handler_that_closes_its_own_socket_goes_on(run):
    async def main():
        router, done = SocketRouter(), []

        @router.route("last words", shield=True)
        async def last_words(connection: Connection):
            await connection.close()
            await asyncio.sleep(1.5)
            done.append(True)

        async with SocketTestClient(router) as client:
            await client.push("last words", uuid="l")
            with pytest.raises(SocketClosed):
                await client.receive()
        assert done == [True]

    run(main())


def test_a_peer_that_takes_no_pushes_is_noticed(run):
    async def main():
        router = SocketRouter(send_timeout=0.05)
        client = SocketTestClient(router)
        send, way = client._send, asyncio.Event()

        async def never(message):
            if message["type"] == "websocket.send":
                await way.wait()
            await send(message)

        client._send = never
        async with client:
            await settled()
            router.connections.push("news")
            with pytest.raises(SocketClosed) as closed:
                await client.receive()
            assert closed.value.code == CloseCode.SLOW_CONSUMER
            way.set()

    run(main())


def test_a_peer_that_is_silent_is_idle_whatever_streams_to_it(run):
    async def main():
        router = SocketRouter(idle_timeout=0.1)

        @router.route("quiet")
        async def quiet():
            await asyncio.Event().wait()
            yield

        async with SocketTestClient(router) as client:
            await client.push("quiet", headers={"$stream": True}, uuid="s")
            await client.push("PING", uuid="p")
            await client.receive()
            with pytest.raises(SocketClosed) as closed:
                await client.receive()
            assert closed.value.code == CloseCode.IDLE

    run(main())


def test_a_push_that_no_peer_could_take_is_refused(run):
    async def main():
        router = SocketRouter(max_pushed_bytes=1000)

        @router.route("big")
        async def big(connection: Connection):
            await connection.push("news", "x" * 1000)

        async with SocketTestClient(router) as client:
            assert (await client.request("big")).payload["code"] == "response_too_large"
            with pytest.raises(Exception, match="larger than 1000"):
                router.connections.push("news", "x" * 1000)
            assert router.connections.push("news", "x") == 1

    run(main())


def test_how_a_client_left_is_known(run):
    async def main():
        router = SocketRouter()
        async with SocketTestClient(router) as client:
            await greeted(client)
            (connection,) = router.connections
            await client.disconnect(4999)
        assert connection.closed == (4999, "")

    run(main())


def test_dependencies_of_a_plain_generator_outlive_its_last_step(run):
    async def main():
        import threading

        router, events = SocketRouter(), []
        inside, go_on = threading.Event(), threading.Event()

        async def resource():
            events.append("open")
            try:
                yield
            finally:
                events.append("closed")

        @router.route("steps")
        def steps(it: Annotated[None, Depends(resource)]) -> Iterator[int]:
            try:
                inside.set()
                go_on.wait(10)
                events.append("stepped")
                yield 1
            finally:
                events.append("left")

        async with SocketTestClient(router) as client:
            await client.push("steps", headers={"$stream": True}, uuid="s")
            await asyncio.to_thread(inside.wait, 10)
            await client.push("$cancel", uuid="s")
            await settled()
            go_on.set()
            assert (await client.receive())["status"] == 499
        assert events == ["open", "stepped", "left", "closed"]

    run(main())


def test_progress_behind_the_last_answer_is_dropped(run):
    async def main():
        router, way = SocketRouter(), asyncio.Event()
        client = SocketTestClient(router)
        send, late = client._send, []

        async def slow(message):
            if message["type"] == "websocket.send":
                await way.wait()
            await send(message)

        @router.route("work")
        async def work(progress: Progress):
            await asyncio.sleep(0)
            late.append(asyncio.create_task(progress("late")))
            await asyncio.sleep(0)

        client._send = slow
        async with client:
            router.connections.push("news")
            await client.push("work", headers={"$progress": True}, uuid="w")
            await settled()
            way.set()
            frames = [await client.receive() for _ in "ab"]
            assert [f.get("status") for f in frames] == [None, 200]
            await asyncio.wait(late)
            await client.push("PING", uuid="p")
            assert (await client.receive())["route"] == "PONG"

    run(main())
