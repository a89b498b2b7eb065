"""
Users, on whichever worker their sockets are.

A worker listens at the broker for each user it holds. What is for a user goes through the
broker to all who do, this worker included: one way, and one order. What a question brought
goes back to the worker that asked. Nothing of it is kept.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ._errors import ConnectionLostError, ResponseError, SocketTimeoutError
from ._handle import Connection, Connections
from ._hub import Hub
from ._log import failure
from ._wire import encode
from .backends._backend import Message, Position, Unavailable, Uncertain

NULL = msgspec.Raw(b"null")


class Pushed(msgspec.Struct, tag_field="do", tag="push"):
    """A frame, for all sockets of the user."""

    frame: msgspec.Raw


class Closing(msgspec.Struct, tag_field="do", tag="close"):
    code: int
    reason: str


class Question(msgspec.Struct, tag_field="do", tag="ask"):
    """For all sockets of the user that take calls; answered to `back`."""

    id: str
    back: str
    route: str
    headers: msgspec.Raw
    payload: msgspec.Raw
    seconds: float


class Forget(msgspec.Struct, tag_field="do", tag="forget"):
    """Nobody waits for the answer to that question any more."""

    id: str


class Told(msgspec.Struct, tag_field="do", tag="told"):
    """The first good answer that a worker got."""

    id: str
    payload: msgspec.Raw


class Failed(msgspec.Struct, tag_field="do", tag="failed"):
    """All that a worker asked have failed: how the last one did."""

    id: str
    why: str
    status: int = 0
    headers: dict[str, Any] = {}
    payload: msgspec.Raw = NULL
    sent: bool = True
    reason: str = ""


_letters = msgspec.json.Decoder(Pushed | Closing | Question | Forget)
answers = msgspec.json.Decoder(Told | Failed)


def mailbox(user: str) -> str:
    """Where the workers listen that hold a user."""
    return f"@u:{user}"


# --- who is held here


class People:
    """The users of one router in this process: it listens for them, from the first socket of each
    to the last, and does what it is told."""

    def __init__(self, hub: Hub, connections: Connections) -> None:
        self._hub = hub
        self._connections = connections
        self._users: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: dict[str, asyncio.Task[None]] = {}
        connections.came = self._came
        connections.went = self._went
        hub.on_up.append(self._watch)
        hub.unheard = self._unheard

    def _came(self, user: str) -> None:
        self._users[mailbox(user)] = user
        self._hub.watch(mailbox(user), self)

    def _went(self, user: str) -> None:
        self._hub.detach(mailbox(user), self)
        del self._users[mailbox(user)]

    def _watch(self) -> None:
        # Also what was watched before: the hub may have been closed and begun anew.
        for topic in self._users:
            self._hub.watch(topic, self)

    async def close(self) -> None:
        """Nobody is asked any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- told by the hub

    def gap(self, position: Position) -> None:
        """Never: nothing of it is kept."""

    def event(self, message: Message) -> None:
        user = self._users.get(message.topic)
        if user is None:
            return
        sockets = self._connections.here(user)
        match _letters.decode(message.data):
            case Pushed(frame):
                text = bytes(frame).decode()
                for connection in sockets:
                    connection.push_text(text)
            case Closing(code, reason):
                for connection in sockets:
                    self._spawn(connection.close(code, reason))
            case Question() as question:
                self._ask(question, sockets)
            case Forget(id) if id in self._asking:
                self._asking[id].cancel()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _ask(self, question: Question, sockets: Sequence[Connection]) -> None:
        task = self._asking[question.id] = self._spawn(self._answer(question, sockets))
        # Not in a `finally` of its own: one that is cancelled at once runs none of it.
        task.add_done_callback(lambda _: self._asking.pop(question.id))

    async def _answer(self, question: Question, sockets: Sequence[Connection]) -> None:
        try:
            answer = await _first_answer(question, sockets)
            data = msgspec.json.encode(answer)
            # Once: whoever asked has a deadline, and may have gone.
            with suppress(Unavailable, Uncertain):
                await self._hub.publish(question.back, data, None)
        except Exception as error:
            failure("a question to a user failed", error, route=question.route)

    def _unheard(self, message: Message) -> None:
        """Something came for one who has just left: who asked is not to wait for nothing."""
        if message.topic.startswith(mailbox("")):
            letter = _letters.decode(message.data)
            if isinstance(letter, Question):
                self._ask(letter, ())


async def _first_answer(question: Question, sockets: Sequence[Connection]) -> Told | Failed:
    """What the first socket answers that does; else how the last of them failed."""
    open_ones = [c for c in sockets if c.closed is None]
    asked = [c for c in open_ones if c.takes_calls]
    if not asked:
        return Failed(question.id, "not_taken" if open_ones else "nobody")
    calls = [asyncio.ensure_future(_called(c, question)) for c in asked]
    answer: Told | Failed = Failed(question.id, "nobody")
    try:
        for done in asyncio.as_completed(calls):
            answer = await done
            if isinstance(answer, Told):
                break
        return answer
    finally:
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


async def _called(connection: Connection, question: Question) -> Told | Failed:
    id, route, seconds = question.id, question.route, question.seconds
    try:
        headers = msgspec.json.decode(question.headers)
        # Held to what is declared where it was asked, and once.
        payload = await connection.ask(route, question.payload, headers=headers, timeout=seconds)
        return Told(id, msgspec.Raw(encode(payload)))
    except ResponseError as error:
        payload = msgspec.Raw(encode(error.payload))
        return Failed(id, "answered", error.status, error.headers, payload)
    except ConnectionLostError as error:
        return Failed(id, "lost", error.close_code, sent=error.sent, reason=error.reason)
    except SocketTimeoutError:
        return Failed(id, "late")
    except Exception as error:
        failure("a question to a user failed", error, route=route)
        return Failed(id, "broken", reason=type(error).__name__)
