"""
One user, as whoever wants to reach them holds it: to push to, to ask and to send away.

Where their sockets are is not known here. Letters go to all who hold the user, and what a
question brought comes back.
"""

import asyncio
import math
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, overload

import msgspec

from ._declared import Declarations, Said
from ._errors import (
    CallsNotTakenError,
    ConnectionLostError,
    NotConnected,
    ResponseError,
    SocketError,
    SocketTimeoutError,
)
from ._handle import checked_name, fitting, name_of, pushed
from ._hub import PATIENCE, Hub
from ._people import Closing, Failed, Forget, Pushed, Question, Told, answers, mailbox
from ._status import CloseCode
from ._wire import Header, encode
from .backends._backend import Message, Position, Unavailable, Uncertain

T = TypeVar("T")


class Post:
    """Where one hub's questions leave, and their answers arrive."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: dict[str, Asked] = {}

    async def send(
        self, user: str, letter: msgspec.Struct, timeout: float = PATIENCE
    ) -> int | None:
        """How many workers it has reached; None where the broker does not tell. Raises what the
        hub raises."""
        topic = mailbox(user)
        await self._hub.settled(topic)
        receipt = await self._hub.publish(topic, msgspec.json.encode(letter), None, timeout=timeout)
        return receipt.receivers

    async def ask(self, user: str, question: Question, asked: "Asked") -> None:
        """Returns when all who hold the user were told; `asked` is brought what they answer."""
        self._hub.begin()
        question.back = f"@w:{self._hub.id}"
        self._waiting[question.id] = asked
        await self._hub.attach(question.back, self)
        asked.reached(await self.send(user, question, min(PATIENCE, question.seconds)))

    def forget(self, user: str, id: str, asked: "Asked") -> None:
        """Nobody waits any more; who still asks is told so."""
        if self._waiting.pop(id, None) is not None and asked.is_open and self._hub.up:
            self._hub.spawn(self._forget(user, id))

    async def _forget(self, user: str, id: str) -> None:
        with suppress(Unavailable, Uncertain):
            await self.send(user, Forget(id))

    # --- told by the hub

    def gap(self, position: Position) -> None:
        """Never: nothing of it is kept."""

    def event(self, message: Message) -> None:
        answer = answers.decode(message.data)
        asked = self._waiting.get(answer.id)
        if asked is not None:
            asked.hear(answer)


class Asked:
    """A question under way: `answer` is the first good one, or the failure of all."""

    def __init__(self, question: Question, posts: int) -> None:
        self.answer: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._question = question
        self._posts = posts
        self._workers: int | None = 0
        self._heard = 0
        self._worst: Failed | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody may still be asking."""
        return self._workers is None or self._heard < self._workers or self._posts > 0

    def reached(self, workers: int | None) -> None:
        known = None if workers is None or self._workers is None else self._workers + workers
        self._posts -= 1
        self._workers = known
        self._look()

    def hear(self, answer: Told | Failed) -> None:
        self._heard += 1
        if isinstance(answer, Told):
            if not self.answer.done():
                self.answer.set_result(answer.payload)
            return
        if self._worst is None or _rank(answer) >= _rank(self._worst):
            self._worst = answer
        self._look()

    def _look(self) -> None:
        if not self.is_open and not self.answer.done():
            self.answer.set_exception(_error(self._question, self._worst))


def _rank(failed: Failed) -> int:
    """Of several failures the last is told; but one who was asked counts more than one who
    cannot be, and that more than nobody."""
    return {"nobody": 0, "not_taken": 1}.get(failed.why, 2)


def _error(question: Question, failed: Failed | None) -> Exception:
    route = question.route
    match failed:
        case None | Failed(why="nobody"):
            return NotConnected()
        case Failed(why="not_taken"):
            return CallsNotTakenError()
        case Failed(why="answered"):
            payload = msgspec.json.decode(failed.payload)
            return ResponseError(route, failed.status, failed.headers, payload)
        case Failed(why="late"):
            return SocketTimeoutError(route, question.seconds, True)
        case Failed(why="lost"):
            return ConnectionLostError(failed.sent, failed.status, failed.reason)
    return SocketError(f"{route} could not be asked: {failed.why} {failed.reason}".rstrip())


