"""
Publishing without a router: from a script, a worker of jobs, another service.
"""

from types import TracebackType
from typing import Any, Self

from ._declared import Declarations
from ._hub import PATIENCE, Hub
from ._topic import check_topic
from ._user import Post, User
from ._wire import encode
from .backends._backend import Backend, Keep, Position

NOTHING = Declarations()


class Publisher:
    """Sends events and pushes to those who are connected elsewhere, over the broker they share.

        async with Publisher(RedisBackend("redis://localhost:6379/0")) as publisher:
            await publisher.publish("orders/42", {"state": "shipped"})
            await publisher.user("ann").push("shipped", {"order": 42})

    `backend` is one like that of the routers, at the same address and with the same `prefix`. It
    starts when it is first used, and ends with the `async with`, or with `aclose`.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        max_event_bytes: int = 256 * 1024,
        max_pushed_bytes: int = 8 * 1024 * 1024,
    ) -> None:
        self._hub = Hub(backend)
        self._post = Post(self._hub)
        self._max_event_bytes = max_event_bytes
        self._max_pushed_bytes = max_pushed_bytes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End; it may be used again."""
        await self._hub.close()

    async def publish(
        self,
        topic: str,
        event: Any,
        *,
        message_id: str = "",
        keep: Keep | None = Keep(),  # noqa: B008  # a tuple
        timeout: float = PATIENCE,
    ) -> Position | None:
        """Send an event to all who listen to `topic`, as `SocketRouter.publish` does.

        What a router declares of the topic is not known here: `event` is whatever can be written as
        JSON, models and dataclasses too, and is not held against the topic's type. How much
        history there is from now on is what `keep` says, and None that there is none: give what
        the topic was declared with, `Keep(size=history, ttl=ttl)`, and None for `keep=False`.

        Returns its position; None without history. Raises `Unserialisable`, `ValueError` for a
        name that cannot be one and for an event that is too large, `backends.Unavailable` and
        `backends.Uncertain`.
        """
        check_topic(topic)
        data = encode(event)
        if len(data) > self._max_event_bytes:
            raise ValueError(f"an event has at most {self._max_event_bytes} bytes, not {len(data)}")
        receipt = await self._hub.publish(topic, data, keep, message_id, timeout)
        return receipt.position

    def user(self, user_id: Any) -> User:
        """One user, wherever their sockets are. See `User`. What a router declares of pushes and
        calls is not known here."""
        return User([self._post], user_id, self._max_pushed_bytes, lambda *_: NOTHING)
