"""
Files that are made of a contract: what belongs into them, and whether they say it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._contract import Contract
from ._python import python
from ._typescript import typescript


def texts(
    contract: Contract, typescript_: Path | None, python_: Path | None, register: bool
) -> dict[Path, str]:
    """What belongs into each of the files that are wanted."""
    made = {}
    if typescript_ is not None:
        ambient = typescript_.name.endswith(".d.ts")
        made[typescript_] = typescript(contract.as_json(), register, ambient)
    if python_ is not None:
        made[python_] = python(contract)
    return made


def document(contract: Contract, form: str = "--json") -> str:
    """The contract as one document, in the form that the command line calls so."""
    if form == "--asyncapi":
        return as_text(contract.as_asyncapi())
    if form == "--schema":
        return as_text(_schema(contract.as_json()))
    return as_text(contract.as_json())


def _schema(contract: Mapping[str, Any]) -> dict[str, Any]:
    """The models alone: a contract is no JSON Schema, and its words mean something else there."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": contract["title"],
        "definitions": contract["definitions"],
    }


def as_text(made: Any) -> str:
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def is_stale(file: Path, text: str) -> bool:
    """Whether the file says anything else, or is not there."""
    # The same bytes on each system, whatever it ends its lines with.
    return not file.exists() or file.read_bytes() != text.encode()


def check(made: Mapping[Path, str]) -> list[str]:
    """What is to be said of each file that is not what it would be now."""
    return [
        f"{file} is stale: write it anew, by the same command without --check"
        for file, text in made.items()
        if str(file) != "-" and is_stale(file, text)
    ]