class User:
    """One user, wherever their sockets are: `router.user(user_id)`.

    All of it goes through the router's backend, and reaches the sockets of every process that
    shares it. Raises `backends.Unavailable` where the broker is away: nobody was told;
    `backends.Uncertain` where it did not say whether anybody was. Nothing is repeated.
    """

    def __init__(
        self,
        posts: Sequence[Post],
        user_id: Any,
        max_bytes: int,
        declared: Callable[[Said, str], Declarations],
    ) -> None:
        self.id = name_of(user_id)
        self._declared = declared
        self._posts = posts
        self._max_bytes = max_bytes

    def __repr__(self) -> str:
        return f"<User {self.id}>"

    async def push(
        self, route: str, payload: Any = None, headers: Header | None = None
    ) -> int | None:
        """Send a message that wants no answer to all sockets of the user.

        Returns how many processes were told: 0, the user is connected nowhere; None, the
        broker does not tell. Waits for the broker, and never for a peer. Raises as
        `Connection.push` does: what is declared is held to its type.
        """
        declared = self._declared("push", route)
        frame = pushed(route, payload, headers, self._max_bytes, declared)
        return await self._send(Pushed(msgspec.Raw(frame.encode())))

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> int | None:
        """Close all sockets of the user. Returns what `push` does, without waiting for the end.

        After 1008 clients stay away, after 1012 they come back. Raises `ValueError` for what is
        no close code.
        """
        if isinstance(code, bool) or not isinstance(code, int) or not 1000 <= code < 5000:
            raise ValueError(f"a close code is a number from 1000 to 4999, not {code!r}")
        return await self._send(Closing(int(code), reason))

    async def _send(self, letter: msgspec.Struct) -> int | None:
        reached = [await post.send(self.id, letter) for post in self._posts]
        known = [workers for workers in reached if workers is not None]
        return sum(known) if len(known) == len(reached) else None

    @overload
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        headers: Header | None = None,
        timeout: float = 30.0,
    ) -> Any: ...
    @overload
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        headers: Header | None = None,
        timeout: float = 30.0,
        result: type[T],
    ) -> T: ...
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        headers: Header | None = None,
        timeout: float = 30.0,
        result: Any = None,
    ) -> Any:
        """Ask all sockets of the user that take calls: the payload of the first 2xx. The others
        are told that nobody waits any more.

        With `result` the payload is validated by that type, else by the one that `router.calls`
        declared, which holds the question, too. `timeout` is in seconds, and holds whatever
        happens to the workers. Each socket is asked once at most.

        Raises `NotConnected`, at once, where the user has no socket anywhere; where none answers
        with a 2xx, the error of the last: `ResponseError`, `ConnectionLostError`,
        `SocketTimeoutError`, `CallsNotTakenError` where none takes calls; `MisfitError`,
        `TypeError` for a question that is not as declared, `Unserialisable`, `ResponseTooLarge`,
        and `ValueError` for a reserved name.
        """
        checked_name(route)
        if timeout is None or not 0 <= timeout < math.inf:
            raise ValueError(f"a question to a user has a time, in seconds, not {timeout!r}")
        declared = self._declared("call", route)
        question = Question(
            secrets.token_urlsafe(12),
            "",
            route,
            self._raw(headers or {}),
            self._raw(declared.called(route, payload)),
            timeout,
        )
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                answer = await self._answer(question)
        except TimeoutError:
            if not limit.expired():
                raise
            raise SocketTimeoutError(route, timeout, True) from None
        return declared.answered(route, msgspec.json.decode(answer), result)

    def _raw(self, value: Any) -> msgspec.Raw:
        return msgspec.Raw(fitting(encode(value).decode(), self._max_bytes).encode())

    async def _answer(self, question: Question) -> msgspec.Raw:
        asked = Asked(question, len(self._posts))
        try:
            for post in self._posts:
                await post.ask(self.id, question, asked)
            return await asked.answer
        finally:
            for post in self._posts:
                post.forget(self.id, question.id, asked)
