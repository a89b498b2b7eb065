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
    Uncertain,
    Unavailable,
)

T = TypeVar("T")

LINGER = 2.0
"""Seconds for which a topic stays subscribed after its last listener left."""

AUDIT = 30.0
"""Seconds, about, between two comparisons of idle topics with the broker: a lost last event
has no successor that would reveal it."""

RING = 256
"""Events of a topic that are kept here, so that those who come back are not the broker's load."""

AT_ONCE = 512
"""Topics that are asked about in one go."""

RETRY = 0.05
"""Seconds before the first new attempt to publish what may or may not have been stored."""


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
        "cursor",
        "joined",
        "latest",
        "linger",
        "listeners",
        "lock",
        "period",
        "recovering",
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
        """Whether the broker has confirmed, and the cursor is right."""
        self.cursor = Position("", 0)
        self.ring: deque[Message] = deque(maxlen=RING)
        self.waiting: list[Message] = []
        self.recovering = False
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


class Hub:
    """The topics of one process. Starts itself when first used, on that loop; `close` ends it."""

    def __init__(self, backend: Backend, linger: float = LINGER, audit: float = AUDIT) -> None:
        self._backend = backend
        self._linger = linger
        self._audit_every = audit
        self._channels: dict[str, Channel] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.up = False

    # --- beginning and ending

    async def _ready(self) -> None:
        loop = asyncio.get_running_loop()
        if self._started is None or self._loop is not loop:
            if self._loop is not None and self._loop is not loop:
                self._forget()  # another loop, or another process after a fork: all anew
            self._loop = loop
            self._started = loop.create_future()
            try:
                await self._backend.start(self._received, self._changed)
            except BaseException as error:
                started, self._started = self._started, None
                started.set_exception(error)
                started.exception()
                raise
            self._started.set_result(None)
            if self._backend.remote:
                self._spawn(self._audit())
        else:
            await asyncio.shield(self._started)

    def _forget(self) -> None:
        self._channels.clear()
        self._tasks.clear()
        self.up = False

    async def close(self) -> None:
        """End. What still listens hears nothing more; it may be used again later."""
        if self._started is None:
            return
        self._started = None
        for channel in self._channels.values():
            if channel.linger is not None:
                channel.linger.cancel()
        self._channels.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.up = False
        await self._backend.close()

    # --- publishing

    async def publish(
        self,
        topic: str,
        data: bytes,
        keep: Keep | None,
        message_id: str = "",
        timeout: float = 5.0,
    ) -> Receipt:
        """Publish one event. Tried again, under one id, while nobody knows whether it was stored.

        Raises `Unavailable` where it certainly was not, and `Uncertain` where that is still not
        known when the time is up.
        """
        await self._ready()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
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
                if not message_id or loop.time() + wait >= deadline:
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
        while True:
            channel = self._channel(topic)
            async with channel.lock:
                if self._channels.get(topic) is not channel:
                    continue  # it was given up while we waited for it
                if not channel.joined:
                    await self._join(channel)
                attached = await self._missed(channel, since)
                if not channel.joined:
                    continue  # the broker went away meanwhile
                channel.listeners[listener] = None
                channel.period = 1 / per_second if per_second else 0.0
                joined(attached)
                return attached

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
        if not channel.listeners and channel.linger is None and self._loop is not None:
            channel.linger = self._loop.call_later(self._linger, self._lingered, channel)

    def _lingered(self, channel: Channel) -> None:
        channel.linger = None
        self._spawn(self._leave(channel))

    async def _leave(self, channel: Channel) -> None:
        async with channel.lock:
            # Taken again under the lock: somebody may have come meanwhile.
            if channel.listeners or self._channels.get(channel.topic) is not channel:
                return
            channel.joined = False
            await self._backend.unsubscribe([channel.topic])
            # Only now: whoever comes meanwhile waits for the lock, and subscribes after this.
            del self._channels[channel.topic]

    async def _join(self, channel: Channel) -> None:
        """Subscribe, and only then read where the topic stands: no event can fall between."""
        goes_on = bool(channel.listeners)
        try:
            await self._backend.subscribe([channel.topic])
            page = await self._backend.history(channel.topic, channel.cursor if goes_on else None)
        except BaseException:
            self._leave_later(channel)
            raise
        channel.joined = True
        if goes_on:
            self._take_page(channel, page)
        else:
            self._set_cursor(channel, page.position)
        self._drain(channel)

    async def _missed(self, channel: Channel, since: Position | None) -> Attached:
        """What came between `since` and the cursor, as it is when this returns."""
        if since is None:
            return Attached(channel.cursor, [], False)
        missed = channel.since(since)
        if missed is None:
            page = await self._backend.history(channel.topic, since)
            missed = self._up_to_cursor(channel, page)
        if missed is None:
            return Attached(channel.cursor, [], False)
        return Attached(channel.cursor, missed, True)

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
        elif not channel.joined or channel.recovering:
            channel.waiting.append(message)
        else:
            self._take(channel, message)

    def _take(self, channel: Channel, message: Message) -> None:
        cursor = channel.cursor
        if message.epoch != cursor.epoch:
            self._recover_soon(channel, message)
        elif message.offset <= cursor.offset:
            pass  # known already
        elif message.prev > cursor.offset:
            self._recover_soon(channel, message)
        else:
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
        channel.told_at = self._loop.time()
        if message is not None:
            self._tell_all(channel, message)

    def _tell_all(self, channel: Channel, message: Message) -> None:
        for listener in list(channel.listeners):
            try:
                listener.event(message)
            except Exception as error:
                failure("a listener failed", error, topic=channel.topic)

    def _set_cursor(self, channel: Channel, position: Position) -> None:
        if position.epoch != channel.cursor.epoch or position.offset != channel.cursor.offset:
            channel.ring.clear()
        channel.cursor = position
        channel.seen = True

    def _drain(self, channel: Channel) -> None:
        waiting, channel.waiting = channel.waiting, []
        for number, message in enumerate(waiting):
            if channel.recovering or not channel.joined:
                channel.waiting.extend(waiting[number:])
                return
            self._take(channel, message)

    # --- what is missing

    def _recover_soon(self, channel: Channel, message: Message | None = None) -> None:
        if message is not None:
            channel.waiting.append(message)
        if not channel.recovering:
            channel.recovering = True
            self._spawn(self._recover(channel))

    async def _recover(self, channel: Channel) -> None:
        """Fetch what is missing behind the cursor; a gap where it cannot be had."""
        try:
            page = await self._persist(lambda: self._backend.history(channel.topic, channel.cursor))
        finally:
            channel.recovering = False
        if page is not None:
            self._take_page(channel, page)
            self._drain(channel)

    async def _persist(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """What the broker answers, at last; None once it is known to be away: everything is
        asked anew when it is back."""
        wait = RETRY
        while self.up:
            try:
                return await ask()
            except Exception as error:
                if not isinstance(error, Unavailable):
                    failure("the broker's answer was not understood", error)
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(2 * wait, 2.0)
        return None

    def _take_page(self, channel: Channel, page: Page) -> None:
        if page.gap:
            self._set_cursor(channel, page.position)
            logger.warning("events of topic %s are lost", escaped(channel.topic))
            for listener in list(channel.listeners):
                try:
                    listener.gap(page.position)
                except Exception as error:
                    failure("a listener failed", error, topic=channel.topic)
            return
        for message in page.messages:
            self._take(channel, message)

    def _changed(self, up: bool) -> None:
        """The broker has gone, or is back: then all that was asked of it is asked again."""
        self.up = up
        for channel in self._channels.values():
            channel.joined = False
        if up:
            self._spawn(self._rejoin())

    async def _rejoin(self) -> None:
        wanted = [c for c in self._channels.values() if c.listeners and not c.joined]
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            topics = [channel.topic for channel in some]

            async def subscribed(topics: Sequence[str] = topics) -> list[Position]:
                await self._backend.subscribe(topics)
                return await self._backend.positions(topics)

            positions = await self._persist(subscribed)
            if positions is None:
                return
            for channel, position in zip(some, positions, strict=True):
                channel.joined = True  # claimed only once it is so
                if position != channel.cursor or channel.waiting:
                    self._recover_soon(channel)

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

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def topics(self) -> Iterable[str]:
        """Those that somebody here listens to."""
        return [c.topic for c in self._channels.values() if c.listeners]
