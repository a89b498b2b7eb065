"""
Models that are hard to write down, on one router: what documents and types are tried on.

Each kind of type stands on both sides of a route, where both have it.
"""

import enum
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from uuid import UUID

from fastapi import Body
from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    RootModel,
    SecretStr,
    computed_field,
)
from typing_extensions import TypedDict

from fastapi_observable_socket import MessageHeader, Progress, SocketRouter

T = TypeVar("T")


class Colour(enum.Enum):
    """The colours that there are."""

    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: Annotated[int, Field(ge=0, le=9)] = 9


class Dog(BaseModel):
    kind: Literal["dog", "puppy"]
    name: Annotated[str, Field(min_length=1, max_length=20, pattern=r"^\w+$")]


class Fish(BaseModel):
    kind: Literal["fish"]
    water: "Water"


class Water(BaseModel):
    salt: bool = False


Pet = Annotated[Cat | Dog | Fish, Field(discriminator="kind")]


class Owner(BaseModel):
    """Has pets, and friends who have pets.

    Recursive, through a list and through a dict.
    """

    pets: list[Pet] = []
    friends: "list[Owner]" = []
    by_name: "dict[str, Owner | None]" = {}
    best: "Owner | None" = None


class Scalars(BaseModel):
    at: datetime
    on: date
    clock: time
    took: timedelta
    price: Decimal
    id: UUID
    raw: bytes
    link: AnyUrl
    host: IPv4Address
    file: PurePosixPath
    secret: SecretStr
    text: str | None = None
    number: int | float | None
    loose: Any = None
    embedded: Json[list[int]] = "[]"


class Constrained(BaseModel):
    model_config = ConfigDict(extra="forbid")

    share: Annotated[float, Field(gt=0, lt=1)]
    even: Annotated[int, Field(multiple_of=2)]
    few: Annotated[list[int], Field(min_length=1, max_length=3)]
    unique: set[str]
    frozen: frozenset[int] = frozenset()


class Collections(BaseModel):
    pair: tuple[int, str]
    many: tuple[float, ...]
    nothing: tuple[()] = ()
    nested: tuple[tuple[int, int], list[tuple[str, bool]]]
    by_id: dict[UUID, int]
    by_number: dict[int, str]
    by_level: dict[Level, str] = {}
    by_colour: dict[Colour, list[int]]
    open: dict[str, Any]
    anything: list


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    class_: str = Field(alias="class")
    snake_case: int = Field(alias="snakeCase", default=1)
    read: str = Field(validation_alias="written", serialization_alias="shown")
    odd: int = Field(alias="odd-name with 'quotes' and \\", default=0)
    title: str = Field(default="", title="A title", description="One line */ and\nanother")


