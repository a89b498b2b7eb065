"""
The application of `test_workers.py`, which several processes serve: numbers are published over
HTTP in whichever of them, and heard on the sockets of all.
"""

import os

from fastapi import FastAPI, HTTPException

from fastapi_observable_socket import Connection, SocketRouter
from fastapi_observable_socket.backends import Page, Position, Unavailable, Uncertain
from fastapi_observable_socket.backends.redis import RedisBackend


class Counting(RedisBackend):
    """Knows how often the history was asked."""

    reads = 0

    async def history(self, topic: str, since: Position | None) -> Page:
        self.reads += 1
        return await super().history(topic, since)


backend = Counting(os.environ["REDIS_URL"], command_timeout=0.6, probe_every=0.3)
router = SocketRouter(backend=backend, max_pushed_bytes=512 * 1024)
app = FastAPI(openapi_url=None)
watched: list[Connection] = []


@router.topic("news", history=50_000)
@router.topic("heaps", history=1000)
async def anybody() -> bool:
    return True


@router.route("who")
async def who() -> int:
    """Which process this socket is at."""
    return os.getpid()


@router.route("watch-me")
async def watch_me(connection: Connection) -> None:
    """How this connection ends can be read in `/state` of its process."""
    watched.append(connection)


@app.post("/publish/{topic}")
async def publish(topic: str, number: int, size: int = 0) -> int:
    """The same number is stored once. Gives the process that did it."""
    event = [number, "x" * size] if size else number
    try:
        await router.publish(topic, event, message_id=f"{topic} {number}", timeout=2)
    except (Unavailable, Uncertain) as away:
        raise HTTPException(503, str(away)) from None
    return os.getpid()


@app.get("/state")
async def state() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "reads": backend.reads,
        "closed": [connection.closed and connection.closed[0] for connection in watched],
    }


router.mount(app, "/ws")
