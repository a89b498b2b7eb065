"""
A topic as the client of a test follows it.

It asks and waits by what the client lends it, and knows no application.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from ._errors import Gap, ResponseError
from ._wire import Response
from .backends._backend import Position


class Asking(Protocol):
    """What it needs of the client."""

    def follow(self, uuid: str) -> Callable[[], Awaitable[dict[str, Any]]]:
        """From now on the frames of that uuid come by what is returned."""
        ...

    def unfollow(self, uuid: str) -> None: ...

    async def request(self, route: str, payload: Any = ..., /) -> Response: ...


class Followed:
    """The events of one topic: `async with client.subscribe("orders/42") as events`, then
    `await anext(events)`, or `async for`.

    Entering raises `ResponseError` where the topic is refused. An event that does not come is a
    `TimeoutError`; lost ones are a `Gap`, after which it may be gone on. `snapshot` is the
    topic's state, `position` that of the last event.
    """

    def __init__(self, client: Asking, topic: str, since: Position | None) -> None:
        self.topic = topic
        self.snapshot: Any = None
        self.position = since
        self._client = client
        self._waiting: deque[Mapping[str, Any] | Gap] = deque()
        self._next: Callable[[], Awaitable[dict[str, Any]]] | None = None

    async def __aenter__(self) -> Self:
        since = self.position
        wanted: dict[str, Any] = {"topic": self.topic}
        if since is not None:
            wanted["recover"] = since._asdict()
        self._next = self._client.follow(f"#{self.topic}")
        answer = await self._client.request("$sub", wanted)
        if not answer.ok:
            self._client.unfollow(f"#{self.topic}")
            raise ResponseError("$sub", answer.status, answer.headers or {}, answer.payload)
        self._begin(answer.payload, since)
        return self

    def _begin(self, told: Mapping[str, Any], since: Position | None) -> None:
        now = Position(told["epoch"], told["offset"])
        self.snapshot = told.get("snapshot")
        if since is None:
            self.position = now
        elif not told["recovered"]:
            self._waiting.append(Gap(self.topic, now))
        for missed in told["missed"]:
            headers = {"$epoch": missed["epoch"], "$offset": missed["offset"]}
            self._waiting.append({"headers": headers, "payload": missed["payload"]})

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._next is None:
            raise RuntimeError(
                "a subscription is entered first: `async with client.subscribe(...)`"
            )
        while True:
            event = self._waiting.popleft() if self._waiting else await self._next()
            if isinstance(event, Gap):
                self.position = event.position
                raise event
            position = _position_of(event)
            if position is not None and not self._moves_to(position):
                continue
            if event.get("route") == "$gap":
                raise Gap(
                    self.topic, position or Position("", 0), event["payload"]["reload_after_ms"]
                )
            return event["payload"]

    def _moves_to(self, position: Position) -> bool:
        known = self.position
        if known and known.epoch == position.epoch and position.offset <= known.offset:
            return False
        self.position = position
        return True

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.unfollow(f"#{self.topic}")
        if error is None:
            await self._client.request("$unsub", {"topic": self.topic})


def _position_of(event: Mapping[str, Any]) -> Position | None:
    headers = event.get("headers") or {}
    return Position(headers["$epoch"], headers["$offset"]) if "$offset" in headers else None


class SyncFollowed:
    """`Followed` for tests that are not `async`: by `with`, `next` and `for`."""

    def __init__(self, do: Callable[[Awaitable[Any]], Any], followed: Followed) -> None:
        self._do = do
        self._followed = followed

    @property
    def snapshot(self) -> Any:
        return self._followed.snapshot

    @property
    def position(self) -> Position | None:
        return self._followed.position

    def __enter__(self) -> Self:
        self._do(self._followed.__aenter__())
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._do(self._followed.__anext__())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._do(self._followed.__aexit__(kind, error, traceback))
