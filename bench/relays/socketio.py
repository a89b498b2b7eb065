"""
python-socketio's manager of rooms over Redis.

An event counts as delivered when the manager has read it, and would begin to write packets to the
sockets in its room.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import socketio

from relays.harness import Event, Relay, run


class Listening(socketio.AsyncRedisManager):
    hear: Callable[[Event], None]

    async def _handle_emit(self, message: Any) -> None:
        self.hear(message["data"][0])


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Relay]:
    manager = socketio.AsyncRedisManager(url, write_only=True)
    listening = Listening(url)

    async def publish(topic: str, event: Event) -> None:
        await manager.emit("news", event, room=topic)

    async def listen(_topics: list[str], hear: Callable[[Event], None]) -> None:
        # There is one channel for all rooms.
        listening.hear = hear
        listening.set_server(socketio.AsyncServer(async_mode="asgi", client_manager=listening))
        listening.initialize()
        while not (listening.pubsub and listening.pubsub.subscribed):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    yield Relay(publish, listen)


if __name__ == "__main__":
    run(opened)
