"""
A user's handler and hooks, made uniform once, when they are registered.

Decides what every parameter gets and what every result means; an impossible signature is
told here, at import. Nothing of the user's is run.
"""

import difflib
import inspect
import typing
from collections.abc import Callable, Generator, Mapping, Sequence
from copy import deepcopy
from operator import attrgetter
from types import NoneType
from typing import Any, NoReturn, get_args, get_origin

from fastapi import params
from pydantic import Field, TypeAdapter, ValidationError, create_model
from starlette.background import BackgroundTasks
from starlette.requests import HTTPConnection
from starlette.requests import Request as HTTPRequest
from starlette.websockets import WebSocket

from ._call import Call
from ._depends import Compiler, Getter, Overrides, Step, cached, misfit
from ._errors import SignatureError
from ._fit import ANYTHING
from ._handle import Connection
from ._plan import Definition, Hook, Member, Plan, RouteOptions, Shape
from ._results import items_of, meaning_of
from ._signature import (
    EMPTY,
    Cached,
    Parameter,
    adapter,
    describe,
    is_async_generator_function,
    is_coroutine_function,
    is_generator_function,
    parameters,
    returned,
)
from ._threads import SyncItems
from ._wire import Payload


def compiled(definition: Definition, overrides: Overrides) -> Plan:
    """The plan of a definition. Raises `SignatureError` and `Unresolved`."""
    return _HandlerCompiler(definition, overrides).plan()


RESERVED: Mapping[str, Getter] = {
    "ws": attrgetter("ws"),
    "websocket": attrgetter("ws"),
    "headers": attrgetter("headers"),
    "payload": attrgetter("payload"),
    "message": attrgetter("message"),
    "local": attrgetter("local"),
}
"""Names of parameters that say by themselves what they get."""

FIXED = RESERVED.keys() - {"payload"}
"""Those of them whose type says nothing more, and may be known to type checkers only."""

HOOKS: Mapping[str, tuple[str, ...]] = {
    "data_check": ("message", "local"),
    "access": ("ws", "message", "local"),
    "hydrate": ("ws", "message", "local"),
    "dehydrate": ("payload",),
}
"""What each hook is given; `local` only to those that take it."""

AUTHENTICATE = ("token", "ws")
"""What `authenticate` is given; `ws` only if it takes it."""

OPTIONAL = ("local", "ws")
"""What a hook may leave out where it comes last."""


