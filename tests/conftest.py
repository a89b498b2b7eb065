import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Which protocol the servers speak that tests start: uvicorn takes it as its `--ws`.
os.environ.setdefault("UVICORN_WS", "fastapi_observable_socket.uvicorn:Protocol")


@pytest.fixture(scope="session")
def torture() -> ModuleType:
    """`torture.py`, imported under its name: tests are no package."""
    spec = importlib.util.spec_from_file_location("torture", Path(__file__).parent / "torture.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["torture"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on a loop of its own, and holds that it leaves no task behind."""

    async def watched(coroutine: Coroutine[Any, Any, Any]) -> Any:
        result = await asyncio.wait_for(coroutine, 60)
        for _ in range(5):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:  # such as what a library closes behind a cancellation
            _, left = await asyncio.wait(left, timeout=5)
        assert not left, f"tasks left: {left}"
        return result

    return lambda coroutine: asyncio.run(watched(coroutine))
