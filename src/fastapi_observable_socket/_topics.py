"""
The topics of one router: between what clients ask for and the hub.

Knows how events look on the wire; each is written once, for all who get it.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import msgspec
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

from ._attendance import Attendance, Roster
from ._call import Call, Shared
from ._channel import Attached
from ._declared import ErrorPayload
from ._depends import misfit
from ._errors import BadRequest, Forbidden, Internal, NotFound, RequestFailed, of_broker
from ._hub import Hub
from ._log import failure
from ._status import Status
from ._topic import MAX_TOPIC, Topic, TopicDefinition, check_topic, is_open
from ._wire import encode
from .backends._backend import PRESENCE, Message, Position, Receipt

RELOAD_WITHIN = 5.0
"""Seconds over which clients that lost events are asked to spread their reloading, at most."""


AT_ONCE = 32
"""Topics of one frame that are joined at the same time."""


class TooManyTopics(Forbidden):
    code = "topic_limit"


class Recover(BaseModel):
    epoch: str
    offset: int = Field(ge=0)


class Wanted(BaseModel):
    """One topic of a `$sub`, and what the client saw of it last."""

    topic: str = Field(min_length=1, max_length=MAX_TOPIC)
    recover: Recover | None = None


class WantedMany(BaseModel):
    """Many. Each is looked at by itself: one that cannot be is not the others' fault."""

    topics: list[Any] = Field(max_length=1000)


class Unwanted(BaseModel):
    topic: str


AROUND = 64
"""Bytes, about, of an answer around one event that was missed."""


class _Asked:
    """One `$sub` while it is answered: `made` is what came of it by now."""

    def __init__(self, call: Call, room: int) -> None:
        self.call = call
        self._room = room
        self.few = asyncio.Semaphore(AT_ONCE)
        self.made: list[Subscription] = []
        self._turn = asyncio.Lock()

    def fitting(self, attached: Attached) -> Attached:
        """With what was missed, if one answer can hold it all; else it is lost, as is told."""
        size = sum(len(message.data) + AROUND for message in attached.missed)
        if size > self._room:
            return Attached(attached.position, [], False)
        self._room -= size
        return attached

    def turn(self, topic: Topic | Roster) -> AbstractAsyncContextManager[Any]:
        """Functions that are given the socket run one after the other, as handlers do."""
        return self._turn if topic.takes_socket else nullcontext()


def _wanted(item: Any, number: int) -> Wanted:
    """One of many topics. Raises `BadRequest`."""
    try:
        return Wanted.model_validate(item)
    except ValidationError as error:
        raise misfit(error, "payload", "topics", number) from None


class Subscription:
    """One connection listening to one topic. Held back until its client has its answer."""

    __slots__ = ("_frame_of", "_push", "_waiting", "epoch", "offset", "topic")

    def __init__(
        self, topic: str, push: Callable[[str], None], frame_of: Callable[[Message], str]
    ) -> None:
        self.topic = topic
        self._push = push
        self._frame_of = frame_of
        self._waiting: list[str] | None = []
        self.epoch, self.offset = "", 0

    def begin(self, position: Position) -> None:
        self.epoch, self.offset = position

    def go_on(self, before: "Subscription") -> None:
        """In the place of another of the same socket: who listens to that one misses nothing."""
        if before.epoch == self.epoch:
            self.offset = min(self.offset, before.offset)

    def event(self, message: Message) -> None:
        if message.offset:
            if message.epoch == self.epoch and message.offset <= self.offset:
                return
            self.epoch, self.offset = message.epoch, message.offset
        self._tell(self._frame_of(message))

    def gap(self, position: Position) -> None:
        self.epoch, self.offset = position
        # At random: those who lost the same events must not all ask for them at once.
        wait = int(random.uniform(0, RELOAD_WITHIN) * 1000)
        self._tell(gap_frame(self.topic, position, wait))

    def _tell(self, text: str) -> None:
        if self._waiting is None:
            self._push(text)
        else:
            self._waiting.append(text)

    def release(self) -> None:
        """The answer is out: from here on events follow it."""
        waiting, self._waiting = self._waiting, None
        for text in waiting or ():
            self._push(text)


