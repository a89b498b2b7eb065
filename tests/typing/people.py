"""Users, presence and publishers are typed. Read by type checkers, never run."""

from typing import Any, assert_type

from pydantic import BaseModel

from fastapi_observable_socket import (
    Events,
    Member,
    Presence,
    PresenceChange,
    Publisher,
    SocketRouter,
    User,
)
from fastapi_observable_socket.backends import Keep, MemoryBackend, Position, PresenceBackend
from fastapi_observable_socket.backends.redis import RedisBackend

router = SocketRouter()


class Answer(BaseModel):
    yes: bool


async def users() -> None:
    user = router.user(7)
    assert_type(user, User)
    assert_type(user.id, str)
    assert_type(await user.push("news", {"a": 1}, {"h": 1}), int | None)
    assert_type(await user.close(1008, "gone"), int | None)
    assert_type(await user.call("confirm"), Any)
    assert_type(await user.call("confirm", 1, headers={}, timeout=3, result=Answer), Answer)
    await user.call("confirm", timeout=None)  # type: ignore[call-overload]
    await user.push(7)  # type: ignore[arg-type]


async def presence() -> None:
    room = router.presence("room")
    assert_type(room, Presence)
    assert_type(await room.members(), list[Member])
    assert_type(await room.count(), int)
    assert_type(room.changes(since=Position("e", 1)), Events)


def facts(member: Member, change: PresenceChange) -> None:
    assert_type((member.user_id, member.sockets, member.since), tuple[str | None, int, float])
    assert_type((change.user_id, change.sockets), tuple[str | None, int])
    member.sockets = 3  # type: ignore[misc]


async def publishers() -> None:
    async with Publisher(RedisBackend()) as publisher:
        assert_type(publisher, Publisher)
        told = await publisher.publish("t", 1, message_id="m", keep=Keep(), timeout=1)
        assert_type(told, Position | None)
        await publisher.publish("t", 1, keep=None)
        assert_type(publisher.user("ann"), User)
        await publisher.publish("t", 1, keep=False)  # type: ignore[arg-type]


backends: list[PresenceBackend] = [MemoryBackend(), RedisBackend()]
