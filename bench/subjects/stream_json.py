"""The stream one writes by hand: FastAPI's WebSocket, `json`, a window where it is asked for."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


async def generate(count: int) -> AsyncIterator[Any]:
    for n in range(count):
        yield {"token": "word", "n": n}


@app.websocket("/ws")
async def serve(ws: WebSocket) -> None:
    await ws.accept()
    try:
        while True:
            request = json.loads(await ws.receive_text())
            if request["route"] != "$ack":  # that of the last items comes after the end
                await answer(ws, request)
    except WebSocketDisconnect:
        pass


async def answer(ws: WebSocket, request: Any) -> None:
    uuid, window = request["uuid"], request["headers"].get("$window")
    sent = taken = 0
    async for item in generate(request["payload"]):
        while window and sent - taken >= window:
            ack = json.loads(await ws.receive_text())
            if ack["uuid"] == uuid:
                taken = ack["headers"]["$seq"] + 1
        frame = {"uuid": uuid, "status": 402, "headers": {"$seq": sent}, "payload": item}
        await ws.send_text(json.dumps(frame))
        sent += 1
    frame = {"uuid": uuid, "status": 200, "headers": {"$seq": sent}, "payload": None}
    await ws.send_text(json.dumps(frame))
