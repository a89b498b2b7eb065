"""
Writes that leave together: what is written in one turn of the loop is one write below.
"""

from asyncio import Transport
from typing import Any

from ._turn import Turn

MOST = 64
"""Writes that are joined."""

LARGE = 4096
"""Bytes of a write that is out at once: the transport below should be able to say stop."""


class JoinedTransport:
    """A transport that joins what is written to it, until the loop's next turn or `flush`.

    All else goes to the transport below. Order is kept: everything goes through here.
    """

    __slots__ = ("_below", "_lost", "_turn", "due", "out")

    def __init__(self, below: Transport, turn: Turn) -> None:
        self._below = below
        self._turn = turn
        self.out: list[bytes] = []
        self.due = False
        """Whether somebody will see to it that all is out."""
        self._lost = False

    def write(self, data: bytes) -> None:
        self.out.append(data)
        self.wrote(len(data))

    def wrote(self, size: int) -> None:
        """Something of that size was added to `out`."""
        if size > LARGE or len(self.out) >= MOST:
            self.flush()
        elif not self.due:
            self.due = True
            self._turn.look(self.release)

    def release(self) -> None:
        self.due = False
        self.flush()

    def flush(self) -> None:
        """Write what is there."""
        out = self.out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            if not self._lost:
                self._below.write(data)

    def close(self) -> None:
        self.flush()
        self._below.close()

    def drop(self) -> None:
        """The peer is gone: forget what is not out, and whatever still comes."""
        self._lost = True
        self.out.clear()

    def abort(self) -> None:
        self.drop()
        self._below.abort()

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size() + sum(map(len, self.out))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)
