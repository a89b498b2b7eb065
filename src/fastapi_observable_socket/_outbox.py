"""
The one bounded, closable way out of a socket.

Texts leave in the order in which they came. Whoever finds the way free sends its own text;
what has come meanwhile is sent by a task of the outbox, never by somebody with other affairs.
An outbox knows no frames.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary


@dataclass(frozen=True, slots=True)
class Bounds:
    """Characters of pushed texts that one outbox may hold: `hard` never, `soft` for a while."""

    soft: int = 1024 * 1024
    hard: int = 8 * 1024 * 1024


class Budget:
    """What all outboxes of a process may hold together, in characters.

    Beyond it the fullest outbox is told to give up: one peer that does not read must not
    cost the others their memory.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._outboxes: set[Outbox] = set()

    def change(self, outbox: "Outbox", size: int) -> None:
        """`outbox` holds so much more, or less, than before."""
        self._held += size
        if outbox.held:
            self._outboxes.add(outbox)
        else:
            self._outboxes.discard(outbox)
        if self._held > self._limit:
            max(self._outboxes, key=lambda each: each.held).overflow()


class Owner(Protocol):
    """Whom an outbox belongs to, and what it is told. None of it may raise."""

    def lost(self, error: Exception) -> None:
        """A send has raised this."""

    def freed(self) -> None:
        """No answer waits any more; told where it was `wanted`."""

    def overflowed(self) -> None:
        """It holds too much, and must be closed."""

    def fell_behind(self) -> None:
        """What was pushed has passed the soft bound."""

    def send_on(self, line: Coroutine[Any, Any, None]) -> None:
        """Run this in a task, and watch that the peer takes something."""

    def flows(self) -> bool:
        """Whether a send is certain not to wait."""
        ...


SLICE = 256
"""Outboxes that are served in a row before others get their turn."""


class Pump:
    """Sends what was pushed: one task for all outboxes of a loop, not one for each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: list[Outbox] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, outbox: "Outbox") -> None:
        self._ready.append(outbox)
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._ready:
                ready, self._ready = self._ready, []
                for number, outbox in enumerate(ready, 1):
                    if not outbox.pushed_now():
                        await outbox.send_pushed()
                    if number % SLICE == 0:
                        await asyncio.sleep(0)
        finally:
            self._task = None


_pumps: "WeakKeyDictionary[asyncio.AbstractEventLoop, Pump]" = WeakKeyDictionary()


def pump() -> Pump:
    """That of the running loop."""
    loop = asyncio.get_running_loop()
    found = _pumps.get(loop)
    if found is None:
        found = _pumps[loop] = Pump(loop)
    return found


class _Item:
    """A text in line whose sender waits until it is out."""

    __slots__ = ("done", "stale", "text")

    def __init__(self, text: str, stale: Callable[[], bool]) -> None:
        self.text = text
        self.stale = stale
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def release(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class _Pushed:
    """A text in line that no peer has asked for: how much of them may wait is bounded."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _never() -> bool:
    return False


def _never_now(text: str) -> bool:  # noqa: ARG001
    return False


