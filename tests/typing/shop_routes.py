# Made by fastapi-observable-socket: what is changed here is lost.
# fmt: off
# ruff: noqa
"""The routes of Shop 1.0.0."""

from datetime import date
from fastapi_observable_socket.client import Route, StreamRoute, TopicRoute
from shop import Order, Page, Receipt, Shop
from typing import Literal, NotRequired
from typing_extensions import TypedDict

OrdersFindPayload = TypedDict("OrdersFindPayload", {
    "state": Literal["new", "shipped"],
    "after": NotRequired[date | None],
    "limit": NotRequired[int],
})

class_ = Route[tuple[int, str] | None, bool | str]("class")

items = Route[int | None, dict[str, Shop.Item]]("items")

logout = Route[None, None]("logout")

orders_find = Route[OrdersFindPayload, Page[Order]]("orders/find")

orders_follow = StreamRoute[int, Receipt]("orders/follow")

orders_place = Route[Order, Receipt]("orders/place")
"""Place an order."""

topic_orders_order_file = TopicRoute[Receipt, Order]("orders/{order}/{file:path}")
"""What happens to an order."""

topic_news = TopicRoute[str, None]("news")
