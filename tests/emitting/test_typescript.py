"""The TypeScript of a contract. That it compiles, compilers say: js/tests/built."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from fastapi_observable_socket._ts_type import Definitions, comment, key, quoted
from fastapi_observable_socket._typescript import spelled, typescript

from .schemas import contracts

CAT = {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}}
DOG = {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]}
COLOUR = {"enum": ["red", "green"], "type": "string"}
BOX = {"Cat": CAT, "Dog": DOG, "Colour": COLOUR}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/definitions/{name}"}


def lines(text: str, start: str) -> str:
    """The declaration that begins so."""
    return text[text.index(start) :].split("\n\n")[0]


# --- types


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "unknown"),
        (True, "unknown"),
        (False, "never"),
        ({"type": "string", "format": "date-time"}, "string"),
        ({"type": "integer", "minimum": 1}, "number"),
        ({"type": ["integer", "null"]}, "number | null"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "string | null"),
        ({"anyOf": [{"type": "number"}, {"type": "integer"}]}, "number"),
        ({"anyOf": [{}, {"type": "string"}]}, "unknown"),
        ({"const": "it's"}, r"'it\'s'"),
        ({"const": {"a": [1, None]}}, "{ a: [1, null] }"),
        ({"enum": ["a", 1, True, None]}, "'a' | 1 | true | null"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "('a' | 'b')[]"),
        ({"type": "array"}, "unknown[]"),
        (ref("Cat"), "Cat"),
        (ref("Gone"), "unknown"),
        ({"$ref": "https://example.com/schema"}, "unknown"),
        ({**ref("Cat"), "description": "Mine"}, "Cat"),
        ({"allOf": [ref("Cat"), ref("Dog")]}, "Cat & Dog"),
        ({"type": "array", "items": {"allOf": [ref("Cat"), ref("Dog")]}}, "(Cat & Dog)[]"),
        ({"not": {"type": "string"}}, "unknown"),
        ({"type": "lemon"}, "unknown"),
    ],
)
def test_each_schema_has_one_type(schema: Any, text: str):
    assert Definitions(BOX, {n: n for n in BOX}).type_of(schema).text == text


A, B, C = {"type": "string"}, {"type": "number"}, {"type": "boolean"}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"prefixItems": [A, B], "minItems": 2, "maxItems": 2}, "[string, number]"),
        ({"prefixItems": [A, B], "minItems": 1, "items": False}, "[string, number?]"),
        ({"prefixItems": [A, B], "minItems": 2, "items": C}, "[string, number, ...boolean[]]"),
        ({"prefixItems": [A], "minItems": 1}, "[string, ...unknown[]]"),
        ({"maxItems": 0}, "[]"),
        (
            {"prefixItems": [{"anyOf": [A, B]}], "minItems": 0, "items": False},
            "[(string | number)?]",
        ),
    ],
)
def test_tuples_have_their_places(schema: Any, text: str):
    assert Definitions({}, {}).type_of({"type": "array", **schema}).text == text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "{ [key: string]: unknown }"),
        ({"additionalProperties": B}, "{ [key: string]: number }"),
        ({"additionalProperties": False}, "{ [key: string]: never }"),
        ({"patternProperties": {"^x": B}}, "{ [key: string]: number }"),
        ({"properties": {"a": A}}, "{ a?: string }"),
        ({"properties": {"a-b": A}, "required": ["a-b"]}, "{ 'a-b': string }"),
        ({"properties": {"a": A}, "additionalProperties": False}, "{ a?: string }"),
        (
            {"properties": {"a": A}, "required": ["a"], "additionalProperties": B},
            "{ a: string; [key: string]: number | string }",
        ),
        (
            {"properties": {"a": A}, "additionalProperties": True},
            "{ a?: string; [key: string]: unknown }",
        ),
        (
            {"propertyNames": ref("Colour"), "additionalProperties": B},
            "{ [key in Colour]?: number }",
        ),
        ({"propertyNames": A, "additionalProperties": B}, "{ [key: string]: number }"),
    ],
)
def test_objects_have_their_members(schema: Any, text: str):
    known = Definitions(BOX, {n: n for n in BOX})
    assert known.type_of({"type": "object", **schema}).text == text


def test_in_a_union_by_discriminator_the_tag_is_needed_even_where_it_has_a_default():
    schema = {"oneOf": [ref("Cat"), ref("Dog")], "discriminator": {"propertyName": "kind"}}
    made = Definitions(BOX, {n: n for n in BOX}).type_of(schema)
    assert made.text == "(Cat & { kind: 'cat' }) | Dog"


@pytest.mark.parametrize(
    ("definitions", "text"),
    [
        ({"A": {"anyOf": [ref("A"), {"type": "null"}]}}, "export type A = null"),
        ({"A": ref("A")}, "export type A = unknown"),
        ({"A": {"allOf": [ref("B"), CAT]}, "B": ref("A")}, "export type B = unknown"),
        ({"A": {"type": "array", "items": ref("A")}}, "export type A = A[]"),
    ],
)
def test_no_alias_is_part_of_itself_but_within_a_member(definitions: Any, text: str):
    assert text in typescript({"definitions": definitions})


# --- words


@pytest.mark.parametrize(
    "text", ["a", "$a_1", "a-b", "1", "", "ü", "it's", "\n", "\u2028", "\ud800"]
)
def test_names_and_texts_are_ascii_identifiers_or_escaped(text: str):
    assert key(text) == (text if text in ("a", "$a_1") else quoted(text))
    quoted(text).encode()
    assert len(quoted(text).splitlines()) == 1


def test_a_comment_ends_where_it_should_and_hides_nothing():
    assert comment(["a */ b"]) == "/** a *\\/ b */\n"
    assert comment(["a\u202eb\x00"]) == "/** a?b? */\n"
    assert comment(["one", "", "two"], ["@deprecated"]) == (
        "/**\n * one\n *\n * two\n *\n * @deprecated\n */\n"
    )
    assert comment(["", " "]) == ""


def test_members_carry_what_the_schema_says_of_them():
    members = {
        "at": {"type": "string", "format": "date", "description": "When"},
        "old": {"type": "integer", "deprecated": True, "default": 3},
    }
    text = typescript({"definitions": {"X": {"type": "object", "properties": members}}})
    assert "/**\n   * When\n   *\n   * @format date\n   */\n  at?: string" in text
    assert "/**\n   * @deprecated\n   * @default 3\n   */\n  old?: number" in text


# --- names


def test_names_are_valid_told_apart_and_the_same_in_any_order():
    names = ["Page_Item_", "PageItem", "Sum-Input", "Sum-Output", "a.b.C", "string", "Routes", "9"]
    wanted = {
        "PageItem": "PageItem",
        "Page_Item_": "PageItem2",
        "Sum-Input": "SumInput",
        "Sum-Output": "Sum",
        "a.b.C": "ABC",
        "string": "stringModel",
        "Routes": "RoutesModel",
        "9": "Model9",
    }
    for _ in range(5):
        random.shuffle(names)
        assert spelled(dict.fromkeys(names)) == wanted


# --- maps


ROUTES = {
    "math/sum": {
        "kind": "call",
        "summary": "Sum of numbers",
        "description": "All of them.",
        "deprecated": True,
        "payload": {"type": "array", "items": B},
        "payload_required": True,
        "result": B,
        "errors": {"404": {"description": "Not found", "payload": None}},
    },
    "logs": {
        "kind": "stream",
        "payload": A,
        "payload_required": False,
        "item": A,
        "result": None,
        "progress": B,
    },
    "logout": {"kind": "call", "payload": None, "payload_required": False, "result": None},
}


def test_routes_say_what_they_take_and_give():
    text = typescript({"routes": ROUTES})
    assert "  'math/sum': { payload: number[]; result: number; errors: {" not in text
    assert "  logs: { payload?: string; progress: number; item: string; result: null }" in text
    assert "  logout: { result: null }" in text
    route = lines(text, "export interface Routes")
    assert "* Sum of numbers\n   *\n   * All of them.\n   *\n   * @deprecated" in route
    assert "404: ErrorPayload" in route
    assert "import type { ErrorPayload } from 'fastapi-observable-socket'" in text


def test_an_error_that_is_declared_may_also_come_with_the_usual_payload():
    """It was raised without a model, which the declaration does not forbid."""
    errors = {"404": {"payload": B}, "409": {"payload": {"anyOf": [A, {"type": "null"}]}}}
    text = typescript({"topics": {"news": {"event": A, "errors": errors}}})
    assert "404: number | ErrorPayload" in text
    assert "409: (string | null) | ErrorPayload" in text


def test_what_is_used_is_imported_and_nothing_else():
    """A page that is compiled with `noUnusedLocals` does not compile otherwise."""
    named = {"ErrorPayload": {"type": "object", "properties": {"a": A}}}
    assert "import" not in typescript({"definitions": named, "routes": {}})


def test_what_the_server_says_by_itself_is_left_open_where_nothing_is_declared():
    bare = typescript({"routes": {}})
    assert "interface Routes {}" in bare
    assert "interface Topics {}" in bare
    assert "Pushes" not in bare
    assert "Handlers" not in bare
    assert "import" not in bare
    full = typescript(
        {
            "pushes": {"news": {"payload": A}, "tick": {"payload": None}},
            "calls": {"confirm": {"payload": A, "result": C}, "reload": {}},
        }
    )
    assert "export interface Pushes {\n  news: string\n  tick: null\n}" in full
    assert "  confirm: { payload: string; result: boolean }\n  reload: {}\n" in full
    registered = lines(full, "declare module")
    assert "pushes: Pushes" in registered
    assert "handlers: Handlers" in registered


def test_a_register_may_be_left_out_and_a_declaration_file_has_no_value():
    whole = typescript({"hash": "abc"})
    assert "hash: 'abc' } as const" in whole
    assert "declare module 'fastapi-observable-socket'" in whole
    assert "declare module" not in typescript({}, register=False)
    assert " const " not in typescript({}, ambient=True)


def topic(event: Any, snapshot: Any = None, **parameters: Any) -> Any:
    return {"event": event, "snapshot": snapshot, "parameters": parameters}


def test_a_parameter_is_a_number_or_a_text():
    given = {
        "orders/{id}": topic(A, id={"type": "integer"}),
        "rooms/{name}": topic(B, C, name={"type": "string"}),
        "files/{class:path}": topic(B, **{"class": {"type": "string"}}),
        "a`${b}/{x}".replace("{b}", "b"): topic(B, x=A),
    }
    text = typescript({"topics": given})
    assert "  [id: `orders/${number}`]: { event: string }" in text
    assert "  [name: `rooms/${string}`]: { event: number; snapshot: boolean }" in text
    assert "  [topic: `files/${string}`]: { event: number }" in text
    assert "  [x: `a\\`$b/${string}`]: { event: number }" in text


def test_a_pattern_has_room_for_the_topics_that_typescript_takes_for_it():
    given = {
        "rooms/{a}": topic(A, a=A),
        "rooms/{a}/typing": topic(B, C, a=A),
        "orders/{n}": topic(A, n={"type": "integer"}),
        "orders/all": topic(C),
    }
    text = lines(typescript({"topics": given}), "export interface Topics")
    assert "`rooms/${string}`]: { event: string; snapshot?: undefined } | { event: number; " in text
    assert "`rooms/${string}/typing`]: { event: number; snapshot: boolean }" in text
    assert "`orders/${number}`]: { event: string }" in text
    assert "'orders/all': { event: boolean }" in text


# --- all of it


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(contracts)
def test_any_contract_can_be_written_and_always_the_same(contract: Any):
    text = typescript(contract)
    text.encode()
    assert text == typescript(contract)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in text)
