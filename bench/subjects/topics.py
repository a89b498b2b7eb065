"""Topics of this package, as many as one socket wants; over Redis where `BENCH_REDIS` names one."""

import os

from fastapi import FastAPI

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.backends.redis import RedisBackend

app = FastAPI()
redis = os.environ.get("BENCH_REDIS")
router = SocketRouter(backend=RedisBackend(redis) if redis else None, max_topics=100_000)


@router.topic("topic-{n}")
async def anybody() -> bool:
    return True


router.mount(app, "/ws")
