"""
Who listens to what, in this process and through the backend.

One subscription at the broker for each topic, however many listen here. Every event is held
against the one before it; what is missing is fetched, and what cannot be had is told as a
gap, never passed over. A listener is called and cannot hold anybody up.
"""

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from ._log import escaped, failure, logger
from .backends._backend import (
    Backend,
    Keep,
    Message,
    Page,
    Position,
    Receipt,
    Unavailable,
    Uncertain,
)

T = TypeVar("T")

LINGER = 2.0
"""Seconds for which a topic stays subscribed after its last listener left."""

AUDIT = 30.0
"""Seconds, about, between two comparisons of idle topics with the broker: a lost last event
has no successor that would reveal it."""

RING = 256
"""Events of a topic that are kept here, so that those who come back are not the broker's load."""

FOR_GOOD = 2**63
"""Above every offset."""

AT_ONCE = 512
"""Topics that are asked about in one go."""

RETRY = 0.05
"""Seconds before the first new attempt at what the broker did not answer."""

PATIENCE = 5.0
"""Seconds in which a topic has to be joined, and an event to be published."""


class Listener(Protocol):
    """One who is told of the events of a topic. Neither waits nor raises."""

    def event(self, message: Message) -> None: ...

    def gap(self, position: Position) -> None: ...


class Attached(NamedTuple):
    """How a listener began: at `position`, with the events it had `missed` since it left;
    not `recovered`, where these cannot be had."""

    position: Position
    missed: list[Message]
    recovered: bool


class Channel:
    """What this process knows of one topic."""

    __slots__ = (
        "behind",
        "cursor",
        "joined",
        "latest",
        "linger",
        "listeners",
        "lock",
        "lost",
        "period",
        "recovery",
        "returning",
        "ring",
        "seen",
        "told_at",
        "topic",
        "waiting",
    )

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.listeners: dict[Listener, None] = {}
        self.joined = False
        """Whether the broker has confirmed that it tells us."""
        self.cursor = Position("", 0)
        """How far this process has come; without an epoch until that is known."""
        self.ring: deque[Message] = deque(maxlen=RING)
        self.returning: dict[Listener, Position] = {}
        """Those who come back and have no answer yet, and where they stood."""
        self.lost = Position("", 0)
        """Nothing after this or an earlier position in its epoch is to be had any more."""
        self.waiting: list[Message] = []
        """What came while the history was being asked."""
        self.behind = False
        """Whether there may be something behind the cursor that was not asked for yet."""
        self.recovery: asyncio.Task[bool] | None = None
        self.linger: asyncio.TimerHandle | None = None
        self.period = 0.0
        """Seconds between two events that are told; of those between, the latest alone is."""
        self.latest: Message | None = None
        self.told_at = -1e9
        self.lock = asyncio.Lock()
        self.seen = True
        """Whether it has had an event since the last audit."""

    def since(self, position: Position) -> list[Message] | None:
        """What came after `position`, if all of it is still here."""
        epoch, offset = position
        if epoch != self.cursor.epoch or offset > self.cursor.offset:
            return None
        if offset == self.cursor.offset:
            return []
        found = [message for message in self.ring if message.offset > offset]
        return found if found and found[0].prev <= offset else None

    def has_lost(self, position: Position) -> bool:
        """Whether the broker has said already that what came after it cannot be had."""
        return position.epoch == self.lost.epoch and position.offset <= self.lost.offset

    def furthest(self, like: Position | None = None) -> Position | None:
        """Where the one who comes back from furthest behind stood, in the epoch of `like`: one
        question for all of them."""
        those = [p for p in self.returning.values() if like is None or p.epoch == like.epoch]
        return min(those, key=lambda position: position.offset, default=None)

    def remember(self, missed: Sequence[Message]) -> None:
        """For the next who come back: these end at the cursor."""
        if len(missed) > len(self.ring):
            self.ring = deque(missed, maxlen=max(RING, len(missed)))


