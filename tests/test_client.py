"""The client against servers that know no extensions, misbehave, refuse or die."""

import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fastapi_observable_socket.client import (
    ConnectionLostError,
    Contract,
    End,
    QueueFullError,
    ResponseError,
    Session,
    Socket,
    SocketError,
    SocketTimeoutError,
    Unserialisable,
    connect,
)

Run = Callable[..., Any]
SOON: dict[str, Any] = {"backoff": (0.01, 0.02)}


class Peer:
    """A server whose every line is one `talk`. It knows no extension but what `talk` does."""

    def __init__(self, talk: Callable[["Peer", ServerConnection], Awaitable[None]]) -> None:
        self._talk = talk
        self.frames: list[dict[str, Any]] = []
        self.lines: list[ServerConnection] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []
        """What the next handshakes are answered."""
        self.attempts: list[float] = []
        self.knocked = asyncio.Event()
        self.url = ""
        self._news = asyncio.Condition()

    async def serve(self, ws: ServerConnection) -> None:
        self.lines.append(ws)
        try:
            await self._talk(self, ws)
        except ConnectionClosed:
            pass

    async def receive(self, ws: ServerConnection) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await ws.recv())
        self.frames.append(frame)
        async with self._news:
            self._news.notify_all()
        return frame

    async def until(self, fact: Callable[[], Any]) -> None:
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(fact), 10)

    def routes(self) -> list[str]:
        return [frame.get("route", "an answer") for frame in self.frames]

    def gate(self, ws: ServerConnection, request: Any) -> Any:
        self.attempts.append(asyncio.get_running_loop().time())
        self.knocked.set()
        if not self.refusals:
            return None
        status, headers = self.refusals.pop(0)
        response = ws.respond(HTTPStatus(status), "")
        for name, value in headers.items():
            response.headers[name] = value
        return response


async def say(ws: ServerConnection, **members: Any) -> None:
    await ws.send(json.dumps(members))


async def base(peer: Peer, ws: ServerConnection) -> None:
    """The base, and nothing else."""
    while True:
        frame = await peer.receive(ws)
        uuid, route, payload = frame["uuid"], frame.get("route"), frame.get("payload")
        if route == "PING":
            await say(ws, uuid=uuid, route="PONG", headers=None, payload=None)
        elif route == "echo":
            await say(ws, uuid=uuid, status=200, headers={"h": 1}, payload=payload)
        elif route == "close":
            await ws.close(payload, "so be it")
        elif route == "die":
            ws.transport.abort()
        elif route == "raw":
            for text in payload:
                await ws.send(text if isinstance(text, str) else bytes(text))
        elif route not in ("silence", None):
            await say(ws, uuid=uuid, status=404, headers={}, payload={"code": "not_found"})


Extra = Callable[[Peer, ServerConnection, dict[str, Any]], Awaitable[None]]


def knows(**routes: Extra) -> Callable[[Peer, ServerConnection], Awaitable[None]]:
    """A server that says `$hello` back, and knows these routes; `_x` stands for `$x`."""

    async def talk(peer: Peer, ws: ServerConnection) -> None:
        while True:
            frame = await peer.receive(ws)
            route = frame.get("route", "").replace("$", "_")
            if route in routes:
                await routes[route](peer, ws, frame)
            elif route == "_hello":
                payload = {"protocol": 1, "features": ["stream"], "session": "s"}
                await say(ws, uuid=frame["uuid"], status=200, headers={}, payload=payload)
            elif route == "echo":
                await say(ws, uuid=frame["uuid"], status=200, payload=frame.get("payload"))

    return talk


