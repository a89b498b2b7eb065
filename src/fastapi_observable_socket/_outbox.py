"""
The one bounded, closable way out of a socket.

Texts leave in the order in which they came. Whoever finds the way free sends, and goes on
sending for those who come meanwhile: there is no writer task to wake for each answer.
An outbox knows no frames.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any


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


class Outbox:
    """Texts on their way to one socket.

    `send` puts one text on the wire, and waits while the peer does not read. `lost` is
    called with what it raised, and `freed` when the way is free again, if it was `wanted`.
    `overflow` is called when this outbox holds the most of a `budget` that is used up; it
    must `close`.
    """

    __slots__ = (
        "_budget",
        "_closed",
        "_freed",
        "_lost",
        "_send",
        "_waiting",
        "busy",
        "held",
        "overflow",
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
    ) -> None:
        self._send = send
        self._lost = lost
        self._freed = freed
        self._budget = budget
        self.overflow = overflow
        self.held = 0
        """Characters of the texts that wait."""
        self._waiting: deque[str] | None = None
        self._closed = False
        self.busy = False
        """Whether a text is being sent, or waits."""
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
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(text)
            self._hold(len(text))
            return
        self.busy = True
        try:
            await self._send(text)
            self.sent += 1
            if self._waiting:
                await self._send_waiting(self._waiting)
        except Exception as error:
            self._lost(error)
        finally:
            self.busy = False
            if self.wanted:
                self.wanted = False
                self._freed()

    async def _send_waiting(self, waiting: deque[str]) -> None:
        while waiting:
            text = waiting.popleft()
            self._hold(-len(text))
            await self._send(text)
            self.sent += 1

    def _hold(self, size: int) -> None:
        self.held += size
        self._budget.change(self, size)

    def close(self) -> None:
        """Drop what waits, and whatever still comes."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.clear()
        if self.held:
            self._hold(-self.held)
