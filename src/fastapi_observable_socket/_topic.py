"""
A topic as its user declared it: its name's pattern, who may listen, what its events are.

Everything is decided at registration. Who listens at the moment is the hub's business.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, NoReturn

from fastapi import params
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from ._call import Call
from ._declared import About, ErrorResponse, declared_detail
from ._depends import Compiler, Getter, Overrides, Step, misfit
from ._errors import Forbidden, SignatureError
from ._fit import serialised
from ._plan import Hook
from ._signature import (
    EMPTY,
    Parameter,
    adapter,
    describe,
    is_async_generator_function,
    is_coroutine_function,
    is_generator_function,
    parameters,
    returned,
)
from ._wire import MAX_ROUTE, encode, is_reserved
from .backends._backend import PRESENCE, Keep

_anything: TypeAdapter[Any] = TypeAdapter(Any)

BY_NAME: Mapping[str, Getter] = {
    "ws": lambda call: call.ws,
    "websocket": lambda call: call.ws,
    "headers": lambda call: call.headers,
    "event": lambda call: call.outgoing,
}
"""What parameters of these names get, unless the pattern has one of that name."""

MAX_TOPIC = MAX_ROUTE - 1
"""Characters of a topic's name: with a "#" before it, it is the uuid of its events."""


@dataclasses.dataclass(frozen=True, slots=True)
class TopicDefinition:
    """What a user registered, as it stands."""

    pattern: str
    function: Callable[..., Any]
    event: Any
    keep: Keep | None
    conflate: float | None
    publish: bool | Callable[..., Any]
    presence: bool
    names: Mapping[str, Any]
    about: About = dataclasses.field(default_factory=About)
    responses: Mapping[int, ErrorResponse] = dataclasses.field(default_factory=dict)


