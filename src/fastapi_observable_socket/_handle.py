"""
What an application holds of an open socket: a peer to push to, to call and to send away.

Handlers get the handle of their own socket; others find theirs in the router's
`connections`. Frames are `_wire`'s, the way out is the outbox.
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar, overload

from starlette.websockets import WebSocket

from ._declared import Declarations, Said
from ._errors import (
    CallsNotTakenError,
    ConnectionLostError,
    ResponseError,
    ResponseTooLarge,
    SocketTimeoutError,
)
from ._outbox import Outbox
from ._status import CloseCode
from ._wire import (
    MAX_ROUTE,
    Header,
    Request,
    Response,
    cancellation,
    encode_request,
    is_reserved,
    push,
)

T = TypeVar("T")

PATIENT_WITH = 64 * 1024
"""Characters that may wait for a peer before who pushes to it is made to wait."""


class Connection:
    """One open socket, for handlers that take a `connection: Connection`.

    `id` is unique, and told to the client as its `session`. `user` is what `authenticate`
    returned (or `scope["user"]` of a middleware), None for nobody; `user_id` is its
    identity as text, by which `router.connections` finds it. To be used on the event loop.
    """

    __slots__ = (
        "_close",
        "_declared",
        "_loop",
        "_max_bytes",
        "_numbers",
        "_outbox",
        "_pending",
        "_waits",
        "closed",
        "heeds_drain",
        "id",
        "takes_calls",
        "user_id",
        "ws",
    )

    def __init__(
        self,
        ws: WebSocket,
        outbox: Outbox,
        close: Callable[[int, str], Coroutine[Any, Any, None]],
        waits: Callable[[bool], None],
        max_bytes: int,
        declared: Declarations,
    ) -> None:
        self._max_bytes = max_bytes
        self._declared = declared
        self.ws = ws
        self.id = secrets.token_urlsafe(12)
        self.user_id: str | None = None
        self.takes_calls = False
        """Whether the client said that it answers calls."""
        self.heeds_drain = False
        """Whether the client said that it leaves by itself, when it is asked to."""
        self.closed: tuple[int, str] | None = None
        """Close code and reason, once it is over."""
        self._outbox = outbox
        self._close = close
        self._waits = waits
        self._loop = asyncio.get_running_loop()
        self._numbers: Iterator[int] | None = None
        self._pending: dict[str, asyncio.Future[Response]] = {}

    def __repr__(self) -> str:
        return f"<Connection {self.id} of {self.user_id or 'nobody'}>"

    @property
    def user(self) -> Any:
        return self.ws.scope.get("user")

    async def push(self, route: str, payload: Any = None, headers: Header | None = None) -> None:
        """Send a message that wants no answer.

        Returns when it is on its way or in line, and waits while the peer is far behind. On a
        socket that is closed nothing happens. What `router.pushes` declared is serialised by its
        type. Raises `TypeError` for a payload that does not fit it, `Unserialisable`,
        `ResponseTooLarge` for more than may wait for a peer, and `ValueError` for a reserved name.
        """
        self._push(pushed(route, payload, headers, self._max_bytes, self._declared))
        if self._outbox.held > PATIENT_WITH:
            await self._outbox.free()

    def push_text(self, text: str) -> None:
        """Push a frame that is text already, from the connection's own loop."""
        self._outbox.push(text)

    def _push(self, text: str) -> None:
        if _running_loop() is self._loop:
            self._outbox.push(text)
            return
        try:
            self._loop.call_soon_threadsafe(self._outbox.push, text)
        except RuntimeError:
            pass  # the loop is closed, and its sockets with it

    @overload
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        headers: Header | None = None,
        timeout: float | None = 30.0,
    ) -> Any: ...
    @overload
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        headers: Header | None = None,
        timeout: float | None = 30.0,
        result: type[T],
    ) -> T: ...
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        headers: Header | None = None,
        timeout: float | None = 30.0,
        result: Any = None,
    ) -> Any:
        """Ask the client, and wait for its answer: the payload of a 2xx.

        With `result` the payload is validated by that type, else by the one that `router.calls`
        declared. `timeout` is in seconds, None for no limit. The question is asked once and
        never again by itself. Where nobody waits for the answer any more (a time-out, a
        cancellation), the client is told so.

        Raises `CallsNotTakenError`, `ConnectionLostError`, `SocketTimeoutError`,
        `ResponseError` for any other status, `MisfitError` for a payload that is no `result`,
        `TypeError` for a question that is not as declared, `Unserialisable`, `ResponseTooLarge`,
        and `ValueError` for a reserved name.
        """
        checked_name(route)
        payload = self._declared.called(route, payload)
        answer = await self.ask(route, payload, headers=headers, timeout=timeout)
        return self._declared.answered(route, answer, result)

    async def ask(
        self, route: str, payload: Any, *, headers: Header | None, timeout: float | None
    ) -> Any:
        """As `call`, with payload and answer as they are."""
        if self.closed is not None:
            raise ConnectionLostError(False, *self.closed)
        if not self.takes_calls:
            raise CallsNotTakenError
        response = await self._answer(route, payload, headers or {}, timeout)
        if not response.ok:
            raise ResponseError(route, response.status, response.headers or {}, response.payload)
        return response.payload

    async def _answer(
        self, route: str, payload: Any, headers: Header, timeout: float | None
    ) -> Response:
        self._numbers = self._numbers or itertools.count(1)
        uuid = f"#{next(self._numbers)}"
        text = fitting(encode_request(Request(uuid, route, headers, payload)), self._max_bytes)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._pending[uuid] = answer
        self._waits(True)
        limit = asyncio.timeout(timeout)
        try:
            self._outbox.push(text)
            async with limit:
                return await answer
        except TimeoutError:
            if not limit.expired():
                raise
            raise SocketTimeoutError(route, timeout or 0, True) from None
        finally:
            del self._pending[uuid]
            self._waits(False)
            if self.closed is None and (answer.cancelled() or not answer.done()):
                self._outbox.push(cancellation(uuid))

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the socket; what runs on it is cancelled. Twice is harmless."""
        await self._close(code, reason)

    def answered(self, response: Response) -> None:
        """The client's answer. One that nobody waits for is ignored."""
        answer = self._pending.get(str(response.uuid))
        if answer is not None and not answer.done():
            answer.set_result(response)

    def over(self, code: int, reason: str) -> None:
        """Nothing comes and nothing goes any more."""
        if self.closed is None:
            self.closed = (code, reason)
            for answer in self._pending.values():
                if not answer.done():
                    answer.set_exception(ConnectionLostError(True, code, reason))


