"""
What the user of the client holds: a socket, and the way to one.

It knows the types that users see; what is done about a call is the desk's part.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from msgspec import UNSET
from pydantic import TypeAdapter

from .._wire import Response
from ._asked import Handler
from ._asking import error_of
from ._desk import Desk, StateListener, safely
from ._following import Following, Headers, Timeout
from ._greeting import Session
from ._items import Push, Pushes, Stream, reader
from ._ledger import Heard, payload_of
from ._life import Auth, Options, State
from ._line import Heartbeat
from ._routes import Route, StreamRoute, asked

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")
F = TypeVar("F", bound=Handler)


class Socket(Following):
    """A conversation with one server, over one connection after another. `connect` makes it.

    Methods are for the event loop that it was made on; any number of tasks may call at the same
    time. `timeout` is in seconds everywhere, None for none; without it, that of `connect` holds.
    """

    # --- calls

    @overload
    async def call(
        self,
        route: Route[None, R],
        payload: None = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> R: ...
    @overload
    async def call(
        self,
        route: Route[P, R],
        payload: P,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> R: ...
    @overload
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Any: ...
    @overload
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        result: type[T] | TypeAdapter[T],
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> T: ...
    async def call(
        self,
        route: str | Route[Any, Any],
        payload: Any = None,
        *,
        result: Any = None,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Any:
        """The payload of a 2xx answer; with `result`, as a value of that type. A `Route` knows
        the types of both.

        Waits for a connection if there is none just now. `on_progress` is called with the payload
        of each answer that is not the last, if the server sends any. Cancelling it cancels on
        the server, and so does the time-out.

        Raises `ResponseError` for any other status, `SocketTimeoutError`, `ConnectionLostError`
        (its `sent` says whether the server may have done it; it is never sent again by itself),
        `QueueFullError` where too many calls wait for a connection already, pydantic's
        `ValidationError` for an answer that is no `result`, and `Unserialisable` for a payload
        that is not JSON.
        """
        name, payload, result = asked(route, payload, result)
        frame = await self._desk.ask(
            name, payload, headers, self._limit(timeout), _progress(on_progress)
        )
        if not frame.ok:
            raise error_of(name, frame)
        return payload_of(frame) if result is None else reader(result)(frame)

    @overload
    async def request(
        self,
        route: str | Route[None, Any],
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Response: ...
    @overload
    async def request(
        self,
        route: Route[P, Any],
        payload: P,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Response: ...
    async def request(
        self,
        route: str | Route[Any, Any],
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Response:
        """As `call`, but gives the answer itself, whatever its status."""
        name, payload, _ = asked(route, payload, None)
        frame = await self._desk.ask(
            name, payload, headers, self._limit(timeout), _progress(on_progress)
        )
        status = 200 if frame.status is None else frame.status
        return Response(frame.uuid or 0, status, frame.headers or {}, payload_of(frame))

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
    ) -> Stream[R]: ...
    @overload
    def stream(
        self,
        route: StreamRoute[P, R],
        payload: P,
        *,
        window: int = 64,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Stream[R]: ...
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
    ) -> Stream[Any]: ...
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
    ) -> Stream[T]: ...
    def stream(
        self,
        route: str | StreamRoute[Any, Any],
        payload: Any = None,
        *,
        item: Any = None,
        window: int = 64,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
        on_progress: Callable[[Any], Any] | None = None,
    ) -> Stream[Any]:
        """The items of the answer, one by one; with `item`, as values of that type. A
        `StreamRoute` knows the types of both.

        At most `window` items are on their way or wait here: a slow reader slows the server
        down. `timeout` bounds the wait for the first frame alone. A route that is no stream gives
        its payload: the items of a list, or one item. See `Stream` for how it ends.
        """
        if window < 1:
            raise ValueError("a window is at least 1")
        limit = self._limit(timeout)
        name, payload, item = asked(route, payload, item)
        call = self._desk.stream(name, payload, headers, window, limit, _progress(on_progress))
        return Stream(self._desk, call, payload_of if item is None else reader(item))

    @overload
    async def notify(
        self,
        route: str | Route[None, Any],
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> None: ...
    @overload
    async def notify(
        self,
        route: Route[P, Any],
        payload: P,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> None: ...
    async def notify(
        self,
        route: str | Route[Any, Any],
        payload: Any = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> None:
        """Send a request, and do not wait for its answer; but for a connection, and while the
        server reads too slowly. Raises as `call` does where it cannot be sent."""
        name, payload, _ = asked(route, payload, None)
        await self._desk.tell(name, payload, headers, self._limit(timeout))

    # --- what the server sends

    @overload
    def handle(self, route: str) -> Callable[[F], F]: ...
    @overload
    def handle(self, route: str, handler: Handler) -> Callable[[], None]: ...
    def handle(self, route: str, handler: Handler | None = None) -> Any:
        """Answer the server's calls of `route` with what `handler` returns; as a decorator, or
        with the function, and then it returns its undoing.

        The handler takes the payload, and the headers if it takes two arguments. What it raises
        with a status (`ResponseError`, FastAPI's `HTTPException`) is answered so, anything else
        is logged and answered with 500. It is cancelled when the server waits no longer, and when
        the connection is lost. A plain function is called on the event loop, and must not block.
        """
        if handler is not None:
            return self._desk.handlers.add(route, handler)

        def decorate(function: F) -> F:
            self._desk.handlers.add(route, function)
            return function

        return decorate

    def pushes(self, route: str | None = None, *, limit: int = 1000) -> Pushes:
        """The pushes of a route, or all, that come from now on."""
        pushes = Pushes(route, limit)
        if self._desk.life.state == "closed":
            pushes.finish(self._desk.gone(False))
        self._desk.pushes.add(pushes)
        return pushes

    def on_push(self, listener: Callable[[Push], Any]) -> Callable[[], None]:
        """Call `listener` with every push, at once. Returns its undoing."""
        return _listening(self._desk.on_push, listener)

    def on_state(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` with each new state; with `waiting` and `closed` also with the `End` of
        the connection or attempt, else None. Returns its undoing."""
        return _listening(self._desk.on_state, listener)

    # --- the connection

    @property
    def state(self) -> State:
        """`connecting`, `open`, `waiting` (lost, and coming back by itself) or `closed` (for
        good)."""
        return self._desk.life.state

    @property
    def session(self) -> Session | None:
        """What the server said of this connection; None while it has not."""
        return self._desk.session

    async def ready(self) -> None:
        """Wait until the connection is open. Raises `ConnectionLostError` when it closes for
        good."""
        await self._desk.ready()

    async def reconnect(self) -> None:
        """A fresh connection with a fresh `auth`, at once, also after a close; waits until it is
        open, as `ready` does. Calls that are without their answer fail."""
        self._desk.life.restart()
        await self._desk.ready()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End it for good. Calls that are without their answer fail with `ConnectionLostError`.
        No task is left when this returns. Twice is harmless."""
        await self._desk.close(code, reason)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Connecting:
    """What `connect` returns: to be entered by `async with`, or awaited."""

    def __init__(self, socket: Socket, desk: Desk, open_timeout: float | None) -> None:
        self.socket = socket
        """Not open yet."""
        self.desk = desk
        self._open_timeout = open_timeout

    async def open(self) -> Socket:
        """The socket, once it is open."""
        await self.desk.open(self._open_timeout)
        return self.socket

    def __await__(self) -> Generator[Any, None, Socket]:
        return self.open().__await__()

    async def __aenter__(self) -> Socket:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.socket.close()


def connect(
    url: str,
    *,
    auth: Auth | None = None,
    headers: Headers | Callable[[], Headers] | None = None,
    handshake_headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    timeout: float | None = 30.0,
    open_timeout: float | None = 10.0,
    connect_timeout: float = 10.0,
    heartbeat: float | None = 25.0,
    heartbeat_timeout: float = 10.0,
    backoff: tuple[float, float] = (1.0, 30.0),
    max_attempts: int | None = None,
    queue_limit: int = 1000,
    hello: bool = True,
    contract: Mapping[str, Any] | None = None,
    on_frame: Callable[[str | bytes], Any] | None = None,
    **websockets: Any,
) -> Connecting:
    """A socket to `url` (ws://, wss://; http:// and https:// do as well).

        async with connect("ws://localhost:8000/ws", auth=get_token) as socket: ...
        socket = await connect("ws://localhost:8000/ws")   # and `await socket.close()` later

    Entering waits for the first connection; raises `ConnectionLostError` where the server
    refuses for good, or is not reached within `open_timeout`. Its `__cause__` tells more.

    `auth`: asked before every connection, plain or async; the token goes first over the new
    line. `headers`: sent with every request; those of a call win. `handshake_headers`: of the
    HTTP request. `timeout`: of each call. `connect_timeout`: for `auth` and the handshake of one
    attempt. `heartbeat`: seconds of silence after which a PING is sent, None for never;
    `heartbeat_timeout`: for any frame to follow. `backoff`: the first and the longest wait
    between attempts; the real ones are from half of it to all of it. `max_attempts`: failed ones
    in a row after which it closes for good. `queue_limit`: calls that may wait for a connection.
    `hello=False`: do not introduce yourself to the server, unless there is a token. `contract`:
    what this client was built for, `{"version": "2.0", "hash": ...}`; whether the server still
    takes that is `socket.session.contract.compatible`, and where not, it is logged. `on_frame`:
    called with every message as it came. Anything else goes to `connect` of websockets: `ssl`,
    `proxy`, `origin`, `compression`, `max_size`.
    """
    scheme, colon, rest = url.partition("://")
    pairs = handshake_headers
    options = Options(
        auth,
        list(pairs.items() if isinstance(pairs, Mapping) else pairs),
        connect_timeout,
        None if heartbeat is None else Heartbeat(heartbeat, heartbeat_timeout),
        backoff,
        max_attempts,
        websockets,
    )
    desk = Desk(
        _SCHEMES.get(scheme.lower(), scheme) + colon + rest,
        options,
        headers=headers,
        queue_limit=queue_limit,
        hello=hello,
        contract=contract,
        on_frame=on_frame,
    )
    return Connecting(Socket(desk, timeout), desk, open_timeout)


_SCHEMES = {"http": "ws", "https": "wss"}

L = TypeVar("L")


def _listening(listeners: dict[object, L], listener: L) -> Callable[[], None]:
    key = object()
    listeners[key] = listener
    return partial(_forget, listeners, key)


def _forget(listeners: dict[object, L], key: object) -> None:
    listeners.pop(key, None)


def _progress(listener: Callable[[Any], Any] | None) -> Callable[[Heard], None] | None:
    if listener is None:
        return None
    return lambda frame: safely(lambda: listener(payload_of(frame)))