class Topics:
    """Those that a router knows, and the hub behind them."""

    def __init__(
        self,
        hub: Hub,
        attendance: Attendance,
        max_topics: int,
        max_event_bytes: int,
        max_missed_bytes: int,
    ) -> None:
        self.hub = hub
        self.attendance = attendance
        self.known: dict[str, Topic] = {}
        self._max_topics = max_topics
        self._max_bytes = max_event_bytes
        self._max_missed = max_missed_bytes
        self._last: tuple[Message, str] | None = None

    def made(self, definition: TopicDefinition) -> Topic:
        """Raises `SignatureError`, `ValueError`, and `TypeError` for what the backend cannot."""
        if definition.presence:
            self.attendance.check(definition.pattern)
        return Topic(definition)

    def find(self, name: str) -> tuple[Topic | Roster, dict[str, Any]]:
        """The topic of that name and the parameters in it. Raises `NotFound`."""
        whole = name.removesuffix(PRESENCE)
        # What is between processes is nobody else's, whatever a pattern such as "{name}" says.
        for topic in self.known.values() if is_open(whole) else ():
            path = topic.match(whole)
            if path is None:
                continue
            if whole == name:
                return topic, path
            if topic.presence:
                return Roster(topic, whole, self.attendance), path
            break
        raise NotFound(f"no topic {name!r}")

    def find_or_raise(self, name: str) -> tuple[Topic | Roster, dict[str, Any]]:
        """The same for our own side. Raises `ValueError` and `LookupError`."""
        check_topic(name.removesuffix(PRESENCE) if isinstance(name, str) else name)
        try:
            return self.find(name)
        except NotFound as unknown:
            raise LookupError(str(unknown)) from None

    # --- publishing

    async def publish(self, name: str, event: Any, message_id: str, timeout: float) -> Receipt:
        """Raises `LookupError`, `TypeError`, `ValueError`, and what the backend raises."""
        check_topic(name)
        topic, _ = self.find_or_raise(name)
        assert isinstance(topic, Topic)
        return await self._publish(topic, name, topic.encoded(event), message_id, timeout)

    async def _publish(
        self, topic: Topic, name: str, data: bytes, message_id: str, timeout: float
    ) -> Receipt:
        if len(data) > self._max_bytes:
            raise ValueError(f"an event has at most {self._max_bytes} bytes, not {len(data)}")
        return await self.hub.publish(name, data, topic.keep, message_id, timeout)

    # --- what clients ask

    async def sub(self, payload: WantedMany | Wanted, call: Call) -> Any:
        """`$sub`: one topic, answered by itself; or many, answered one by one in a list."""
        frame = _Asked(call, self._max_missed)
        if isinstance(payload, Wanted):
            return await self._subscribe(payload, frame)
        try:
            async with asyncio.TaskGroup() as group:
                joining = [
                    group.create_task(self._subscribed(wanted, n, frame))
                    for n, wanted in enumerate(payload.topics)
                ]
        except BaseException:
            for subscription in frame.made:  # its client will not hear of them
                self._drop(subscription.topic, subscription, call.shared)
            raise
        return {"topics": [task.result() for task in joining]}

    async def _subscribed(self, item: Any, number: int, frame: "_Asked") -> dict[str, Any]:
        """What one of many is answered, whatever becomes of it."""
        name = item.get("topic") if isinstance(item, dict) else None
        try:
            async with frame.few:
                joined = await self._subscribe(_wanted(item, number), frame)
            return {"topic": name, "status": Status.OK, **joined}
        except HTTPException as refused:
            told: dict[str, Any] = {"message": str(refused.detail), "code": "refused"}
            if isinstance(refused.detail, ErrorPayload):
                told = {"payload": refused.detail.payload, "code": "refused"}
            return {"topic": name, "status": refused.status_code, **told}
        except Exception as error:
            failed = error if isinstance(error, RequestFailed) else of_broker(error)
            if failed is None:
                failure("a topic could not be joined", error, topic=name)
                failed = Internal("internal error")
        told = {"message": str(failed), "code": failed.code}
        if failed.detail is not None:
            told["detail"] = failed.detail
        return {"topic": name, "status": failed.status, **told}

    async def _subscribe(self, wanted: Wanted, frame: "_Asked") -> dict[str, Any]:
        name, call = wanted.topic, frame.call
        topic, path = self.find(name)
        self._check_room(name, call.shared.subscriptions)
        since = None
        if wanted.recover is not None and topic.keep is not None:
            since = Position(wanted.recover.epoch, wanted.recover.offset)
        if not topic.snapshots:
            try:
                async with frame.turn(topic):
                    await topic.admit(call, path, False)
            except Exception:
                before = call.shared.subscriptions.get(name)
                if before is not None:  # who may not come back may not stay, either
                    self._drop(name, before, call.shared)
                raise
        subscription = Subscription(name, call.shared.connection.push_text, self._frame_of)
        attached = frame.fitting(
            await self._attached(topic, name, subscription, since, call.shared)
        )
        state = None
        try:
            if topic.snapshots:
                # Read only now, when nothing can come between it and the events.
                async with frame.turn(topic):
                    state = await topic.admit(call, path, not attached.recovered)
        except BaseException:
            self._drop(name, subscription, call.shared)
            raise
        if topic.presence and call.shared.subscriptions.get(name) is subscription:
            self.attendance.came(call.shared.connection, name)
        frame.made.append(subscription)
        call.open_stack().callback(subscription.release)
        return _joined(attached, state, topic.snapshots and not attached.recovered)

    def _check_room(self, name: str, mine: Mapping[str, Any]) -> None:
        if name not in mine and len(mine) >= self._max_topics:
            raise TooManyTopics(f"a connection listens to at most {self._max_topics} topics")

    async def _attached(
        self,
        topic: Topic | Roster,
        name: str,
        subscription: Subscription,
        since: Position | None,
        shared: Shared,
    ) -> Attached:
        def joined(attached: Attached) -> None:
            self._check_room(name, mine)  # others may have been joined meanwhile
            before = mine.get(name)
            subscription.begin(attached.position)
            if before is not None:
                self.hub.detach(name, before)
                subscription.go_on(before)
            mine[name] = subscription
            if shared.connection.closed is not None:
                self.leave(shared)

        mine = shared.subscriptions
        rate = topic.conflate
        try:
            return await self.hub.attach(name, subscription, since, joined, rate)
        except TooManyTopics:
            self.hub.detach(name, subscription)
            raise

    async def unsub(self, payload: Unwanted, call: Call) -> dict[str, Any]:
        """`$unsub`: ends it, if it is there."""
        subscription = call.shared.subscriptions.get(payload.topic)
        if subscription is not None:
            self._drop(payload.topic, subscription, call.shared)
        return {"topic": payload.topic}

    async def pub(self, payload: dict[str, Any], call: Call) -> dict[str, Any]:
        """`$pub`: an event from a client, where the topic takes such."""
        name, message_id = payload.get("topic"), payload.get("message_id", "")
        if not isinstance(name, str) or not isinstance(message_id, str) or len(message_id) > 128:
            raise BadRequest(
                "$pub takes an object with a topic, a payload and perhaps a message_id"
            )
        topic, path = self.find(name)
        if isinstance(topic, Roster):
            raise Forbidden("who is there is nobody's to say")
        data = encode(payload.get("payload"))
        event = topic.checked(data)
        await topic.admit_event(call, path, event)
        try:
            receipt = await self._publish(topic, name, data, message_id, 5.0)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        position = receipt.position
        return {} if position is None else {"epoch": position.epoch, "offset": position.offset}

    def _drop(self, name: str, subscription: Subscription, shared: Shared) -> None:
        self.hub.detach(name, subscription)
        if shared.subscriptions.get(name) is subscription:
            del shared.subscriptions[name]
            self.attendance.went(shared.connection, name)

    def leave(self, shared: Shared) -> None:
        """The connection is over: it listens to nothing any more."""
        for name, subscription in shared.subscriptions.items():
            self.hub.detach(name, subscription)
        shared.subscriptions.clear()
        self.attendance.gone(shared.connection)

    # --- events on the wire

    def _frame_of(self, message: Message) -> str:
        """The same text for all who get this event."""
        if self._last is None or self._last[0] is not message:
            self._last = message, event_frame(message)
        return self._last[1]

    def __iter__(self) -> Iterator[Topic]:
        return iter(self.known.values())

    def __len__(self) -> int:
        return len(self.known)

    def __contains__(self, topic: object) -> bool:
        return topic in self.known.values()


