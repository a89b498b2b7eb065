"""The least a server can do with msgspec: ASGI messages, and an envelope decoded by its type."""

from typing import Any

import msgspec


class Request(msgspec.Struct):
    uuid: int | str
    route: str
    headers: dict[str, Any] | None = None
    payload: Any = None


class Response(msgspec.Struct):
    uuid: int | str
    status: int
    headers: dict[str, Any]
    payload: Any


decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode


async def add(payload: Any) -> Any:
    return {"sum": sum(payload)}


async def echo(payload: Any) -> Any:
    return payload


HANDLERS = {"math/sum": add, "echo": echo}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        request = decode(event["text"])
        handler = HANDLERS.get(request.route)
        if handler:
            response = Response(request.uuid, 200, {}, await handler(request.payload))
        else:
            response = Response(request.uuid, 404, {}, None)
        await send({"type": "websocket.send", "text": encode(response).decode()})
