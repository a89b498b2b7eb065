"""
The shell around one socket: reads, writes, starts and stops calls.

The only room that knows how frames come and go. It decides nothing about them: the
session says what a frame leads to, dispatch what a call is answered.

One task reads. It runs each call itself, until the call first waits: then the task stays
with the call, and another goes on reading. So a call that never waits costs no task, and
one that waits holds up nobody.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketState

from ._call import Call, Shared
from ._compat import abort_transport
from ._dispatch import Dispatcher, timed_out
from ._errors import NotFound, TooManyRequests
from ._log import escaped, failure, logger
from ._outbox import Outbox
from ._route import Route
from ._session import Answer, Close, ServerSession, uuid_key
from ._status import CloseCode
from ._wire import Frame, refusal

CLOSE_TIMEOUT = 1.0
"""Seconds that a close frame may take; after that the transport is dropped."""

FAIR_SHARE = 256
"""Frames that are handled in a row before other connections get their turn."""

GRACE = 1.0
"""Seconds that a call has to end after its time-out, until it is answered without it."""

PATIENCE = 5
"""Seconds in which a cancelled call must end; after that it is left to itself, with a warning."""

TWINS: Mapping[int, int] = {1003: 4003, 1008: 4403, 1009: 4009, 1011: 4011, 1012: 4012, 1013: 4013}
"""Sent where a server below refuses a code: daphne knows 1000 and 3000 to 4999 only."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one connection. Times are in seconds, sizes in bytes of UTF-8."""

    max_message_bytes: int = 256 * 1024
    max_response_bytes: int = 16 * 1024 * 1024
    max_in_flight: int = 64
    look_ahead: int = 64
    reject_overflow: bool = False
    max_bad_messages: int = 100
    idle_timeout: float = 180.0
    idle_timeout_without_heartbeat: float = 3600.0
    send_timeout: float = 10.0