def event_frame(message: Message) -> str:
    """`{"uuid": "#<topic>", "route": "<topic>", "headers": {"$epoch", "$offset"}, "payload"}`."""
    headers: Mapping[str, Any] = (
        {"$epoch": message.epoch, "$offset": message.offset} if message.offset else {}
    )
    frame = {
        "uuid": f"#{message.topic}",
        "route": message.topic,
        "headers": headers,
        "payload": msgspec.Raw(message.data),
    }
    return msgspec.json.encode(frame).decode()


def gap_frame(topic: str, position: Position, reload_after_ms: int) -> str:
    """What a client is told whose events are lost: reload, but not all at once."""
    frame = {
        "uuid": f"#{topic}",
        "route": "$gap",
        "headers": {"$epoch": position.epoch, "$offset": position.offset},
        "payload": {"topic": topic, "reload_after_ms": reload_after_ms},
    }
    return msgspec.json.encode(frame).decode()


def _joined(attached: Attached, state: Any, has_state: bool) -> dict[str, Any]:
    epoch, offset = attached.position
    missed = [
        {"epoch": m.epoch, "offset": m.offset, "payload": msgspec.Raw(m.data)}
        for m in attached.missed
    ]
    answer = {"epoch": epoch, "offset": offset, "recovered": attached.recovered, "missed": missed}
    return answer | {"snapshot": state} if has_state else answer
