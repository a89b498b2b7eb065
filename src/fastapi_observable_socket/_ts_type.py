"""
A JSON Schema as a TypeScript type.

It knows schemas and the language, and nothing of routes or files. What it makes compiles,
whatever the schema: what TypeScript cannot say becomes wider, `unknown` at the widest. It names no
type of TypeScript's library, so no definition can stand in its way.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

Schema = Mapping[str, Any]

WIDTH: Final = 120


class Type(NamedTuple):
    """A type's text, and what holds it together: what is held by less needs parentheses."""

    text: str
    held_by: Literal["itself", "&", "|"] = "itself"


UNKNOWN: Final = Type("unknown")
NEVER: Final = Type("never")
NULL: Final = Type("null")
ITSELF: Final = Type("unknown", "&")
_PRIMITIVE: Final = {
    "string": Type("string"),
    "integer": Type("number"),
    "number": Type("number"),
    "boolean": Type("boolean"),
    "null": NULL,
}
_OF_ARRAYS: Final = ("prefixItems", "items")
_OF_OBJECTS: Final = ("properties", "additionalProperties", "patternProperties", "propertyNames")


class Definitions:
    """The named schemas, and the types that stand for them."""

    def __init__(self, schemas: Mapping[str, Any], names: Mapping[str, str]) -> None:
        self._schemas = schemas
        self._names = names
        self._declaring = ""
        self._circles = set(_circles(schemas))

    def declared(self, name: str) -> str:
        """The exported declaration of a definition, with its documentation."""
        schema, spelled = self._schemas[name], self._names[name]
        self._declaring = name
        if is_interface(schema):
            text = f"export interface {spelled} {self._object(schema, True)}"
        else:
            text = f"export type {spelled} = {self.type_of(schema).text}"
        self._declaring = ""
        return documented(schema) + text

    def type_of(self, schema: Any) -> Type:
        """The type of what fits `schema`."""
        if not isinstance(schema, Mapping):
            return NEVER if schema is False else UNKNOWN
        parts = list(self._parts(schema))
        return parts[0] if len(parts) == 1 else intersection(parts)

    def _parts(self, schema: Schema) -> Iterator[Type]:
        """What must hold at the same time."""
        if "$ref" in schema:
            yield self._reference(schema["$ref"])
        if "const" in schema:
            yield literal(schema["const"])
        elif isinstance(schema.get("enum"), Sequence):
            yield union(literal(value) for value in schema["enum"])
        elif (kinds := _kinds(schema)) is not None:
            yield union(self._kind(kind, schema) for kind in kinds)
        for several in ("anyOf", "oneOf"):
            if isinstance(schema.get(several), Sequence):
                yield union(self._alternatives(schema, schema[several]))
        if isinstance(schema.get("allOf"), Sequence):
            yield intersection([self.type_of(each) for each in schema["allOf"]])

    def _reference(self, ref: Any) -> Type:
        name = referred(ref)
        if name not in self._schemas:
            return UNKNOWN
        if (self._declaring, name) in self._circles:
            # `type A = A | null` does not compile. To a union, A itself adds nothing.
            return ITSELF if name == self._declaring else UNKNOWN
        return Type(self._names[name])

    def _kind(self, kind: str, schema: Schema) -> Type:
        if kind == "array":
            return self._array(schema)
        if kind == "object":
            return Type(self._object(schema, False))
        return _PRIMITIVE.get(kind, UNKNOWN)

    # --- unions

    def _alternatives(self, schema: Schema, alternatives: Sequence[Any]) -> Iterator[Type]:
        discriminator = schema.get("discriminator")
        tag = discriminator.get("propertyName") if isinstance(discriminator, Mapping) else None
        for each in alternatives:
            yield self._tagged(each, tag) if isinstance(tag, str) else self.type_of(each)

    def _tagged(self, variant: Any, tag: str) -> Type:
        """A member of a union by discriminator: there the tag is needed, default or not."""
        made, schema = self.type_of(variant), self._followed(variant)
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or tag not in properties:
            return made
        if made == UNKNOWN or tag in _required(schema):
            return made
        own = self.type_of(properties[tag]).text
        return intersection([made, Type(f"{{ {key(tag)}: {own} }}")])

    def _followed(self, schema: Any) -> Schema:
        """The schema behind references; empty where there is none."""
        seen = set()
        while isinstance(schema, Mapping) and "$ref" in schema:
            name = referred(schema["$ref"])
            if name in seen:
                return {}
            seen.add(name)
            schema = self._schemas.get(name)
        return schema if isinstance(schema, Mapping) else {}

    # --- arrays

    def _array(self, schema: Schema) -> Type:
        first, rest = schema.get("prefixItems"), schema.get("items", True)
        if not isinstance(first, Sequence) or not first:
            return Type("[]" if schema.get("maxItems") == 0 else _atom(self.type_of(rest)) + "[]")
        needed = schema.get("minItems", 0)
        items = [
            # Held as a whole: `[A | B?]` would be read otherwise.
            self.type_of(each).text if at < needed else _atom(self.type_of(each)) + "?"
            for at, each in enumerate(first)
        ]
        if rest is not False and schema.get("maxItems") != len(first):
            items.append(f"...{_atom(self.type_of(rest))}[]")
        return Type(f"[{', '.join(items)}]")

    # --- objects

    def _object(self, schema: Schema, declared: bool) -> str:
        members = self._members(schema)
        others = self._others(schema)
        if others is None and not members and not declared:
            others = UNKNOWN
        if isinstance(schema.get("propertyNames"), Mapping) and others and not members:
            keys = self._keys(schema["propertyNames"])
            if keys is not None:
                return f"{{ [key in {keys}]?: {others.text} }}"
        if others is not None:
            members.append(f"[key: string]: {others.text}")
        return braced(members, lines=declared)

    def _members(self, schema: Schema) -> list[str]:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return []
        required = _required(schema)
        return [
            documented(each, optional=name not in required)
            + f"{key(name)}{'' if name in required else '?'}: {self.type_of(each).text}"
            for name, each in properties.items()
        ]

    def _others(self, schema: Schema) -> Type | None:
        """The type of all members whose names are not known; None where there are none."""
        more = schema.get("additionalProperties")
        patterns = schema.get("patternProperties")
        kinds = [self.type_of(each) for each in (patterns or {}).values()]
        if more is not None and more is not False:
            kinds.append(self.type_of(more))
        if not kinds:
            return NEVER if more is False and not schema.get("properties") else None
        # The members that are known are seen through an index signature, too.
        properties = schema.get("properties") or {}
        kinds += [self.type_of(each) for each in properties.values()]
        if properties.keys() - _required(schema):
            kinds.append(Type("undefined"))
        return union(kinds)

    def _keys(self, names: Schema) -> str | None:
        """The type of the keys, where they are a known few."""
        values = self._followed(names).get("enum")
        if not isinstance(values, Sequence) or not values:
            return None
        if not all(type(value) in (str, int) for value in values):
            return None
        return self.type_of(names).text


