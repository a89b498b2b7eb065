"""
The one bounded, closable way out of a socket.

Texts leave in the order in which they came. Whoever finds the way free sends, and goes on
sending for those who come meanwhile: there is no writer task to wake for each answer.
An outbox knows no frames.
"""

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol


class Watch(Protocol):
    """What runs while a send is stalled, such as a timer."""

    def cancel(self) -> None: ...


class Outbox:
    """Texts on their way to one socket.

    `send` puts one text on the wire, and waits while the peer does not read. `stalled` is
    called whenever it begins to wait; what it returns is cancelled when that wait ends.
    `lost` is called with what `send` raised, and `freed` when waiting texts are all out.
    """

    __slots__ = ("_closed", "_freed", "_lost", "_send", "_stalled", "_waiting", "busy")

    def __init__(
        self,
        send: Callable[[str], Coroutine[Any, Any, None]],
        stalled: Callable[[], Watch],
        lost: Callable[[Exception], None],
        freed: Callable[[], None],
    ) -> None:
        self._send = send
        self._stalled = stalled
        self._lost = lost
        self._freed = freed
        self._waiting: deque[str] | None = None
        self._closed = False
        self.busy = False
        """Whether a text is being sent, or waits."""

    @types.coroutine
    def put(self, text: str) -> Generator[Any, Any, None]:
        """Send `text`, or leave it to the one who is sending. Raises nothing.

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
        # By hand what `await` would do: most sends are done at once, and only one that is
        # not deserves a watch and a loop.
        sending = self._send(text)
        try:
            waiting = sending.send(None)
        except StopIteration:
            return
        except Exception as error:
            self._lost(error)
            return
        self.busy = True
        try:
            yield from self._watched(sending, waiting)
            while self._waiting:
                sending = self._send(self._waiting.popleft())
                try:
                    waiting = sending.send(None)
                except StopIteration:
                    continue
                yield from self._watched(sending, waiting)
        except Exception as error:
            self._lost(error)
        finally:
            self.busy = False
            self._freed()

    def _watched(
        self, sending: Coroutine[Any, Any, None], waiting: Any
    ) -> Generator[Any, Any, None]:
        watch = self._stalled()
        try:
            while True:
                try:
                    value = yield waiting
                except BaseException as error:
                    waiting = sending.throw(error)
                else:
                    waiting = sending.send(value)
        except StopIteration:
            return
        finally:
            watch.cancel()

    def close(self) -> None:
        """Drop what waits, and whatever still comes."""
        self._closed = True
        self._waiting = None
