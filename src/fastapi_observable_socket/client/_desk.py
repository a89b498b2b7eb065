"""
The client's desk: calls out, answers in.

It brings the ledger of calls, the life of the connection and the handlers together, and
decides nothing of any of them.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from weakref import WeakSet

import msgspec

from .._errors import ConnectionLostError, SocketError, SocketTimeoutError
from .._log import escaped, failure, logger
from .._status import Status
from .._wire import Header, Request, encode
from ._asked import Handlers
from ._asking import Awaited, Own, Streamed, Told, error_of
from ._greeting import SOONEST, Session, hello, kept, limit_of, session_of
from ._items import Push, Pushes
from ._leaving import Leaving
from ._ledger import (
    Asked,
    Broken,
    Call,
    Complained,
    Draining,
    Dropped,
    Final,
    Followed,
    Heard,
    Item,
    Ledger,
    Progressed,
    Pushed,
    payload_of,
    read,
)
from ._life import Life, Options, State
from ._line import ABNORMAL, End, Line
from ._topics import Topics

StateListener = Callable[[State, End | None], Any]

FEW = 4
"""Up to so many calls at the same time are written one by one."""

LARGEST_WINDOW = 1024
"""What a server takes that does not say."""


class Desk:
    """One socket's conversation. To be used on the event loop."""

    def __init__(
        self,
        url: str,
        options: Options,
        *,
        headers: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
        queue_limit: int = 1000,
        hello: bool = True,
        contract: Mapping[str, Any] | None = None,
        on_frame: Callable[[str | bytes], Any] | None = None,
    ) -> None:
        self.life = Life(url, options, self)
        self.handlers = Handlers()
        self.session: Session | None = None
        self._most: int | None = None
        """How many calls the server works on at once: as it said last, on this line or before."""
        self.topics = Topics(self, options.backoff)
        self._leaving = Leaving(self)
        self.pushes: WeakSet[Pushes] = WeakSet()
        self.on_push: dict[object, Callable[[Push], Any]] = {}
        self.on_state: dict[object, StateListener] = {}
        self._auth = options.auth is not None
        self._headers = headers
        self._hello = hello
        self._contract = contract
        self._on_frame = on_frame
        self._ledger = Ledger(queue_limit)
        self._numbers = itertools.count(1)
        self._entered: asyncio.Future[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._answering: dict[str, asyncio.Task[None]] = {}

    # --- calls

    def text(self, uuid: str, route: str, payload: Any, headers: Mapping[str, Any] | None) -> str:
        """The frame of a request. Raises `Unserialisable`."""
        common = self._headers
        if common is not None:
            headers = {**(common() if callable(common) else common), **(headers or {})}
        elif headers is None:
            headers = {}
        if payload is None:
            payload = msgspec.UNSET  # says the same, and is shorter
        return encode(Request(uuid, route, headers, payload)).decode()  # type: ignore[arg-type]

    def uuid(self) -> str:
        """One that no call of this socket ever had."""
        return str(next(self._numbers))

    async def ask(
        self,
        route: str,
        payload: Any,
        headers: Mapping[str, Any] | None,
        timeout: float | None,
        on_progress: Callable[[Heard], None] | None = None,
    ) -> Heard:
        """The last answer, whatever its status."""
        uuid = self.uuid()
        if on_progress is not None:
            headers = {**(headers or {}), "$progress": True}
        text = self.text(uuid, route, payload, headers)
        future: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        return await self._await(Awaited(uuid, route, text, future, on_progress), timeout)

    async def tell(
        self, route: str, payload: Any, headers: Mapping[str, Any] | None, timeout: float | None
    ) -> None:
        """Send, and wait for no answer; but while there is no line, or it is full."""
        uuid = self.uuid()
        text = self.text(uuid, route, payload, headers)
        future: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        await self._await(Told(uuid, route, text, future), timeout)
        line = self.life.line
        if line is not None and line.full:
            await line.drain()

    async def _await(self, call: Awaited, timeout: float | None) -> Heard:
        timer = None
        if timeout is not None:
            timer = call.future.get_loop().call_later(timeout, self._late, call, timeout)
        try:
            self.submit(call)
            return await call.future
        except asyncio.CancelledError:
            if call.future.done() and not call.future.cancelled():
                call.future.exception()  # seen, though nobody is told any more
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if call.live:
                self.abandon(call)

    def _late(self, call: Call, timeout: float) -> None:
        error = SocketTimeoutError(call.route, timeout, call.sent)
        self.abandon(call)
        call.fail(error)

    def stream(
        self,
        route: str,
        payload: Any,
        headers: Mapping[str, Any] | None,
        window: int,
        timeout: float | None,
        on_progress: Callable[[Heard], None] | None,
    ) -> Streamed:
        """A stream that is yet to be started."""
        # A server takes no larger one than its own, and would wait for acknowledgements that we
        # thought were not due yet.
        window = min(window, limit_of(self.session, "window") or LARGEST_WINDOW)
        uuid = self.uuid()
        asked: Header = {**(headers or {}), "$stream": True, "$window": window}
        if on_progress is not None:
            asked["$progress"] = True
        text = self.text(uuid, route, payload, asked)
        return Streamed(uuid, route, text, window, timeout, on_progress)

    def start_stream(self, call: Streamed) -> None:
        """Send it."""
        self.submit(call)
        if call.timeout is not None:
            loop = asyncio.get_running_loop()
            call.timer = loop.call_later(call.timeout, self._late, call, call.timeout)

    def acknowledge(self, call: Streamed) -> None:
        """Tell how far its items were taken."""
        if self.life.line is not None:
            headers = f'{{"$seq":{call.taken - 1}}}'
            self.life.line.send(f'{{"uuid":"{call.uuid}","route":"$ack","headers":{headers}}}')

    def submit(self, call: Call) -> None:
        """Send it, or keep it until there is a line. Raises `ConnectionLostError` on a socket
        that is closed, and `QueueFullError`."""
        if self.closed:
            raise self.gone(False)
        # What the server asks us may depend on a call that we make for that: it must not wait.
        depends = bool(self._answering) and self.life.state == "open"
        urgent = self.writable or depends
        self._ledger.start(call, urgent=urgent)
        if urgent and (not call.counts or not self._busy() or depends):
            self._write(call)

    def _busy(self) -> bool:
        """Whether the server has as many calls of ours as it works on at once.

        More would only lie before its door, where neither a PING nor a cancellation behind them
        is read. Here they can be cancelled for nothing, and outlive the line.
        """
        return self._most is not None and self._ledger.in_flight >= self._most

    def _write(self, call: Call) -> bool:
        line = self.life.line
        # One at a time, waiting for company would only cost time.
        if line is None or not line.send(call.text, len(self._ledger) > FEW):
            return False
        self._ledger.sent(call)
        if call.oneway:
            call.left()
        return True

    @property
    def closed(self) -> bool:
        """Whether there will be no line any more."""
        return self.life.state == "closed"

    @property
    def writable(self) -> bool:
        """Whether there is a line for something new."""
        return self.life.state == "open" and not self._leaving.closed

    @property
    def idle(self) -> bool:
        """Whether this line owes nobody an answer."""
        return self._ledger.idle and not self._answering

    def leave(self) -> None:
        """Go on over another line, at once."""
        if self.life.state == "open":
            self.life.restart("the server is about to end")

    def ask_now(self, route: str, payload: Any, answered: Callable[[Heard], None]) -> bool:
        """Ask what the protocol's own parts want to know, before all that waits; never answered
        where the line is lost. False where there is no line."""
        uuid = self.uuid()
        text = encode(Request(uuid, route, {}, payload)).decode()
        return self._ask_now(Own(uuid, route, text, answered))

    def _ask_now(self, call: Own) -> bool:
        self._ledger.start(call, urgent=True)
        written = self._write(call)
        if not written:
            self._ledger.end(call)  # not for the next line, to which it means nothing
        return written

    def _go_on(self) -> None:
        """Send what waits, as far as the server takes it."""
        waiting = self._ledger.waiting
        while waiting and not self._busy() and not self._leaving.closed:
            if not self._write(next(iter(waiting.values()))):
                return

    def abandon(self, call: Call) -> None:
        """Nobody wants its answer any more; so nobody wants the work done either."""
        if not call.live:
            return
        self._ledger.end(call)
        self._leaving.look()
        if call.sent and self.life.line is not None:
            self.life.line.send(f'{{"uuid":"{call.uuid}","route":"$cancel"}}')
            if self._ledger.waiting:
                # Not at once: who cancels one often cancels them all.
                asyncio.get_running_loop().call_soon(self._go_on)

    def gone(self, sent: bool) -> ConnectionLostError:
        """What a call is told that has no line any more."""
        end = self.life.end
        error = ConnectionLostError(sent, end.code, end.reason)
        error.__cause__ = end.cause
        return error

    # --- coming and going

    async def open(self, timeout: float | None) -> None:
        """Until the first line is open and the server has said what it is. Raises
        `ConnectionLostError` where it refuses for good, or is not reached in time."""
        self._entered = asyncio.get_running_loop().create_future()
        self.life.start()
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                await self._entered
        except BaseException as error:
            tried, state = self.life.end, self.life.state
            await self.close()
            if isinstance(error, TimeoutError) and limit.expired():
                reason = f"not connected within {timeout:g} s"
                if state == "open":
                    reason = f"$hello was not answered within {timeout:g} s"
                elif tried.cause is not None:
                    reason += f": {tried.reason}"
                raise ConnectionLostError(False, tried.code, reason) from tried.cause
            raise
        finally:
            self._entered = None

    async def ready(self) -> None:
        """Until the connection is open; raises `ConnectionLostError` when it closes for good."""
        if self.life.state == "open":
            return
        if self.life.state == "closed":
            raise self.gone(False)
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._opened)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End it for good; nothing of it is left when this returns."""
        await self.life.stop(code, reason)
        self._end_tasks()
        while rest := self._tasks - {asyncio.current_task()}:
            await asyncio.wait(rest)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with the line, at latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _end_tasks(self) -> None:
        self._answering.clear()
        for task in self._tasks:
            task.cancel()

    # --- what the life of the connection tells

    def ping(self) -> str:
        return f'{{"uuid":"{self.uuid()}","route":"PING"}}'

    def opened(self, line: Line, token: str | None) -> None:
        if self._hello or token is not None:
            self._say_hello(line, token)
        elif self._entered is not None and not self._entered.done():
            self._entered.set_result(None)
        self._go_on()

    def changed(self, state: State, end: End | None) -> None:
        if end is not None:
            self.session = None
            self._leaving.over()
            self._end_tasks()
            for call in self._ledger.lost(state == "closed"):
                call.fail(self.gone(call.sent))
        self.topics.changed(state, end is not None)
        if state == "closed":
            self._closed(end)
        elif state == "open" and self._opened is not None:
            self._opened.set_result(None)
            self._opened = None
        for listener in list(self.on_state.values()):
            safely(listener, state, end)

    def _closed(self, end: End | None) -> None:
        wanted = end is not None and end.cause is None and end.code != ABNORMAL
        for pushes in list(self.pushes):
            pushes.finish(None if wanted else self.gone(False))
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.set_exception(self.gone(False))
            opened.exception()  # perhaps nobody waits any more
        if self._entered is not None and not self._entered.done():
            self._entered.set_exception(self.gone(False))

    # --- who is there

    def _say_hello(self, line: Line, token: str | None) -> None:
        uuid = self.uuid()
        text = hello(uuid, token, self._contract)
        self._ask_now(Own(uuid, "$hello", text, lambda frame: self._introduced(line, frame)))

    def _introduced(self, line: Line, frame: Heard) -> None:
        if frame.status in (Status.UNAUTHORIZED, Status.FORBIDDEN, Status.SERVICE_UNAVAILABLE):
            # The server is about to close: what it closes with says what to do.
            line.blame = error_of("$hello", frame)
            return
        self.session = session = session_of(frame)
        self._most = limit_of(session, "in_flight")
        if session.contract.compatible is False:
            logger.warning("the server's contract is now %s", escaped(session.contract.version))
        if session.heartbeat is not None:
            self.life.heard_at_least(max(SOONEST, session.heartbeat))
        if session.expires_in is not None and self._auth:
            self._spawn(kept(session.expires_in, self._renew))
        if self._entered is not None and not self._entered.done():
            self._entered.set_result(None)

    async def _renew(self) -> Heard:
        return await self.ask("$auth", {"token": await self.life.token()}, None, 30.0)

    # --- what arrives

    def heard(self, message: str | bytes) -> None:
        if self._on_frame is not None:
            safely(self._on_frame, message)
        frame = None if isinstance(message, bytes) else read(message)
        if frame is None:
            logger.warning("received a message that is no frame, of length %d", len(message))
            return
        step = self._ledger.receive(frame)
        kind = type(step)
        if kind is Final or kind is Item:
            self._for_a_call(step)
            if self._ledger.waiting:
                self._go_on()
        elif step is not None:
            self._aside(step)
        if self._leaving.closed:
            self._leaving.look()

    def _for_a_call(self, step: Any) -> None:
        try:
            if type(step) is Final:
                step.call.answer(step.frame)
            else:
                step.call.item(step.frame)
        except SocketError as error:
            step.call.fail(error)

    def _aside(self, step: Any) -> None:
        match step:
            case Progressed(call=call, frame=frame):
                safely(call.progressed, frame)
            case Broken(call=call, why=why, over=over):
                if not over and self.life.line is not None:
                    self.life.line.send(f'{{"uuid":"{call.uuid}","route":"$cancel"}}')
                call.fail(SocketError(f"the stream {call.route} cannot be trusted: {why}"))
            case Pushed(frame=frame):
                safely(self._pushed, frame)
            case Followed(frame=frame):
                # Whoever subscribes by hand finds its events among the pushes.
                if not self.topics.heard(frame):
                    safely(self._pushed, frame)
            case Draining(frame=frame):
                self._leaving.told(frame)
            case Asked(frame=frame):
                self._answer(frame)
            case Dropped(uuid=uuid):
                if (task := self._answering.pop(uuid, None)) is not None:
                    task.cancel()
                    self._leaving.look()
            case Complained(frame=frame):
                logger.warning("the server could not read a frame: %s", escaped(frame.status))

    def _answer(self, frame: Heard) -> None:
        uuid, line = str(frame.uuid), self.life.line
        if line is not None and uuid not in self._answering:
            self._answering[uuid] = task = self._spawn(self._answered(frame, line))
            task.add_done_callback(lambda task: self._answered_by(uuid, task))

    def _answered_by(self, uuid: str, task: "asyncio.Task[None]") -> None:
        # On the next line the same uuid may be another call by now.
        if self._answering.get(uuid) is task:
            del self._answering[uuid]
            self._leaving.look()

    async def _answered(self, frame: Heard, line: Line) -> None:
        # On this line only: to the server, the next one is somebody else.
        line.send(await self.handlers.answer(frame))

    def _pushed(self, frame: Heard) -> None:
        push = Push(frame.route or "", frame.headers or {}, payload_of(frame))
        for pushes in list(self.pushes):
            if pushes.route is None or pushes.route == push.route:
                pushes.put(push)
        for listener in list(self.on_push.values()):
            safely(listener, push)


def safely(function: Callable[..., Any], *arguments: Any) -> None:
    """Call what is not ours: what it raises is logged, and harms nobody else."""
    try:
        function(*arguments)
    except Exception as error:
        failure("a callback of the client failed", error)
