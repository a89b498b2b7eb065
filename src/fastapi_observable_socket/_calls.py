"""
The calls of one connection: which run, which wait for their turn, which must end.

Keeps the books and the clocks of calls that wait for something; those that never do are
over before anyone could ask. Reads and writes nothing: what is to be started, said or
woken is told to the connection.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ._call import Call
from ._log import escaped, logger
from ._session import uuid_key
from ._wire import MAX_INTEGER

GRACE = 1.0
"""Seconds that a call has to end after its time-out, until it is answered without it."""


class Calls:
    """`live` is the session's table of uuids without an answer; it is kept here.

    `start` begins a call in a task of its own. `ended` is told of a call that has ended
    without an answer of its own: before it began, or because it ignores its cancellation.
    `freed` is called whenever a call has given back its place.
    """

    __slots__ = (
        "_ended",
        "_freed",
        "_in_order",
        "_live",
        "_most",
        "_order_taken",
        "_parked",
        "_running",
        "_start",
        "begun",
        "streams",
        "wait_for_stream",
    )

    def __init__(
        self,
        live: dict[str, Any],
        most: int,
        start: Callable[[Call], "asyncio.Task[Any]"],
        ended: Callable[[Call], None],
        freed: Callable[[], None],
    ) -> None:
        self._live = live
        self._most = most
        self._start = start
        self._ended = ended
        self._freed = freed
        self._running = 0
        self._order_taken = False
        self._parked: deque[Call] = deque()
        self._in_order: deque[Call] = deque()
        self.begun: set[Call] = set()
        """Calls that have a task and have not ended."""
        self.streams = 0
        """How many of the live calls send items one by one. They take no place of others."""
        self.wait_for_stream = False
        """Whether it is such a call for whose end those in order wait."""

    def may_begin(self, call: Call) -> bool:
        """Whether there is a place for it now, and, in an ordered route, whether it is its turn."""
        return (self._running < self._most or call.flow is not None) and not (
            call.route.ordered and (self._order_taken or self._in_order)
        )

    def open_stream(self, call: Call) -> None:
        """Take a call that sends its items one by one, to be begun now or in its turn."""
        self.streams += 1
        if self.may_begin(call):
            self.begin(call, self._start(call))
        else:
            self.postpone(call)

    def postpone(self, call: Call) -> None:
        """Begin it later, by itself."""
        self._live[uuid_key(call.frame.uuid)] = call
        given = deadline(call)
        if given is not None:
            loop = asyncio.get_running_loop()
            call.due = loop.time() + given
            call.timer = loop.call_at(call.due, self._time_out, call, "deadline")
        (self._in_order if call.route.ordered else self._parked).append(call)

    def begin(self, call: Call, task: "asyncio.Task[Any] | None") -> None:
        """From here on it counts, until `finished`; `task` is its own."""
        call.task = task
        if call.flow is None:
            self._running += 1
        self.begun.add(call)
        if call.route.ordered:
            call.holds_order = self._order_taken = True
            self.wait_for_stream = call.flow is not None
        if not call.settled:
            self._live[uuid_key(call.frame.uuid)] = call
            self._limit_time(call)

    def settle(self, call: Call) -> None:
        """Its answer is ready: its uuid is free again, and time no longer counts."""
        if call.settled:
            return
        call.settled = True
        if call.timer is not None:
            call.timer.cancel()
        if call.flow is not None:
            self.streams -= 1
        key = uuid_key(call.frame.uuid)
        if self._live.get(key) is call:
            del self._live[key]

    def finished(self, call: Call) -> None:
        """Nothing is left of it. Twice is harmless."""
        if call not in self.begun:
            return
        self.begun.remove(call)
        self.settle(call)
        self._release(call)

    def end_all(self) -> None:
        """The peer is gone: what nobody waits for is cancelled, what has not begun never will."""
        for waiting in (self._parked, self._in_order):
            for call in waiting:
                if call.timer is not None:
                    call.timer.cancel()
            waiting.clear()
        me = asyncio.current_task()
        for call in self.begun:
            call.gone = True
            if call.flow is not None:
                call.flow.open()
            if call.task is not me:
                self.end(call)
            else:
                asyncio.get_running_loop().call_soon(self.end, call)

    def end(self, call: Call) -> None:
        """Cancel it, if it has no more business without its peer."""
        if must_end(call):
            _stop(call, "gone")

    def _release(self, call: Call) -> None:
        """Give its place to the next."""
        if call.released:
            return
        call.released = True
        if call.flow is None:
            self._running -= 1
        if call.holds_order:
            self._order_taken = self.wait_for_stream = False
        self._begin_next()

    def _begin_next(self) -> None:
        while (next_one := self._next()) is not None:
            self.begin(next_one, self._start(next_one))
        self._freed()

    def _next(self) -> Call | None:
        room = self._running < self._most
        if self._in_order and not self._order_taken and (room or self._in_order[0].flow):
            return self._in_order.popleft()
        return self._parked.popleft() if room and self._parked else None

    def cancel(self, key: str, why: str = "cancel") -> None:
        """End the live call of that key, because its client asked for it.

        A shielded call goes on, and is answered when it is done.
        """
        call: Call = self._live[key]
        if call.task is None:
            (self._in_order if call.route.ordered else self._parked).remove(call)
            call.ended_by = why
            self.settle(call)
            self._ended(call)
            self._begin_next()
        elif not call.route.shield:
            self._stop_in_time(call, why)

    def _limit_time(self, call: Call) -> None:
        """By the route's own time, which begins now, or the client's, which began on arrival."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        end, why = now + call.route.time_of(call), "timeout"
        given = deadline(call)
        if given is not None:
            due = now + given if call.due is None else call.due
            if due <= end:
                end, why = due, "deadline"
        if call.timer is not None:
            call.timer.cancel()
        if end < math.inf:
            call.timer = loop.call_at(end, self._time_out, call, why)

    def _time_out(self, call: Call, why: str) -> None:
        if call.task is None:
            self.cancel(uuid_key(call.frame.uuid), why)
        else:
            self._stop_in_time(call, why)

    def _stop_in_time(self, call: Call, why: str) -> None:
        if call.ended_by is None:
            _stop(call, why)
            if call.timer is not None:
                call.timer.cancel()
            call.timer = asyncio.get_running_loop().call_later(GRACE, self._abandon, call)

    def _abandon(self, call: Call) -> None:
        # What it still does is its own affair; its peer and those in line must not suffer.
        logger.warning("route %s ignores its cancellation", escaped(call.frame.route))
        self.settle(call)
        call.gone = True
        self._release(call)
        self._ended(call)


def deadline(call: Call) -> float | None:
    """Seconds that the client gives, by the header `$timeout` in milliseconds; None where it
    gives none, or nothing that makes sense."""
    given = call.headers.get("$timeout") if call.frame.headers else None
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    if not 0 <= given < MAX_INTEGER:  # an int may be longer than any float
        return None
    return given / 1000


def must_end(call: Call) -> bool:
    """Whether a call has no more business once its peer is gone."""
    return not call.answered and (call.settled or not call.route.shield)


def stubborn(calls: Iterable[Call], tasks: "Collection[asyncio.Task[Any]]") -> list[Call]:
    """Those of `calls` that should have ended, and whose task is still among `tasks`."""
    return [call for call in calls if call.task in tasks and must_end(call)]


def _stop(call: Call, why: str) -> None:
    if call.ended_by is None and call.task is not None:
        call.ended_by = why
        call.task.cancel()
