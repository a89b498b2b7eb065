"""This package, mounted on FastAPI, with payloads as they come."""

from typing import Any

from fastapi import FastAPI

from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


@router.route("math/sum")
async def add(payload: Any) -> Any:
    return {"sum": sum(payload)}


@router.route("echo")
async def echo(payload: Any) -> Any:
    return payload


router.mount(app, "/ws")
