"""
Which topics this client listens to, and how far each who listens has come.

What is wanted is kept here, and every line is brought up to it: one request at a time for each
topic, and after each answer another look. It reads and writes no line: the desk lends it its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from .._errors import ResponseError, SocketError
from .._status import Status
from ..backends._backend import Position
from ._ledger import Heard, payload_of
from ._life import State, delay
from ._subscription import (
    Event,
    Lost,
    Subscription,
    Told,
    bring_up,
    position_of,
    reload_after_ms,
)

BEHIND: Final = 1000
"""Events that may wait for who reads; beyond, they are fetched from the history instead."""

AT_ONCE: Final = 500
"""Topics in one frame: the protocol allows 1000, but frames have a size, too."""

LATER: Final = frozenset(
    {Status.TOO_MANY_REQUESTS, Status.SERVICE_UNAVAILABLE, Status.GATEWAY_TIMEOUT}
)
"""Statuses after which the same may be asked again."""


class Topic:
    """What this client and the server have agreed on about one topic."""

    __slots__ = (
        "asked",
        "joined",
        "later",
        "name",
        "position",
        "resting",
        "stateful",
        "subscriptions",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.subscriptions: dict[Subscription, None] = {}
        self.joined = False
        """The server tells us, on this line."""
        self.position = Position("", 0)
        """The last that is known on this line."""
        self.asked = False
        """A request about it is on its way."""
        self.later = False
        """It is to be asked for again, and not yet."""
        self.stateful: bool | None = None
        """Whether it has a state, which comes where events alone do not help."""
        self.resting: asyncio.TimerHandle | None = None

    def leave_line(self) -> None:
        """What was agreed on holds no more; the subscriptions know how far they have come."""
        self.joined = False
        for subscription in self.subscriptions:
            subscription.joined = subscription.resting = False
        self.rested()

    def rested(self) -> None:
        """Those who waited before they ask for the state need not any more."""
        if self.resting is not None:
            self.resting.cancel()
            self.resting = None
        for subscription in self.subscriptions:
            subscription.resting = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic that is asked for, for some who have all come as far as `since`."""

    topic: Topic
    since: Position | None
    subscriptions: Sequence[Subscription]

    def said(self) -> dict[str, Any]:
        if self.since is None:
            return {"topic": self.topic.name}
        return {"topic": self.topic.name, "recover": self.since._asdict()}


class _ToldMany(msgspec.Struct):
    topics: list[Told]


_told = msgspec.json.Decoder(_ToldMany)


class Lender(Protocol):
    """What topics need of the desk."""

    @property
    def closed(self) -> bool:
        """Whether there will be no line any more."""
        ...

    @property
    def writable(self) -> bool:
        """Whether there is a line for something new."""
        ...

    def ask_now(self, route: str, payload: Any, answered: Callable[[Heard], None]) -> bool:
        """Ask the server; never answered where the line is lost. False where there is none."""
        ...

    def gone(self, sent: bool) -> Exception:
        """What one is told who waits in vain."""
        ...


