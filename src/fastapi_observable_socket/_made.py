"""
Files that are made of a contract: what belongs into them, and whether they say it.
"""

from collections.abc import Mapping
from pathlib import Path

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
