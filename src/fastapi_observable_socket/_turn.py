"""
Looking after things at the loop's next turn: one callback for all who ask, not one each.
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary


class Turn:
    """The next turn of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._looks: list[Callable[[], None]] = []

    def look(self, call: Callable[[], None]) -> None:
        """Call `call` at the next turn: behind whatever runs now, before what that starts."""
        if not self._looks:
            self._loop.call_soon(self._come)
        self._looks.append(call)

    def _come(self) -> None:
        looks, self._looks = self._looks, []
        for call in looks:
            call()


_turns: "WeakKeyDictionary[asyncio.AbstractEventLoop, Turn]" = WeakKeyDictionary()


def next_turn(loop: asyncio.AbstractEventLoop | None = None) -> Turn:
    """That of `loop`, or of the running one."""
    loop = loop or asyncio.get_running_loop()
    turn = _turns.get(loop)
    if turn is None:
        turn = _turns[loop] = Turn(loop)
    return turn
