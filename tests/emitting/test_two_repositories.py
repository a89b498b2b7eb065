"""A client in another repository: its models are made of the schema, as docs/typescript.md says."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fastapi_observable_socket._made import document
from fastapi_observable_socket.client import Route
from fastapi_observable_socket.contract import contract_of

from .conftest import module_at

pytestmark = pytest.mark.slow


def test_models_that_are_made_of_the_schema_take_and_give_the_same(
    torture: ModuleType, tmp_path: Path
):
    pytest.importorskip("datamodel_code_generator")
    (tmp_path / "schema.json").write_text(document(contract_of(torture.router()), "--schema"))
    options = ["--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.11"]
    files = ["--input", "schema.json", "--output", "their_models.py"]
    subprocess.run(
        [sys.executable, "-m", "datamodel_code_generator", *files, *options],
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    models = module_at(tmp_path / "their_models.py")
    route = Route("both/owner", models.OwnerInput, models.OwnerOutput)
    sent = route.takes.dump_json(models.OwnerInput(friends=[models.OwnerInput()]), by_alias=True)
    ours = torture.Owner.model_validate_json(sent)
    assert route.gives.validate_json(ours.model_dump_json()).friends[0].pets == []