class Hub:
    """The topics of one process. Starts itself when first used, on that loop; `close` ends it."""

    def __init__(self, backend: Backend, linger: float = LINGER, audit: float = AUDIT) -> None:
        self._backend = backend
        self._linger = linger
        self._audit_every = audit
        self._channels: dict[str, Channel] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starting: asyncio.Task[None] | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._era = 0
        """How often the broker has come or gone: what it confirmed before says nothing now."""
        self.up = False

    # --- beginning and ending

    async def _ready(self, timeout: float = PATIENCE) -> None:
        """Started, by whoever comes first, and whether or not they stay. Raises `Unavailable`."""
        loop = asyncio.get_running_loop()
        if self._closing and self._loop is loop:
            raise Unavailable("closed")
        if self._starting is None or self._loop is not loop:
            self._forget()  # another loop, or another process after a fork: all anew
            self._loop, self._closing = loop, False
            self._starting = self._spawn(self._start())
        starting = self._starting
        if not starting.done():
            await asyncio.wait([starting], timeout=timeout)
        if not starting.done() or starting.cancelled():
            raise Unavailable("the broker is not there yet, or not any more")
        starting.result()

    async def _start(self) -> None:
        try:
            await self._backend.start(self._received, self._changed)
        except BaseException:
            self._starting = None  # the next to come tries again
            raise
        if self._backend.remote and self._starting is not None:
            self._spawn(self._audit())

    def _forget(self) -> None:
        for channel in self._channels.values():
            if channel.linger is not None:
                channel.linger.cancel()
        self._channels.clear()
        self._tasks.clear()
        self._era += 1
        self.up = False

    async def close(self) -> None:
        """End. What still listens hears nothing more; it may be used again later."""
        if self._starting is None:
            return
        self._starting = None
        tasks = list(self._tasks)
        self._forget()
        if self._loop is not asyncio.get_running_loop():
            return  # that one is over, and all that ran on it
        self._closing = True
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            await self._backend.close()
            self._closing = False

    # --- publishing

    async def publish(
        self,
        topic: str,
        data: bytes,
        keep: Keep | None,
        message_id: str = "",
        timeout: float = PATIENCE,
    ) -> Receipt:
        """Publish one event. Tried again, under one id, while nobody knows whether it was stored.

        Raises `Unavailable` where it certainly was not, and `Uncertain` where that is still not
        known when the time is up.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        await self._ready(timeout)
        message_id = message_id or (secrets.token_urlsafe(12) if keep else "")
        wait, doubt = RETRY, False
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._backend.publish(
                        topic, data, keep=keep, message_id=message_id
                    )
            except (Unavailable, Uncertain, TimeoutError) as error:
                doubt = doubt or not isinstance(error, Unavailable)
                if not doubt:
                    raise
                late = loop.time() + wait >= deadline
                if late or keep is None or self._starting is None:
                    raise Uncertain("the broker did not say whether it stored the event") from error
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(wait * 2, 1.0)

    # --- listening

    async def attach(
        self,
        topic: str,
        listener: Listener,
        since: Position | None = None,
        joined: Callable[[Attached], None] = lambda _: None,
        per_second: float | None = None,
    ) -> Attached:
        """Tell `listener` of all events from now on, and return what it missed `since`.

        `joined` is called at the very moment at which listening begins: all events up to it are
        among the missed, all later ones are told; at most `per_second`, the latest last.
        Raises `Unavailable`.
        """
        await self._ready()
        while self._starting is not None:
            channel = self._channel(topic)
            if since is not None:
                channel.returning[listener] = since
            try:
                async with channel.lock:
                    if not self._is_known(channel):
                        continue  # it was given up while we waited for it
                    if not channel.joined:
                        await self._join(channel)
                    attached = await self._missed(channel, since)
                    if not channel.joined or not self._is_known(channel):
                        continue  # the broker went away meanwhile
                    channel.listeners[listener] = None
                    channel.period = 1 / per_second if per_second else 0.0
                    joined(attached)
                    return attached
            finally:
                channel.returning.pop(listener, None)
                self._leave_later(channel)
        raise Unavailable("closed")

    def _is_known(self, channel: Channel) -> bool:
        return self._channels.get(channel.topic) is channel

    def _channel(self, topic: str) -> Channel:
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = Channel(topic)
        if channel.linger is not None:
            channel.linger.cancel()
            channel.linger = None
        return channel

    def detach(self, topic: str, listener: Listener) -> None:
        """Tell `listener` nothing more. Twice is harmless."""
        channel = self._channels.get(topic)
        if channel is None or channel.listeners.pop(listener, self) is self:
            return
        self._leave_later(channel)

    def _leave_later(self, channel: Channel) -> None:
        """Unless somebody listens, or comes before."""
        if channel.listeners or channel.linger is not None or not self._is_known(channel):
            return
        if self._loop is not None:
            channel.linger = self._loop.call_later(self._linger, self._lingered, channel)

    def _lingered(self, channel: Channel) -> None:
        channel.linger = None
        self._spawn(self._leave(channel))

    async def _leave(self, channel: Channel) -> None:
        async with channel.lock:
            # Taken again under the lock: somebody may have come meanwhile.
            if channel.listeners or channel.linger is not None or not self._is_known(channel):
                return
            channel.joined = False
            if channel.recovery is not None:
                channel.recovery.cancel()
            await self._backend.unsubscribe([channel.topic])
            # Only now: whoever comes meanwhile waits for the lock, and subscribes after this.
            self._channels.pop(channel.topic, None)

    async def _join(self, channel: Channel) -> None:
        """Subscribe, and only then read where the topic stands: no event can fall between.

        Not `joined` after it where the broker went away meanwhile. Raises `Unavailable`.
        """
        era = self._era
        await self._backend.subscribe([channel.topic])
        if era != self._era:
            return
        channel.joined = True
        recovery = self._recover_soon(channel)
        await asyncio.wait([recovery], timeout=PATIENCE)
        if not recovery.done() or recovery.cancelled() or not recovery.result():
            channel.joined = False
            raise Unavailable("the broker does not say where the topic stands")

    async def _missed(self, channel: Channel, since: Position | None) -> Attached:
        """What came between `since` and the cursor, as it is when this returns."""
        if since is None:
            return Attached(channel.cursor, [], False)
        missed = channel.since(since)
        if missed is None and not channel.has_lost(since):
            missed = await self._fetched(channel, since)
        if missed is None:
            return Attached(channel.cursor, [], False)
        # Who was told more elsewhere than has arrived here yet is not to be told it again.
        return Attached(max(channel.cursor, since, key=lambda p: p.offset), missed, True)

    async def _fetched(self, channel: Channel, since: Position) -> list[Message] | None:
        """What came after `since`, from the broker; kept for the others who come back."""
        start = channel.furthest(since) or since
        page = await self._asked(channel, since if channel.has_lost(start) else start)
        if page.gap and not channel.has_lost(since):
            page = await self._asked(channel, since)
        missed = self._up_to_cursor(channel, page)
        if missed is None:
            return None
        channel.remember(missed)
        return [message for message in missed if message.offset > since.offset]

    async def _asked(self, channel: Channel, since: Position) -> Page:
        page = await self._backend.history(channel.topic, since)
        if page.gap and since.epoch != page.position.epoch:
            channel.lost = Position(since.epoch, FOR_GOOD)
        elif page.gap and since.offset < page.position.offset:
            channel.lost = since
        return page

    def _up_to_cursor(self, channel: Channel, page: Page) -> list[Message] | None:
        """The page with what has arrived here since, without what has not."""
        if page.gap or page.position.epoch != channel.cursor.epoch:
            return None
        if page.position.offset >= channel.cursor.offset:
            return [m for m in page.messages if m.offset <= channel.cursor.offset]
        later = channel.since(page.position)
        return None if later is None else page.messages + later

    # --- events

    def _received(self, message: Message) -> None:
        channel = self._channels.get(message.topic)
        if channel is None:
            return
        if not message.offset:
            self._tell(channel, message)
        elif channel.recovery is None and channel.cursor.epoch:
            self._take(channel, message)
        elif len(channel.waiting) < RING:
            channel.waiting.append(message)
        else:
            channel.waiting.clear()  # the history has them
            channel.behind = True

    def _take(self, channel: Channel, message: Message) -> None:
        cursor = channel.cursor
        if message.epoch != cursor.epoch or message.prev > cursor.offset:
            self._recover_soon(channel)
        elif message.offset > cursor.offset:  # else it is known already
            channel.seen = True
            channel.cursor = Position(message.epoch, message.offset)
            channel.ring.append(message)
            self._tell(channel, message)

    def _tell(self, channel: Channel, message: Message) -> None:
        if channel.period:
            self._tell_latest(channel, message)
        else:
            self._tell_all(channel, message)

    def _tell_latest(self, channel: Channel, message: Message) -> None:
        assert self._loop is not None
        now = self._loop.time()
        if channel.latest is not None:
            channel.latest = message  # told when its time comes
        elif now - channel.told_at >= channel.period:
            channel.told_at = now
            self._tell_all(channel, message)
        else:
            channel.latest = message
            self._loop.call_at(channel.told_at + channel.period, self._tell_it_now, channel)

    def _tell_it_now(self, channel: Channel) -> None:
        assert self._loop is not None
        message, channel.latest = channel.latest, None
        if message is not None:
            channel.told_at = self._loop.time()
            self._tell_all(channel, message)

    def _tell_all(self, channel: Channel, message: Message) -> None:
        for listener in list(channel.listeners):
            try:
                listener.event(message)
            except Exception as error:
                failure("a listener failed", error, topic=channel.topic)

    # --- what is missing

    def _recover_soon(self, channel: Channel) -> "asyncio.Task[bool]":
        """What is there by now and was not told is fetched, or its loss is told."""
        channel.behind = True
        if channel.recovery is None:
            channel.recovery = self._spawn(self._recover(channel))
        return channel.recovery

    async def _recover(self, channel: Channel) -> bool:
        """Whether that could be asked."""
        try:
            while channel.behind:
                channel.behind = False
                channel.waiting.clear()  # it is in the history that is asked for now
                page = await self._persist(lambda: self._asked(channel, _wanted(channel)))
                if page is None:
                    return False
                self._take_page(channel, page)
        finally:
            channel.recovery = None
        waiting, channel.waiting = channel.waiting, []
        for message in waiting:
            if channel.recovery is None:  # else it is in the history, too
                self._take(channel, message)
        return True

    async def _persist(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """What the broker answers, at last; None once it is known to be away: everything is
        asked anew when it is back."""
        wait = RETRY
        while True:
            try:
                return await ask()
            except Exception as error:
                if not isinstance(error, Unavailable):
                    failure("the broker's answer was not understood", error)
            if not self.up:
                return None
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(2 * wait, 2.0)

    def _take_page(self, channel: Channel, page: Page) -> None:
        if page.gap:
            self._lose(channel, page.position)
        elif not channel.cursor.epoch:
            channel.cursor = page.position
            channel.remember(page.messages)
            return
        for message in page.messages:
            self._take(channel, message)

    def _lose(self, channel: Channel, now: Position) -> None:
        """Go on from `now`, and tell those who listen that they missed something before it."""
        known, channel.cursor = channel.cursor, now
        channel.seen = True
        channel.latest = None
        channel.ring.clear()
        if known.epoch:
            channel.lost = Position("", 0)  # an epoch may come back, with an older history
        if not known.epoch or not channel.listeners:
            return
        logger.warning("events of topic %s are lost", escaped(channel.topic))
        for listener in list(channel.listeners):
            try:
                listener.gap(now)
            except Exception as error:
                failure("a listener failed", error, topic=channel.topic)

    def _changed(self, up: bool) -> None:
        """The broker has gone, or is back: then all that was asked of it is asked again."""
        self.up = up
        self._era += 1
        for channel in self._channels.values():
            channel.joined = False
        if up:
            self._spawn(self._rejoin(self._era))

    async def _rejoin(self, era: int) -> None:
        wanted = [c for c in self._channels.values() if c.listeners and not c.joined]
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            positions = await self._persist(lambda some=some: self._asked_anew(some))  # type: ignore[misc]
            if positions is None or era != self._era:
                return
            for channel, position in positions:
                channel.joined = True  # claimed only once it is so
                if position != channel.cursor:
                    self._recover_soon(channel)

    async def _asked_anew(self, some: Sequence[Channel]) -> list[tuple[Channel, Position]]:
        wanted = [channel for channel in some if channel.listeners]
        topics = [channel.topic for channel in wanted]
        await self._backend.subscribe(topics)
        return list(zip(wanted, await self._backend.positions(topics), strict=True))

    async def _audit(self) -> None:
        while True:
            await asyncio.sleep(self._audit_every * random.uniform(0.8, 1.2))
            await self.audit()

    async def audit(self) -> None:
        """Ask the broker whether topics that seem idle are."""
        idle = [c for c in self._channels.values() if c.joined and not c.seen]
        for channel in self._channels.values():
            channel.seen = False
        for start in range(0, len(idle), AT_ONCE):
            await self._compare(idle[start : start + AT_ONCE])

    async def _compare(self, channels: Sequence[Channel]) -> None:
        try:
            positions = await self._backend.positions([channel.topic for channel in channels])
        except Unavailable:
            return
        except Exception as error:
            failure("the audit of topics failed", error)
            return
        for channel, position in zip(channels, positions, strict=True):
            if channel.joined and position != channel.cursor:
                self._recover_soon(channel)

    def _spawn(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def topics(self) -> Iterable[str]:
        """Those that somebody here listens to."""
        return [c.topic for c in self._channels.values() if c.listeners]


def _wanted(channel: Channel) -> Position:
    """From where on events are missing; of a topic that is new here, to those who come back."""
    if channel.cursor.epoch:
        return channel.cursor
    return channel.furthest() or channel.cursor
