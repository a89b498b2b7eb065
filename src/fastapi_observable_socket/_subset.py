"""
Whether all values of one schema are values of another, and where not.

It knows schemas as `_schemas.canonical` writes them, and neither routes nor directions.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ._schemas import REF, Schema, as_text, canonical

Kind = Literal[
    "value", "absent", "missing", "extra", "refused", "other", "bound", "format", "unknown"
]

MOST = 100
"""Escapes that are told of one pair, at most: nobody reads more."""


@dataclass(frozen=True, slots=True)
class Escape:
    """One way in which a value of `a` is none of `b`.

    value    `what` it may be, and may not there: a type, a text, an arm of a union
    absent   its member `what` may be absent, and may not there
    missing  it has no member `what`, which must be there
    extra    its member `what` is not named there, and so allowed: no escape, but worth a word
    refused  its member `what` is not allowed there
    other    its members that are not named are not allowed there
    bound    it need not be `what`, as it must be there
    format   it need not have the format `what`
    unknown  it is described in a way that cannot be judged
    """

    path: str
    kind: Kind
    what: str = ""

    def under(self, path: str) -> "Escape":
        return replace(self, path=path + self.path)


@dataclass(frozen=True, slots=True)
class _Arm:
    """A schema that is no union, with its name if it has one. An `enum` holds one value."""

    schema: Schema
    name: str = ""

    @property
    def kind(self) -> str:
        """Its JSON type; "" for one that says nothing of it."""
        if "enum" in self.schema:
            return _kind_of(self.schema["enum"][0])
        if "type" in self.schema:
            return str(self.schema["type"])
        if "properties" in self.schema or "required" in self.schema:
            return "object"
        return "array" if "prefixItems" in self.schema or "items" in self.schema else ""

    @property
    def is_anything(self) -> bool:
        return not self.schema

    def __str__(self) -> str:
        if "enum" in self.schema:
            return json.dumps(self.schema["enum"][0], ensure_ascii=False)
        return self.name or _CALLED.get(self.kind, self.kind) or "anything"


_CALLED = {
    "null": "null",
    "boolean": "a boolean",
    "integer": "an integer",
    "number": "a number",
    "string": "a text",
    "array": "a list",
    "object": "an object",
}


class Subset:
    """Compares schemas that refer to `definitions` of `a` with those that refer to `b`'s."""

    def __init__(self, a: Mapping[str, Schema], b: Mapping[str, Schema]) -> None:
        self._a = {name: canonical(schema) for name, schema in a.items()}
        self._b = {name: canonical(schema) for name, schema in b.items()}
        self._known: dict[tuple[str, str], list[Escape]] = {}

    def escapes(self, a: Any, b: Any) -> list[Escape]:
        """Why a value of `a` may be none of `b`; nothing where all are."""
        return self._escapes(canonical(a), canonical(b))

    def _escapes(self, a: Schema, b: Schema) -> list[Escape]:
        key = as_text(a), as_text(b)
        if key not in self._known:
            # Where it leads back to itself, it is as good as the rest of it.
            self._known[key] = []
            self._known[key] = list(dict.fromkeys(self._compared(a, b)))[:MOST]
        return self._known[key]

    def _compared(self, a: Schema, b: Schema) -> Iterator[Escape]:
        theirs = list(_arms(b, self._b))
        if any(arm.is_anything for arm in theirs):
            return
        mine = list(_arms(a, self._a))
        for arm in mine:
            alike = [other for other in theirs if _may_hold(other, arm)]
            if len(mine) > 1 or len(theirs) > 1:
                # Of a union, another arm is not this one changed.
                alike = [other for other in alike if _same_tag(arm, other) is not False]
            yield from self._in_some(arm, alike)

    def _in_some(self, arm: _Arm, alike: list[_Arm]) -> Iterator[Escape]:
        own = [other for other in alike if other.name and other.name == arm.name]
        own = own or [other for other in alike if _same_tag(arm, other)]
        found = [self._in_one(arm, other) for other in own or alike]
        # Of several, one whose types it has; better one whose bounds it keeps as well.
        for harmless in (("extra",), ("extra", "bound")):
            fitting = [each for each in found if all(e.kind in harmless for e in each)]
            if fitting:
                yield from fitting[0]
                return
        if len(found) == 1:
            yield from found[0]
        else:
            yield Escape("", "value", str(arm))

    def _in_one(self, a: _Arm, b: _Arm) -> list[Escape]:
        if "enum" in a.schema:
            return []  # whether it may be there was asked before
        if "allOf" in a.schema or "allOf" in b.schema or "not" in b.schema:
            alike = as_text(a.schema) == as_text(b.schema)
            return [] if alike else [Escape("", "unknown")]
        inside = {"object": self._object, "array": self._array}.get(a.kind)
        within = [] if inside is None else list(inside(a.schema, b.schema))
        return [*_bounds(a.schema, b.schema), *within]

    def _object(self, a: Schema, b: Schema) -> Iterator[Escape]:
        a, b = _with_names(a), _with_names(b)
        mine, theirs = a.get("properties", {}), b.get("properties", {})
        rest_a, rest_b = a.get("additionalProperties"), b.get("additionalProperties")
        for name in b.get("required", ()):
            if name not in a.get("required", ()):
                yield Escape("", "absent" if name in mine else "missing", name)
        for name, schema in mine.items():
            if name in theirs:
                yield from self._at(f".{name}", schema, theirs[name])
            elif rest_b == _NOTHING or not _may_name(b, name, self._b):
                yield Escape("", "refused", name)
            elif rest_b:
                yield from self._at(f".{name}", schema, rest_b)
            else:
                yield Escape("", "extra", name)
        if rest_a and rest_a != _NOTHING:
            for name in sorted(theirs.keys() - mine.keys()):
                if _may_name(a, name, self._a):
                    yield from self._at(f".{name}", rest_a, theirs[name])
        if rest_b == _NOTHING and rest_a != _NOTHING:
            yield Escape("", "other")
        elif rest_a != _NOTHING and (rest_a is not None or not mine):
            if rest_b is not None:
                yield from self._at(".*", rest_a or {}, rest_b)
            if "propertyNames" in b:
                yield from self._at(" key", _names(a), _names(b))
        if a.get("patternProperties", {}) != b.get("patternProperties", {}):
            yield Escape("", "unknown")

    def _array(self, a: Schema, b: Schema) -> Iterator[Escape]:
        first_a, first_b = a.get("prefixItems", []), b.get("prefixItems", [])
        if first_b:
            # How long a tuple is belongs to its type.
            yield from _lengths(a, b)
        for place in range(min(max(len(first_a), len(first_b)), a.get("maxItems", MOST))):
            item_a, item_b = _item(a, place), _item(b, place)
            yield from self._at(f"[{place}]", item_a, item_b)
        if a.get("maxItems", MOST) > len(first_a):
            yield from self._at("[]", a.get("items", {}), b.get("items", {}))

    def _at(self, path: str, a: Schema, b: Schema) -> Iterator[Escape]:
        return (escape.under(path) for escape in self._escapes(a, b))


