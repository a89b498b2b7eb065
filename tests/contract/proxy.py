"""A way to Redis with faults: cut, blocked in one direction or both, deaf, slow, or lying."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any, Self

import hiredis

UP, DOWN = "up", "down"
"""Towards the server, and back."""


class Passage:
    """One connection through the proxy."""

    def __init__(self, number: int, client: Any, server: Any) -> None:
        self.number = number
        self.listens = False
        """Whether it has subscribed."""
        self._ends = (client, server)
        self._tasks: list[asyncio.Task[None]] = []

    def cut(self) -> None:
        """Both ends are reset at once."""
        for _, writer in self._ends:
            end = writer.get_extra_info("socket")
            if end is not None and end.fileno() >= 0:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Listens on a port of its own, in the test's event loop."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._to = port
        self._tls = tls
        self._tasks: set[asyncio.Task[Any]] = set()
        self.passages: set[Passage] = set()
        self.opened = 0
        self.closed_to_new = False
        self.blocked: set[str] = set()
        """Directions in which nothing moves any more, without anybody being told."""
        self.deaf = False
        """Whether what is published is swallowed on the way to those who subscribed."""
        self.per_second: float | None = None
        self.refuse: Callable[[list[bytes]], bytes | None] = lambda command: None
        """The raw answer to a command that then never reaches the server."""
        self.alter: Callable[[bytes, Passage], bytes | None] = lambda data, passage: data
        """What arrives instead of what the server sent; None cuts the connection."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def url(self) -> str:
        return f"redis{'s' if self._tls else ''}://127.0.0.1:{self.port}/0"

    def cut(self, which: Callable[[Passage], bool] = lambda _: True) -> None:
        for passage in list(self.passages):
            if which(passage):
                passage.cut()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        if self.closed_to_new:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        passage = Passage(self.opened, (reader, writer), (there, back))
        self.passages.add(passage)
        up = asyncio.ensure_future(self._up(passage, reader, back, writer))
        down = asyncio.ensure_future(self._down(passage, there, writer))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.passages.discard(passage)
            up.cancel()
            down.cancel()
            for end in (writer, back):
                end.transport.abort()
            await asyncio.wait([up, down])

    async def _up(self, passage: Passage, reader: Any, server: Any, client: Any) -> None:
        commands = hiredis.Reader()
        while data := await self._read(reader):
            await self._pass(UP, len(data))
            commands.feed(data)
            onward = []
            while command := commands.gets():
                passage.listens = passage.listens or command[0] == b"SUBSCRIBE"
                refusal = self.refuse(command)
                if refusal is None:
                    onward.append(hiredis.pack_command(tuple(command)))
                else:
                    client.write(refusal)
            server.write(b"".join(onward))

    async def _down(self, passage: Passage, reader: Any, client: Any) -> None:
        while data := await self._read(reader):
            await self._pass(DOWN, len(data))
            if self.deaf and passage.listens:
                continue
            altered = self.alter(data, passage)
            if altered is None:
                passage.cut()
                return
            client.write(altered)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(65536)
        except OSError:
            return b""

    async def _pass(self, direction: str, size: int) -> None:
        if self.per_second is not None:
            await asyncio.sleep(size / self.per_second)
        while direction in self.blocked:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
