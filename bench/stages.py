"""
What the stages of one call cost, in one process and without a socket: one line of JSON for
`where.py`, in µs of CPU.

Whole paths run through uvicorn's own protocol, from the bytes that a transport would bring to those
that it would be given. Stages are timed in loops.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from fastapi_observable_socket._call import Call
from fastapi_observable_socket._lane import lane_of
from fastapi_observable_socket._session import ServerSession
from fastapi_observable_socket._wire import Response, decode_payload, encode_response
from fastapi_observable_socket.uvicorn import Protocol
from processes import cores
from subjects import ours

CALLS = 6_400  # that are counted; multiples of each batch
WARM_UP = 1_280
BATCHES = (64, 1)
PATIENCE = 60.0
LIMIT = 1 << 20

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MASK = b"\x37\xfa\x21\x3d"
UUIDS = range(100_000_000, 100_000_000 + CALLS)
TEXTS = [
    f'{{"uuid":{uuid},"route":"math/sum","headers":{{}},"payload":[1,2,3,4]}}' for uuid in UUIDS
]


def encoded(uuid: int) -> str:
    return encode_response(Response(uuid, 200, {}, {"sum": 10}), LIMIT)


ANSWER = encoded(UUIDS[0])
FRAME = bytes((0x81, len(ANSWER))) + ANSWER.encode()


def masked(text: str) -> bytes:
    data = text.encode()
    payload = bytes(byte ^ MASK[i & 3] for i, byte in enumerate(data))
    return bytes((0x81, 0x80 | len(data))) + MASK + payload


class Wire(asyncio.Transport):
    """A transport, and a peer behind it that sends the next batch when all answers are there."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._frames = b"".join(map(masked, TEXTS[:batch]))
        self._answers = batch * len(FRAME)
        self._due = 0
        self._left = 0
        self._receive: Callable[[bytes], object] = lambda _: None
        self._over = self._loop.create_future()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def write(self, data: Any) -> None:
        if data.startswith(b"HTTP/1.1 101"):
            self._over.set_result(None)
            return
        self._due -= len(data)
        if not self._due:
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        if not self._left:
            self._over.set_result(None)
            return
        self._left -= 1
        self._due = self._answers
        self._receive(self._frames)

    async def open(self, protocol: WebSocketsSansIOProtocol) -> None:
        self._receive = protocol.data_received
        protocol.connection_made(self)
        protocol.data_received(HANDSHAKE)
        await asyncio.wait_for(self._over, PATIENCE)

    async def run(self, batches: int) -> None:
        self._over = self._loop.create_future()
        self._left = batches
        self._send()
        await asyncio.wait_for(self._over, PATIENCE)


MakeApp = Callable[[Wire], Any]


def stub(wire: Wire, *, answers: bool) -> Any:
    """An application that looks at nothing. Where it does not answer, the peer is told of each
    frame past all that an answer would go through."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        lane = lane_of(scope, receive, send)
        take = lane.take if lane else lambda: None
        put = lane.put if lane else lambda _: False
        while True:
            if take() is None and (await receive())["type"] == "websocket.disconnect":
                return
            if not answers:
                wire.write(FRAME)
            elif not put(ANSWER):
                await send({"type": "websocket.send", "text": ANSWER})

    return app


@asynccontextmanager
async def connected(
    kind: type[WebSocketsSansIOProtocol], make_app: MakeApp, batch: int
) -> AsyncIterator[Wire]:
    wire, state = Wire(batch), ServerState()
    config = Config(make_app(wire), ws_per_message_deflate=False, log_level="warning")
    protocol = kind(config, state, {})
    await wire.open(protocol)
    try:
        yield wire
    finally:
        protocol.connection_lost(None)
        await asyncio.wait(state.tasks, timeout=PATIENCE)


async def path(kind: type[WebSocketsSansIOProtocol], make_app: MakeApp, batch: int) -> float:
    """From bytes to bytes."""
    async with connected(kind, make_app, batch) as wire:
        await wire.run(WARM_UP // batch)
        began = time.process_time()
        await wire.run(CALLS // batch)
        return (time.process_time() - began) / CALLS * 1e6


async def paths(kind: type[WebSocketsSansIOProtocol], batch: int) -> dict[str, float]:
    return {
        "taken": await path(kind, lambda wire: stub(wire, answers=False), batch),
        "answered": await path(kind, lambda wire: stub(wire, answers=True), batch),
        "whole": await path(kind, lambda _: ours.app, batch),
    }


def looped(stage: Callable[[Any], object], inputs: Sequence[object]) -> float:
    began = time.process_time()
    for each in inputs:
        stage(each)
    return (time.process_time() - began) / len(inputs) * 1e6


async def awaited(stage: Callable[[Any], Awaitable[object]], inputs: Sequence[object]) -> float:
    began = time.process_time()
    for each in inputs:
        await stage(each)
    return (time.process_time() - began) / len(inputs) * 1e6


async def stages() -> dict[str, float]:
    router: Any = ours.router
    session = ServerSession(LIMIT, 1, time.monotonic)
    frames: list[Any] = [session.receive(text) for text in TEXTS]
    shared: Any = None  # a route without hooks and dependencies asks nothing of it
    calls = [Call(frame, shared, router._routes[frame.route]) for frame in frames]
    return {
        "session": looped(session.receive, TEXTS),
        "payload": looped(decode_payload, frames),
        "handler": await awaited(ours.add, [[1, 2, 3, 4]] * CALLS),
        "encoded": looped(encoded, UUIDS),
        "dispatch": await awaited(router._dispatcher.answer, calls),
    }


async def main() -> dict[str, Any]:
    ways = {"ours": WebSocketsSansIOProtocol, "lane": Protocol}
    whole = {
        str(batch): {name: await paths(kind, batch) for name, kind in ways.items()}
        for batch in BATCHES
    }
    return {"paths": whole, "stages": await stages()}


if __name__ == "__main__":
    os.sched_setaffinity(0, {cores()[0]})
    print(json.dumps(uvloop.run(main())))
