"""Routes with types, as the client takes them. Read by type checkers, never run."""

from typing import Any, assert_type

import shop_routes as shop
from pydantic import BaseModel, TypeAdapter
from shop import Order, Page, Receipt, Shop

from fastapi_observable_socket.client import (
    Events,
    Response,
    Route,
    Socket,
    Stream,
    StreamRoute,
    SyncEvents,
    SyncSocket,
    SyncStream,
    TopicRoute,
)


class Sum(BaseModel):
    total: int


add = Route("math/sum", list[float], Sum)
logout = Route("logout", None, None)
now = Route("now", None, str)
forget = Route("forget", int, None)
first = Route[int | None, Sum | None]("first")
adapted = Route("adapted", TypeAdapter(Sum), TypeAdapter(list[int]))
tail = StreamRoute("logs/tail", str, Sum)
ticks = StreamRoute("ticks", None, int)
either = StreamRoute[int | str, int | str]("either")

news = TopicRoute("news", str)
orders = TopicRoute("orders/{order_id}", Sum, list[int])
board = TopicRoute[int | str, Sum | None]("board")

assert_type(news, TopicRoute[str, None])
assert_type(orders.at(order_id=4), TopicRoute[Sum, list[int]])
assert_type(add, Route[list[float], Sum])
assert_type(logout, Route[None, None])
assert_type(now, Route[None, str])
assert_type(forget, Route[int, None])
assert_type(adapted, Route[Sum, list[int]])
assert_type(tail, StreamRoute[str, Sum])
assert_type(ticks, StreamRoute[None, int])


async def asynchronous(socket: Socket) -> None:
    assert_type(await socket.call(add, [1, 2.5], timeout=5), Sum)
    assert_type(await socket.call(now), str)
    assert_type(await socket.call(first, 1), Sum | None)
    assert_type(await socket.call(first, None), Sum | None)
    assert_type(await socket.call(first), Sum | None)
    assert_type(await socket.call(adapted, Sum(total=1)), list[int])
    assert_type(await socket.request(add, [1.5]), Response)
    assert_type(socket.stream(tail, "x", window=3), Stream[Sum])
    assert_type(socket.stream(ticks), Stream[int])
    assert_type(socket.stream(either, "x"), Stream[int | str])
    await socket.call(logout)
    await socket.notify(logout)
    await socket.notify(forget, 1)
    assert_type(await socket.call("any", {"any": 1}), Any)
    assert_type(socket.subscribe(news), Events[str, None])
    assert_type(socket.subscribe(orders.at(order_id=4), since=("e", 1)), Events[Sum, list[int]])
    assert_type(socket.subscribe(board), Events[int | str, Sum | None])
    await socket.publish(news, "x")
    await socket.publish("any", 1)
    await socket.publish(news, 1)  # type: ignore[misc]
    socket.subscribe(add)  # type: ignore[call-overload]
    await socket.call(add, ["x"])  # type: ignore[misc]
    await socket.call(add)  # type: ignore[arg-type]
    await socket.call(logout, 1)  # type: ignore[misc]
    await socket.call(tail, "x")  # type: ignore[call-overload]
    socket.stream(tail)  # type: ignore[arg-type]
    socket.stream(add, [1])  # type: ignore[call-overload]
    await socket.notify(forget)  # type: ignore[arg-type]
    await socket.request(forget)  # type: ignore[arg-type]


def synchronous(socket: SyncSocket) -> None:
    assert_type(socket.call(add, [1, 2.5]), Sum)
    assert_type(socket.call(now), str)
    assert_type(socket.request(add, [1.5]), Response)
    assert_type(socket.stream(tail, "x"), SyncStream[Sum])
    socket.notify(logout)
    assert_type(socket.subscribe(orders.at(order_id=4)), SyncEvents[Sum, list[int]])
    socket.publish(news, "x")
    socket.call(add)  # type: ignore[arg-type]


Route("x", "y", int)  # type: ignore[call-overload]


async def made_of_an_application(socket: Socket) -> None:
    assert_type(await socket.call(shop.orders_place, Order(item="tea")), Receipt)
    found = await socket.call(shop.orders_find, shop.OrdersFindPayload(state="new", limit=3))
    assert_type(found, Page[Order])
    assert_type(await socket.call(shop.items), dict[str, Shop.Item])
    assert_type(await socket.call(shop.items, 3), dict[str, Shop.Item])
    assert_type(await socket.call(shop.class_, (1, "a")), bool | str)
    assert_type(await socket.call(shop.logout), None)
    assert_type(socket.stream(shop.orders_follow, 7), Stream[Receipt])
    at = shop.topic_orders_order_file.at(order=1, file="a/b")
    assert_type(socket.subscribe(at), Events[Receipt, Order])
    await socket.call(shop.orders_place, {"item": "tea"})  # type: ignore[misc]
    await socket.call(shop.orders_find, shop.OrdersFindPayload(state="old"))  # type: ignore
