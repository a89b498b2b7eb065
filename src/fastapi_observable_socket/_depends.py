"""
FastAPI's dependency markers, compiled once for the messages of a socket.

A route's hooks and handler share one table of slots; each stage brings the steps that
fill what it is the first to need. Nothing is inspected while a message waits. This room
knows no frames.
"""

import dataclasses
import enum
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import deepcopy
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin

from fastapi import params
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined
from starlette.background import BackgroundTasks
from starlette.requests import HTTPConnection
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response as HTTPResponse
from starlette.websockets import WebSocket

from ._call import Call, Shared
from ._errors import BadRequest, SignatureError
from ._fit import ANYTHING
from ._handle import Connection
from ._signature import (
    EMPTY,
    Cached,
    MessageHeader,
    Parameter,
    adapter,
    describe,
    innermost,
    is_async_generator_function,
    is_coroutine_function,
    is_generator_function,
    parameters,
)
from ._stream import Progress
from ._threads import run_sync
from ._wire import MessageData, Request

Getter = Callable[[Call], Any]
Overrides = Mapping[Callable[..., Any], Callable[..., Any]]


class PerConnection(params.Depends):
    """A dependency that is solved once for each connection, and closed with it.

        user: Annotated[User, PerConnection(current_user)]

    Solved when the first message needs it; whatever it depends on lives as long. It may
    not depend on a message.
    """

    def __init__(self, dependency: Callable[..., Any] | None = None) -> None:
        super().__init__(dependency)


class Kind(enum.Enum):
    COROUTINE = enum.auto()
    SYNC = enum.auto()
    ASYNC_GENERATOR = enum.auto()
    GENERATOR = enum.auto()
    SHARED = enum.auto()


@dataclasses.dataclass(slots=True)
class Step:
    """One dependency to solve, into its slot."""

    function: Callable[..., Any]
    kind: Kind
    arguments: Sequence[tuple[str, Getter]]
    slot: int
    key: Any
    before_answer: bool
    shared: "Sequence[Step]" = ()
    slots: int = 0


async def solve(steps: Sequence[Step], call: Any) -> None:
    """Fill the slots of `steps`, in their order."""
    values = call.values
    for step in steps:
        kind = step.kind
        if kind is Kind.SHARED:
            values[step.slot] = await _solve_shared(step, call.shared)
            continue
        arguments = {name: get(call) for name, get in step.arguments}
        if kind is Kind.COROUTINE:
            values[step.slot] = await step.function(**arguments)
        elif kind is Kind.SYNC:
            values[step.slot] = await run_sync(step.function, **arguments)
        else:
            stack = call.open_inner_stack() if step.before_answer else call.open_stack()
            values[step.slot] = await stack.enter_async_context(
                asynccontextmanager(step.function)(**arguments)
                if kind is Kind.ASYNC_GENERATOR
                else contextmanager_in_threadpool(contextmanager(step.function)(**arguments))
            )


class _SharedCall:
    """Stands in for a call where there is only a connection."""

    def __init__(self, shared: Shared, slots: int) -> None:
        self.shared = shared
        self.ws = shared.ws
        self.values: list[Any] = [None] * slots
        self.open_stack = self.open_inner_stack = shared.open_stack


async def _solve_shared(root: Step, shared: Shared) -> Any:
    if root.key in shared.values:
        return shared.values[root.key]
    async with shared.lock:
        call = _SharedCall(shared, root.slots)
        for step in root.shared:
            if step.key not in shared.values:
                await solve([step], call)
                shared.values[step.key] = call.values[step.slot]
            call.values[step.slot] = shared.values[step.key]
    return shared.values[root.key]


