"""A stream of this package, mounted on FastAPI, with items as they come."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI

from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


@router.route("stream")
async def generate(payload: Any) -> AsyncIterator[Any]:
    for n in range(payload):
        yield {"token": "word", "n": n}


router.mount(app, "/ws")
