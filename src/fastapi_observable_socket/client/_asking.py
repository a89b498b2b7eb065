"""
The calls of the client, as those who wait see them: one answer, none, or items.

The ledger says what arrived for a call; here it wakes whoever waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from .._errors import ResponseError
from ._ledger import Call, Heard, payload_of


class Awaited(Call):
    """A call that one task awaits the answer of."""

    __slots__ = ("future", "on_progress")

    oneway = False
    counts = True

    def __init__(
        self,
        uuid: str,
        route: str,
        text: str,
        future: "asyncio.Future[Heard]",
        on_progress: Callable[[Heard], None] | None = None,
    ) -> None:
        super().__init__(uuid, route, text, progress=on_progress is not None)
        self.future = future
        self.on_progress = on_progress

    def progressed(self, frame: Heard) -> None:
        if self.on_progress is not None:
            self.on_progress(frame)

    def answer(self, frame: Heard) -> None:
        if not self.future.done():
            self.future.set_result(frame)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Told(Awaited):
    """A call that is over as soon as it is sent."""

    __slots__ = ()

    oneway = True
    counts = False

    def left(self) -> None:
        self.answer(Heard())


class Own(Call):
    """A request of the protocol's own: nobody waits for it, and it takes no place of others."""

    __slots__ = ("_then",)

    oneway = False

    def __init__(self, uuid: str, route: str, text: str, then: Callable[[Heard], None]) -> None:
        super().__init__(uuid, route, text)
        self._then = then

    def answer(self, frame: Heard) -> None:
        self._then(frame)


class Streamed(Call):
    """A call that is answered by items. Those that nobody has taken yet wait here."""

    __slots__ = (
        "acked",
        "error",
        "items",
        "last",
        "on_progress",
        "over",
        "timeout",
        "timer",
        "waiter",
        "window",
    )

    oneway = False

    def __init__(
        self,
        uuid: str,
        route: str,
        text: str,
        window: int,
        timeout: float | None = None,
        on_progress: Callable[[Heard], None] | None = None,
    ) -> None:
        super().__init__(uuid, route, text, streams=True, progress=on_progress is not None)
        self.window = window
        self.timeout = timeout
        """Seconds that the first frame may take."""
        self.acked = 0
        self.items: deque[Heard] = deque()
        self.over = False
        self.error: Exception | None = None
        """Why there are no more items, told after those that came."""
        self.last: Heard | None = None
        """The end, where it came as items came."""
        self.on_progress = on_progress
        self.timer: asyncio.TimerHandle | None = None
        """Runs until the first frame comes."""
        self.waiter: asyncio.Future[None] | None = None

    def item(self, frame: Heard) -> None:
        self.items.append(frame)
        self._wake()

    def progressed(self, frame: Heard) -> None:
        self._wake()
        if self.on_progress is not None:
            self.on_progress(frame)

    def answer(self, frame: Heard) -> None:
        if not frame.ok:
            self.fail(error_of(self.route, frame))
            return
        if self.seq == 0 and "$seq" not in (frame.headers or {}):
            self.items.extend(_items_in(frame))
        else:
            self.last = frame
        self.finish()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.finish()

    def finish(self) -> None:
        """Nothing more will come."""
        self.over = True
        self._wake()

    def _wake(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def more(self) -> None:
        """Until there is an item, or the end, or just progress."""
        self.waiter = asyncio.get_running_loop().create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None


def _items_in(frame: Heard) -> list[Heard]:
    """Those of a server without streams, or of a route that is none: all in one answer."""
    try:
        return [Heard(payload=item) for item in _lists.decode(frame.payload)]
    except msgspec.MsgspecError:
        return [frame]


_lists = msgspec.json.Decoder(list[msgspec.Raw])


def error_of(route: str, frame: Heard) -> ResponseError:
    """What an answer that is no 2xx is raised as."""
    return ResponseError(route, frame.status or 0, frame.headers or {}, payload_of(frame))
