"""Routes with types: what is sent is written by them, what comes is read by them."""

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.client import (
    Route,
    StreamRoute,
    TopicRoute,
    Unserialisable,
    connect,
    connect_sync,
)

from .integration.serving import Server


class Stay(BaseModel):
    first: date
    nights: int = Field(1, alias="n")


class Bill(BaseModel):
    last: date | None
    total: float


def made() -> SocketRouter:
    router = SocketRouter()

    @router.route("bill")
    async def bill(stay: Stay) -> Bill:
        return Bill(last=stay.first, total=stay.nights * 50)

    @router.route("mirror")
    async def mirror(payload: Any) -> Any:
        return payload

    @router.route("days")
    async def days(payload: int | None = None) -> AsyncIterator[date]:
        for day in range(payload or 1):
            yield date(2030, 1, day + 1)

    @router.topic("stays/{number}/{file:path}", event=Bill, publish=True, keep=False)
    async def follow(number: int, file: str) -> Stay:
        return Stay(first=date(2030, 1, number), n=2)

    return router


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(made(), "auto") as server:
        yield f"ws://127.0.0.1:{server.port}/ws"


BILL = Route("bill", Stay, Bill)
STAY = Stay(first=date(2030, 1, 1), n=2)


def test_a_call_takes_and_gives_values_of_its_types(url: str):
    async def calls() -> None:
        async with connect(url) as socket:
            assert await socket.call(BILL, STAY) == Bill(last=STAY.first, total=100)
            same = Route[dict[str, set[int]], dict[str, set[int]]]("mirror")
            assert await socket.call(same, {"a": {1}}) == {"a": {1}}
            nothing = Route("mirror", None, None)
            assert await socket.call(nothing) is None
            untyped = Route[Any, Any]("mirror")
            assert await socket.call(untyped, {"any": [1]}) == {"any": [1]}
            answer = await socket.request(BILL, STAY)
            assert answer.payload == {"last": "2030-01-01", "total": 100.0}
            await socket.notify(BILL, STAY)

    asyncio.run(calls())


def test_a_stream_gives_items_of_its_type(url: str):
    async def streams() -> None:
        days = StreamRoute[int | None, date]("days")
        async with connect(url) as socket:
            assert [day async for day in socket.stream(days, 2)] == [
                date(2030, 1, n) for n in (1, 2)
            ]
            assert [day async for day in socket.stream(days)] == [date(2030, 1, 1)]

    asyncio.run(streams())


def test_without_async_it_is_the_same(url: str):
    with connect_sync(url) as socket:
        assert socket.call(BILL, STAY).total == 100
        assert socket.request(BILL, STAY).ok
        assert list(socket.stream(StreamRoute("days", int, date), 1)) == [date(2030, 1, 1)]
        socket.notify(BILL, STAY)


STAYS = TopicRoute("stays/{number}/{file:path}", Bill, Stay)


def test_a_topic_gives_events_and_a_state_of_its_types_and_takes_such_events(url: str):
    topic = STAYS.at(number=3, file="a/b")
    bill = Bill(last=date(2030, 1, 5), total=1)

    async def follow() -> None:
        async with connect(url) as socket, socket.subscribe(topic) as events:
            assert events.snapshot == Stay(first=date(2030, 1, 3), n=2)
            await socket.publish(topic, bill)
            assert await anext(aiter(events)) == bill
            wrong: Any = "bill"
            with pytest.raises(TypeError, match="the event of 'stays/3/a/b' does not fit"):
                await socket.publish(topic, wrong)

    asyncio.run(follow())
    with connect_sync(url) as socket, socket.subscribe(topic) as events:
        assert events.snapshot.nights == 2
        socket.publish(topic, bill)
        assert next(iter(events)) == bill


class Kind(str, enum.Enum):  # noqa: UP042 - as applications have them
    NOTE = "note"


class Floor(enum.Enum):
    FIRST = 1


def test_a_pattern_is_no_topic_until_it_has_its_parameters(url: str):
    with connect_sync(url) as socket, pytest.raises(ValueError, match="is a pattern"):
        socket.subscribe(STAYS)
    assert STAYS.at(number=1, file="a/b").name == "stays/1/a/b"
    assert STAYS.at(number=Floor.FIRST, file=Kind.NOTE).name == "stays/1/note"
    for wrong in ({}, {"number": 1}, {"number": 1, "file": "a", "more": 2}):
        with pytest.raises(TypeError, match="takes number, file"):
            STAYS.at(**wrong)
    for wrong in ({"number": "", "file": "a"}, {"number": "1/2", "file": "a"}):
        with pytest.raises(ValueError, match="another topic"):
            STAYS.at(**wrong)
    read: list[Any] = [TopicRoute[int, None]("t"), TopicRoute("t", int), TopicRoute("t", int, None)]
    for topic in read:
        assert topic.event.validate_json("1") == 1
        assert topic.snapshot.validate_json("null") is None
        assert topic.at().name == "t"
    anything: Any = TopicRoute("t")
    assert anything.snapshot.validate_json("[1]") == [1]


def refused(url: str, call: Callable[[Any], Any]) -> None:
    with connect_sync(url) as socket:
        call(socket)


def test_what_does_not_fit_is_not_sent_and_what_comes_is_checked(url: str):
    wrong: Any = {"first": "never"}
    with pytest.raises(TypeError, match=r"the payload for 'bill' does not fit its type: first"):
        refused(url, lambda socket: socket.call(BILL, wrong))
    with pytest.raises(TypeError, match=r"'logs' does not fit"):
        refused(url, lambda socket: socket.stream(StreamRoute("logs", int, str), "x"))
    with pytest.raises(Unserialisable):
        refused(url, lambda socket: socket.call(Route("mirror", float, float), float("nan")))
    with pytest.raises(ValidationError):
        refused(url, lambda socket: socket.call(Route("mirror", int, Bill), 1))


def test_types_are_read_from_brackets_or_arguments_and_are_anything_without():
    read: list[Any] = [
        Route[int, str]("r"),
        Route("r", int, str),
        Route("r", *(map(TypeAdapter, (int, str)))),
    ]
    for route in read:
        assert route.takes.validate_json("1") == 1
        assert route.gives.validate_json('"a"') == "a"
    anything: Any = Route("r")
    assert anything.gives.validate_json("[null]") == [None]
    assert repr(read[0]) == "Route('r')"
