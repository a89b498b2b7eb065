"""
What comes in many pieces, for code that is not async: plain iterators that wait.
"""

import inspect
from collections import deque
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from .._errors import Gap
from ..backends._backend import Position
from ._bridge import Bridge
from ._events import Events, OnGap
from ._items import Push, Pushes, Stream

T = TypeVar("T")
S = TypeVar("S")


class SyncStream(Generic[T]):
    """The items of a stream, as a plain iterator. Left early, it is to be closed: by `with`, or
    by `close`. What it took is up to half a window ahead of who reads here."""

    def __init__(self, bridge: Bridge, stream: Stream[T]) -> None:
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

    def __init__(self, bridge: Bridge, pushes: Pushes) -> None:
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


class SyncEvents(Generic[T, S]):
    """The events of a topic, as a plain iterator that waits, to be entered by `with`.

    `on_gap` is called in the thread that reads.
    """

    def __init__(self, bridge: Bridge, events: Events[T, S], on_gap: OnGap | None) -> None:
        self._bridge = bridge
        self._events = events
        self._on_gap = on_gap

    @property
    def topic(self) -> str:
        """Its name."""
        return self._events.topic

    @property
    def snapshot(self) -> S | None:
        """See `Events.snapshot`."""
        return self._events.snapshot

    @property
    def position(self) -> Position | None:
        """See `Events.position`."""
        return self._events.position

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """As the `Events` of the async client."""
        while True:
            try:
                # One by one: `position` is that of the last event which was taken here.
                return self._bridge.do(self._events.__anext__())
            except StopAsyncIteration:
                raise StopIteration from None
            except Gap as gap:
                if self._on_gap is None:
                    raise
                told = self._on_gap(gap)
                if inspect.iscoroutine(told):
                    self._bridge.do(told)

    def close(self) -> None:
        """End it, here and on the server. Twice is harmless."""
        if not self._bridge.closed:
            self._bridge.do(self._events.aclose())

    def __enter__(self) -> Self:
        """Begun; raises as `Events` does."""
        self._bridge.do(self._events.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
