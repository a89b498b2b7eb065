"""
The client for code that is not async: the same socket, driven on a loop in the background.

It has no rules of its own.
"""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from msgspec import UNSET
from pydantic import TypeAdapter

from .._wire import Response
from ..backends._backend import Position
from ._asked import Handler
from ._blocking_items import SyncEvents, SyncPushes, SyncStream
from ._bridge import Bridge
from ._desk import StateListener
from ._events import OnGap
from ._following import Headers, Since, Timeout
from ._greeting import Session
from ._items import Push
from ._life import State
from ._routes import Route, StreamRoute, TopicRoute
from ._socket import Connecting, Socket, connect

T = TypeVar("T")
S = TypeVar("S")
P = ParamSpec("P")
Q = TypeVar("Q")
R = TypeVar("R")
F = TypeVar("F", bound=Handler)


class SyncSocket:
    """A socket for code that is not async. `connect_sync` makes it.

    Every method does what it does in `Socket`, and waits for it. Any number of threads may call
    at the same time. Plain functions given to `handle`, `auth` too, run in threads of the
    socket and may block and call; `on_push`, `on_state` and `on_progress` are called in one more
    such thread, one after another. Async functions run on the loop in the background.
    """

    def __init__(self, bridge: Bridge, socket: Socket) -> None:
        self._bridge = bridge
        self._socket = socket

    @overload
    def call(
        self,
        route: Route[None, R],
        payload: None = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> R: ...
    @overload
    def call(
        self,
        route: Route[Q, R],
        payload: Q,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> R: ...
    @overload
    def call(
        self,
        route: str,
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Any: ...
    @overload
    def call(
        self,
        route: str,
        payload: Any = None,
        *,
        result: type[T] | TypeAdapter[T],
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> T: ...
    def call(self, route: Any, payload: Any = None, **options: Any) -> Any:
        """The payload of a 2xx answer; see `Socket.call`."""
        return self._bridge.do(self._socket.call(route, payload, **self._heard_here(options)))

    @overload
    def request(
        self,
        route: str | Route[None, Any],
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Response: ...
    @overload
    def request(
        self,
        route: Route[Q, Any],
        payload: Q,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Response: ...
    def request(
        self,
        route: Any,
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Response:
        """The answer, whatever its status; see `Socket.request`."""
        listener = None if on_progress is None else self._bridge.listener(on_progress)
        asking = self._socket.request(
            route, payload, headers=headers, timeout=timeout, on_progress=listener
        )
        return self._bridge.do(asking)

    @overload
    def stream(
        self,
        route: StreamRoute[None, R],
        payload: None = None,
        *,
        window: int = 64,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> SyncStream[R]: ...
    @overload
    def stream(
        self,
        route: StreamRoute[Q, R],
        payload: Q,
        *,
        window: int = 64,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> SyncStream[R]: ...
    @overload
    def stream(
        self,
        route: str,
        payload: Any = None,
        *,
        window: int = 64,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> SyncStream[Any]: ...
    @overload
    def stream(
        self,
        route: str,
        payload: Any = None,
        *,
        item: type[T] | TypeAdapter[T],
        window: int = 64,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> SyncStream[T]: ...
    def stream(self, route: Any, payload: Any = None, **options: Any) -> SyncStream[Any]:
        """The items of the answer, as a plain iterator; see `Socket.stream`."""
        making = partial(self._socket.stream, route, payload, **self._heard_here(options))
        return SyncStream(self._bridge, self._bridge.now(making))

    @overload
    def subscribe(
        self,
        topic: TopicRoute[T, S],
        *,
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> SyncEvents[T, S]: ...
    @overload
    def subscribe(
        self,
        topic: str,
        *,
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> SyncEvents[Any, Any]: ...
    @overload
    def subscribe(
        self,
        topic: str,
        *,
        event: type[T] | TypeAdapter[T],
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> SyncEvents[T, Any]: ...
    @overload
    def subscribe(
        self,
        topic: str,
        *,
        snapshot: type[S] | TypeAdapter[S],
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> SyncEvents[Any, S]: ...
    @overload
    def subscribe(
        self,
        topic: str,
        *,
        event: type[T] | TypeAdapter[T],
        snapshot: type[S] | TypeAdapter[S],
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> SyncEvents[T, S]: ...
    def subscribe(
        self, topic: Any, *, on_gap: OnGap | None = None, **options: Any
    ) -> SyncEvents[Any, Any]:
        """The events of a topic, by `with` and `for`; see `Socket.subscribe`."""
        making = partial(self._socket.subscribe, topic, **options)
        return SyncEvents(self._bridge, self._bridge.now(making), on_gap)

    @overload
    def publish(
        self,
        topic: TopicRoute[T, Any],
        event: T,
        message_id: str | None = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> Position | None: ...
    @overload
    def publish(
        self,
        topic: str,
        event: Any,
        message_id: str | None = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> Position | None: ...
    def publish(
        self,
        topic: Any,
        event: Any,
        message_id: str | None = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> Position | None:
        """Publish where the topic lets clients; see `Socket.publish`."""
        publishing = self._socket.publish(
            topic, event, message_id, headers=headers, timeout=timeout
        )
        return self._bridge.do(publishing)

    @overload
    def notify(
        self,
        route: str | Route[None, Any],
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> None: ...
    @overload
    def notify(
        self,
        route: Route[Q, Any],
        payload: Q,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> None: ...
    def notify(
        self,
        route: Any,
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> None:
        """Send, and do not wait for the answer; see `Socket.notify`."""
        self._bridge.do(self._socket.notify(route, payload, headers=headers, timeout=timeout))

    @overload
    def handle(self, route: str) -> Callable[[F], F]: ...
    @overload
    def handle(self, route: str, handler: Handler) -> Callable[[], None]: ...
    def handle(self, route: str, handler: Handler | None = None) -> Any:
        """Answer the server's calls of `route`; see `Socket.handle`. A plain function runs in a
        thread; it is not interrupted when the server waits no longer."""
        if handler is None:
            return self._socket.handle(route)
        return self._socket.handle(route, handler)

    def pushes(self, route: str | None = None, *, limit: int = 1000) -> SyncPushes:
        """The pushes of a route, or all, that come from now on."""
        making = partial(self._socket.pushes, route, limit=limit)
        return SyncPushes(self._bridge, self._bridge.now(making))

    def on_push(self, listener: Callable[[Push], Any]) -> Callable[[], None]:
        """Call `listener` with every push, in a thread. Returns its undoing."""
        return self._socket.on_push(self._bridge.listener(listener))

    def on_state(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` with each new state, in a thread. Returns its undoing."""
        return self._socket.on_state(self._bridge.listener(listener))

    @property
    def state(self) -> State:
        """See `Socket.state`."""
        return self._socket.state

    @property
    def session(self) -> Session | None:
        """See `Socket.session`."""
        return self._socket.session

    def ready(self) -> None:
        """Wait until the connection is open; see `Socket.ready`."""
        self._bridge.do(self._socket.ready())

    def reconnect(self) -> None:
        """A fresh connection, at once; not after `close`. See `Socket.reconnect`."""
        self._bridge.do(self._socket.reconnect())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End it for good. No thread is left when this returns, unless it was called in one of
        the socket's own. Twice is harmless."""
        if self._bridge.closed:
            return
        try:
            self._bridge.do(self._socket.close(code, reason))
        finally:
            self._bridge.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _heard_here(self, options: dict[str, Any]) -> dict[str, Any]:
        listener = options.get("on_progress")
        if listener is None:
            return options
        return {**options, "on_progress": self._bridge.listener(listener)}


def _blocking(connecting: Callable[P, Connecting]) -> Callable[P, SyncSocket]:
    @wraps(connecting)
    def connect_sync(*arguments: P.args, **options: P.kwargs) -> SyncSocket:
        bridge = Bridge()
        try:
            auth: Any = options.get("auth")
            if auth is not None and not inspect.iscoroutinefunction(auth):
                options["auth"] = partial(bridge.in_thread, auth)
            made = connecting(*arguments, **options)
            made.desk.handlers.run = bridge.in_thread
            return SyncSocket(bridge, bridge.do(made.open()))
        except BaseException:
            bridge.end()
            raise

    connect_sync.__name__ = connect_sync.__qualname__ = "connect_sync"
    connect_sync.__doc__ = """A `SyncSocket` that is open, for `with` or to be closed.

    Takes and raises what `connect` does.
    """
    return connect_sync


connect_sync = _blocking(connect)
