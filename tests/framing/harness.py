"""
One WebSocket connection of a server's protocol class, without sockets: what an application sees
and what the peer gets, whatever the bytes and however they are cut.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from fastapi_observable_socket.uvicorn import Protocol

from .wire import Sent, sent

for name in ("uvicorn", "uvicorn.error", "asyncio"):
    logging.getLogger(name).setLevel(logging.CRITICAL + 1)

UVICORN: Any = WebSocketsSansIOProtocol
LANE: Any = Protocol

EXTENSION = "fastapi_observable_socket"
MANY_TURNS = 2_000
"""In which nothing happens, though something should: it hangs."""

REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


async def _nothing(scope: Any, receive: Any, send: Any) -> None: ...


@cache
def config(max_size: int | None = 1 << 24, deflate: bool = False) -> Config:
    made = Config(
        _nothing,
        ws_max_size=max_size,  # type: ignore[arg-type]  # None is passed on as well
        ws_per_message_deflate=deflate,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
    )
    made.load()
    return made


class Wire(asyncio.Transport):
    """A transport that keeps what is written. Like asyncio's, it tells of its end at the next turn
    of the loop, and what is written after its closing goes nowhere."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.protocol: Any = None
        self.written = bytearray()
        self.writes = 0
        self.closing = self.lost = self.aborted = self.paused = False
        self.unsent = 0
        """What `get_write_buffer_size` says."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 1234), "sockname": ("192.0.2.2", 80)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closing:
            self.written += data
            self.writes += 1

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self.lose)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def lose(self, error: Exception | None = None) -> None:
        if not self.lost:
            self.closing = self.lost = True
            self.protocol.connection_lost(error)

    def is_reading(self) -> bool:
        return not (self.paused or self.closing)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def after_handshake(self) -> bytes:
        head, _, rest = bytes(self.written).partition(b"\r\n\r\n")
        return rest if head.startswith(b"HTTP/1.1 101 ") else b""


@dataclass(frozen=True)
class Manners:
    """How an application behaves. Numbers are of messages that it has received by then."""

    echoes: bool = False
    greets: bool = False
    slow: int = 0
    """Turns of the loop that it takes for each message."""
    closes: int | None = None
    code: int = 1000
    reason: str = ""
    returns: int | None = None
    stalls: int | None = None
    """It receives nothing more, until it is let go on."""
    by_lane: bool = False
    """It takes and puts where the server lets it."""
    late: bool = False
    """It accepts when it is let go on."""


class App:
    """An ASGI application that writes down what it receives."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self.events: list[tuple[Any, ...]] = []
        self.refused: list[str] = []
        self.rests = self.stalled = self.accepted = self.done = False
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._run(scope, receive, send)
        finally:
            self.done = True

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        manners = self.manners
        lane = scope["extensions"].get(EXTENSION, {}).get("lane") if manners.by_lane else None
        take = lane.take if lane else _none
        put = lane.put if lane else _none
        assert (await receive())["type"] == "websocket.connect"
        if manners.late:
            await self._stall()
        await send({"type": "websocket.accept"})
        self.accepted = True
        if manners.greets:
            await send({"type": "websocket.send", "text": "hello"})
        seen = 0
        closed = False
        while True:
            if seen == manners.closes and not closed:
                closed = True
                await self._send(send, "close", code=manners.code, reason=manners.reason)
            if seen == manners.returns:
                return
            if seen == manners.stalls:
                await self._stall()
            message: Any = take()
            if message is None:
                self.rests = True
                event = await receive()
                self.rests = False
                if event["type"] == "websocket.disconnect":
                    self.events.append(("disconnect", event["code"], event.get("reason")))
                    continue
                assert event["type"] == "websocket.receive"
                message = event.get("text")
                if message is None:
                    message = event["bytes"]
            self.events.append((type(message).__name__, message))
            seen += 1
            for _ in range(manners.slow):
                await asyncio.sleep(0)
            if manners.echoes:
                kind = "text" if type(message) is str else "bytes"
                if kind != "text" or not put(message):
                    await self._send(send, "send", **{kind: message})

    async def _send(self, send: Any, what: str, **more: Any) -> None:
        try:
            await send({"type": f"websocket.{what}", **more})
        except Exception as error:
            self.refused.append(f"{what}: {type(error).__name__}")

    async def _stall(self) -> None:
        self.stalled = True
        await self.go_on.wait()
        self.stalled = False

    def idles(self, queue: Any) -> bool:
        return self.done or self.stalled or (self.rests and queue.empty())


def _none(*_: Any) -> None:
    return None


@dataclass(frozen=True)
class Outcome:
    events: tuple[tuple[Any, ...], ...]
    """What the application saw, in order."""
    written: bytes = field(repr=False)
    """What the peer got, after the handshake."""
    closed: bool
    """Whether the server had closed before the end that the run brings."""
    refused: tuple[str, ...] = ()
    """Which sends have failed, and how."""


