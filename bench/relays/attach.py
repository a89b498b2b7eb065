"""
How long a process of this package needs to listen to many topics over Redis.

    python -m relays.attach URL TOPICS

Prints a line of JSON: seconds until it listens to all, at the beginning and after all its
connections were killed, and what a topic takes in its memory, with one listener.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop
from redis.asyncio import Redis

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.backends.redis import RedisBackend

PATIENCE = 30.0


def rss_kb() -> int:
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Rss:")


async def attach(router: SocketRouter, topics: Sequence[str]) -> None:
    await asyncio.gather(*(router.subscribe(topic).__aenter__() for topic in topics))


async def rejoined(router: SocketRouter, client: "Redis[bytes]") -> None:
    """Until all that was joined was lost, and is joined again."""
    # There is no public word for it: who listens need not know.
    channels = list(router._topics.hub._channels.values())
    await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    while channels[-1].joined:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    while not all(channel.joined for channel in reversed(channels)):  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def timed(work: Any) -> float:
    began = perf_counter()
    await asyncio.wait_for(work, PATIENCE)
    return perf_counter() - began


async def main(url: str, count: int) -> None:
    router, client = SocketRouter(backend=RedisBackend(url)), Redis.from_url(url)

    @router.topic("topic-{n}")
    async def anybody() -> bool:
        return True

    topics = [f"topic-{n}" for n in range(count)]
    await router.publish(topics[0], None)  # it is connected
    before = rss_kb()
    attached = await timed(attach(router, topics))
    kb = (rss_kb() - before) / count
    again = await timed(rejoined(router, client))
    print(json.dumps({"attach_s": attached, "again_s": again, "kb": kb}))
    await client.aclose()
    await router.aclose()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2])))
