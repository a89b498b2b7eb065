"""This package, mounted on FastAPI, with payloads and answers checked by pydantic."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


class Sum(BaseModel):
    sum: int


@router.route("math/sum")
async def add(payload: list[int]) -> Sum:
    return Sum(sum=sum(payload))


@router.route("echo")
async def echo(payload: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return payload


router.mount(app, "/ws")
