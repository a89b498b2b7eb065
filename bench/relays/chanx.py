"""The channel layer below chanx, that of fast-channels over Redis' pub/sub."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fast_channels.layers.redis import RedisPubSubChannelLayer

from relays.harness import Event, Relay, run


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Relay]:
    layer = RedisPubSubChannelLayer(hosts=[url])

    async with AsyncExitStack() as stack:

        async def publish(topic: str, event: Event) -> None:
            await layer.group_send(topic, {"type": "news", **event})

        async def listen(topics: list[str], hear: Callable[[Event], None]) -> None:
            channel = await layer.new_channel()
            for topic in topics:
                await layer.group_add(topic, channel)
            stack.callback(asyncio.create_task(tell(layer, channel, hear)).cancel)

        yield Relay(publish, listen)


async def tell(layer: Any, channel: str, hear: Callable[[Event], None]) -> None:
    while True:
        hear(await layer.receive(channel))


if __name__ == "__main__":
    run(opened)
