"""The loop one writes by hand: each event encoded once, then sent to one socket after the other."""

import json

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
sockets: set[WebSocket] = set()


@app.websocket("/ws")
async def serve(ws: WebSocket) -> None:
    await ws.accept()
    try:
        while True:
            request = json.loads(await ws.receive_text())
            if request["route"] == "$sub":
                sockets.add(ws)
                await ws.send_text('{"status":200}')
            else:
                await tell(request["payload"])
    except WebSocketDisconnect:
        sockets.discard(ws)


async def tell(event: object) -> None:
    text = json.dumps({"route": "news", "payload": event})
    for ws in list(sockets):
        await ws.send_text(text)
