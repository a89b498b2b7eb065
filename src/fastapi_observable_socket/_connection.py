"""
The shell around one socket: reads, writes, starts and stops calls.

The only room that knows how frames come and go. It decides nothing about them: the
session says what a frame leads to, dispatch what a call is answered.

One task reads. It runs each call itself, until the call first waits: then the task stays
with the call, and another goes on reading. So a call that never waits costs no task, and
one that waits holds up nobody.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, copy_context
from typing import Any, TypeVar

from starlette.websockets import WebSocket, WebSocketState

from ._call import Call, Shared
from ._calls import Calls, stubborn
from ._clocks import Clocks, Limits
from ._closing import close
from ._compat import is_gone, pending_bytes, transport_below
from ._dispatch import Dispatcher, ended
from ._errors import NotFound, RequestFailed, TooManyRequests, TooManyStreams, Unauthorized
from ._flow import Flow
from ._handle import Connection, Connections
from ._identity import Authenticator, Identity
from ._lane import Lane
from ._log import escaped, failure, logger
from ._outbox import Budget, Outbox
from ._route import Route
from ._session import Ack, Answer, Cancel, Close, Introduce, ServerSession
from ._status import CloseCode
from ._stream import flow_of
from ._turn import next_turn
from ._wire import Frame, Response, drain, refusal

T = TypeVar("T")

FAIR_SHARE = 256
"""Frames that are handled in a row before other connections get their turn."""

LOW_WATER = 16 * 1024
"""Bytes below which asyncio's transports, by default, have their writers go on."""

LOOK_EVERY = 1.0
"""Seconds between two looks whether a peer is still there from which nothing is read."""

PATIENCE = 5
"""Seconds in which what is cancelled must end; then it is left to itself, with a warning."""


def _nothing() -> None:
    return None


