"""The client for code that is not async: what it adds are threads."""

import gc
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from fastapi_observable_socket import Authenticated, Connection, Progress, SocketRouter
from fastapi_observable_socket.client import (
    ConnectionLostError,
    ResponseError,
    SocketTimeoutError,
    SyncSocket,
    connect_sync,
)

from .serving import Server, Stage, eventually


@pytest.fixture
def router(stage: Stage) -> SocketRouter:
    router = SocketRouter()

    @router.route("echo")
    async def echo(payload: Any) -> Any:
        return payload

    @router.route("wait")
    async def wait(payload: Any) -> Any:
        await stage.behind(payload)
        return payload

    @router.route("count")
    async def count(payload: int) -> AsyncIterator[int]:
        try:
            for number in range(payload):
                yield number
        finally:
            stage.seen["left"] += 1

    @router.route("broken")
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("secret")

    @router.route("work")
    async def work(progress: Progress) -> str:
        for done in range(3):
            await progress(done)
        return "done"

    @router.route("ask")
    async def ask(payload: str, connection: Connection) -> Any:
        return await connection.call(payload, [1], timeout=10)

    @router.route("push")
    async def push(payload: list[Any], connection: Connection) -> None:
        for item in payload:
            await connection.push("news", item)

    @router.route("leave")
    async def leave(payload: int, connection: Connection) -> None:
        await connection.close(payload, "so be it")

    return router


@pytest.fixture
def server(serve: Callable[[SocketRouter], Server], router: SocketRouter) -> Server:
    return serve(router)


@pytest.fixture
def url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/ws"


@pytest.fixture
def socket(url: str) -> Iterator[SyncSocket]:
    before = threading.active_count()
    with connect_sync(url, backoff=(0.01, 0.02)) as socket:
        yield socket
    assert threading.active_count() == before


def test_every_method_waits_for_its_result(socket: SyncSocket):
    assert socket.state == "open"
    assert socket.session is not None
    assert socket.call("echo", [1]) == [1]
    assert socket.call("echo", [1], result=tuple[int]) == (1,)
    assert socket.request("nothing").status == 404
    socket.notify("echo")
    socket.ready()
    with pytest.raises(ResponseError):
        socket.call("nothing")
    with pytest.raises(SocketTimeoutError):
        socket.call("wait", timeout=0.02)
    socket.reconnect()
    assert socket.call("echo", 2) == 2


def test_a_stream_is_a_plain_iterator(socket: SyncSocket, stage: Stage):
    for window in (1, 5, 64):
        stream = socket.stream("count", 300, window=window)
        assert list(stream) == list(range(300))
        assert stream.result is None
        assert list(stream) == []
    assert list(socket.stream("echo", ["1"], item=int)) == [1]
    items = socket.stream("broken")
    assert next(items) == 1
    with pytest.raises(ResponseError):
        next(items)
    assert list(items) == []


def test_a_stream_that_is_left_ends_on_the_server(socket: SyncSocket, stage: Stage):
    with socket.stream("count", 100_000) as items:
        for item in items:
            if item == 100:
                break
    eventually(lambda: stage.seen["left"] == 1)
    assert list(items) == []
    for item in socket.stream("count", 100_000):
        if item == 100:
            break
    gc.collect()
    eventually(lambda: stage.seen["left"] == 2)
    stream = socket.stream("count", 100_000)
    next(stream)
    stream.close()
    stream.close()
    eventually(lambda: stage.seen["left"] == 3)


def test_handlers_and_listeners_may_block_and_call(socket: SyncSocket):
    threads: set[str] = set()

    @socket.handle("confirm")
    def confirm(payload: Any) -> Any:
        threads.add(threading.current_thread().name)
        return socket.call("echo", payload)

    @socket.handle("later")
    async def later(payload: Any) -> Any:
        return [payload]

    pushed: list[Any] = []
    socket.on_push(lambda push: pushed.append(socket.call("echo", push.payload)))
    assert socket.call("ask", "confirm") == [1]
    assert socket.call("ask", "later") == [[1]]
    socket.call("push", list(range(20)))
    eventually(lambda: pushed == list(range(20)))
    assert threads
    assert threading.current_thread().name not in threads


