"""The Python client and the router, over a real server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fastapi_observable_socket import Authenticated, Connection, Progress, SocketRouter
from fastapi_observable_socket.client import (
    ConnectionLostError,
    ResponseError,
    SocketTimeoutError,
    connect,
    connect_sync,
)

from .serving import Server, Stage, eventually

Run = Callable[..., Any]
Serve = Callable[[SocketRouter], Server]


def url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/ws"


@pytest.fixture
def router(stage: Stage) -> SocketRouter:
    router = SocketRouter()

    @router.route("math/sum")
    async def add(payload: list[int]) -> int:
        return sum(payload)

    @router.route("wait")
    async def wait(payload: Any) -> Any:
        await stage.behind(payload)
        return payload

    @router.route("count")
    async def count(payload: int) -> AsyncIterator[int]:
        try:
            for number in range(payload):
                yield number
                stage.seen["yielded"] += 1
        finally:
            stage.seen["left"] += 1

    @router.route("broken")
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("secret")

    @router.route("work")
    async def work(progress: Progress) -> str:
        for done in range(3):
            await progress({"done": done})
        return "done"

    @router.route("ask")
    async def ask(payload: str, connection: Connection) -> Any:
        try:
            return await connection.call(payload, [1], headers={"h": 1}, timeout=10)
        except Exception as error:
            return {"failed": type(error).__name__, "status": getattr(error, "status", None)}

    @router.route("push")
    async def push(payload: list[Any], connection: Connection) -> None:
        for item in payload:
            await connection.push("news", item)

    @router.route("leave")
    async def leave(connection: Connection) -> None:
        await connection.close(1012, "restart")

    return router


def test_calls_go_and_answers_come(run: Run, serve: Serve, router: SocketRouter):
    async def main(server: Server) -> None:
        async with connect(url(server)) as socket:
            assert socket.session is not None
            assert {"stream", "calls", "cancel"} <= socket.session.features
            assert socket.session.limits["in_flight"] == 64
            assert await socket.call("math/sum", [1, 2]) == 3
            calls = [socket.call("math/sum", [n, n]) for n in range(500)]
            assert await asyncio.gather(*calls) == [2 * n for n in range(500)]
            assert (await socket.request("nothing")).status == 404
            with pytest.raises(ResponseError) as error:
                await socket.call("math/sum", ["x"])
            assert error.value.code == "bad_request"

    server = serve(router)
    run(main(server))
    server.assert_nothing_left()


def test_whoever_does_not_wait_stops_the_work(
    run: Run, serve: Serve, router: SocketRouter, stage: Stage
):
    async def main(server: Server) -> None:
        async with connect(url(server)) as socket:
            call = asyncio.create_task(socket.call("wait", "a"))
            await asyncio.to_thread(eventually, lambda: stage.running == 1)
            call.cancel()
            await asyncio.to_thread(eventually, lambda: stage.seen["cancelled"] == 1)
            with pytest.raises(SocketTimeoutError):
                await socket.call("wait", "b", timeout=0.1)
            await asyncio.to_thread(eventually, lambda: stage.seen["cancelled"] == 2)
            many = [asyncio.create_task(socket.call("wait", n)) for n in range(50)]
            await asyncio.to_thread(eventually, lambda: stage.running == 50)
            for task in many:
                task.cancel()
            await asyncio.to_thread(eventually, lambda: stage.seen["cancelled"] == 52)
            assert await socket.call("math/sum", [1]) == 1

    server = serve(router)
    run(main(server))
    server.assert_nothing_left()


def test_a_server_that_is_busy_is_not_taken_for_dead(
    run: Run, serve: Serve, router: SocketRouter, stage: Stage
):
    async def main(server: Server) -> None:
        pongs: list[str] = []

        def heard(message: str | bytes) -> None:
            if '"PONG"' in str(message):
                pongs.append(str(message))

        options: dict[str, Any] = {"heartbeat": 0.05, "heartbeat_timeout": 2, "on_frame": heard}
        async with connect(url(server), **options) as socket:
            states: list[str] = []
            socket.on_state(lambda state, end: states.append(state))
            calls = [asyncio.create_task(socket.call("wait", n)) for n in range(300)]
            await asyncio.to_thread(eventually, lambda: stage.running == 64)
            await asyncio.to_thread(eventually, lambda: len(pongs) >= 2)
            assert states == []
            for call in calls[64:]:
                call.cancel()
            await asyncio.sleep(0)
            for number in range(64):
                server.call(stage.door(number).set)
            assert await asyncio.gather(*calls[:64]) == list(range(64))
            assert stage.seen == {"ended": 64}

    server = serve(router)
    run(main(server))
    server.assert_nothing_left()


def test_a_stream_comes_whole(run: Run, serve: Serve, router: SocketRouter, stage: Stage):
    async def main(server: Server) -> None:
        async with connect(url(server)) as socket:
            for window in (1, 7, 64, 5000):
                stream = socket.stream("count", 1500, window=window)
                assert [item async for item in stream] == list(range(1500))
            items = []
            with pytest.raises(ResponseError) as error:
                await gather(socket.stream("broken"), items)
            assert (items, error.value.status) == ([1], 500)
            assert [item async for item in socket.stream("math/sum", [1, 2])] == [3]
            streams = [socket.stream("count", 200, window=3) for _ in range(20)]
            lists: list[list[int]] = [[] for _ in streams]
            await asyncio.gather(*map(gather, streams, lists))
            assert lists == [list(range(200))] * 20

    server = serve(router)
    run(main(server))
    server.assert_nothing_left()


async def gather(stream: AsyncIterator[Any], into: list[Any]) -> None:
    async for item in stream:
        into.append(item)


def test_a_stream_that_is_left_in_the_middle_ends_on_the_server(
    run: Run, serve: Serve, router: SocketRouter, stage: Stage
):
    async def main(server: Server) -> None:
        async with connect(url(server)) as socket:
            async with socket.stream("count", 100_000, window=16) as items:
                async for item in items:
                    assert stage.seen["yielded"] <= item + 1 + 16
                    if item == 5000:
                        break
            await asyncio.to_thread(eventually, lambda: stage.seen["left"] == 1)
            assert stage.seen["yielded"] <= 5001 + 16
            async for item in socket.stream("count", 100_000):
                if item == 10:
                    break
            await asyncio.to_thread(eventually, lambda: stage.seen["left"] == 2)
            assert await socket.call("math/sum", [1]) == 1

    server = serve(router)
    run(main(server))
    server.assert_nothing_left()


def test_progress_pushes_and_calls_of_the_server(run: Run, serve: Serve, router: SocketRouter):
    async def main(server: Server) -> None:
        async with connect(url(server)) as socket:
            told: list[Any] = []
            assert await socket.call("work", on_progress=told.append) == "done"
            assert told == [{"done": n} for n in range(3)]

            news = socket.pushes("news")
            await socket.call("push", [1, None, {"a": 2}])
            assert [(await anext(news)).payload for _ in range(3)] == [1, None, {"a": 2}]

            @socket.handle("confirm")
            async def confirm(payload: Any, headers: dict[str, Any]) -> Any:
                return [payload, headers, await socket.call("math/sum", [20, 3])]

            assert await socket.call("ask", "confirm") == [[1], {"h": 1}, 23]
            answer = await socket.call("ask", "unknown")
            assert answer == {"failed": "ResponseError", "status": 404}

    server = serve(router)
    run(main(server))
    server.assert_nothing_left()


def test_it_comes_back_after_a_restart(run: Run, serve: Serve, router: SocketRouter):
    async def main(server: Server) -> None:
        async with connect(url(server), backoff=(0.01, 0.02)) as socket:
            waiting = asyncio.create_task(socket.call("wait"))
            await socket.call("math/sum", [])
            await socket.notify("leave")
            with pytest.raises(ConnectionLostError) as error:
                await waiting
            assert error.value.close_code == 1012
            assert await socket.call("math/sum", [1]) == 1

    server = serve(router)
    run(main(server))
    server.assert_nothing_left()


def test_tokens_open_and_renew_a_session(run: Run, serve: Serve):
    seen: list[str | None] = []

    async def authenticate(token: str | None) -> Authenticated | None:
        seen.append(token)
        if token is None or not token.startswith("ada"):
            return None
        return Authenticated("ada", expires_in=1.5)

    router = SocketRouter(authenticate=authenticate)

    @router.route("who")
    async def who(connection: Connection) -> Any:
        return connection.user

    tokens = iter(f"ada {n}" for n in range(100))

    async def main(server: Server) -> None:
        async with connect(url(server), auth=lambda: next(tokens)) as socket:
            first = socket.session
            assert first is not None
            assert "auth" in first.features
            assert await socket.call("who") == "ada"
            await asyncio.to_thread(eventually, lambda: len(seen) == 3)
            assert await socket.call("who") == "ada"
            assert socket.session is first
        with pytest.raises(ConnectionLostError) as error:
            await connect(url(server), auth=lambda: "eve")
        assert error.value.close_code == 1008
        assert isinstance(error.value.__cause__, ResponseError)

    run(main(serve(router)))
    assert seen[:3] == ["ada 0", "ada 1", "ada 2"]


def test_threads_share_a_socket(serve: Serve, router: SocketRouter, stage: Stage):
    server = serve(router)
    before = threading.active_count()
    with connect_sync(url(server)) as socket:
        answers: dict[int, list[int]] = {}

        def calling(name: int) -> None:
            answers[name] = [socket.call("math/sum", [name, n]) for n in range(50)]

        threads = [threading.Thread(target=calling, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert answers == {name: [name + n for n in range(50)] for name in range(8)}

        assert list(socket.stream("count", 500)) == list(range(500))
        with socket.stream("count", 100_000) as items:
            assert next(items) == 0
        eventually(lambda: stage.seen["left"] == 2)

        socket.handle("confirm", lambda payload: socket.call("math/sum", payload) + 1)
        assert socket.call("ask", "confirm") == 2
    assert threading.active_count() == before
    server.assert_nothing_left()