class Shell:
    """One accepted socket and its calls, until both are gone."""

    __slots__ = (
        "_all_routes",
        "_calls",
        "_carried",
        "_clocks",
        "_context",
        "_dispatcher",
        "_ended",
        "_handle",
        "_identity",
        "_introducing",
        "_leave_topics",
        "_limits",
        "_live",
        "_looked_after",
        "_loop",
        "_most",
        "_open",
        "_outbox",
        "_reader",
        "_receive",
        "_room",
        "_routes",
        "_send",
        "_session",
        "_shared",
        "_take",
        "_tasks",
        "_transport",
        "_turn",
        "_waited_for",
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
        budget: Budget,
        authenticator: Authenticator,
        connections: Connections,
        leave_topics: Callable[[Shared], None],
        lane: Lane | None = None,
    ) -> None:
        self._receive = receive
        self._send = send
        self._all_routes = routes
        self._dispatcher = dispatcher
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._turn = next_turn()
        self._session = ServerSession(
            limits.max_message_bytes, limits.max_bad_messages, self._loop.time
        )
        self._live = self._session.live
        self._most = limits.max_in_flight + limits.look_ahead
        self._outbox = Outbox(
            lambda text: send({"type": "websocket.send", "text": text}),
            self,
            budget,
            limits.outbox,
            *(() if lane is None else (lane.put, lane.push)),
        )
        self._take = _nothing if lane is None else lane.take
        self._looked_after = False
        if lane is not None:
            lane.step = self._step
        self._open = connections
        self._leave_topics = leave_topics
        self._handle = Connection(
            ws,
            self._outbox,
            self._end_for_sure,
            self._wait_for_client,
            limits.max_pushed,
            connections.declared,
        )
        self._shared = Shared(ws, self._handle, self._put_in_turn, limits.max_response_bytes)
        self._identity = Identity(authenticator, self._shared, self._end_session)
        # Nothing to be found for nobody: one look for all that a frame may not.
        self._routes: Mapping[str, Route] = {}
        self._waited_for = 0  # calls of ours without the client's answer
        self._introducing = False
        self._watching = False
        self._transport: Any = None  # looked for with the first push; False where none is found
        self._context = copy_context()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._reader: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._calls = Calls(
            self._live, limits.max_in_flight, self._start, self._answer_ended, self.freed
        )
        self._carried: Call | None = None  # what the reading task runs, or waits for
        self._room: asyncio.Future[None] | None = None
        self._clocks = Clocks(
            limits,
            self._session,
            self._outbox,
            self._calls.begun,
            lambda: pending_bytes(send),
            self._cut,
        )

    async def serve(self) -> None:
        """Serve the accepted socket until its peer is gone or it is closed.

        Every call has ended when this returns, and every task. Raises nothing but its own
        cancellation.
        """
        self._clocks.start()
        self._join()
        try:
            # Not in this task: each of its steps passes through all the layers that the
            # server and the application put around the endpoint.
            self._reader = self._start_reading()
            await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            await self._end(CloseCode.SERVICE_RESTART, "service restart")
            raise
        finally:
            await self._leave()

    # --- reading

    async def _read(self) -> None:
        me = asyncio.current_task()
        receive, answer, put = self._receive, self._dispatcher.answer, self._outbox.put
        take, put_now, outbox = self._take, self._outbox.put_now, self._outbox
        clocks, handle, shared = self._clocks, self._handle, self._shared
        understand, live, begun = self._session.receive, self._live, self._calls.begun
        context = self._context
        share = FAIR_SHARE
        try:
            while self._reader is me:
                if outbox.answers or (len(live) >= self._most and self._is_full()):
                    await self._wait_for_room()
                    if self._reader is not me:
                        return
                text = take()
                if text is None:
                    message = await receive()
                    text = message.get("text")
                    if text is None:
                        await self._received_no_text(message)
                        continue
                elif type(text) is not str:
                    await self._received_no_text({"type": "websocket.receive"})
                    continue
                if handle.closed is not None:
                    continue  # the close is on its way, and nothing is served behind it
                clocks.heard = True
                if not (self._watching or self._looked_after):
                    self._watch()
                call: Any = understand(text)
                if type(call) is Frame:
                    route = self._routes.get(call.route)
                    if route is None or route.streams or begun:
                        call = self._admit(call, route)
                    else:  # nothing that it would have to wait for
                        call = Call(call, shared, route)
                if type(call) is Call:
                    self._carried = call
                    text = await answer(call)
                    if call.task is not None:
                        await self._complete(call, text)
                        continue
                    try:
                        is_left_changed = copy_context() != context
                    except Exception:  # its values are users', and may refuse to be compared
                        is_left_changed = True
                    if call.lingers or is_left_changed:
                        await self._linger(call, text)
                        continue
                    # It never waited: nothing of it need be remembered.
                    self._carried = None
                    if not put_now(text):
                        await put(text)
                elif isinstance(call, Answer):
                    await put(call.text)
                elif call is not None:
                    await self._act(call)
                share -= 1
                if not share:
                    # `receive` returns at once while frames are there, and would for a
                    # whole burst; nobody else would get the loop.
                    share = FAIR_SHARE
                    await asyncio.sleep(0)
        except Exception as error:
            failure("connection failed", error)
            await self._end(CloseCode.INTERNAL_ERROR, "internal error")

    async def _act(self, step: Any) -> None:
        """What a frame leads to that starts no call and has no answer at once."""
        match step:
            case Ack(key, seq):
                flow = self._live[key].flow
                if flow is not None:
                    flow.take(seq)
            case Cancel(key):
                self._calls.cancel(key)
            case Response():
                self._handle.answered(step)
            case Introduce(frame):
                if frame.route == "$hello" or self._identity.locked:
                    await self._introduce(frame)
                else:
                    self._spawn(self._introduce(frame), self._context.copy())
            case Close(code, reason):
                await self._end(code, reason)

    def _join(self) -> None:
        """Be among those that are served and pushed to, unless nobody knows who is there."""
        if not self._identity.locked and self._handle.closed is None:
            self._routes = self._all_routes
            self._open.add(self._handle)

    async def _introduce(self, frame: Frame) -> None:
        """Nothing else is read until it is known who is there: it decides about the rest."""
        # In a task of its own, whose context variables are nobody else's.
        asking = self._spawn(self._identity.introduce(frame), self._context.copy())
        self._introducing = True
        try:
            text, close = await asking
        except asyncio.CancelledError:
            asking.cancel()
            raise
        finally:
            self._introducing = False
        self._join()
        await self._answer(text)
        if close is not None:
            await self._end(*close)

    def _start_reading(self) -> "asyncio.Task[None]":
        task = self._spawn(self._read(), self._context.copy())
        task.add_done_callback(self._stopped_reading)
        return task

    def _stopped_reading(self, task: "asyncio.Task[None]") -> None:
        # A handler may cancel the task it runs in, and then nobody reads: not a state to
        # leave a peer in.
        if task.cancelled() and not self._ended.done():
            self._spawn(self._end(CloseCode.INTERNAL_ERROR, "internal error"))

    def _watch(self) -> None:
        """Look, once the loop has a turn again, whether what was begun until then waits."""
        self._watching = True
        self._turn.look(self._look)

    def _step(self, run: Callable[..., Any], *arguments: Any) -> None:
        """Have the reading task take a step, and look only if something came of it that waits."""
        self._looked_after = True
        run(*arguments)
        self._looked_after = False
        if self._carried is not None or self._outbox.busy:
            self._watch_send()

    def _look(self) -> None:
        self._watching = False
        if self._carried is not None:
            self._hand_over()
        self._clocks.look_at_sending()

    async def _linger(self, call: Call, text: str) -> None:
        """What is left of a call that never waited, while another task reads on.

        This one has context variables that the call has set, which the next must not see.
        """
        call.settled = True
        self._hand_over()
        await self._complete(call, text)

    async def _received_no_text(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "websocket.disconnect":
            self._shared.ws.client_state = WebSocketState.DISCONNECTED
            self._handle.over(message.get("code", 1006), message.get("reason") or "")
            self._finish()
        elif self._handle.closed is None:
            await self._end(CloseCode.UNSUPPORTED_DATA, "frames must be text")

    def _admit(self, frame: Frame, route: Route | None) -> Call | Answer | None:
        """The call to be carried now; None where it must wait for its turn."""
        if route is None:
            if self._identity.locked:
                error: RequestFailed = Unauthorized("who is there? say $hello with a token")
            else:
                error = NotFound(f"no route {frame.route!r}")
            return Answer(refusal(frame.uuid, error))
        call = Call(frame, self._shared, route)
        if route.streams and (flow := flow_of(call)) is not None:
            return self._admit_stream(call, flow)
        if self._calls.may_begin(call):
            return call
        limits, waiting = self._limits, len(self._live) - self._calls.streams
        most = limits.max_in_flight + (0 if limits.reject_overflow else limits.look_ahead)
        if waiting >= most:
            return Answer(refusal(frame.uuid, TooManyRequests("too many requests in flight")))
        self._calls.postpone(call)
        return None

    def _admit_stream(self, call: Call, flow: Flow) -> Answer | None:
        # Not made to wait: the streams before it may last for ever.
        if self._calls.streams >= self._limits.max_streams:
            error = TooManyStreams(f"{self._limits.max_streams} streams are open already")
            return Answer(refusal(call.frame.uuid, error))
        call.flow = flow
        self._calls.open_stream(call)
        return None

    async def _wait_for_room(self) -> None:
        while self._outbox.answers or self._is_full():
            self._outbox.wanted = True
            self._room = self._loop.create_future()
            # Not for ever: while nothing is read, the server below hears of no end.
            await asyncio.wait([self._room], timeout=LOOK_EVERY)
            if not self._room.done() and is_gone(self._send):
                self._finish()
            if self._ended.done():
                return

    def _is_full(self) -> bool:
        """Whether to read no more. Streams take no place; and while a call waits for the client's
        answer, or all wait for a stream whose items the client must take, that must be read:
        what is too much is refused then."""
        if self._waited_for or self._calls.wait_for_stream:
            return False
        return len(self._live) - self._calls.streams >= self._most

    def _wait_for_client(self, one_more: bool) -> None:
        self._waited_for += 1 if one_more else -1
        self.freed()

    def freed(self) -> None:
        """There may be room again for what is to be read."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # --- calls

    async def _perform(self, call: Call) -> None:
        """Run a postponed call, in a task of its own."""
        await self._complete(call, await self._dispatcher.answer(call))

    async def _complete(self, call: Call, text: str) -> None:
        """Everything after the answer is known."""
        try:
            self._calls.settle(call)
            try:
                await self._hand_in(call, text)
            finally:
                # Also where the answer cannot leave: what the call opened must be closed.
                await call.afterwards()
        except asyncio.CancelledError:
            if call.ended_by is None:
                raise
        except Exception as error:
            failure("failed after the answer", error, route=call.frame.route, uuid=call.frame.uuid)
        finally:
            self._calls.finished(call)

    async def _hand_in(self, call: Call, text: str) -> None:
        """Send its answer, and close the socket behind it where that is due."""
        try:
            if not call.gone:
                self._watch_send()
                await self._outbox.put(text)
        finally:
            call.answered = True  # or never will be
        if call.malformed and (step := self._session.malformed()):
            call.close = (step.code, step.reason)
        if call.close is not None:
            await self._end(*call.close)

    def _hand_over(self) -> None:
        """The call that the reading task carries keeps that task; another reads on."""
        call, self._carried = self._carried, None
        assert call is not None
        self._calls.begin(call, self._reader)
        if not self._ended.done():
            self._reader = self._start_reading()
        else:
            self._calls.end(call)

    def _start(self, call: Call) -> "asyncio.Task[None]":
        # In the connection's own context, not in that of the call which gave it its place.
        task = self._spawn(self._perform(call), self._context.copy())
        # Not only in `_perform`: a task cancelled before its first step runs none of it.
        task.add_done_callback(lambda _: self._ended_task(call))
        return task

    def _ended_task(self, call: Call) -> None:
        never_began = not call.settled and call.ended_by not in (None, "gone")
        self._calls.finished(call)
        if never_began:
            self._answer_ended(call)

    def _answer_ended(self, call: Call) -> None:
        self._spawn(self._answer(ended(call)))

    async def _answer(self, text: str) -> None:
        self._watch_send()
        await self._outbox.put(text)

    async def _put_in_turn(self, text: str, call: Call) -> None:
        self._watch_send()
        await self._outbox.put_in_turn(text, lambda: call.settled)

    # --- writing

    def lost(self, error: Exception) -> None:
        # Servers have many words for it, none of them common: the peer is gone.
        logger.debug("send failed: %s: %s", type(error).__name__, escaped(error))
        self._finish()

    def _watch_send(self) -> None:
        if not self._watching:
            self._watch()

    def send_on(self, line: Coroutine[Any, Any, None]) -> None:
        self._spawn(line)
        self._watch_send()

    def flows(self) -> bool:
        """Whether the transport certainly takes what it is given: it holds less than the mark
        below which it never makes anybody wait."""
        if self._transport is None:
            self._transport = transport_below(self._send) or False
        return bool(self._transport) and self._transport.get_write_buffer_size() < LOW_WATER

    def fell_behind(self) -> None:
        self._clocks.look_at_pushes()

    def overflowed(self) -> None:
        self._outbox.close()
        self._cut(CloseCode.SLOW_CONSUMER)

    def _end_session(self, code: int, reason: str) -> None:
        self._spawn(self._end(code, reason))

    def _cut(self, code: CloseCode) -> None:
        reason = "slow consumer" if code is CloseCode.SLOW_CONSUMER else "idle timeout"
        self._spawn(self._end(code, reason))

    # --- leaving, when the process is about to end

    @property
    def busy(self) -> bool:
        """Whether something runs here, waits for the client, or waits to be sent."""
        calls = self._live or self._calls.begun or self._carried is not None
        asking = self._waited_for or self._introducing
        return bool(calls or asking or self._outbox.busy or self._outbox.held)

    def tell_drain(self, within_ms: int) -> bool:
        """Ask the client to leave by itself; False where it does not know how to."""
        if self._handle.heeds_drain:
            self._outbox.push(drain(within_ms))
        return self._handle.heeds_drain

    async def send_away(self) -> None:
        """Close it, so that its client comes back."""
        await self._end_for_sure(CloseCode.SERVICE_RESTART, "service restart")

    # --- ending

    async def _end_for_sure(self, code: int, reason: str) -> None:
        """End it, also where whoever asked for that waits no longer."""
        await asyncio.shield(self._spawn(self._end(code, reason)))

    async def _end(self, code: int, reason: str) -> None:
        """Close the socket, unless it is at its end already."""
        if self._ended.done() or self._shared.ws.application_state == WebSocketState.DISCONNECTED:
            self._finish()
            return
        self._outbox.close()
        self._handle.over(code, reason)
        self._open.remove(self._handle)
        self._shared.ws.application_state = WebSocketState.DISCONNECTED
        # Before the close, which may take its time: nobody hears what they would still say.
        self._calls.end_all()
        await close(self._send, code, reason)
        self._finish()

    def _finish(self) -> None:
        """No more reading, no more answers; calls that nobody waits for are cancelled."""
        if self._ended.done():
            return
        self._ended.set_result(None)
        self._outbox.close()
        self._handle.over(1006, "the peer is gone")
        self._open.remove(self._handle)
        self._identity.stop()
        self._leave_topics(self._shared)
        reader, self._reader = self._reader, None
        if self._carried is not None:
            # It is with a call that nobody has looked at yet, perhaps a shielded one.
            call, self._carried = self._carried, None
            self._calls.begin(call, reader)
        elif reader is not None and reader is not asyncio.current_task():
            reader.cancel()
        self._calls.end_all()

    async def _leave(self) -> None:
        """Wait for the tasks that are left, and close what the connection holds open."""
        self._finish()
        self._clocks.stop()
        try:
            await self._outlast_calls()
        except asyncio.CancelledError:
            # The server waits no longer, not even for shielded calls.
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=1)
            raise
        finally:
            await self._close_shared()

    async def _outlast_calls(self) -> None:
        patience = PATIENCE
        while self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=1)
            others = pending - {call.task for call in self._calls.begun}
            for task in others:
                task.cancel()  # it brings an answer to a peer that is gone
            left = stubborn(self._calls.begun, pending)
            if not (left or others):
                continue
            patience -= 1
            if not patience:
                names = ", ".join(sorted({escaped(call.frame.route) for call in left}))
                logger.warning("calls that ignore their cancellation are left alone: %s", names)
                break
            for call in left:
                assert call.task is not None
                call.task.cancel()

    async def _close_shared(self) -> None:
        stack, self._shared.stack = self._shared.stack, None
        if stack is not None:
            try:
                await stack.aclose()
            except Exception as error:
                failure("failed to close a dependency of the connection", error)

    def _spawn(
        self, coroutine: Coroutine[Any, Any, T], context: Context | None = None
    ) -> asyncio.Task[T]:
        task = self._loop.create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