@asynccontextmanager
async def serving(
    talk: Callable[[Peer, ServerConnection], Awaitable[None]] = base,
) -> AsyncIterator[Peer]:
    peer = Peer(talk)
    async with serve(
        peer.serve, "127.0.0.1", 0, process_request=peer.gate, close_timeout=1
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        peer.url = f"ws://127.0.0.1:{port}/ws"
        yield peer


@asynccontextmanager
async def talking(
    talk: Callable[[Peer, ServerConnection], Awaitable[None]] = base, **options: Any
) -> AsyncIterator[tuple[Socket, Peer]]:
    async with serving(talk) as peer, connect(peer.url, **{**SOON, **options}) as socket:
        yield socket, peer


async def until_state(socket: Socket, *states: str) -> End | None:
    changed: asyncio.Future[End | None] = asyncio.get_running_loop().create_future()

    def look(state: str, end: End | None) -> None:
        if state in states and not changed.done():
            changed.set_result(end)

    undo = socket.on_state(look)
    try:
        if socket.state in states:
            return None
        return await asyncio.wait_for(changed, 10)
    finally:
        undo()


async def gather(stream: AsyncIterator[Any], into: list[Any]) -> None:
    async for item in stream:
        into.append(item)


# --- a server of the base alone


def test_a_base_server_is_called(run: Run):
    async def main() -> None:
        async with talking() as (socket, _):
            assert socket.session == Session()
            assert socket.state == "open"
            assert await socket.call("echo", {"a": [1, None]}) == {"a": [1, None]}
            answer = await socket.request("echo", 7)
            assert (answer.ok, answer.status, answer.headers, answer.payload) == (
                True,
                200,
                {"h": 1},
                7,
            )
            with pytest.raises(ResponseError) as error:
                await socket.call("nothing")
            assert (error.value.status, error.value.code, error.value.route) == (
                404,
                "not_found",
                "nothing",
            )
            assert (await socket.request("nothing")).status == 404

    run(main())


@pytest.mark.parametrize(
    ("payload", "items"),
    [([1, [2], None], [1, [2], None]), ([], []), ({"a": 1}, [{"a": 1}]), (3, [3])],
)
def test_a_base_server_streams_in_one_answer(run: Run, payload: Any, items: list[Any]):
    async def main() -> None:
        async with talking() as (socket, peer):
            assert [item async for item in socket.stream("echo", payload, window=2)] == items
            assert peer.frames[-1]["headers"] == {"$stream": True, "$window": 2}
            with pytest.raises(ResponseError):
                await anext(socket.stream("nothing"))

    run(main())


def test_hello_comes_first_and_may_be_left_out(run: Run):
    async def main() -> None:
        async with talking() as (socket, peer):
            await socket.call("echo")
            assert peer.frames[0]["payload"] == {
                "protocol": 1,
                "client": "python",
                "features": ["calls", "drain"],
            }
            assert peer.routes() == ["$hello", "echo"]
        async with talking(hello=False) as (socket, peer):
            await socket.call("echo")
            assert peer.routes() == ["echo"]
            assert socket.session is None

    run(main())


def test_awaiting_connect_gives_the_socket_too(run: Run):
    async def main() -> None:
        async with serving() as peer:
            socket = await connect(peer.url.replace("ws://", "http://"))
            assert await socket.call("echo", 1) == 1
            await socket.close()
            await socket.close()
            assert socket.state == "closed"

    run(main())


def test_headers_of_a_call_win_over_the_sockets(run: Run):
    async def main() -> None:
        async with talking(headers=lambda: {"a": 1, "b": 2}) as (socket, peer):
            await socket.call("echo", headers={"b": 3})
            assert peer.frames[-1]["headers"] == {"a": 1, "b": 3}
            await socket.notify("echo")
            await socket.call("echo")
            assert peer.frames[-2]["headers"] == {"a": 1, "b": 2}

    run(main())


class Sum(BaseModel):
    total: int


def test_results_and_items_are_of_the_type_asked_for(run: Run):
    async def main() -> None:
        async with talking() as (socket, _):
            assert await socket.call("echo", Sum(total=3), result=Sum) == Sum(total=3)
            assert await socket.call("echo", [1, 2], result=tuple[int, ...]) == (1, 2)
            adapter = TypeAdapter(Sum | None)
            assert await socket.call("echo", None, result=adapter) is None
            items = socket.stream("echo", [{"total": 1}, {"total": 2}], item=Sum)
            assert [item async for item in items] == [Sum(total=1), Sum(total=2)]
            with pytest.raises(ValidationError):
                await socket.call("echo", "x", result=Sum)
            with pytest.raises(ValidationError):
                await anext(socket.stream("echo", ["x"], item=Sum))

    run(main())


@pytest.mark.parametrize("payload", [float("nan"), object(), {1: object()}])
def test_what_is_not_json_is_never_sent(run: Run, payload: Any):
    async def main() -> None:
        async with talking() as (socket, peer):
            with pytest.raises(Unserialisable):
                await socket.call("echo", payload)
            assert await socket.call("echo", 1) == 1
            assert peer.routes() == ["$hello", "echo"]

    run(main())


def test_what_is_no_frame_harms_nobody(run: Run, caplog: pytest.LogCaptureFixture):
    noise = [
        "no json",
        [1, 2],
        "[]",
        "{}",
        '{"uuid": 0, "status": 400}',
        '{"uuid": "9", "status": 200}',
    ]

    async def main() -> None:
        async with talking() as (socket, _):
            await socket.notify("raw", noise)
            assert await socket.call("echo", 1) == 1

    run(main())
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "received a message that is no frame, of length 7",
        "received a message that is no frame, of length 2",
        "received a message that is no frame, of length 2",
        "the server could not read a frame: 400",
    ]


def test_messages_keep_their_order_however_they_come(run: Run):
    async def pieces(_: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        for n in range(20):
            text = json.dumps({"uuid": "#", "route": "news", "payload": n})
            # Some in fragments, some in one piece, all in one go; and some that are none.
            await ws.send([text[:5], text[5:9], text[9:]] if n % 3 == 0 else text)
            if n % 5 == 0:
                await ws.send(b"binary")
        await say(ws, uuid=frame["uuid"], status=200)

    async def main() -> None:
        async with talking(knows(pieces=pieces)) as (socket, _):
            news = socket.pushes()
            await socket.call("pieces")
            assert [(await anext(news)).payload for _ in range(20)] == list(range(20))

    run(main())


def test_text_that_is_no_utf8_ends_the_line_and_it_comes_back(run: Run):
    async def garble(_: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await ws.send(b"\xff\xfe", text=True)

    async def main() -> None:
        async with talking(knows(garble=garble)) as (socket, _):
            with pytest.raises(ConnectionLostError) as error:
                await socket.call("garble")
            assert error.value.close_code == 1007
            assert await socket.call("echo", 1) == 1

    run(main())


def test_large_messages_pass_both_ways(run: Run):
    async def main() -> None:
        async with talking() as (socket, _):
            text = "ü" * 400_000
            assert await socket.call("echo", text) == text

    run(main())


# --- losing the connection


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1009, 1011, 1012, 1013, 4008, 4408, 3000])
def test_after_most_closes_it_comes_back(run: Run, code: int):
    async def main() -> None:
        async with talking() as (socket, peer):
            with pytest.raises(ConnectionLostError) as error:
                await socket.call("close", code)
            lost = error.value
            assert (lost.sent, lost.close_code, lost.reason) == (True, code, "so be it")
            assert await socket.call("echo", 1) == 1
            assert len(peer.lines) == 2
            assert peer.routes().count("close") == 1

    run(main())