# --- the parts of a schema


def referred(ref: Any) -> str:
    """The definition that a reference names; empty where it is of another kind."""
    if not isinstance(ref, str) or not ref.startswith("#/definitions/"):
        return ""
    return ref.removeprefix("#/definitions/").replace("~1", "/").replace("~0", "~")


def is_interface(schema: Any) -> bool:
    """Whether it describes an object by its members, and by nothing else."""
    if not isinstance(schema, Mapping) or _kinds(schema) != ["object"]:
        return False
    if schema.keys() & {"$ref", "const", "enum", "anyOf", "oneOf", "allOf"}:
        return False
    return bool(schema.get("properties"))


def _kinds(schema: Schema) -> list[str] | None:
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    if isinstance(kind, Sequence):
        return [str(each) for each in kind]
    if any(word in schema for word in _OF_OBJECTS):
        return ["object"]
    return ["array"] if any(word in schema for word in _OF_ARRAYS) else None


def _required(schema: Schema) -> set[str]:
    required = schema.get("required")
    return {str(name) for name in required} if isinstance(required, Sequence) else set()


def _circles(schemas: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The pairs of definitions where the second is part of what the first one is an alias of,
    and the other way round, with no member in between."""
    nearby = {
        name: set() if is_interface(schema) else set(_nearby(schema))
        for name, schema in schemas.items()
    }
    reach = {name: _reached(name, nearby) for name in nearby}
    for first in nearby:
        for second in nearby[first]:
            if first in reach.get(second, ()):
                yield first, second


def _nearby(schema: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield referred(schema["$ref"])
    for word in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(word) or ():
            yield from _nearby(each)


def _reached(name: str, nearby: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = [name]
    while ahead:
        for each in nearby.get(ahead.pop(), ()):
            if each not in reached:
                reached.add(each)
                ahead.append(each)
    return reached


# --- types of types


def union(types: Iterable[Type]) -> Type:
    """Any of them, each once. Of none of them, `never`."""
    kept = list(dict.fromkeys(each for each in types if each not in (NEVER, ITSELF)))
    if UNKNOWN in kept:
        return UNKNOWN
    if len(kept) < 2:
        return kept[0] if kept else NEVER
    # `null` last, as people write it.
    kept.sort(key=NULL.__eq__)
    return Type(" | ".join(_atom(each) for each in kept), "|")


def intersection(types: Iterable[Type]) -> Type:
    """All of them at the same time. Of none of them, `unknown`."""
    kept = list(dict.fromkeys(each for each in types if each not in (UNKNOWN, ITSELF)))
    if NEVER in kept:
        return NEVER
    if len(kept) < 2:
        return kept[0] if kept else UNKNOWN
    return Type(" & ".join(_atom(each) for each in kept), "&")


def literal(value: Any) -> Type:
    """The type of that JSON value alone."""
    if isinstance(value, str):
        return Type(quoted(value))
    if isinstance(value, Mapping):
        return Type(braced([f"{key(k)}: {literal(v).text}" for k, v in value.items()]))
    if isinstance(value, Sequence):
        return Type(f"[{', '.join(literal(each).text for each in value)}]")
    return Type(json.dumps(value))


def _atom(made: Type) -> str:
    """Its text, in parentheses where others follow."""
    return made.text if made.held_by == "itself" else f"({made.text})"


def braced(members: Sequence[str], lines: bool = False) -> str:
    """An object type, on one line where it fits there."""
    if not members:
        return "{}"
    line = f"{{ {'; '.join(members)} }}"
    if not lines and "\n" not in line and len(line) <= WIDTH:
        return line
    return "\n".join(["{", *(indented(member) for member in members), "}"])


def indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else line for line in text.split("\n"))


# --- words


_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def key(name: str) -> str:
    """A member's name, quoted where it is no identifier."""
    return name if _IDENTIFIER.fullmatch(name) else quoted(name)


def quoted(text: str) -> str:
    """A string literal."""
    return "'" + escaped(text, "'") + "'"


def escaped(text: str, quote: str) -> str:
    """`text` inside such quotes: whatever is not plainly visible is written by its number."""
    text = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return "".join(c if _is_plain(c) else _numbered(c) for c in text)


def _is_plain(character: str) -> bool:
    # TypeScript takes a file with U+FFFD in it for no text.
    return character.isprintable() and character != "\ufffd"


def _numbered(character: str) -> str:
    return json.dumps(character).strip('"') if character != "\x7f" else "\\x7f"


def documented(schema: Any, optional: bool = False) -> str:
    """The JSDoc of what the schema says about itself, with its line's end; else nothing."""
    if not isinstance(schema, Mapping):
        return ""
    said = schema.get("description")
    lines = said.strip().splitlines() if isinstance(said, str) else []
    tags = []
    if schema.get("deprecated") is True:
        tags.append("@deprecated")
    if isinstance(schema.get("format"), str):
        tags.append(f"@format {schema['format']}")
    if optional and "default" in schema:
        tags.append(f"@default {json.dumps(schema['default'], ensure_ascii=False)}")
    return comment(lines, tags)


def comment(lines: Sequence[str], tags: Sequence[str] = ()) -> str:
    """A JSDoc comment with its line's end; nothing where there is nothing to say."""
    gap = [""] if lines and tags else []
    all_of_them = [_harmless(line.rstrip()) for line in (*lines, *gap, *tags)]
    if not any(all_of_them):
        return ""
    if len(all_of_them) == 1:
        return f"/** {all_of_them[0]} */\n"
    return "\n".join(["/**", *(f" * {line}".rstrip() for line in all_of_them), " */\n"])


def _harmless(line: str) -> str:
    """Text that neither ends a comment nor hides or reorders what follows."""
    visible = "".join(c if _is_plain(c) or c in "\t\xa0" else "?" for c in line)
    return visible.replace("*/", "*\\/")
