"""
The one bounded, closable way out of a socket.

Texts leave in the order in which they came. Whoever finds the way free sends, and goes on
sending for those who come meanwhile: there is no writer task to wake for each answer.
An outbox knows no frames.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

Waiting = str | tuple[str]
"""A text in line; in a tuple where no peer has asked for it: how many of those may wait is
bounded."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Characters of pushed texts that one outbox may hold: `hard` never, `soft` for a while."""

    soft: int = 1024 * 1024
    hard: int = 8 * 1024 * 1024


class Budget:
    """What all outboxes of a process may hold together, in characters.

    Beyond it the fullest outbox is told to give up: one peer that does not read must not
    cost the others their memory.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._outboxes: set[Outbox] = set()

    def change(self, outbox: "Outbox", size: int) -> None:
        """`outbox` holds so much more, or less, than before."""
        self._held += size
        if outbox.held:
            self._outboxes.add(outbox)
        else:
            self._outboxes.discard(outbox)
        if self._held > self._limit:
            max(self._outboxes, key=lambda each: each.held).overflow()


SLICE = 256
"""Outboxes that are served in a row before others get their turn."""


class Pump:
    """Sends what was pushed: one task for all outboxes of a loop, not one for each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: list[Outbox] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, outbox: "Outbox") -> None:
        self._ready.append(outbox)
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._ready:
                ready, self._ready = self._ready, []
                for number, outbox in enumerate(ready, 1):
                    await outbox.send_pushed()
                    if number % SLICE == 0:
                        await asyncio.sleep(0)
        finally:
            self._task = None


_pumps: "WeakKeyDictionary[asyncio.AbstractEventLoop, Pump]" = WeakKeyDictionary()


def pump() -> Pump:
    """That of the running loop."""
    loop = asyncio.get_running_loop()
    found = _pumps.get(loop)
    if found is None:
        found = _pumps[loop] = Pump(loop)
    return found


class Outbox:
    """Texts on their way to one socket.

    `send` puts one text on the wire, and waits while the peer does not read. `lost` is
    called with what it raised, and `freed` when the way is free again, if it was `wanted`.
    `overflow` is called when this outbox holds the most of a `budget` that is used up, or more
    pushed texts than its hard bound; it must `close`. `behind` is called when these pass the
    soft bound, `pushing` when the first of them is on its way. `spawn` starts a task, and
    `flows` tells whether a send is certain not to wait.
    """

    __slots__ = (
        "_behind",
        "_bounds",
        "_budget",
        "_closed",
        "_first",
        "_flows",
        "_free",
        "_freed",
        "_lost",
        "_pump",
        "_pushing",
        "_send",
        "_spawn",
        "_waiting",
        "busy",
        "crowded",
        "held",
        "overflow",
        "pushed",
        "recovered",
        "sent",
        "wanted",
    )

    def __init__(
        self,
        send: Callable[[str], Coroutine[Any, Any, None]],
        lost: Callable[[Exception], None],
        freed: Callable[[], None],
        overflow: Callable[[], None],
        budget: Budget,
        behind: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
        bounds: Bounds,
        flows: Callable[[], bool],
        pushing: Callable[[], None],
    ) -> None:
        self._flows = flows
        self._pushing = pushing
        self._pump = pump()
        self._behind = behind
        self._spawn = spawn
        self._bounds = bounds
        self._free: asyncio.Future[None] | None = None
        self._first = ""
        self.pushed = 0
        """Characters of the pushed texts that wait."""
        self.recovered = False
        """Set when they have come down to the soft bound."""
        self._send = send
        self._lost = lost
        self._freed = freed
        self._budget = budget
        self.overflow = overflow
        self.held = 0
        """Characters of the texts that wait."""
        self._waiting: deque[Waiting] | None = None
        self._closed = False
        self.busy = False
        """Whether a text is being sent, or waits."""
        self.crowded = False
        """The same, but for a text that was put in its turn: such a one keeps nobody from
        being heard, since who puts it may have to be told to stop."""
        self.wanted = False
        """Whether somebody waits to be told that the way is free."""
        self.sent = 0
        """How many texts are out."""

    async def put(self, text: str) -> None:
        """Send `text`, or leave it to the one who is sending. Raises nothing of `send`.

        Returns once it is out or in line. After `close` the text is dropped: there is
        nobody to read it.
        """
        if self._closed:
            return
        if self.busy:
            self._line_up(text, len(text))
            return
        self.busy = self.crowded = True
        try:
            await self._send(text)
            self.sent += 1
            if self._waiting:
                await self._send_waiting(self._waiting)
        except Exception as error:
            self._lost(error)
        finally:
            self._set_free()

    async def put_in_turn(self, text: str) -> None:
        """As `put`, but waits while the peer is behind: for those who could send without end."""
        while self.busy and not self._closed:
            await self.free()
        if self._closed:
            return
        self.busy = True
        try:
            await self._send(text)
            self.sent += 1
        except Exception as error:
            self._lost(error)
        finally:
            # Whoever waits here may be cancelled at any time, and must lose nobody else's text.
            if self._waiting:
                self._spawn(self._send_line())
            else:
                self._set_free()

    def push(self, text: str) -> None:
        """Put what the peer has not asked for. Neither waits nor fails: a peer that falls too
        far behind is given up instead."""
        if self._closed:
            return
        if not self.busy:
            self.busy = True
            self._first = text
            self._pump.add(self)
            return
        self._line_up((text,), len(text))
        self.pushed += len(text)
        if self.pushed > self._bounds.hard:
            self.overflow()
        elif self.pushed > self._bounds.soft:
            self._behind()

    async def send_pushed(self) -> None:
        """Send what was pushed while the way was free; a peer that is behind is not waited for."""
        text, self._first = self._first, ""
        if not self._flows():
            self._pushing()
            self._spawn(self._send_line(text))
            return
        try:
            if not self._closed:
                await self._send(text)
                self.sent += 1
            if self._waiting:
                await self._send_waiting(self._waiting)
        except Exception as error:
            self._lost(error)
        finally:
            self._set_free()

    async def free(self) -> None:
        """Until nothing waits any more, or the outbox is closed."""
        if not self.busy or self._closed:
            return
        if self._free is None:
            self._free = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._free)

    async def _send_line(self, first: str = "") -> None:
        try:
            if first and not self._closed:
                await self._send(first)
                self.sent += 1
            if self._waiting:
                await self._send_waiting(self._waiting)
        except Exception as error:
            self._lost(error)
        finally:
            self._set_free()

    async def _send_waiting(self, waiting: deque[Waiting]) -> None:
        while waiting:
            text = waiting.popleft()
            if isinstance(text, tuple):
                (text,) = text
                self.pushed -= len(text)
                self.recovered = self.recovered or self.pushed <= self._bounds.soft
            self._hold(-len(text))
            await self._send(text)
            self.sent += 1

    def _line_up(self, text: Waiting, size: int) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(text)
        self.crowded = True
        self._hold(size)

    def _hold(self, size: int) -> None:
        self.held += size
        self._budget.change(self, size)

    def _set_free(self) -> None:
        self.busy = self.crowded = False
        if self.wanted:
            self.wanted = False
            self._freed()
        if self._free is not None:
            self._wake()

    def _wake(self) -> None:
        free, self._free = self._free, None
        if free is not None and not free.done():
            free.set_result(None)

    def close(self) -> None:
        """Drop what waits, and whatever still comes."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.clear()
        self.pushed = 0
        if self.held:
            self._hold(-self.held)
        self._wake()
