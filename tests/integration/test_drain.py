"""Deploys that drop no answer: real servers that end, and clients that go on at others."""

import asyncio
import os
import random
import signal
import socket as sockets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastapi_observable_socket import Connection, SocketRouter
from fastapi_observable_socket import _drain as servers_part
from fastapi_observable_socket.client import ConnectionLostError, Socket, connect, connect_sync
from fastapi_observable_socket.client import _leaving as clients_part

from .peer import Closed
from .serving import Server, Stage, eventually
from .wire import Wire

Run = Callable[..., Any]
Serve = Callable[[SocketRouter], Server]

SOON: dict[str, Any] = {"backoff": (0.01, 0.02)}


@pytest.fixture(scope="session")
def ws() -> str:
    """One is enough: frames by hand are for other tests."""
    return os.environ["UVICORN_WS"]


class Dice(random.Random):
    """The first of all moments."""

    def uniform(self, a: float, b: float) -> float:
        return a


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits at random."""
    monkeypatch.setattr(servers_part, "random", Dice())
    monkeypatch.setattr(clients_part, "random", Dice())


def routes(name: str, stage: Stage) -> SocketRouter:
    router = SocketRouter()

    @router.route("who")
    async def who() -> str:
        return name

    @router.route("wait")
    async def wait(payload: Any) -> list[Any]:
        await stage.behind()
        return [name, payload]

    @router.route("count")
    async def count(payload: int) -> AsyncIterator[int]:
        for number in range(payload):
            if number == payload // 2:
                await stage.behind()
            yield number

    @router.route("ask")
    async def ask(connection: Connection) -> Any:
        return await connection.call("confirm", name)

    @router.topic("news", publish=True)
    async def news() -> bool:
        return True

    return router


def draining(server: Server, within: float = 600) -> "asyncio.Future[None]":
    """Begun, in the server's own thread; done when it is."""
    assert server._loop is not None
    ending = asyncio.run_coroutine_threadsafe(server.router.drain(within), server._loop)
    eventually(lambda: server.router.draining)
    return asyncio.wrap_future(ending)


async def until(fact: Callable[[], Any]) -> None:
    await asyncio.to_thread(eventually, fact)


async def opened(server: Server, stage: Stage, door: Any = None) -> None:
    server.call(stage.door(door).set)


# --- one server ends, another is there


@pytest.fixture
def stages() -> tuple[Stage, Stage]:
    return Stage(), Stage()


@pytest.fixture
def two(serve: Serve, stages: tuple[Stage, Stage]) -> tuple[Server, Server]:
    return serve(routes("old", stages[0])), serve(routes("new", stages[1]))


def test_clients_go_on_at_another_server_with_all_their_answers(
    run: Run, two: tuple[Server, Server], stages: tuple[Stage, Stage], at_once: None
):
    old, new = two

    async def main() -> None:
        async with Wire(old.port) as wire, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connect(wire.url)) for _ in range(10)]
            calls = [asyncio.create_task(each.call("wait", n)) for n, each in enumerate(clients)]
            streams = [asyncio.create_task(gathered(each.stream("count", 10))) for each in clients]
            await until(lambda: stages[0].running == 20)
            wire.to = new.port
            ending = draining(old)
            # What is asked now waits for the next line, and who is told, too.
            await until(lambda: all(each._desk._leaving.closed for each in clients))
            later = [asyncio.create_task(each.call("who")) for each in clients]
            assert wire.opened == 10
            await opened(old, stages[0])
            assert [await call for call in calls] == [["old", n] for n in range(10)]
            assert [await stream for stream in streams] == [list(range(10))] * 10
            # At once, without any back-off: its first wait would be half a second.
            assert [await each for each in later] == ["new"] * 10
            assert wire.opened == 20
            await ending
        assert stages[0].seen == {"ended": 20}

    run(main())
    old.assert_nothing_left()


