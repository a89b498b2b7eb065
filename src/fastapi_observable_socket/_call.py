"""
One running request: what its hooks, dependencies and handler may ask for.

A call is a place to keep things; it decides nothing and never waits.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from starlette.background import BackgroundTasks
from starlette.requests import Request as HTTPRequest
from starlette.websockets import WebSocket

from ._flow import Flow
from ._handle import Connection
from ._wire import Frame, Header, MessageData, Request, decode_payload

UNSET: Final[Any] = object()


class Shared:
    """What the calls of one connection have in common: the values of `PerConnection`.

    `put` sends a text of a call, unless that has its last answer by then, and waits while the
    peer is behind; a text has at most `max_bytes`.
    """

    __slots__ = (
        "_http",
        "_lock",
        "app",
        "connection",
        "max_bytes",
        "put",
        "stack",
        "subscriptions",
        "values",
        "ws",
    )

    def __init__(
        self,
        ws: WebSocket,
        connection: Connection,
        put: "Callable[[str, Call], Coroutine[Any, Any, None]]",
        max_bytes: int,
    ) -> None:
        self.ws = ws
        self.connection = connection
        self.put = put
        self.max_bytes = max_bytes
        self.app = ws.scope.get("app")
        self.values: dict[Any, Any] = {}
        self.subscriptions: dict[str, Any] = {}
        """What the peer listens to, by topic."""
        self.stack: AsyncExitStack | None = None
        self._lock: asyncio.Lock | None = None
        self._http: HTTPRequest | None = None

    @property
    def lock(self) -> asyncio.Lock:
        if self._lock is None:
            self._lock = asyncio.Lock()
        return self._lock

    @property
    def http(self) -> HTTPRequest:
        """The handshake, for those who only know HTTP requests."""
        if self._http is None:
            self._http = HTTPRequest({**self.ws.scope, "type": "http", "method": "GET"})
        return self._http

    def open_stack(self) -> AsyncExitStack:
        if self.stack is None:
            self.stack = AsyncExitStack()
        return self.stack


class Call(msgspec.Struct, eq=False):
    """One request, until its answer is out and its dependencies are closed."""

    # A struct, since there is one for each message: made in half of the time of a class.
    frame: Frame
    shared: Shared
    route: Any

    stack: AsyncExitStack | None = None
    inner_stack: AsyncExitStack | None = None
    _tasks: BackgroundTasks | None = None
    values: Any = ()
    hydrated: Any = None
    validated: Any = None
    outgoing: Any = None
    _payload: Any = UNSET
    _message: MessageData | None = None
    _local: dict[str, Any] | None = None

    flow: Flow | None = None
    """The pace of its items, where its client takes them one by one."""
    lingers: bool = False
    """Whether something is left to do behind its answer."""
    malformed: bool = False
    """Whether its payload, looked at only now, made it no request at all."""
    close: tuple[int, str] | None = None
    """Code and reason, where this call wants the socket closed behind its answer."""

    # Kept by the connection.
    task: "asyncio.Task[Any] | None" = None
    timer: asyncio.TimerHandle | None = None
    due: float | None = None
    """When its client's patience ends, by the loop's clock, if that began before the call."""
    ended_by: str | None = None
    """Why it was cancelled: "gone", "timeout", "deadline" or "cancel"."""
    holds_order: bool = False
    released: bool = False
    settled: bool = False
    answered: bool = False
    gone: bool = False

    @property
    def ws(self) -> WebSocket:
        return self.shared.ws

    @property
    def headers(self) -> Header:
        """The envelope's headers; the same dict for everyone, never None."""
        frame = self.frame
        if frame.headers is None:
            frame.headers = {}
        return frame.headers

    @property
    def payload(self) -> Any:
        """The decoded payload; the same object for everyone. Raises `BadFrame`."""
        if self._payload is UNSET:
            self._payload = decode_payload(self.frame)
        return self._payload

    @property
    def message(self) -> MessageData:
        if self._message is None:
            self._message = MessageData(self.headers, self.payload)
        return self._message

    @property
    def request(self) -> Request:
        return Request(self.frame.uuid, self.frame.route, self.headers, self.payload)

    @property
    def local(self) -> dict[str, Any]:
        """Where hooks leave things for those who come after them."""
        if self._local is None:
            self._local = {}
        return self._local

    @property
    def tasks(self) -> BackgroundTasks:
        if self._tasks is None:
            self.lingers = True
            self._tasks = BackgroundTasks()
        return self._tasks

    def open_stack(self) -> AsyncExitStack:
        """Closed after the answer."""
        if self.stack is None:
            self.lingers = True
            self.stack = AsyncExitStack()
        return self.stack

    def open_inner_stack(self) -> AsyncExitStack:
        """Closed before the answer."""
        if self.inner_stack is None:
            self.inner_stack = AsyncExitStack()
        return self.inner_stack

    def close_behind(self, code: int, reason: str) -> None:
        self.lingers = True
        self.close = (code, reason)

    def forget_afterwards(self) -> None:
        self.stack = self.inner_stack = self._tasks = None

    async def afterwards(self) -> None:
        """Run what waits for the answer to be out: background tasks, then open dependencies."""
        if self.stack is None and self._tasks is None:
            return
        stack, self.stack = self.stack, None
        tasks, self._tasks = self._tasks, None
        async with stack or AsyncExitStack():
            if tasks is not None:
                await tasks()