class Computed(BaseModel):
    width: float
    height: float = 1.0
    hidden: str = Field(default="", exclude=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> float:
        """What it covers."""
        return self.width * self.height


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = None


class Tags(RootModel[list[str]]):
    pass


class Lookup(RootModel[dict[str, Page[Cat]]]):
    pass


class Movie(TypedDict):
    name: str
    year: NotRequired[int]


class Draft(TypedDict, total=False):
    text: str
    tags: Tags


@dataclass
class Point:
    x: float
    y: float = 0.0
    labels: list[str] = field(default_factory=list)


class Pair(NamedTuple):
    left: int
    right: str = ""


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")

    known: int


class Base(BaseModel):
    id: int


class Derived(Base):
    """Inherits, and narrows."""

    id: Literal[1, 2]  # type: ignore[assignment]
    flag: Literal[True] = True
    nothing: None = None
    mixed: Literal["a", 1, None, True]


class constructor(BaseModel):
    """A name that means something in other languages."""

    __proto__: int = 0
    default: str = ""
    function: "Empty | None" = None


class Empty(BaseModel):
    pass


class NotFound(BaseModel):
    message: str
    code: Literal["not_found"] = "not_found"
    id: UUID | None = None


Owner.model_rebuild()
constructor.model_rebuild()

TYPES: dict[str, Any] = {
    "any": Any,
    "none": None,
    "bool": bool,
    "int": int,
    "text": str,
    "optional": int | None,
    "literal": Literal["a", "b", 3],
    "colour": Colour,
    "level": Level,
    "pet": Pet,
    "pets": list[Pet],
    "owner": Owner,
    "scalars": Scalars,
    "constrained": Constrained,
    "collections": Collections,
    "aliased": Aliased,
    "computed": Computed,
    "page": Page[Cat],
    "pages": Page[Page[Point]],
    "union": Cat | Point | list[int] | str | None,
    "tags": Tags,
    "lookup": Lookup,
    "movie": Movie,
    "draft": Draft,
    "point": Point,
    "pair": Pair,
    "tuple": tuple[int, Annotated[str, Field(description="Second")], Pet],
    "dict": dict[str, list[Pair]],
    "extra": Extra,
    "derived": Derived,
    "constructor": constructor,
    "empty": Empty,
}
"""Types by name. `both/<name>` takes and gives each, `only/in/<name>` and `only/out/<name>` one."""


def router(one_sided: bool = True) -> SocketRouter:
    """All of it, in every place where a type can stand; without `one_sided` those routes are left
    out that say nothing new to who reads the document alone."""
    made = SocketRouter(title="Torture", version="1.2.3", description="Hard to *write* down.")
    for name, kind in TYPES.items():
        _both(made, name, kind, one_sided)
    _others(made)
    return made


def _both(made: SocketRouter, name: str, kind: Any, one_sided: bool) -> None:
    async def both(payload):
        return payload

    async def takes(payload) -> None: ...

    async def gives() -> Any: ...

    # Not as annotations above: they would be names of this function's own.
    both.__annotations__ = {"payload": kind, "return": kind}
    takes.__annotations__["payload"] = kind
    gives.__annotations__["return"] = kind
    made.route(f"both/{name}")(both)
    if one_sided:
        made.route(f"only/in/{name}")(takes)
        made.route(f"only/out/{name}")(gives)


def _others(made: SocketRouter) -> None:
    @made.route(
        "keys",
        tags=["odd", "names & signs"],
        deprecated=True,
        idempotent=True,
        responses={404: NotFound, 409: {"description": "Taken"}, 422: {"model": list[Pet]}},
    )
    async def keys(
        first: int,
        pet: Pet,
        odd: Annotated[str, Body(alias="odd-name", embed=True, min_length=2)] = "ab",
        trace: Annotated[str, MessageHeader("x-trace")] = "",
        depth: Annotated[int | None, MessageHeader()] = None,
    ) -> Owner:
        """Take keys of a payload.

        With `code`, *stars* and a
        second line.
        """
        return Owner()

    @made.route("seed")
    async def seed(ws, headers, payload):
        return {"status": 200, "payload": payload}

    @made.route("default")
    async def default(payload: Page[Cat] = Page[Cat](items=[])) -> int:
        return len(payload.items)

    @made.route("stream")
    async def stream(payload: Cat, progress: Progress[Pair]) -> AsyncIterator[Pet]:
        yield payload

    @made.route("stream/returns", timeout=5)
    def returns(payload: int | None = None) -> Generator[Point, None, Computed]:
        yield Point(1)
        return Computed(width=1)

    @made.route("stream/untyped")
    async def untyped():
        yield 1

    @made.topic(
        "orders/{order_id}/{file:path}",
        event=Owner,
        publish=True,
        tags=["orders"],
        responses={404: NotFound},
    )
    async def orders(order_id: int) -> Page[Cat]:
        """What happens to an order."""
        return Page[Cat](items=[])

    @made.topic("rooms/{room}", presence=True)
    async def rooms(room: str) -> bool:
        return True

    @made.topic("news", event=Pet, keep=False, deprecated=True, summary="News", description="All")
    async def news() -> bool:
        return True

    @made.topic("untyped/{name}")
    async def may(name) -> bool:
        return True

    made.pushes("news", Computed, summary="Something new", description="Now and then.")
    made.pushes("reload", deprecated=True)
    made.pushes("anything", Any)
    made.calls("confirm", payload=Aliased, result=bool, summary="Asks")
    made.calls("aliased", result=Aliased)
    made.calls("refresh")