async def gathered(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def test_the_way_out_may_lead_through_a_call_of_the_server(
    run: Run, two: tuple[Server, Server], stages: tuple[Stage, Stage], at_once: None
):
    old, new = two

    async def main() -> None:
        asked, may = asyncio.Event(), asyncio.Event()
        async with Wire(old.port) as wire, connect(wire.url) as socket:

            @socket.handle("confirm")
            async def confirm(payload: str) -> list[str]:
                asked.set()
                await may.wait()
                # Without this there is no answer, and without the answer no next line.
                return [payload, await socket.call("who")]

            answer = asyncio.create_task(socket.call("ask"))
            await asked.wait()
            wire.to = new.port
            ending = draining(old)
            await until(lambda: socket._desk._leaving.closed)
            may.set()
            assert await answer == ["old", "old"]
            assert await socket.call("who") == "new"
            await ending

    run(main())


def test_what_was_only_told_is_done_before_it_leaves(
    run: Run, two: tuple[Server, Server], stages: tuple[Stage, Stage], at_once: None
):
    old, new = two

    async def main() -> None:
        async with Wire(old.port) as wire, connect(wire.url) as socket:
            await socket.notify("wait", 1)
            await until(lambda: stages[0].running == 1)
            wire.to = new.port
            ending = draining(old)
            await until(lambda: socket._desk._leaving.closed)
            await opened(old, stages[0])
            await ending
            assert stages[0].seen == {"ended": 1}
            assert await socket.call("who") == "new"

    run(main())


def test_a_subscription_goes_along(run: Run, two: tuple[Server, Server], at_once: None):
    old, new = two

    async def main() -> None:
        async with (
            Wire(old.port) as wire,
            connect(wire.url) as socket,
            socket.subscribe("news", on_gap=lambda gap: None) as events,
        ):
            await socket.publish("news", 1)
            assert await anext(events) == 1
            wire.to = new.port
            await draining(old)
            assert await socket.call("who") == "new"
            await until(lambda: new.router._topics.hub.topics())
            await socket.publish("news", 2)
            assert await anext(events) == 2

    run(main())


def test_what_is_left_when_the_time_is_up_is_told_so(
    run: Run, two: tuple[Server, Server], stages: tuple[Stage, Stage], at_once: None
):
    old, new = two

    async def main() -> None:
        async with Wire(old.port) as wire, connect(wire.url, **SOON) as socket:
            call = asyncio.create_task(socket.call("wait"))
            await until(lambda: stages[0].running == 1)
            wire.to = new.port
            await draining(old, 0.2)
            with pytest.raises(ConnectionLostError) as lost:
                await call
            assert lost.value.sent
            assert await socket.call("who") == "new"
            await until(lambda: stages[0].seen["cancelled"] == 1)

    run(main())


def test_where_no_other_is_there_yet_it_waits_as_ever(
    run: Run, serve: Serve, stages: tuple[Stage, Stage], at_once: None
):
    old = serve(routes("old", stages[0]))

    async def main() -> None:
        async with Wire(old.port) as wire, connect(wire.url, **SOON) as socket:
            tried = asyncio.Event()
            ends: list[Any] = []

            def changed(state: str, end: Any) -> None:
                if state == "waiting":
                    ends.append(end)
                    if len(ends) == 2:
                        tried.set()

            socket.on_state(changed)
            await draining(old)
            await tried.wait()
            assert (ends[0].code, ends[0].wait) == (1000, None)
            assert ends[1].retry_after == 1
            new = serve(routes("new", stages[1]))
            wire.to = new.port
            assert await socket.call("who") == "new"

    run(main())


def test_a_client_that_knows_nothing_of_it_is_closed_once_it_has_its_answers(
    run: Run, two: tuple[Server, Server], stages: tuple[Stage, Stage], at_once: None
):
    old, _ = two

    async def main() -> None:
        with old.connect() as peer:
            peer.send({"uuid": 1, "route": "wait", "payload": 7})
            await until(lambda: stages[0].running == 1)
            ending = draining(old)
            peer.send({"uuid": 2, "route": "who"})
            assert (await asyncio.to_thread(peer.receive))["payload"] == "old"
            await opened(old, stages[0])
            assert (await asyncio.to_thread(peer.receive))["payload"] == ["old", 7]
            with pytest.raises(Closed) as closed:
                await asyncio.to_thread(peer.receive)
            assert closed.value.code == 1012
            with old.connect() as late:
                assert (late.status, late.headers["retry-after"]) == (503, "1")
        await ending

    run(main())
    old.assert_nothing_left()


def test_without_async_it_is_the_same(
    two: tuple[Server, Server], stages: tuple[Stage, Stage], at_once: None, run: Run
):
    old, new = two

    async def switched() -> None:
        async with Wire(old.port) as wire:

            def script() -> list[Any]:
                with connect_sync(wire.url) as socket:
                    return [socket.call("who"), socket.call("wait", 1), socket.call("who")]

            answers = asyncio.create_task(asyncio.to_thread(script))
            await until(lambda: stages[0].running == 1)
            wire.to = new.port
            ending = draining(old)
            await opened(old, stages[0])
            assert await answers == ["old", ["old", 1], "new"]
            await ending

    run(switched())


# --- as programs, with signals


PROGRAM = str(Path(__file__).with_name("drained.py"))


class Program:
    """A server that lets its sockets go at a signal."""

    def __init__(self, command: list[str], seconds: float) -> None:
        self._command = [sys.executable, *command]
        self._environment = {**os.environ, "DRAIN": str(seconds)}

    def __enter__(self) -> "Program":
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,
            # Whoever runs the tests in the background has Ctrl-C ignored, and we inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        return self

    def says(self, line: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{line}\n"

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def port() -> Iterator[int]:
    """One that nobody else takes, and on which several may listen."""
    with sockets.socket() as holder:
        holder.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def start(port: int) -> Iterator[Callable[[float], Program]]:
    with ExitStack() as stack:

        def start(seconds: float) -> Program:
            program = stack.enter_context(Program([PROGRAM, str(port)], seconds))
            program.says("listening")
            return program

        yield start


@asynccontextmanager
async def many(port: int, number: int, **options: Any) -> AsyncIterator[list[Socket]]:
    async with AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{port}/ws"
        yield [
            await stack.enter_async_context(connect(url, **{**SOON, **options}))
            for _ in range(number)
        ]


async def waited(program: Program) -> int:
    return await asyncio.to_thread(program.process.wait, 30)


async def eventually_is(ask: Callable[[], Coroutine[Any, Any, Any]], wanted: Any) -> None:
    """Asked again and again: one that is asked as its server closes may be lost."""
    async with asyncio.timeout(30):
        while True:
            try:
                if await ask() == wanted:
                    return
            except ConnectionLostError:
                continue


@pytest.mark.slow
def test_a_restart_under_load_drops_no_answer(
    run: Run, port: int, start: Callable[[float], Program]
):
    old = start(3)

    async def main() -> None:
        async with many(port, 6) as new_ones, many(port, 4, hello=False) as older:
            clients = [*new_ones, *older]
            calls = [
                asyncio.create_task(each.call("hold", [n, m]))
                for n, each in enumerate(clients)
                for m in range(3)
            ]
            streams = [asyncio.create_task(gathered(each.stream("items", 10))) for each in clients]
            assert {await each.call("pid") for each in clients} == {old.process.pid}
            new = start(3)
            old.process.send_signal(signal.SIGTERM)
            assert [await call for call in calls] == [
                [old.process.pid, [n, m]] for n in range(len(clients)) for m in range(3)
            ]
            assert [await stream for stream in streams] == [list(range(10))] * len(clients)
            # What the server below does with the signal, it does with it still.
            assert await waited(old) == -signal.SIGTERM
            for each in clients:
                await eventually_is(lambda each=each: each.call("pid"), new.process.pid)  # type: ignore[misc]

    run(main())


@pytest.mark.slow
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    run: Run, port: int, start: Callable[[float], Program], second: int
):
    server = start(3600)

    async def main() -> None:
        async with many(port, 1, max_attempts=1) as (socket,):
            call = asyncio.create_task(socket.call("stuck", timeout=None))
            await asyncio.to_thread(server.says, "stuck")
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.says, "draining")
            assert not call.done()
            while not call.done():
                # One that follows at once may be a supervisor's echo of the first.
                server.process.send_signal(second)
                await asyncio.wait([call], timeout=0.1)
            with pytest.raises(ConnectionLostError) as lost:
                await call
            assert lost.value.close_code == 1012
            assert await waited(server) < 0

    run(main())


@pytest.mark.slow
@pytest.mark.parametrize(
    "tell",
    [
        lambda pid: os.kill(pid, signal.SIGTERM),
        # As a terminal does: to all of them; and the parent tells its workers once more.
        lambda pid: os.killpg(pid, signal.SIGINT),
    ],
    ids=["SIGTERM to the parent", "Ctrl-C"],
)
def test_each_of_several_workers_lets_its_own_go(run: Run, tell: Callable[[int], None]):
    with sockets.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "uvicorn", "--app-dir", str(Path(PROGRAM).parent), "drained:app"]
    options = ["--port", str(port), "--workers", "2", "--log-level", "warning"]

    async def main() -> None:
        async with many(port, 12, open_timeout=60) as clients:
            workers = {await each.call("pid") for each in clients}
            calls = [asyncio.create_task(each.call("hold", n)) for n, each in enumerate(clients)]
            await asyncio.gather(*[each.call("pid") for each in clients])
            tell(parent.process.pid)
            answers = [await call for call in calls]
            assert [n for _, n in answers] == list(range(12))
            assert {pid for pid, _ in answers} == workers
            await asyncio.gather(*[each.close() for each in clients])
            await waited(parent)

    with Program([*command, *options], 2) as parent:
        run(main())
