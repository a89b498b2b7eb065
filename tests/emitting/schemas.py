"""
Contracts that nobody would write: what the emitter is given when it shall never fail.

    python tests/emitting/schemas.py FOLDER [NUMBER]

writes the TypeScript of so many of them into FOLDER, always the same, for compilers to judge.
"""

import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fastapi_observable_socket._typescript import typescript

Json = Any

NAMES = ["A", "B", "C", "Page_A_", "PageA", "A-Input", "A-Output", "string", "Routes", "a.b", "9"]
SPECIAL = ["", "a", "kind", "*/", "'", "`${x}`", "\\", "\n", "\u2028", "\ud800", "readonly", "get"]
SPECIAL += ["__proto__", "constructor", "new", "9", "ü", "\u202e", "// @ts-expect-error", "static"]

texts = st.sampled_from(SPECIAL) | st.text(max_size=5)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
references = st.sampled_from([*NAMES, "Gone"]).map(lambda name: {"$ref": f"#/definitions/{name}"})
kinds = st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array", "x"])


def objects(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(texts, inner, max_size=3),
            "required": st.lists(texts, max_size=3),
            "additionalProperties": inner,
            "patternProperties": st.dictionaries(texts, inner, min_size=1, max_size=2),
            "propertyNames": inner,
            "title": texts,
            "description": texts,
        },
    )


def arrays(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": inner,
            "prefixItems": st.lists(inner, max_size=3),
            "minItems": st.integers(0, 3),
            "maxItems": st.integers(0, 3),
        },
    )


def combined(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    several = st.lists(inner, max_size=3)
    tagged = st.lists(objects(inner) | references, min_size=1, max_size=3)
    discriminator = st.fixed_dictionaries({"propertyName": texts})
    return (
        st.fixed_dictionaries({}, optional={"anyOf": several, "allOf": several, "type": kinds})
        | st.fixed_dictionaries({"oneOf": tagged, "discriminator": discriminator})
        | st.fixed_dictionaries({"type": st.lists(kinds, max_size=3), "properties": st.just({})})
    )


schemas = st.recursive(
    st.booleans()
    | references
    | st.fixed_dictionaries({"const": values})
    | st.fixed_dictionaries({"enum": st.lists(values, max_size=3)})
    | st.fixed_dictionaries({"type": kinds}, optional={"format": texts, "default": values}),
    lambda inner: objects(inner) | arrays(inner) | combined(inner),
    max_leaves=8,
)
perhaps = st.none() | schemas
told = {"summary": texts, "description": texts, "deprecated": st.booleans()}
errors = st.dictionaries(
    st.sampled_from(["404", "409"]),
    st.fixed_dictionaries({"description": texts, "payload": perhaps}),
    max_size=2,
)
routes = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["call", "stream"]),
        "payload": perhaps,
        "payload_required": st.booleans(),
        "headers": st.none() | objects(schemas),
        "result": perhaps,
        "item": perhaps,
        "progress": perhaps,
        "errors": errors,
        **told,
    }
)
topic_names = st.lists(
    st.sampled_from(["rooms", "/", "{id}", "{name}", "{class}", "{rest:path}", "1", "`", "$", "é"]),
    min_size=1,
    max_size=4,
).map("".join)
topics = st.fixed_dictionaries(
    {
        "parameters": st.fixed_dictionaries({"id": st.just({"type": "integer"})}),
        "event": schemas,
        "snapshot": perhaps,
        "publish_event": perhaps,
        "errors": errors,
        **told,
    }
)
contracts = st.fixed_dictionaries(
    {
        "title": texts,
        "version": texts,
        "hash": texts,
        "routes": st.dictionaries(texts, routes, max_size=2),
        "topics": st.dictionaries(topic_names, topics, max_size=4),
        "pushes": st.dictionaries(
            texts, st.fixed_dictionaries({"payload": perhaps, **told}), max_size=1
        ),
        "calls": st.dictionaries(
            texts,
            st.fixed_dictionaries({"payload": perhaps, "result": perhaps, **told}),
            max_size=1,
        ),
        "definitions": st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, schemas)),
    }
)


def main(folder: Path, number: int) -> None:
    made: list[str] = []

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(contracts)
    def make(contract: Json) -> None:
        made.append(typescript(contract, register=False))

    make()
    folder.mkdir(parents=True, exist_ok=True)
    for at, text in enumerate(dict.fromkeys(made)):
        (folder / f"contract{at}.ts").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 150)