class Compiler:
    """Compiles the dependencies of one route.

    `route` is named in errors; `overrides` are the app's `dependency_overrides`;
    `names` the locals of where the route was written.
    """

    def __init__(
        self,
        route: str,
        overrides: Overrides,
        names: Mapping[str, Any],
        shared: bool = False,
    ) -> None:
        self.slots = 0
        self._route = route
        self._overrides = overrides
        self._names = names
        self._shared = shared
        self._known: dict[Any, int] = {}
        self._scoped: dict[Any, bool] = {}
        self._path: list[Any] = []
        self.reads_message = False
        """Whether something takes the message as a whole, and so perhaps its payload."""
        self.headers: dict[str, tuple[TypeAdapter[Any], Any]] = {}
        """The message's headers that are asked for: their types and defaults."""
        self.progress: TypeAdapter[Any] | None = None

    def dependency(
        self, parameter: Parameter, owner: Any, steps: list[Step], scopes: tuple[str, ...] = ()
    ) -> Getter:
        """How `parameter`, marked with a Depends, is read; adds to `steps` what must run before."""
        marker: params.Depends = parameter.marker
        function = marker.dependency or parameter.base
        if function is EMPTY or not callable(function):
            self._fail(owner, parameter, "is Depends() without a callable: write Depends(function)")
        _warn_of_unknown(marker)
        if isinstance(marker, params.Security):
            scopes = (*scopes, *(s for s in marker.scopes or () if s not in scopes))
        function = self._overrides.get(function, function)
        if isinstance(marker, PerConnection) and not self._shared:
            slot = self._shared_step(function, scopes, steps)
        else:
            slot = self._step(function, scopes, marker, steps)
        return lambda call: call.values[slot]

    def _step(
        self, function: Any, scopes: tuple[str, ...], marker: params.Depends, steps: list[Step]
    ) -> int:
        if function in self._path:
            circle = " → ".join(describe(f) for f in [*self._path, function])
            raise SignatureError(f"route {self._route!r}: circular dependency: {circle}")
        kind, lifetime = _kind(function), getattr(marker, "scope", None)
        if lifetime is None and kind in (Kind.ASYNC_GENERATOR, Kind.GENERATOR):
            lifetime = "request"
        relevant = tuple(sorted(scopes)) if self._uses_scopes(marker, function) else ()
        key = (function, relevant, lifetime)
        if marker.use_cache and key in self._known:
            return self._known[key]
        self._path.append(function)
        arguments: list[tuple[str, Getter]] = []
        for p in parameters(function, self._names):
            if lifetime == "request" and getattr(p.marker, "scope", None) == "function":
                self._fail(
                    function,
                    p,
                    'is closed before the answer (scope="function"), and this dependency after '
                    "it: give both the same scope",
                )
            if (get := self._argument(p, function, steps, scopes)) is not None:
                arguments.append((p.name, get))
        self._path.pop()
        slot, self.slots = self.slots, self.slots + 1
        # As in FastAPI, what is solved without the cache is there for others all the same.
        self._known.setdefault(key, slot)
        own = key if marker.use_cache else object()
        steps.append(Step(function, kind, arguments, slot, own, lifetime == "function"))
        return slot

    def _uses_scopes(self, marker: params.Depends, function: Any) -> bool:
        """Whether `function` may give another value under other scopes."""
        if getattr(marker, "scopes", None):
            return True
        if function not in self._scoped:
            self._scoped[function] = False  # in a circle, which is refused elsewhere
            self._scoped[function] = isinstance(innermost(function), SecurityBase) or any(
                p.is_a(SecurityScopes)
                or (isinstance(p.marker, params.Depends) and self._passes_scopes(p))
                for p in parameters(function, self._names)
            )
        return self._scoped[function]

    def _passes_scopes(self, p: Parameter) -> bool:
        function = p.marker.dependency or p.base
        function = self._overrides.get(function, function)
        return callable(function) and self._uses_scopes(p.marker, function)

    def _shared_step(self, function: Any, scopes: tuple[str, ...], steps: list[Step]) -> int:
        known = ("connection", function, tuple(sorted(scopes)))
        if known in self._known:
            return self._known[known]
        inner = Compiler(self._route, self._overrides, self._names, shared=True)
        inner._path = self._path
        shared: list[Step] = []
        inner._step(function, scopes, params.Depends(function), shared)
        slot, key = self.slots, shared[-1].key
        steps.append(
            Step(function, Kind.SHARED, (), slot, key, False, shared=shared, slots=inner.slots)
        )
        self._known[known] = slot
        self.slots += 1
        return slot

    def _argument(
        self, p: Parameter, function: Any, steps: list[Step], scopes: tuple[str, ...]
    ) -> Getter | None:
        """How a dependency's own parameter is read; None where Python has nothing to pass."""
        if p.kind in (p.kind.VAR_POSITIONAL, p.kind.VAR_KEYWORD):
            return None
        if p.kind is p.kind.POSITIONAL_ONLY:
            self._fail(function, p, "is positional-only: dependencies are called by keyword")
        if isinstance(p.marker, params.Depends):
            return self.dependency(p, function, steps, scopes)
        if p.is_a(SecurityScopes):
            security = SecurityScopes(list(scopes))
            return lambda _: security
        found = self.common(p, function)
        if found is not None:
            return found
        if p.is_a(BaseModel, dict, list, set) or get_origin(p.base) in (dict,):
            self._fail(
                function,
                p,
                "would be a request body, and a dependency has none: take the payload in the "
                "handler, or `message: MessageData` here",
            )
        return self._handshake(p, params.Query(), function)

    def common(self, p: Parameter, function: Any) -> Getter | None:
        """What handlers, hooks and dependencies alike may ask for, by type or by marker."""
        if isinstance(p.marker, params.Param):
            return self._handshake(p, p.marker, function)
        if isinstance(p.marker, MessageHeader):
            return self._message_bound(p, function, self._message_header(p, p.marker))
        if isinstance(p.marker, Cached):
            return self._message_bound(p, function, cached(p, describe(function)))
        if isinstance(p.marker, params.Body):
            self._fail(
                function, p, f"is marked {type(p.marker).__name__}, which only a handler can have"
            )
        if p.is_a(HTTPRequest):
            return lambda call: call.shared.http
        if p.is_a(WebSocket) or p.base is HTTPConnection:
            return lambda call: call.ws
        if p.is_a(BackgroundTasks):
            return self._message_bound(p, function, lambda call: call.tasks)
        if p.is_a(MessageData):
            self.reads_message = True
            return self._message_bound(p, function, lambda call: call.message)
        if p.is_a(Request):
            self.reads_message = True
            return self._message_bound(p, function, lambda call: call.request)
        if p.is_a(Connection):
            return lambda call: call.shared.connection
        if p.is_a(Call):
            self.reads_message = True
            return self._message_bound(p, function, lambda call: call)
        if p.is_a(Progress) or get_origin(p.base) is Progress:
            return self._message_bound(p, function, self._progress(p, function))
        if p.is_a(HTTPResponse):
            self._fail(function, p, "asks for an HTTP Response: a message has none, return a Reply")
        return None

    def _message_bound(self, p: Parameter, function: Any, getter: Getter) -> Getter:
        if self._shared:
            self._fail(
                function,
                p,
                "depends on a message, and PerConnection outlives it: use Depends",
            )
        return getter

    def _message_header(self, p: Parameter, marker: MessageHeader) -> Getter:
        name = marker.name or p.name.replace("_", "-")
        fits = adapter(Any if p.annotation is EMPTY else p.annotation) or ANYTHING
        self.headers.setdefault(name, (fits, p.default))
        return message_header(name, fits, p.default)

    def _progress(self, p: Parameter, function: Any) -> Getter:
        kind = (*get_args(p.base), Any)[0]
        fits = ANYTHING if kind is Any else adapter(kind)
        if fits is None:
            self._fail(function, p, f"tells of {kind!r}, which pydantic cannot serialise")
        self.progress = fits
        return lambda call: Progress(call, fits)

    def _handshake(self, p: Parameter, marker: params.Param, function: Any) -> Getter:
        fits = adapter(Any if p.annotation is EMPTY else p.annotation)
        if fits is None:
            self._fail(
                function,
                p,
                f"has the type {p.base!r}, which cannot come from the handshake: mark it with "
                "Depends, or give it a type that pydantic knows",
            )
        return _handshake(p, marker, fits)

    def _fail(self, function: Any, p: Parameter, why: str) -> NoReturn:
        raise SignatureError(
            f"route {self._route!r}: {describe(function)}(): parameter {p.name!r} {why}"
        )


