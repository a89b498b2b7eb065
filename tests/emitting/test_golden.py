"""What the repository keeps that is made of contracts, and what that is good for."""

import os
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest

import fastapi_observable_socket

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 12),
    reason="older pydantic says less of dictionaries",
)
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
