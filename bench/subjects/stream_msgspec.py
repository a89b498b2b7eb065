"""The least a stream can cost with msgspec: ASGI messages, and envelopes of one type."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec


class Request(msgspec.Struct):
    uuid: int | str
    route: str
    headers: dict[str, Any]
    payload: Any = None


class Response(msgspec.Struct):
    uuid: int | str
    status: int
    headers: dict[str, Any]
    payload: Any


decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode


async def generate(count: int) -> AsyncIterator[Any]:
    for n in range(count):
        yield {"token": "word", "n": n}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        request = decode(event["text"])
        if request.route != "$ack":  # that of the last items comes after the end
            await answer(request, receive, send)


async def answer(request: Request, receive: Any, send: Any) -> None:
    uuid, window = request.uuid, request.headers.get("$window")
    sent = taken = 0
    async for item in generate(request.payload):
        while window and sent - taken >= window:
            event = await receive()
            if event["type"] != "websocket.receive":
                return
            ack = decode(event["text"])
            if ack.uuid == uuid:
                taken = ack.headers["$seq"] + 1
        response = Response(uuid, 402, {"$seq": sent}, item)
        await send({"type": "websocket.send", "text": encode(response).decode()})
        sent += 1
    response = Response(uuid, 200, {"$seq": sent}, None)
    await send({"type": "websocket.send", "text": encode(response).decode()})
