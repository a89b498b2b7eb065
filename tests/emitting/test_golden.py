"""What the repository keeps that is made of contracts, and what that is good for."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastapi_observable_socket
from fastapi_observable_socket._typescript import typescript
from fastapi_observable_socket.contract import contract_of

ROOT = Path(__file__).parents[2]


def test_the_docs_show_what_is_made_of_their_server():
    page = (ROOT / "docs" / "typescript.md").read_text()
    server, types = (
        re.search(f"^```{kind}\n(.*?)^```", page, re.M | re.S)[1] for kind in ("python", "ts")
    )
    made: dict[str, Any] = {"__name__": "shown"}
    exec(compile(server, "docs", "exec"), made)
    text = typescript(contract_of(made["app"]).as_json())
    hashes = "hash: '[^']*'"  # of which older pydantic have their own
    assert re.sub(hashes, "", text) == re.sub(hashes, "", types)


@pytest.mark.slow
def test_nothing_that_is_kept_is_stale():
    # As is tested, not as is installed: the examples are not in this folder.
    path = str(Path(fastapi_observable_socket.__file__).parents[1])
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "keep.py", "--check"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert checked.stderr == ""
    assert checked.returncode == 0, "make types writes it anew"
