"""
The events of a topic, as their reader takes them.

Nothing here touches a line: `_topics` knows what is asked for, and what has come.
"""

import asyncio
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from .._errors import Gap, SocketTimeoutError
from ..backends._backend import Position
from ._ledger import Heard
from ._subscription import Event, Lost, Subscription
from ._topics import Topics

T = TypeVar("T")
S = TypeVar("S")

OnGap = Callable[[Gap], Any]


class Events(Generic[T, S]):
    """The events of one topic, in their order, over one connection after another.

        async with socket.subscribe("orders/42", event=OrderEvent) as events:
            async for event in events:
                ...

    None is lost or told twice. After a lost connection those that were missed come first; one
    that reads slowly gets them from the server's history. Where they cannot be had iterating
    raises `Gap` (or calls `on_gap`), and may be gone on with; so it may after any error of a
    single event, and after a cancellation. Leaving the `async with`, or `aclose()`, ends it on
    the server too; a plain `async for` that is left early does so when this is
    garbage-collected.
    """

    __slots__ = (
        "__weakref__",
        "_begun",
        "_loop",
        "_on_gap",
        "_read",
        "_read_state",
        "_subscription",
        "_timeout",
        "_topics",
        "position",
        "snapshot",
        "topic",
    )

    def __init__(
        self,
        topics: Topics,
        subscription: Subscription,
        read: Callable[[Heard], T],
        read_state: Callable[[Heard], S],
        on_gap: OnGap | None,
        timeout: float | None,
    ) -> None:
        self.topic = subscription.topic
        self.snapshot: S | None = None
        """The state of things at the beginning, or after the last gap, where the topic has one;
        None where the events since `since` say all there is to say."""
        self.position: Position | None = subscription.at
        """That of the last event that was taken; before the first, that of the beginning."""
        self._topics = topics
        self._subscription = subscription
        self._read = read
        self._read_state = read_state
        self._on_gap = on_gap
        self._timeout = timeout
        self._begun = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """How many events wait here."""
        return len(self._subscription.items)

    async def __aenter__(self) -> Self:
        """Begun: no event from now on is missed. Raises `ResponseError` where the server refuses
        it (403, or 404 for a topic that it does not know, or where it knows none),
        `SocketTimeoutError`, `ConnectionLostError`, and pydantic's `ValidationError` for a state
        that is no `snapshot`."""
        if not self._begun:
            await self._begin()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next event. Raises `Gap`; `ResponseError` where the server refuses to go on with
        it after a lost connection, `ConnectionLostError` where the socket is closed, each after
        the events that came before, and once; and pydantic's `ValidationError`."""
        if not self._begun:
            await self._begin()
        while True:
            item = await self._next()
            if item.position is not None:
                self.position = item.position
            if isinstance(item, Event):
                return self._read(item.frame)
            await self._tell(item)

    async def _begin(self) -> None:
        self._begun = True
        self._loop = asyncio.get_running_loop()
        subscription = self._subscription
        if subscription.over:
            return
        subscription.began = self._loop.create_future()
        limit = asyncio.timeout(self._timeout)
        try:
            self._topics.add(subscription)
            async with limit:
                self.position, state = await subscription.began
            self._take_state(state)
        except BaseException as error:
            self._leave()
            if isinstance(error, TimeoutError) and limit.expired():
                seconds = self._timeout or 0
                raise SocketTimeoutError(self.topic, seconds, subscription.asked) from None
            raise

    async def _next(self) -> Event | Lost:
        subscription = self._subscription
        if subscription.waiter is not None:
            raise RuntimeError("events are read by one task at a time")
        while not subscription.items:
            if subscription.over:
                error, subscription.error = subscription.error, None
                raise error or StopAsyncIteration
            if subscription.behind:
                self._topics.caught_up(subscription)
            await subscription.more()
        return subscription.items.popleft()

    async def _tell(self, lost: Lost) -> None:
        try:
            self._take_state(lost.state)
        except Exception:
            self._leave()  # nobody would know how things stand
            raise
        gap = Gap(self.topic, lost.position, lost.reload_after_ms)
        if self._on_gap is None:
            raise gap
        told = self._on_gap(gap)
        if inspect.isawaitable(told):
            await told

    def _take_state(self, state: Heard | None) -> None:
        if state is not None:
            self.snapshot = self._read_state(state)

    def _leave(self) -> None:
        self._begun = True
        self._subscription.items.clear()
        self._subscription.error = None
        self._topics.remove(self._subscription)

    async def aclose(self) -> None:
        """End it, here and on the server. Twice is harmless."""
        self._leave()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def __del__(self) -> None:
        # Anything may run this, in any thread and at any time: the loop sees to the rest.
        if self._loop is not None and not self._subscription.over and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._topics.remove, self._subscription)
