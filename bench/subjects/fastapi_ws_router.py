"""fastapi-ws-router: a handler for each model of a discriminated union."""

from typing import Any, Literal

from fastapi import FastAPI, WebSocket
from fastapi_ws_router import WSRouter
from pydantic import BaseModel


class Request(BaseModel):
    uuid: int
    headers: dict[str, Any] = {}


class Add(Request):
    route: Literal["math/sum"]
    payload: list[int]


class Echo(Request):
    route: Literal["echo"]
    payload: list[Any]


class Response(BaseModel):
    uuid: int
    status: int = 200
    headers: dict[str, Any] = {}
    payload: Any


router = WSRouter(discriminator="route")


@router.receive(Add)
async def add(ws: WebSocket, request: Add) -> None:
    response = Response(uuid=request.uuid, payload={"sum": sum(request.payload)})
    await ws.send_text(response.model_dump_json())


@router.receive(Echo)
async def echo(ws: WebSocket, request: Echo) -> None:
    response = Response(uuid=request.uuid, payload=request.payload)
    await ws.send_text(response.model_dump_json())


app = FastAPI()
app.include_router(router, prefix="/ws")
