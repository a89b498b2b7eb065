"""The loop one writes by hand: FastAPI's WebSocket, `json`, one message after the other."""

import json
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


async def add(payload: Any) -> Any:
    return {"sum": sum(payload)}


async def echo(payload: Any) -> Any:
    return payload


HANDLERS = {"math/sum": add, "echo": echo}


@app.websocket("/ws")
async def serve(ws: WebSocket) -> None:
    await ws.accept()
    try:
        while True:
            request = json.loads(await ws.receive_text())
            handler = HANDLERS.get(request["route"])
            status, payload = (404, None)
            if handler:
                status, payload = 200, await handler(request["payload"])
            response = {
                "uuid": request["uuid"],
                "status": status,
                "headers": {},
                "payload": payload,
            }
            await ws.send_text(json.dumps(response))
    except WebSocketDisconnect:
        pass