def test_progress_is_told_in_order(socket: SyncSocket):
    told: list[Any] = []
    assert socket.call("work", on_progress=told.append) == "done"
    eventually(lambda: told == [0, 1, 2])
    assert socket.request("work", on_progress=told.append).payload == "done"
    eventually(lambda: told == [0, 1, 2] * 2)


def test_pushes_are_a_plain_iterator_that_ends_with_the_socket(socket: SyncSocket):
    news = socket.pushes("news")
    socket.call("push", [1, 2])
    assert (next(news).payload, next(news).payload, news.dropped) == (1, 2, 0)
    heard: list[Any] = []
    reading = threading.Thread(target=lambda: heard.extend(news))
    reading.start()
    socket.call("push", [3])
    socket.close()
    reading.join(10)
    assert not reading.is_alive()
    assert [push.payload for push in heard] == [3]
    assert list(news) == []


def test_closing_lets_no_thread_wait(url: str, stage: Stage):
    before = threading.active_count()
    socket = connect_sync(url)
    ended: list[Exception] = []

    def waiting() -> None:
        try:
            socket.call("wait", timeout=None)
        except ConnectionLostError as error:
            ended.append(error)

    threads = [threading.Thread(target=waiting) for _ in range(10)]
    for thread in threads:
        thread.start()
    eventually(lambda: stage.running == 10)
    socket.close()
    socket.close()
    for thread in threads:
        thread.join(10)
    assert len(ended) == 10
    for use in (socket.call, socket.notify):
        with pytest.raises(ConnectionLostError):
            use("echo")
    with pytest.raises(ConnectionLostError):
        socket.reconnect()
    assert threading.active_count() == before


def test_a_handler_may_close_the_socket(url: str):
    socket = connect_sync(url)
    closed = threading.Event()

    @socket.handle("bye")
    def bye() -> None:
        socket.close()
        closed.set()

    with pytest.raises(ConnectionLostError):
        socket.call("ask", "bye")
    assert closed.wait(10)
    assert socket.state == "closed"


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """As in a program of its own: who runs tests side by side may have turned it off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_ends_the_wait_and_the_call(socket: SyncSocket, stage: Stage):
    def interrupt() -> None:
        eventually(lambda: stage.running == 1)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        socket.call("wait")
    interrupting.join()
    eventually(lambda: stage.seen["cancelled"] == 1)
    assert socket.call("echo", 1) == 1


def test_a_blocking_auth_holds_up_nobody(serve: Callable[[SocketRouter], Server]):
    router = SocketRouter(authenticate=lambda token: Authenticated(token))

    @router.route("who")
    async def who(connection: Connection) -> Any:
        return connection.user

    asked = threading.Event()
    go_on = threading.Event()

    def token() -> str:
        asked.set()
        assert go_on.wait(10)
        return "ada"

    server = serve(router)
    url = f"ws://127.0.0.1:{server.port}/ws"
    answers: list[str] = []

    def first() -> None:
        with connect_sync(url, auth=token) as socket:
            answers.append(socket.call("who"))

    connecting = threading.Thread(target=first)
    connecting.start()
    assert asked.wait(10)
    with connect_sync(url, auth=lambda: "eve") as socket:
        answers.append(socket.call("who"))
    go_on.set()
    connecting.join(10)
    assert answers == ["eve", "ada"]


def test_states_are_told_and_it_comes_back(socket: SyncSocket):
    told: list[str] = []
    undo = socket.on_state(lambda state, end: told.append(state))
    socket.notify("leave", 1012)
    eventually(lambda: told == ["waiting", "connecting", "open"])
    undo()
    assert socket.call("echo", 1) == 1


def test_whoever_is_refused_leaves_no_thread():
    before = threading.active_count()
    started = time.monotonic()
    with pytest.raises(ConnectionLostError):
        connect_sync("ws://127.0.0.1:1/", max_attempts=1)
    assert time.monotonic() - started < 10
    assert threading.active_count() == before
