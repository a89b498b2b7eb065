"""
What comes in many pieces, as its reader takes it: the items of a stream, and pushes.

Nothing here touches a line: the desk starts, acknowledges and ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from pydantic import TypeAdapter

from .._wire import Header
from ._asking import Streamed
from ._ledger import Call, Heard, payload_of

T = TypeVar("T")


class Starter(Protocol):
    """What a reader needs of the desk."""

    def start_stream(self, call: Streamed) -> None: ...
    def acknowledge(self, call: Streamed) -> None: ...
    def abandon(self, call: Call) -> None: ...


class Stream(Generic[T]):
    """The items of a stream, one by one, as the server makes them.

        async with socket.stream("logs/tail", {"file": "x"}) as lines:
            async for line in lines:
                ...

    The request is sent as the first item is asked for, or as the `async with` is entered.
    Leaving the `async with`, `aclose()`, and cancelling the task that waits for an item end the
    stream on the server too, at once. A plain `async for` that is left early does so when the
    stream is garbage-collected: with CPython at once as a rule, but not while an exception's
    traceback still knows it.
    """

    __slots__ = ("__weakref__", "_call", "_desk", "_loop", "_read", "_started")

    def __init__(self, desk: Starter, call: Streamed, read: Callable[[Heard], T]) -> None:
        self._desk = desk
        self._call = call
        self._read = read
        self._started = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def window(self) -> int:
        """How many items may be on their way, or wait here."""
        return self._call.window

    @property
    def waiting(self) -> int:
        """How many items wait here."""
        return len(self._call.items)

    @property
    def result(self) -> Any:
        """What the stream returned at its end: None for most, and until then."""
        return None if self._call.last is None else payload_of(self._call.last)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next item. Raises `ResponseError` where the stream ended with another status than
        2xx, `ConnectionLostError`, `SocketTimeoutError` where nothing came in time, `SocketError`
        for items out of order; each after the items that came before, and once."""
        if not self._started:
            self._start()
        call = self._call
        if call.waiter is not None:
            raise RuntimeError("a stream is read by one task at a time")
        try:
            while not call.items:
                if call.over:
                    raise self._end()
                await call.more()
            item = self._read(call.items[0])
        except BaseException:
            self._leave()
            raise
        call.items.popleft()
        call.taken += 1
        # At half of the window the server need never stand still.
        if call.live and (call.taken - call.acked) * 2 >= call.window:
            call.acked = call.taken
            self._desk.acknowledge(call)
        return item

    def _start(self) -> None:
        self._started = True
        self._loop = asyncio.get_running_loop()
        try:
            self._desk.start_stream(self._call)
        except BaseException:
            self._call.finish()
            raise

    def _end(self) -> Exception:
        error, self._call.error = self._call.error, None
        return error or StopAsyncIteration()

    def _leave(self) -> None:
        self._started = True
        self._call.items.clear()
        self._call.error = None
        self._desk.abandon(self._call)
        self._call.finish()

    async def aclose(self) -> None:
        """End it, here and on the server. Twice is harmless."""
        self._leave()

    async def __aenter__(self) -> Self:
        if not self._started:
            self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def __del__(self) -> None:
        # Anything may run this, in any thread and at any time: the loop sees to the rest.
        if self._loop is not None and self._call.live and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._desk.abandon, self._call)


@dataclass(frozen=True, slots=True)
class Push:
    """What the server sent without being asked."""

    route: str
    headers: Header
    payload: Any


class Pushes:
    """The pushes of one route, or of all, in their order; from the moment this was made.

    Ends when the socket is closed. A reader that falls `limit` pushes behind loses the oldest:
    `dropped` counts them.
    """

    __slots__ = (
        "__weakref__",
        "_error",
        "_limit",
        "_over",
        "_pushes",
        "_waiter",
        "dropped",
        "route",
    )

    def __init__(self, route: str | None, limit: int) -> None:
        self.route = route
        self.dropped = 0
        self._limit = limit
        self._pushes: deque[Push] = deque()
        self._over = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> int:
        """How many pushes wait here."""
        return len(self._pushes)

    def put(self, push: Push) -> None:
        """One came."""
        if len(self._pushes) >= self._limit:
            self._pushes.popleft()
            self.dropped += 1
        self._pushes.append(push)
        self._wake()

    def finish(self, error: Exception | None) -> None:
        """No more will come; `error` is why, unless that was wanted."""
        self._over, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Push:
        """The next push. Raises `ConnectionLostError` where the server refused to go on."""
        while not self._pushes:
            if self._over:
                error, self._error = self._error, None
                raise error or StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("pushes are read by one task at a time")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._pushes.popleft()


def reader(kind: Any) -> Callable[[Heard], Any]:
    """What makes a value of that type of a payload. Raises pydantic's `ValidationError`."""
    try:
        adapter = _adapter(kind)
    except TypeError:  # it has no hash
        adapter = TypeAdapter(kind)
    # From the text, since JSON has fewer types: in a list of it pydantic sees a tuple, say.
    return lambda frame: adapter.validate_json(bytes(frame.payload))


@lru_cache(256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
