"""A topic of this package, mounted on FastAPI, and a route that publishes to it."""

from typing import Any

from fastapi import FastAPI

from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


@router.topic("news")
async def anybody() -> bool:
    return True


@router.route("publish")
async def publish(payload: Any) -> None:
    await router.publish("news", payload)


router.mount(app, "/ws")