class Outbox:
    """Texts on their way to one socket. `send` puts one on the wire, and waits while the peer
    does not read; `now` does the same where that need not wait, and says whether it has, as does
    `push_now` with texts that are pushed to others as well."""

    __slots__ = (
        "_bounds",
        "_budget",
        "_closed",
        "_first",
        "_free",
        "_now",
        "_owner",
        "_pump",
        "_push_now",
        "_send",
        "_waiting",
        "answers",
        "busy",
        "held",
        "pushed",
        "recovered",
        "sent",
        "wanted",
    )

    def __init__(
        self,
        send: Callable[[str], Coroutine[Any, Any, None]],
        owner: Owner,
        budget: Budget,
        bounds: Bounds,
        now: Callable[[str], bool] = _never_now,
        push_now: Callable[[str], bool] = _never_now,
    ) -> None:
        self._send = send
        self._now = now
        self._push_now = push_now
        self._owner = owner
        self._budget = budget
        self._bounds = bounds
        self._pump = pump()
        self._waiting: deque[str | _Item | _Pushed] | None = None
        self._first = ""  # pushed while the way was free, and about to leave
        self.answers = 0
        """How many texts of `put` are not out: who reads requests should wait for them.

        Items and pushes do not count. A peer must be heard that does not read, since it may want
        to say that they should stop; and nothing that it says makes more of them.
        """
        self._free: asyncio.Future[None] | None = None
        self._closed = False
        self.busy = False
        """Whether a text is being sent, or waits."""
        self.held = 0
        """Characters of the texts that wait."""
        self.pushed = 0
        """Those of the pushed ones among them."""
        self.recovered = False
        """Set when these have come down to the soft bound."""
        self.wanted = False
        """Whether somebody waits to be told that no answer waits any more."""
        self.sent = 0
        """How many texts are out."""

    # --- three kinds of texts

    def put_now(self, text: str) -> bool:
        """Send an answer if that takes no waiting; else it is still to be `put`."""
        if self.busy or self._closed or not self._now(text):
            return False
        self.sent += 1
        return True

    async def put(self, text: str) -> None:
        """Send an answer, or leave it in line. Raises nothing of `send`.

        After `close` the text is dropped: there is nobody to read it.
        """
        if self._closed:
            return
        self.answers += 1
        if self.busy:
            self._line_up(text, len(text))
            return
        self.busy = True
        try:
            await self._send(text)
            self.sent += 1
        except Exception as error:
            self._owner.lost(error)
        finally:
            if self._waiting:
                self.answers -= 1
                self._go_on()
            else:
                self._set_free()

    async def put_in_turn(self, text: str, stale: Callable[[], bool] = _never) -> None:
        """Send one of many texts, and wait until it is out. When its turn comes and it is `stale`,
        it is dropped."""
        if self._closed or stale():
            return
        if self.busy:
            await self._in_line(_Item(text, stale))
            return
        self.busy = True
        try:
            await self._send(text)
            self.sent += 1
        except Exception as error:
            self._owner.lost(error)
        finally:
            self._go_on()

    async def _in_line(self, item: _Item) -> None:
        self._line_up(item, len(item.text))
        try:
            await item.done
        except asyncio.CancelledError:
            if self._waiting and item in self._waiting:
                self._waiting.remove(item)
                self._hold(-len(item.text))
            raise

    def push(self, text: str) -> None:
        """Put what the peer has not asked for. Neither waits nor fails: a peer that falls too
        far behind is given up instead."""
        if self._closed:
            return
        if not self.busy:
            self.busy = True
            self._first = text
            self._pump.add(self)
            return
        self.pushed += len(text)
        self._line_up(_Pushed(text), len(text))
        if self.pushed > self._bounds.hard:
            self.overflow()
        elif self.pushed > self._bounds.soft:
            self._owner.fell_behind()

    @property
    def is_behind(self) -> bool:
        """Whether more was pushed than may wait for long."""
        return self.pushed > self._bounds.soft

    # --- sending

    def pushed_now(self) -> bool:
        """As `send_pushed`, if that takes no waiting; else it is still to be done."""
        if self._closed or not self._push_now(self._first):
            return False
        self._first = ""
        self.sent += 1
        self._go_on()
        return True

    async def send_pushed(self) -> None:
        """Send what was pushed while the way was free; a peer that is behind is not waited for."""
        text, self._first = self._first, ""
        if self._closed or not self._owner.flows():
            self._owner.send_on(self._send_line(text))
            return
        try:
            await self._send(text)
            self.sent += 1
        except Exception as error:
            self._owner.lost(error)
        finally:
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting and not self._closed and self._sent_next():
            pass
        # Who has put a text awaits no other's: it has its own affairs, and may be cancelled.
        if self._waiting and not self._closed:
            self._owner.send_on(self._send_line())
        else:
            self._set_free()

    def _sent_next(self) -> bool:
        """Send the next in line, if that takes no waiting."""
        assert self._waiting
        entry = self._waiting[0]
        text = entry if isinstance(entry, str) else entry.text
        stale = isinstance(entry, _Item) and entry.stale()
        send = self._push_now if isinstance(entry, _Pushed) else self._now
        if not stale and not send(text):
            return False
        self._waiting.popleft()
        self._leave_line(entry, text)
        if isinstance(entry, _Item):
            entry.release()
        if not stale:
            self._is_out(entry)
        return True

    async def _send_line(self, first: str = "") -> None:
        try:
            if first and not self._closed:
                await self._send(first)
                self.sent += 1
            while self._waiting:
                await self._send_next(self._waiting.popleft())
        except Exception as error:
            self._owner.lost(error)
        finally:
            self._set_free()

    async def _send_next(self, entry: str | _Item | _Pushed) -> None:
        text = entry if isinstance(entry, str) else entry.text
        self._leave_line(entry, text)
        if isinstance(entry, _Item) and entry.stale():
            entry.release()
            return
        try:
            await self._send(text)
        finally:
            if isinstance(entry, _Item):
                entry.release()
        self._is_out(entry)

    def _leave_line(self, entry: str | _Item | _Pushed, text: str) -> None:
        self._hold(-len(text))
        if isinstance(entry, _Pushed):
            self.pushed -= len(text)
            self.recovered = self.recovered or not self.is_behind

    def _is_out(self, entry: str | _Item | _Pushed) -> None:
        self.sent += 1
        if isinstance(entry, str):
            self.answers -= 1
            if self.wanted and not self.answers:
                self._tell_freed()

    def _tell_freed(self) -> None:
        self.wanted = False
        self._owner.freed()

    def _line_up(self, entry: str | _Item | _Pushed, size: int) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(entry)
        self._hold(size)

    def _hold(self, size: int) -> None:
        self.held += size
        self._budget.change(self, size)

    # --- the end of waiting

    async def free(self) -> None:
        """Until nothing waits any more, or the outbox is closed."""
        if not self.busy or self._closed:
            return
        if self._free is None:
            self._free = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._free)

    def _set_free(self) -> None:
        self.busy = False
        self.answers = 0
        if self.wanted:
            self._tell_freed()
        if self._free is not None:
            self._free.set_result(None)
            self._free = None

    def overflow(self) -> None:
        """It holds too much: its peer is given up."""
        self._owner.overflowed()

    def close(self) -> None:
        """Drop what waits, and whatever still comes."""
        self._closed = True
        for entry in self._waiting or ():
            if isinstance(entry, _Item):
                entry.release()
        if self._waiting is not None:
            self._waiting.clear()
        self.pushed = 0
        if self.held:
            self._hold(-self.held)
        if self._free is not None:
            self._free.set_result(None)
            self._free = None
