import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on a loop of its own, and holds that it leaves no task behind."""

    async def watched(coroutine: Coroutine[Any, Any, Any]) -> Any:
        result = await asyncio.wait_for(coroutine, 60)
        for _ in range(5):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left: {left}"
        return result

    return lambda coroutine: asyncio.run(watched(coroutine))
