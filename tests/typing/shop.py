"""A small application whose routes `shop_routes.py` was made of."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from fastapi_observable_socket import SocketRouter

T = TypeVar("T")


class Order(BaseModel):
    item: str
    count: int = 1


class Receipt(BaseModel):
    total: Decimal


class Page(BaseModel, Generic[T]):
    items: list[T]


class Shop:
    class Item(BaseModel):
        name: str


router = SocketRouter(title="Shop", version="1.0.0")


@router.route("orders/place")
async def place(order: Order) -> Receipt:
    """Place an order."""
    return Receipt(total=Decimal(order.count))


@router.route("orders/find")
async def find(
    state: Literal["new", "shipped"], after: date | None = None, limit: int = 10
) -> Page[Order]:
    return Page(items=[])


@router.route("items")
async def items(page: Annotated[int, Field(ge=0)] = 0) -> dict[str, Shop.Item]:
    return {}


@router.route("logout")
async def logout() -> None: ...


@router.route("class")
async def of_class(payload: tuple[int, str] | None) -> bool | str:
    return True


@router.topic("orders/{order}/{file:path}", event=Receipt, publish=True)
async def changes(order: int) -> Order:
    """What happens to an order."""
    return Order(item="tea")


@router.topic("news", event=str)
async def news() -> bool:
    return True


@router.route("orders/follow")
async def follow(order: int) -> AsyncIterator[Receipt]:
    yield Receipt(total=Decimal(order))
