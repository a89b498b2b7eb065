"""A stream of this package, mounted on FastAPI, whose items are models of pydantic."""

from collections.abc import AsyncIterator

from fastapi import FastAPI
from pydantic import BaseModel

from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


class Token(BaseModel):
    token: str
    n: int


@router.route("stream")
async def generate(count: int) -> AsyncIterator[Token]:
    for n in range(count):
        yield Token(token="word", n=n)


router.mount(app, "/ws")
