"""
JSON Schema of many types at once: one set of definitions, with names that stay.

Also what one asks a finished schema. Knows types and schemas, not what they are for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, to_jsonable_python

from ._fit import ANYTHING
from ._signature import EMPTY
from ._wire import has_odd_floats

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]
Wanted = tuple[tuple[str, ...], Mode, "TypeAdapter[Any]"]
"""Where a schema belongs, which side of it is meant, and its type."""

INTO: Mode = "validation"
"""What comes to the server is what it accepts."""
OUT: Mode = "serialization"
"""What it sends is what it writes."""

REF = "#/definitions/"


class ContractError(Exception):
    """No contract can be made; the message says of what, and the way out."""


class _Generator(GenerateJsonSchema):
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def field_is_required(self, field: Any, total: bool) -> bool:
        # What has a default may be left out by who sends to us; we always write it.
        if self.mode == OUT and field["type"] != "typed-dict-field":
            return not (field.get("serialization_exclude") or "serialization_exclude_if" in field)
        return super().field_is_required(field, total)

    def dict_schema(self, schema: Any) -> Schema:
        # Older pydantics do not say which keys there may be; a pattern each of them does.
        made = super().dict_schema(schema)
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        names = {k: v for k, v in keys.items() if k not in ("type", "title", "pattern")}
        is_text = keys.get("type") == "string" or isinstance(keys.get("const"), str)
        if names and (is_text or "$ref" in names):
            made["propertyNames"] = names
        return made


def schemas_of(wanted: Iterable[Wanted]) -> tuple[dict[tuple[str, ...], Schema], dict[str, Schema]]:
    """The schema for each place, and the definitions that they refer to as `#/definitions/X`.

    Raises `ContractError`, which names all places whose types have none.
    """
    # In one order whatever was imported first: names of definitions may depend on it.
    inputs = sorted(wanted, key=lambda each: each[:2])
    try:
        found, whole = _generated(inputs)
    except Exception as error:
        raise ContractError("\n".join(_blamed(inputs)) or str(error)) from error
    return found, dict(sorted(whole.get("$defs", {}).items()))


def _generated(inputs: list[Wanted]) -> tuple[dict[tuple[str, ...], Schema], Schema]:
    found, whole = TypeAdapter.json_schemas(
        inputs,
        ref_template=REF + "{model}",
        schema_generator=_Generator,
    )
    return {place: schema for (place, _), schema in found.items()}, whole


def _blamed(inputs: list[Wanted]) -> Iterator[str]:
    for place, mode, adapts in inputs:
        try:
            _generated([(place, mode, adapts)])
        except Exception as error:
            reason = str(error).splitlines()[0]
            yield (
                f"{told(place)} has a type without JSON Schema: {reason}; give the type one by "
                "Annotated[..., WithJsonSchema({...})]"
            )


def told(place: tuple[str, ...]) -> str:
    """A place as people call it: `route 'sum': its payload`."""
    kind, name, *what = place
    kind = {"pushes": "push"}.get(kind, kind.removesuffix("s"))
    return f"{kind} {name!r}: its {' '.join(what).replace('_', ' ')}"


# --- a tree with types in it, and one with their schemas


@dataclass(frozen=True, slots=True)
class Typed:
    """Where a schema will stand."""

    mode: Mode
    type: "TypeAdapter[Any]"
    default: Any = EMPTY


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the schema of an object will stand, of which only the members have types."""

    members: Mapping[str, Typed]


def filled(tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Schema]]:
    """The tree with a schema in place of each type, and the definitions that they refer to as
    `#/definitions/X`. Raises `ContractError`, which names all places whose types have none."""
    found, definitions = schemas_of(_wanted(tree, ()))
    return _filled_in(tree, (), found), definitions


def types_in(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], "TypeAdapter[Any]"]]:
    """Each type in the tree, and its place."""
    return ((place, adapts) for place, _, adapts in _wanted(tree, ()))