class _HandlerCompiler:
    """Compiles one definition; every method adds to what is known of it."""

    def __init__(self, definition: Definition, overrides: Overrides) -> None:
        self.definition = definition
        self.handler = definition.handler
        self.dependencies = Compiler(definition.name, overrides, definition.names)
        self.steps: list[Step] = []
        self.takes_socket = False
        self.takes_payload = False
        self.takes_tasks = False
        self.validate: Callable[[Call], Any] | None = None
        self.payload_type: TypeAdapter[Any] | None = None
        self.payload_default: Any = EMPTY
        self.members: list[Member] = []
        options = [checked_options(definition.name, o) for o in definition.options]
        self.data_checks = [self.hook("data_check", f) for f in _all(options, "data_check")]
        self.accesses = [self.hook("access", f) for f in _all(options, "access")]
        hydrates, dehydrates = _all(options, "hydrate"), _all(options, "dehydrate")
        # The innermost wins: two shapes for one value would contradict each other.
        self.hydrate = self.hook("hydrate", hydrates[-1]) if hydrates else None
        self.dehydrate_function = dehydrates[-1] if dehydrates else None
        self.caches = bool(self.data_checks or self.accesses or self.hydrate)

    def plan(self) -> Plan:
        is_sync_stream = is_generator_function(self.handler)
        is_stream = is_sync_stream or is_async_generator_function(self.handler)
        positional, keywords, dynamic = self.arguments()
        dehydrate = self.hook("dehydrate", f) if (f := self.dehydrate_function) else None
        item = None
        if is_stream:
            (item, result), always_payload, always_result = self.items(), True, False
        else:
            result, always_payload, always_result = self.result()
        is_async = is_coroutine_function(self.handler)
        hooks = [*self.data_checks, *self.accesses, self.hydrate, dehydrate]
        invoke = self.invocation(positional, keywords, dynamic)
        # A failed call forgets its background tasks, and a plain one has nothing to forget.
        is_plain = is_async and not (any(hooks) or self.steps or self.takes_tasks)
        is_bare = (
            is_plain
            and (positional, keywords, dynamic) == ([RESERVED["payload"]], [], False)
            and (self.validate, result, always_result) == (None, None, False)
        )
        errors = {
            status: self.serialiser(response.model, self.handler)
            for status, response in self.definition.responses.items()
            if response.model is not None
        }
        return Plan(
            invoke=_in_threads(invoke) if is_sync_stream else invoke,
            is_async=is_async,
            data_checks=self.data_checks,
            accesses=self.accesses,
            hydrate=self.hydrate,
            validate=self.validate,
            steps=self.steps,
            dehydrate=dehydrate,
            result=result,
            always_payload=always_payload,
            always_result=always_result,
            slots=self.dependencies.slots,
            takes_socket=self.takes_socket,
            ignores_payload=not self.takes_payload,
            is_stream=is_stream,
            item=item,
            is_plain=is_plain,
            bare=self.handler if is_bare else None,
            errors=errors,
            shape=self.shape(
                result, item or ANYTHING if is_stream else None, dynamic or any(hooks[:-1])
            ),
        )

    def shape(
        self,
        result: "TypeAdapter[Any] | None",
        item: "TypeAdapter[Any] | None",
        reads_message: bool,
    ) -> Shape:
        """What the contract is told. `reads_message`: a hook may look at the payload."""
        payload = self.payload_type
        if payload is None and (reads_message or self.dependencies.reads_message):
            payload, self.payload_default = ANYTHING, None
        return Shape(
            payload=payload,
            default=self.payload_default,
            members=self.members,
            headers=[Member(n, *found) for n, found in self.dependencies.headers.items()],
            result=None if self.returns_nothing() else result or ANYTHING,
            item=item,
            progress=self.dependencies.progress,
        )

    def returns_nothing(self) -> bool:
        kind = returned(self.handler, self.definition.names)
        if is_async_generator_function(self.handler):
            return True
        if is_generator_function(self.handler):
            # Only a Generator says what it returns; others promise to be walked through.
            return get_origin(kind) is not Generator or get_args(kind)[2:] in ((), (NoneType,))
        if self.dehydrate_function is not None:
            kind = returned(self.dehydrate_function, self.definition.names)
        return kind in (None, NoneType)

    def fail(self, name: str | None, why: str, function: Any = None) -> NoReturn:
        where = f"{describe(function or self.handler)}()"
        parameter = f": parameter {name!r}" if name else ""
        raise SignatureError(f"route {self.definition.name!r}: {where}{parameter} {why}")

    # --- hooks

    def hook(self, kind: str, function: Callable[..., Any]) -> Hook:
        if is_generator_function(function) or is_async_generator_function(function):
            self.fail(None, f"is a generator and cannot be {kind}", function)
        steps: list[Step] = []
        keywords: list[tuple[str, Getter]] = []
        plain: list[Parameter] = []
        for p in parameters(function, self.definition.names, FIXED):
            if isinstance(p.marker, params.Depends):
                keywords.append((p.name, self.dependencies.dependency(p, function, steps)))
            elif p.marker is not None or p.is_a(Connection):
                keywords.append((p.name, self.dependencies.common(p, function) or _none))
            else:
                plain.append(p)
        given = HOOKS.get(kind, AUTHENTICATE)
        takes = self.taken(kind, function, plain, given)
        if "ws" in takes:
            self.takes_socket = True
        return Hook(
            function,
            is_coroutine_function(function),
            [_GIVEN.get((kind, name)) or RESERVED[name] for name in takes],
            steps,
            keywords,
        )

    def taken(
        self, kind: str, function: Any, plain: Sequence[Parameter], given: tuple[str, ...]
    ) -> tuple[str, ...]:
        """How many of `given` the hook takes, by its positional parameters."""
        if any(p.kind is p.kind.VAR_POSITIONAL for p in plain):
            return given
        positional = [p for p in plain if p.is_positional]
        needed = sum(p.default is EMPTY for p in positional)
        least = len(given) - (given[-1] in OPTIONAL)
        others = [p.name for p in plain if p.kind is p.kind.KEYWORD_ONLY and p.default is EMPTY]
        if others or needed > len(given) or len(positional) < least:
            form = ", ".join(given[:least]) + (f"[, {given[-1]}]" if least < len(given) else "")
            names = ", ".join(p.name for p in plain)
            self.fail(
                None,
                f"takes ({names}) and cannot be {kind}: it is called as {kind}({form}); "
                "mark other parameters with Depends",
                function,
            )
        # A default of `local=None` is still a wish for local.
        return given[: min(len(positional), len(given))]

    # --- the handler's parameters

    def arguments(self) -> tuple[list[Getter], list[tuple[str, Getter]], bool]:
        declared = parameters(self.handler, self.definition.names, FIXED)
        if [p.kind for p in declared] == [inspect.Parameter.VAR_POSITIONAL]:
            self.takes_socket = True
            return [], [], True
        for p in declared:
            if p.name in ("self", "cls") and p.annotation is EMPTY:
                self.fail(
                    p.name,
                    "is that of a method which is not bound yet: register the method of an "
                    'instance, `router.route("name")(instance.method)`',
                )
            if p.kind in (p.kind.VAR_POSITIONAL, p.kind.VAR_KEYWORD):
                stars = "*" if p.kind is p.kind.VAR_POSITIONAL else "**"
                self.fail(
                    f"{stars}{p.name}",
                    "cannot be filled: name what the handler needs (a decorator without "
                    "functools.wraps hides it)",
                )
        getters = self.getters(declared)
        positional = [getters[p.name] for p in declared if p.is_positional]
        keywords = [(p.name, getters[p.name]) for p in declared if not p.is_positional]
        return positional, keywords, False

    def getters(self, declared: Sequence[Parameter]) -> dict[str, Getter]:
        if _is_triple(declared):
            ws, headers, payload = declared
            self.takes_socket = True
            getters = {ws.name: RESERVED["ws"], headers.name: RESERVED["headers"]}
            if self.hydrate is None:
                getters[payload.name] = self.payload(payload)
            return self.hydrated(getters, payload.name)
        getters = {}
        left: list[Parameter] = []
        whole = embedded = None
        for p in declared:
            getter = self.role(p)
            if getter is not None:
                getters[p.name] = getter
            elif isinstance(p.marker, params.Body) and _is_embedded(p.marker):
                embedded = p
                left.append(p)
            elif p.name == "payload" or isinstance(p.marker, params.Body):
                if whole is not None:
                    self.fail(p.name, f"takes the whole payload, as {whole.name!r} does")
                whole = p
            else:
                left.append(p)
        if self.hydrate is not None:
            return self.hydrated_roles(declared, getters, left, whole)
        if whole is not None:
            getters[whole.name] = self.payload(whole)
        if len(left) == 1 and embedded is None:
            getters[left[0].name] = self.single(left[0], whole)
        elif left:
            getters |= self.keys(left, whole)
        return getters

    def role(self, p: Parameter) -> Getter | None:
        """Roles that a marker, a type or a name fixes; None for payloads and left-overs."""
        if isinstance(p.marker, params.Depends):
            return self.dependencies.dependency(p, self.handler, self.steps)
        if isinstance(p.marker, params.Form):
            self.fail(p.name, f"is marked {type(p.marker).__name__}: a message has only a payload")
        if isinstance(p.marker, params.Body):
            return None
        if isinstance(p.marker, Cached):
            return cached(p, describe(self.handler))
        if p.is_a(HTTPRequest):
            self.fail(p.name, "asks for an HTTP Request: take `ws: WebSocket`, the handshake")
        if p.is_a(WebSocket) or p.base is HTTPConnection:
            self.takes_socket = True
        if p.is_a(BackgroundTasks):
            self.takes_tasks = True
        getter = self.dependencies.common(p, self.handler)
        if getter is not None or p.name == "payload" or p.name not in RESERVED:
            return getter
        if p.name == "message":
            self.dependencies.reads_message = True
        if p.name in ("ws", "websocket"):
            self.takes_socket = True
        elif p.name == "message" and self.hydrate is None and not _is_dict_like(p):
            self.fail(
                p.name,
                "has the name of the whole MessageData: call it otherwise, or take the payload "
                "as `payload`",
            )
        elif p.name == "headers" and not _is_dict_like(p):
            self.fail(
                p.name,
                "is the dict of the message's headers: take one header by "
                'Annotated[..., MessageHeader("name")]',
            )
        return RESERVED[p.name]

    def hydrated_roles(
        self,
        declared: Sequence[Parameter],
        getters: dict[str, Getter],
        left: Sequence[Parameter],
        whole: Parameter | None,
    ) -> dict[str, Getter]:
        if len(left) > 1:
            names = ", ".join(repr(p.name) for p in left)
            self.fail(None, f"has several parameters for what hydrate returns: {names}")
        if left:
            if whole is not None:
                getters[whole.name] = self.payload(whole)
            return self.hydrated(getters, left[0].name)
        if whole is None and (len(declared) != 1 or declared[0].marker is not None):
            self.fail(None, "has no parameter for what hydrate returns: add one")
        return self.hydrated(getters, (whole or declared[0]).name)

    def hydrated(self, getters: dict[str, Getter], name: str) -> dict[str, Getter]:
        if self.hydrate is not None:
            getters[name] = lambda call: call.hydrated
        return getters

    def payload(self, p: Parameter) -> Getter:
        """The whole payload, validated where it has a type."""
        self.takes_payload = True
        self.payload_type, self.payload_default = ANYTHING, p.default
        if _is_any(p):
            default = p.default
            self.payload_default = None if default is EMPTY else default
            if default is EMPTY or default is None:
                return RESERVED["payload"]
            return lambda call: deepcopy(default) if call.payload is None else call.payload
        fits = adapter(p.annotation)
        if fits is None:
            self.fail(
                p.name,
                f"has the type {p.base!r}, for which pydantic knows no schema: give it one, or "
                "fill it by a hook (hydrate) or Depends",
            )
        self.payload_type = fits
        self.validate = _validator(fits, p.default)
        return attrgetter("validated")

    def single(self, p: Parameter, whole: Parameter | None) -> Getter:
        """The seed's rule for one parameter of any name: cached value, else the payload."""
        if whole is not None or (not _is_any(p) and adapter(p.annotation) is None):
            return cached(p, describe(self.handler))
        from_payload = self.payload(p)
        if not self.caches:
            return from_payload
        validate, self.validate = self.validate, None
        if validate is not None:
            self.validate = lambda call: None if "value" in call.local else validate(call)
        return lambda call: call.local["value"] if "value" in call.local else from_payload(call)

    def keys(self, left: Sequence[Parameter], whole: Parameter | None) -> dict[str, Getter]:
        """Several parameters: keys of the payload, as FastAPI takes keys of a body."""
        if whole is not None:
            self.fail(left[0].name, f"cannot be filled beside {whole.name!r}, the whole payload")
        fields: dict[str, Any] = {}
        for number, p in enumerate(left):
            if p.annotation is EMPTY:
                self.fail(
                    p.name,
                    "has no type: annotate it (it is then a key of the payload), mark it with "
                    "Depends, or take `payload`",
                )
            fits = adapter(p.annotation)
            if fits is None:
                self.fail(p.name, f"has the type {p.base!r}, for which pydantic knows no schema")
            default = ... if p.default is EMPTY else p.default
            # The field's own name is ours: "json" or "_id" would upset pydantic.
            alias = getattr(p.marker, "alias", None) or p.name
            fields[f"f{number}"] = (p.annotation, Field(default, alias=alias))
            self.members.append(Member(alias, fits, p.default))
        model = create_model("Payload", **fields)
        self.payload_type = TypeAdapter(model)
        self.validate = _validator(self.payload_type, EMPTY, empty_object=True)
        return {p.name: _attribute(f"f{number}") for number, p in enumerate(left)}

    def invocation(
        self, positional: list[Getter], keywords: list[tuple[str, Getter]], dynamic: bool
    ) -> Callable[[Call], Any]:
        """The call of the handler, with as little between as its form allows."""
        handler, hydrated = self.handler, self.hydrate is not None

        def by_what_is_there(call: Call) -> Any:
            # Only for `*args`, where nothing can be read from the signature.
            if hydrated:
                return handler(call.hydrated)
            if "value" in call.local:
                return handler(call.local["value"])
            return handler(call.ws, call.headers, call.payload)

        if dynamic:
            return by_what_is_there
        if keywords:
            return lambda call: handler(
                *[get(call) for get in positional], **{name: get(call) for name, get in keywords}
            )
        if len(positional) == 1:
            get_first = positional[0]
            return lambda call: handler(get_first(call))
        return lambda call: handler(*[get(call) for get in positional])

    # --- the result

    def result(self) -> tuple["TypeAdapter[Any] | None", bool, bool]:
        """What serialises the payload, whether all is payload, whether all is a result dict."""
        names = self.definition.names
        last = self.dehydrate_function or self.handler
        meaning = meaning_of(
            returned(self.handler, names),
            None if self.dehydrate_function is None else returned(last, names),
        )
        adapts = None if meaning.type is EMPTY else self.serialiser(meaning.type, last)
        return adapts, meaning.always_payload, meaning.always_result

    def items(self) -> "tuple[TypeAdapter[Any] | None, TypeAdapter[Any] | None]":
        """What serialises the items of a generator, and its return value."""
        names = self.definition.names
        kinds = items_of(returned(self.handler, names))
        if kinds is None:
            self.fail(
                None,
                "is a generator: annotate what it yields, `-> AsyncIterator[Item]` "
                "(`Iterator[Item]` without async)",
            )
        item, value = kinds
        if self.dehydrate_function is not None:
            item = meaning_of(EMPTY, returned(self.dehydrate_function, names)).type
        return tuple(  # type: ignore[return-value]
            None if kind is EMPTY else self.serialiser(kind, self.handler) for kind in (item, value)
        )

    def serialiser(self, annotation: Any, function: Any) -> "TypeAdapter[Any]":
        adapts = adapter(annotation)
        if adapts is None:
            self.fail(
                None,
                f"returns {annotation!r}, which pydantic cannot serialise: return a model, or "
                "shape it with the dehydrate hook",
                function,
            )
        return adapts