@pytest.mark.parametrize("code", [1008, 4403, 4401])
def test_after_a_refusal_it_stays_away(run: Run, code: int):
    async def main() -> None:
        async with talking() as (socket, peer):
            waiting = asyncio.create_task(socket.call("silence"))
            await peer.until(lambda: "silence" in peer.routes())
            with pytest.raises(ConnectionLostError):
                await socket.call("close", code)
            with pytest.raises(ConnectionLostError):
                await waiting
            assert socket.state == "closed"
            with pytest.raises(ConnectionLostError) as error:
                await socket.call("echo")
            assert (error.value.sent, error.value.close_code) == (False, code)
            with pytest.raises(ConnectionLostError):
                await socket.ready()
            with pytest.raises(ConnectionLostError):
                await anext(socket.pushes())
            with pytest.raises(ConnectionLostError):
                await anext(socket.stream("echo"))
            assert len(peer.lines) == 1

    run(main())


def test_with_auth_an_ended_session_comes_back_with_a_new_token(run: Run):
    tokens = iter("abc")

    async def main() -> None:
        async with talking(auth=lambda: next(tokens)) as (socket, peer):
            with pytest.raises(ConnectionLostError):
                await socket.call("close", 4401)
            await socket.call("echo")
            hellos = [f["payload"]["token"] for f in peer.frames if f["route"] == "$hello"]
            assert hellos == ["a", "b"]

    run(main())


def test_a_call_whose_connection_dies_is_never_sent_again(run: Run):
    async def main() -> None:
        async with talking() as (socket, peer):
            with pytest.raises(ConnectionLostError) as error:
                await socket.call("die")
            assert (error.value.sent, error.value.close_code) == (True, 1006)
            assert isinstance(error.value, ConnectionError)
            await socket.call("echo")
            assert peer.routes().count("die") == 1

    run(main())


def test_unsent_calls_wait_for_the_next_connection_and_keep_their_order(run: Run):
    async def main() -> None:
        async with talking() as (socket, peer):
            peer.refusals = [(500, {}), (503, {})]
            with pytest.raises(ConnectionLostError):
                await socket.call("die")
            assert socket.state == "waiting"
            answers = await asyncio.gather(*[socket.call("echo", n) for n in range(50)])
            assert answers == list(range(50))
            routes = peer.routes()
            assert routes[routes.index("die") + 1 :] == ["$hello"] + ["echo"] * 50
            assert [f["payload"] for f in peer.frames[-50:]] == list(range(50))
            assert len(peer.attempts) == 4

    run(main())


def test_unsent_calls_end_by_timeout_cancellation_and_limit_and_are_never_sent(run: Run):
    async def main() -> None:
        async with talking(backoff=(0.2, 0.2), queue_limit=2) as (socket, peer):
            with pytest.raises(ConnectionLostError):
                await socket.call("die")
            late = asyncio.create_task(socket.call("late", timeout=0.01))
            cancelled = asyncio.create_task(socket.call("cancelled"))
            await asyncio.sleep(0)
            with pytest.raises(QueueFullError):
                await socket.call("too many")
            with pytest.raises(QueueFullError):
                await anext(socket.stream("too many"))
            cancelled.cancel()
            with pytest.raises(SocketTimeoutError) as error:
                await late
            assert error.value.sent is False
            await socket.call("echo")
            assert set(peer.routes()) == {"$hello", "die", "echo"}

    run(main())


