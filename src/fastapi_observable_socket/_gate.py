"""
Who gets in: the origin, the room there is, the user's `access_logic`.

A refusal that will not change is told after accepting, by close code 1008, since a browser
cannot see more of a failed handshake than that it failed, and would try again for ever. One
that may pass is told before accepting, as HTTP 503, so that clients back off.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ._closing import close
from ._log import failure
from ._signature import is_coroutine_function
from ._status import CloseCode, Status

try:
    import resource
except ImportError:  # Windows has no such limit to read
    resource = None  # type: ignore[assignment]

RETRY_AFTER = 5
"""Seconds that a client refused for now is asked to wait."""


class Gate:
    """Admits sockets, and counts those that are inside."""

    def __init__(
        self,
        access_logic: Callable[[WebSocket], bool | Awaitable[bool]] | None,
        allowed_origins: Sequence[str],
        deny: Literal["close", "http"],
        max_connections: int | None,
    ) -> None:
        if access_logic is not None and not callable(access_logic):
            raise TypeError(
                f"access_logic is a function that is given the socket, not {access_logic!r}"
            )
        if deny not in ("close", "http"):
            raise ValueError(f"deny is 'close' or 'http', not {deny!r}")
        if isinstance(allowed_origins, str):
            raise TypeError("allowed_origins is a list of origins, not one string")
        self._access_logic = access_logic
        self._origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins)
        self._deny: Literal["close", "http"] = deny
        self._max = default_max_connections() if max_connections is None else max_connections
        self._inside = 0

    @asynccontextmanager
    async def admitted(self, ws: WebSocket) -> AsyncIterator[bool]:
        """Whether `ws` is accepted; a refused one has been told already."""
        if self._inside >= self._max:
            await refuse_for_now(ws)
            yield False
            return
        self._inside += 1
        try:
            yield await self._may_enter(ws)
        finally:
            self._inside -= 1

    async def _may_enter(self, ws: WebSocket) -> bool:
        if not self._is_from_here(ws):
            await refuse(ws, "http", Status.FORBIDDEN, "origin not allowed")
            return False
        try:
            allowed = await self._is_allowed(ws)
        except HTTPException as error:
            if error.status_code >= 500 or error.status_code == Status.TOO_MANY_REQUESTS:
                await refuse_for_now(ws)
            else:
                await refuse(ws, self._deny, error.status_code, str(error.detail))
            return False
        except WebSocketDisconnect:
            return False  # it waited for a first message, and the peer went away
        except Exception as error:
            failure("access_logic failed", error)
            await refuse_for_now(ws)
            return False
        if not allowed:
            await refuse(ws, self._deny, Status.FORBIDDEN, "Access denied")
            return False
        if ws.application_state is WebSocketState.CONNECTING and not await accept(ws):
            return False
        return ws.client_state is WebSocketState.CONNECTED

    async def _is_allowed(self, ws: WebSocket) -> bool:
        if self._access_logic is None:
            return True
        if not is_coroutine_function(self._access_logic):
            allowed = await run_in_threadpool(self._access_logic, ws)
            return bool(await allowed if inspect.isawaitable(allowed) else allowed)
        return bool(await self._access_logic(ws))  # type: ignore[misc]  # it is a coroutine function

    def _is_from_here(self, ws: WebSocket) -> bool:
        """Whether a page of this host opened the socket, of an allowed origin, or no page.

        Browsers send cookies with the handshake of any site's page (cross-site WebSocket
        hijacking) and cannot forge `Origin`, so it decides. Ports may differ: a development
        server's page talks to its back end.
        """
        origin = ws.headers.get("origin")
        if origin is None or "*" in self._origins:
            return True
        if origin.rstrip("/").lower() in self._origins:
            return True
        try:
            page, here = urlsplit(origin), urlsplit("//" + ws.headers.get("host", ""))
            return page.hostname is not None and page.hostname == here.hostname
        except ValueError:
            return False


def default_max_connections() -> int:
    """What the process' file descriptors allow, with some left for everything else."""
    if resource is None:
        return 10_000
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(1, min(int(soft * 0.8), soft - 64))


async def accept(ws: WebSocket) -> bool:
    """Accept the socket; False where its peer went away while we asked."""
    try:
        await ws.accept()
    except (WebSocketDisconnect, RuntimeError, OSError):
        return False
    return True


async def refuse(ws: WebSocket, deny: Literal["close", "http"], status: int, reason: str) -> None:
    """Turn a socket away for good."""
    if ws.application_state is WebSocketState.CONNECTING:
        if deny == "http" and status != Status.FORBIDDEN and _can_deny(ws):
            await _denied(ws, status, reason, {})
            return
        if deny == "http":
            # What servers make of it is 403; the denial extension would log an error each time.
            await _quietly(ws.close(CloseCode.POLICY, reason))
            return
        if not await accept(ws):
            return
    await _closed(ws, CloseCode.POLICY, reason)


async def refuse_for_now(ws: WebSocket, retry_after: int = RETRY_AFTER) -> None:
    """Turn a socket away that is welcome later: after so many seconds, perhaps."""
    if ws.application_state is not WebSocketState.CONNECTING:
        await _closed(ws, CloseCode.TRY_AGAIN_LATER, "try again later")
    elif _can_deny(ws):
        retry = {"Retry-After": str(retry_after)}
        await _denied(ws, Status.SERVICE_UNAVAILABLE, "try again later", retry)
    else:
        await _quietly(ws.close(CloseCode.TRY_AGAIN_LATER, "try again later"))


async def _closed(ws: WebSocket, code: CloseCode, reason: str) -> None:
    if ws.application_state is not WebSocketState.DISCONNECTED:
        # Not by `ws.send`: it takes no second code where the server refused the first.
        ws.application_state = WebSocketState.DISCONNECTED
        send: Any = ws._send
        await close(send, code, reason)


def _can_deny(ws: WebSocket) -> bool:
    return "websocket.http.response" in (ws.scope.get("extensions") or {})


async def _denied(ws: WebSocket, status: int, message: str, headers: dict[str, str]) -> None:
    response = JSONResponse({"message": message}, status, headers)
    await _quietly(ws.send_denial_response(response))


async def _quietly(sending: Awaitable[Any]) -> None:
    try:
        async with asyncio.timeout(1):
            await sending
    except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
        pass  # whom we turn away is gone already
