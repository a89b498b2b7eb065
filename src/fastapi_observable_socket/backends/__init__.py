"""Where topics keep their events, and how these reach other processes."""

from ._backend import (
    Backend,
    Entry,
    Keep,
    Member,
    Message,
    Page,
    Position,
    PresenceBackend,
    Receipt,
    Unavailable,
    Uncertain,
)
from .memory import MemoryBackend

__all__ = [
    "Backend",
    "Entry",
    "Keep",
    "Member",
    "MemoryBackend",
    "Message",
    "Page",
    "Position",
    "PresenceBackend",
    "Receipt",
    "Unavailable",
    "Uncertain",
]
