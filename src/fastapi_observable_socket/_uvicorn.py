"""
The lane itself: what it adds to uvicorn's sans-I/O protocol.

Bytes are kept as they come, and cut into messages when somebody asks for one. Whatever is no
plain frame is given to uvicorn's own parser, in the place where it stands.
"""

import asyncio
import logging
from asyncio import BaseTransport
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN

from ._arrival import Arrival, Step, at_once
from ._framing import BINARY, SHORT, SHORT_TEXT, TEXT, framed, is_sound, payload
from ._joined import MOST, JoinedTransport
from ._lane import EXTENSION, tell_once
from ._turn import next_turn

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

FULL = 64 * 1024
"""Bytes of messages that nobody takes, from which on no more are read."""

NO_LIMIT = 1 << 64
"""Bytes that no frame can have."""

FAIR_SHARE = 256
"""Messages that one application receives in a row before others get their turn."""

AT_ONCE = 64
"""Frames that are cut in one go, if they are short."""

ENOUGH = 16 * 1024
"""Bytes of frames behind which no more are cut in that go."""


class Events:
    """The queue of uvicorn's protocol, as far as it uses one."""

    __slots__ = ("_told", "events")

    def __init__(self, told: Callable[[], None]) -> None:
        self.events: deque[Any] = deque()
        self._told = told

    def put_nowait(self, event: Any) -> None:
        self.events.append(event)
        self._told()

    def empty(self) -> bool:
        return not self.events


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with a short way for plain frames, in and out.

    `take` and `put` are for applications that find it in their scope (see `_lane.Lane`);
    `receive` and `send` are ASGI's, and faster than without it.
    """

    __slots__ = (
        "_begun",
        "_buffer",
        "_busy",
        "_clean",
        "_early",
        "_events",
        "_flowing",
        "_fragmented",
        "_joined",
        "_limit",
        "_open",
        "_owed",
        "_place",
        "_ready",
        "_share",
        "_spare",
        "_spent",
        "_waiting",
        "step",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        events = Events(self._tell_soon)
        self.queue = events  # type: ignore[assignment]
        self._events = events.events
        self.step: Step = at_once
        size: int | None = self.config.ws_max_size
        self._limit = NO_LIMIT if size is None else size
        self._begun = False  # the handshake is over
        self._open = False  # and frames may take the short way
        self._ready: deque[str | bytes] = deque()  # messages; then there are no events
        self._buffer: bytes | bytearray = b""
        self._place = 0  # of the first byte there that is in nobody's hands
        self._owed = 0  # bytes of a frame whose head uvicorn has already
        self._fragmented = False  # uvicorn has the beginning of a message
        self._early = False
        self._clean = False  # a frame begins at `_place`, outside of messages in fragments
        self._spent = False  # nothing has come since nothing was there
        self._spare: Arrival | None = None
        self._busy = False  # bytes have come, and those who wait are about to be told
        self._flowing = True
        self._share = FAIR_SHARE
        self._waiting: deque[Arrival] = deque()

    # --- what the transport tells

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._joined = JoinedTransport(cast(asyncio.Transport, transport), next_turn(self.loop))
        self.transport = cast(asyncio.Transport, self._joined)

    def data_received(self, data: bytes) -> None:
        joined = self._joined
        self._busy = joined.due = True
        try:
            if self._open and self._place == len(self._buffer):
                self._buffer, self._place = data, 0
            else:
                self._take_in(data)
            self._spent = False
            waiting = self._waiting
            if waiting and self._clean and not self._events and self._cut():
                waiting.popleft().arrive()
            # Also where nobody receives: pings and closes are nobody's to take.
            while not self._spent and (self._at_message() or self._events) and waiting:
                waiting.popleft().arrive()
            if len(self._buffer) - self._place > FULL and self._at_message():
                self._pause()
        finally:
            self._busy = joined.due = False
            joined.flush()
            if self._events:
                self._tell_soon()

    def _take_in(self, data: bytes) -> None:
        if not self.handshake_initiated:
            super().data_received(data)
            end = data.find(b"\r\n\r\n") + 4
            self._early = end != len(data)  # frames, or a part of one, which uvicorn has now
            return
        if self._begun and not self._open:
            super().data_received(data)
            return
        if type(self._buffer) is bytes or self._place:
            self._buffer = bytearray(memoryview(self._buffer)[self._place :])
            self._place = 0
        self._buffer += data
        if not self._begun and len(self._buffer) > FULL:
            self._pause()

    def eof_received(self) -> None:
        self._close_lane()  # while there is a connection: a close among it has its code
        super().eof_received()
        self._joined.flush()  # for the transport closes itself now

    def connection_lost(self, exc: Exception | None) -> None:
        self._joined.drop()
        self.read_paused = True  # there is nothing to pause any more
        self._close_lane()
        super().connection_lost(exc)
        self.resume_writing()  # no transport does so any more

    def pause_writing(self) -> None:
        self._flowing = False
        self.writable.clear()  # uvicorn 0.52 leaves that to nobody

    def resume_writing(self) -> None:
        self._flowing = True
        self.writable.set()

    # --- what the server tells

    def shutdown(self) -> None:
        self._close_lane()
        if self.conn.state is OPEN or not self.transport.is_closing():
            super().shutdown()

    def keepalive_timeout(self) -> None:
        self._close_lane()
        if self.pending_ping_payload is not None:  # the answer was behind what nobody took
            super().keepalive_timeout()

    # --- frames

    def take(self) -> str | bytes | None:
        """The next message, if it is there and came in one frame; None where `receive` tells
        what there is instead."""
        if self._ready:
            return self._ready.popleft()
        if self._spent:
            return None
        while (self._clean and not self._events and self._cut()) or self._at_message():
            if self._ready or self._cut():
                return self._ready.popleft()
            # No text: uvicorn knows what to do about it.
            self._give(payload(self._buffer, self._place)[1] - self._place)
        self._spent = not self._events  # behind these there may be more
        self._read_on()
        return None

    def _at_message(self) -> bool:
        """Whether a message that came in one frame is next. What stands before it is given to
        uvicorn."""
        if self._ready:
            return True
        while self._open and not self._events:
            self._clean = False
            if self._owed:
                self._give(self._owed)
                if self._owed:
                    return False
                continue
            buffer, place = self._buffer, self._place
            if len(buffer) - place < 2:
                self._clean = not self._fragmented
                return False
            first, second = buffer[place], buffer[place + 1]
            if not is_sound(first, second):
                self._close_lane()
                return False
            begin, end = payload(buffer, place)
            if not end:
                return False
            if end - begin > self._limit:
                self._close_lane()
                return False
            if not self._fragmented and first in (TEXT, BINARY):
                self._clean = True
                return end <= len(buffer)
            if first & 0x0F < 8:
                self._fragmented = first < 0x80
            self._owed = end - place
        return False

    def _cut(self) -> bool:
        """Cut messages out of the bytes, up to the first frame that needs more thought."""
        buffer, place = self._buffer, self._place
        last, limit, ready = len(buffer), self._limit, self._ready
        enough = place + ENOUGH
        try:
            for _ in range(AT_ONCE):
                if last - place < 6 or place > enough:
                    break
                first, size = buffer[place], buffer[place + 1] - 128
                if first == TEXT and 0 <= size <= SHORT:
                    begin = place + 6
                    end = begin + size
                elif first in (TEXT, BINARY) and size >= 0:
                    begin, end = payload(buffer, place)
                    if not end:
                        break
                else:
                    break
                if end > last or end - begin > limit:
                    break
                data = apply_mask(buffer[begin:end], buffer[begin - 4 : begin])
                ready.append(data.decode() if first == TEXT else data)
                place = end
        except UnicodeDecodeError:
            pass
        self._place = place
        return bool(ready)

    def _give(self, size: int) -> None:
        """Give the next bytes to uvicorn: `size`, or as many of them as are there."""
        place = self._place
        given = bytes(self._buffer[place : place + size])
        self._place = place + len(given)
        self._owed = max(0, self._owed - len(given))
        super().data_received(given)
        if self.conn.state is not OPEN or self.close_sent:
            self._close_lane()

    def _close_lane(self) -> None:
        """From here on all is uvicorn's, also what nobody has taken."""
        self._open = self._clean = False
        if self.close_sent:
            self._ready.clear()
        while self._ready:
            self._events.append(_received(self._ready.popleft()))
        rest, place, end = self._buffer, self._place, self._place + self._owed
        self._buffer, self._place, self._owed = b"", 0, 0
        # Frame by frame, as far as uvicorn would read: with a fault it forgets what came
        # in the same piece.
        while place < len(rest) and self._reads():
            if end == place:
                end = payload(rest, place)[1] if len(rest) - place > 1 else 0
            given = bytes(rest[place : end or None])
            place = end = place + len(given)
            super().data_received(given)
        self._tell_soon()

    def _reads(self) -> bool:
        if not self._begun or self.conn.parser_exc is not None:
            return False
        return self.conn.state is OPEN or not self.transport.is_closing()

    # --- what the application asks

    def put(self, text: str) -> bool:
        """Send a text; False where `send` is to be asked, which may wait or fail."""
        if not (self._open and self._flowing):
            return False
        joined, data = self._joined, text.encode()
        if (size := len(data)) <= SHORT:
            out = joined.out
            out.append(SHORT_TEXT[size] + data)
            if not joined.due or len(out) >= MOST:
                joined.wrote(size)
        else:
            joined.write(framed(TEXT, data))
        return True

    def push(self, text: str) -> bool:
        """As `put`, for a text that others get as well: framed once for all of them."""
        if not (self._open and self._flowing):
            return False
        self._joined.write(_framed_once(text))
        return True

    async def send(self, message: Any) -> None:
        """ASGI's."""
        if self._open and message["type"] == "websocket.send":
            frame = _sent(message)
            await self.writable.wait()
            if self._open:
                self._joined.write(frame)
                return
        await super().send(message)
        if self._open and self.close_sent:
            self._close_lane()
        if not self._begun:
            self._begin()

    def _begin(self) -> None:
        if not self.handshake_complete:
            return
        self._begun = True
        self._spent = False  # what has come before is only looked at from here on
        self._open = self.conn.state is OPEN and not (self.conn.extensions or self._early)
        # Nobody asks for them again, and they are as large as all the rest.
        self.request = self.response = None  # type: ignore[assignment]
        if not self._open:
            self._close_lane()
        self._read_on()
        self.loop.call_soon(self._tell)

    async def receive(self) -> Any:
        """ASGI's."""
        if not self._share:
            self._share = FAIR_SHARE
            await asyncio.sleep(0)
        self._share -= 1
        while True:
            message = self.take()
            if message is not None:
                return _received(message)
            if self._events:
                event = self._events.popleft()
                if len(self._buffer) - self._place <= FULL:
                    self._read_on()
                return event
            self._share = FAIR_SHARE
            arrival = self._spare or Arrival(self.loop)
            self._spare = None
            arrival.step = self.step
            self._waiting.append(arrival)
            try:
                await arrival
                self._spare = arrival
            except asyncio.CancelledError:
                if arrival in self._waiting:
                    self._waiting.remove(arrival)
                raise

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.close_sent:
            return
        if self.conn.extensions:
            why = "where clients compress (--ws-per-message-deflate false)"
            tell_once(logging.WARNING, f"the fast lane is off {why}")
        else:
            self.scope.setdefault("extensions", {})[EXTENSION] = {"lane": self}

    # --- who waits

    def _tell_soon(self) -> None:
        """There may be something to receive."""
        if self._waiting and not self._busy:
            self.loop.call_soon(self._tell)

    def _tell(self) -> None:
        while (self._at_message() or self._events) and self._waiting:
            self._waiting.popleft().arrive()

    def _pause(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        if self._place == len(self._buffer):
            self._buffer, self._place = b"", 0  # it may be large, and all of it is taken
        if self.read_paused and not self._events and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()


@lru_cache(1)
def _framed_once(text: str) -> bytes:
    return framed(TEXT, text.encode())


def _sent(message: Mapping[str, Any]) -> bytes:
    data, text = message.get("bytes"), message.get("text")
    if data is not None:
        return framed(BINARY, data)
    return b"" if text is None else framed(TEXT, text.encode())


def _received(message: str | bytes) -> dict[str, Any]:
    if type(message) is str:
        return {"type": "websocket.receive", "text": message}
    return {"type": "websocket.receive", "bytes": message}
