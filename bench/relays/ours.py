"""`publish` and `subscribe` of this package."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.backends.redis import RedisBackend
from relays.harness import Event, Relay, run


@asynccontextmanager
async def opened(url: str, keep: bool = True) -> AsyncIterator[Relay]:
    router = SocketRouter(backend=None if url == "memory://" else RedisBackend(url))

    @router.topic("topic-{n}", keep=keep)
    async def anybody() -> bool:
        return True

    async with AsyncExitStack() as stack:
        stack.push_async_callback(router.aclose)

        async def listen(topics: list[str], hear: Callable[[Event], None]) -> None:
            for topic in topics:
                events = await stack.enter_async_context(router.subscribe(topic))
                stack.callback(asyncio.create_task(tell(events, hear)).cancel)

        yield Relay(router.publish, listen)


async def tell(events: AsyncIterator[Event], hear: Callable[[Event], None]) -> None:
    async for event in events:
        hear(event)


if __name__ == "__main__":
    run(opened)
