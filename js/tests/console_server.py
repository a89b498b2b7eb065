"""
The server the console is tried against: every kind of entry, on one socket at /ws.

Run as `python console_server.py PORT`; with the checkout's package when none is installed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.append(str(Path(__file__).resolve().parents[2] / "src"))

from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.websockets import WebSocket

from fastapi_observable_socket import (
    Authenticated,
    Connection,
    MessageHeader,
    Progress,
    ResponseError,
    SocketRouter,
)
from fastapi_observable_socket.console import page
from fastapi_observable_socket.contract import contract_of

from serving import serve

app = FastAPI()
router = SocketRouter(
    title="Newsroom",
    version="1.2.0",
    description="Articles, orders and what happens to them.\n\nTry `math/sum` first.",
)

# --- calls


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: Annotated[int, Field(ge=0, le=9, description="How many are left")] = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: Annotated[str, Field(min_length=2, max_length=20)]


class Article(BaseModel):
    """What is written in the newsroom."""

    title: Annotated[str, Field(min_length=5, max_length=80, description="Shown in lists")]
    body: Annotated[str, Field(max_length=2000)]
    access: Literal["public", "members", "author"] = "public"
    published: date | None = None
    tags: list[str] = []
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    marks: dict[str, int] = {}
    rating: Annotated[float | None, Field(ge=0, le=5)] = None
    featured: bool = False
    reply_to: "Article | None" = None


class Saved(BaseModel):
    id: int
    title: str


class NotFound(BaseModel):
    message: str
    id: int | None = None


class Sum(BaseModel):
    sum: float


@router.route("math/sum", tags=["math"], idempotent=True)
async def add(payload: list[float]) -> Sum:
    """Add numbers.

    All of them, **in their order**; an empty list gives `0`.

    - integers stay exact up to 2^53
    - others are doubles
    """
    return Sum(sum=sum(payload))


@router.route("math/old-sum", tags=["math"], deprecated=True)
async def old_add(payload: list[float]) -> float:
    """Add numbers, as it was done before."""
    return sum(payload)


@router.route("articles/save", tags=["articles"], responses={404: NotFound})
async def save(payload: Article, x_trace: Annotated[int, MessageHeader()] = 0) -> Saved:
    """Save an article."""
    if payload.title == "Nothing here":
        raise HTTPException(404, detail="there is no such article")
    return Saved(id=41 + len(payload.tags) + x_trace, title=payload.title)


@router.route("jobs/import", tags=["jobs"], timeout=20)
async def work(payload: int, progress: Progress[dict[str, int]]) -> str:
    """Import records, and tell how far it is."""
    for n in range(payload):
        await progress({"done": n + 1, "of": payload})
    return "imported"


cancelled = asyncio.Event()


@router.route("jobs/slow", tags=["jobs"])
async def slow() -> str:
    """Never ends by itself."""
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.set()
    return ""


@router.route("jobs/slow-was-cancelled", tags=["jobs"])
async def slow_was_cancelled() -> bool:
    await cancelled.wait()
    return True


@router.route("echo")
async def echo(ws: WebSocket, headers: dict[str, Any], payload: Any) -> Any:
    """Give back what came, untyped."""
    return {"status": 200, "headers": {"heard": headers.get("heard")}, "payload": payload}


tasks: set[asyncio.Task[None]] = set()


@router.route("drop")
async def drop(connection: Connection, payload: int) -> None:
    """Close the connection, and publish as many events while it is away."""

    async def publish() -> None:
        await connection.close(1012, "a restart")
        for n in range(payload):
            await router.publish("orders/42", Step(state=f"step {n}"))

    # A call of its own would end with its connection.
    task = asyncio.create_task(publish())
    tasks.add(task)
    task.add_done_callback(tasks.discard)


# --- streams

streams: set[str] = set()


@router.route("numbers/count", tags=["numbers"])
async def count(payload: Annotated[int, Field(ge=0)]) -> AsyncIterator[int]:
    """Count up to a number."""
    for n in range(payload):
        yield n


@router.route("numbers/endless", tags=["numbers"])
async def endless() -> AsyncIterator[dict[str, int]]:
    """Count without end."""
    streams.add("endless")
    n = 0
    try:
        while True:
            yield {"n": n}
            n += 1
            await asyncio.sleep(0.002)
    finally:
        streams.discard("endless")


@router.route("numbers/open", tags=["numbers"])
async def what_is_open() -> list[str]:
    """Which streams are open."""
    return sorted(streams)


# --- topics


class Step(BaseModel):
    state: Annotated[str, Field(min_length=2)]


class Order(BaseModel):
    id: int
    state: str


@router.topic("orders/{order_id}", event=Step, history=3, publish=True, tags=["orders"])
async def orders(order_id: int) -> bool:
    """What happens to an order."""
    return order_id != 13


@router.topic("boards/{name}", event=Step)
async def board(name: str) -> Order:
    """A board, with its state."""
    return Order(id=7, state=name)


# --- pushes and calls

router.pushes("news", Saved, summary="A new article")
router.calls("confirm", payload=Saved, result=bool, summary="Are you sure?")


@router.route("push", tags=["server"])
async def push(connection: Connection) -> None:
    """Push some news to this page."""
    await connection.push("news", Saved(id=1, title="Rain"))


@router.route("ask", tags=["server"])
async def ask(connection: Connection) -> Any:
    """Ask this page to confirm something."""
    try:
        return await connection.call("confirm", Saved(id=2, title="Sure?"), timeout=25)
    except ResponseError as error:
        return {"refused": error.status, "message": error.payload["message"]}


router.mount(app, "/ws")

# --- one that trusts nobody


async def authenticate(token: str) -> Authenticated | None:
    return Authenticated("ada") if token == "sesame" else None


private = SocketRouter(authenticate=authenticate, title="Private")


@private.route("me")
async def me(connection: Connection) -> Any:
    return connection.user


private.mount(app, "/private")

# --- one whose every text is an attack

BAD = '"><img src=x onerror=hit(1)><script>hit(2)</script><svg onload=hit(3)>\u202ejavascript:hit(4)'
attack = {
    "format": 1,
    "title": BAD,
    "version": BAD,
    "description": f"{BAD}\n\n- {BAD}\n\n```\n{BAD}\n```\n\n`{BAD}` **{BAD}**",
    "hash": "0",
    "routes": {
        BAD: {
            "kind": "call",
            "summary": BAD,
            "description": f"{BAD}\n\n[link](javascript:hit(5)) `{BAD}`",
            "tags": [BAD, "__proto__", "constructor"],
            "deprecated": True,
            "payload": {"$ref": f"#/definitions/{BAD.replace('/', '~1')}"},
            "payload_required": True,
            "headers": {"type": "object", "properties": {BAD: {"type": "string"}}},
            "result": {"const": BAD},
            "progress": {"enum": [BAD]},
            "errors": {BAD: {"description": BAD, "payload": {"type": BAD, "format": BAD}}},
        },
        "__proto__": {"kind": "stream", "payload": {"$ref": "#/definitions/constructor"}},
        "odd": {"kind": 7, "tags": None, "payload": {"anyOf": [{}, {"$ref": 5}]}, "errors": None},
    },
    "topics": {BAD + "{x}": {"parameters": {"x": {"default": BAD}}, "event": {"title": BAD}}},
    "pushes": {BAD: {"summary": BAD, "payload": {"description": BAD}}},
    "calls": {BAD: {"summary": BAD, "payload": {}, "result": {"default": BAD}}},
    "definitions": {
        BAD: {
            "title": BAD,
            "type": "object",
            "required": [BAD, "choice"],
            "properties": {
                BAD: {"type": "string", "default": BAD, "description": BAD, "pattern": BAD},
                "choice": {"enum": [BAD, 1]},
                "either": {"oneOf": [{"title": BAD, "type": "object"}, {"const": BAD}]},
            },
        },
    },
}
hostile = SocketRouter()


@hostile.route(BAD)
async def answer(ws: WebSocket, payload: Any, connection: Connection) -> Any:
    await connection.push(BAD, {BAD: BAD})
    detail = [{"type": BAD, "loc": ["payload", BAD], "msg": BAD}]
    refusal = {"message": BAD, "code": BAD, "detail": detail}
    return {"status": 418, "headers": {BAD: BAD}, "payload": refusal}


@hostile.route("odd")
async def odd(payload: Any) -> Any:
    return {BAD: BAD}


hostile.mount(app, "/hostile", docs=False)

# --- pages that no router serves


def served(path: str, contract: Any, end: str = "") -> None:
    @app.get(path + end)
    async def console() -> Response:
        body, headers = page()
        return Response(body, headers=dict(headers))

    @app.get(f"{path}/contract.json")
    async def document() -> Response:
        if contract is None:
            return Response(status_code=404)
        return JSONResponse(contract() if callable(contract) else contract)


served("/hostile", attack)
served("/nowhere", None)

# --- one that is mounted, whose address ends with a slash

slashed = SocketRouter(title="Slashed")


@slashed.route("here")
async def here() -> str:
    return "here"


served("/slash", lambda: contract_of(slashed).as_json(), end="/")
app.mount("/slash", slashed)


@app.post("/late")
async def late() -> None:
    """One more route, for pages that are open."""

    class Lateness(BaseModel):
        minutes: int

    @router.route("late")
    async def late_one(payload: Lateness) -> str:
        return "better than never"


if __name__ == "__main__":
    serve(app)
