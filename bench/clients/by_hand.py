"""The client one writes by hand: websockets, `json`, and a future for each call."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import connect

from clients.closed_loop import Call, run


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Call]:
    numbers = itertools.count()
    waiting: dict[int, asyncio.Future[Any]] = {}

    async with connect(f"ws://127.0.0.1:{port}/ws", compression=None) as ws:

        async def read() -> None:
            async for message in ws:
                answer = json.loads(message)
                waiting.pop(answer["uuid"]).set_result(answer)

        async def call(payload: Any) -> Any:
            uuid = next(numbers)
            waiting[uuid] = future = asyncio.get_running_loop().create_future()
            request = {"uuid": uuid, "route": "math/sum", "headers": {}, "payload": payload}
            await ws.send(json.dumps(request))
            answer = await future
            if answer["status"] != 200:
                raise ValueError(f"status {answer['status']}")
            return answer["payload"]

        reading = asyncio.create_task(read())
        yield call
        reading.cancel()


if __name__ == "__main__":
    run(connected)
