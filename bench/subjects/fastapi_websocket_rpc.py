"""fastapi-websocket-rpc: methods called by name."""

from typing import Any

from fastapi import FastAPI
from fastapi_websocket_rpc import RpcMethodsBase, WebsocketRPCEndpoint


class Methods(RpcMethodsBase):
    async def add(self, payload: list[int]) -> dict[str, int]:
        return {"sum": sum(payload)}

    async def echo(self, payload: list[Any]) -> list[Any]:
        return payload


app = FastAPI()
WebsocketRPCEndpoint(Methods()).register_route(app, "/ws")
