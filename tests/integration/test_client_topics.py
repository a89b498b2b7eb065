"""Topics by the Python client, over a real server and a line that breaks."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.websockets import WebSocket

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.client import (
    ConnectionLostError,
    Gap,
    Position,
    ResponseError,
    Socket,
    connect,
    connect_sync,
)

from .serving import Server, eventually
from .wire import Wire

Run = Callable[..., Any]
Serve = Callable[[SocketRouter], Server]

SOON: dict[str, Any] = {"backoff": (0.01, 0.02)}


class Order(BaseModel):
    number: int


class Board(BaseModel):
    notes: list[int]


class Shop:
    """What the handlers of these tests know, and may be told."""

    def __init__(self) -> None:
        self.notes: list[int] = []
        self.shut: set[str] = set()
        """Topics that nobody may listen to any more."""
        self.router = router = SocketRouter()

        @router.topic("orders/{name}", event=Order, history=20, publish=True)
        async def orders(name: str) -> bool:
            return name not in self.shut

        @router.topic("board", event=int, publish=True)
        async def board() -> Board:
            return Board(notes=list(self.notes))

        @router.topic("cursors", keep=False, publish=True)
        async def cursors() -> bool:
            return True

        @router.topic("closed", publish=lambda event: event != "no")
        async def closed(ws: WebSocket) -> bool:
            return True


@pytest.fixture(scope="session")
def ws() -> str:
    """One is enough: frames by hand are for other tests."""
    return os.environ["UVICORN_WS"]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/ws"


@asynccontextmanager
async def two(server: Server) -> AsyncIterator[tuple[Socket, Socket, Wire]]:
    """One whose line can be cut, and one whose is not."""
    async with (
        Wire(server.port) as wire,
        connect(wire.url, **SOON) as socket,
        connect(url(server)) as other,
    ):
        yield socket, other, wire


async def taken(events: Any, number: int) -> list[Any]:
    return [await asyncio.wait_for(anext(events), 30) for _ in range(number)]


def test_events_come_typed_and_in_order(run: Run, serve: Serve, shop: Shop):
    async def main(server: Server) -> None:
        async with two(server) as (socket, other, _):
            async with socket.subscribe("orders/a", event=Order) as events:
                assert events.snapshot is None
                first = events.position
                assert first is not None
                stored = await other.publish("orders/a", Order(number=1))
                assert stored == Position(first.epoch, 1)
                assert await anext(events) == Order(number=1)
                assert events.position == stored
                await asyncio.gather(
                    *[socket.publish("orders/a", {"number": n}) for n in range(2, 102)]
                )
                numbers = [order.number for order in await taken(events, 100)]
                assert sorted(numbers) == list(range(2, 102))
            await asyncio.to_thread(eventually, lambda: not server.router._topics.hub.topics())

    server = serve(shop.router)
    run(main(server))


def test_publishing_says_where_and_what_is_refused(run: Run, serve: Serve, shop: Shop):
    async def main(server: Server) -> None:
        async with connect(url(server)) as socket:
            assert await socket.publish("cursors", [1, 2]) is None
            first = await socket.publish("orders/a", Order(number=1), "one")
            assert await socket.publish("orders/a", Order(number=1), message_id="one") == first
            for topic, event, status in (
                ("nothing", 1, 404),
                ("orders/a", "x", 400),
                ("closed", "no", 403),
            ):
                with pytest.raises(ResponseError) as error:
                    await socket.publish(topic, event)
                assert (error.value.route, error.value.status) == ("$pub", status)

    run(main(serve(shop.router)))


def test_what_was_missed_comes_first_after_a_cut(run: Run, serve: Serve, shop: Shop):
    async def main(server: Server) -> None:
        async with (
            two(server) as (socket, other, wire),
            socket.subscribe("orders/a", event=Order) as a,
            socket.subscribe("orders/b", event=Order) as b,
        ):
            await other.publish("orders/a", Order(number=1))
            assert await anext(a) == Order(number=1)
            wire.cut()
            for number in range(2, 8):
                await other.publish("orders/a", Order(number=number))
            # Of this one not a single event was seen.
            await other.publish("orders/b", Order(number=1))
            assert [order.number for order in await taken(a, 6)] == list(range(2, 8))
            assert await taken(b, 1) == [Order(number=1)]
            await other.publish("orders/a", Order(number=8))
            assert await taken(a, 1) == [Order(number=8)]

    run(main(serve(shop.router)))


def test_what_is_not_kept_any_more_is_a_gap(run: Run, serve: Serve, shop: Shop):
    async def main(server: Server) -> None:
        async with (
            two(server) as (socket, other, wire),
            socket.subscribe("orders/a", event=Order) as events,
        ):
            lost = asyncio.Event()
            undo = socket.on_state(lambda state, _: state == "waiting" and lost.set())
            wire.to, port = 9, wire.to  # nobody is there
            wire.cut()
            await lost.wait()
            undo()
            # More than the process keeps at hand, and the topic at all.
            for number in range(300):
                await other.publish("orders/a", Order(number=number))
            wire.to = port
            with pytest.raises(Gap) as gap:
                await asyncio.wait_for(anext(events), 30)
            assert gap.value.position.offset == 300
            await other.publish("orders/a", Order(number=99))
            assert await taken(events, 1) == [Order(number=99)]

    run(main(serve(shop.router)))


def test_another_history_is_a_gap(run: Run, serve: Serve, shop: Shop):
    async def main(server: Server, successor: Server) -> None:
        async with (
            two(server) as (socket, other, wire),
            socket.subscribe("orders/a", event=Order) as events,
        ):
            before = await other.publish("orders/a", Order(number=1))
            assert await taken(events, 1) == [Order(number=1)]
            wire.to = successor.port
            wire.cut()
            with pytest.raises(Gap):
                await asyncio.wait_for(anext(events), 30)
            assert events.position is not None
            assert before is not None
            assert events.position.epoch != before.epoch
            await socket.publish("orders/a", Order(number=2))
            assert await taken(events, 1) == [Order(number=2)]

    run(main(serve(shop.router), serve(Shop().router)))


def test_the_state_comes_at_the_beginning_and_with_a_gap(run: Run, serve: Serve, shop: Shop):
    successor = Shop()
    shop.notes, successor.notes = [1], [1, 2, 3]

    async def main(server: Server, next_one: Server) -> None:
        async with (
            two(server) as (socket, _, wire),
            socket.subscribe("board", event=int, snapshot=Board) as events,
        ):
            assert events.snapshot == Board(notes=[1])
            await socket.publish("board", 2)
            assert await taken(events, 1) == [2]
            wire.to = next_one.port
            wire.cut()
            with pytest.raises(Gap) as gap:
                await asyncio.wait_for(anext(events), 30)
            assert gap.value.reload_after_ms == 0
            assert events.snapshot == Board(notes=[1, 2, 3])

    run(main(serve(shop.router), serve(successor.router)))


def test_who_may_not_any_more_is_told_as_it_comes_back(run: Run, serve: Serve, shop: Shop):
    async def main(server: Server) -> None:
        async with two(server) as (socket, other, wire):
            with pytest.raises(ResponseError) as error:
                await socket.subscribe("nothing").__aenter__()
            assert error.value.status == 404
            async with (
                socket.subscribe("orders/a", event=Order) as a,
                socket.subscribe("orders/b", event=Order) as b,
            ):
                shop.shut.add("b")
                wire.cut()
                with pytest.raises(ResponseError) as error:
                    await asyncio.wait_for(anext(b), 30)
                assert (error.value.status, error.value.route) == (403, "orders/b")
                await other.publish("orders/a", Order(number=1))
                assert await taken(a, 1) == [Order(number=1)]

    run(main(serve(shop.router)))


def test_who_subscribes_by_hand_finds_events_among_the_pushes(run: Run, serve: Serve, shop: Shop):
    async def main(server: Server) -> None:
        async with connect(url(server)) as socket:
            pushes = socket.pushes()
            await socket.call("$sub", {"topic": "orders/a"})
            await socket.publish("orders/a", Order(number=1))
            push = await anext(pushes)
            assert (push.route, push.payload) == ("orders/a", {"number": 1})
            async with socket.subscribe("orders/b") as events:
                await socket.publish("orders/b", Order(number=2))
                assert await anext(events) == {"number": 2}
                assert pushes.waiting == 0

    run(main(serve(shop.router)))


def test_a_server_without_topics_says_so(run: Run, serve: Serve):
    async def main(server: Server) -> None:
        async with connect(url(server)) as socket:
            with pytest.raises(ResponseError, match="no topics") as error:
                await socket.subscribe("news").__aenter__()
            assert error.value.status == 404

    run(main(serve(SocketRouter())))


def test_nothing_is_lost_or_doubled_whenever_the_line_is_cut(run: Run, serve: Serve, shop: Shop):
    async def main(server: Server) -> None:
        async with two(server) as (socket, other, wire):
            seen: dict[str, list[int]] = {name: [] for name in "abc"}

            async def follow(name: str) -> None:
                async with socket.subscribe(f"orders/{name}", event=Order) as events:
                    begun.release()
                    async for order in events:
                        seen[name].append(order.number)
                        if order.number == 299:
                            return

            begun = asyncio.Semaphore(0)
            tasks = [asyncio.create_task(follow(name)) for name in seen]
            for _ in tasks:
                await begun.acquire()
            for number in range(300):
                for name in seen:
                    await other.publish(f"orders/{name}", Order(number=number))
                if number % 15 == 7:
                    wire.cut()
                    # No more than are kept may come before it is back.
                    await until_back(socket)
            await asyncio.wait_for(asyncio.gather(*tasks), 30)
            assert seen == {name: list(range(300)) for name in seen}
            assert wire.opened > 10

    run(main(serve(shop.router)))


async def until_back(socket: Socket) -> None:
    """Past the loss of one line, to the next one."""
    lost = asyncio.Event()
    undo = socket.on_state(lambda state, _: state == "waiting" and lost.set())
    await lost.wait()
    undo()
    await socket.ready()


def test_a_reader_that_is_far_behind_reads_on_from_the_history(run: Run, serve: Serve):
    router = SocketRouter()

    @router.topic("numbers", event=int, history=3000, publish=True)
    async def numbers() -> bool:
        return True

    async def main(server: Server) -> None:
        async with (
            connect(url(server)) as socket,
            connect(url(server)) as other,
            socket.subscribe("numbers", event=int) as slow,
            socket.subscribe("numbers", event=int) as fast,
        ):
            for first in range(0, 2000, 50):
                batch = range(first, first + 50)
                await asyncio.gather(*[other.publish("numbers", n) for n in batch])
                assert sorted(await taken(fast, 50)) == list(batch)
            assert slow.waiting == 1000
            assert sorted(await taken(slow, 2000)) == list(range(2000))
            assert slow.position == fast.position

    run(main(serve(router)))


def test_a_socket_that_closes_ends_its_subscriptions(run: Run, serve: Serve, shop: Shop):
    async def main(server: Server) -> None:
        async with connect(url(server)) as socket, socket.subscribe("orders/a") as events:
            reading = asyncio.create_task(anext(events))
            await asyncio.sleep(0)
            await socket.close()
            with pytest.raises(ConnectionLostError):
                await reading

    server = serve(shop.router)
    run(main(server))
    server.assert_nothing_left()


def test_the_same_without_async(serve: Serve, shop: Shop):
    server = serve(shop.router)
    shop.notes = [7]
    before = threading.active_count()
    gaps: list[Gap] = []
    with connect_sync(url(server), **SOON) as socket, connect_sync(url(server)) as other:
        with socket.subscribe("orders/a", event=Order, on_gap=gaps.append) as events:
            assert other.publish("orders/a", Order(number=1)) == Position(epoch_of(events), 1)
            assert next(events) == Order(number=1)
            assert events.position == Position(epoch_of(events), 1)
            other.publish("orders/a", {"number": 2}, "two")
            since = events.position
        with socket.subscribe("orders/a", event=Order, since=since) as events:
            assert next(events) == Order(number=2)
        with socket.subscribe("board", snapshot=Board) as board:
            assert board.snapshot == Board(notes=[7])
        with pytest.raises(ResponseError), socket.subscribe("nothing"):
            pass
        gone = ("another", 1)
        with socket.subscribe("orders/a", event=Order, since=gone) as events:
            with pytest.raises(Gap):
                next(events)
            other.publish("orders/a", {"number": 3})
            assert next(events) == Order(number=3)
        with socket.subscribe("orders/a", since=gone, on_gap=gaps.append) as events:
            other.publish("orders/a", {"number": 4})
            assert next(events) == {"number": 4}
            assert [gap.topic for gap in gaps] == ["orders/a"]
            ended: list[type[BaseException]] = []

            def reading() -> None:
                try:
                    next(events)
                except BaseException as error:
                    ended.append(type(error))

            thread = threading.Thread(target=reading)
            thread.start()
            socket.close()
            thread.join(30)
            assert ended == [ConnectionLostError]
    assert threading.active_count() == before


def epoch_of(events: Any) -> str:
    return events.position.epoch