class Run:
    """One connection from its beginning to its end, as callbacks of a loop: no task of the harness
    runs while the protocol is told of data, as none does under a real transport.

    Pieces are delivered while reading is not paused: each when all has come to rest, or, given
    `gaps`, so many turns of the loop after the one before it. Then comes the end: "eof" and
    "lost" are the peer's, "shutdown" is the server's, "open" none.
    """

    def __init__(
        self,
        subject: Any,
        pieces: Iterable[bytes],
        manners: Manners = Manners(),
        *,
        max_size: int | None = 1 << 24,
        end: str = "eof",
        gaps: Iterable[int] | None = None,
        end_first: bool = False,
        early: int = 0,
    ) -> None:
        self.subject = subject
        self.pieces = list(pieces)[::-1]
        self.manners = manners
        self.config = config(max_size)
        self.end = end
        self.gaps = None if gaps is None else list(gaps)[::-1]
        self.end_first = end_first
        """Whether the end comes before an application that stalls is let go on."""
        self.early = early
        """Pieces that come before the application accepts."""
        self.outcome: Outcome | None = None

    def begin(self, loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
        self.loop, self.done = loop, done
        self.state = ServerState()
        self.app = App(self.manners)
        self.protocol = self.subject(self.config, self.state, {}, loop)
        self.protocol.app = self.app
        self.protocol.close_timeout = 3600  # a loop that had to wait has not closed it
        self.wire = Wire(loop)
        self.wire.protocol = self.protocol
        self.closed = self.ended = False
        self.turns = self.rests = self.gap = 0
        self.protocol.connection_made(self.wire)
        self.protocol.data_received(REQUEST + b"\r\n")
        loop.call_soon(self._turn)

    def _turn(self) -> None:
        self.turns += 1
        if self.turns > MANY_TURNS:
            self._finish(("hangs",))
            return
        try:
            goes_on = self._waits() or self._go_on()
        except Exception as error:
            self._finish(("raises", repr(error)))
            return
        if goes_on:
            self.loop.call_soon(self._turn)
        else:
            self._finish()

    def _waits(self) -> bool:
        app, wire = self.app, self.wire
        if self.gaps is not None and app.accepted and self.pieces and wire.is_reading():
            self.gap -= 1
            return self.gap >= 0
        if (wire.closing and not wire.lost) or not app.idles(self.protocol.queue):
            self.rests = 0
        else:
            self.rests += 1  # somebody may be about to be woken
        return self.rests < 2

    def _go_on(self) -> bool:
        """The next thing to be done; False where there is none."""
        self.turns = 0
        self.rests = 0
        app, wire = self.app, self.wire
        if app.stalled and not app.accepted:
            if self.early > 0 and self.pieces and wire.is_reading():
                self.early -= 1
                self.protocol.data_received(self.pieces.pop())
            else:
                app.go_on.set()
            return True
        if self.pieces and wire.is_reading():
            self.protocol.data_received(self.pieces.pop())
            self.gap = self.gaps.pop() if self.gaps else 0
            return True
        if app.stalled and not (self.end_first and not self.ended and not wire.paused):
            app.go_on.set()
            return True
        if not self.ended:
            self.ended = True
            self.closed = wire.closing
            self._end()
            return True
        return False

    def _end(self) -> None:
        wire = self.wire
        if wire.closing:
            return
        if self.end == "eof":
            if not self.protocol.eof_received():
                wire.close()
        elif self.end == "lost":
            wire.lose(ConnectionResetError())
        elif self.end == "shutdown":
            self.protocol.shutdown()

    def _finish(self, *more: tuple[Any, ...]) -> None:
        app = self.app
        self.outcome = Outcome(
            (*app.events, *more), self.wire.after_handshake(), self.closed, tuple(app.refused)
        )
        self.wire.lose()
        for task in self.state.tasks:
            task.cancel()
        self.loop.call_soon(self.done)


def run_all(loop: asyncio.AbstractEventLoop, runs: Iterable[Run], abreast: int = 16) -> None:
    """Run them, some abreast: the turns of the loop are shared."""
    raised: list[str] = []
    loop.set_exception_handler(lambda _, context: raised.append(str(context)))
    left = iter(runs)
    finished = loop.create_future()
    at_once = 0

    def next_run() -> None:
        nonlocal at_once
        run = next(left, None)
        if run is not None:
            run.begin(loop, next_run)
            return
        at_once -= 1
        if not at_once and not finished.done():
            finished.set_result(None)

    at_once = abreast
    for _ in range(abreast):
        loop.call_soon(next_run)
    loop.run_until_complete(finished)
    assert not raised, raised


class Line:
    """One connection in the hands of a test, whose application the test brings. Needs a loop."""

    def __init__(
        self,
        app: Any,
        subject: Any = LANE,
        *,
        max_size: int | None = 1 << 24,
        deflate: bool = False,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.raised: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.raised.append(str(context)))
        self.state = ServerState()
        self.protocol = subject(config(max_size, deflate), self.state, {}, self.loop)
        self.protocol.app = app
        self.wire = Wire(self.loop)
        self.wire.protocol = self.protocol
        self.protocol.connection_made(self.wire)

    async def open(self, behind: bytes = b"", headers: bytes = b"") -> Self:
        """Shake hands; `behind` comes in one piece with the request."""
        await self.come(REQUEST + headers + b"\r\n" + behind)
        return self

    async def come(self, *pieces: bytes) -> None:
        """Bytes from the peer, told in callbacks of the loop, as a transport tells them."""
        for piece in pieces:
            self.loop.call_soon(self.protocol.data_received, piece)
        await turns()

    async def call(self, what: Callable[..., object], *arguments: Any) -> None:
        """Something else that a transport or a server tells."""
        self.loop.call_soon(what, *arguments)
        await turns()

    @property
    def sent(self) -> list[Sent]:
        return sent(self.wire.after_handshake())

    async def leave(self) -> None:
        self.wire.lose()
        for task in [*self.state.tasks]:
            task.cancel()
        await turns()
        assert not self.raised, self.raised


async def turns(number: int = 6) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
