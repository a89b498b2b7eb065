"""
Routes as the client's user holds them: a name, and the types of what goes and comes.

What is sent is written by its type, what comes is validated by its own. Nothing is sent here.
"""

from functools import cached_property
from typing import Any, Generic, TypeVar, get_args, overload

from pydantic import TypeAdapter

from .._fit import ANYTHING, serialised

P = TypeVar("P", contravariant=True)
R = TypeVar("R", covariant=True)
T = TypeVar("T")
U = TypeVar("U")

_UNSAID: Any = object()
Type = type[T] | TypeAdapter[T]


class _Named(Generic[P, R]):
    """A name and two types: both given, or read from `Route[int, str]("name")`."""

    def __init__(self, name: str, payload: Any = _UNSAID, result: Any = _UNSAID) -> None:
        self.name = name
        self._given = payload, result

    @cached_property
    def _adapters(self) -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
        # Set by Python when there were brackets, but after `__init__`.
        inside = get_args(getattr(self, "__orig_class__", None)) or (Any, Any)
        kinds = (i if g is _UNSAID else g for g, i in zip(self._given, inside, strict=True))
        payload, result = (_adapter(kind) for kind in kinds)
        return payload, result

    @property
    def takes(self) -> TypeAdapter[Any]:
        """What writes the payload."""
        return self._adapters[0]

    @property
    def gives(self) -> TypeAdapter[Any]:
        """What reads the result, or each item."""
        return self._adapters[1]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Route(_Named[P, R]):
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


class StreamRoute(_Named[P, R]):
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


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind is Any:
        return ANYTHING
    return kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)


def asked(route: "str | _Named[Any, Any]", payload: Any, kind: Any) -> tuple[str, Any, Any]:
    """Name, payload and type of the answer, as they are for the desk. Raises `TypeError` for a
    payload that does not fit, and `Unserialisable`."""
    if isinstance(route, str):
        return route, payload, kind
    if route.takes is not ANYTHING:
        payload = serialised(route.takes, payload, f"the payload for {route.name!r}")
    return route.name, payload, route.gives if kind is None else kind
