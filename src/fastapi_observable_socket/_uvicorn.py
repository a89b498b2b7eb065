"""
The lane itself: what it adds to uvicorn's sans-I/O protocol.

Bytes are kept as they come, and cut into messages when somebody asks for one. Whatever is no
plain frame is given to uvicorn's own parser, in the place where it stands.
"""

import asyncio
import logging
from asyncio import BaseTransport
from collections import deque
from collections.abc import Mapping
from struct import Struct
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import CONNECTING, OPEN

from ._arrival import Arrival
from ._framing import BINARY, TEXT, binary_frame, is_sound, text_frame
from ._joined import JoinedTransport
from ._lane import EXTENSION, tell_once
from ._turn import next_turn

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

FULL = 64 * 1024
"""Bytes of messages that nobody takes, from which on no more are read."""

FAIR_SHARE = 256
"""Messages that one application receives in a row before others get their turn."""

_two = Struct("!H").unpack_from
_eight = Struct("!Q").unpack_from


class Events:
    """The queue of uvicorn's protocol, as far as it uses one."""

    __slots__ = ("_events", "_told")

    def __init__(self, told: Any) -> None:
        self._events: deque[Any] = deque()
        self._told = told

    def put_nowait(self, event: Any) -> None:
        self._events.append(event)
        self._told()

    def empty(self) -> bool:
        return not self._events

    def get_nowait(self) -> Any:
        return self._events.popleft()


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with a short way for plain frames, in and out.

    `take` and `put` are for applications that find it in their scope (see `_lane.Lane`);
    `receive` and `send` are ASGI's, and faster than without it.
    """

    __slots__ = (
        "_begun",
        "_buffer",
        "_busy",
        "_flowing",
        "_fragmented",
        "_joined",
        "_limit",
        "_open",
        "_owed",
        "_place",
        "_plain",
        "_share",
        "_waiting",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = Events(self._told)  # type: ignore[assignment]
        self._limit = self.config.ws_max_size
        self._begun = False  # the handshake is over
        self._open = False  # and frames may take the short way
        self._plain = False  # the next byte begins a frame, which may be a plain one
        self._buffer: bytes | bytearray = b""
        self._place = 0  # of the first byte there that is in nobody's hands
        self._owed = 0  # bytes of a frame whose head uvicorn has already
        self._fragmented = False  # uvicorn has the beginning of a message
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
        self._busy = self._joined.held = True
        try:
            self._take_in(data)
            for _ in range(len(self._waiting)):
                if self.queue.empty() and not self._at_message():
                    break
                self._waiting.popleft().arrive()
            if len(self._buffer) - self._place > FULL and self._at_message():
                self._pause()
        finally:
            self._busy = self._joined.held = False
            self._joined.flush()
            if self._waiting and not self.queue.empty():
                self._told()

    def _take_in(self, data: bytes) -> None:
        if not self.handshake_initiated or (self._begun and not self._open):
            super().data_received(data)
        elif self._place == len(self._buffer):
            self._buffer, self._place = data, 0
        else:
            if type(self._buffer) is bytes or self._place:
                self._buffer = bytearray(memoryview(self._buffer)[self._place :])
                self._place = 0
            self._buffer += data
        if not self._begun and len(self._buffer) > FULL:
            self._pause()

    def connection_lost(self, exc: Exception | None) -> None:
        self._joined.drop()
        self.read_paused = True  # there is nothing to pause any more
        self._close_lane()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._flowing = False
        super().pause_writing()

    def resume_writing(self) -> None:
        self._flowing = True
        super().resume_writing()

    # --- what the server tells

    def shutdown(self) -> None:
        self._close_lane()
        super().shutdown()

    def keepalive_timeout(self) -> None:
        self._close_lane()
        super().keepalive_timeout()

    # --- frames

    def take(self) -> str | bytes | None:
        """The next message, if it is there and came in one frame; None where `receive` tells
        what there is instead."""
        buffer, place = self._buffer, self._place
        if self._plain and len(buffer) - place >= 6 and buffer[place] == TEXT:
            begin = place + 6
            end = begin - 128 + buffer[place + 1]
            if begin <= end <= len(buffer) and end - begin < 126:
                data = apply_mask(buffer[begin:end], buffer[place + 2 : begin])
                try:
                    text = data.decode()
                except UnicodeDecodeError:
                    return self._take_any()
                self._place = end
                return text
        return self._take_any()

    def _take_any(self) -> str | bytes | None:
        while self._at_message():
            buffer, place = self._buffer, self._place
            begin, end = self._bounds(buffer, place)
            data = apply_mask(buffer[begin:end], buffer[begin - 4 : begin])
            if buffer[place] == BINARY:
                self._place = end
                return data
            try:
                text = data.decode()
            except UnicodeDecodeError:
                self._give(end - place)  # uvicorn knows what to do about it
                continue
            self._place = end
            return text
        self._read_on()
        return None

    def _at_message(self) -> bool:
        """Whether a message in one frame is next, and whole. What stands before it is given to
        uvicorn."""
        while self._open and self.queue.empty():
            if self._owed:
                self._give(self._owed)
                if self._owed:
                    return False
                self._plain = not self._fragmented
            buffer, place = self._buffer, self._place
            size = len(buffer) - place
            if size < 2:
                return False
            first, second = buffer[place], buffer[place + 1]
            if not is_sound(first, second):
                self._close_lane()
                return False
            head = 6 if second < 254 else 8 if second == 254 else 14
            if size < head - 4:
                return False
            begin, end = self._bounds(buffer, place)
            if end - begin > self._limit:
                self._close_lane()
                return False
            if not self._fragmented and first in (TEXT, BINARY):
                return end <= len(buffer)
            if first & 0x0F < 8:
                self._fragmented = first < 0x80
            self._owed = end - place
            self._plain = False
        return False

    def _bounds(self, buffer: bytes | bytearray, place: int) -> tuple[int, int]:
        """Where the payload of a frame begins and ends."""
        size = buffer[place + 1] & 0x7F
        if size < 126:
            return place + 6, place + 6 + size
        if size == 126:
            return place + 8, place + 8 + int(_two(buffer, place + 2)[0])
        return place + 14, place + 14 + int(_eight(buffer, place + 2)[0])

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
        self._open = self._plain = False
        rest = bytes(self._buffer[self._place :])
        self._buffer, self._place = b"", 0
        if rest and self.conn.state is not CONNECTING and self.conn.parser_exc is None:
            super().data_received(rest)

    # --- what the application asks

    def put(self, text: str) -> bool:
        """Send a text; False where `send` is to be asked, which may wait or fail."""
        if not (self._open and self._flowing):
            return False
        self._joined.write(text_frame(text))
        return True

    async def send(self, message: Any) -> None:
        """ASGI's."""
        if self._open:
            if message["type"] == "websocket.send":
                frame = _sent(message)
                await self.writable.wait()
                if self._open:
                    self._joined.write(frame)
                    return
            else:
                self._close_lane()
        await super().send(message)
        if not self._begun:
            self._begin()

    def _begin(self) -> None:
        if not self.handshake_complete:
            return
        self._begun = True
        self._open = not (self.conn.extensions or self.close_sent or self.disconnected)
        self._plain = self._open and self._limit > 125
        # Nobody asks for them again, and they are as large as all the rest.
        self.request = self.response = None  # type: ignore[assignment]
        if not self._open:
            self._close_lane()
        self._read_on()
        self._told()

    async def receive(self) -> Any:
        """ASGI's."""
        while True:
            if not self.queue.empty():
                event = self.queue.get_nowait()
                self._read_on()
                return event
            message = self.take()
            if message is not None:
                self._share -= 1
                if not self._share:
                    self._share = FAIR_SHARE
                    await asyncio.sleep(0)
                return _received(message)
            if self.queue.empty():
                await self._arrival()

    async def _arrival(self) -> None:
        arrival = Arrival(self.loop)
        self._waiting.append(arrival)
        self._share = FAIR_SHARE
        try:
            await arrival
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

    def _told(self) -> None:
        """Something is to be received. Who waits is told of it, at the loop's next turn."""
        if self._waiting and not self._busy:
            self.loop.call_soon(self._tell)

    def _tell(self) -> None:
        while self._waiting and (not self.queue.empty() or self._at_message()):
            self._waiting.popleft().arrive()

    def _pause(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        if self.read_paused and self.queue.empty() and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()


def _sent(message: Mapping[str, Any]) -> bytes:
    data, text = message.get("bytes"), message.get("text")
    if data is not None:
        return binary_frame(data)
    return b"" if text is None else text_frame(text)


def _received(message: str | bytes) -> dict[str, Any]:
    if type(message) is str:
        return {"type": "websocket.receive", "text": message}
    return {"type": "websocket.receive", "bytes": message}