def _wanted(node: Any, place: tuple[str, ...]) -> Iterator[Wanted]:
    if isinstance(node, Typed):
        yield place, node.mode, node.type
    for name, inner in _inside(node).items():
        yield from _wanted(inner, (*place, name))


def _filled_in(node: Any, place: tuple[str, ...], found: Mapping[tuple[str, ...], Schema]) -> Any:
    if isinstance(node, Typed):
        return found[place] | _default(node)
    inner = {n: _filled_in(each, (*place, n), found) for n, each in _inside(node).items()}
    if not isinstance(node, Keys):
        return inner if isinstance(node, dict) else node
    required = [n for n, typed in node.members.items() if typed.default is EMPTY]
    schema: Schema = {"type": "object", "properties": inner}
    return schema | ({"required": required} if required else {})


def _inside(node: Any) -> Mapping[str, Any]:
    if isinstance(node, Keys):
        return node.members
    return node if isinstance(node, dict) else {}


def _default(typed: Typed) -> Schema:
    if typed.default is EMPTY or (typed.default is None and typed.type is ANYTHING):
        return {}
    try:
        default = to_jsonable_python(typed.default)
    except PydanticSerializationError:
        return {}
    return {} if has_odd_floats(default) else {"default": default}  # JSON has no infinity


# --- what one asks a schema


def resolved(schema: Any, definitions: Mapping[str, Schema]) -> Schema:
    """What a reference leads to; itself where it is none."""
    seen: set[str] = set()
    while isinstance(schema, dict) and isinstance(ref := schema.get("$ref"), str):
        if ref in seen:
            return {}
        seen.add(ref)
        schema = definitions.get(ref.removeprefix(REF), {})
    return schema if isinstance(schema, dict) else {}


def takes_null(schema: Any, definitions: Mapping[str, Schema]) -> bool:
    """Whether null is of this schema."""
    schema = resolved(schema, definitions)
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return any(takes_null(arm, definitions) for arm in schema[name])
    if "allOf" in schema:
        return all(takes_null(part, definitions) for part in schema["allOf"])
    if "enum" in schema:
        return None in schema["enum"]
    if "const" in schema:
        return schema["const"] is None
    kinds = schema.get("type", "null")
    return kinds == "null" or (isinstance(kinds, list) and "null" in kinds)


# --- schemas that mean the same, made the same

WORDS = frozenset(
    (
        *("title", "description", "examples", "example", "$comment"),
        *("default", "deprecated", "readOnly", "writeOnly"),
    )
)
"""What a schema says to people, and what changes no value."""

OF_NAMES = ("properties", "patternProperties", "$defs", "dependentSchemas")
OF_ONE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
OF_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")


def canonical(schema: Any) -> Any:
    """The same types, as alike as can be whichever pydantic wrote them, and without words."""
    if not isinstance(schema, dict):
        return {"not": {}} if schema is False else {}
    plain = {k: _canonical(k, v) for k, v in schema.items() if k not in WORDS}
    if "const" in plain:
        plain["enum"] = [plain.pop("const")]
    if "enum" in plain:
        plain.pop("type", None)
    if plain.get("additionalProperties") == {} and not plain.get("properties"):
        # Of a dict it says nothing; a model has room for more, where others ignore it.
        del plain["additionalProperties"]
    if list(plain) == ["allOf"] and len(plain["allOf"]) == 1:
        return plain["allOf"][0]
    return plain


def _canonical(name: str, value: Any) -> Any:
    if name in OF_NAMES:
        return {k: canonical(v) for k, v in value.items()}
    if name in OF_ONE and not isinstance(value, list):
        return canonical(value)
    if name in OF_MANY:
        parts = [canonical(part) for part in value]
        return parts if name == "prefixItems" else sorted(parts, key=as_text)
    if name in ("required", "enum", "type") and isinstance(value, list):
        return sorted(value, key=as_text)
    if name == "discriminator" and isinstance(value, dict):
        return {"propertyName": value.get("propertyName")}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_text(value: Any) -> str:
    """JSON in one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
