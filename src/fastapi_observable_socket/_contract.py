"""
What a router takes and gives, written down: its contract.

Made of what is registered; no handler is run. Other rooms write it as other documents.
"""

import copy
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_jsonable_python

from ._asyncapi import asyncapi
from ._declared import About, Declaration, ErrorResponse
from ._fit import ANYTHING
from ._plan import Member, Shape
from ._route import Route
from ._schemas import INTO, OUT, Mode, Schema, Wanted, as_text, canonical, schemas_of, takes_null
from ._signature import EMPTY
from ._topic import Topic
from ._wire import is_reserved

FORMAT = 1

TYPES: Mapping[str, tuple[str, ...]] = {
    "routes": (
        *("kind", "payload", "payload_required", "headers", "result", "item", "progress"),
        "errors",
    ),
    "topics": ("parameters", "event", "snapshot", "publish", "publish_event", "errors"),
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
    found, definitions = schemas_of(_wanted(tree, ()))
    whole = _filled(tree, (), found)
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
    return Contract(path, above | whole)


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


# --- a tree with types in it, and one with their schemas


@dataclass(frozen=True, slots=True)
class _Typed:
    """Where a schema will stand."""

    mode: Mode
    type: "TypeAdapter[Any]"
    default: Any = EMPTY


@dataclass(frozen=True, slots=True)
class _Keys:
    """Where the schema of an object will stand, of which only the members have types."""

    members: Mapping[str, _Typed]


def _wanted(node: Any, place: tuple[str, ...]) -> Iterator[Wanted]:
    if isinstance(node, _Typed):
        yield place, node.mode, node.type
    for name, inner in _inside(node).items():
        yield from _wanted(inner, (*place, name))


def _filled(node: Any, place: tuple[str, ...], found: Mapping[tuple[str, ...], Schema]) -> Any:
    if isinstance(node, _Typed):
        return found[place] | _default(node)
    inner = {n: _filled(each, (*place, n), found) for n, each in _inside(node).items()}
    if not isinstance(node, _Keys):
        return inner if isinstance(node, dict) else node
    required = [n for n, typed in node.members.items() if typed.default is EMPTY]
    schema: Schema = {"type": "object", "properties": inner}
    return schema | ({"required": required} if required else {})


def _inside(node: Any) -> Mapping[str, Any]:
    if isinstance(node, _Keys):
        return node.members
    return node if isinstance(node, dict) else {}


def _default(typed: _Typed) -> Schema:
    if typed.default is EMPTY or (typed.default is None and typed.type is ANYTHING):
        return {}
    try:
        return {"default": to_jsonable_python(typed.default)}
    except PydanticSerializationError:
        return {}


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


def _keys(members: Sequence[Member]) -> _Keys:
    return _Keys({member.name: _Typed(INTO, member.type, member.default) for member in members})


def _in(type: "TypeAdapter[Any] | None", default: Any = EMPTY) -> _Typed | None:
    return None if type is None else _Typed(INTO, type, default)


def _out(type: "TypeAdapter[Any] | None") -> _Typed | None:
    return None if type is None else _Typed(OUT, type)
