"""Sockets that are let go: when each leaves, and that it leaves with all its answers."""

import asyncio
import logging
import random
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI

from fastapi_observable_socket import Connection, SocketRouter
from fastapi_observable_socket import _drain as room
from fastapi_observable_socket._drain import Drain
from fastapi_observable_socket.testing import SocketClosed, SocketRejected, SocketTestClient

Run = Callable[..., Any]


class Dice(random.Random):
    """Its throws can be looked at; nobody waits for them."""

    def __init__(self) -> None:
        super().__init__(7)
        self.thrown: list[tuple[float, float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.thrown.append((a, b, super().uniform(a, b)))
        return 0.0


@pytest.fixture(autouse=True)
def dice(monkeypatch: pytest.MonkeyPatch) -> Dice:
    dice = Dice()
    monkeypatch.setattr(room, "random", dice)
    return dice


class Doors:
    """A router whose calls wait until the test lets them go on."""

    def __init__(self, **options: Any) -> None:
        self.open = asyncio.Event()
        self.inside = asyncio.Event()
        self.cancelled = 0
        self.router = router = SocketRouter(**options)

        @router.route("wait")
        async def wait(payload: Any) -> Any:
            self.inside.set()
            try:
                await self.open.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return payload

        @router.route("echo")
        async def echo(payload: Any) -> Any:
            return payload

        @router.route("items")
        async def items() -> AsyncIterator[int]:
            yield 1
            self.inside.set()
            await self.open.wait()
            yield 2

        @router.route("ask")
        async def ask(connection: Connection) -> Any:
            self.inside.set()
            return await connection.call("confirm")


async def turns(number: int = 30) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# --- who is told what


def test_nobody_is_let_in_any_more(run: Run):
    async def main() -> None:
        router = Doors().router
        assert router.draining is False
        await router.drain(60)
        assert router.draining is True
        with pytest.raises(SocketRejected) as refused:
            async with SocketTestClient(router):
                pass
        assert refused.value.status == 503
        assert refused.value.headers["retry-after"] == "1"
        await router.drain(60)

    run(main())


def test_a_socket_that_is_on_its_way_in_is_let_go_too(run: Run):
    async def main() -> None:
        asked, may = asyncio.Event(), asyncio.Event()

        async def access(ws: Any) -> bool:
            asked.set()
            await may.wait()
            return True

        doors = Doors(access_logic=access)
        may.set()
        async with SocketTestClient(doors.router) as first:
            asked.clear()
            may.clear()
            late = asyncio.create_task(SocketTestClient(doors.router).__aenter__())
            await asked.wait()
            ending = asyncio.create_task(doors.router.drain(60))
            with pytest.raises(SocketClosed):
                await first.receive()
            may.set()
            client = await late
            with pytest.raises(SocketClosed) as closed:
                await client.receive()
            assert closed.value.code == 1012
            await client.disconnect()
        await ending

    run(main())


@pytest.mark.parametrize("calls", [True, False])
def test_who_knows_how_to_leave_is_asked_and_the_others_are_closed(run: Run, calls: bool):
    async def main() -> None:
        router = Doors().router
        async with SocketTestClient(router) as knows, SocketTestClient(router) as older:
            await knows.hello(calls=calls, drain=True)
            await older.hello(calls=calls)
            ending = asyncio.create_task(router.drain(60))
            assert await knows.receive() == {
                "uuid": "#",
                "route": "$drain",
                "headers": None,
                "payload": {"within_ms": 60_000},
            }
            with pytest.raises(SocketClosed) as closed:
                await older.receive()
            assert (closed.value.code, closed.value.reason) == (1012, "service restart")
            assert (await knows.request("echo", 1)).payload == 1
            assert not ending.done()
            await knows.disconnect()
            await ending

    run(main())


def test_who_says_meanwhile_that_it_knows_how_to_leave_is_asked(
    run: Run, dice: Dice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dice, "uniform", lambda a, b: 0.05)

    async def main() -> None:
        router = Doors().router
        async with SocketTestClient(router) as client:
            ending = asyncio.create_task(router.drain(60))
            await client.hello(drain=True)
            assert (await client.receive())["route"] == "$drain"
            await client.disconnect()
            await ending

    run(main())


# --- nothing is dropped


def test_a_call_is_answered_before_its_socket_goes(run: Run):
    async def main() -> None:
        doors = Doors()
        async with SocketTestClient(doors.router) as client:
            calls = [asyncio.create_task(client.request("wait", n)) for n in range(20)]
            await doors.inside.wait()
            ending = asyncio.create_task(doors.router.drain(60))
            await turns()
            assert (await client.request("echo", "as ever")).payload == "as ever"
            assert not any(call.done() for call in calls)
            doors.open.set()
            assert [(await call).payload for call in calls] == list(range(20))
            with pytest.raises(SocketClosed) as closed:
                await client.receive()
            assert closed.value.code == 1012
            assert doors.cancelled == 0
            await ending

    run(main())


def test_a_request_that_has_arrived_is_answered(run: Run):
    async def main() -> None:
        doors = Doors()
        async with SocketTestClient(doors.router) as client:
            ending = asyncio.create_task(doors.router.drain(60))
            answers = [asyncio.create_task(client.request("echo", n)) for n in range(200)]
            assert [(await answer).payload for answer in answers] == list(range(200))
            await ending

    run(main())


def test_a_stream_comes_to_its_end(run: Run):
    async def main() -> None:
        doors = Doors()
        async with SocketTestClient(doors.router) as client:
            items = client.stream("items")
            assert await anext(items) == 1
            reading = asyncio.create_task(anext(items))
            await doors.inside.wait()
            ending = asyncio.create_task(doors.router.drain(60))
            await turns()
            doors.open.set()
            assert await reading == 2
            assert [item async for item in items] == []
            await ending

    run(main())


def test_an_answer_of_the_client_is_waited_for(run: Run):
    async def main() -> None:
        doors = Doors()
        may = asyncio.Event()

        async def confirm(payload: Any) -> str:
            await may.wait()
            return "yes"

        async with SocketTestClient(doors.router) as client:
            await client.hello()
            client.handle("confirm", confirm)
            answer = asyncio.create_task(client.request("ask"))
            await doors.inside.wait()
            ending = asyncio.create_task(doors.router.drain(60))
            await turns()
            may.set()
            assert (await answer).payload == "yes"
            await ending

    run(main())


def test_what_comes_behind_a_token_that_is_looked_at_is_answered(run: Run):
    async def main() -> None:
        looked, may = asyncio.Event(), asyncio.Event()

        async def authenticate(token: str) -> str:
            looked.set()
            await may.wait()
            return token

        doors = Doors(authenticate=authenticate)
        async with SocketTestClient(doors.router) as client:
            hello = asyncio.create_task(client.hello("ada"))
            answer = asyncio.create_task(client.request("echo", 1))
            await looked.wait()
            ending = asyncio.create_task(doors.router.drain(60))
            await turns()
            may.set()
            assert (await hello).ok
            assert (await answer).payload == 1
            await ending

    run(main())


# --- the time is up


@pytest.mark.parametrize("knows", [True, False])
def test_what_still_runs_when_the_time_is_up_is_cancelled(
    run: Run, knows: bool, caplog: pytest.LogCaptureFixture
):
    async def main() -> None:
        doors = Doors()
        async with SocketTestClient(doors.router) as client:
            await client.hello(drain=knows)
            call = asyncio.create_task(client.request("wait", 1))
            await doors.inside.wait()
            await doors.router.drain(0.05)
            with pytest.raises(SocketClosed) as closed:
                await call
            assert closed.value.code == 1012
            assert doors.cancelled == 1

    run(main())
    assert "1 sockets are closed with what still runs on them" in caplog.text


def test_whoever_drains_meanwhile_waits_for_the_same_end(run: Run):
    async def main() -> None:
        doors = Doors()
        async with SocketTestClient(doors.router) as client:
            call = asyncio.create_task(client.request("wait", 1))
            await doors.inside.wait()
            first = asyncio.create_task(doors.router.drain(60))
            second = asyncio.create_task(doors.router.drain(0))
            impatient = asyncio.create_task(doors.router.drain(60))
            await turns()
            impatient.cancel()
            await turns()
            assert impatient.cancelled()
            assert not first.done()
            assert not second.done()
            doors.open.set()
            assert (await call).payload == 1
            await asyncio.gather(first, second)

    run(main())


# --- all of them do not come back at the same moment


class Guest:
    """A socket on which nothing happens."""

    busy = False

    def __init__(self, stack: ExitStack) -> None:
        self.left = stack

    def tell_drain(self, within_ms: int) -> bool:
        return False

    async def send_away(self) -> None:
        self.left.close()


def test_the_moments_are_spread_over_the_first_half(run: Run, dice: Dice):
    async def main() -> None:
        drain = Drain()
        for _ in range(1000):
            stack = ExitStack()
            stack.enter_context(drain.holding(Guest(stack)))
        await drain.run(600)

    run(main())
    assert len(dice.thrown) == 1000
    assert all(low == 0 and high <= 300 for low, high, _ in dice.thrown)
    tenths = [int(chosen / high * 10) for _, high, chosen in dice.thrown]
    assert all(60 < tenths.count(tenth) < 140 for tenth in range(10))


# --- at a signal


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float):
    with pytest.raises(ValueError, match="drain is a number of seconds"):
        SocketRouter(drain=seconds)


@pytest.fixture
def below() -> Any:
    """The server's own handler, and what it has heard."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


def app_with(router: SocketRouter) -> FastAPI:
    app = FastAPI()
    router.mount(app, "/ws")
    return app


def test_a_signal_lets_sockets_go_before_the_server_hears_of_it(run: Run, below: list[int]):
    async def main() -> None:
        doors, others = Doors(drain=60), SocketRouter(drain=60)
        app = app_with(doors.router)
        others.mount(app, "/others")
        server = signal.getsignal(signal.SIGTERM)
        async with (
            SocketTestClient(app, "/ws", lifespan=True) as client,
            SocketTestClient(app, "/others") as other,
        ):
            assert signal.getsignal(signal.SIGTERM) != server
            call = asyncio.create_task(client.request("wait", 1))
            await doors.inside.wait()
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(SocketClosed):
                await other.receive()
            assert doors.router.draining
            assert below == []
            doors.open.set()
            assert (await call).payload == 1
            with pytest.raises(SocketClosed):
                await client.receive()
            await turns()
            assert below == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is server
        # Another life of the same application.
        async with SocketTestClient(app, "/ws", lifespan=True) as client:
            assert (await client.request("echo", 2)).payload == 2
            assert not doors.router.draining

    run(main())


def test_without_the_option_signals_are_the_servers(run: Run, below: list[int]):
    async def main() -> None:
        server = signal.getsignal(signal.SIGTERM)
        async with SocketTestClient(app_with(SocketRouter()), "/ws", lifespan=True):
            assert signal.getsignal(signal.SIGTERM) is server

    run(main())


def test_where_no_lifespan_is_ours_the_first_socket_is_in_time(run: Run, below: list[int]):
    async def main() -> None:
        router = SocketRouter(drain=60)
        app = FastAPI()
        app.include_router(router.api_router("/ws"))
        async with SocketTestClient(app, "/ws") as client:
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(SocketClosed):
                await client.receive()
            await turns()
            assert below == [signal.SIGTERM]
        router._drain.end()

    run(main())


def test_in_another_thread_it_is_told_and_no_failure(
    below: list[int], caplog: pytest.LogCaptureFixture
):
    async def main() -> None:
        doors = Doors(drain=60)
        async with SocketTestClient(app_with(doors.router), "/ws", lifespan=True) as client:
            assert (await client.request("echo", 1)).payload == 1

    server = signal.getsignal(signal.SIGTERM)
    with caplog.at_level(logging.WARNING):
        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        thread.join()
    assert caplog.text.count("sockets are not drained at a signal") == 1
    assert signal.getsignal(signal.SIGTERM) is server