def _kind(function: Any) -> Kind:
    if is_async_generator_function(function):
        return Kind.ASYNC_GENERATOR
    if is_generator_function(function):
        return Kind.GENERATOR
    return Kind.COROUTINE if is_coroutine_function(function) else Kind.SYNC


_KNOWN_OF_DEPENDS = {"dependency", "use_cache", "scope", "scopes"}


def _warn_of_unknown(marker: params.Depends) -> None:
    """A feature that a later FastAPI gave Depends and that this room does not know."""
    names = [f.name for f in dataclasses.fields(marker)] if dataclasses.is_dataclass(marker) else []
    for name in names or vars(marker):
        if name[0] == "_" or name in _KNOWN_OF_DEPENDS:
            continue
        if getattr(marker, name, None) is not None:
            warnings.warn(
                f"Depends({name}=...) has no effect on the messages of a socket", stacklevel=2
            )


# --- where values come from


def message_header(name: str, fits: "TypeAdapter[Any]", default: Any) -> Getter:
    def get(call: Call) -> Any:
        return fitted(fits, call.headers.get(name, EMPTY), ("headers", name), default)

    return get


def cached(p: Parameter, owner: str) -> Getter:
    def get(call: Call) -> Any:
        value = call.local.get("value", p.default)
        if value is EMPTY:
            raise LookupError(
                f'{owner}(): parameter {p.name!r} takes local["value"], and no hook set it'
            )
        return value

    return get


