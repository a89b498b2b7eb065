"""
The one bounded, closable way out of a socket.

Texts leave in the order in which they came. Whoever finds the way free sends, and goes on
sending for those who come meanwhile: there is no writer task to wake for each answer.
An outbox knows no frames.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from ._carrier import carry


class Watch(Protocol):
    """What runs while a send is stalled, such as a timer."""

    def cancel(self) -> None: ...


class Outbox:
    """Texts on their way to one socket.

    `send` puts one text on the wire, and waits while the peer does not read. `stalled` is
    called whenever it begins to wait; what it returns is cancelled when that wait ends.
    """

    __slots__ = ("_closed", "_send", "_stalled", "_waiting", "_watch", "busy")

    def __init__(
        self,
        send: Callable[[str], Coroutine[Any, Any, None]],
        stalled: Callable[[], Watch],
    ) -> None:
        self._send = send
        self._stalled = stalled
        self._watch: Watch | None = None
        self._waiting: deque[str] | None = None
        self._closed = False
        self.busy = False
        """Whether a text is being sent, or waits."""

    async def put(self, text: str) -> None:
        """Send `text`, or leave it to the one who is sending.

        Returns once it is out or in line; raises what `send` raises. After `close`,
        the text is dropped: there is nobody to read it.
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
            await carry(self._send(text), self._begin_watch)
            while self._waiting:
                self._end_watch()
                await carry(self._send(self._waiting.popleft()), self._begin_watch)
        finally:
            self._end_watch()
            self.busy = False

    def _begin_watch(self) -> None:
        self._watch = self._stalled()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def close(self) -> None:
        """Drop what waits, and whatever still comes."""
        self._closed = True
        self._waiting = None