class Connection:
    """One accepted socket and its calls, until both are gone."""

    __slots__ = (
        "_carried",
        "_context",
        "_dispatcher",
        "_ended",
        "_heard",
        "_heard_at",
        "_idle_timer",
        "_in_order",
        "_limits",
        "_live",
        "_loop",
        "_most",
        "_ordered_busy",
        "_outbox",
        "_parked",
        "_reader",
        "_receive",
        "_room",
        "_routes",
        "_running",
        "_send",
        "_session",
        "_shared",
        "_stalled",
        "_suspended",
        "_tasks",
        "_watching",
    )

    def __init__(
        self,
        ws: WebSocket,
        receive: Callable[[], Coroutine[Any, Any, Any]],
        send: Callable[[Any], Coroutine[Any, Any, None]],
        routes: Mapping[str, Route],
        dispatcher: Dispatcher,
        limits: Limits,
    ) -> None:
        self._receive = receive
        self._send = send
        self._routes = routes
        self._dispatcher = dispatcher
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._session = ServerSession(
            limits.max_message_bytes, limits.max_bad_messages, self._loop.time
        )
        self._live = self._session.live
        self._most = limits.max_in_flight + limits.look_ahead
        self._shared = Shared(ws)
        self._outbox = Outbox(
            lambda text: send({"type": "websocket.send", "text": text}),
            self._lost,
            self._wake_reader,
        )
        self._stalled: asyncio.TimerHandle | None = None
        self._watching = False
        self._context = contextvars.copy_context()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._reader: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._suspended: set[Call] = set()
        self._carried: Call | None = None  # what the reading task runs, or waits for
        self._room: asyncio.Future[None] | None = None
        self._running = 0
        self._ordered_busy = False
        self._parked: deque[Call] = deque()
        self._in_order: deque[Call] = deque()
        self._heard = False
        self._heard_at = self._loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Serve the accepted socket until its peer is gone or it is closed.

        Every call has ended when this returns, and every task. Raises nothing but its own
        cancellation.
        """
        self._plan_idle_check()
        try:
            self._reader = asyncio.current_task()
            await self._read()
            await self._ended  # another task may be reading by now
        except asyncio.CancelledError:
            await self._end(CloseCode.SERVICE_RESTART, "service restart")
            raise
        finally:
            await self._leave()

    # --- reading

    async def _read(self) -> None:
        me = asyncio.current_task()
        receive, answer, put = self._receive, self._dispatcher.answer, self._outbox.put
        share = FAIR_SHARE
        try:
            while self._reader is me:
                if self._outbox.busy or len(self._live) >= self._most:
                    await self._wait_for_room()
                message = await receive()
                text = message.get("text")
                if text is None:
                    await self._received_no_text(message)
                    continue
                self._heard = True
                if not self._watching:
                    self._watch()
                step = self._session.receive(text)
                call = self._admit(step) if type(step) is Frame else step
                if type(call) is Call:
                    self._carried = call
                    text = await answer(call)
                    if call.task is not None:
                        await self._complete(call, text)
                        continue
                    # It never waited: nothing of it need be remembered.
                    self._carried = None
                    await put(text)
                    if call.lingers or contextvars.copy_context() != self._context:
                        await self._linger(call)
                elif isinstance(call, Answer):
                    await put(call.text)
                elif isinstance(call, Close):
                    await self._end(call.code, call.reason)
                share -= 1
                if not share:
                    # `receive` returns at once while frames are there, and would for a
                    # whole burst; nobody else would get the loop.
                    share = FAIR_SHARE
                    await asyncio.sleep(0)
        except Exception as error:
            failure("connection failed", error)
            await self._end(CloseCode.INTERNAL_ERROR, "internal error")

    def _watch(self) -> None:
        """Look, once the loop has a turn again, whether what was begun until then waits."""
        self._watching = True
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._watching = False
        if self._carried is not None:
            self._hand_over()
        if self._outbox.busy and self._stalled is None:
            self._stalled = self._loop.call_later(
                self._limits.send_timeout, self._check_stalled, self._outbox.sent
            )

    async def _linger(self, call: Call) -> None:
        """What is left of a call that is answered; then another task reads on.

        This one has context variables that the call has set, which the next must not see.
        """
        call.settled = call.answered = True
        self._carried = call
        self._hand_over()
        await self._complete(call, None)

    async def _received_no_text(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "websocket.disconnect":
            self._shared.ws.client_state = WebSocketState.DISCONNECTED
            self._finish()
        else:
            await self._end(CloseCode.UNSUPPORTED_DATA, "frames must be text")

    def _admit(self, frame: Frame) -> Call | Answer | None:
        """The call to be carried now; None where it must wait for its turn."""
        route = self._routes.get(frame.route)
        if route is None:
            return Answer(refusal(frame.uuid, NotFound(f"no route {frame.route!r}")))
        call = Call(frame, self._shared, route)
        if self._running < self._limits.max_in_flight and not (
            route.ordered and (self._ordered_busy or self._in_order)
        ):
            return call
        if self._limits.reject_overflow and len(self._live) >= self._limits.max_in_flight:
            error = TooManyRequests("too many requests in flight")
            return Answer(refusal(frame.uuid, error))
        self._live[uuid_key(frame.uuid)] = call
        (self._in_order if route.ordered else self._parked).append(call)
        return None

    async def _wait_for_room(self) -> None:
        while self._outbox.busy or len(self._live) >= self._most:
            self._outbox.wanted = True
            self._room = self._loop.create_future()
            await self._room

    def _wake_reader(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # --- calls

    async def _perform(self, call: Call) -> None:
        """Run a postponed call, in a task of its own."""
        await self._complete(call, await self._dispatcher.answer(call))

    async def _complete(self, call: Call, text: str | None) -> None:
        """Everything after the answer is known; `text` is None where it is out."""
        try:
            self._settle(call)
            if text is not None and not call.gone:
                self._watch_send()
                await self._outbox.put(text)
            call.answered = True
            if call.malformed and (step := self._session.malformed()):
                call.close = (step.code, step.reason)
            if call.close is not None:
                await self._end(*call.close)
            await call.afterwards()
        except asyncio.CancelledError:
            if call.ended_by is None:
                raise
        except Exception as error:
            failure("failed after the answer", error, route=call.frame.route, uuid=call.frame.uuid)
        finally:
            self._finished(call)

    def _hand_over(self) -> None:
        """The call that the reading task carries keeps that task; another reads on."""
        call, self._carried = self._carried, None
        assert call is not None
        call.task = self._reader
        self._began(call)
        if not self._ended.done():
            self._reader = self._spawn(self._read(), self._context.copy())
        elif self._must_end(call):
            self._stop(call)

    def _began(self, call: Call) -> None:
        """From here on `call` counts, until it is `_finished`."""
        self._running += 1
        self._suspended.add(call)
        if call.route.ordered:
            call.holds_order = self._ordered_busy = True
        if not call.settled:
            self._live[uuid_key(call.frame.uuid)] = call
            call.timer = self._loop.call_later(call.route.timeout, self._time_out, call)

    def _start_postponed(self) -> None:
        while self._running < self._limits.max_in_flight:
            if self._in_order and not self._ordered_busy:
                call = self._in_order.popleft()
            elif self._parked:
                call = self._parked.popleft()
            else:
                return
            call.task = self._spawn(self._perform(call))
            self._began(call)
            # Not only in `_perform`: a task cancelled before its first step runs none of it.
            call.task.add_done_callback(lambda _, call=call: self._finished(call))  # type: ignore[misc]

    def _settle(self, call: Call) -> None:
        """Its answer is ready: its uuid is free again, and time no longer counts."""
        if call.settled:
            return
        call.settled = True
        if call.timer is not None:
            call.timer.cancel()
        if call.task is not None:
            self._live.pop(uuid_key(call.frame.uuid), None)

    def _finished(self, call: Call) -> None:
        if call.finished or call.task is None:
            return
        call.finished = True
        self._settle(call)
        if call.ended_by is not None:
            # The task may go on to serve the connection: the cancellation was the call's.
            call.task.uncancel()
        self._suspended.discard(call)
        self._release(call)

    def _release(self, call: Call) -> None:
        """Give its place to the next."""
        if call.released:
            return
        call.released = True
        self._running -= 1
        if call.holds_order:
            self._ordered_busy = False
        if self._in_order or self._parked:
            self._start_postponed()
        self._wake_reader()

    def _time_out(self, call: Call) -> None:
        self._stop(call, "timeout")
        call.timer = self._loop.call_later(GRACE, self._abandon, call)

    def _abandon(self, call: Call) -> None:
        """Answer a call that ignores its cancellation; what it still does is its own affair."""
        logger.warning("route %s ignores its cancellation", escaped(call.frame.route))
        self._settle(call)
        call.gone = True
        self._release(call)
        self._spawn(self._answer(timed_out(call)))

    async def _answer(self, text: str) -> None:
        self._watch_send()
        await self._outbox.put(text)

    def _watch_send(self) -> None:
        if not self._watching:
            self._watch()

    def _must_end(self, call: Call) -> bool:
        """Whether a call has no more business once its peer is gone."""
        return not call.answered and not call.route.shield

    def _stop(self, call: Call, why: str = "gone") -> None:
        if call.ended_by is None and call.task is not None:
            call.ended_by = why
            call.task.cancel()

    # --- writing

    def _lost(self, error: Exception) -> None:
        # Servers have many words for it, none of them common: the peer is gone.
        logger.debug("send failed: %s: %s", type(error).__name__, escaped(error))
        self._finish()

    def _check_stalled(self, sent: int) -> None:
        """Cut a peer that took nothing since this was planned, when `sent` texts were out."""
        self._stalled = None
        if not self._outbox.busy:
            return
        if self._outbox.sent == sent:
            self._cut(CloseCode.SLOW_CONSUMER)
        else:
            self._look()

    def _cut(self, code: CloseCode) -> None:
        reason = "slow consumer" if code is CloseCode.SLOW_CONSUMER else "idle timeout"
        self._spawn(self._end(code, reason))

    def _check_idle(self) -> None:
        # Looks often and reads no clock for each frame: a connection is closed up to an
        # eighth later than it could be.
        limits, now = self._limits, self._loop.time()
        if self._heard or self._suspended:
            self._heard = False
            self._heard_at = now
        heartbeats = self._session.heartbeats
        limit = limits.idle_timeout if heartbeats else limits.idle_timeout_without_heartbeat
        if now - self._heard_at >= limit:
            self._cut(CloseCode.IDLE)
        else:
            self._plan_idle_check()

    def _plan_idle_check(self) -> None:
        shortest = min(self._limits.idle_timeout, self._limits.idle_timeout_without_heartbeat)
        self._idle_timer = self._loop.call_later(shortest / 8, self._check_idle)

    # --- ending

    async def _end(self, code: int, reason: str) -> None:
        """Close the socket, unless it is at its end already."""
        if self._ended.done() or self._shared.ws.application_state == WebSocketState.DISCONNECTED:
            self._finish()
            return
        self._outbox.close()
        self._shared.ws.application_state = WebSocketState.DISCONNECTED
        await close(self._send, code, reason)
        self._finish()

    def _finish(self) -> None:
        """No more reading, no more answers; calls that nobody waits for are cancelled."""
        if self._ended.done():
            return
        self._ended.set_result(None)
        self._outbox.close()
        self._parked.clear()
        self._in_order.clear()
        me = asyncio.current_task()
        for call in list(self._suspended):
            call.gone = True
            if self._must_end(call) and call.task is not me:
                self._stop(call)
        reader, self._reader = self._reader, None
        if reader in self._tasks and reader is not me:
            reader.cancel()

    async def _leave(self) -> None:
        """Wait for the tasks that are left, and close what the connection holds open."""
        self._finish()
        for timer in (self._idle_timer, self._stalled):
            if timer is not None:
                timer.cancel()
        patience = PATIENCE
        while self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=1)
            stubborn = [c for c in self._suspended if c.task in pending and self._must_end(c)]
            if not stubborn:
                continue
            patience -= 1
            if not patience:
                names = ", ".join(sorted({escaped(c.frame.route) for c in stubborn}))
                logger.warning("calls that ignore their cancellation are left alone: %s", names)
                break
            for call in stubborn:
                assert call.task is not None
                call.task.cancel()
        stack, self._shared.stack = self._shared.stack, None
        if stack is not None:
            try:
                await stack.aclose()
            except Exception as error:
                failure("failed to close a dependency of the connection", error)

    def _spawn(
        self, coroutine: Coroutine[Any, Any, None], context: contextvars.Context | None = None
    ) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def close(send: Callable[[Any], Coroutine[Any, Any, None]], code: int, reason: str) -> None:
    """Close a socket, by all means: under another code where the server refuses this one,
    by dropping the transport where the peer takes nothing any more. Raises nothing."""
    for attempt in filter(None, (int(code), TWINS.get(code))):
        message = {"type": "websocket.close", "code": attempt, "reason": shortened(reason)}
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await send(message)
            return
        except TimeoutError:
            abort_transport(send)
            return
        except Exception as error:
            logger.debug("close %d failed: %s", attempt, escaped(error))
    abort_transport(send)


def shortened(reason: str) -> str:
    """At most 123 bytes of UTF-8, cut between characters: more does not fit a close frame
    (RFC 6455, section 5.5)."""
    return reason.encode(errors="replace")[:123].decode(errors="ignore")
