"""
The contract as a TypeScript file: the route maps that the client takes, and what they name.

It knows the contract's JSON alone, so that it serves a running server's as well. The same
contract gives the same bytes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ._ts_type import (
    WIDTH,
    Definitions,
    Type,
    braced,
    comment,
    escaped,
    indented,
    key,
    quoted,
    union,
)

Contract = Mapping[str, Any]

PACKAGE: Final = "fastapi-observable-socket"

_USUAL: Final = Type("ErrorPayload")
_MAPS: Final = {
    "Routes": "What the server answers.",
    "Topics": "What one can listen to.",
    "Pushes": "What the server says unasked.",
    "Handlers": "What the server asks of the page.",
}


def typescript(contract: Contract, register: bool = True, ambient: bool = False) -> str:
    """A module with an interface for each definition and each map.

    With `register` it also tells the npm package's types, so that sockets and hooks know the maps
    without being told. `ambient`: for a `.d.ts` file, which has no values.
    """
    names = spelled(contract.get("definitions", {}))
    definitions = Definitions(contract.get("definitions", {}), names)
    maps = {name: members for name, members in _maps(contract, definitions) if members is not None}
    declared = [definitions.declared(name) for name in names]
    blocks = [
        *([] if ambient else [_identity(contract)]),
        *declared,
        *(_interface(name, members) for name, members in maps.items()),
        *([_registered(maps)] if register else []),
    ]
    text = "\n\n".join(blocks)
    each = (*contract.get("routes", {}).values(), *contract.get("topics", {}).values())
    return f"{_head(contract, any(one.get('errors') for one in each))}\n{text}\n"


# --- the file


def _head(contract: Contract, errors: bool) -> str:
    of = " ".join(f"{contract.get('title', '')} {contract.get('version', '')}".split())
    made = f"The routes of {of or 'a server'}, made by {PACKAGE}. What is changed here is lost."
    head = f"/* eslint-disable */\n{comment([made])}"
    return head + (f"\nimport type {{ ErrorPayload }} from '{PACKAGE}'\n" if errors else "")


def _identity(contract: Contract) -> str:
    words = ("title", "version", "hash")
    members = [f"{word}: {quoted(str(contract.get(word, '')))}" for word in words]
    said = comment(["Which contract this is; `hash` differs where anything else does."])
    return f"{said}export const contract = {{ {', '.join(members)} }} as const"


def _interface(name: str, members: Sequence[str]) -> str:
    return f"{comment([_MAPS[name]])}export interface {name} {braced(members, lines=True)}"


def _registered(maps: Mapping[str, Any]) -> str:
    members = [f"{name.lower()}: {name}" for name in maps]
    inner = f"interface Register {braced(members, lines=True)}"
    return f"declare module '{PACKAGE}' {{\n{indented(inner)}\n}}"


# --- the maps


def _maps(contract: Contract, types: Definitions) -> Iterator[tuple[str, list[str] | None]]:
    """Each map's members; None for one that says nothing.

    A contract has all routes and topics, but of what the server says by itself only what was
    declared: where nothing was, anything goes.
    """
    routes, topics = contract.get("routes", {}), contract.get("topics", {})
    yield "Routes", [_member(key(name), each, _route(each, types)) for name, each in routes.items()]
    yield "Topics", list(_topics(topics, types))
    pushes, calls = contract.get("pushes", {}), contract.get("calls", {})
    told = [_pushed(name, each, types) for name, each in pushes.items()]
    asked = [_member(key(name), each, _asked(each, types)) for name, each in calls.items()]
    yield "Pushes", told or None
    yield "Handlers", asked or None


def _member(name: str, documented: Mapping[str, Any], members: list[str]) -> str:
    return _documented(documented) + f"{name}: {_fitting(name, members)}"


def _fitting(name: str, members: list[str]) -> str:
    return braced(members, lines=len(name) + sum(map(len, members)) > WIDTH - 8)


def _documented(each: Mapping[str, Any]) -> str:
    texts = [each.get("summary"), each.get("description")]
    paragraphs = [text.strip().splitlines() for text in texts if text and text.strip()]
    lines = [line for lines in paragraphs for line in ("", *lines)][1:]
    return comment(lines, ["@deprecated"] if each.get("deprecated") else [])


def _route(route: Mapping[str, Any], types: Definitions) -> list[str]:
    members = []
    if route.get("payload") is not None:
        optional = "" if route.get("payload_required", True) else "?"
        members.append(f"payload{optional}: {types.type_of(route['payload']).text}")
    if route.get("headers") is not None:
        members.append(f"headers: {types.type_of(route['headers']).text}")
    if route.get("progress") is not None:
        members.append(f"progress: {types.type_of(route['progress']).text}")
    if route.get("kind") == "stream":
        members.append(f"item: {types.type_of(_or_any(route.get('item'))).text}")
    members.append(f"result: {_or_null(route.get('result'), types)}")
    return members + _errors(route, types)


def _errors(each: Mapping[str, Any], types: Definitions) -> list[str]:
    errors = each.get("errors")
    if not errors:
        return []
    members = [
        comment([error["description"]] if error.get("description") else [])
        + f"{status}: {_error(error.get('payload'), types)}"
        for status, error in errors.items()
    ]
    return [f"errors: {braced(members)}"]


def _error(payload: Any, types: Definitions) -> str:
    """What is declared, and the usual payload: an error that is raised without a model has it."""
    return union([*([] if payload is None else [types.type_of(payload)]), _USUAL]).text


def _or_any(schema: Any) -> Any:
    return {} if schema is None else schema


def _or_null(schema: Any, types: Definitions) -> str:
    return "null" if schema is None else types.type_of(schema).text


def _pushed(name: str, push: Mapping[str, Any], types: Definitions) -> str:
    return _documented(push) + f"{key(name)}: {_or_null(push.get('payload'), types)}"


def _asked(call: Mapping[str, Any], types: Definitions) -> list[str]:
    members = [("payload", call.get("payload")), ("result", call.get("result"))]
    return [f"{name}: {types.type_of(each).text}" for name, each in members if each is not None]


# --- topics


_PARAMETER: Final = re.compile(r"\{([A-Za-z_]\w*)(?::path)?\}")
_NUMBER, _STRING = "\ue001", "\ue000"


def _topics(topics: Mapping[str, Any], types: Definitions) -> Iterator[str]:
    """A member for each topic, and for a pattern an index signature.

    TypeScript knows no slash: `rooms/${string}` has `rooms/tea/typing` in it, too, and wants its
    type to have room for it. So what is said of a pattern is said of all that it covers.
    """
    shapes = {name: _shape(name, each) for name, each in topics.items()}
    done = set()
    for name, topic in topics.items():
        if shapes[name] in done:
            continue
        done.add(shapes[name])
        covered = [each for each in topics if _covers(shapes[name], shapes[each])]
        uniform = any(topics[each].get("snapshot") is not None for each in covered)
        held = [Type(braced(_topic(topics[each], types, uniform))) for each in covered]
        at = _key_of_topic(name, shapes[name])
        yield _documented(topic) + f"{at}: {union(held).text}"


def _shape(name: str, topic: Mapping[str, Any]) -> str:
    """The topic's name, with a mark for each parameter."""
    parameters = topic.get("parameters", {})

    def mark(found: re.Match[str]) -> str:
        schema = parameters.get(found[1])
        of_number = isinstance(schema, Mapping) and schema.get("type") in ("integer", "number")
        return _NUMBER if of_number else _STRING

    # As TypeScript sees it: two texts side by side are one.
    return re.sub(f"{_STRING}+", _STRING, _PARAMETER.sub(mark, name))


