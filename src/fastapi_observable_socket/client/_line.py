"""
One WebSocket of the client, from its handshake to its end.

It tells its end exactly once, and at once: a dead network is not waited for. It never comes
back; the life of a connection opens another.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.asyncio.server import broadcast
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    SecurityError,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import State as WebSocketState

ABNORMAL = 1006
"""The code of what ended without a close frame."""

HIGH_WATER = 256 * 1024
"""Bytes on their way out before who sends without end is made to wait."""

_OPEN = WebSocketState.OPEN
_TEXT = Opcode.TEXT
_MESSAGES = (Opcode.TEXT, Opcode.BINARY)
"""What a message begins with."""


@dataclass(frozen=True, slots=True)
class End:
    """How a connection, or an attempt at one, ended.

    `code` is 1006 where there was no close frame; `cause` is the exception that tells more, if
    there was one. `final`: it would be no better next time. `retry_after`: seconds for which
    the server asked to be left alone. `wait`: seconds until the next attempt, None where there
    will be none.
    """

    code: int
    reason: str = ""
    cause: BaseException | None = None
    final: bool = False
    retry_after: float = 0.0
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`rate`: seconds of silence before a PING; `timeout`: seconds for any frame to follow."""

    rate: float = 25.0
    timeout: float = 10.0


async def opened(url: str, headers: list[tuple[str, str]], options: dict[str, Any]) -> "Line":
    """A line to `url`. `options` are those of websockets' `connect`."""
    chosen: dict[str, Any] = {
        "compression": None,  # costs more than a small frame is worth
        "max_size": None,
        # Whoever reads takes every frame at once: what waits here is a chunk of the network's.
        "max_queue": 1 << 16,
        "close_timeout": 1.0,
        **options,
        "ping_interval": None,  # the protocol has its own heartbeat
        "open_timeout": None,
        "additional_headers": headers,
    }
    connection = await dial(url, **chosen, create_connection=Socket)
    assert isinstance(connection, Socket)
    return Line(connection)


class Socket(ClientConnection):
    """Gives each text to `take` as it arrives, which spares the way through a queue and a task.

    What comes in fragments, is binary or cannot be read goes the usual way to `recv`, and so does
    what comes behind it. Should a version of websockets not call `process_event`, all of it does.
    """

    take: Callable[[str], None] | None = None
    behind = 0
    """Messages that went the usual way, and were not received yet."""

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode in _MESSAGES:
            if self.take is not None and not self.behind and event.fin and event.opcode is _TEXT:
                try:
                    text = str(event.data, "utf-8")
                except UnicodeDecodeError:
                    pass  # `recv` knows what to do about it
                else:
                    self.take(text)
                    return
            self.behind += 1
        super().process_event(event)


