"""The client is typed. Read by type checkers, never run."""

from collections.abc import Callable
from typing import Any, assert_type

from pydantic import BaseModel, TypeAdapter

from fastapi_observable_socket.client import (
    Events,
    Gap,
    Position,
    Push,
    Pushes,
    Response,
    ResponseError,
    Session,
    Socket,
    State,
    Stream,
    SyncEvents,
    SyncSocket,
    connect,
    connect_sync,
)


class Sum(BaseModel):
    total: int


async def token() -> str | None: ...


async def asynchronous() -> None:
    async with connect(
        "ws://localhost",
        auth=token,
        headers={"h": 1},
        handshake_headers={"x": "y"},
        timeout=None,
        open_timeout=1,
        heartbeat=None,
        backoff=(1, 2),
        proxy=None,
    ) as socket:
        assert_type(socket, Socket)
        assert_type(await socket.call("r", [1], timeout=5), Any)
        assert_type(await socket.call("r", result=Sum, timeout=None), Sum)
        assert_type(await socket.call("r", result=list[int]), list[int])
        assert_type(await socket.call("r", result=TypeAdapter(Sum)), Sum)
        assert_type(await socket.request("r", headers={"a": 1}), Response)
        assert_type(socket.stream("r", window=3), Stream[Any])
        async with socket.stream("r", item=Sum, on_progress=print) as items:
            async for item in items:
                assert_type(item, Sum)
        async for push in socket.pushes("news"):
            assert_type(push, Push)
        assert_type(socket.pushes(), Pushes)
        assert_type(socket.subscribe("t"), Events[Any, Any])
        assert_type(socket.subscribe("t", snapshot=Sum), Events[Any, Sum])
        assert_type(socket.subscribe("t", event=Sum, on_gap=print), Events[Sum, Any])
        async with socket.subscribe(
            "t", event=int, snapshot=TypeAdapter(Sum), since=("epoch", 1), timeout=None
        ) as events:
            assert_type(events.snapshot, Sum | None)
            assert_type(events.position, Position | None)
            async for event in events:
                assert_type(event, int)
        assert_type(await socket.publish("t", Sum(total=1), "id", timeout=1), Position | None)
        socket.subscribe("t", since="now")  # type: ignore[call-overload]
        assert_type(socket.state, State)
        assert_type(socket.session, Session | None)
        assert_type(socket.on_push(print), Callable[[], None])
        assert_type(socket.handle("r", print), Callable[[], None])

        @socket.handle("confirm")
        async def confirm(payload: str) -> bool:
            return bool(payload)

        assert_type(await confirm("x"), bool)
        await socket.notify("r", 1)
        await socket.call(1)  # type: ignore[call-overload]
        await socket.call("r", timeout="soon")  # type: ignore[call-overload]

    assert_type(await connect("ws://localhost", auth=lambda: "t"), Socket)


def synchronous() -> None:
    with connect_sync("ws://localhost", auth=lambda: None, timeout=3) as socket:
        assert_type(socket, SyncSocket)
        assert_type(socket.call("r"), Any)
        assert_type(socket.call("r", result=Sum), Sum)
        assert_type(socket.request("r"), Response)
        for item in socket.stream("r", item=int):
            assert_type(item, int)
        for push in socket.pushes():
            assert_type(push, Push)
        with socket.subscribe("t", event=Sum, snapshot=int) as events:
            assert_type(events, SyncEvents[Sum, int])
            assert_type(events.snapshot, int | None)
            for event in events:
                assert_type(event, Sum)
        assert_type(socket.publish("t", 1), Position | None)
    connect_sync()  # type: ignore[call-arg]
    connect_sync("ws://localhost", timeout="soon")  # type: ignore[arg-type]


def errors(error: ResponseError) -> None:
    assert_type((error.route, error.status, error.code), tuple[str, int, str | None])


def gaps(gap: Gap) -> None:
    assert_type((gap.topic, gap.position, gap.reload_after_ms), tuple[str, Position, int])
