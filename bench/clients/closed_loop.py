"""
What every client does here: calls in a closed loop, as `load.c` makes them.

    python -m clients.NAME PORT IN_FLIGHT COUNTED WARM_UP

Each of so many tasks awaits one answer after the other. The event loop is asyncio's own. One
line of JSON is printed at the end, with the CPU time of this process.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from time import perf_counter, process_time
from typing import Any

Call = Callable[[list[int]], Awaitable[Any]]
Connect = Callable[[int], AbstractAsyncContextManager[Call]]

PAYLOAD = [1, 2, 3, 4]
RESULT = {"sum": 10}


async def closed_loop(call: Call, in_flight: int, count: int) -> list[float]:
    """How long each of `count` calls took, in seconds."""
    took: list[float] = []
    turns = iter(range(count))

    async def make_calls() -> None:
        for _ in turns:
            began = perf_counter()
            result = await call(PAYLOAD)
            took.append(perf_counter() - began)
            if result != RESULT:
                raise ValueError(f"a wrong result: {result!r}")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(in_flight):
            tasks.create_task(make_calls())
    return took


async def measure(connect: Connect, port: int, in_flight: int, counted: int, warm_up: int) -> None:
    async with connect(port) as call:
        await closed_loop(call, in_flight, warm_up)
        began, cpu = perf_counter(), process_time()
        took = sorted(await closed_loop(call, in_flight, counted))
        seconds, cpu = perf_counter() - began, process_time() - cpu
    result = {
        "ok": True,
        "n": counted,
        "secs": seconds,
        "per_s": counted / seconds,
        "p50": took[counted // 2] * 1e6,
        "cpu_us": cpu / counted * 1e6,
    }
    print(json.dumps(result))


def run(connect: Connect) -> None:
    port, in_flight, counted, warm_up = (int(argument) for argument in sys.argv[1:])
    asyncio.run(measure(connect, port, in_flight, counted, warm_up))
