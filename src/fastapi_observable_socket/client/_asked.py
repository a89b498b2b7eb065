"""
What the server asks of the client: handlers by route, and the answer of each.

It makes texts of answers; when one is sent, and over which line, is the desk's part.
"""

import inspect
from collections.abc import Callable
from typing import Any

from .._dispatch import http_payload
from .._errors import Internal, NotFound, RequestFailed, ResponseError, Unserialisable
from .._log import escaped, failure
from .._status import Status
from .._wire import Header, Response, Uuid, encode, is_reserved, refusal
from ._ledger import Heard, payload_of

Handler = Callable[..., Any]

Run = Callable[..., Any]
"""Calls a plain function; may return something to await."""


def _called_at_once(function: Handler, *arguments: Any) -> Any:
    return function(*arguments)


class Handlers:
    """Who answers which route."""

    def __init__(self) -> None:
        self.run: Run = _called_at_once
        """How plain functions are called."""
        self._by_route: dict[str, tuple[Handler, int]] = {}

    def add(self, route: str, handler: Handler) -> Callable[[], None]:
        """Let `handler` answer `route`; returns its undoing. Raises `ValueError` for a route
        that has one already, and for a reserved name."""
        if is_reserved(route):
            raise ValueError(f"{route!r} belongs to the protocol")
        if route in self._by_route:
            raise ValueError(f"route {route!r} has a handler already")
        entry = self._by_route[route] = (handler, _positions(handler))

        def undo() -> None:
            if self._by_route.get(route) is entry:
                del self._by_route[route]

        return undo

    async def answer(self, frame: Heard) -> str:
        """The text of the answer to a call of the server; fails only by cancellation."""
        uuid, route = frame.uuid or 0, frame.route or ""
        try:
            return _text(uuid, Status.OK, {}, await self._result(route, frame))
        except ResponseError as error:
            return _said(uuid, error.status, error.headers, error.payload)
        except RequestFailed as error:
            return refusal(uuid, error)
        except Exception as error:
            status = getattr(error, "status_code", None)
            if isinstance(status, int) and 100 <= status <= 599:
                payload = http_payload(status, getattr(error, "detail", escaped(error)))
                return _said(uuid, status, getattr(error, "headers", None), payload)
            error_id = failure("handler failed", error, route=route, uuid=uuid)
            return refusal(uuid, Internal(f"internal error, id {error_id}"))

    async def _result(self, route: str, frame: Heard) -> Any:
        try:
            handler, positions = self._by_route[route]
        except KeyError:
            raise NotFound(f"no such route: {escaped(route)}") from None
        arguments = (payload_of(frame), frame.headers or {})[:positions]
        if inspect.iscoroutinefunction(handler):
            return await handler(*arguments)
        result = self.run(handler, *arguments)
        return await result if inspect.isawaitable(result) else result


def _positions(handler: Handler) -> int:
    """How many of payload and headers it takes."""
    kinds = [p.kind for p in inspect.signature(handler).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return 2
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return min(2, sum(kind in positional for kind in kinds))


def _text(uuid: Uuid, status: int, headers: Header | None, payload: Any) -> str:
    return encode(Response(uuid, status, dict(headers or {}), payload)).decode()


def _said(uuid: Uuid, status: int, headers: Header | None, payload: Any) -> str:
    try:
        return _text(uuid, status, headers, payload)
    except Unserialisable as error:
        return refusal(uuid, error)
