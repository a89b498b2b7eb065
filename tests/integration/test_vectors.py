"""The conversations of `vectors/`, replayed against the router: in process, and by real sockets."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from fastapi_observable_socket import (
    CallsNotTakenError,
    Connection,
    Progress,
    Reply,
    ResponseError,
    SocketRouter,
    SocketTimeoutError,
)
from fastapi_observable_socket.backends import MemoryBackend
from fastapi_observable_socket.testing import SocketClosed, SocketTestClient

from .peer import Closed, Peer
from .serving import Server, eventually

VECTORS = sorted((Path(__file__).parents[2] / "vectors").glob("*.json"))
CONVERSATIONS = [
    pytest.param(conversation["steps"], id=f"{file.stem}: {conversation['name']}")
    for file in VECTORS
    for conversation in json.loads(file.read_text())["conversations"]
]
PLACEHOLDER = re.compile("<[a-z]+>")


class Forgetful(MemoryBackend):
    """A broker that may lose what it should keep."""

    async def start(self, on_message, on_state):
        self._on_state = on_state
        await super().start(on_message, on_state)

    def lose(self, topic: str) -> None:
        """One event is stored and told nobody; the broker is gone and comes back without it."""
        history = self._histories[topic]
        history.offset += 1
        history.events.clear()
        self._on_state(False)
        self._on_state(True)


def server() -> tuple[SocketRouter, dict[str, asyncio.Event]]:
    backend = Forgetful()
    router = SocketRouter(backend=backend)
    held: dict[str, asyncio.Event] = {}
    add_topics(router, backend)

    @router.route("echo")
    async def echo(payload):
        return payload

    @router.route("headers")
    async def headers(headers):
        return headers

    @router.route("math/sum")
    async def add(payload: list[int]):
        return {"sum": sum(payload)}

    @router.route("teapot")
    async def teapot():
        return Reply({"message": "short and stout", "code": "teapot"}, 418, {"x-pot": "tea"})

    @router.route("checked", {"data_check": lambda message: message.payload["ok"]})
    async def checked(payload):
        return payload

    @router.route("secret", {"access": lambda _, message: message.headers.get("key") == "open"})
    async def secret(payload):
        return payload

    @router.route("fail")
    async def fail():
        raise LookupError("a secret of the server's")

    @router.route("nan")
    async def nan():
        return {"deep": [float("nan"), None]}

    @router.route("hold")
    async def hold(payload: str):
        await held.setdefault(payload, asyncio.Event()).wait()
        return payload

    @router.route("count")
    async def count(payload: int) -> AsyncIterator[int]:
        for n in range(payload):
            yield n

    @router.route("letters")
    def letters(payload: str) -> Generator[str, None, dict[str, int]]:
        yield from payload
        return {"letters": len(payload)}

    @router.route("breaks")
    async def breaks(payload: int) -> AsyncIterator[int]:
        for n in range(payload):
            yield n
        raise LookupError("a secret of the server's")

    @router.route("work")
    async def work(payload: int, progress: Progress):
        for n in range(payload):
            await progress({"done": n + 1})
        return "done"

    @router.route("push")
    async def push(payload, connection: Connection):
        await connection.push("news", payload)
        return "pushed"

    async def asked(connection, payload, timeout):
        try:
            return await connection.call("confirm", payload, timeout=timeout)
        except CallsNotTakenError:
            return "not asked"
        except SocketTimeoutError:
            return "no answer"
        except ResponseError as error:
            return Reply({"status": error.status, "code": error.code})

    @router.route("ask")
    async def ask(payload, connection: Connection):
        return await asked(connection, payload, 60)

    @router.route("ask-briefly")
    async def ask_briefly(payload, connection: Connection):
        return await asked(connection, payload, 0.02)

    return router, held


def add_topics(router: SocketRouter, backend: Forgetful) -> None:
    notes = ["buy tea"]

    @router.topic("news", publish=True)
    async def news() -> bool:
        return True

    @router.topic("rooms/{room}", publish=True)
    async def rooms(room: int) -> bool:
        return room != 13

    @router.topic("short", history=2)
    async def short() -> bool:
        return True

    @router.topic("numbers", event=int, publish=True)
    async def numbers() -> bool:
        return True

    @router.topic("cursors", keep=False, publish=True)
    async def cursors() -> bool:
        return True

    @router.topic("board", event=str)
    async def board() -> dict[str, list[str]]:
        return {"notes": notes}

    @router.route("tell")
    async def tell(payload):
        position = await router.publish(payload["topic"], payload["payload"])
        return position and position._asdict()

    @router.route("lose")
    async def lose(payload):
        backend.lose(payload)
        return "lost"


def fits(expected, frame, known):
    """Whether `frame` is what is expected, where "*" stands for any text, number or list, and
    "<name>" for a text that is `known` from its first time on."""
    if expected == "*":
        return isinstance(frame, str | int | list)
    if isinstance(expected, str) and PLACEHOLDER.fullmatch(expected):
        return isinstance(frame, str) and known.setdefault(expected, frame) == frame
    if isinstance(expected, dict) and isinstance(frame, dict):
        return expected.keys() == frame.keys() and all(
            fits(expected[name], frame[name], known) for name in expected
        )
    if isinstance(expected, list) and isinstance(frame, list):
        pairs = zip(expected, frame, strict=False)
        return len(expected) == len(frame) and all(fits(*pair, known) for pair in pairs)
    return type(expected) is type(frame) and expected == frame


def filled(frame, known):
    """What a client sends, with what it knows in the place of names."""
    return PLACEHOLDER.sub(lambda found: known.get(found[0], found[0]), json.dumps(frame))


def test_there_are_conversations_to_replay():
    assert len(CONVERSATIONS) > 80


async def conversation(
    steps: list[dict[str, Any]],
    client: Any,
    release: Callable[[str], None],
    drain: Callable[[float], None],
) -> None:
    """Say what the client says, and hold the server to its part."""
    known: dict[str, str] = {}
    for step in steps:
        match step:
            case {"client": frame}:
                await client.send_raw(filled(frame, known))
            case {"client_text": text}:
                await client.send_raw(text)
            case {"server": expected}:
                frame = await client.receive()
                assert fits(expected, frame, known), frame
            case {"release": name}:
                release(name)
            case {"close": code}:
                with pytest.raises(SocketClosed) as closed:
                    await client.receive()
                assert closed.value.code == code
                return
            case {"drain": {"within_ms": within_ms, "told": told}}:
                drain(within_ms / 1000)
                if told:
                    frame = await client.receive()
                    left = frame["payload"]["within_ms"]
                    assert frame == push("$drain", "#", {"within_ms": left})
                    assert within_ms - 1000 < left <= within_ms
            case other:
                pytest.fail(f"unknown step {other}")
    # Nothing was sent that the conversation does not name.
    await client.send_raw('{"uuid": "last", "route": "PING"}')
    assert await client.receive() == push("PONG", "last")


def push(route: str, uuid: str, payload: Any = None) -> dict[str, Any]:
    return {"uuid": uuid, "route": route, "headers": None, "payload": payload}


@pytest.mark.parametrize("steps", CONVERSATIONS)
def test_the_router_holds_its_part_of_the_conversation(steps, run):
    router, held = server()
    ending: list[asyncio.Task[None]] = []

    async def talk():
        async with SocketTestClient(router) as client:
            await conversation(
                steps,
                client,
                lambda name: held.setdefault(name, asyncio.Event()).set(),
                lambda within: ending.append(asyncio.create_task(router.drain(within))),
            )
        # Whoever lets sockets go is done with that once they are gone.
        await asyncio.gather(*ending)

    run(talk())


# --- by a real socket


@pytest.fixture(scope="session", params=["websockets-sansio", "lane"])
def ws(request: pytest.FixtureRequest) -> str:
    return request.param


class ByHand:
    """What is asked of a `SocketTestClient`, of a real socket. It blocks: the server does not wait
    for this thread."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def send_raw(self, text: str) -> None:
        self._peer.send(text)

    async def receive(self) -> Any:
        try:
            return self._peer.receive()
        except Closed as closed:
            raise SocketClosed(closed.code, closed.reason) from None


@pytest.mark.parametrize("steps", CONVERSATIONS)
def test_it_does_so_by_a_real_socket(steps, serve: Callable[[SocketRouter], Server]):
    router, held = server()
    served = serve(router)
    ending: list[asyncio.Task[None]] = []

    def release(name: str) -> None:
        served.call(lambda: held.setdefault(name, asyncio.Event()).set())

    def drain(within: float) -> None:
        served.call(lambda: ending.append(asyncio.create_task(router.drain(within))))

    with served.connect() as peer:
        asyncio.run(conversation(steps, ByHand(peer), release, drain))
    eventually(lambda: all(task.done() for task in ending))
    served.assert_nothing_left()