class Topic:
    """One definition, compiled. Raises `SignatureError` and `ValueError`."""

    def __init__(self, definition: TopicDefinition) -> None:
        self.definition = definition
        self.keep = definition.keep
        self.conflate = definition.conflate
        self.presence = definition.presence
        self._regex, self.path = _pattern(definition.pattern)
        self.events = self._adapter("event", definition.event)
        self.parameters: dict[str, TypeAdapter[Any]] = {}
        """Those of the pattern that a function takes, with their types."""
        self._numbers: set[str] = set()
        self.takes_socket = False
        """Whether its functions are given the socket, and may keep on it what is not shared."""
        self._plans = self._compiled({})
        self._check_more_than_digits()
        kind = returned(definition.function, definition.names)
        self.snapshots = kind not in (EMPTY, bool, None, type(None), bool | None)
        """Whether the function returns the state of things, and not only whether one may."""
        self.state = self._adapter("return", kind) if self.snapshots else None
        self.errors = {
            status: fits
            for status, response in definition.responses.items()
            if (fits := self._adapter("response", response.model)) is not None
        }

    # --- compiling

    def _fail(self, function: Any, name: str | None, why: str) -> NoReturn:
        parameter = f": parameter {name!r}" if name else ""
        where = f"topic {self.definition.pattern!r}: {describe(function)}()"
        raise SignatureError(f"{where}{parameter} {why}")

    def _adapter(self, what: str, annotation: Any) -> "TypeAdapter[Any] | None":
        if annotation in (EMPTY, Any, None):
            return None
        fits = adapter(annotation)
        if fits is None:
            self._fail(
                self.definition.function,
                None,
                f"has the {what} type {annotation!r}, for which pydantic knows no schema",
            )
        return fits

    def _compiled(self, overrides: Overrides) -> "tuple[_Ask, _Ask | None]":
        definition = self.definition
        publishes = definition.publish if callable(definition.publish) else None
        return (
            self._ask(definition.function, overrides),
            None if publishes is None else self._ask(publishes, overrides),
        )

    def _ask(self, function: Callable[..., Any], overrides: Overrides) -> "_Ask":
        if is_generator_function(function) or is_async_generator_function(function):
            self._fail(function, None, "is a generator: it says who may listen, and returns")
        compiler = Compiler(self.definition.pattern, overrides, self.definition.names)
        steps: list[Step] = []
        keywords: list[tuple[str, Getter]] = []
        for p in parameters(function, self.definition.names, BY_NAME.keys()):
            getter = self._getter(p, function, compiler, steps)
            if getter is not None:
                keywords.append((p.name, getter))
        hook = Hook(function, is_coroutine_function(function), (), steps, keywords)
        return _Ask(hook, compiler.slots)

    def _getter(
        self, p: Parameter, function: Any, compiler: Compiler, steps: list[Step]
    ) -> Getter | None:
        if p.kind in (p.kind.VAR_POSITIONAL, p.kind.VAR_KEYWORD, p.kind.POSITIONAL_ONLY):
            self._fail(function, p.name, "cannot be filled: its parameters are given by name")
        if isinstance(p.marker, params.Depends):
            return compiler.dependency(p, function, steps)
        if p.name in self.path and p.marker is None:
            if p.base is int:
                self._numbers.add(p.name)
            self.parameters[p.name] = adapter(str if p.annotation is EMPTY else p.annotation) or (
                self._fail(function, p.name, "has a type that cannot come from a topic's name")
            )
            return _from_path(p.name)
        found = compiler.common(p, function) or BY_NAME.get(p.name)
        if p.is_a(WebSocket) or found in (BY_NAME["ws"], BY_NAME["websocket"]):
            self.takes_socket = True
        if found is None and p.default is EMPTY:
            known = ", ".join([*self.path, *BY_NAME])
            self._fail(function, p.name, f"is unknown here: mark it with Depends, or take {known}")
        return found

    # --- names

    def _check_more_than_digits(self) -> None:
        pattern = self.definition.pattern
        shape = _parameter.sub(lambda p: "0" if p[1] in self._numbers else "x", pattern)
        if _digits.fullmatch(shape):
            raise ValueError(
                f"topic {pattern!r} has names of digits alone, which no topic can have: put "
                f"something before them, such as 'orders/{pattern}'"
            )

    def match(self, name: str) -> dict[str, Any] | None:
        """The path parameters in `name`; None where it is none of this topic."""
        found = self._regex.fullmatch(name)
        if found is None:
            return None
        values: dict[str, Any] = found.groupdict()
        for key, fits in self.parameters.items():
            try:
                values[key] = fits.validate_python(values[key], strict=False)
            except ValidationError:
                return None
        return values

    # --- asking

    async def admit(self, call: Call, path: dict[str, Any], wants_state: bool) -> Any:
        """Ask whether the peer of `call` may listen; the state, encoded, where there is one.

        Raises `Forbidden`, or what the function raises.
        """
        answer = await self._asked(call, path, self._plan(call, 0))
        if answer is False:
            raise Forbidden("access denied")
        if not self.snapshots or not wants_state:
            return None
        return answer if self.state is None else serialised(self.state, answer)

    async def admit_event(self, call: Call, path: dict[str, Any], event: Any) -> None:
        """Ask whether the peer of `call` may publish `event`. Raises as `admit`."""
        allowed: Any = self.definition.publish
        if allowed is True or callable(allowed):
            allowed = await self._asked(call, path, self._plan(call, 1), event)
        if allowed is False:
            raise Forbidden("this topic takes no events from you")

    def _plan(self, call: Call, publishes: int) -> "_Ask":
        """Of who may listen (0), or who may publish (1), which may be the same."""
        overrides = getattr(call.shared.app, "dependency_overrides", None)
        plans = self._compiled(overrides) if overrides else self._plans
        return plans[publishes] or plans[0]

    async def _asked(self, call: Call, path: dict[str, Any], ask: "_Ask", event: Any = None) -> Any:
        # Of its own: one frame may ask about many topics, and each has its dependencies.
        own = Call(call.frame, call.shared, call.route)
        own.values = [None] * ask.slots
        own.hydrated, own.outgoing = path, event
        try:
            answer = await self._answer(ask.hook, own)
            inner, own.inner_stack = own.inner_stack, None
            if inner is not None:
                await inner.aclose()
            await own.afterwards()
            return answer
        except BaseException:
            after, before = own.stack, own.inner_stack
            own.forget_afterwards()
            async with after or AsyncExitStack(), before or AsyncExitStack():
                raise

    async def _answer(self, hook: Hook, call: Call) -> Any:
        try:
            return await hook(call)
        except HTTPException as error:
            # Under one `$sub` there are many topics: what was declared is known here alone.
            error.detail = declared_detail(self.errors, error.status_code, error.detail)
            raise

    # --- events

    def encoded(self, event: Any) -> bytes:
        """An event of ours as JSON. Raises `TypeError` and `Unserialisable`."""
        if self.events is not None:
            event = serialised(self.events, event)
        return encode(event)

    def read(self, data: bytes) -> Any:
        """An event that came as JSON, as its type says."""
        if self.events is None:
            return _anything.validate_json(data)
        return self.events.validate_json(data)

    def checked(self, data: bytes) -> Any:
        """A client's event. Raises `BadRequest` with the details."""
        try:
            return self.read(data)
        except ValidationError as error:
            raise misfit(error, "payload", "payload") from None


