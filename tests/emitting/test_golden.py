"""Files that are kept, and must be what they would be made of today."""

from pathlib import Path

import pydantic
import pytest

from fastapi_observable_socket._python import python
from fastapi_observable_socket._typescript import typescript
from fastapi_observable_socket.contract import contract_of

from .conftest import module_at

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 12),
    reason="older pydantic says less of dictionaries",
)
def test_the_types_that_the_compilers_are_tried_on_are_those_of_the_torture_router(torture):
    path = ROOT / "js" / "tests" / "types" / "emitted" / "routes.ts"
    made = typescript(contract_of(torture.router()).as_json())
    assert path.read_text(encoding="utf-8") == made, "write it anew: make types"


def test_the_routes_that_type_checkers_are_tried_on_are_those_of_the_shop():
    folder = ROOT / "tests" / "typing"
    made = python(contract_of(module_at(folder / "shop.py").router))
    assert (folder / "shop_routes.py").read_text(encoding="utf-8") == made, (
        "write it anew: make types"
    )
