"""
Writes that leave together: what is written in one turn of the loop is one write below.
"""

from asyncio import Transport
from typing import Any

from ._turn import Turn

MOST = 64 * 1024
"""Bytes that are not held back: beyond them the transport below should be able to say stop."""


class JoinedTransport:
    """A transport that joins what is written to it, until the loop's next turn or `flush`.

    All else goes to the transport below. Order is kept: everything goes through here.
    """

    __slots__ = ("_below", "_due", "_lost", "_out", "_size", "_turn", "held")

    def __init__(self, below: Transport, turn: Turn) -> None:
        self._below = below
        self._turn = turn
        self._out: list[bytes] = []
        self._size = 0
        self._due = False
        self._lost = False
        self.held = False
        """Whether somebody is about to `flush`, so that nobody else need see to it."""

    def write(self, data: bytes) -> None:
        self._out.append(data)
        self._size += len(data)
        if self._size > MOST:
            self.flush()
        elif not (self._due or self.held):
            self._due = True
            self._turn.look(self._come)

    def _come(self) -> None:
        self._due = False
        self.flush()

    def flush(self) -> None:
        """Write what is there."""
        out = self._out
        if out:
            self._out = []
            self._size = 0
            if not self._lost:
                self._below.write(out[0] if len(out) == 1 else b"".join(out))

    def close(self) -> None:
        self.flush()
        self._below.close()

    def drop(self) -> None:
        """The peer is gone: forget what is not out, and whatever still comes."""
        self._lost = True
        self._out = []
        self._size = 0

    def abort(self) -> None:
        self.drop()
        self._below.abort()

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size() + self._size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)
