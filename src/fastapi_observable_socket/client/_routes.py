"""
Routes and topics as the client's user holds them: a name, and the types of what goes and comes.

What is sent is written by its type, what comes is validated by its own. Nothing is sent here.
"""

import copy
import enum
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Generic, Self, TypeVar, get_args, overload

from pydantic import TypeAdapter

from .._fit import ANYTHING, serialised

P = TypeVar("P", contravariant=True)
R = TypeVar("R", covariant=True)
E = TypeVar("E")
T = TypeVar("T")
U = TypeVar("U")

_UNSAID: Any = object()
Type = type[T] | TypeAdapter[T]


class _Named:
    """A name and two types: both given, or read from `Route[int, str]("name")`."""

    def __init__(self, name: str, first: Any, second: Any) -> None:
        self.name = name
        self._given = first, second

    @cached_property
    def _adapters(self) -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
        # Set by Python when there were brackets, but after `__init__`.
        inside = get_args(getattr(self, "__orig_class__", None)) or (Any, Any)
        kinds = (i if g is _UNSAID else g for g, i in zip(self._given, inside, strict=True))
        first, second = (_adapter(kind) for kind in kinds)
        return first, second

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class _Asked(_Named):
    """One that takes a payload."""

    @property
    def takes(self) -> TypeAdapter[Any]:
        """What writes the payload."""
        return self._adapters[0]

    @property
    def gives(self) -> TypeAdapter[Any]:
        """What reads the result, or each item."""
        return self._adapters[1]


class Route(_Asked, Generic[P, R]):
    """A route that is called: `await socket.call(route, payload)` takes a P and gives an R.

        add = Route("math/sum", list[float], Sum)
        first = Route[None, str | None]("first")  # any type, also those that are no classes

    A payload that is no P raises `TypeError` before anything is sent. It goes as pydantic
    writes it, by aliases. None as a type is for what is not there.
    """

    @overload
    def __init__(self, name: str) -> None: ...
    @overload
    def __init__(self: "Route[T, U]", name: str, payload: Type[T], result: Type[U]) -> None: ...
    @overload
    def __init__(self: "Route[None, U]", name: str, payload: None, result: Type[U]) -> None: ...
    @overload
    def __init__(self: "Route[T, None]", name: str, payload: Type[T], result: None) -> None: ...
    @overload
    def __init__(self: "Route[None, None]", name: str, payload: None, result: None) -> None: ...
    def __init__(self, name: str, payload: Any = _UNSAID, result: Any = _UNSAID) -> None:
        super().__init__(name, payload, result)


class StreamRoute(_Asked, Generic[P, R]):
    """A route that answers with many items: `socket.stream(route, payload)` gives Rs.

        tail = StreamRoute("logs/tail", File, str)

    Otherwise as `Route`.
    """

    @overload
    def __init__(self, name: str) -> None: ...
    @overload
    def __init__(self: "StreamRoute[T, U]", name: str, payload: Type[T], item: Type[U]) -> None: ...
    @overload
    def __init__(self: "StreamRoute[None, U]", name: str, payload: None, item: Type[U]) -> None: ...
    def __init__(self, name: str, payload: Any = _UNSAID, item: Any = _UNSAID) -> None:
        super().__init__(name, payload, item)


class TopicRoute(_Named, Generic[E, R]):
    """A topic, or a pattern of topics: its events are Es, its state is an R, None for none.

    orders = TopicRoute("orders/{order_id}", OrderEvent, Order)
    async with socket.subscribe(orders.at(order_id=42)) as events: ...
    """

    @overload
    def __init__(self, name: str) -> None: ...
    @overload
    def __init__(
        self: "TopicRoute[T, None]", name: str, event: Type[T], snapshot: None = None
    ) -> None: ...
    @overload
    def __init__(
        self: "TopicRoute[T, U]", name: str, event: Type[T], snapshot: Type[U]
    ) -> None: ...
    def __init__(self, name: str, event: Any = _UNSAID, snapshot: Any = _UNSAID) -> None:
        super().__init__(name, event, None if snapshot is _UNSAID is not event else snapshot)

    @property
    def event(self) -> TypeAdapter[Any]:
        """What reads and writes an event."""
        return self._adapters[0]

    @property
    def snapshot(self) -> TypeAdapter[Any]:
        """What reads the state."""
        return self._adapters[1]

    def at(self, **parameters: Any) -> Self:
        """The topic with these parameters. Raises `TypeError` where one is missing or unknown, and
        `ValueError` for one that is empty, or has a slash where there must be none."""
        wanted = [found[1] for found in _PARAMETER.finditer(self.name)]
        if set(wanted) != parameters.keys():
            raise TypeError(f"{self} takes {', '.join(wanted) or 'no parameters'}")
        made = copy.copy(self)
        made.name = _PARAMETER.sub(lambda found: _filled(found, parameters), self.name)
        return made


_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)(:path)?\}")


def _filled(found: re.Match[str], parameters: Mapping[str, Any]) -> str:
    given = parameters[found[1]]
    # A member of an enum is told by its value, as in JSON; `str` gives its name.
    value = str(given.value if isinstance(given, enum.Enum) else given)
    if not value or ("/" in value and not found[2]):
        raise ValueError(f"{found[1]}={value!r} would make another topic")
    return value


def followed(topic: str | TopicRoute[Any, Any], event: Any, snapshot: Any) -> tuple[str, Any, Any]:
    """Name and types of a topic, as they are for the desk. Raises `ValueError` for a pattern."""
    if not isinstance(topic, TopicRoute):
        return topic, event, snapshot
    if _PARAMETER.search(topic.name):
        raise ValueError(f"{topic} is a pattern: give it its parameters by `at`")
    return (
        topic.name,
        topic.event if event is None else event,
        topic.snapshot if snapshot is None else snapshot,
    )


def published(topic: str | TopicRoute[Any, Any], event: Any) -> tuple[str, Any]:
    """Name of a topic, and an event ready to be sent. Raises as `followed`, and `TypeError`."""
    name, kind, _ = followed(topic, None, None)
    return name, event if kind in (None, ANYTHING) else serialised(
        kind, event, f"the event of {name!r}"
    )


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind is Any:
        return ANYTHING
    return kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)


def asked(route: str | _Asked, payload: Any, kind: Any) -> tuple[str, Any, Any]:
    """Name, payload and type of the answer, as they are for the desk. Raises `TypeError` for a
    payload that does not fit, and `Unserialisable`."""
    if isinstance(route, str):
        return route, payload, kind
    if route.takes is not ANYTHING:
        payload = serialised(route.takes, payload, f"the payload for {route.name!r}")
    return route.name, payload, route.gives if kind is None else kind
