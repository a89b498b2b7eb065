"""
Listening in the server itself, as clients do: to be told of every event, or of the gap.
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Self

from ._channel import Attached
from ._errors import Gap
from ._topics import Topics
from .backends._backend import Message, Position

BEHIND = 1000
"""Events that may wait for who listens; beyond, they are fetched from the history instead."""


class Events:
    """The events of one topic, as an async context manager and iterator.

        async with router.subscribe("orders/42") as events:
            async for event in events:
                ...

    Each is validated by the topic's type. None is lost or told twice: one that reads slowly gets
    what it missed from the history. Where that cannot be had iterating raises `Gap`, and may be
    gone on with. `position` is that of the last event; `since` one before which all is known.
    """

    def __init__(self, topics: Topics, topic: str, since: Position | None) -> None:
        self._topics = topics
        self._topic = topic
        self._known, _ = topics.find_or_raise(topic)
        self.position = since
        self._waiting: deque[Message | Position] = deque()
        self._behind = False
        self._woken: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        await self._attach()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._topics.hub.detach(self._topic, self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            if not self._waiting and self._behind:
                await self._attach()
            while not self._waiting:
                self._woken = asyncio.get_running_loop().create_future()
                await self._woken
            item = self._waiting.popleft()
            if isinstance(item, Position):
                self.position = item
                raise Gap(self._topic, item)
            if self._is_new(item):
                return self._known.read(item.data)

    def _is_new(self, message: Message) -> bool:
        if not message.offset:
            return True
        known = self.position
        if known and known.epoch == message.epoch and message.offset <= known.offset:
            return False
        self.position = Position(message.epoch, message.offset)
        return True

    async def _attach(self) -> None:
        since = self.position

        def joined(attached: Attached) -> None:
            self._behind = False
            if since is not None and not attached.recovered:
                self._waiting.append(attached.position)
            self._waiting.extend(attached.missed)
            if since is None:
                self.position = attached.position

        await self._topics.hub.attach(self._topic, self, since, joined, self._known.conflate)

    # --- told by the hub

    def event(self, message: Message) -> None:
        if len(self._waiting) >= BEHIND:
            self._behind = True
            self._topics.hub.detach(self._topic, self)
            return
        self._waiting.append(message)
        self._wake()

    def gap(self, position: Position) -> None:
        self._waiting.append(position)
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
