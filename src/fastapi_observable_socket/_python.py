"""
The contract as a Python file: typed routes for the client, of the application's own types.

For clients in the same repository: types are imported from where they are defined. One that
has no name to be imported by becomes `Any`.
"""

import builtins
import enum
import keyword
import sys
import types
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from ._contract import Contract

_OURS: Final = "fastapi_observable_socket.client"
_HEAD: Final = (
    "# Made by fastapi-observable-socket: what is changed here is lost.\n# fmt: off\n# ruff: noqa"
)


def python(contract: Contract) -> str:
    """A module with a `Route` or `StreamRoute` for each route, and a `TopicRoute` for each
    topic. The same contract gives the same bytes."""
    made, names = contract.as_json(), _Names()
    own = _constants({name: _snake(name) for name in made["routes"]}, names)
    # A route may have the name of a topic.
    wanted = {name: f"topic_{_snake(name.replace(':path', ''))}" for name in made["topics"]}
    own_of_topics = _constants(wanted, names)
    routes = [
        f"{own[name]} = {_route(name, each, contract.types, names)}"
        for name, each in made["routes"].items()
    ]
    topics = [
        f"{own_of_topics[name]} = {_topic(name, each, contract.types, names)}"
        for name, each in made["topics"].items()
    ]
    what = " ".join(f"{contract.title} {contract.version}".split())
    blocks = [
        f"{_HEAD}\n{_text(f'The routes of {what}.' if what else 'The routes of a server.')}",
        "\n".join(names.imports()),
        *names.dicts,
        *routes,
        *topics,
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


Types = Mapping[tuple[str, ...], Any]

_WORDS: Final = frozenset([*dir(builtins), *keyword.kwlist])


def _constants(wanted: Mapping[str, str], names: "_Names") -> dict[str, str]:
    """The constant of each. Of several that want the same one, that whose name it is has it,
    whatever stands beside it."""
    order = sorted(wanted, key=lambda name: (not wanted[name].endswith(name), name))
    return {name: names.new(wanted[name]) for name in order}


def _route(name: str, route: Mapping[str, Any], known: Types, names: "_Names") -> str:
    is_stream = route["kind"] == "stream"
    kind = names.imported(_OURS, "StreamRoute" if is_stream else "Route")
    gives = known.get(("routes", name, "item" if is_stream else "result"))
    held = f"{kind}[{_payload(name, route, known, names)}, {names.type_of(gives)}]"
    return _constant(held, name, route)


def _topic(name: str, topic: Mapping[str, Any], known: Types, names: "_Names") -> str:
    event, state = (known.get(("topics", name, part)) for part in ("event", "snapshot"))
    kind = names.imported(_OURS, "TopicRoute")
    held = f"{kind}[{names.type_of(event)}, {names.type_of(state)}]"
    return _constant(held, name, topic)


def _constant(held: str, name: str, each: Mapping[str, Any]) -> str:
    said = "\n\n".join(filter(None, (each["summary"], each["description"])))
    constant = f"{held}({_quoted(name)})"
    return f"{constant}\n{_text(said)}" if said else constant


def _payload(name: str, route: Mapping[str, Any], known: Types, names: "_Names") -> str:
    place = ("routes", name, "payload")
    if place in known:
        made = names.type_of(known[place])
    elif route["payload"] is None:
        made = "None"
    else:
        made = _keys(name, route["payload"], known, names)
    optional = not route["payload_required"] and made not in ("None", "Any")
    return f"{made} | None" if optional and not made.endswith(" | None") else made


def _keys(name: str, payload: Mapping[str, Any], known: Types, names: "_Names") -> str:
    """The name of a TypedDict for a payload that is taken by its keys."""
    # pydantic takes that of typing from Python 3.12 on only.
    typed_dict = names.imported("typing_extensions", "TypedDict")
    needed = payload.get("required", ())
    members = []
    for each in payload["properties"]:
        made = names.type_of(known.get(("routes", name, "payload", each), Any))
        if each not in needed:
            made = f"{names.imported('typing', 'NotRequired')}[{made}]"
        members.append(f"    {_quoted(each)}: {made},\n")
    title = "".join(word.capitalize() for word in _words(name))
    own = names.new(_identifier(f"{title}Payload"))
    names.dicts.append(f"{own} = {typed_dict}({_quoted(own)}, {{\n{''.join(members)}}})")
    return own


class _Names:
    """The names of one file: what it imports, and what is taken."""

    def __init__(self) -> None:
        self.dicts: list[str] = []
        self._imports: dict[tuple[str, str], str] = {}
        self._taken = set(_WORDS)

    def new(self, wanted: str) -> str:
        """A name that is free, as near to the one that is wanted as can be."""
        free = f"{wanted}_" if wanted in _WORDS else wanted
        number = 2
        while free in self._taken:
            free, number = f"{wanted}{number}", number + 1
        self._taken.add(free)
        return free

    def imported(self, module: str, name: str) -> str:
        if (module, name) not in self._imports:
            self._imports[module, name] = self.new(name)
        return self._imports[module, name]

    def imports(self) -> Iterator[str]:
        """Each module once, in the order of the alphabet."""
        for module in sorted({module for module, _ in self._imports}):
            names = sorted(each for each in self._imports.items() if each[0][0] == module)
            told = (name if name == own else f"{name} as {own}" for (_, name), own in names)
            yield f"from {module} import {', '.join(told)}"

    # --- types

    def type_of(self, annotation: Any) -> str:
        """How the type is written here; `Any` where it cannot be."""
        if annotation is None or annotation is type(None):
            return "None"
        if annotation is ...:
            return "..."
        alias = getattr(annotation, "__pydantic_generic_metadata__", None) or {}
        origin = alias.get("origin") or get_origin(annotation)
        if origin is None:
            return self._named(Any if isinstance(annotation, TypeVar) else annotation)
        return self._of_parts(origin, alias.get("args") or get_args(annotation))

    def _of_parts(self, origin: Any, parts: tuple[Any, ...]) -> str:
        if origin is Annotated:
            return self.type_of(parts[0])
        if origin in (Union, types.UnionType):
            made = list(dict.fromkeys(self.type_of(part) for part in parts))
            # None last, as people write it.
            return " | ".join(sorted(made, key="None".__eq__))
        if origin is Literal:
            inside = [self._value(part) for part in parts]
            return f"{self.imported('typing', 'Literal')}[{', '.join(inside)}]"
        named = self._named(origin)
        inside = [self.type_of(part) for part in parts]
        if named == self._imports.get(("typing", "Any")):
            return named
        return f"{named}[{', '.join(inside) or '()'}]"

    def _value(self, value: Any) -> str:
        if isinstance(value, enum.Enum):
            return f"{self._named(type(value))}.{value.name}"
        return _quoted(value) if isinstance(value, str) else repr(value)

    def _named(self, kind: Any) -> str:
        module = str(getattr(kind, "__module__", ""))
        path = str(getattr(kind, "__qualname__", None) or getattr(kind, "__name__", ""))
        if kind is Any or not _is_importable(kind, module, path):
            return self.imported("typing", "Any")
        if module == "builtins":
            return path
        first, dot, rest = path.partition(".")
        return self.imported(module, first) + dot + rest


def _is_importable(kind: Any, module: str, path: str) -> bool:
    if module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, name, None)
    return found is kind


# --- words


def _words(name: str) -> list[str]:
    # To Python, names are the same where their NFKC is; and it takes fewer letters than `\w`.
    plain = unicodedata.normalize("NFKC", name)
    return "".join(c if f"_{c}".isidentifier() else " " for c in plain).split() or ["route"]


def _snake(name: str) -> str:
    return _identifier("_".join(_words(name)))


def _identifier(text: str) -> str:
    return text if text.isidentifier() else f"_{text}"


def _quoted(text: str) -> str:
    """As `repr`, in the quotes that people use here, and in ASCII where it is not plain."""
    inside = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in inside) + '"'


def _text(said: str) -> str:
    """A docstring."""
    inside = said.strip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    plain = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in inside)
    lines = [line.rstrip() for line in plain.split("\n")]
    end = "\n" if len(lines) > 1 else " " if plain.endswith('"') else ""
    return f'"""{chr(10).join(lines)}{end}"""'
