"""
Connections to Redis whose frames are ours: pipelined, and never silent about their end.

redis-py has opened them and signed in.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

TICKS = 3
"""Looks at a silent connection before it is given up. Counted, not timed: an event loop that was
held up for long has not listened, and that is no fault of the connection."""


class Lost(Exception):
    """The connection ended; `sent`: what was asked may have been done."""

    def __init__(self, why: str, sent: bool = True) -> None:
        super().__init__(why)
        self.sent = sent


class Link:
    """One pipelined connection. Answers come in the order of the commands. `lost` is resolved
    with the reason when it ends, also when nothing is heard for `patience` seconds though an
    answer is due; then what was asked raises `Lost`."""

    def __init__(self, connection: Any, patience: float) -> None:
        self._connection = connection
        self._reader: asyncio.StreamReader = connection._reader
        self._writer: asyncio.StreamWriter = connection._writer
        self._parser = hiredis.Reader(notEnoughData=_NOTHING)
        self._pending: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._silent = 0
        self._timer = self._loop.call_later(patience / TICKS, self._tick)
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._reading = self._loop.create_task(self._read())

    def send(self, *command: Any, replies: int = 1) -> "asyncio.Future[Any]":
        """Write a command; the future is its answer, or the last of its `replies`."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self.lost.done():
            answer.set_exception(Lost(self.lost.result(), sent=False))
            return answer
        self.write(command)  # raises for what cannot be written: then no answer will come, either
        self._pending.append((answer, replies))
        return answer

    def write(self, command: Sequence[Any]) -> None:
        """Write what has no answer. All of one turn leaves in one piece."""
        packed = hiredis.pack_command(tuple(command))
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.lost.done():
            try:
                self._writer.write(b"".join(out))
            except Exception as error:
                self.end(str(error))

    async def _read(self) -> None:
        why = "the server closed the connection"
        try:
            while data := await self._reader.read(256 * 1024):
                self._silent = 0
                self._parser.feed(data)
                while (reply := self._parser.gets()) is not _NOTHING:
                    self._take(reply)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            self.end(why)

    def _take(self, reply: Any) -> None:
        if not self._pending:
            raise ValueError(f"an answer that nobody asked for: {reply!r}")
        answer, _ = self._pending.popleft()
        if answer.done():
            return  # whoever asked has gone
        if isinstance(reply, hiredis.ReplyError):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def _due(self) -> bool:
        return bool(self._pending)

    def _tick(self) -> None:
        self._silent = self._silent + 1 if self._due() else 0
        if self._silent > TICKS:
            self.end("no answer in time")
        else:
            self._timer = self._loop.call_later(self._patience / TICKS, self._tick)

    def end(self, why: str) -> None:
        """Drop it at once; what was asked is lost."""
        if self.lost.done():
            return
        self.lost.set_result(why)
        self._timer.cancel()
        self._writer.transport.abort()
        if self._reading is not asyncio.current_task():
            self._reading.cancel()
        for answer, _ in self._pending:
            if not answer.done():
                answer.set_exception(Lost(why))
                answer.exception()  # whoever still waits is told; others need not hear of it
        self._pending.clear()

    async def ended(self) -> None:
        """Until nothing of it is left."""
        self.end("closed")
        try:
            await asyncio.wait([self._reading])
        finally:
            await drop(self._connection)


class PushLink(Link):
    """The connection to which the server tells what is published: `on_push` gets channel and
    text. Confirmations count by their order, so one of an earlier SUBSCRIBE is never taken for
    that of a later one."""

    def __init__(
        self, connection: Any, patience: float, on_push: Callable[[bytes, bytes], None]
    ) -> None:
        super().__init__(connection, patience)
        self._on_push = on_push
        self._confirmed = 0
        self.probing = False
        """Whether something is on its way here that has to arrive."""

    def subscribe(self, channels: Sequence[bytes]) -> "asyncio.Future[Any]":
        """The future is resolved when all are confirmed."""
        return self.send("SUBSCRIBE", *channels, replies=len(channels))

    def _take(self, reply: Any) -> None:
        kind = reply[0] if isinstance(reply, list) else None
        if kind == b"message":
            self._on_push(reply[1], reply[2])
        elif kind == b"subscribe":
            self._confirmed += 1
            if self._confirmed == self._pending[0][1]:
                self._confirmed = 0
                super()._take(reply)
        elif kind is None:
            super()._take(reply)

    def _due(self) -> bool:
        return self.probing or super()._due()


_NOTHING: Any = object()


async def drop(connection: Any) -> None:
    with contextlib.suppress(Exception):
        await connection.disconnect(nowait=True)
