"""
The client for code that is not async: the same socket, driven on a loop in the background.

It has no rules of its own. All such sockets of a process share one loop, in one daemon thread,
which is there as long as one of them is open.
"""

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial, wraps
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from msgspec import UNSET
from pydantic import TypeAdapter

from .._errors import ConnectionLostError
from .._wire import Response
from ._asked import Handler
from ._desk import StateListener, safely
from ._greeting import Session
from ._items import Push, Pushes, Stream
from ._life import State
from ._socket import Connecting, Headers, Socket, Timeout, connect

T = TypeVar("T")
P = ParamSpec("P")
F = TypeVar("F", bound=Handler)


_OWN = "observable socket"
"""How the names of our threads begin."""


class _Background:
    """The loop that all sockets share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def enter(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                name = f"{_OWN} loop"
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name=name, daemon=True
                )
                self._thread.start()
            self._users += 1
            return self._loop

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            loop, thread, self._loop = self._loop, self._thread, None
            assert loop is not None
            assert thread is not None
            loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join()
                loop.close()


_background = _Background()


class _Bridge:
    """From threads that wait to the loop that works."""

    def __init__(self) -> None:
        self.loop = _background.enter()
        self._lock = threading.Lock()
        self.closed = False
        self._waiting: set[Future[Any]] = set()
        # Two, so that what is told in order stays in order, and no handler waits for another.
        self._listeners = ThreadPoolExecutor(1, f"{_OWN} listener")
        self._handlers = ThreadPoolExecutor(None, f"{_OWN} handler")

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for it. Whatever interrupts the wait cancels it."""
        with self._lock:
            if self.closed:
                work.close()
                raise ConnectionLostError(False, 1000, "this socket is closed")
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
            self._waiting.add(future)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            self._waiting.discard(future)

    def now(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function returns that must run on the loop."""

        async def calling() -> T:
            return function(*arguments)

        return self.do(calling())

    def listener(self, function: Callable[..., Any]) -> Callable[..., None]:
        """`function`, called in a thread, one call after another."""

        def later(*arguments: Any) -> None:
            if not self.closed:
                self._listeners.submit(safely, function, *arguments)

        return later

    def in_thread(self, function: Handler, *arguments: Any) -> Any:
        """To be awaited: what `function` returns, which may block and call back."""
        return self.loop.run_in_executor(self._handlers, partial(function, *arguments))

    def end(self) -> None:
        """Leave nothing behind, not even a thread. Twice is harmless."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            waiting = list(self._waiting)
        # Their calls have failed by now; they only have to hear of it while there is a loop.
        for future in waiting:
            future.cancel()
        _background.leave()
        outside = not threading.current_thread().name.startswith(_OWN)
        self._listeners.shutdown(wait=outside)
        self._handlers.shutdown(wait=outside)


class SyncStream(Generic[T]):
    """The items of a stream, as a plain iterator. Left early, it is to be closed: by `with`, or
    by `close`. What it took is up to half a window ahead of who reads here."""

    def __init__(self, bridge: _Bridge, stream: Stream[T]) -> None:
        self._bridge = bridge
        self._stream = stream
        self._taken: deque[T] = deque()
        self._error: Exception | None = None

    @property
    def result(self) -> Any:
        """What the stream returned at its end: None for most, and until then."""
        return self._stream.result

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """As the `Stream` of the async client."""
        if not self._taken and self._error is None:
            # Not one by one: a way to the loop and back costs more than most items.
            self._bridge.do(self._take())
        if self._taken:
            return self._taken.popleft()
        error, self._error = self._error, StopAsyncIteration()
        if error is None or isinstance(error, StopAsyncIteration):
            raise StopIteration
        raise error

    async def _take(self) -> None:
        try:
            self._taken.append(await self._stream.__anext__())
            while self._stream.waiting and len(self._taken) < self._stream.window // 2:
                self._taken.append(await self._stream.__anext__())
        except Exception as error:
            self._error = error

    def close(self) -> None:
        """End it, here and on the server. Twice is harmless."""
        self._taken.clear()
        self._error = self._error or StopAsyncIteration()
        if not self._bridge.closed:
            self._bridge.do(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class SyncPushes:
    """Pushes in their order, as a plain iterator that waits. Ends when the socket is closed."""

    def __init__(self, bridge: _Bridge, pushes: Pushes) -> None:
        self._bridge = bridge
        self._pushes = pushes

    @property
    def dropped(self) -> int:
        """How many the reader lost, because it was too far behind."""
        return self._pushes.dropped

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Push:
        if self._bridge.closed and not self._pushes.waiting:
            raise StopIteration
        try:
            return self._bridge.do(self._pushes.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None


class SyncSocket:
    """A socket for code that is not async. `connect_sync` makes it.

    Every method does what it does in `Socket`, and waits for it. Any number of threads may call
    at the same time. Plain functions given to `handle`, `auth` too, run in threads of the
    socket and may block and call; `on_push`, `on_state` and `on_progress` are called in one more
    such thread, one after another. Async functions run on the loop in the background.
    """

    def __init__(self, bridge: _Bridge, socket: Socket) -> None:
        self._bridge = bridge
        self._socket = socket

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
    def call(self, route: str, payload: Any = None, **options: Any) -> Any:
        """The payload of a 2xx answer; see `Socket.call`."""
        return self._bridge.do(self._socket.call(route, payload, **self._heard_here(options)))

    def request(
        self,
        route: str,
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
    def stream(self, route: str, payload: Any = None, **options: Any) -> SyncStream[Any]:
        """The items of the answer, as a plain iterator; see `Socket.stream`."""
        making = partial(self._socket.stream, route, payload, **self._heard_here(options))
        return SyncStream(self._bridge, self._bridge.now(making))

    def notify(
        self,
        route: str,
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
        bridge = _Bridge()
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
