"""The least a server can do with the standard library: ASGI messages and `json`."""

import json
from typing import Any


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
        request = json.loads(event["text"])
        handler = HANDLERS.get(request["route"])
        status, payload = (404, None)
        if handler:
            status, payload = 200, await handler(request["payload"])
        response = {"uuid": request["uuid"], "status": status, "headers": {}, "payload": payload}
        await send({"type": "websocket.send", "text": json.dumps(response)})