def test_a_stream_whose_connection_dies_gives_what_came_before(run: Run):
    async def three(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        for n in range(3):
            await say(ws, uuid=frame["uuid"], status=402, headers={"$seq": n}, payload=n)
        await ws.close(1012)

    async def main() -> None:
        got: list[Any] = []
        async with talking(knows(three=three)) as (socket, peer):
            stream = socket.stream("three")
            with pytest.raises(ConnectionLostError) as error:
                await gather(stream, got)
            assert (got, error.value.sent) == ([0, 1, 2], True)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            await socket.ready()
            assert peer.routes().count("three") == 1

    run(main())


def test_a_silent_line_is_dropped_and_replaced(run: Run):
    async def deaf(peer: Peer, ws: ServerConnection) -> None:
        if len(peer.lines) > 1:
            await base(peer, ws)
        while True:
            await peer.receive(ws)

    async def main() -> None:
        options = {"heartbeat": 0.05, "heartbeat_timeout": 0.05, "hello": False}
        async with talking(deaf, **options) as (socket, peer):
            with pytest.raises(ConnectionLostError) as error:
                await socket.call("silence")
            assert error.value.close_code == 1006
            assert error.value.reason == "no sign of life within 0.05 s"
            assert peer.routes() == ["silence", "PING"]
            assert await socket.call("echo", 1) == 1

    run(main())


def test_any_frame_is_a_sign_of_life_and_who_only_listens_is_heard(run: Run):
    async def chatter(peer: Peer, ws: ServerConnection) -> None:
        """Sends all the time, and never answers a PING."""

        async def push() -> None:
            while True:
                await say(ws, uuid="#", route="news")
                await asyncio.sleep(0.01)

        pushing = asyncio.create_task(push())
        try:
            while True:
                await peer.receive(ws)
        finally:
            pushing.cancel()

    async def main() -> None:
        options = {"heartbeat": 0.05, "heartbeat_timeout": 0.5, "hello": False}
        async with talking(chatter, **options) as (_, peer):
            await peer.until(lambda: peer.routes().count("PING") >= 3)
            assert len(peer.lines) == 1

    run(main())


def test_the_servers_heartbeat_bounds_ours(run: Run):
    async def hello(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await say(ws, uuid=frame["uuid"], status=200, payload={"heartbeat": 0.001})

    async def main() -> None:
        async with talking(knows(_hello=hello)) as (_, peer):
            await peer.until(lambda: "PING" in peer.routes())

    run(main())


def test_close_during_back_off_ends_it(run: Run):
    async def main() -> None:
        async with talking(backoff=(60, 60)) as (socket, peer):
            waiting = asyncio.create_task(socket.ready())
            with pytest.raises(ConnectionLostError):
                await socket.call("die")
            unsent = asyncio.create_task(socket.call("echo"))
            again = asyncio.create_task(socket.ready())
            await asyncio.sleep(0)
            await socket.close()
            assert socket.state == "closed"
            await waiting
            for task in (unsent, again):
                with pytest.raises(ConnectionLostError) as error:
                    await task
                assert error.value.sent is False
            assert len(peer.lines) == 1

    run(main())


def test_reconnect_opens_a_fresh_line_at_once_even_after_a_close(run: Run):
    async def main() -> None:
        async with talking(backoff=(60, 60)) as (socket, peer):
            waiting = asyncio.create_task(socket.call("silence"))
            await peer.until(lambda: "silence" in peer.routes())
            await socket.reconnect()
            with pytest.raises(ConnectionLostError):
                await waiting
            with pytest.raises(ConnectionLostError):
                await socket.call("close", 1008)
            await socket.reconnect()
            assert await socket.call("echo", 1) == 1
            assert len(peer.lines) == 3

    run(main())


def test_states_are_told_in_order_with_how_it_ended(run: Run):
    async def main() -> None:
        told: list[tuple[str, int | None]] = []
        async with serving() as peer:
            connecting = connect(peer.url, **SOON)
            connecting.socket.on_state(lambda s, end: told.append((s, end and end.code)))
            connecting.socket.on_state(lambda *_: 1 / 0)
            async with connecting as socket:
                with pytest.raises(ConnectionLostError):
                    await socket.call("close", 1012)
                await socket.ready()
        assert told == [
            ("connecting", None),
            ("open", None),
            ("waiting", 1012),
            ("connecting", None),
            ("open", None),
            ("closed", 1000),
        ]

    run(main())


def test_a_task_that_ends_with_its_loop_lets_nobody_wait(run: Run):
    async def main() -> None:
        async with talking() as (socket, peer):
            waiting = asyncio.create_task(socket.call("silence", timeout=None))
            await peer.until(lambda: "silence" in peer.routes())
            (life,) = [t for t in asyncio.all_tasks() if t.get_name() == "observable socket"]
            life.cancel()
            with pytest.raises(ConnectionLostError):
                await waiting
            assert socket.state == "closed"

    run(main())


# --- getting in


@pytest.mark.parametrize("status", [400, 401, 403, 404, 426])
def test_a_handshake_that_is_refused_for_good_is_told_at_once(run: Run, status: int):
    async def main() -> None:
        async with serving() as peer:
            peer.refusals = [(status, {})]
            with pytest.raises(ConnectionLostError, match=f"HTTP {status}") as error:
                async with connect(peer.url):
                    pass
            assert isinstance(error.value.__cause__, InvalidStatus)
            assert len(peer.attempts) == 1

    run(main())


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_other_refusals_pass(run: Run, status: int):
    async def main() -> None:
        async with serving() as peer:
            peer.refusals = [(status, {})]
            async with connect(peer.url, **SOON) as socket:
                assert await socket.call("echo", 1) == 1

    run(main())


def test_a_server_that_asks_for_it_is_left_alone_for_a_while(run: Run):
    async def main() -> None:
        async with serving() as peer:
            peer.refusals = [(503, {"Retry-After": "1"})]
            async with connect(peer.url, **SOON):
                first, second = peer.attempts
                assert second - first >= 1

    run(main())


def test_accepted_and_closed_with_1008_is_refused(run: Run):
    async def refuse(_: Peer, ws: ServerConnection) -> None:
        await ws.close(1008, "not you")

    async def main() -> None:
        async with serving(refuse) as peer:
            with pytest.raises(ConnectionLostError) as error:
                await connect(peer.url)
            assert (error.value.close_code, error.value.reason) == (1008, "not you")

    run(main())


def test_a_token_that_is_refused_is_told(run: Run):
    async def hello(_: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        payload = {"message": "who is that?", "code": "unauthorized"}
        await say(ws, uuid=frame["uuid"], status=401, payload=payload)
        await ws.close(1008, "no good token")

    async def main() -> None:
        async with serving(knows(_hello=hello)) as peer:
            with pytest.raises(ConnectionLostError) as error:
                await connect(peer.url, auth=lambda: "bad")
            assert error.value.close_code == 1008
            assert isinstance(error.value.__cause__, ResponseError)
            assert error.value.__cause__.status == 401

    run(main())


def test_who_is_not_reached_in_time_is_given_up(run: Run):
    async def main() -> None:
        async with serving() as peer:
            peer.refusals = [(500, {})] * 1000
            with pytest.raises(
                ConnectionLostError, match=r"not connected within 0.1 s: .*HTTP 500"
            ):
                await connect(peer.url, open_timeout=0.1, **SOON)
            await asyncio.sleep(0.2)  # an attempt that was on its way may still arrive
            before = len(peer.attempts)
            await asyncio.sleep(0.2)
            assert len(peer.attempts) == before

    run(main())


def test_a_server_that_answers_no_hello_is_told_from_one_that_is_away(run: Run):
    async def deaf(peer: Peer, ws: ServerConnection) -> None:
        while True:
            await peer.receive(ws)

    async def main() -> None:
        async with serving(deaf) as peer:
            with pytest.raises(ConnectionLostError, match=r"\$hello was not answered"):
                await connect(peer.url, open_timeout=0.1)

    run(main())


def test_a_limit_of_attempts_is_the_end(run: Run):
    async def main() -> None:
        async with serving() as peer:
            peer.refusals = [(500, {})] * 10
            with pytest.raises(ConnectionLostError, match="HTTP 500"):
                await connect(peer.url, max_attempts=3, **SOON)
            assert len(peer.attempts) == 3

    run(main())


def test_cancelling_connect_leaves_nothing_behind(run: Run):
    async def main() -> None:
        async with serving() as peer:
            peer.refusals = [(500, {})] * 1000
            connecting = asyncio.create_task(connect(peer.url).open())
            await asyncio.wait_for(peer.knocked.wait(), 10)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting

    run(main())


@pytest.mark.parametrize("url", ["nonsense", "ws://", "ws://127.0.0.1:1/"])
def test_addresses_that_lead_nowhere(run: Run, url: str):
    async def main() -> None:
        with pytest.raises(ConnectionLostError):
            await connect(url, open_timeout=1, max_attempts=2, **SOON)

    run(main())


def test_an_option_that_nobody_knows_is_told_at_once(run: Run):
    async def main() -> None:
        async with serving() as peer:
            with pytest.raises(ConnectionLostError, match="timeot") as error:
                await connect(peer.url, open_timeout=None, timeot=3)
            assert isinstance(error.value.__cause__, TypeError)

    run(main())


class NoToken(Exception):
    pass


@pytest.mark.parametrize(
    "failure", [NoToken("vault sealed"), asyncio.CancelledError(), TimeoutError()]
)
def test_a_failing_auth_is_asked_again(run: Run, failure: BaseException):
    asked: Counter[str] = Counter()

    async def token() -> str:
        asked["times"] += 1
        if asked["times"] < 4:
            raise failure
        return "t"

    async def main() -> None:
        async with talking(auth=token) as (socket, peer):
            assert await socket.call("echo", 1) == 1
            assert peer.frames[0]["payload"]["token"] == "t"
            assert asked["times"] == 4

    run(main())


def test_an_auth_that_hangs_is_bounded(run: Run):
    async def main() -> None:
        async with serving() as peer:
            with pytest.raises(ConnectionLostError, match=r"not connected within 0.05 s"):
                await connect(
                    peer.url, auth=asyncio.Event().wait, connect_timeout=0.05, max_attempts=1
                )

    run(main())


@pytest.mark.parametrize("compatible", [True, False])
def test_a_client_says_what_it_was_built_for_and_is_told_whether_that_fits(
    run: Run, caplog: pytest.LogCaptureFixture, compatible: bool
):
    built_for = {"version": "1.0", "hash": "0123"}

    async def hello(_: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        assert frame["payload"]["contract"] == built_for
        said = {"version": "2.0", "hash": "4567", "compatible": compatible}
        await say(ws, uuid=frame["uuid"], status=200, payload={"protocol": 1, "contract": said})

    async def main() -> None:
        async with talking(knows(_hello=hello), contract=built_for) as (socket, _):
            assert await socket.call("echo", 1) == 1
            assert socket.session is not None
            assert socket.session.contract == Contract("2.0", "4567", compatible)

    with caplog.at_level(logging.WARNING):
        run(main())
    told = [r.getMessage() for r in caplog.records if "contract is now 2.0" in r.getMessage()]
    assert len(told) == (0 if compatible else 1)


def test_a_client_that_was_built_for_nothing_says_nothing(run: Run):
    async def hello(_: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        assert "contract" not in frame["payload"]
        said = {"version": None, "hash": None}
        await say(ws, uuid=frame["uuid"], status=200, payload={"protocol": 1, "contract": said})

    async def main() -> None:
        async with talking(knows(_hello=hello)) as (socket, _):
            assert await socket.call("echo", 1) == 1
            assert socket.session is not None
            assert socket.session.contract == Contract()

    run(main())


def test_a_session_is_renewed_before_it_ends(run: Run):
    tokens = iter(["first", "broken", "second"])

    async def token() -> str:
        token = next(tokens)
        if token == "broken":
            raise NoToken
        return token

    async def hello(_: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        payload = {"protocol": 1, "features": ["auth"], "expires_in": 1}
        await say(ws, uuid=frame["uuid"], status=200, payload=payload)

    async def auth(_: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await say(ws, uuid=frame["uuid"], status=200, payload={"expires_in": None})

    async def main() -> None:
        async with talking(knows(_hello=hello, _auth=auth), auth=token) as (socket, peer):
            assert socket.session is not None
            assert socket.session.expires_in == 1
            await peer.until(lambda: "$auth" in peer.routes())
            assert peer.frames[-1]["payload"] == {"token": "second"}

    run(main())


# --- leaving a call


def test_a_timeout_cancels_on_the_server(run: Run):
    async def main() -> None:
        async with talking() as (socket, peer):
            with pytest.raises(SocketTimeoutError) as error:
                await socket.call("silence", timeout=0.02)
            assert error.value.sent is True
            assert isinstance(error.value, TimeoutError)
            await peer.until(lambda: "$cancel" in peer.routes())
            assert peer.frames[-1]["uuid"] == peer.frames[-2]["uuid"]

    run(main())


def test_the_sockets_timeout_holds_where_a_call_has_none(run: Run):
    async def main() -> None:
        async with talking(timeout=0.02) as (socket, peer):
            with pytest.raises(SocketTimeoutError):
                await socket.request("silence")
            with pytest.raises(SocketTimeoutError):
                await anext(socket.stream("silence"))
            patient = asyncio.create_task(socket.call("silence", timeout=None))
            await peer.until(lambda: peer.routes().count("silence") == 3)
            await asyncio.sleep(0.05)
            assert not patient.done()
            patient.cancel()

    run(main())


def test_a_storm_of_cancellations_cancels_each_call_once(run: Run):
    async def main() -> None:
        async with talking() as (socket, peer):
            calls = [asyncio.create_task(socket.call("silence")) for _ in range(500)]
            never = asyncio.create_task(socket.call("never"))
            never.cancel()
            await peer.until(lambda: peer.routes().count("silence") == 500)
            for call in calls:
                call.cancel()
            assert await socket.call("echo", 1) == 1
            await peer.until(lambda: peer.routes().count("$cancel") == 500)
            cancelled = [f["uuid"] for f in peer.frames if f["route"] == "$cancel"]
            assert sorted(cancelled) == sorted(
                f["uuid"] for f in peer.frames if f["route"] == "silence"
            )
            assert "never" not in peer.routes()

    run(main())


def test_no_more_calls_are_sent_than_the_server_works_on(run: Run):
    async def hello(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await say(ws, uuid=frame["uuid"], status=200, payload={"limits": {"in_flight": 3}})

    async def stop(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await ws.close(1012)

    async def main() -> None:
        async with talking(knows(_hello=hello, stop=stop), queue_limit=2) as (socket, peer):
            silent = [asyncio.create_task(socket.call("silence", n)) for n in range(6)]
            await asyncio.sleep(0)
            await socket.notify("last")
            await peer.until(lambda: "last" in peer.routes())
            assert peer.routes() == ["$hello", *["silence"] * 3, "last"]

            silent[0].cancel()
            silent[4].cancel()
            await peer.until(lambda: peer.routes().count("silence") == 4)
            assert peer.routes()[-2:] == ["$cancel", "silence"]

            await socket.notify("stop")
            ended = await asyncio.gather(*silent[:4], return_exceptions=True)
            assert [type(e) for e in ended] == [asyncio.CancelledError] + [ConnectionLostError] * 3
            await peer.until(lambda: peer.routes().count("silence") == 5)
            assert [f["payload"] for f in peer.frames if f.get("route") == "silence"] == [
                0,
                1,
                2,
                3,
                5,
            ]
            silent[5].cancel()

    run(main())


def test_a_call_that_an_answer_to_the_server_needs_does_not_wait(run: Run):
    async def hello(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await say(ws, uuid=frame["uuid"], status=200, payload={"limits": {"in_flight": 1}})

    async def ask(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await say(ws, uuid="#1", route="confirm", payload=7)
        inner = await peer.receive(ws)
        await say(ws, uuid=inner["uuid"], status=200, payload=inner["payload"])
        answer = await peer.receive(ws)
        await say(ws, uuid=frame["uuid"], status=200, payload=answer["payload"])

    async def main() -> None:
        async with talking(knows(_hello=hello, ask=ask)) as (socket, _):

            @socket.handle("confirm")
            async def confirm(payload: Any) -> Any:
                return [await socket.call("echo", payload)]

            assert await socket.call("ask") == [7]

    run(main())


def test_notify_waits_for_nothing_but_a_way_out(run: Run):
    go_on = asyncio.Event()

    async def deaf(peer: Peer, ws: ServerConnection) -> None:
        await peer.receive(ws)
        ws.transport.pause_reading()
        await go_on.wait()
        ws.transport.resume_reading()
        while True:
            await peer.receive(ws)

    async def main() -> None:
        async with talking(deaf, hello=False) as (socket, peer):
            told = 0

            async def tell() -> None:
                nonlocal told
                while True:
                    await socket.notify("seen", "x" * 100_000)
                    told += 1

            telling = asyncio.create_task(tell())
            before = -1
            while told != before or not told:
                before = told
                await asyncio.sleep(0.2)
            assert not telling.done()
            go_on.set()
            await peer.until(lambda: len(peer.frames) > before + 10)
            telling.cancel()

    run(main())


# --- streams of servers that know them


def counting(
    sent: list[int], last: int = 10**9, first: int = 0
) -> Callable[[Peer, ServerConnection, dict[str, Any]], Awaitable[None]]:
    """Counts as far as the window allows, and goes on with each `$ack`."""

    async def count(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        uuid, window = frame["uuid"], frame["headers"]["$window"]
        taken = number = first
        while number < last:
            while number - taken >= window:
                said = await peer.receive(ws)
                if said["route"] == "$cancel":
                    await say(ws, uuid=uuid, status=499, payload=None)
                    return
                if said["route"] == "$ack":
                    taken = said["headers"]["$seq"] + 1
            await say(ws, uuid=uuid, status=402, headers={"$seq": number}, payload=number)
            sent.append(number)
            number += 1
        await say(ws, uuid=uuid, status=200, headers={"$seq": number}, payload="the end")

    return count


@pytest.mark.parametrize("window", [1, 2, 3, 64])
def test_a_stream_is_taken_to_its_end(run: Run, window: int):
    async def main() -> None:
        sent: list[int] = []
        async with talking(knows(count=counting(sent, 200))) as (socket, peer):
            stream = socket.stream("count", window=window)
            assert [item async for item in stream] == list(range(200))
            assert stream.result == "the end"
            acks = [f["headers"]["$seq"] for f in peer.frames if f["route"] == "$ack"]
            assert acks == sorted(acks)
            assert len(acks) <= 200 // max(1, window // 2)
            assert "$cancel" not in peer.routes()

    run(main())


def test_a_slow_reader_slows_the_server_down(run: Run):
    async def main() -> None:
        sent: list[int] = []
        async with (
            talking(knows(count=counting(sent))) as (socket, _),
            socket.stream("count", window=8) as items,
        ):
            for expected in range(20):
                assert await anext(items) == expected
                await asyncio.sleep(0.005)
                assert items.waiting <= 8
                assert len(sent) <= expected + 1 + 8

    run(main())


async def leave_by_with(socket: Socket) -> None:
    async with socket.stream("count", window=8) as items:
        async for item in items:
            if item == 20:
                break


async def leave_by_aclosing(socket: Socket) -> None:
    async with aclosing(socket.stream("count", window=8)) as items:
        async for item in items:
            if item == 20:
                break


async def leave_by_break(socket: Socket) -> None:
    async for item in socket.stream("count", window=8):
        if item == 20:
            break
    gc.collect()


async def leave_by_cancellation(socket: Socket) -> None:
    async def reading() -> None:
        async for _ in socket.stream("count", window=10**6, timeout=None):
            pass

    task = asyncio.create_task(reading())
    await asyncio.sleep(0.02)
    task.cancel()


@pytest.mark.parametrize(
    "leave", [leave_by_with, leave_by_aclosing, leave_by_break, leave_by_cancellation]
)
def test_whoever_leaves_a_stream_ends_it_on_the_server(
    run: Run, leave: Callable[[Socket], Awaitable[None]]
):
    async def count(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        for n in range(min(frame["headers"]["$window"], 100)):
            await say(ws, uuid=frame["uuid"], status=402, headers={"$seq": n}, payload=n)

    async def ack(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        seq = frame["headers"]["$seq"]
        for n in range(seq + 5, seq + 9):
            await say(ws, uuid=frame["uuid"], status=402, headers={"$seq": n}, payload=n)

    async def main() -> None:
        async with talking(knows(count=count, _ack=ack)) as (socket, peer):
            await leave(socket)
            await peer.until(lambda: "$cancel" in peer.routes())
            asked = next(f for f in peer.frames if f["route"] == "count")
            cancelled = [f["uuid"] for f in peer.frames if f["route"] == "$cancel"]
            assert cancelled == [asked["uuid"]]
            assert await socket.call("echo", 1) == 1

    run(main())


def test_a_stream_that_was_never_read_is_never_asked_for(run: Run):
    async def main() -> None:
        async with talking() as (socket, peer):
            socket.stream("echo")
            stream = socket.stream("echo")
            await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            await socket.call("echo")
            assert peer.routes() == ["$hello", "echo"]
            with pytest.raises(ValueError, match="window"):
                socket.stream("echo", window=0)

    run(main())


@pytest.mark.parametrize(("limits", "window"), [({"window": 4}, 4), ({}, 1024)])
def test_a_window_is_no_larger_than_the_servers(run: Run, limits: dict[str, int], window: int):
    async def hello(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await say(ws, uuid=frame["uuid"], status=200, payload={"limits": limits})

    async def main() -> None:
        async with talking(knows(_hello=hello)) as (socket, peer):
            assert [item async for item in socket.stream("echo", 1, window=5000)] == [1]
            assert peer.frames[-1]["headers"]["$window"] == window

    run(main())


@pytest.mark.parametrize("numbers", [[0, 2], [1], [0, 0], [0, 1, 2, 3, 4]])
def test_items_that_cannot_be_trusted_end_and_cancel_the_stream(run: Run, numbers: list[int]):
    async def odd(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        for n in numbers:
            await say(ws, uuid=frame["uuid"], status=402, headers={"$seq": n}, payload=n)

    async def main() -> None:
        async with talking(knows(odd=odd)) as (socket, peer):
            got: list[Any] = []
            stream = socket.stream("odd", window=4)
            await stream.__aenter__()
            await peer.until(lambda: "$cancel" in peer.routes())
            with pytest.raises(SocketError, match="cannot be trusted"):
                await gather(stream, got)
            assert got == numbers[: len(got)]
            assert len(got) < len(numbers)

    run(main())


def test_an_error_ends_a_stream_after_its_items(run: Run):
    async def fail(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await say(ws, uuid=frame["uuid"], status=402, headers={"$seq": 0}, payload=7)
        await say(ws, uuid=frame["uuid"], status=500, payload={"code": "internal", "message": "m"})

    async def main() -> None:
        got: list[Any] = []
        async with talking(knows(fail=fail)) as (socket, peer):
            with pytest.raises(ResponseError, match="m") as error:
                await gather(socket.stream("fail"), got)
            assert (got, error.value.status, error.value.code) == ([7], 500, "internal")
            await socket.call("echo")
            assert "$cancel" not in peer.routes()

    run(main())


def test_the_timeout_of_a_stream_is_for_its_first_frame_alone(run: Run):
    async def slow(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        await say(ws, uuid=frame["uuid"], status=402, headers={"$seq": 0}, payload=0)
        await asyncio.sleep(0.2)
        await say(ws, uuid=frame["uuid"], status=200, headers={"$seq": 1}, payload=None)

    async def main() -> None:
        async with talking(knows(slow=slow)) as (socket, peer):
            assert [item async for item in socket.stream("slow", timeout=0.1)] == [0]
            with pytest.raises(SocketTimeoutError):
                await anext(socket.stream("unheard", timeout=0.02))
            await peer.until(lambda: "$cancel" in peer.routes())

    run(main())


def test_a_stream_is_read_by_one_task(run: Run):
    async def main() -> None:
        async with talking() as (socket, _), socket.stream("silence") as items:
            first = asyncio.create_task(items.__anext__())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="one task"):
                await anext(items)
            assert not first.done()
            await items.aclose()
            with pytest.raises(StopAsyncIteration):
                await first

    run(main())


# --- what the server sends by itself


def test_pushes_reach_those_who_want_them(run: Run):
    texts = [
        '{"uuid": "#", "route": "news", "payload": 1}',
        '{"uuid": "#", "route": "other", "headers": {"h": 1}, "payload": 2}',
        '{"uuid": "#", "route": "news", "payload": 3}',
    ]

    async def main() -> None:
        async with talking() as (socket, _):
            news, everything = socket.pushes("news"), socket.pushes()
            heard: list[Any] = []
            undo = socket.on_push(lambda push: heard.append(push.payload))
            socket.on_push(lambda push: 1 / 0)
            await socket.notify("raw", texts)
            assert [(await anext(news)).payload for _ in range(2)] == [1, 3]
            await anext(everything)
            push = await anext(everything)
            assert (push.route, push.headers, push.payload) == ("other", {"h": 1}, 2)
            assert heard == [1, 2, 3]
            undo()
            undo()
            few = socket.pushes(limit=1)
            await socket.notify("raw", texts)
            await socket.call("echo")
            assert (few.dropped, (await anext(few)).payload, len(heard)) == (2, 3, 3)
            await socket.close()
            assert [push.payload async for push in news] == [1, 3]
            assert [push async for push in few] == []

    run(main())


async def confirm(payload: Any) -> Any:
    return {"confirmed": payload}


def refuse(payload: Any, headers: Any) -> Any:
    raise ResponseError("inner", 418, {"h": 1}, {"code": "teapot"})


def forbid() -> Any:
    raise HTTPException(403, "not this")


def crash(payload: Any) -> Any:
    raise ValueError("secret")


def odd(*arguments: Any) -> Any:
    return object()


def echo(payload: Any, headers: Any) -> Any:
    return [payload, headers]


@pytest.mark.parametrize(
    ("route", "status", "payload"),
    [
        ("confirm", 200, {"confirmed": [1]}),
        ("echo", 200, [[1], {"h": 2}]),
        ("refuse", 418, {"code": "teapot"}),
        ("forbid", 403, {"code": "forbidden", "message": "not this"}),
        ("unknown", 404, {"code": "not_found"}),
        ("crash", 500, {"code": "internal"}),
        ("odd", 500, {"code": "unserialisable"}),
    ],
)
def test_the_servers_calls_are_answered(run: Run, route: str, status: int, payload: Any):
    async def main() -> None:
        async with talking() as (socket, peer):
            for handler in (confirm, echo, refuse, forbid, crash, odd):
                socket.handle(handler.__name__, handler)
            call = {"uuid": "#1", "route": route, "headers": {"h": 2}, "payload": [1]}
            await socket.notify("raw", [json.dumps(call)])
            await peer.until(lambda: len(peer.frames) == 3)
            answer = peer.frames[-1]
            assert (answer["uuid"], answer["status"]) == ("#1", status)
            assert "route" not in answer
            if isinstance(payload, dict):
                assert payload.items() <= answer["payload"].items()
            else:
                assert answer["payload"] == payload
            assert "secret" not in json.dumps(answer)

    run(main())


def test_handlers_come_and_go(run: Run):
    async def main() -> None:
        async with talking() as (socket, _):

            @socket.handle("a")
            def handler() -> None: ...

            assert callable(handler)
            with pytest.raises(ValueError, match="already"):
                socket.handle("a", confirm)
            with pytest.raises(ValueError, match="protocol"):
                socket.handle("$a", confirm)
            undo = socket.handle("b", confirm)
            undo()
            undo()
            socket.handle("b", confirm)

    run(main())


def test_a_call_that_the_server_drops_is_cancelled(run: Run):
    async def main() -> None:
        async with talking() as (socket, peer):
            ended: list[str] = []
            begun = asyncio.Event()

            @socket.handle("wait")
            async def wait(payload: Any) -> None:
                begun.set()
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    ended.append(payload)
                    raise

            await socket.notify("raw", ['{"uuid": "#1", "route": "wait", "payload": "dropped"}'])
            await begun.wait()
            await socket.notify("raw", ['{"uuid": "#1", "route": "$cancel"}'] * 2)
            await socket.call("echo")
            assert ended == ["dropped"]
            begun.clear()
            await socket.notify("raw", ['{"uuid": "#2", "route": "wait", "payload": "lost"}'])
            await begun.wait()
            with pytest.raises(ConnectionLostError):
                await socket.call("die")
            await socket.ready()
            assert ended == ["dropped", "lost"]
            begun.clear()
            await socket.notify("raw", ['{"uuid": "#3", "route": "wait", "payload": "closed"}'])
            await begun.wait()
            await socket.close()
            assert ended == ["dropped", "lost", "closed"]
            assert not [f for f in peer.frames if "status" in f]

    run(main())


def test_progress_is_told_as_it_comes(run: Run):
    async def work(peer: Peer, ws: ServerConnection, frame: dict[str, Any]) -> None:
        assert frame["headers"]["$progress"] is True
        for n in range(2):
            await say(ws, uuid=frame["uuid"], status=402, headers={}, payload=n)
        await say(ws, uuid=frame["uuid"], status=200, payload=["done"])

    async def main() -> None:
        async with talking(knows(work=work)) as (socket, _):
            told: list[Any] = []
            assert await socket.call("work", on_progress=told.append) == ["done"]
            assert await socket.call("work", on_progress=lambda n: 1 / 0) == ["done"]
            stream = socket.stream("work", on_progress=told.append)
            assert [item async for item in stream] == ["done"]
            assert told == [0, 1, 0, 1]

    run(main())


# --- nothing left behind, nothing brought along


def test_the_package_alone_brings_no_websockets():
    code = "import sys, fastapi_observable_socket; assert 'websockets' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_websockets_it_says_what_to_install():
    code = (
        "import sys; sys.modules['websockets'] = None\n"
        "try: import fastapi_observable_socket.client\n"
        "except ImportError as e: assert 'fastapi-observable-socket[client]' in str(e), e\n"
        "else: raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_thread_is_started(run: Run):
    async def main() -> None:
        before = threading.active_count()
        async with talking() as (socket, _):
            await socket.call("echo")
            assert threading.active_count() == before

    run(main())
