"""The test clients are typed. Read by type checkers, never run."""

from typing import Any, assert_type

from fastapi import FastAPI

from fastapi_observable_socket import Response, SocketRouter
from fastapi_observable_socket.testing import (
    SocketClosed,
    SocketRejected,
    SocketTestClient,
    SyncSocketTestClient,
)


async def asynchronous() -> None:
    async with SocketTestClient(
        FastAPI(),
        "/ws",
        headers={"x-a": "b"},
        cookies={"a": "b"},
        query={"q": [1, 2]},
        state={"pool": object()},
        scope={"user": "Ada"},
        lifespan=True,
        timeout=1,
    ) as client:
        assert_type(client, SocketTestClient)
        answer = await client.request("r", {"a": 1}, {"h": 1}, uuid="u")
        assert_type(answer, Response)
        assert_type(answer.status, int)
        assert_type(answer.ok, bool)
        assert_type(answer.headers, dict[str, Any] | None)
        assert_type(await client.receive(), dict[str, Any])
        await client.push("r")
        await client.send_raw("text")
        await client.send_raw(b"bytes")
        await client.disconnect(1001)
        assert_type(client.closed, SocketClosed | None)
        await client.send_raw(3)  # type: ignore[arg-type]
        await client.request()  # type: ignore[call-arg]


def synchronous() -> None:
    with SyncSocketTestClient(SocketRouter(), "/ws", headers={"x-a": "b"}) as client:
        assert_type(client, SyncSocketTestClient)
        assert_type(client.request("r", 1), Response)
        assert_type(client.receive(), dict[str, Any])
        client.push("r")
        client.send_raw("text")


def errors(rejected: SocketRejected, closed: SocketClosed) -> None:
    assert_type((rejected.status, rejected.body, rejected.headers), tuple[int, str, dict[str, str]])
    assert_type((closed.code, closed.reason), tuple[int, str])