class Topics:
    """All topics of one socket. To be used on the event loop."""

    def __init__(self, desk: Lender, backoff: tuple[float, float]) -> None:
        self._desk = desk
        self._backoff = backoff
        self._topics: dict[str, Topic] = {}
        self._most = AT_ONCE
        self._tries = 0
        self._looking = False
        self._timer: asyncio.TimerHandle | None = None

    # --- who listens

    def add(self, subscription: Subscription) -> None:
        """From now on it is wanted. Raises `ConnectionLostError` on a socket that is closed."""
        if self._desk.closed:
            raise self._desk.gone(False)
        topic = self._topics.get(subscription.topic)
        if topic is None:
            topic = self._topics[subscription.topic] = Topic(subscription.topic)
        topic.subscriptions[subscription] = None
        self._look_soon()

    def remove(self, subscription: Subscription) -> None:
        """It is wanted no longer. Twice is harmless."""
        topic = self._topics.get(subscription.topic)
        if topic is not None and topic.subscriptions.pop(subscription, self) is None:
            self._look_soon()
        if not subscription.over:
            subscription.fail(None)

    def caught_up(self, subscription: Subscription) -> None:
        """It has taken what waited, and may be told the rest."""
        subscription.behind = False
        self._look_soon()

    # --- what the desk tells

    def changed(self, state: State, ended: bool) -> None:
        """The socket is in that state now; `ended`: a line or an attempt is over."""
        if ended:
            self._lose_line()
        if state == "closed":
            for topic in list(self._topics.values()):
                self._fail(topic, self._desk.gone(False))
            self._topics.clear()
        elif state == "open":
            self._look()

    def heard(self, frame: Heard) -> bool:
        """Whether this event or gap is of a topic that somebody here listens to."""
        topic = self._topics.get(str(frame.uuid)[1:])
        if topic is None:
            return False
        position = position_of(frame)
        if topic.joined and position is not None:
            topic.position = position
        if frame.route == "$gap":
            self._lost(topic, frame)
        else:
            self._event(topic, Event(frame, position))
        return True

    def _lose_line(self) -> None:
        self._most, self._tries = AT_ONCE, 0
        self._set_timer(None)
        for topic in self._topics.values():
            topic.leave_line()
            topic.asked = topic.later = False

    # --- what comes over the line

    def _event(self, topic: Topic, event: Event) -> None:
        for subscription in topic.subscriptions:
            if not subscription.joined:
                continue
            if len(subscription.items) >= BEHIND:
                subscription.joined, subscription.behind = False, True
            else:
                subscription.give(event)

    def _lost(self, topic: Topic, frame: Heard) -> None:
        told = [each for each in topic.subscriptions if each.joined]
        wait = reload_after_ms(frame)
        if topic.stateful is False:
            for subscription in told:
                subscription.lose(Lost(topic.position, wait, None))
            return
        # What it says from here on is no use without the state, which has it, too.
        for subscription in told:
            subscription.joined, subscription.resting, subscription.at = False, True, None
        if told and topic.resting is None:
            loop = asyncio.get_running_loop()
            topic.resting = loop.call_later(wait / 1000, self._rested, topic)

    def _rested(self, topic: Topic) -> None:
        topic.rested()
        self._look()

    # --- bringing the line up to what is wanted

    def _look_soon(self) -> None:
        # Once for all who come and go in one turn of the loop.
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        wanted: list[Wanted] = []
        for topic in list(self._topics.values()):
            if not topic.subscriptions:
                self._leave(topic)
            elif self._desk.writable and not topic.asked and not topic.later:
                wanted.extend(_next(topic))
        while wanted:
            self._join(wanted[: self._most])
            del wanted[: self._most]

    def _leave(self, topic: Topic) -> None:
        topic.rested()
        if topic.asked:
            return
        if topic.joined and self._desk.writable:
            topic.asked = self._desk.ask_now(
                "$unsub", {"topic": topic.name}, lambda _: self._left(topic)
            )
        elif not topic.joined:
            del self._topics[topic.name]

    def _left(self, topic: Topic) -> None:
        topic.asked = topic.joined = False
        self._look()

    def _join(self, wanted: Sequence[Wanted]) -> None:
        def answered(frame: Heard) -> None:
            self._answered(wanted, frame)

        said = {"topics": [each.said() for each in wanted]}
        if self._desk.ask_now("$sub", said, answered):
            for each in wanted:
                each.topic.asked = True
                for subscription in each.subscriptions:
                    subscription.asked = True

    def _answered(self, wanted: Sequence[Wanted], frame: Heard) -> None:
        for each in wanted:
            each.topic.asked = False
        if frame.ok:
            self._answered_one_by_one(wanted, frame)
        elif frame.status in LATER:
            for each in wanted:
                self._postpone(each.topic)
        elif frame.status != Status.NOT_FOUND and len(wanted) > 1:
            # One spoils it for all, or they are too much for one answer.
            self._most = len(wanted) // 2
        else:
            for each in wanted:
                self._fail(each.topic, _refused(each.topic.name, frame))
        if not any(topic.later for topic in self._topics.values()):
            self._tries = 0
        self._look()

    def _answered_one_by_one(self, wanted: Sequence[Wanted], frame: Heard) -> None:
        try:
            told = _told.decode(frame.payload).topics
        except msgspec.MsgspecError:
            told = []
        if len(told) != len(wanted):
            for each in wanted:
                error = SocketError(f"the answer about topic {each.topic.name!r} cannot be read")
                self._fail(each.topic, error)
            return
        for each, said in zip(wanted, told, strict=True):
            if said.status == Status.OK:
                _joined(each, said)
            elif said.status in LATER:
                self._postpone(each.topic)
            else:
                error = ResponseError(each.topic.name, said.status, {}, said.refusal)
                self._fail(each.topic, error)

    def _postpone(self, topic: Topic) -> None:
        """Ask again, after growing waits. Whether the server tells us still is not known."""
        topic.leave_line()
        topic.later = True
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._set_timer(loop.call_later(delay(self._tries, *self._backoff), self._again))
            self._tries += 1

    def _again(self) -> None:
        self._timer = None
        for topic in self._topics.values():
            topic.later = False
        self._look()

    def _set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer

    def _fail(self, topic: Topic, error: Exception) -> None:
        subscriptions, topic.subscriptions = topic.subscriptions, {}
        topic.rested()
        for subscription in subscriptions:
            subscription.fail(error)


def _next(topic: Topic) -> "list[Wanted]":
    """What is to be asked next, if anything: one request for all who have come equally far."""
    waiting = [
        each
        for each in topic.subscriptions
        if not (each.joined or each.behind or each.resting) and not _begins_now(topic, each)
    ]
    if not waiting:
        return []
    since = waiting[0].at
    return [Wanted(topic, since, [each for each in waiting if each.at == since])]


def _begins_now(topic: Topic, subscription: Subscription) -> bool:
    """Whether nothing has to be asked for one who has just come; then it has begun."""
    if not (subscription.fresh and subscription.at is None):
        return False
    if not (topic.joined and topic.stateful is False):
        return False
    subscription.at, subscription.joined = topic.position, True
    subscription.begin(topic.position)
    return True


def _joined(wanted: Wanted, told: Told) -> None:
    topic, position = wanted.topic, Position(told.epoch, told.offset)
    topic.joined, topic.position = True, position
    if not told.recovered:
        topic.stateful = told.state is not None
    for subscription in wanted.subscriptions:
        if not subscription.over:
            bring_up(subscription, wanted.since, position, told)


def _refused(topic: str, frame: Heard) -> ResponseError:
    try:
        payload = payload_of(frame)
    except SocketError:
        payload = None
    if frame.status == Status.NOT_FOUND:
        said = payload if isinstance(payload, dict) else {"code": "not_found"}
        payload = {**said, "message": "the server has no topics: it answered $sub with 404"}
    return ResponseError(topic, frame.status or 0, frame.headers or {}, payload)