@dataclasses.dataclass(frozen=True, slots=True)
class _Ask:
    hook: Hook
    slots: int


def _from_path(name: str) -> Getter:
    return lambda call: call.hydrated[name]


_digits = re.compile(r"[0-9]+")
_parameter = re.compile(r"\{([A-Za-z_]\w*)(:path)?\}")


def _pattern(pattern: str) -> tuple[re.Pattern[str], Sequence[str]]:
    """What the names of a topic look like, and their parameters. Raises `ValueError`."""
    if not isinstance(pattern, str):
        raise TypeError(f'a topic needs a name: @router.topic("orders/{{id}}"), not {pattern!r}')
    check_topic(_parameter.sub("x", pattern))
    names: list[str] = []
    regex, at = "", 0
    for found in _parameter.finditer(pattern):
        name, whole = found.groups()
        if name in names:
            raise ValueError(f"topic {pattern!r} has two parameters {name!r}")
        names.append(name)
        regex += (
            re.escape(pattern[at : found.start()]) + f"(?P<{name}>{'.+' if whole else '[^/]+'})"
        )
        at = found.end()
    rest = pattern[at:]
    if {"{", "}"} & set(_parameter.sub("", pattern)):
        raise ValueError(f"topic {pattern!r}: write parameters as {{name}} or {{name:path}}")
    return re.compile(regex + re.escape(rest), re.DOTALL), names


def check_topic(name: Any) -> None:
    """Raises `ValueError` for what cannot be the name of a topic."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_TOPIC:
        raise ValueError(f"a topic's name has 1 to {MAX_TOPIC} characters, not {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"topic {name!r} is no text that could be sent") from None
    if _digits.fullmatch(name):
        raise ValueError(f"topic {name!r} needs more than digits, such as 'orders/{name}'")
    if not is_open(name):
        raise ValueError(f"topic {name!r} is reserved for the protocol")


def is_open(name: str) -> bool:
    """Whether a name may be an application's: others are the protocol's, or the hub's own; and
    the events of one with digits alone would have the uuids of the server's calls."""
    own = is_reserved(name) or name[:1] in ("#", "@") or name.endswith(PRESENCE)
    return not (own or _digits.fullmatch(name))


def same_shape(one: str, other: str) -> bool:
    """Whether two patterns mean the same names."""
    return _parameter.sub(_shape, one) == _parameter.sub(_shape, other)


def _shape(found: "re.Match[str]") -> str:
    return "{:path}" if found[2] else "{}"