def compiled_authenticate(function: Callable[..., Any], overrides: Overrides) -> tuple[Hook, int]:
    """The router's `authenticate`, `(token[, ws])` and dependencies, and how many slots they
    need. Raises `SignatureError` and `Unresolved`."""
    compiler = _HandlerCompiler(Definition("authenticate", function), overrides)
    return compiler.hook("authenticate", function), compiler.dependencies.slots


def checked_options(route: str, options: RouteOptions) -> RouteOptions:
    """`options` as given. Raises `SignatureError` for a name or a value that cannot be."""
    if not isinstance(options, Mapping):
        raise SignatureError(f"route {route!r}: options are a dict of hooks, not {options!r}")
    for name, value in options.items():
        if name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, 1)
            hint = f": did you mean {near[0]!r}?" if near else f": known are {', '.join(HOOKS)}"
            raise SignatureError(f"route {route!r}: unknown option {name!r}{hint}")
        if value is not None and not callable(value):
            raise SignatureError(f"route {route!r}: option {name!r} is not callable: {value!r}")
    return options


def _all(options: Sequence[RouteOptions], name: str) -> list[Callable[..., Any]]:
    found: list[Any] = [o.get(name) for o in options]
    return [hook for hook in found if hook is not None]


def _none(_: Call) -> None:
    return None