class Line:
    """An open socket. `read` is to be awaited once; it gives everything to its `take`."""

    __slots__ = (
        "_end",
        "_heard",
        "_loop",
        "_ping",
        "_pinged",
        "_rate",
        "_said",
        "_soon",
        "_timeout",
        "_timer",
        "blame",
        "ws",
    )

    def __init__(self, ws: Socket) -> None:
        self.ws = ws
        self.blame: BaseException | None = None
        """What the server said of us, if it is going to close for that."""
        self._loop = asyncio.get_running_loop()
        self._end: End | None = None
        self._soon: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pinged = 0.0
        self._heard = self._said = self._loop.time()

    def send(self, text: str, soon: bool = False) -> bool:
        """Write at once, or `soon`: together with others of this turn of the loop. False where
        the line is not open any more: nothing was written."""
        if self.ws.state is not _OPEN:
            return False
        self._said = self._loop.time()
        if soon:
            if not self._soon:
                self._loop.call_soon(self._flush)
            self._soon.append(text)
            return True
        if self._soon:
            self._flush()
        # The one public way of websockets to send without waiting.
        broadcast((self.ws,), text)
        return True

    def _flush(self) -> None:
        texts, self._soon = self._soon, []
        if texts and self.ws.state is _OPEN:
            protocol = self.ws.protocol
            for text in texts:
                protocol.send_text(text.encode())
            # Each write is a system call, which costs as much as the rest of a small call.
            self.ws.transport.write(b"".join(protocol.data_to_send()))

    @property
    def full(self) -> bool:
        """So much is on its way out that it is better to `drain` first."""
        return self.ws.transport.get_write_buffer_size() > HIGH_WATER

    async def drain(self) -> None:
        """Until some of what is on its way has left, or the line is over."""
        try:
            # A pong that nobody asked for is allowed, means nothing, and waits for its turn.
            await self.ws.pong(b"")
        except ConnectionClosed:
            pass

    async def read(self, take: Callable[[str | bytes], None]) -> End:
        """Give every message to `take`, which must not raise, until the line is over."""

        def heard(message: str | bytes) -> None:
            self._heard = self._loop.time()
            take(message)

        self.ws.take = heard
        try:
            while True:
                message = await self.ws.recv()
                self.ws.behind -= 1
                heard(message)
        except ConnectionClosed as error:
            return self._end or end_of_line(error, self.blame)
        finally:
            self.ws.take = None
            self.silence()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye; after a second without an answer, just go. Never raises."""
        self.silence()
        self._flush()
        try:
            await self.ws.close(code, reason)
        except Exception:
            self.ws.transport.abort()

    def abort(self, reason: str) -> None:
        """Be gone, at once."""
        self._end = self._end or End(ABNORMAL, reason)
        self.ws.transport.abort()

    # --- the heartbeat: one timer looks now and then, frames only leave a note

    def watch(self, heartbeat: Heartbeat, ping: Callable[[], str]) -> None:
        """Send `ping()` when it is quiet, and leave a line on which nothing follows."""
        self._rate = heartbeat.rate
        self._timeout = heartbeat.timeout
        self._ping = ping
        self._later(self._due())

    def silence(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> float:
        # Also when only we were silent: the server wants to hear from us, too.
        return min(self._heard, self._said) + self._rate

    def _later(self, when: float) -> None:
        self.silence()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        # A line that is closing, and is not gone by now, is as dead as a silent one.
        if self.ws.state is not _OPEN or (self._pinged and self._heard <= self._pinged):
            self.abort(f"no sign of life within {self._timeout:g} s")
        elif self._due() > now:
            self._pinged = 0.0
            self._later(self._due())
        else:
            self._pinged = now
            self.send(self._ping())
            self._later(now + self._timeout)


# --- how it ended


def end_of_line(error: ConnectionClosed, blame: BaseException | None) -> End:
    """How an open line ended."""
    rcvd, sent = error.rcvd, error.sent
    if rcvd is not None and (sent is None or error.rcvd_then_sent):
        return End(rcvd.code, rcvd.reason, blame or error)
    if sent is not None and sent.code not in (1000, 1001):
        return End(sent.code, sent.reason, blame or error)
    code = ABNORMAL if rcvd is None else rcvd.code
    return End(code, "" if rcvd is None else rcvd.reason, blame or error)


def end_of_attempt(error: Exception) -> End:
    """Why there is no line, and whether there ever will be."""
    if isinstance(error, InvalidStatus):
        return _refused(error)
    # An address, an option or a certificate that will not do now will not do later.
    final = isinstance(error, (InvalidURI, SecurityError, TypeError, ssl.SSLCertVerificationError))
    what = "no WebSocket there: " if isinstance(error, InvalidHandshake | EOFError) else ""
    return End(ABNORMAL, f"{what}{error}" or type(error).__name__, error, final)


def _refused(error: InvalidStatus) -> End:
    status = error.response.status_code
    after = error.response.headers.get("Retry-After", "")
    wait = min(float(after), 3600.0) if after.isascii() and after.isdecimal() else 0.0
    final = 400 <= status < 500 and status not in (408, 425, 429)
    return End(ABNORMAL, f"the handshake was refused with HTTP {status}", error, final, wait)
