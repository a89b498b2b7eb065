"""
A socket without a wire: one request of the same process, served as every other socket is.

Whoever comes by another way than WebSocket goes through the same gate, session and dispatch,
by the same rules.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Self

import msgspec

from ._wire import Header, Request, encode_request

Message = MutableMapping[str, Any]
Serve = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]

UUID = 1
HELLO = 0


class Answer(msgspec.Struct):
    """One frame that answers our request, or our `$hello`."""

    uuid: Any
    status: int = 0
    headers: Header | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")


class Refused(Exception):
    """The socket was not accepted, or was closed before the last answer: with this HTTP status,
    these headers, and this body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


BY_CLOSE_CODE = {
    1001: 503,
    1008: 403,
    1009: 413,
    1012: 503,
    1013: 503,
    4008: 503,
    4401: 401,
    4403: 403,
    4408: 503,
    4009: 413,
    4012: 503,
    4013: 503,
}
"""What the end of a socket means to who asked by HTTP."""

_answers = msgspec.json.Decoder(Answer)


class Loopback:
    """The peer's end of it, as an async context manager; leaving cancels what still runs.

    `scope` is that of the HTTP request: its headers, user and state are the socket's.
    """

    def __init__(self, serve: Serve, scope: MutableMapping[str, Any]) -> None:
        self._serve = serve
        self._scope = socket_scope(scope)
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._frames: asyncio.Queue[Answer | Refused] = asyncio.Queue()
        self._accepted = False
        self._start: Message = {}
        self._body = b""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1000, "reason": ""})
        assert self._task is not None
        # Not to be cut short: what was begun for this peer is undone in there.
        await asyncio.shield(self._task)

    def say(
        self, route: str, payload: Any = None, headers: Header | None = None, uuid: int = UUID
    ) -> None:
        """Raises `Unserialisable`."""
        text = encode_request(Request(uuid, route, headers or {}, payload))
        self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    async def answer(self) -> Answer:
        """The next frame that answers what was said. Raises `Refused` where there is none."""
        found = await self._frames.get()
        if isinstance(found, Refused):
            raise found
        return found

    async def _run(self) -> None:
        try:
            await self._serve(self._scope, self._to_app.get, self._send)
        except Exception:
            self._frames.put_nowait(refused(500, "internal error", "internal"))
            raise
        self._frames.put_nowait(refused(503, "the socket was closed", "unavailable"))

    async def _send(self, message: Message) -> None:
        match message["type"]:
            case "websocket.accept":
                self._accepted = True
            case "websocket.send":
                self._take(message.get("text") or "")
            case "websocket.close":
                self._frames.put_nowait(self._closed(message))
            case "websocket.http.response.start":
                self._start = message
            case "websocket.http.response.body":
                self._body += message.get("body", b"")
                if not message.get("more_body"):
                    self._frames.put_nowait(self._denied())

    def _take(self, text: str) -> None:
        try:
            answer = _answers.decode(text)
        except msgspec.DecodeError:
            return  # what a handler sent by itself, to a peer that hears nothing
        # Pushes and calls of the server are not for who waits for one answer.
        if answer.status and answer.uuid in (UUID, HELLO):
            self._frames.put_nowait(answer)

    def _closed(self, message: Message) -> Refused:
        code, reason = message.get("code", 1000), message.get("reason") or ""
        status = BY_CLOSE_CODE.get(code, 500) if self._accepted else 403
        return refused(status, reason or "the socket was closed", "refused")

    def _denied(self) -> Refused:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in self._start["headers"]}
        return Refused(self._start["status"], headers, self._body)


def refused(status: int, message: str, code: str) -> Refused:
    return Refused(status, {}, msgspec.json.encode({"message": message, "code": code}))


def socket_scope(scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """That of a socket, from an HTTP request's."""
    taken = {k: v for k, v in scope.items() if k not in ("method", "fastapi_astack")}
    return taken | {
        "type": "websocket",
        "scheme": "wss" if scope.get("scheme") == "https" else "ws",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
