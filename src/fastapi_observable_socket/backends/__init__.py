"""Where topics keep their events, and how these reach other processes."""

from ._backend import Backend, Keep, Message, Page, Position, Receipt, Unavailable, Uncertain
from .memory import MemoryBackend

__all__ = [
    "Backend",
    "Keep",
    "MemoryBackend",
    "Message",
    "Page",
    "Position",
    "Receipt",
    "Unavailable",
    "Uncertain",
]
