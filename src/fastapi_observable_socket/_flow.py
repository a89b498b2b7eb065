"""
The pace of a stream: how far it may run ahead of its reader. Knows no frames.
"""

import asyncio


class Flow:
    """How far one stream may run ahead of its reader: `window` items, None for no bound."""

    __slots__ = ("_room", "_window", "sent", "taken")

    def __init__(self, window: int | None) -> None:
        self._window = window
        self._room: asyncio.Future[None] | None = None
        self.sent = 0
        """How many items are out: the number of the next one."""
        self.taken = 0
        """How many of them the reader has taken."""

    @property
    def full(self) -> bool:
        return self._window is not None and self.sent - self.taken >= self._window

    async def room(self) -> None:
        """Until one more item may leave."""
        while self.full:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def take(self, seq: int) -> None:
        """The reader has all items up to number `seq`. One that was never sent, it cannot have."""
        if self.taken <= seq < self.sent:
            self.taken = seq + 1
            self._go_on()

    def open(self) -> None:
        """Wait for the reader no more."""
        self._window = None
        self._go_on()

    def _go_on(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
