"""
Who listens to what, in this process and through the backend.

One subscription at the broker for each topic, however many listen here. Every event is held
against the one before it; what is missing is fetched, and what cannot be had is told as a
gap, never passed over. A listener is called and cannot hold anybody up.
"""

import asyncio
import itertools
import random
import secrets
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from ._channel import NOWHERE, RING, Attached, Batch, Channel, Listener
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

AT_ONCE = 512
"""Topics that are asked about in one go."""

RETRY = 0.05
"""Seconds before the first new attempt at what the broker did not answer."""

PATIENCE = 5.0
"""Seconds in which topics have to be joined, and an event to be published."""

AGAIN = 0.3
"""Seconds, about, before what somebody listens to is asked for again, where the broker is there
and refused it, or its adapter did not start."""


_HUBS: "weakref.WeakKeyDictionary[Any, Hub]" = weakref.WeakKeyDictionary()
"""Who uses a backend."""


class Hub:
    """The topics of one process. Starts itself when first used, on that loop; `close` ends it."""

    def __init__(self, backend: Backend, linger: float = LINGER, audit: float = AUDIT) -> None:
        self.backend = backend
        self._linger = linger
        self._audit_every = audit
        self._channels: dict[str, Channel] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starting: asyncio.Task[None] | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._name, self._numbers = "", itertools.count()
        """Of which the ids of events are made. A secret: clients choose ids, too."""
        self._era = 0
        """How often the broker has come or gone: what it confirmed before says nothing now."""
        self._batches: deque[Batch] = deque()
        self._agreeing: asyncio.Task[None] | None = None
        self.up = False
        self.on_up: list[Callable[[], None]] = []
        """Called when the broker is there, or is back, before anything else is asked of it."""
        self.unheard: Callable[[Message], None] = lambda _: None
        """Given what comes on a topic between processes to which nobody listens any more."""
        self.id = ""
        """Of this process and this loop; a new one each time the hub begins."""

    # --- beginning and ending

    def begin(self) -> "asyncio.Task[None]":
        """Start, unless that was done. Raises `Unavailable` while it is being closed."""
        loop = asyncio.get_running_loop()
        if self._closing and self._loop is loop:
            raise Unavailable("closed")
        if self._loop is not loop:
            self._forget()  # another loop, or another process after a fork: all anew
            self._loop, self._closing, self._starting = loop, False, None
        if self._starting is None:
            self.id = secrets.token_urlsafe(9)
            self._name, self._numbers = secrets.token_urlsafe(12), itertools.count()
            self._starting = self.spawn(self._start())
            self._starting.add_done_callback(self._has_started)
        return self._starting

    async def ready(self, timeout: float = PATIENCE) -> None:
        """Started, by whoever comes first, and whether or not they stay. Raises `Unavailable`."""
        starting = self.begin()
        if not starting.done():
            await asyncio.wait([starting], timeout=timeout)
        if not starting.done() or starting.cancelled():
            raise Unavailable("the broker is not there yet, or not any more")
        starting.result()

    async def _start(self) -> None:
        try:
            self._claim()
            await self.backend.start(self._received, self._changed)
        except BaseException:
            self._starting = None  # the next to come tries again
            raise
        if self.backend.remote and self._starting is not None:
            self.spawn(self._audit())

    def _has_started(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is None or self._loop is None or self._starting is not None:
            return
        if any(channel.listeners for channel in self._channels.values()):
            # Nobody waits for an answer who would try again.
            failure("the way to the broker could not be begun", error)
            self._loop.call_later(AGAIN, self._start_again)

    def _start_again(self) -> None:
        if self._loop is asyncio.get_running_loop() and self._channels and not self._closing:
            self.begin()

    def _claim(self) -> None:
        """Two hubs at one backend would take each other's messages away, unheard."""
        try:
            other = _HUBS.setdefault(self.backend, self)
        except TypeError:
            return  # one that cannot be remembered by
        if other is not self and other._starting is not None and other._loop is self._loop:
            raise RuntimeError(
                "this backend is in use: make another of the same address for each router and "
                "publisher"
            )
        _HUBS[self.backend] = self

    def _forget(self) -> None:
        for channel in self._channels.values():
            if channel.linger is not None:
                channel.linger.cancel()
        self._channels.clear()
        self._tasks.clear()
        self._batches.clear()
        self._agreeing = None
        self._era += 1
        self.up = False

    async def close(self) -> None:
        """End. What still listens hears nothing more; it may be used again later."""
        if self._starting is None:
            return
        self._starting = None
        tasks, batches = list(self._tasks), list(self._batches)
        self._forget()
        if self._loop is not asyncio.get_running_loop():
            return  # that one is over, and all that ran on it
        self._closing = True
        for batch in batches:
            batch.done.set()  # nobody takes it up any more
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            await self.backend.close()
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
        await self.ready(timeout)
        if not self.backend.remote:
            return await self.backend.publish(topic, data, keep=keep, message_id=message_id)
        if keep and not message_id:
            message_id = f"{self._name}.{next(self._numbers)}"
        wait, doubt = RETRY, False
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self.backend.publish(topic, data, keep=keep, message_id=message_id)
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
        await self.ready()
        while self._starting is not None:
            channel = self._channel(topic)
            channel.coming += 1
            if since is not None:
                channel.returning[listener] = since
            try:
                if not channel.joined:
                    await self._agreed(channel)
                attached = await self._missed(channel, since)
                if not channel.joined or not self._is_known(channel):
                    continue  # the broker went away meanwhile
                channel.listeners[listener] = None
                channel.period = 1 / per_second if per_second else 0.0
                joined(attached)
                return attached
            finally:
                channel.coming -= 1
                channel.returning.pop(listener, None)
                self._leave_later(channel)
        raise Unavailable("closed")

    def watch(self, topic: str, listener: Listener) -> None:
        """Tell `listener` of the events of a topic between processes, from when the broker has
        confirmed it: at once, or when it is back. Neither waits nor fails; `detach` ends it."""
        try:
            self.begin()
        except Unavailable:
            return
        channel = self._channel(topic)
        channel.listeners[listener] = None
        if self.up and not channel.joined:
            self._agree_soon(channel)

    async def settled(self, topic: str) -> None:
        """Once the broker has confirmed what is watched here of `topic`, if that is on its way.
        Raises `Unavailable` where the way to it is not there yet."""
        channel = self._channels.get(topic)
        if channel is None:
            return
        await self.ready()
        if self.up and channel.wanted and not channel.joined and self._is_known(channel):
            await self._agree_soon(channel).done.wait()

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
        if channel.wanted or channel.linger is not None or not self._is_known(channel):
            return
        if channel.fleeting:
            # At once: how many processes hear of it says whether somebody is there.
            self._agree_soon(channel)
        elif self._loop is not None:
            channel.linger = self._loop.call_later(self._linger, self._lingered, channel)

    def _lingered(self, channel: Channel) -> None:
        channel.linger = None
        self._agree_soon(channel)

    # --- making the broker agree

    def _agree_soon(self, channel: Channel) -> Batch:
        """By one task, in batches: what is wanted here is joined, what is not is left."""
        if not self._batches or len(self._batches[-1].channels) >= AT_ONCE:
            self._batches.append(Batch())
        batch = self._batches[-1]
        batch.channels[channel] = None
        if self._agreeing is None:
            self._agreeing = self.spawn(self._agree())
        return batch

    async def _agreed(self, channel: Channel) -> None:
        """Joined, or to be looked at again. Raises `Unavailable`."""
        batch = self._agree_soon(channel)
        await batch.done.wait()
        if channel in batch.refused:
            raise Unavailable(str(batch.refused[channel]))
        if channel.recovery is not None:
            # Others listened before: who comes now begins behind what they missed.
            await asyncio.wait([channel.recovery], timeout=PATIENCE)

    async def _agree(self) -> None:
        me, batch = asyncio.current_task(), None
        try:
            while self._batches:
                batch = self._batches.popleft()
                await self._settle(batch)
                batch.done.set()
        finally:
            if batch is not None:
                batch.done.set()
            if self._agreeing is me:
                self._agreeing = None

    async def _settle(self, batch: Batch) -> None:
        known = [channel for channel in batch.channels if self._is_known(channel)]
        leaving = [c for c in known if not c.wanted and c.linger is None]
        if leaving:
            await self._leave(leaving)
        joining = [c for c in known if c.wanted and not c.joined]
        era = self._era
        try:
            if joining:
                await self._join(joining)
        except Exception as error:
            if len(joining) > 1 and self.up:
                await asyncio.sleep(RETRY)  # if it is the way that was lost, that is known then
            if len(joining) > 1 and self.up and era == self._era:
                await self._join_each(batch, joining)
            else:
                self._refused(batch, joining, error)

    async def _leave(self, channels: Sequence[Channel]) -> None:
        for channel in channels:
            channel.joined = False
            if channel.recovery is not None:
                channel.recovery.cancel()
                channel.recovery = None  # one that has not begun never says that it is over
        try:
            if self.up:
                async with asyncio.timeout(PATIENCE):
                    await self.backend.unsubscribe([channel.topic for channel in channels])
        except Exception as error:
            failure("topics could not be left", error)
        for channel in channels:
            # Only now: whoever came meanwhile is in another batch, and subscribes after this.
            if not channel.wanted and self._is_known(channel):
                del self._channels[channel.topic]

    async def _join(self, channels: Sequence[Channel]) -> None:
        """Subscribe, and only then read where the topics stand: no event can fall between.

        None is `joined` after it where the broker went away meanwhile.
        """
        era = self._era
        kept = [channel for channel in channels if not channel.fleeting]
        async with asyncio.timeout(PATIENCE):
            await self.backend.subscribe([channel.topic for channel in channels])
            topics = [channel.topic for channel in kept]
            positions = await self.backend.positions(topics) if topics else []
        if era != self._era:
            return
        for channel in channels:
            channel.joined = True  # claimed only once it is so
        for channel, position in zip(kept, positions, strict=True):
            self._stands(channel, position)

    async def _join_each(self, batch: Batch, channels: Sequence[Channel]) -> None:
        """By itself: what is wrong with one is not the others' fault."""
        era = self._era
        for n, channel in enumerate(channels):
            try:
                await self._join([channel])
            except Exception as error:
                if era != self._era:
                    self._refused(batch, channels[n:], error)
                    break
                self._refused(batch, [channel], error)

    def _refused(self, batch: Batch, channels: Sequence[Channel], error: Exception) -> None:
        if not isinstance(error, Unavailable | TimeoutError):
            failure("topics could not be joined", error)
        for channel in channels:
            batch.refused[channel] = error
            if self.up and channel.listeners and self._loop is not None:
                self._loop.call_later(AGAIN * random.uniform(0.5, 1), self._try_again, channel)

    def _try_again(self, channel: Channel) -> None:
        if self._is_known(channel) and channel.listeners and not channel.joined:
            self._agree_soon(channel)

    def _stands(self, channel: Channel, position: Position) -> None:
        """A topic that is joined stands there, or further."""
        if channel.cursor.epoch or channel.behind or channel.recovery is not None:
            if position != channel.cursor:
                self._recover_soon(channel)
            return
        channel.cursor, channel.seen = position, True
        self._take_waiting(channel)

    # --- what was missed

    async def _missed(self, channel: Channel, since: Position | None) -> Attached:
        """What came between `since` and the cursor, as it is when this returns."""
        if since is None:
            return Attached(channel.cursor, [], False)
        while channel.asking is not None:
            await channel.asking.wait()  # those who come back together are one question
        missed = channel.since(since)
        if missed is None and not channel.has_lost(since):
            channel.asking = asyncio.Event()
            try:
                missed = await self._fetched(channel, since)
            finally:
                channel.asking.set()
                channel.asking = None
        if missed is None:
            return Attached(channel.cursor, [], False)
        # Who was told more elsewhere than has arrived here yet is not to be told it again.
        return Attached(max(channel.cursor, since, key=lambda p: p.offset), missed, True)

    async def _fetched(self, channel: Channel, since: Position) -> list[Message] | None:
        """What came after `since`, from the broker; kept for the others who come back."""
        start = channel.furthest(since)
        page = await self._asked(channel, since if channel.has_lost(start) else start)
        if page.gap and not channel.has_lost(since):
            page = await self._asked(channel, since)
        if since.offset > page.position.offset:
            return None  # further than the broker is: it was another history
        missed = self._up_to_cursor(channel, page)
        if missed is None:
            return None
        channel.remember(missed)
        return [message for message in missed if message.offset > since.offset]

    async def _asked(self, channel: Channel, since: Position) -> Page:
        page = await self.backend.history(channel.topic, since)
        if page.gap and since.epoch != page.position.epoch:
            channel.only = page.position.epoch
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
        if channel is None or not channel.listeners:
            if message.topic[:1] == "@":
                self._tell_nobody(message)
            if channel is None:
                return
        if not message.offset:
            self._tell(channel, message)
        elif channel.recovery is None and channel.cursor.epoch:
            self._take(channel, message)
        elif channel.waiting is None:
            channel.waiting = [message]
        elif len(channel.waiting) < RING:
            channel.waiting.append(message)
        else:
            channel.waiting = None  # the history has them
            channel.behind = True

    def _tell_nobody(self, message: Message) -> None:
        try:
            self.unheard(message)
        except Exception as error:
            failure("a listener failed", error, topic=message.topic)

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

    def _recover_soon(self, channel: Channel) -> None:
        """What is there by now and was not told is fetched, or its loss is told."""
        channel.behind = True
        if channel.recovery is None:
            channel.recovery = self.spawn(self._recover(channel))

    async def _recover(self, channel: Channel) -> None:
        try:
            while channel.behind:
                channel.behind = False
                channel.waiting = None  # it is in the history that is asked for now
                page = await self._persist(
                    lambda: self.backend.history(channel.topic, channel.cursor)
                )
                if page is None:
                    return
                self._take_page(channel, page)
        finally:
            if channel.recovery is asyncio.current_task():
                channel.recovery = None
        self._take_waiting(channel)

    def _take_waiting(self, channel: Channel) -> None:
        waiting, channel.waiting = channel.waiting, None
        for message in waiting or ():
            if channel.recovery is None:  # else it is in the history, too
                self._take(channel, message)

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
        for message in page.messages:
            self._take(channel, message)

    def _lose(self, channel: Channel, now: Position) -> None:
        """Go on from `now`, and tell those who listen that they missed something before it."""
        known, channel.cursor = channel.cursor, now
        channel.seen = True
        channel.latest = None
        channel._ring = None
        if known.epoch:
            # An epoch may come back, with an older history.
            channel.lost, channel.only = NOWHERE, ""
        if not channel.listeners:
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
            for tell in self.on_up:
                tell()
            for channel in list(self._channels.values()):
                self._agree_soon(channel)

    async def _audit(self) -> None:
        while True:
            await asyncio.sleep(self._audit_every * random.uniform(0.8, 1.2))
            await self.audit()

    async def audit(self) -> None:
        """Ask the broker whether topics that seem idle are."""
        idle = [c for c in self._channels.values() if c.joined and not (c.seen or c.fleeting)]
        for channel in self._channels.values():
            channel.seen = False
        for start in range(0, len(idle), AT_ONCE):
            await self._compare(idle[start : start + AT_ONCE])

    async def _compare(self, channels: Sequence[Channel]) -> None:
        try:
            positions = await self.backend.positions([channel.topic for channel in channels])
        except Unavailable:
            return
        except Exception as error:
            failure("the audit of topics failed", error)
            return
        for channel, position in zip(channels, positions, strict=True):
            if channel.joined and position != channel.cursor:
                self._recover_soon(channel)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that ends with the hub, at the latest."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def topics(self) -> Iterable[str]:
        """Those that somebody here listens to."""
        return [c.topic for c in self._channels.values() if c.listeners]