_NOTHING: Schema = {"not": {}}


def _with_names(schema: Schema) -> Schema:
    """A dict whose keys have a pattern, which pydantic writes in a way of its own, as other dicts
    with some keys alone."""
    patterns = schema.get("patternProperties", {})
    if len(patterns) != 1 or schema.keys() & {"properties", "additionalProperties"}:
        return schema
    ((pattern, values),) = patterns.items()
    plain = {name: value for name, value in schema.items() if name != "patternProperties"}
    names = {**plain.get("propertyNames", {}), "pattern": pattern}
    return {**plain, "additionalProperties": values, "propertyNames": names}


def _names(schema: Schema) -> Schema:
    """What the names of an object's members are: texts, as in all JSON."""
    return {"type": "string", **schema.get("propertyNames", {})}


def _may_name(schema: Schema, name: str, definitions: Mapping[str, Schema]) -> bool:
    """Whether a member may have that name, as far as those that are listed tell."""
    wanted = _Arm({"enum": [name]})
    return any(_may_hold(arm, wanted) for arm in _arms(_names(schema), definitions))


def _lengths(a: Schema, b: Schema) -> Iterator[Escape]:
    least, most = a.get("minItems", 0), a.get("maxItems")
    if "maxItems" in b and most is None:
        yield Escape("", "value", "a list of any length")
    elif "maxItems" in b and most > b["maxItems"]:
        yield Escape("", "value", f"a list of {most} items")
    if least < b.get("minItems", 0):
        yield Escape("", "value", f"a list of {least} items")


