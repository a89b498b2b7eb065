"""
The one bounded, closable way out of a socket.

Texts leave in the order in which they came. Whoever finds the way free sends, and goes on
sending for those who come meanwhile: there is no writer task to wake for each answer.
An outbox knows no frames.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any


class Outbox:
    """Texts on their way to one socket.

    `send` puts one text on the wire, and waits while the peer does not read. `lost` is
    called with what it raised, and `freed` when the way is free again, if it was `wanted`.
    """

    __slots__ = ("_closed", "_freed", "_lost", "_send", "_waiting", "busy", "sent", "wanted")

    def __init__(
        self,
        send: Callable[[str], Coroutine[Any, Any, None]],
        lost: Callable[[Exception], None],
        freed: Callable[[], None],
    ) -> None:
        self._send = send
        self._lost = lost
        self._freed = freed
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
            await self._send(waiting.popleft())
            self.sent += 1

    def close(self) -> None:
        """Drop what waits, and whatever still comes."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.clear()
