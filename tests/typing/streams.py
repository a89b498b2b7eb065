"""Streams, pushes, calls and sessions, as type checkers see them. Never run."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from pydantic import BaseModel

from fastapi_observable_socket import (
    Authenticated,
    Connection,
    Progress,
    SocketRouter,
)
from fastapi_observable_socket.testing import SocketTestClient


class Verdict(BaseModel):
    ok: bool


async def by_token(token: str) -> Authenticated | None:
    return Authenticated({"id": 7}, expires_in=60) if token else None


def in_a_thread(token: str) -> str | None:
    return token or None


router = SocketRouter(authenticate=by_token, identify=lambda user: user["id"], max_streams=10)
SocketRouter(authenticate=in_a_thread, allow_anonymous=True)


@router.route("count")
async def count(payload: int) -> AsyncIterator[int]:
    for n in range(payload):
        yield n


@router.route("lines")
def lines() -> Iterator[str]:
    yield "a"


@router.route("work")
async def work(progress: Progress, connection: Connection) -> None:
    if progress.wanted:
        await progress({"done": 1})
    await connection.push("news", [1, 2], {"x-a": 1})
    assert_type(await connection.call("confirm"), Any)
    assert_type(await connection.call("confirm", {"n": 1}, timeout=None, result=Verdict), Verdict)
    assert_type(connection.id, str)
    assert_type(connection.user_id, str | None)
    assert_type(connection.closed, tuple[int, str] | None)
    await connection.close(1008, "enough")


def everywhere() -> None:
    assert_type(router.connections.push("news", 1, user_id=7), int)
    assert_type(router.connections.of(7), list[Connection])
    assert_type(router.connections.get("id"), Connection | None)
    for connection in router.connections:
        assert_type(connection, Connection)
    assert_type(len(router.connections), int)


async def tested(client: SocketTestClient) -> None:
    async for item in client.stream("count", 3, window=2):
        assert_type(item, Any)
    client.handle("confirm", lambda payload: {"ok": True})
    assert_type((await client.hello("token")).ok, bool)


router.connections.push(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
