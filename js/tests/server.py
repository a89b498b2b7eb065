"""
The server the client is tried against: routes that answer, wait, fail and push.

Run as `python server.py PORT`; with the checkout's package when none is installed.
"""

import asyncio
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "src"))

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse
from starlette.websockets import WebSocket

from fastapi_observable_socket import SocketRouter, Status

app = FastAPI()
router = SocketRouter()
here = Path(__file__).parent


@router.route("math/sum")
async def add(payload: list[int]):
    return {"sum": sum(payload)}


@router.route("echo")
async def echo(ws: WebSocket, headers, payload):
    return {"status": Status.OK, "headers": headers, "payload": payload}


cancelled = []


@router.route("slow")
async def slow(payload: float):
    try:
        await asyncio.sleep(payload)
    except asyncio.CancelledError:
        cancelled.append(payload)
        raise
    return "at last"


@router.route("cancelled")
async def what_was_cancelled():
    return cancelled


@router.route("fail")
async def fail():
    raise RuntimeError("a secret of the server")


@router.route("teapot")
async def teapot():
    raise HTTPException(418, "I am a teapot")


@router.route("pending")
async def pending(ws: WebSocket, headers, payload):
    return {"status": Status.PENDING, "payload": None}


@router.route("push")
async def push(ws: WebSocket, headers, payload):
    await ws.send_json({"uuid": "#", "route": "news", "headers": {}, "payload": payload})
    return "pushed"


@router.route("close")
async def close(ws: WebSocket, headers, payload):
    await ws.close(payload)


reports = []


@router.route("report")
async def report(ws: WebSocket, headers, payload):
    reports.append(payload)


router.mount(app, "/ws")


@app.get("/reports")
async def reported():
    return reports


@app.get("/page/{name:path}")
async def page(name: str):
    if name.endswith(".html"):
        return HTMLResponse((here / "browser" / "pages" / name).read_text())
    return FileResponse(here.parent / ".out" / name)


if __name__ == "__main__":
    # 0.0.0.0: also by names that are no localhost, as an insecure origin has.
    uvicorn.run(app, host="0.0.0.0", port=int(sys.argv[1]), log_level="warning")