class Connections:
    """The open sockets of a router in this process, and of the routers that include it."""

    def __init__(self, max_bytes: int, declared: Declarations) -> None:
        self.declared = declared
        self._max_bytes = max_bytes
        self._open: dict[str, Connection] = {}
        self._users: dict[str, dict[Connection, None]] = {}
        self._names: dict[Connection, str] = {}
        self._around: list[Connections] = []
        self.came: Callable[[str], None] = _nothing
        """Told of a user with the first socket."""
        self.went: Callable[[str], None] = _nothing
        """Told of a user when the last socket is gone."""
        self.renamed: Callable[[Connection], None] = _nothing
        """Told of a socket whose user has become known."""

    def __iter__(self) -> Iterator[Connection]:
        """Over those that are open now; they may come and go meanwhile."""
        return iter([c for each in self._all() for c in list(each._open.values())])

    def __len__(self) -> int:
        return sum(len(each._open) for each in self._all())

    def get(self, id: str) -> Connection | None:
        """The one with this `id`."""
        return next((each._open[id] for each in self._all() if id in each._open), None)

    def of(self, user_id: Any) -> list[Connection]:
        """All of one user: `str(user_id)` is what their `user_id` is compared with."""
        name = name_of(user_id)
        return [c for each in self._all() for c in each.here(name)]

    def here(self, name: str) -> list[Connection]:
        """Those of one user that are open in this router itself."""
        return list(self._users.get(name, ()))

    def push(
        self, route: str, payload: Any = None, headers: Header | None = None, *, user_id: Any = None
    ) -> int:
        """Push to all, or to all of one user; says to how many. Encoded once, waits for nobody:
        a peer that falls too far behind is closed with 4008. From any thread.

        Raises as `Connection.push` does.
        """
        text = pushed(route, payload, headers, self._max_bytes, self.declared_for("push", route))
        peers = list(self) if user_id is None else self.of(user_id)
        for connection in peers:
            connection._push(text)
        return len(peers)

    def add(self, connection: Connection) -> None:
        """Under the name that its user has now."""
        is_new = connection.id not in self._open
        self._open[connection.id] = connection
        name, before = connection.user_id, self._names.get(connection)
        if name == before:
            return
        if name is not None:
            self._names[connection] = name
            self._users.setdefault(name, {})[connection] = None
            if len(self._users[name]) == 1:
                self.came(name)
        if before is not None:
            self._leave(connection, before)
        if not is_new:
            self.renamed(connection)

    def remove(self, connection: Connection) -> None:
        """Twice is harmless."""
        self._open.pop(connection.id, None)
        name = self._names.pop(connection, None)
        if name is not None:
            self._leave(connection, name)

    def _leave(self, connection: Connection, name: str) -> None:
        del self._users[name][connection]
        if not self._users[name]:
            del self._users[name]
            self.went(name)

    def declared_for(self, kind: Said, route: str) -> Declarations:
        """Those that know this name: of this router, or of one that includes it."""
        known = (each.declared for each in self._all() if each.declared.knows(kind, route))
        return next(known, self.declared)

    def within(self, around: "Connections") -> None:
        """What is open in `around` is open here too."""
        self._around.append(around)

    def _all(self) -> "dict[Connections, None]":
        found: dict[Connections, None] = {self: None}
        for each in self._around:
            found |= each._all()
        return found


def pushed(
    route: str, payload: Any, headers: Header | None, limit: int, declared: Declarations
) -> str:
    """The text of a push. Raises `TypeError`, `Unserialisable`, `ResponseTooLarge` and
    `ValueError`."""
    checked_name(route)
    return fitting(push(route, declared.pushed(route, payload), headers), limit)


def fitting(text: str, limit: int) -> str:
    """`text`, unless no peer could ever take it in time. Raises `ResponseTooLarge`."""
    if len(text) > limit:
        raise ResponseTooLarge(f"the message is larger than {limit} characters")
    return text


def checked_name(name: str) -> None:
    """Raises `ValueError` for what cannot be the name of a route."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_ROUTE:
        raise ValueError(f"a route's name has 1 to {MAX_ROUTE} characters, not {name!r}")
    if is_reserved(name):
        raise ValueError(f"route {name!r} is reserved for the protocol")


def name_of(user_id: Any) -> str:
    """The text by which a user is told from others. What UTF-8 cannot hold is escaped."""
    return str(user_id).encode(errors="backslashreplace").decode()


def _nothing(_: Any) -> None: ...


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
