"""
A route as its user wrote it, and as it is run: definition and plan.

What users may write is named here; what it compiles to is here too, with every decision
made. Compiling is another room's part.
"""

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypedDict

from pydantic import TypeAdapter

from ._call import Call
from ._declared import About, ErrorResponse
from ._depends import Getter, Step, solve
from ._signature import EMPTY
from ._threads import run_sync
from ._wire import Header

Handler = Callable[..., Any]
"""A route's function: `async def`, or `def` for the thread pool. See the README for what its
parameters may be; the seed's form is `(ws, headers, payload)`."""

DataCheck = Callable[..., bool | Awaitable[bool]]
"""`(message[, local])`: whether the message makes sense at all. False is answered with 400."""

AccessCheck = Callable[..., bool | Awaitable[bool]]
"""`(ws, message[, local])`: whether this peer may. False is answered with 403."""

HydrateFunction = Callable[..., Any]
"""`(ws, message[, local])`: what the handler gets instead of the payload."""

DehydrateFunction = Callable[[Any], Any]
"""`(payload)`: the final payload of a 2xx answer."""


class RouteOptions(TypedDict, total=False):
    """The hooks of a route, in the order in which they run."""

    data_check: DataCheck | None
    access: AccessCheck | None
    hydrate: HydrateFunction | None
    dehydrate: DehydrateFunction | None


class HandlerResult(TypedDict, total=False):
    """What a handler may return: `status` is 200 and `headers` empty where they are absent."""

    status: int | None
    headers: Header | None
    payload: Any


@dataclasses.dataclass(slots=True)
class Reply:
    """An answer in full, from a handler that needs more than a payload.

    A `status` of 2xx goes through `dehydrate` and the handler's result type, others do not.
    """

    payload: Any = None
    status: int = 200
    headers: Header | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """What a user registered, as it stands: a handler under a name, and its surroundings.

    `options` are those of every router around it, outermost first, its own last.
    """

    name: str
    handler: Handler
    options: tuple[RouteOptions, ...] = ()
    names: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ordered: bool | None = None
    timeout: float | None = None
    shield: bool = False
    about: About = dataclasses.field(default_factory=About)
    idempotent: bool = False
    responses: Mapping[int, ErrorResponse] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A key of a payload, or one of a message's headers. `default` is EMPTY where it must be."""

    name: str
    type: "TypeAdapter[Any]"
    default: Any = EMPTY


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What a route takes and gives, as far as its types tell: for the contract, not for running.

    None stands for nothing. `members` are there where the payload is taken by its keys.
    """

    payload: "TypeAdapter[Any] | None"
    default: Any
    members: Sequence[Member]
    headers: Sequence[Member]
    result: "TypeAdapter[Any] | None"
    item: "TypeAdapter[Any] | None"
    progress: "TypeAdapter[Any] | None"


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """A compiled hook: what it is given first, then its dependencies."""

    function: Callable[..., Any]
    is_async: bool
    given: Sequence[Getter]
    steps: Sequence[Step]
    keywords: Sequence[tuple[str, Getter]]

    async def __call__(self, call: Call) -> Any:
        if self.steps:
            await solve(self.steps, call)
        arguments = [get(call) for get in self.given]
        keywords = {name: get(call) for name, get in self.keywords}
        if self.is_async:
            return await self.function(*arguments, **keywords)
        result = await run_sync(self.function, *arguments, **keywords)
        # A lambda around an async function: its coroutine, as a verdict, would always be true.
        return await result if inspect.isawaitable(result) else result


@dataclasses.dataclass(slots=True)
class Plan:
    """How to run one route: every decision made, nothing left to inspect."""

    invoke: Callable[[Call], Any]
    """Calls the handler; what it needs must be there. Gives an awaitable if `is_async`."""
    is_async: bool
    data_checks: Sequence[Hook]
    accesses: Sequence[Hook]
    hydrate: Hook | None
    validate: Callable[[Call], Any] | None
    steps: Sequence[Step]
    dehydrate: Hook | None
    result: "TypeAdapter[Any] | None"
    always_payload: bool
    always_result: bool
    slots: int
    takes_socket: bool
    ignores_payload: bool
    is_stream: bool
    """The handler is a generator; `result` is then that of its return value."""
    item: "TypeAdapter[Any] | None"
    """What each of its items is serialised by."""
    is_plain: bool
    """Nothing but an async handler and its payload: no hook, dependency or thread."""
    bare: Callable[[Any], Awaitable[Any]] | None
    """The handler itself, where it is plain, takes the payload as it is, and promises nothing."""
    errors: "Mapping[int, TypeAdapter[Any]]"
    """What payloads of these statuses are held to."""
    shape: Shape
