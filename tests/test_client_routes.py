"""Routes with types: what is sent is written by them, what comes is read by them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.client import (
    Route,
    StreamRoute,
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