def _outgoing(call: Call) -> Any:
    return call.outgoing


_GIVEN: Mapping[tuple[str, str], Getter] = {
    ("dehydrate", "payload"): _outgoing,
    ("authenticate", "token"): _outgoing,
}


def _in_threads(invoke: Callable[[Call], Any]) -> Callable[[Call], SyncItems]:
    return lambda call: SyncItems(invoke(call))


def _attribute(name: str) -> Getter:
    return lambda call: getattr(call.validated, name)


def _validator(
    fits: "TypeAdapter[Any]", default: Any, empty_object: bool = False
) -> Callable[[Call], Any]:
    """Validates the payload as JSON, since that is what it is: dates are strings in it."""

    def validate(call: Call) -> Any:
        value = call.payload  # decoded first: what no route may accept is refused for all
        if value is None and default is not EMPTY:
            return deepcopy(default)
        try:
            if value is None and empty_object:
                return fits.validate_python({})
            return fits.validate_json(memoryview(call.frame.payload).tobytes())
        except ValidationError as error:
            raise misfit(error, "payload") from None

    return validate


def _is_triple(declared: Sequence[Parameter]) -> bool:
    """`(ws, headers, payload)`, or the same by position under free names."""
    if len(declared) != 3 or any(
        not p.is_positional or p.default is not EMPTY or p.marker is not None for p in declared
    ):
        return False
    first, second, third = declared
    return (
        _may_be(first, ("ws", "websocket"))
        and (first.annotation is EMPTY or first.is_a(WebSocket) or first.base is Any)
        and _may_be(second, ("headers",))
        and _is_dict_like(second)
        and _may_be(third, ("payload",))
    )


def _may_be(p: Parameter, names: tuple[str, ...]) -> bool:
    return p.name in names or p.name not in RESERVED


def _is_dict_like(p: Parameter) -> bool:
    base = get_origin(p.base) or p.base
    if _is_any(p) or base in (dict, Mapping, typing.Mapping):
        return True
    return any(get_origin(arm) is dict or arm is dict for arm in get_args(p.base))


def _is_any(p: Parameter) -> bool:
    return p.annotation is EMPTY or p.base in (Any, object) or p.base == Payload


def _is_embedded(marker: params.Body) -> bool:
    return bool(marker.embed)
