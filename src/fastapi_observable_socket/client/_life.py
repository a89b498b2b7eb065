"""
The life of the client's connection: one line after another, and the waits between them.

It has at most one line, and nothing but `start` and `restart` brings it back from `closed`.
It knows nothing of calls: it says when a line opens, what arrives and what is over.
"""

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from .._log import escaped, logger
from .._status import CloseCode
from ._line import ABNORMAL, End, Heartbeat, Line, end_of_attempt, opened

State = Literal["connecting", "open", "waiting", "closed"]
"""
- `connecting`: on the way, `auth` included
- `open`
- `waiting`: lost or refused, and coming back by itself
- `closed`: for good, unless `reconnect` says otherwise
"""

Auth = Callable[[], str | Awaitable[str | None] | None]

STABLE = 5.0
"""Seconds after which a connection counts as a good one, and failures before it as forgotten."""

SESSION_ENDED = 4401
"""The close code of a session that needs a new token."""

REFUSED = (CloseCode.POLICY, 4403)
"""Close codes after which nobody comes back; 4403 is what servers say that cannot say 1008."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a connection can be told; every default of it is named here."""

    auth: Auth | None = None
    handshake_headers: list[tuple[str, str]] = field(default_factory=list)
    connect_timeout: float = 10.0
    heartbeat: Heartbeat | None = field(default_factory=Heartbeat)
    backoff: tuple[float, float] = (1.0, 30.0)
    max_attempts: int | None = None
    websockets: dict[str, Any] = field(default_factory=dict)


class Events(Protocol):
    """Whom a life tells; none of these may raise."""

    def opened(self, line: Line, token: str | None) -> None:
        """A line is open and nobody else knows yet: what must be written first is written here."""

    def heard(self, message: str | bytes) -> None: ...

    def changed(self, state: State, end: End | None) -> None:
        """The state is so now; with one that ends a line or an attempt, how that ended."""

    def ping(self) -> str: ...


def delay(attempt: int, shortest: float, longest: float) -> float:
    """Half to full: never at once, and never all clients of a restarted server together."""
    full = min(longest, shortest * 2.0 ** min(attempt, 64))
    return full * (1 + random.random()) / 2


def comes_back(end: End, has_auth: bool) -> bool:
    """Whether it is of any use."""
    if end.code == SESSION_ENDED:
        return has_auth
    return not end.final and end.code not in REFUSED


class Life:
    """Opens lines to `url` and tells `events`."""

    def __init__(self, url: str, options: Options, events: Events) -> None:
        self.state: State = "closed"
        self.end = End(1000, "never connected")
        """How the last line or attempt ended."""
        self.line: Line | None = None
        self._url = url
        self._options = options
        self._events = events
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._goodbye = End(1000)

    def start(self) -> None:
        """Want a connection."""
        self._failures = 0
        # Named so that who looks at a loop's tasks knows whose it is.
        self._task = asyncio.create_task(self._run(), name="observable socket")
        self._set("connecting")

    def restart(self, why: str = "reconnect") -> None:
        """Leave the line, if there is one, and open a fresh one at once."""
        self._leave("waiting", End(1000, why))
        self.start()

    async def stop(self, code: int, reason: str) -> None:
        """End it for good, and wait until nothing of it is left."""
        self._leave("closed", End(code, reason))
        while self._leaving:
            await asyncio.wait(self._leaving)

    def _leave(self, state: State, end: End) -> None:
        task, self._task, self.line = self._task, None, None
        if task is not None:
            self._goodbye = end
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            task.cancel()
        if self.state != "closed":
            self._set(state, end)

    def _set(self, state: State, end: End | None = None) -> None:
        self.state = state
        if end is not None:
            self.end = end
        self._events.changed(state, end)

    # --- in its task

    async def _run(self) -> None:
        try:
            while True:
                end = await self._one_line()
                self._failures += 1
                last = self._failures == self._options.max_attempts
                if last or not comes_back(end, self._options.auth is not None):
                    self._set("closed", end)
                    return
                wait = end.retry_after + delay(self._failures - 1, *self._options.backoff)
                self._set("waiting", replace(end, wait=wait))
                await asyncio.sleep(wait)
        finally:
            if self._task is asyncio.current_task():
                self._task = None
                # Whoever ends all tasks of a loop ends this one too: nobody is to wait for it.
                if self.state != "closed":
                    self._set("closed", End(ABNORMAL, "the client's task was ended"))

    async def _one_line(self) -> End:
        if self.state != "connecting":
            self._set("connecting")
        try:
            line, token = await self._attempt()
        except _NoLine as none:
            return none.end
        since = asyncio.get_running_loop().time()
        try:
            self.line = line
            self._watch(line)
            self._events.opened(line, token)
            self._set("open")
            end = await line.read(self._events.heard)
            if asyncio.get_running_loop().time() - since >= STABLE:
                self._failures = 0
            return end
        finally:
            if self.line is line:
                self.line = None
            await line.close(self._goodbye.code, self._goodbye.reason)

    async def _attempt(self) -> tuple[Line, str | None]:
        seconds = self._options.connect_timeout
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                token = await self.token()
                headers = self._options.handshake_headers
                return await opened(self._url, headers, self._options.websockets), token
        except AuthFailed as error:
            logger.warning("%s", escaped(error))
            raise _NoLine(End(ABNORMAL, str(error), error.__cause__)) from None
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                raise _NoLine(End(ABNORMAL, f"not connected within {seconds:g} s", error)) from None
            raise _NoLine(end_of_attempt(error)) from None

    async def token(self) -> str | None:
        """What `auth` says now, None where there is none. Raises `AuthFailed`."""
        if self._options.auth is None:
            return None
        try:
            token = self._options.auth()
            return await token if inspect.isawaitable(token) else token
        except Exception as error:
            raise AuthFailed(f"auth failed: {type(error).__name__}: {error}") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Something that it waited for was cancelled, which is no reason for us to end.
            raise AuthFailed("auth failed: it was cancelled") from error

    def _watch(self, line: Line) -> None:
        if self._options.heartbeat is not None:
            line.watch(self._options.heartbeat, self._events.ping)

    def heard_at_least(self, seconds: float) -> None:
        """The server wants to be heard from as often as that."""
        heartbeat = self._options.heartbeat
        if heartbeat is not None and self.line is not None and seconds < heartbeat.rate:
            self.line.watch(Heartbeat(seconds, heartbeat.timeout), self._events.ping)


class AuthFailed(Exception):
    """There is no token just now; the cause says why."""


class _NoLine(Exception):
    def __init__(self, end: End) -> None:
        super().__init__(end.reason)
        self.end = end
