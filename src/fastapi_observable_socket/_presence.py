"""
Who listens to a topic, as the server itself asks.
"""

from ._subscribe import Events
from ._topics import Topics
from .backends._backend import PRESENCE, Member, Position


class Presence:
    """Who listens to one topic, in all processes: `router.presence("rooms/7")`.

    Those who listen as clients, by their users; not the server's own listeners. A worker that is
    killed is noticed within 20 seconds, and its users have left then. Raises
    `backends.Unavailable` where the broker is away.
    """

    def __init__(self, topics: Topics, topic: str) -> None:
        self._topics = topics
        self._topic = topic
        topics.find_or_raise(topic + PRESENCE)

    def __repr__(self) -> str:
        return f"<Presence at {self._topic}>"

    async def members(self) -> list[Member]:
        """Each user once, with the number of their sockets, longest there first; those without a
        user together, as one with `user_id` None."""
        return await self._topics.attendance.members(self._topic)

    async def count(self) -> int:
        """How many: users, each once, and sockets without one."""
        return await self._topics.attendance.count(self._topic)

    def changes(self, *, since: Position | None = None) -> Events:
        """`async with presence.changes() as changes`, then `async for change in changes`: each a
        `PresenceChange`. As with other events none is lost in silence: iterating raises `Gap`
        where some are, and then `members` are to be asked again."""
        return Events(self._topics, self._topic + PRESENCE, since)
