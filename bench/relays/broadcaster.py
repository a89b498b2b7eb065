"""broadcaster, with events as JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from broadcaster import Broadcast

from relays.harness import Event, Relay, run


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Relay]:
    async with Broadcast(url) as broadcast, AsyncExitStack() as stack:

        async def publish(topic: str, event: Event) -> None:
            await broadcast.publish(topic, json.dumps(event))

        async def listen(topics: list[str], hear: Callable[[Event], None]) -> None:
            for topic in topics:
                events = await stack.enter_async_context(broadcast.subscribe(topic))
                stack.callback(asyncio.create_task(tell(events, hear)).cancel)

        yield Relay(publish, listen)


async def tell(events: Any, hear: Callable[[Event], None]) -> None:
    async for event in events:
        hear(json.loads(event.message))


if __name__ == "__main__":
    run(opened)
