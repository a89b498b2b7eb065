"""
The server the client is tried against: routes that answer, wait, fail, stream, call and push, and topics; at /auth,
one that asks for tokens.

Run as `python server.py PORT`; with the checkout's package when none is installed.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "src"))

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse
from starlette.websockets import WebSocket

from fastapi_observable_socket import (
    Authenticated,
    Connection,
    Progress,
    ResponseError,
    SocketRouter,
    SocketTimeoutError,
    Status,
)

from serving import serve

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


let_go = asyncio.Event()


@router.route("hold")
async def hold(payload):
    await let_go.wait()
    return payload


@router.route("let-go")
async def let_them_go():
    let_go.set()


letting_go: list[asyncio.Task[None]] = []


@router.route("drain")
async def drain(payload: float):
    letting_go.append(asyncio.create_task(router.drain(payload)))


@router.route("port")
async def port() -> int:
    return int(sys.argv[1])


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


@router.route("count")
async def count(payload: int) -> AsyncIterator[int]:
    for n in range(payload):
        yield n


streams = []


@router.route("endless")
async def endless(payload: str) -> AsyncIterator[str]:
    n = 0
    streams.append(payload)
    try:
        while True:
            yield f"{payload} {n}"
            n += 1
            await asyncio.sleep(0)
    finally:
        streams.remove(payload)


@router.route("streams")
async def what_streams():
    return streams


@router.route("breaks")
async def breaks(payload: int) -> AsyncIterator[int]:
    for n in range(payload):
        yield n
    raise HTTPException(418, "I am a teapot")


@router.route("dies")
async def dies(payload: int) -> AsyncIterator[int]:
    for n in range(payload):
        yield n
    await asyncio.sleep(0.2)  # they are on the wire by now
    os.kill(os.getpid(), signal.SIGKILL)


@router.route("quiet")
async def quiet(payload: float) -> AsyncIterator[str]:
    yield "first"
    await asyncio.sleep(payload)
    yield "last"


@router.route("work")
async def work(payload: int, progress: Progress) -> str:
    for n in range(payload):
        await progress({"done": n + 1})
    return "done"


@router.route("ask")
async def ask(payload: Any, connection: Connection) -> Any:
    try:
        return await connection.call("confirm", payload, timeout=5)
    except ResponseError as error:
        return {"status": error.status, "code": error.code}


@router.route("ask-briefly")
async def ask_briefly(payload: Any, connection: Connection) -> Any:
    try:
        return await connection.call("confirm", payload, timeout=0.1)
    except SocketTimeoutError:
        return "no answer"


@router.route("news")
async def news(payload: Any, connection: Connection) -> str:
    await connection.push("news", payload)
    return "pushed"


refused = set()


@router.topic("numbers/{name}", history=2_000, publish=True)
async def numbers(name: str) -> bool:
    return name not in refused


@router.topic("brief/{name}", history=3)
async def brief(name: str) -> bool:
    return True


boards: dict[str, int] = {}


@router.topic("boards/{name}", history=3)
async def board(name: str) -> dict[str, int]:
    return {"n": boards.get(name, 0)}


@router.topic("rooms/{name}", presence=True)
async def rooms(name: str) -> bool:
    return True


@router.topic("cursors", keep=False, publish=True)
async def cursors() -> bool:
    return True


@router.route("publish")
async def publish(payload: dict[str, Any]) -> int:
    """Numbers from `first` on, as many as `count`; and the board of that name has the last of them."""
    topic, first, count = payload["topic"], payload.get("first", 1), payload.get("count", 1)
    for n in range(first, first + count):
        boards[topic.partition("/")[2]] = n
        await router.publish(topic, n)
        if n % 10 == 0:
            await asyncio.sleep(0.004)
    return count


@router.route("refuse")
async def refuse(payload: str) -> None:
    refused.add(payload)


@router.route("listeners")
async def listeners(payload: str) -> bool:
    return payload in router._topics.hub.topics()


router.mount(app, "/ws")


async def authenticate(token: str) -> Authenticated | None:
    """`ada 2` is Ada, for two seconds."""
    name, _, seconds = token.partition(" ")
    return Authenticated(name, expires_in=float(seconds)) if seconds else None


private = SocketRouter(authenticate=authenticate)


@private.route("me")
async def me(connection: Connection) -> Any:
    return connection.user


private.mount(app, "/auth")


@app.get("/reports")
async def reported():
    return reports


@app.get("/page/{name:path}")
async def page(name: str):
    if name.endswith(".html"):
        return HTMLResponse((here / "browser" / "pages" / name).read_text())
    return FileResponse(here.parent / ".out" / name)


if __name__ == "__main__":
    serve(app)
