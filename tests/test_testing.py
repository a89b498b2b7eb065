"""The test client tells a test what happened, at once, and never hangs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from starlette.responses import JSONResponse

from fastapi_observable_socket import (
    Connection,
    Gap,
    HandlerResult,
    Progress,
    Response,
    ResponseError,
    SocketRouter,
)
from fastapi_observable_socket.backends import Position
from fastapi_observable_socket.testing import (
    SocketClosed,
    SocketRejected,
    SocketTestClient,
    SyncSocketTestClient,
)


def echoing(**settings):
    router = SocketRouter(**settings)

    @router.route("echo")
    async def echo(payload):
        return payload

    @router.route("full")
    async def full(headers, payload) -> HandlerResult:
        return {"status": payload, "headers": headers, "payload": "x"}

    @router.route("handshake")
    async def handshake(ws):
        return {
            "path": ws.url.path,
            "query": ws.query_params.multi_items(),
            "headers": dict(ws.headers),
            "cookies": ws.cookies,
            "user": ws.scope.get("user"),
            "state": ws.state._state,
            "client": ws.client,
        }

    return router


# --- requests


def test_a_request_gives_its_answer_whatever_its_status(run):
    async def talk():
        async with SocketTestClient(echoing()) as client:
            answer = await client.request("full", 201, {"a": 1})
            assert (answer.status, answer.headers, answer.payload) == (201, {"a": 1}, "x")
            assert answer.ok
            for status in (199, 300, 402, 404, 500):
                assert not (await client.request("full", status)).ok
            for payload in (None, 0, [1], {"a": None}, "ü"):
                assert (await client.request("echo", payload)).payload == payload

    run(talk())


def test_requests_have_uuids_of_their_own_or_the_tests(run):
    async def talk():
        async with SocketTestClient(echoing()) as client:
            first, second = await client.request("echo"), await client.request("echo")
            assert first.uuid != second.uuid
            for uuid in (7, "7", "a"):
                assert (await client.request("echo", 1, uuid=uuid)).uuid == uuid

    run(talk())


def test_answers_find_their_requests_in_any_order(run):
    router, gates = SocketRouter(), [asyncio.Event() for _ in range(3)]

    @router.route("wait")
    async def wait(payload):
        await gates[payload].wait()
        gates[payload - 1].set()
        return payload

    async def talk():
        async with SocketTestClient(router) as client:
            calls = [asyncio.create_task(client.request("wait", n)) for n in range(3)]
            await asyncio.sleep(0)
            gates[2].set()
            assert [a.payload for a in await asyncio.gather(*calls)] == [0, 1, 2]

    run(talk())


def test_what_answers_no_request_is_received(run):
    async def talk():
        async with SocketTestClient(echoing()) as client:
            await client.push("echo", 1, {"a": 1}, uuid="p")
            await client.send_raw('{"route": "PING", "uuid": 9}')
            await client.send_raw("not json")
            answer = {"uuid": "p", "status": 200, "headers": {}, "payload": 1}
            pong = {"uuid": 9, "route": "PONG", "headers": None, "payload": None}
            assert [await client.receive(), await client.receive()] == [answer, pong]
            bad = await client.receive()
            assert (bad["uuid"], bad["status"]) == (0, 400)
            assert (await client.request("echo", 2)).payload == 2

    run(talk())


def test_an_answer_to_a_request_that_timed_out_is_received(run):
    router, going_on = SocketRouter(), asyncio.Event()

    @router.route("slow")
    async def slow():
        await going_on.wait()

    async def talk():
        async with SocketTestClient(router, timeout=0.02) as client:
            with pytest.raises(TimeoutError, match=r"no answer to 'slow' within 0.02 s"):
                await client.request("slow")
            going_on.set()
            assert (await client.receive())["uuid"] == 1

    run(talk())


def test_a_frame_that_never_comes_is_a_timeout(run):
    async def talk():
        async with SocketTestClient(echoing(), timeout=0.02) as client:
            with pytest.raises(TimeoutError, match=r"no frame within 0.02 s"):
                await client.receive()

    run(talk())


# --- the handshake


def test_the_handshake_is_what_the_test_says(run):
    async def talk():
        client = SocketTestClient(
            echoing(),
            "/a b/ü",
            headers={"X-Tenant": "acme", "Host": "shop"},
            cookies={"a": "1", "b": "2"},
            query={"q": 1, "tag": ["x", "y"]},
            state={"pool": "pool"},
            scope={"user": "Ada", "client": ("10.0.0.1", 1)},
        )
        async with client:
            seen = (await client.request("handshake")).payload
        assert seen["path"] == "/a b/ü"
        assert seen["query"] == [["q", "1"], ["tag", "x"], ["tag", "y"]]
        assert seen["headers"] == {"host": "shop", "x-tenant": "acme", "cookie": "a=1; b=2"}
        assert seen["cookies"] == {"a": "1", "b": "2"}
        assert (seen["user"], seen["state"]) == ("Ada", {"pool": "pool"})
        assert seen["client"] == ["10.0.0.1", 1]

    run(talk())


def test_without_words_the_handshake_is_plain(run):
    async def talk():
        async with SocketTestClient(echoing()) as client:
            seen = (await client.request("handshake")).payload
        assert (seen["path"], seen["headers"]) == ("/ws", {"host": "testserver"})
        assert (seen["query"], seen["cookies"], seen["state"]) == ([], {}, {})

    run(talk())


# --- refusals


def test_a_refusal_by_http_has_its_status_body_and_headers(run):
    async def app(scope, receive, send):
        ws = WebSocket(scope, receive, send)
        await ws.receive()
        await ws.send_denial_response(JSONResponse({"why": "full"}, 503, {"Retry-After": "5"}))

    async def talk():
        with pytest.raises(SocketRejected, match="refused with HTTP 503") as refused:
            async with SocketTestClient(app):
                pytest.fail("never entered")
        assert (refused.value.status, refused.value.body) == (503, '{"why":"full"}')
        assert refused.value.headers["retry-after"] == "5"

    run(talk())


def test_a_close_before_accepting_is_a_403(run):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "no"})

    async def talk():
        with pytest.raises(SocketRejected, match="refused with HTTP 403 no") as refused:
            async with SocketTestClient(app):
                pytest.fail("never entered")
        assert (refused.value.status, refused.value.body, refused.value.headers) == (403, "", {})

    run(talk())


def test_a_path_without_a_socket_is_a_403(run):
    async def talk():
        with pytest.raises(SocketRejected) as refused:
            async with SocketTestClient(FastAPI(), "/nowhere"):
                pytest.fail("never entered")
        assert refused.value.status == 403

    run(talk())


def test_an_application_that_returns_without_a_word_is_asked_for_its_await(run):
    async def app(scope, receive, send):
        await receive()

    async def talk():
        with pytest.raises(SocketRejected, match="missing its await") as refused:
            async with SocketTestClient(app):
                pytest.fail("never entered")
        assert refused.value.status == 500

    run(talk())


def test_an_application_that_neither_accepts_nor_refuses_is_a_timeout(run):
    async def app(scope, receive, send):
        await asyncio.Event().wait()

    async def talk():
        with pytest.raises(TimeoutError, match=r"neither accepted nor refused .* within 0.02 s"):
            async with SocketTestClient(app, timeout=0.02):
                pytest.fail("never entered")

    run(talk())


def test_what_the_application_raises_before_accepting_is_raised(run):
    async def app(scope, receive, send):
        raise ZeroDivisionError

    async def talk():
        with pytest.raises(ZeroDivisionError):
            async with SocketTestClient(app):
                pytest.fail("never entered")

    run(talk())


# --- closes and failures


def closing(code, reason):
    async def app(scope, receive, send):
        ws = WebSocket(scope, receive, send)
        await ws.accept()
        await ws.receive_text()
        await ws.send_json({"last": "words"})
        await ws.close(code, reason)

    return app


def test_a_close_by_the_application_is_told_to_all_who_wait_and_come_later(run):
    async def talk():
        async with SocketTestClient(closing(4000, "bye")) as client:
            assert client.closed is None
            with pytest.raises(SocketClosed, match="closed with 4000 'bye'") as closed:
                await client.request("r")
            assert (closed.value.code, closed.value.reason) == (4000, "bye")
            assert client.closed is closed.value
            assert await client.receive() == {"last": "words"}, "what came before is still there"
            for late in (client.receive, lambda: client.request("r"), lambda: client.push("r")):
                with pytest.raises(SocketClosed):
                    await late()

    run(talk())


def test_a_close_without_a_reason_says_its_code():
    assert str(SocketClosed(1000, "")) == "closed with 1000"


def test_what_the_application_raises_is_raised_where_the_test_waits(run):
    async def app(scope, receive, send):
        ws = WebSocket(scope, receive, send)
        await ws.accept()
        await ws.receive_text()
        raise ZeroDivisionError

    async def talk():
        client = await SocketTestClient(app).__aenter__()
        with pytest.raises(ZeroDivisionError):
            await client.request("r")
        with pytest.raises(ZeroDivisionError):  # leaving must not hide it
            await client.__aexit__(None, None, None)

    run(talk())


def test_an_application_that_returns_after_accepting_is_a_1006(run):
    async def app(scope, receive, send):
        ws = WebSocket(scope, receive, send)
        await ws.accept()
        await ws.receive_text()

    async def talk():
        async with SocketTestClient(app) as client:
            with pytest.raises(SocketClosed, match="1006"):
                await client.request("r")

    run(talk())


def test_an_application_that_does_not_end_after_its_peer_is_a_timeout(run):
    async def app(scope, receive, send):
        ws = WebSocket(scope, receive, send)
        await ws.accept()
        await asyncio.Event().wait()

    async def talk():
        with pytest.raises(TimeoutError, match=r"did not end within 0.02 s"):
            async with SocketTestClient(app, timeout=0.02):
                pass

    run(talk())


def test_going_away_tells_the_application_the_code(run):
    codes = []

    async def app(scope, receive, send):
        ws = WebSocket(scope, receive, send)
        await ws.accept()
        codes.append((await ws.receive())["code"])

    async def talk():
        async with SocketTestClient(app) as client:
            await client.disconnect(1001)

    run(talk())
    assert codes == [1001]


# --- the lifespan


def test_the_lifespan_runs_around_the_socket(run):
    events = []

    @asynccontextmanager
    async def lifespan(app):
        events.append("startup")
        yield {"pool": "pool"}
        events.append("shutdown")

    app, router = FastAPI(lifespan=lifespan), echoing()
    router.mount(app, "/ws")

    async def talk():
        async with SocketTestClient(app, state={"own": 1}, lifespan=True) as client:
            seen = (await client.request("handshake")).payload
            assert seen["state"] == {"own": 1, "pool": "pool"}
            assert events == ["startup"]
        assert events == ["startup", "shutdown"]
        async with SocketTestClient(app) as client:
            await client.request("echo")
        assert events == ["startup", "shutdown"], "only where the test asks for it"

    run(talk())


def test_a_refused_socket_ends_the_lifespan(run):
    events = []

    @asynccontextmanager
    async def lifespan(app):
        events.append("startup")
        yield
        events.append("shutdown")

    async def talk():
        with pytest.raises(SocketRejected):
            async with SocketTestClient(FastAPI(lifespan=lifespan), "/nowhere", lifespan=True):
                pytest.fail("never entered")

    run(talk())
    assert events == ["startup", "shutdown"]


def test_a_startup_that_fails_is_raised(run):
    @asynccontextmanager
    async def lifespan(app):
        raise ZeroDivisionError("no database")
        yield

    async def talk():
        with pytest.raises((ZeroDivisionError, RuntimeError), match="no database"):
            async with SocketTestClient(FastAPI(lifespan=lifespan), lifespan=True):
                pytest.fail("never entered")

    run(talk())


# --- the twin for tests that are not async


def test_the_sync_twin_does_the_same():
    with SyncSocketTestClient(echoing(), "/path", headers={"x-a": "b"}) as client:
        assert client.request("echo", [1]).payload == [1]
        answer = client.request("full", 404, {"a": 1})
        assert (answer.status, answer.headers) == (404, {"a": 1})
        assert client.request("handshake").payload["headers"]["x-a"] == "b"
        client.push("echo", 2)
        assert client.receive()["payload"] == 2
        client.send_raw("not json")
        assert client.receive()["status"] == 400


def test_the_sync_twin_tells_refusals_closes_and_failures():
    def refuse(ws):
        raise HTTPException(401, "who?")

    with pytest.raises(SocketRejected) as refused:  # noqa: SIM117
        with SyncSocketTestClient(echoing(access_logic=refuse, deny="http")):
            pytest.fail("never entered")
    assert refused.value.status == 401

    with SyncSocketTestClient(closing(4000, "bye")) as client:
        with pytest.raises(SocketClosed, match="4000"):
            client.request("r")
        assert client.receive() == {"last": "words"}

    with pytest.raises(TimeoutError, match="no frame"):  # noqa: SIM117
        with SyncSocketTestClient(echoing(), timeout=0.02) as client:
            client.receive()

    async def app(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # noqa: SIM117
        with SyncSocketTestClient(app):
            pytest.fail("never entered")


# --- streams and calls of the server


def streaming() -> SocketRouter:
    router = SocketRouter()

    @router.route("count")
    async def count(payload: int, progress: Progress) -> AsyncIterator[int]:
        try:
            for n in range(payload):
                await progress(f"{n} made")
                yield n
        finally:
            LEFT.append(payload)
        if payload == 3:
            raise HTTPException(410, "no more")

    @router.route("ask")
    async def ask(payload, connection: Connection):
        return await connection.call("double", payload, timeout=5)

    return router


LEFT: list[int] = []


@pytest.mark.parametrize("window", [None, 1, 2])
def test_a_stream_gives_its_items_and_raises_its_error(window, run):
    async def main():
        async with SocketTestClient(streaming()) as client:
            assert [n async for n in client.stream("count", 5, window=window)] == list(range(5))
            stream = client.stream("count", 3, window=window)
            assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
            with pytest.raises(ResponseError) as error:
                await anext(stream)
            assert error.value.status == 410

    run(main())


def test_a_stream_that_is_left_early_is_cancelled(run):
    async def main():
        LEFT.clear()
        async with SocketTestClient(streaming()) as client:
            async with contextlib.aclosing(client.stream("count", 1000, window=2)) as items:
                async for item in items:
                    if item == 3:
                        break
            assert LEFT == [1000]
            assert [n async for n in client.stream("count", 2)] == [0, 1]

    run(main())


def test_progress_of_a_stream_is_told_apart_from_its_items(run):
    async def main():
        told = []
        async with SocketTestClient(streaming()) as client:
            items = [n async for n in client.stream("count", 2, progress=told.append)]
            assert (items, told) == ([0, 1], ["0 made", "1 made"])

    run(main())


def test_a_stream_ends_with_its_socket(run):
    async def main():
        router = streaming()
        async with SocketTestClient(router) as client:
            items = client.stream("count", 1000, window=1)
            await anext(items)
            await next(iter(router.connections)).close(4000, "enough")
            with pytest.raises(SocketClosed, match="enough"):
                await anext(items)

    run(main())


@pytest.mark.parametrize("is_async", [True, False])
def test_a_handler_answers_calls_of_the_server(is_async, run):
    async def main():
        async def doubled(payload):
            return payload * 2

        async with SocketTestClient(streaming()) as client:
            assert (await client.hello()).ok
            client.handle("double", doubled if is_async else lambda payload: payload * 2)
            assert (await client.request("ask", 4)).payload == 8
            client.handle("double", lambda _: Response(0, 200, {}, "in full"))
            assert (await client.request("ask", 4)).payload == "in full"

    run(main())


def test_tests_without_async_have_streams_and_calls_too():
    with SyncSocketTestClient(streaming()) as client:
        assert client.hello().ok
        client.handle("double", lambda payload: payload * 2)
        assert client.request("ask", 4).payload == 8
        assert list(client.stream("count", 4, window=2)) == [0, 1, 2, 3]
        for item in client.stream("count", 1000, window=1):
            if item == 2:
                break
        assert list(client.stream("count", 1)) == [0]


# --- topics


def newsroom() -> SocketRouter:
    router = SocketRouter()

    @router.topic("news/{name}", history=5)
    async def news(name: str) -> bool:
        return name != "secret"

    @router.topic("board")
    async def board() -> dict[str, int]:
        return {"notes": 1}

    return router


def test_a_topic_is_followed_and_left(run):
    async def main():
        router = newsroom()
        async with SocketTestClient(router) as client:
            async with client.subscribe("news/a") as a, client.subscribe("board") as board:
                assert (a.snapshot, board.snapshot) == (None, {"notes": 1})
                start = a.position
                await router.publish("news/a", 1)
                await router.publish("board", 2)
                assert (await anext(a), await anext(board)) == (1, 2)
                assert a.position == (start.epoch, 1)
                with pytest.raises(RuntimeError, match="subscribed to already"):
                    await client.subscribe("news/a").__aenter__()
            assert not router._topics.hub.topics()
            await router.publish("news/a", 3)
            async with client.subscribe("news/a", since=start) as a:
                assert [await anext(a), await anext(a)] == [1, 3]
            for refused, status in (("news/secret", 403), ("nothing", 404)):
                with pytest.raises(ResponseError) as error:
                    async with client.subscribe(refused):
                        pass
                assert error.value.status == status

    run(main())


def test_lost_events_of_a_followed_topic_are_a_gap(run):
    async def main():
        router = newsroom()
        async with (
            SocketTestClient(router, timeout=0.05) as client,
            client.subscribe("news/a", since=Position("another", 7)) as a,
        ):
            with pytest.raises(Gap):
                await anext(a)
            await router.publish("news/a", 1)
            assert await anext(a) == 1
            with pytest.raises(TimeoutError):
                await anext(a)
            for subscription in router._topics.hub._channels["news/a"].listeners:
                subscription.gap(Position("b", 9))
            with pytest.raises(Gap) as gap:
                await anext(a)
            assert gap.value.position == a.position == Position("b", 9)
            assert gap.value.reload_after_ms >= 0

    run(main())


def test_tests_without_async_follow_topics_too():
    router = newsroom()

    @router.route("publish")
    async def publish(payload: int):
        await router.publish("news/a", payload)

    with SyncSocketTestClient(router) as client, client.subscribe("news/a") as events:
        client.request("publish", 1)
        client.request("publish", 2)
        assert next(events) == 1
        assert [next(iter(events)), events.position.offset, events.snapshot] == [2, 2, None]
