"""
Answers of routes as HTTP responses: one body, or server-sent events.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ._loopback import HELLO, Answer, Loopback, Refused
from ._status import Status

RETRY_AFTER = "1"


async def gone(receive: Receive) -> None:
    """Once the peer has gone away, whose body is read already."""
    if (await receive())["type"] != "http.disconnect":
        # Who replays the body to us again tells nothing more, and never waits.
        await asyncio.get_running_loop().create_future()


def is_item(answer: Answer) -> bool:
    return answer.status == Status.PENDING


_name = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_KEPT = {"content-length", "content-type", "connection", "transfer-encoding", "upgrade"}
"""Headers that are the server's own business."""


def _parts(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    status = answer.status if 200 <= answer.status <= 599 else 500
    headers = {
        name: str(value)
        for name, value in (answer.headers or {}).items()
        if _name.fullmatch(name)
        and name[:1] != "$"
        and name.lower() not in _KEPT
        and isinstance(value, str | int | float)
        and _is_header_value(str(value))
    }
    if status in (429, 503):
        headers.setdefault("Retry-After", RETRY_AFTER)
    body = b"" if status in (204, 205, 304) else bytes(answer.payload)
    return status, headers, body


def _is_header_value(value: str) -> bool:
    return value.isascii() and value.isprintable()


def refusal_response(refusal: Refused) -> Response:
    headers = {k: v for k, v in refusal.headers.items() if k.lower() not in _KEPT}
    return Response(refusal.body, refusal.status, headers, "application/json")


def _line(answer: Answer) -> bytes:
    """In JSON line breaks stand between tokens alone; in an event they would end a field."""
    return bytes(answer.payload).translate(_BLANK)


_BLANK = bytes.maketrans(b"\r\n", b"  ")


class Sent(Response):
    """One body; what is done behind the answer, is done behind it."""

    def __init__(self, answer: Answer, stack: contextlib.AsyncExitStack) -> None:
        status, headers, body = _parts(answer)
        super().__init__(body, status, headers, "application/json" if body else None)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


class Events(Response):
    """A stream as server-sent events (WHATWG HTML, section 9.2): a message for each item, its
    number as id, then `end` with what the generator returned, or `error`."""

    media_type = "text/event-stream"

    def __init__(
        self, peer: Loopback, first: Answer, beat: float, stack: contextlib.AsyncExitStack
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._peer = peer
        self._first = first
        self._beat = beat
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        async with self._stack:
            telling = asyncio.ensure_future(self._tell(send))
            leaving = asyncio.ensure_future(gone(receive))
            try:
                await asyncio.wait((telling, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (telling, leaving):
                    task.cancel()
                await asyncio.gather(telling, leaving, return_exceptions=True)
        error = None if telling.cancelled() else telling.exception()
        if error is not None and not isinstance(error, OSError | ClientDisconnect):
            raise error

    async def _tell(self, send: Send) -> None:
        start: Message = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for event in self._events():
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[bytes]:
        answer: Answer | None = self._first
        while answer is None or is_item(answer):
            if answer is None:
                self._peer.say("PING", uuid=HELLO)
                yield b": still here\n\n"
            elif (seq := (answer.headers or {}).get("$seq")) is not None:
                yield b"id: %d\ndata: %b\n\n" % (seq, _line(answer))
                self._peer.say("$ack", headers={"$seq": seq})
            answer = await self._next()
        if answer.status < 300:
            yield b"event: end\ndata: %b\n\n" % _line(answer)
        else:
            said = {"status": answer.status, "payload": msgspec.Raw(_line(answer))}
            yield b"event: error\ndata: %b\n\n" % msgspec.json.encode(said)

    async def _next(self) -> Answer | None:
        """None where nothing came for a while."""
        try:
            async with asyncio.timeout(self._beat):
                return await self._peer.answer()
        except TimeoutError:
            return None
        except Refused as refusal:
            return Answer(None, refusal.status, None, msgspec.Raw(refusal.body or b"null"))
