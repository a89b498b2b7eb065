"""chanx on fast-channels: a handler for each message class of a consumer."""

from typing import Any, Literal

from chanx.core.decorators import ws_handler
from chanx.fast_channels.websocket import AsyncJsonWebsocketConsumer
from chanx.messages.base import BaseMessage
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.routing import WebSocketRoute


class Add(BaseMessage):
    action: Literal["math/sum"] = "math/sum"
    payload: list[int]


class Sum(BaseModel):
    sum: int


class Added(BaseMessage):
    action: Literal["added"] = "added"
    payload: Sum


class Echo(BaseMessage):
    action: Literal["echo"] = "echo"
    payload: list[Any]


class Echoed(BaseMessage):
    action: Literal["echoed"] = "echoed"
    payload: list[Any]


class Consumer(AsyncJsonWebsocketConsumer):
    @ws_handler
    async def add(self, message: Add) -> Added:
        return Added(payload=Sum(sum=sum(message.payload)))

    @ws_handler
    async def echo(self, message: Echo) -> Echoed:
        return Echoed(payload=message.payload)


app = FastAPI(routes=[WebSocketRoute("/ws", Consumer.as_asgi())])
