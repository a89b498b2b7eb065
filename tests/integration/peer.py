"""
A WebSocket client that may misbehave: frames by hand, over a plain socket.

It blocks, and never for longer than PATIENCE: a server that keeps silent fails the test.
"""

import json
import os
import socket
import struct
import threading
from collections.abc import Iterable
from typing import Any, NoReturn, Self

PATIENCE = 30.0
"""Seconds that anything may take on a busy machine. Only a failing test waits for them."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

ABNORMAL = 1006
"""The code of a connection that ended without a close frame."""


class Closed(Exception):
    """The server closed the connection."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Peer:
    """One connection. After the handshake `status` and `headers` are what it was answered."""

    def __init__(
        self,
        port: int,
        path: str = "/ws",
        headers: dict[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._file = self.socket.makefile("rb")
        self.send_raw(handshake(port, path, headers or {}))
        self.status = int(self._file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    # --- sending

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, *frames: Any) -> None:
        """Text frames, in one piece: a `str` as it is, anything else as JSON."""
        self.send_raw(b"".join(text_frame(frame) for frame in frames))

    def send_apart(self, *frames: Any) -> threading.Thread:
        """`send` in a thread, for more than the server reads before it wants to be read."""

        def sending() -> None:
            try:
                self.send(*frames)
            except OSError:
                pass  # what was not sent is not answered either

        thread = threading.Thread(target=sending, daemon=True)
        thread.start()
        return thread

    # --- receiving

    def receive_frame(self) -> tuple[int, bytes]:
        """Opcode and data of the next frame. Raises `Closed` where the stream ends."""
        try:
            first, second = self._read(2)
            length = second & 127
            if length == 126:
                (length,) = struct.unpack("!H", self._read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self._read(8))
            assert first & 0x80, "a fragment"
            return first & 15, self._read(length)
        except (ConnectionError, EOFError):
            raise Closed(ABNORMAL) from None

    def _read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise EOFError
        return data

    def receive(self) -> Any:
        """The next answer. Raises `Closed` at the end; the close is acknowledged."""
        while True:
            opcode, data = self.receive_frame()
            if opcode == TEXT:
                return strict_json(data.decode())
            if opcode == PING:
                self.send_raw(frame(PONG, data))
            elif opcode == CLOSE:
                code = struct.unpack("!H", data[:2])[0] if data else 1005
                try:
                    self.send_raw(frame(CLOSE, data[:2]))
                except OSError:
                    pass
                raise Closed(code, data[2:].decode())

    def receive_many(self, count: int) -> list[Any]:
        return [self.receive() for _ in range(count)]

    def receive_close(self) -> Closed:
        """How the connection ends; answers before that are skipped."""
        try:
            while True:
                self.receive()
        except Closed as closed:
            return closed

    def ask(self, *frames: Any) -> Any:
        """The one answer to the one request that `frames` are, in whatever pieces."""
        self.send(*frames)
        return self.receive()

    def assert_alive(self) -> None:
        """A normal call is answered, and nothing else comes before its answer."""
        question = {"uuid": "still there?", "route": "echo", "payload": os.urandom(4).hex()}
        answer = self.ask(question)
        assert answer == {
            "uuid": "still there?",
            "status": 200,
            "headers": {},
            "payload": question["payload"],
        }

    # --- leaving

    def close(self, code: int = 1000) -> None:
        """The closing handshake, as RFC 6455 has it."""
        self.send_raw(frame(CLOSE, struct.pack("!H", code)))
        self.receive_close()
        self.drop()

    def drop(self) -> None:
        self._file.close()
        self.socket.close()

    def reset(self) -> None:
        """Vanish: the server's kernel is told that this socket never was."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop()


def handshake(port: int, path: str = "/ws", headers: dict[str, str] | None = None) -> bytes:
    lines = {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA==",
        "Sec-WebSocket-Version": "13",
    } | (headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()


def frame(opcode: int, data: bytes, *, final: bool = True, masked: bool = True) -> bytes:
    first = (0x80 if final else 0) | opcode
    mask_bit = 0x80 if masked else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, mask_bit | len(data))
    elif len(data) < 1 << 16:
        head = struct.pack("!BBH", first, mask_bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, len(data))
    # A mask of zeros is a mask, and leaves the data readable.
    return head + (bytes(4) if masked else b"") + data


def text_frame(content: Any) -> bytes:
    text = content if isinstance(content, str) else json.dumps(content)
    return frame(TEXT, text.encode())


def requests(uuids: Iterable[Any], route: str, **members: Any) -> list[dict[str, Any]]:
    return [{"uuid": uuid, "route": route, **members} for uuid in uuids]


def strict_json(text: str) -> Any:
    """JSON as browsers read it, which know no NaN."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise AssertionError(f"{name} is not JSON")