def _covers(pattern: str, name: str) -> bool:
    """Whether TypeScript may take every key of `name` for one of `pattern`."""
    if pattern == name:
        return True
    regex = re.escape(pattern).replace(_STRING, ".*")
    return re.fullmatch(regex.replace(_NUMBER, f"[\\s\\w.+{_NUMBER}-]+"), name, re.S) is not None


def _key_of_topic(name: str, shape: str) -> str:
    if not {_NUMBER, _STRING} & set(shape):
        return key(name)
    found = _PARAMETER.search(name)
    label = found[1] if found and found[1].isascii() and found[1] not in _RESERVED else "topic"
    text = escaped(shape, "`").replace("${", "\\${")
    text = text.replace("\\ue001", "${number}").replace("\\ue000", "${string}")
    return f"[{label}: `{text}`]"


def _topic(topic: Mapping[str, Any], types: Definitions, uniform: bool) -> list[str]:
    members = [f"event: {types.type_of(topic.get('event', {})).text}"]
    if topic.get("snapshot") is not None:
        members.append(f"snapshot: {types.type_of(topic['snapshot']).text}")
    elif uniform:
        members.append("snapshot?: undefined")
    if topic.get("publish_event") is not None:
        members.append(f"publish: {types.type_of(topic['publish_event']).text}")
    return members + _errors(topic, types)


# --- names


_WORDS: Final = """
any arguments as asserts async await bigint boolean break case catch class const continue debugger
declare default delete do else enum eval export extends false finally for function get globalThis
if implements import in infer instanceof interface intrinsic is keyof let module namespace never
new null number object of package private protected public readonly require return satisfies set
static string super switch symbol this throw true try type typeof undefined unique unknown using
var void while with yield
"""
_RESERVED: Final = frozenset([*_WORDS.split(), *_MAPS, "Register", _USUAL.text])


def spelled(definitions: Mapping[str, Any]) -> dict[str, str]:
    """A TypeScript name for each definition, none twice.

    Where two would have the same name, the one that bears it as it stands keeps it; the others
    are numbered, in the order of the alphabet, whatever the order of the contract.
    """
    wanted = {name: _spelled(name) for name in definitions}
    taken: set[str] = set()
    given: dict[str, str] = {}
    for name in sorted(definitions, key=lambda name: (wanted[name] != name, name)):
        free, number = wanted[name], 2
        while free in taken:
            free, number = f"{wanted[name]}{number}", number + 1
        taken.add(free)
        given[name] = free
    return {name: given[name] for name in definitions}


def _spelled(name: str) -> str:
    """`Page_Item_` (pydantic's name of Page[Item]) is PageItem; of two sides of a model that
    differ, the one that the server sends bears the plain name."""
    for side, suffix in (("-Input", "Input"), ("-Output", "")):
        if name.endswith(side):
            return _identifier(name.removesuffix(side)) + suffix
    return _identifier(name)


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w*(?<!_)", name, re.ASCII):
        words = re.split(r"[\W_]+", name, flags=re.ASCII)
        name = "".join(word[:1].upper() + word[1:] for word in words)
    if not name or name[0].isdigit():
        name = f"Model{name}"
    return f"{name}Model" if name in _RESERVED else name
