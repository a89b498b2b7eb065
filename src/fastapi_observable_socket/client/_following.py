"""
What a socket does with topics: `subscribe` and `publish`, with their types.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, overload

from msgspec import UNSET, UnsetType
from pydantic import TypeAdapter

from .._wire import Header
from ..backends._backend import Position
from ._asking import error_of
from ._desk import Desk
from ._events import Events, OnGap
from ._items import reader
from ._ledger import payload_of
from ._routes import TopicRoute, followed, published
from ._subscription import Subscription

T = TypeVar("T")
S = TypeVar("S")

Headers = Mapping[str, Any]
Timeout = float | UnsetType | None

Since = Position | tuple[str, int] | None
"""A position that was read somewhere, such as that of other events; None for now."""


class Following:
    """The part of a socket that knows topics."""

    def __init__(self, desk: Desk, timeout: float | None) -> None:
        self._desk = desk
        self._timeout = timeout

    def _limit(self, timeout: Timeout) -> float | None:
        return self._timeout if isinstance(timeout, UnsetType) else timeout

    @overload
    def subscribe(
        self,
        topic: TopicRoute[T, S],
        *,
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> Events[T, S]: ...
    @overload
    def subscribe(
        self,
        topic: str,
        *,
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> Events[Any, Any]: ...
    @overload
    def subscribe(
        self,
        topic: str,
        *,
        event: type[T] | TypeAdapter[T],
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> Events[T, Any]: ...
    @overload
    def subscribe(
        self,
        topic: str,
        *,
        snapshot: type[S] | TypeAdapter[S],
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> Events[Any, S]: ...
    @overload
    def subscribe(
        self,
        topic: str,
        *,
        event: type[T] | TypeAdapter[T],
        snapshot: type[S] | TypeAdapter[S],
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> Events[T, S]: ...
    def subscribe(
        self,
        topic: str | TopicRoute[Any, Any],
        *,
        event: Any = None,
        snapshot: Any = None,
        since: Since = None,
        on_gap: OnGap | None = None,
        timeout: Timeout = UNSET,
    ) -> Events[Any, Any]:
        """The events of a topic, by `async with` and `async for`; with `event` as values of that
        type, with `snapshot` its state as one of that. A `TopicRoute` knows the types of both.

        Those that came after `since` come first. Where events are lost iterating raises `Gap`;
        with `on_gap` that is called with it instead, plain or async, and iterating goes on.
        `timeout` bounds the wait for the beginning alone. All who listen to a topic by one
        socket share one subscription at the server. See `Events`.
        """
        name, event, snapshot = followed(topic, event, snapshot)
        if not isinstance(name, str) or not name:
            raise ValueError(f"a topic has a name, and {name!r} is none")
        subscription = Subscription(name, None if since is None else Position(*since))
        return Events(
            self._desk.topics,
            subscription,
            payload_of if event is None else reader(event),
            payload_of if snapshot is None else reader(snapshot),
            on_gap,
            self._limit(timeout),
        )

    @overload
    async def publish(
        self,
        topic: TopicRoute[T, Any],
        event: T,
        message_id: str | None = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> Position | None: ...
    @overload
    async def publish(
        self,
        topic: str,
        event: Any,
        message_id: str | None = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> Position | None: ...
    async def publish(
        self,
        topic: str | TopicRoute[Any, Any],
        event: Any,
        message_id: str | None = None,
        *,
        headers: Headers | None = None,
        timeout: Timeout = UNSET,
    ) -> Position | None:
        """Publish where the topic lets clients; its position, None where the topic keeps nothing.

        Raises as `call` does. After a 503 of code `uncertain`, or a lost connection, nobody
        knows whether it was stored: it may be published again under the same `message_id`, and
        is stored once.
        """
        name, event = published(topic, event)
        said: Header = {"topic": name, "payload": event}
        if message_id is not None:
            said["message_id"] = message_id
        frame = await self._desk.ask("$pub", said, headers, self._limit(timeout))
        if not frame.ok:
            raise error_of("$pub", frame)
        stored = payload_of(frame)
        if not isinstance(stored, dict) or "epoch" not in stored or "offset" not in stored:
            return None
        return Position(stored["epoch"], stored["offset"])
