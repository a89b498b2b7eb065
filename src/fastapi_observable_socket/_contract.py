"""
What a router takes and gives, written down: its contract.

Made of what is registered; no handler is run. Other rooms write it as other documents.
"""

import copy
import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from ._asyncapi import asyncapi
from ._declared import About, Declaration, ErrorResponse
from ._errors import SignatureError
from ._fit import ANYTHING
from ._log import escaped, logger
from ._plan import Member, Shape
from ._route import Route
from ._schemas import (
    INTO,
    OUT,
    ContractError,
    Keys,
    Schema,
    Typed,
    as_text,
    canonical,
    filled,
    takes_null,
    types_in,
)
from ._signature import EMPTY, annotation_of
from ._topic import Topic
from ._wire import is_reserved

FORMAT = 1

TYPES: Mapping[str, tuple[str, ...]] = {
    "routes": (
        *("kind", "payload", "payload_required", "headers", "result", "item", "progress"),
        "errors",
    ),
    "topics": ("parameters", "event", "snapshot", "publish", "publish_event", "presence", "errors"),
    "pushes": ("payload",),
    "calls": ("payload", "result"),
}
"""What the hash is about: types, and neither words nor limits."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What a socket takes and gives. `path` is where it is mounted, None where nobody knows.

    `hash` changes with the types: the same in each process, and as far as can be in each version
    of Python and pydantic; words, limits and defaults do not count.
    """

    path: str | None
    _json: dict[str, Any]
    types: Mapping[tuple[str, ...], Any] = field(default_factory=dict, repr=False, compare=False)
    """The Python types of what is in it: `("routes", "math/sum", "payload")`, and one further
    for members that are taken by their keys."""

    @property
    def title(self) -> str:
        return str(self._json["title"])

    @property
    def version(self) -> str:
        return str(self._json["version"])

    @property
    def hash(self) -> str:
        return str(self._json["hash"])

    def as_json(self) -> dict[str, Any]:
        """The whole of it; what is done to the dict is done to nobody else's."""
        return copy.deepcopy(self._json)

    def as_asyncapi(self, servers: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """An AsyncAPI 3.0 document. `servers` are its servers, as AsyncAPI writes them:
        `{"production": {"host": "example.com", "protocol": "wss"}}`."""
        return asyncapi(self.as_json(), self.path or "/", servers)


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above the routes."""

    title: str
    version: str
    description: str
    auth: str | None
    """None where no tokens are asked for, else "required" or "optional"."""

    def __post_init__(self) -> None:
        for name in ("title", "version", "description"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is a text, not {getattr(self, name)!r}")

    def within(self, app: Any) -> "Head":
        """With the words of an application, where there are no own ones."""
        words = {n: getattr(self, n) or getattr(app, n, "") for n in ("title", "version")}
        told = self.description or getattr(app, "description", "")
        return Head(**words, description=told, auth=self.auth)


class Contracts:
    """The contracts of a router, as it is when they are asked for. `ready` compiles what waited
    for its annotations."""

    def __init__(
        self,
        head: Head,
        routes: Mapping[str, Route],
        topics: Collection[Topic],
        declarations: Collection[Declaration],
        ready: Callable[[], None],
    ) -> None:
        self._head = head
        self._routes = routes
        self._topics = topics
        self._declarations = declarations
        self._ready = ready
        self._known: tuple[tuple[int, ...], str | None] | None = None

    @property
    def title(self) -> str:
        """The router's own; "" where it has none."""
        return self._head.title

    def of(self, path: str | None = None, app: Any = None) -> Contract:
        """The contract at `path` of `app`. Raises `ContractError` and `SignatureError`."""
        self._ready()
        head = self._head if app is None else self._head.within(app)
        return contract(head, path, self._routes, self._topics, self._declarations)

    def hash(self) -> str | None:
        """That of now. None where there is no contract: no reason to refuse anyone."""
        size = self.size
        if self._known is None or self._known[0] != size:
            self._known = size, self._hash()
        return self._known[1]

    @property
    def size(self) -> tuple[int, ...]:
        """Nothing is ever taken back: as many as before are the same as before."""
        return len(self._routes), len(self._topics), len(self._declarations)

    def _hash(self) -> str | None:
        try:
            return self.of().hash
        except (ContractError, SignatureError) as error:
            logger.warning("there is no contract: %s", escaped(error))
            return None


def contract(
    head: Head,
    path: str | None,
    routes: Mapping[str, Route],
    topics: Iterable[Topic],
    declarations: Iterable[Declaration],
) -> Contract:
    """The contract of what is registered. Raises `ContractError`."""
    declared = list(declarations)
    tree: dict[str, Any] = {
        "routes": {n: _route(r) for n, r in sorted(routes.items()) if not is_reserved(n)},
        "topics": {t.definition.pattern: _topic(t) for t in topics},
        "pushes": {d.name: _push(d) for d in declared if not d.is_call},
        "calls": {d.name: _call(d) for d in declared if d.is_call},
    }
    whole, definitions = filled(tree)
    whole["definitions"] = definitions
    for name, route in whole["routes"].items():
        shape = routes[name].plan.shape
        route["payload_required"] = _is_required(shape, route["payload"], definitions)
    above = {
        "format": FORMAT,
        "title": head.title,
        "version": head.version,
        "description": head.description,
        "hash": hash_of(whole),
        "path": path,
        "auth": head.auth,
    }
    types = {place: annotation_of(adapts) for place, adapts in types_in(tree)}
    return Contract(path, above | whole, types)


def hash_of(whole: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that stand for the types of a contract."""
    types: dict[str, Any] = {
        kind: {name: {n: each.get(n) for n in names} for name, each in whole[kind].items()}
        for kind, names in TYPES.items()
    }
    types = _canonical_leaves(types)
    types["definitions"] = {n: canonical(s) for n, s in whole["definitions"].items()}
    return hashlib.sha256(as_text(types).encode()).hexdigest()[:16]


def _canonical_leaves(types: dict[str, Any]) -> dict[str, Any]:
    return {
        kind: {name: {n: _plain(n, v) for n, v in each.items()} for name, each in named.items()}
        for kind, named in types.items()
    }


def _plain(name: str, value: Any) -> Any:
    if name == "errors":
        return {status: _plain("payload", each["payload"]) for status, each in value.items()}
    if name == "parameters":
        return {parameter: canonical(schema) for parameter, schema in value.items()}
    return canonical(value) if isinstance(value, dict) else value


def _is_required(shape: Shape, payload: Schema | None, definitions: Mapping[str, Schema]) -> bool:
    """Whether a request without a payload is refused."""
    if shape.members:
        return any(member.default is EMPTY for member in shape.members)
    if payload is None or shape.default is not EMPTY:
        return False
    return not takes_null(payload, definitions)


# --- what is registered


def _route(route: Route) -> dict[str, Any]:
    definition, plan = route.definition, route.plan
    shape = plan.shape
    timeout = definition.timeout if plan.is_stream else route.timeout
    return {
        "kind": "stream" if plan.is_stream else "call",
        **_words(definition.about.of(definition.handler)),
        "ordered": route.ordered,
        "idempotent": definition.idempotent,
        "timeout": None if timeout is None or math.isinf(timeout) else timeout,
        "payload": _keys(shape.members) if shape.members else _in(shape.payload, shape.default),
        "payload_required": False,
        "headers": _keys(shape.headers) if shape.headers else None,
        "result": _out(shape.result),
        "item": _out(shape.item),
        "progress": _out(shape.progress),
        "errors": _errors(definition.responses, plan.errors),
    }


def _topic(topic: Topic) -> dict[str, Any]:
    definition = topic.definition
    events = topic.events or ANYTHING
    publishes = definition.publish is not False
    words = _words(definition.about.of(definition.function))
    return {
        **words,
        "parameters": {n: _in(topic.parameters.get(n, _TEXT)) for n in topic.path},
        "event": _out(events),
        "snapshot": _out(topic.state or ANYTHING) if topic.snapshots else None,
        "publish": publishes,
        **({"publish_event": _in(events)} if publishes else {}),
        "kept": topic.keep is not None,
        "presence": topic.presence,
        "errors": _errors(definition.responses, topic.errors),
    }


_TEXT: "TypeAdapter[Any]" = TypeAdapter(str)


def _push(declared: Declaration) -> dict[str, Any]:
    words = _words(declared.about.of(None))
    del words["tags"]
    return {**words, "payload": _out(declared.payload_type())}


def _call(declared: Declaration) -> dict[str, Any]:
    return {**_push(declared), "result": _in(declared.result_type())}


def _words(words: About) -> dict[str, Any]:
    return {
        "summary": words.summary or "",
        "description": words.description or "",
        "tags": list(words.tags),
        "deprecated": words.deprecated,
    }


def _errors(
    responses: Mapping[int, ErrorResponse], types: "Mapping[int, TypeAdapter[Any]]"
) -> dict[str, Any]:
    return {
        str(status): {"description": each.description, "payload": _out(types.get(status))}
        for status, each in sorted(responses.items())
    }


def _keys(members: Sequence[Member]) -> Keys:
    return Keys({member.name: Typed(INTO, member.type, member.default) for member in members})


def _in(type: "TypeAdapter[Any] | None", default: Any = EMPTY) -> Typed | None:
    return None if type is None else Typed(INTO, type, default)


def _out(type: "TypeAdapter[Any] | None") -> Typed | None:
    return None if type is None else Typed(OUT, type)