_PLACES: dict[type, tuple[str, Callable[[WebSocket], Any]]] = {
    params.Path: ("path", lambda ws: ws.path_params),
    params.Header: ("header", lambda ws: ws.headers),
    params.Cookie: ("cookie", lambda ws: ws.cookies),
    params.Query: ("query", lambda ws: ws.query_params),
}


def _handshake(p: Parameter, marker: params.Param, fits: "TypeAdapter[Any]") -> Getter:
    place, source = next(v for kind, v in _PLACES.items() if isinstance(marker, kind))
    hyphens = place == "header" and getattr(marker, "convert_underscores", True)
    name = marker.alias or (p.name.replace("_", "-") if hyphens else p.name)
    default = _default(p, marker)
    factory = None if default is not EMPTY else marker.default_factory
    is_many = _is_many(p.base)
    model = _Model(p.base, hyphens) if p.is_a(BaseModel) else None

    def get(call: Call) -> Any:
        values = source(call.ws)
        if model is not None:
            return fitted(fits, model.of(values), (place,))
        if place == "query" and p.marker is None and name in call.ws.path_params:
            values = call.ws.path_params
        getlist = getattr(values, "getlist", None) if is_many else None
        found = values.get(name, EMPTY) if getlist is None else getlist(name) or EMPTY
        if found is EMPTY and factory is not None:
            return factory()  # type: ignore[call-arg]  # the form that takes data is for models
        return fitted(fits, found, (place, name), default)

    return get


def _default(p: Parameter, marker: params.Param) -> Any:
    if p.default is not EMPTY:
        return p.default
    return EMPTY if marker.default in (PydanticUndefined, ...) else marker.default


_MANY = (list, set, tuple, frozenset)


def _is_many(annotation: Any) -> bool:
    """Whether a name that is given several times is a value each time: `list[str] | None`."""
    arms = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    return any((get_origin(arm) or arm) in _MANY for arm in arms)


class _Model:
    """A model whose fields are parameters, as FastAPI has them since 0.115."""

    def __init__(self, model: type[BaseModel], hyphens: bool) -> None:
        self._fields = [
            (
                field.alias or name,
                field.alias or (name.replace("_", "-") if hyphens else name),
                _is_many(field.annotation),
            )
            for name, field in model.model_fields.items()
        ]

    def of(self, values: Any) -> dict[str, Any]:
        found = dict(values)
        getlist = getattr(values, "getlist", None)
        for key, name, is_many in self._fields:
            if name in values:
                found.pop(name, None)
                found[key] = getlist(name) if is_many and getlist is not None else values[name]
        return found


def fitted(
    fits: "TypeAdapter[Any]", value: Any, place: tuple[int | str, ...], default: Any = EMPTY
) -> Any:
    """`value` validated; `default` where it is absent. Raises `BadRequest` with the details."""
    if value is EMPTY:
        if default is not EMPTY:
            return deepcopy(default)
        missing = {"type": "missing", "loc": list(place), "msg": "Field required"}
        raise BadRequest(f"{'.'.join(map(str, place))} is missing", [missing])
    try:
        return fits.validate_python(value)
    except ValidationError as error:
        raise misfit(error, *place) from None


def misfit(error: ValidationError, *place: int | str) -> BadRequest:
    """The refusal of a value that does not fit: FastAPI's list, without what was sent."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    detail = [{**e, "loc": [*place, *e["loc"]]} for e in errors]
    return BadRequest(f"{place[0]} does not fit", detail)