def _item(schema: Schema, place: int) -> Any:
    first = schema.get("prefixItems", [])
    return first[place] if place < len(first) else schema.get("items", {})


def _arms(
    schema: Schema,
    definitions: Mapping[str, Schema],
    name: str = "",
    within: frozenset[str] = frozenset(),
) -> Iterator[_Arm]:
    """The parts of which a value is of one at least, references followed."""
    ref = schema.get("$ref")
    if isinstance(ref, str):
        target = ref.removeprefix(REF)
        if target not in within:
            found = definitions.get(target, {})
            yield from _arms(found, definitions, _plain(target), within | {target})
        return
    for union in ("anyOf", "oneOf"):
        if union in schema:
            for part in schema[union]:
                yield from _arms(part, definitions, "", within)
            return
    if "enum" in schema:
        yield from (_Arm({"enum": [value]}) for value in schema["enum"])
    elif isinstance(schema.get("type"), list):
        yield from (_Arm(schema | {"type": kind}, name) for kind in schema["type"])
    elif schema == {"type": "boolean"}:
        yield from (_Arm({"enum": [value]}) for value in (False, True))
    else:
        yield _Arm(schema, name)


def _plain(name: str) -> str:
    """A definition's name, whichever side of it this is."""
    return name.removesuffix("-Input").removesuffix("-Output")


def _may_hold(other: _Arm, arm: _Arm) -> bool:
    """Whether a value of `arm` may be of `other`, as far as types and single values tell."""
    if arm.is_anything:
        return False
    if "enum" in other.schema:
        return "enum" in arm.schema and as_text(arm.schema) == as_text(other.schema)
    return other.kind in ("", arm.kind) or (other.kind == "number" and arm.kind == "integer")


def _same_tag(a: _Arm, b: _Arm) -> bool | None:
    """Whether both are the same arm of a tagged union, by members that have single values; None
    where they have no such members."""
    mine, theirs = a.schema.get("properties", {}), b.schema.get("properties", {})
    tags = [n for n, s in mine.items() if "enum" in s and "enum" in theirs.get(n, {})]
    if not tags:
        return None
    return any({*map(as_text, mine[n]["enum"])} & {*map(as_text, theirs[n]["enum"])} for n in tags)


def _kind_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    for kind, name in ((int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


# --- bounds

LEAST = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "minLength": "of at least {} characters",
    "minItems": "of at least {} items",
    "minProperties": "of at least {} members",
}
MOST_OF = {
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "maxLength": "of at most {} characters",
    "maxItems": "of at most {} items",
    "maxProperties": "of at most {} members",
}
"""What a number under these names means for a value."""

TWINS = {
    "minimum": "exclusiveMinimum",
    "exclusiveMinimum": "minimum",
    "maximum": "exclusiveMaximum",
    "exclusiveMaximum": "maximum",
}


def _bounds(a: Schema, b: Schema) -> Iterator[Escape]:
    for name, words in (LEAST | MOST_OF).items():
        if name.endswith("Items") and "prefixItems" in b:
            continue
        if name in b and not _within(name, a, b[name]):
            yield Escape("", "bound", words.format(b[name]))
    step = b.get("multipleOf")
    if step is not None and a.get("multipleOf", 0.5 * step) % step:
        yield Escape("", "bound", f"a multiple of {step}")
    if "pattern" in b and a.get("pattern") != b["pattern"]:
        yield Escape("", "bound", f"matched by {b['pattern']}")
    if b.get("uniqueItems") and not a.get("uniqueItems"):
        yield Escape("", "bound", "without repetition")
    for name in ("format", "contentMediaType"):
        if name in b and a.get(name) != b[name]:
            yield Escape("", "format", str(b[name]))


def _within(name: str, a: Schema, bound: float) -> bool:
    """Whether all of `a` is on the right side of a bound of that name."""
    sign = 1 if name in LEAST else -1
    own, twin = a.get(name), a.get(TWINS.get(name, ""))
    if own is not None and sign * own >= sign * bound:
        return True
    if twin is None:
        return False
    # What is above 3 is at least 3; what is at least 3 need not be above 3.
    return sign * twin > sign * bound or (twin == bound and not name.startswith("exclusive"))
