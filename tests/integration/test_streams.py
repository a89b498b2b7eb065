"""
Streams, pushes, sessions and calls of the server, under load, and with peers that stall, cancel
and vanish: what shows only where there is a socket below.

Every test ends by looking at what the server still holds: no task, connection or socket may
outlive the peer it was for.
"""

import asyncio
import math
import queue
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends

from fastapi_observable_socket import (
    Authenticated,
    Connection,
    ConnectionLostError,
    Progress,
    Reply,
    SocketError,
    SocketRouter,
)

from .peer import ABNORMAL, BINARY, PATIENCE, TEXT, Closed, Peer, frame, requests, text_frame
from .serving import Server, Stage, eventually, resident_bytes
from .test_fuzz import random_frame, readable_uuid

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Serve = Callable[[SocketRouter], Server]

MEGABYTE = 1 << 20

MAX_STREAMS = 128

PADDING = "x" * 200

PING = {"uuid": "alive?", "route": "PING"}

PONG = {"uuid": "alive?", "route": "PONG", "headers": None, "payload": None}

HELLO = {"uuid": "hello", "route": "$hello", "payload": {"protocol": 1, "features": ["calls"]}}


def build(stage: Stage, **options: Any) -> SocketRouter:
    router = SocketRouter(**options)
    counting = threading.Lock()

    def count(name: str) -> None:
        with counting:
            stage.seen[name] += 1

    async def opened() -> AsyncIterator[None]:
        count("opened")
        try:
            yield
        finally:
            count("closed")

    Opened = Annotated[None, Depends(opened)]

    @router.route("echo")
    async def echo(payload: Any) -> Reply:
        return Reply(payload)

    @router.route("later")
    async def later(payload: int) -> Reply:
        for _ in range(min(payload, 10)):
            await asyncio.sleep(0)
        return Reply(payload)

    @router.route("sync")
    def sync(payload: Any) -> Reply:
        return Reply(payload)

    @router.route("wait")
    async def wait(payload: Any) -> Reply:
        await stage.behind(payload)
        return Reply(payload)

    @router.route("count")
    async def numbers(payload: int, _: Opened) -> AsyncIterator[int]:
        try:
            for n in range(payload):
                count("made")
                yield n
        finally:
            count("left")

    @router.route("padded")
    async def padded(payload: int, _: Opened) -> AsyncIterator[str]:
        try:
            for _ in range(payload):
                count("made")
                yield PADDING
        finally:
            count("left")

    @router.route("paused")
    async def paused(payload: int, _: Opened) -> AsyncIterator[int]:
        """The first item, and the rest behind the door."""
        try:
            for n in range(payload):
                count("made")
                yield n
                if n == 0:
                    await stage.behind()
        finally:
            count("left")

    @router.route("fail")
    async def fail(payload: int, _: Opened) -> AsyncIterator[int]:
        try:
            for n in range(payload):
                yield n
                await asyncio.sleep(0)
            raise ValueError("secret")
        finally:
            count("left")

    @router.route("threads")
    def threads(payload: int, _: Opened) -> Iterator[int]:
        """Items made in threads, of which the fourth hangs."""
        count("begun")
        try:
            for n in range(payload):
                if n == 3:
                    count("hanging")
                    stage.stuck.wait()
                yield n
        finally:
            count("left")

    async def asked(payload: Any, connection: Connection) -> Any:
        try:
            return await connection.call("confirm", payload)
        except ConnectionLostError:
            count("lost")
            return "lost"
        except asyncio.CancelledError:
            count("cancelled")
            raise

    router.route("ask")(asked)
    router.route("ask-shielded", shield=True)(asked)

    @router.route("ask-each")
    async def ask_each(payload: int, connection: Connection, _: Opened) -> AsyncIterator[Any]:
        try:
            for n in range(payload):
                yield await connection.call("confirm", n)
        finally:
            count("left")

    return router


@pytest.fixture
def server(serve: Serve, stage: Stage) -> Iterator[Server]:
    yield serve(build(stage))
    stage.stuck.set()


def stream(uuid: Any, route: str, payload: Any = 1 << 40, **asked: Any) -> dict[str, Any]:
    """A request for items. `asked` are headers, without their dollar."""
    headers = {"$stream": True, **{f"${name}": value for name, value in asked.items()}}
    return {"uuid": uuid, "route": route, "headers": headers, "payload": payload}


def cancel(uuid: Any) -> dict[str, Any]:
    return {"uuid": uuid, "route": "$cancel"}


def ack(uuid: Any, seq: Any) -> dict[str, Any]:
    return {"uuid": uuid, "route": "$ack", "headers": {"$seq": seq}}


def item(uuid: str, seq: int, payload: Any) -> dict[str, Any]:
    return {"uuid": uuid, "status": 402, "headers": {"$seq": seq}, "payload": payload}


def end(uuid: str, count: int) -> dict[str, Any]:
    return {"uuid": uuid, "status": 200, "headers": {"$seq": count}, "payload": None}


def is_final(answer: dict[str, Any]) -> bool:
    return "route" not in answer and answer["status"] != 402


class Books:
    """What a peer was answered: items are without gaps, and each end says how many there were."""

    def __init__(self) -> None:
        self.items: Counter[Any] = Counter()
        """Of each uuid, up to its end."""
        self.finals: Counter[Any] = Counter()
        self.statuses: Counter[int] = Counter()

    def enter(self, answer: dict[str, Any]) -> None:
        uuid, status = repr(answer["uuid"]), answer.get("status")
        if "route" not in answer and status == 402:
            if "$seq" in answer["headers"]:
                assert answer["headers"]["$seq"] == self.items[uuid], answer
                self.items[uuid] += 1
            return
        if "$seq" in answer["headers"] if answer.get("headers") else False:
            assert answer["headers"]["$seq"] == self.items[uuid], answer
        if status != 409:  # which is said of another request, while this one goes on
            del self.items[uuid]
        self.finals[uuid] += 1
        self.statuses[status or 0] += 1

    def enter_all(self, peer: Peer, finals: int) -> None:
        """Read until there were so many final answers."""
        while self.finals.total() < finals:
            self.enter(peer.receive())


def until_they_wait(server: Server, stage: Stage) -> int:
    """How many items were made, once no more are: the loop turns, and the number stays."""

    def made() -> int:
        return server.call(lambda: stage.seen["made"])

    def is_still() -> bool:
        before = made()
        return before > 0 and all(made() == before for _ in range(50))

    eventually(is_still)
    return made()


# --- readers that stop


@pytest.mark.slow
@pytest.mark.parametrize(("items", "window"), [(30_000, 1000), (100_000, None)])
def test_a_reader_that_stops_holds_up_the_generator_until_it_reads_on(
    serve: Serve, stage: Stage, items: int, window: int | None
) -> None:
    server = serve(build(stage, send_timeout=60))
    with server.connect(receive_buffer=1 << 16) as peer:
        before = resident_bytes()
        asked = {} if window is None else {"window": window}
        peer.send(stream("s", "padded", items, **asked))

        def read(start: int, stop: int) -> None:
            for first in range(start, stop, 500):
                # As bytes: a hundred thousand frames one by one take the longest of all.
                texts = (expected % n for n in range(first, first + 500))
                data = b"".join(frame(TEXT, text, masked=False) for text in texts)
                assert peer._read(len(data)) == data
                if window is not None:
                    peer.send(ack("s", first + 499))

        expected = (
            b'{"uuid":"s","status":402,"headers":{"$seq":%%d},"payload":"%s"}' % PADDING.encode()
        )
        read(0, 1000)
        made = until_they_wait(server, stage)
        if window is None:
            assert made < items // 2
        else:
            assert made <= 1000 + window + 1  # the one that waits for room
        read(1000, items)
        assert peer.receive() == end("s", items)
        assert resident_bytes() - before < 20 * MEGABYTE
        assert stage.seen == {"opened": 1, "made": items, "left": 1, "closed": 1}
        peer.assert_alive()
    server.assert_nothing_left()


@pytest.mark.slow
def test_many_streams_to_a_reader_that_stops_are_held_up_together(
    serve: Serve, stage: Stage
) -> None:
    server = serve(build(stage, send_timeout=60))
    before = resident_bytes()
    with server.connect(receive_buffer=1 << 16) as peer:
        peer.send(*(stream(n, "padded", 200) for n in range(100)))
        made = until_they_wait(server, stage)
        assert resident_bytes() - before < 20 * MEGABYTE
        assert made < 20_000
        books = Books()
        books.enter_all(peer, 100)
        assert books.statuses == {200: 100}
        peer.assert_alive()
    server.assert_nothing_left()


def test_a_reader_that_stalls_is_cut_and_one_that_has_a_window_is_not(
    serve: Serve, stage: Stage
) -> None:
    server = serve(build(stage, send_timeout=0.3))
    with server.connect() as patient, server.connect(receive_buffer=4096) as stalled:
        patient.send(stream("s", "count", 100, window=10))
        until_they_wait(server, stage)
        stalled.send(*(stream(n, "padded") for n in range(10)))
        eventually(lambda: stage.seen["opened"] == 11)
        _, handle = server.call(lambda: list(server.router.connections))
        eventually(lambda: handle.closed)
        assert handle.closed == (4008, "slow consumer")
        eventually(lambda: stage.seen["closed"] == 10)
        assert stage.seen["left"] == 10
        assert stalled.receive_close().code in (4008, ABNORMAL)
        patient.send(ack("s", 9), ack("s", 19), cancel("s"))
        books = Books()
        books.enter_all(patient, 1)
        assert books.statuses == {499: 1}
        patient.assert_alive()
    server.assert_nothing_left()


def test_a_reader_that_stops_can_still_cancel(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, send_timeout=60))
    with server.connect(receive_buffer=4096) as peer:
        peer.send(*(stream(n, "padded") for n in range(20)))
        until_they_wait(server, stage)
        peer.send(*(cancel(n) for n in range(20)))
        eventually(lambda: stage.seen["left"] > 0)
        books = Books()
        books.enter_all(peer, 20)
        assert books.statuses == {499: 20}
        assert stage.seen["closed"] == 20
        peer.assert_alive()
    server.assert_nothing_left()


# --- readers that vanish


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_the_streams_of_a_peer_that_left_are_closed(
    server: Server, stage: Stage, leave: str
) -> None:
    peer = server.connect()
    peer.send(
        *(stream(f"endless {n}", "padded") for n in range(10)),
        *(stream(f"full {n}", "count", window=3) for n in range(10)),
        *(stream(f"waiting {n}", "paused") for n in range(10)),
        *requests(range(5), "wait"),
    )
    eventually(lambda: stage.seen["opened"] == 30 and stage.running == 15)
    getattr(peer, leave)()
    eventually(lambda: stage.seen["closed"] == 30)
    server.assert_nothing_left()
    assert stage.seen["left"] == 30
    assert stage.seen["cancelled"] == 15


def test_a_peer_that_left_while_it_stalled_holds_up_no_generator(
    serve: Serve, stage: Stage
) -> None:
    server = serve(build(stage, send_timeout=60))
    peer = server.connect(receive_buffer=4096)
    peer.send(*(stream(n, "padded") for n in range(10)))
    until_they_wait(server, stage)
    peer.reset()
    eventually(lambda: stage.seen["closed"] == 10)
    server.assert_nothing_left()
    assert stage.seen["left"] == 10


def test_a_server_that_stops_closes_its_streams(ws: str, stage: Stage) -> None:
    with Server(build(stage), ws) as server:
        peer = server.connect()
        peer.send(
            *(stream(f"full {n}", "count", window=3) for n in range(5)),
            *(stream(f"waiting {n}", "paused") for n in range(5)),
            *(stream(f"endless {n}", "padded") for n in range(5)),
        )
        eventually(lambda: stage.seen["opened"] == 15)
    assert stage.seen["closed"] == stage.seen["left"] == 15
    assert peer.receive_close().code in (1012, ABNORMAL)
    peer.drop()


# --- errors


def test_streams_that_fail_end_behind_their_items(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send(*(stream(n, "fail", 10) for n in range(100)))
        seqs: dict[int, list[int]] = {n: [] for n in range(100)}
        finals = []
        while len(finals) < 100:
            answer = peer.receive()
            if is_final(answer):
                assert (answer["status"], answer["payload"]["code"]) == (500, "internal")
                assert seqs[answer["uuid"]] == list(range(10))
                finals.append(answer["uuid"])
            else:
                seqs[answer["uuid"]].append(answer["headers"]["$seq"])
        assert sorted(finals) == list(range(100))
        assert stage.seen == {"opened": 100, "left": 100, "closed": 100}
        peer.assert_alive()
    server.assert_nothing_left()


def test_a_deadline_ends_a_stream_wherever_it_is(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send(
            stream("endless", "count", timeout=100),
            stream("full", "count", timeout=100, window=3),
            stream("waiting", "paused", timeout=100),
        )
        books = Books()
        books.enter_all(peer, 3)
        assert books.statuses == {408: 3}
        assert stage.seen["left"] == stage.seen["closed"] == 3
        peer.assert_alive()
    server.assert_nothing_left()


# --- many streams


@pytest.mark.slow
def test_a_thousand_streams_at_once_are_all_in_order(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, max_streams=1000))
    with server.connect() as peer:
        peer.send(*(stream(n, "paused", 10, window=3) for n in range(1000)))
        books = Books()
        while books.items.total() < 1000:
            books.enter(peer.receive())
        assert stage.running == 1000
        assert peer.ask(PING) == PONG
        peer.assert_alive()
        server.call(stage.door().set)
        while books.finals.total() < 1000:
            answer = peer.receive()
            books.enter(answer)
            if not is_final(answer):
                peer.send(ack(answer["uuid"], answer["headers"]["$seq"]))
        assert books.finals == Counter(repr(n) for n in range(1000))
        assert books.statuses == {200: 1000}
        assert stage.seen["made"] == 10_000
        peer.assert_alive()
    server.assert_nothing_left()


def test_streams_beyond_the_limit_are_refused_and_the_others_served(
    server: Server, stage: Stage
) -> None:
    with server.connect() as peer:
        for _ in range(2):
            server.call(stage.door().clear)
            peer.send(*(stream(n, "paused", 3) for n in range(300)))
            books = Books()
            books.enter_all(peer, 300 - MAX_STREAMS)
            while books.items.total() < MAX_STREAMS:
                books.enter(peer.receive())
            assert books.finals == Counter(repr(n) for n in range(MAX_STREAMS, 300))
            assert books.statuses == {429: 300 - MAX_STREAMS}
            assert peer.ask(PING) == PONG
            peer.assert_alive()
            server.call(stage.door().set)
            books.enter_all(peer, 300)
            assert books.finals == Counter(repr(n) for n in range(300))
            assert books.statuses[200] == MAX_STREAMS
        peer.assert_alive()
    server.assert_nothing_left()


def test_streams_that_nobody_reads_hold_up_no_calls(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send(*(stream(n, "count", window=2) for n in range(64)))
        books = Books()
        while books.items.total() < 128:
            books.enter(peer.receive())
        peer.send_apart(*requests(range(1000, 1200), "later", payload=3), PING)
        answers = [peer.receive()["uuid"] for _ in range(201)]
        assert Counter(answers) == Counter([*range(1000, 1200), "alive?"])
        assert until_they_wait(server, stage) == 3 * 64
        peer.assert_alive()
    server.assert_nothing_left()


# --- windows


def test_an_ack_of_what_was_not_sent_opens_no_window(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send(stream("s", "count", 20, window=4))
        assert peer.receive_many(4) == [item("s", n, n) for n in range(4)]
        for seq in (4, 5, 10**9, 2**63, 10**400, -1, True, None, "3", 3.0, [3]):
            peer.send(ack("s", seq), ack("nobody", seq))
        peer.assert_alive()
        assert until_they_wait(server, stage) == 5
        peer.send(ack("s", 1), ack("s", 0), ack("s", 1))
        assert peer.receive_many(2) == [item("s", n, n) for n in (4, 5)]
        peer.assert_alive()
        for n in range(6, 20):
            peer.send(ack("s", n - 4), ack("s", n + 1000))
            assert peer.receive() == item("s", n, n)
        assert peer.receive() == end("s", 20)
        peer.send(ack("s", 19))
        peer.assert_alive()
    server.assert_nothing_left()


def test_a_window_is_never_larger_than_the_server_wants(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send(HELLO, stream("s", "count", window=10**9))
        most = peer.receive()["payload"]["limits"]["window"]
        assert [a["headers"]["$seq"] for a in peer.receive_many(most)] == list(range(most))
        peer.assert_alive()
        assert until_they_wait(server, stage) == most + 1
    server.assert_nothing_left()


# --- cancelling


@pytest.mark.slow
def test_a_request_and_its_cancel_in_one_burst_are_answered_once(server: Server) -> None:
    with server.connect() as peer:
        peer.send_apart(
            *(f for n in range(5000) for f in (stream(n, "count", window=2), cancel(n)))
        )
        books = Books()
        books.enter_all(peer, 5000)
        assert books.finals == Counter(repr(n) for n in range(5000))
        assert set(books.statuses) <= {429, 499}
        peer.assert_alive()
    server.assert_nothing_left()


@pytest.mark.slow
def test_in_a_storm_of_cancels_each_request_is_answered_once(server: Server) -> None:
    dice = random.Random(7)

    def request(uuid: int) -> dict[str, Any]:
        return dice.choice(
            [
                {"uuid": uuid, "route": "wait"},
                {"uuid": uuid, "route": "echo"},
                {"uuid": uuid, "route": "sync"},
                {"uuid": uuid, "route": "later", "payload": dice.randrange(4)},
                stream(uuid, "count", 20),
                stream(uuid, "count", window=2),
                stream(uuid, "count", dice.randrange(4)),
                stream(uuid, "paused"),
            ]
        )

    books = Books()
    with server.connect() as peer:
        for turn in range(100):
            uuids = range(turn * 50, turn * 50 + 50)
            peer.send(*map(request, uuids), PING)
            while (answer := peer.receive()) != PONG:
                books.enter(answer)
            storm = [cancel(n) for n in uuids for _ in range(dice.choice([1, 1, 2]))]
            storm += [cancel(dice.choice([f"never {n}", str(n), -n - 1])) for n in uuids]
            storm += [cancel(dice.randrange(n + 1)) for n in uuids]
            dice.shuffle(storm)
            peer.send_apart(*storm)
            books.enter_all(peer, 50 * (turn + 1))
        assert books.finals == Counter(repr(n) for n in range(5000))
        assert set(books.statuses) == {200, 499}
        assert books.statuses[499] > 1000
        peer.assert_alive()
    server.assert_nothing_left()


def test_a_cancel_that_races_the_end_leaves_one_answer(server: Server, stage: Stage) -> None:
    books = Books()
    with server.connect() as peer:
        for turn in range(20):
            uuids = range(turn * 100, turn * 100 + 50)
            server.call(stage.door().clear)
            peer.send(*requests(uuids, "wait"), *(stream(n + 50, "paused", 2) for n in uuids))
            eventually(lambda: stage.running == 100)
            sending = peer.send_apart(*(cancel(n) for pair in uuids for n in (pair, pair + 50)))
            server.call(stage.door().set)
            sending.join()
            books.enter_all(peer, (turn + 1) * 100)
        assert books.finals == Counter(repr(n) for n in range(2000))
        assert set(books.statuses) <= {200, 499}
        peer.assert_alive()
    server.assert_nothing_left()


def test_cancels_of_nothing_are_heard_and_not_answered(server: Server) -> None:
    with server.connect() as peer:
        peer.send(*(cancel(n) for n in range(1000)), stream("s", "count", window=1))
        books = Books()
        books.enter(peer.receive())
        peer.send(*[cancel("s")] * 100)
        books.enter_all(peer, 1)
        assert books.statuses == {499: 1}
        peer.send(*[cancel("s")] * 100)
        peer.assert_alive()
    server.assert_nothing_left()


def test_a_uuid_that_is_in_use_is_refused_and_its_stream_goes_on(
    server: Server, stage: Stage
) -> None:
    with server.connect() as peer:
        peer.send(stream("s", "paused", 200, window=100))
        assert peer.receive() == item("s", 0, 0)
        again = [stream("s", "count"), {"uuid": "s", "route": "echo"}, HELLO | {"uuid": "s"}] * 20
        peer.send(*again)
        refused = peer.receive_many(60)
        assert {(a["uuid"], a["status"], a["payload"]["code"]) for a in refused} == {
            ("s", 409, "duplicate")
        }
        server.call(stage.door().set)
        books = Books()
        books.enter(item("s", 0, 0))
        sending = peer.send_apart(*again)
        while books.finals.total() < 61:
            answer = peer.receive()
            books.enter(answer)
            if not is_final(answer):
                peer.send(ack("s", answer["headers"]["$seq"]))
            elif answer["status"] == 200 and "$seq" in answer["headers"]:
                assert answer == end("s", 200)
                break
        assert books.statuses[200] == 1
        sending.join()
    server.assert_nothing_left()


# --- generators in threads


def test_generators_in_threads_are_cancelled_and_closed_behind_their_step(
    server: Server, stage: Stage
) -> None:
    with server.connect() as peer:
        # More than there are threads (older anyios lend a few more): some hang, some wait for one.
        peer.send(*(stream(n, "threads", 5) for n in range(50)))
        eventually(lambda: stage.seen["hanging"] >= 40, lambda: stage.seen)
        peer.send(*(cancel(n) for n in range(50)))
        books = Books()
        books.enter_all(peer, 50)
        assert books.finals == Counter(repr(n) for n in range(50))
        assert books.statuses == {499: 50}
        peer.assert_alive()
        stage.stuck.set()
        eventually(lambda: stage.seen["left"] == stage.seen["begun"])
        eventually(lambda: stage.seen["closed"] == stage.seen["opened"] == 50)
        peer.send(*(stream(n, "threads", 5) for n in range(100)))
        books = Books()
        books.enter_all(peer, 100)
        assert books.statuses == {200: 100}
        peer.assert_alive()
    server.assert_nothing_left()


def test_generators_in_threads_of_a_peer_that_left_are_closed(server: Server, stage: Stage) -> None:
    peer = server.connect()
    peer.send(*(stream(n, "threads", 5) for n in range(50)))
    eventually(lambda: stage.seen["hanging"] >= 40, lambda: stage.seen)
    peer.reset()
    server.assert_nothing_left()
    stage.stuck.set()
    eventually(lambda: stage.seen["left"] == stage.seen["begun"])
    assert stage.seen["closed"] == stage.seen["opened"]
    with server.connect() as other:
        assert other.ask({"uuid": 1, "route": "sync", "payload": 2})["payload"] == 2
    server.assert_nothing_left()


# --- pushes


@pytest.mark.slow
def test_a_flood_of_pushes_reaches_all_but_the_one_that_does_not_read(
    serve: Serve, stage: Stage
) -> None:
    server = serve(build(stage, max_pushed_bytes=4 * MEGABYTE))
    news = "x" * 10_000
    before = resident_bytes()
    jammed = server.connect(receive_buffer=4096)
    eventually(lambda: len(server.router.connections) == 1)
    readers = [server.connect() for _ in range(19)]
    eventually(lambda: len(server.router.connections) == 20)
    handle, *_ = server.call(lambda: list(server.router.connections))

    def push(start: int, stop: int) -> None:
        for n in range(start, stop):
            server.router.connections.push("news", news, {"n": n})

    expected = b'{"uuid":"#","route":"news","headers":{"n":%%d},"payload":"%s"}' % news.encode()
    for start in range(0, 1000, 50):
        server.call(lambda start=start: push(start, start + 50))  # type: ignore[misc]
        for reader in readers:
            for n in range(start, start + 50):
                assert reader.receive_frame() == (TEXT, expected % n)
    assert resident_bytes() - before < 40 * MEGABYTE
    eventually(lambda: len(server.router.connections) == 19)
    assert handle.closed == (4008, "slow consumer")
    assert jammed.receive_close().code in (4008, ABNORMAL)
    jammed.drop()
    for reader in readers:
        reader.assert_alive()
        reader.drop()
    server.assert_nothing_left()


def test_pushes_come_between_items_and_each_in_its_order(server: Server) -> None:
    with server.connect() as peer:
        peer.send(stream("s", "count", 3000))
        eventually(lambda: len(server.router.connections) == 1)

        def push(n: int) -> None:
            assert server.router.connections.push("news", n) == 1

        def pushing() -> None:
            for n in range(300):
                server.call(lambda n=n: push(n))  # type: ignore[misc]

        thread = threading.Thread(target=pushing, daemon=True)
        thread.start()
        answers = peer.receive_many(3301)
        thread.join(PATIENCE)
        news = [a["payload"] for a in answers if "route" in a]
        assert news == list(range(300))
        items = [a for a in answers if "route" not in a]
        assert items == [*(item("s", n, n) for n in range(3000)), end("s", 3000)]
        peer.assert_alive()
    server.assert_nothing_left()


def test_pushes_to_peers_that_come_and_go_harm_nobody(server: Server) -> None:
    over = threading.Event()

    def pushing() -> None:
        while not over.is_set():
            server.call(lambda: server.router.connections.push("news", PADDING))

    thread = threading.Thread(target=pushing, daemon=True)
    thread.start()
    with server.connect() as witness:
        for n in range(60):
            peer = server.connect()
            assert peer.receive()["route"] == "news"
            (peer.reset, peer.drop, peer.close)[n % 3]()
            assert witness.receive()["route"] == "news"
        over.set()
        thread.join(PATIENCE)
        witness.send(PING)
        while (answer := witness.receive()) != PONG:
            assert answer["payload"] == PADDING
        witness.assert_alive()
    server.assert_nothing_left()


# --- calls from the server


def test_more_calls_than_run_at_a_time_may_ask_a_client_that_answers(server: Server) -> None:
    with server.connect() as peer:
        peer.send(HELLO)
        assert peer.receive()["status"] == 200
        peer.send(*(request for n in range(300) for request in requests([n], "ask", payload=n)))
        books = Books()
        while books.finals.total() < 300:
            message = peer.receive()
            if "route" in message:
                assert message["route"] == "confirm"
                peer.send({"uuid": message["uuid"], "status": 200, "payload": -message["payload"]})
                continue
            books.enter(message)
            if message["status"] == 200:
                assert message["payload"] == -message["uuid"]
        assert books.finals == Counter(repr(n) for n in range(300))
        assert set(books.statuses) <= {200, 429}
        assert books.statuses[200] >= 128
        peer.assert_alive()
    server.assert_nothing_left()


def test_answers_of_the_client_are_heard_behind_a_full_house(server: Server) -> None:
    with server.connect() as peer:
        peer.send(HELLO)
        assert peer.receive()["status"] == 200
        peer.send(*requests(range(64), "ask"))
        calls = peer.receive_many(64)
        peer.send(*requests(range(100, 400), "ask"))
        peer.send(*({"uuid": call["uuid"], "status": 200} for call in reversed(calls)))
        books = Books()
        while books.finals.total() < 364:
            message = peer.receive()
            if "route" in message:
                peer.send({"uuid": message["uuid"], "status": 200})
            else:
                books.enter(message)
        assert books.finals == Counter(map(repr, (*range(64), *range(100, 400))))
        assert books.statuses == {200: 128, 429: 236}
        peer.assert_alive()
    server.assert_nothing_left()


def test_streams_may_ask_their_client_for_each_item(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send(HELLO, *(stream(n, "ask-each", 5, window=2) for n in range(MAX_STREAMS)))
        books = Books()
        while books.finals.total() < MAX_STREAMS + 1:
            message = peer.receive()
            if "route" in message:
                peer.send({"uuid": message["uuid"], "status": 200, "payload": message["payload"]})
                continue
            books.enter(message)
            if not is_final(message):
                assert message["payload"] == message["headers"]["$seq"]
                peer.send(ack(message["uuid"], message["headers"]["$seq"]))
        assert books.statuses == {200: MAX_STREAMS + 1}
        assert stage.seen["left"] == stage.seen["closed"] == MAX_STREAMS
        peer.assert_alive()
    server.assert_nothing_left()


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_client_that_vanishes_when_it_is_asked_leaves_nothing(
    server: Server, stage: Stage, leave: str
) -> None:
    peer = server.connect()
    peer.send(
        HELLO,
        *requests(range(20), "ask"),
        *requests(range(20, 30), "ask-shielded"),
        *(stream(n, "ask-each") for n in range(30, 40)),
    )
    while peer.receive()["uuid"] != "#40":
        pass
    getattr(peer, leave)()
    eventually(lambda: stage.seen["lost"] == 10)
    server.assert_nothing_left()
    assert stage.seen == {"opened": 10, "lost": 10, "cancelled": 20, "left": 10, "closed": 10}


def test_a_call_whose_request_was_cancelled_is_cancelled_at_the_client(server: Server) -> None:
    with server.connect() as peer:
        peer.send(HELLO, *requests(range(50), "ask"))
        messages = peer.receive_many(51)
        asked = [message["uuid"] for message in messages if "route" in message]
        peer.send(*(cancel(n) for n in range(50)))
        told = peer.receive_many(100)
        assert Counter(m["uuid"] for m in told if m.get("route") == "$cancel") == Counter(asked)
        assert Counter(m["uuid"] for m in told if "status" in m) == Counter(range(50))
        peer.send(*({"uuid": uuid, "status": 200} for uuid in asked))  # too late, and no fault
        peer.assert_alive()
    server.assert_nothing_left()


# --- sessions


def guarded(stage: Stage, **options: Any) -> SocketRouter:
    """A token is how many seconds a session lasts; "door" waits first."""

    async def opened() -> AsyncIterator[None]:
        stage.seen["asked"] += 1
        yield
        stage.seen["told"] += 1

    async def authenticate(token: str, _: Annotated[None, Depends(opened)]) -> Authenticated:
        if token == "door":
            await stage.behind("auth")
            return Authenticated("ann")
        return Authenticated("ann", float(token))

    return build(stage, authenticate=authenticate, **options)


def hello(token: str, **members: Any) -> dict[str, Any]:
    payload = {"protocol": 1, "features": ["calls"], "token": token}
    return {"uuid": "hello", "route": "$hello", "payload": payload, **members}


def test_a_client_that_vanishes_while_it_is_asked_who_it_is_leaves_nothing(
    serve: Serve, stage: Stage
) -> None:
    server = serve(guarded(stage))
    for _ in range(20):
        peer = server.connect()
        peer.send(hello("door"), *requests(range(10), "wait"), stream("s", "paused"))
        peer.reset()
    eventually(lambda: stage.seen["asked"] == 20)
    server.call(stage.door("auth").set)
    eventually(lambda: stage.seen["told"] == 20)
    server.assert_nothing_left()
    assert stage.running == 0
    assert stage.seen["opened"] == stage.seen["closed"] == stage.seen["left"]


def test_an_authentication_that_hangs_ends_although_its_client_left(
    serve: Serve, stage: Stage
) -> None:
    server = serve(guarded(stage, auth_timeout=0.2))
    for _ in range(20):
        peer = server.connect()
        peer.send(hello("door"), *requests(range(10), "wait"))
        peer.reset()
    server.assert_nothing_left()
    assert stage.running == 0


def test_what_follows_a_slow_hello_waits_for_it_and_others_do_not(
    serve: Serve, stage: Stage
) -> None:
    server = serve(guarded(stage))
    with server.connect() as slow, server.connect() as fast:
        slow.send(hello("door"), stream("s", "count", 200), *requests(range(200), "echo"))
        eventually(lambda: stage.running == 1)
        fast.send(hello("60"))
        assert fast.receive()["status"] == 200
        fast.assert_alive()
        assert stage.seen["made"] == 0
        server.call(stage.door("auth").set)
        assert slow.receive()["uuid"] == "hello"
        books = Books()
        books.enter_all(slow, 201)
        assert books.statuses == {200: 201}
        slow.assert_alive()
    server.assert_nothing_left()


def test_a_session_that_ends_takes_its_streams_and_calls_along(serve: Serve, stage: Stage) -> None:
    server = serve(guarded(stage))
    with server.connect() as peer, server.connect() as busy:
        peer.send(
            hello("0.3"),
            *(stream(f"full {n}", "count", window=3) for n in range(5)),
            *(stream(f"waiting {n}", "paused") for n in range(5)),
            *requests(range(5), "wait"),
        )
        busy.send(hello("0.3"), stream("endless", "padded"))
        closed = peer.receive_close()
        assert (closed.code, closed.reason) == (4401, "session expired")
        # Behind megabytes that it has not read, a close may not reach it.
        assert busy.receive_close().code in (4401, ABNORMAL)
    eventually(lambda: stage.seen["closed"] == 11)
    server.assert_nothing_left()
    assert stage.seen["opened"] == stage.seen["left"] == 11
    assert stage.seen["cancelled"] == 10


def test_a_session_that_is_renewed_keeps_its_streams(serve: Serve, stage: Stage) -> None:
    server = serve(guarded(stage))
    with server.connect() as peer, server.connect() as other:
        peer.send(hello("0.3"), stream("s", "paused", 50))
        assert [peer.receive()["uuid"] for _ in "ab"] == ["hello", "s"]
        peer.send({"uuid": "more", "route": "$auth", "payload": {"token": "60"}})
        assert peer.receive()["payload"] == {"expires_in": 60}
        other.send(hello("0.3"))
        assert other.receive_close().code == 4401  # which was later than the first would be
        server.call(stage.door().set)
        assert peer.receive_many(50) == [*(item("s", n, n) for n in range(1, 50)), end("s", 50)]
        peer.assert_alive()
    server.assert_nothing_left()


# --- everything at once, by dice

CLOSE_CODES = {1003, 1008, 1009, 4008, ABNORMAL}
"""Those that a peer can bring about with what is sent here. The last: it was still sending."""


def everything(stage: Stage, **options: Any) -> SocketRouter:
    router = build(stage, **options)

    @router.route("some")
    async def some(payload: int) -> AsyncIterator[int]:
        for n in range(payload):
            if n % 3 == 2:
                await asyncio.sleep(0.001)
            yield n

    @router.route("some-in-threads")
    def some_in_threads(payload: int) -> Iterator[int]:
        yield from range(payload)

    @router.route("progress")
    async def progress(payload: int, progress: Progress) -> int:
        for n in range(payload):
            await progress(n)
        return payload

    @router.route("ordered", ordered=True)
    async def ordered(payload: Any) -> Reply:
        await asyncio.sleep(0.001)
        return Reply(payload)

    @router.route("briefly")
    async def briefly(payload: int) -> Reply:
        await asyncio.sleep(payload / 1000)
        return Reply(payload)

    @router.route("ask-briefly")
    async def ask_briefly(payload: Any, connection: Connection) -> str:
        try:
            await connection.call("confirm", payload, timeout=0.05)
        except SocketError as error:
            return type(error).__name__
        return "asked"

    @router.route("push")
    async def push(payload: Any, connection: Connection) -> None:
        await connection.push("news", payload)

    return router


class Talk:
    """A peer that says whatever its dice tell, and keeps the books of what it must be answered.

    One thread sends and one reads, so neither the peer nor the server waits for the other.
    """

    def __init__(self, peer: Peer, dice: random.Random) -> None:
        self.peer = peer
        self.dice = dice
        self.books = Books()
        self.expected: Counter[str] = Counter()
        self._windows: dict[str, float] = {}
        self._acked: dict[str, int] = {}
        self._said = 0
        self._uuids: list[Any] = []
        self._again: list[Any] = []
        """Those that more than one request may have."""
        self._streams: list[Any] = []
        self._begun: list[Any] = ["nobody"]
        """Those of streams that were heard of."""
        self._sending: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        try:
            while (frames := self._sending.get()) is not None:
                self.peer.send(*frames)
        except OSError:
            pass  # what was not sent is not answered either

    def stop(self) -> None:
        self._sending.put(None)
        self._thread.join(PATIENCE)

    # --- what is said

    def say(self, *frames: Any) -> None:
        for said in frames:
            text = said if isinstance(said, str) else None
            uuid = readable_uuid(text) if text is not None else said["uuid"]
            self.expected[repr(uuid)] += 1
        self._sending.put(list(frames))

    def whisper(self, *frames: Any) -> None:
        """Say what is never answered."""
        self._sending.put(list(frames))

    def known(self) -> Any:
        return self.dice.choice(self._uuids) if self._uuids else "nobody"

    def new(self) -> Any:
        if self._again and self.dice.random() < 0.05:
            return self.dice.choice(self._again)
        uuid = f"r{self._said}" if self.dice.random() < 0.5 else 1000 + self._said
        (self._again if self.dice.random() < 0.2 else self._uuids).append(uuid)
        self._said += 1
        return uuid

    def go_on(self) -> None:
        dice = self.dice
        match dice.choices(range(7), (30, 10, 25, 20, 10, 1, 4))[0]:
            case 0:
                self.say(self._stream(self.new()))
            case 1:
                self.whisper(ack(self.known(), dice.choice([10**9, -1, None, "0", 2**70])))
            case 2:
                self.say(self._request(self.new()))
            case 3:
                self.whisper(*[cancel(dice.choice(self._begun))] * dice.choice([1, 1, 2]))
            case 4:
                self.say(random_frame(dice))
            case 5:
                self.say(dice.choice([HELLO, hello("x"), {"uuid": "a", "route": "$auth"}]))
            case 6:
                # Never under the uuid of a stream, whose items are counted up to an answer.
                self.say({"uuid": 1 << 40, "route": "$cancel", "headers": [1]}, PING)

    def _stream(self, uuid: Any) -> dict[str, Any]:
        dice = self.dice
        route = dice.choice(["some"] * 4 + ["some-in-threads", "fail", "ask-each", "briefly"])
        asked: dict[str, Any] = {}
        if dice.random() < 0.6:
            asked["window"] = dice.choice([1, 2, 5, 0, True, "1", 10**6])
        if dice.random() < 0.1:
            asked["timeout"] = dice.choice([1000, 10**6, -1, "1"])
        if dice.random() < 0.1:
            route, asked["progress"] = "progress", True
        window = asked.get("window")
        if repr(uuid) in self._windows or type(window) is not int or window < 1:
            window = math.inf  # where a uuid is used again, one cannot tell
        self._windows[repr(uuid)] = window
        self._streams.append(uuid)
        return stream(uuid, route, dice.choice([0, 1, 5, 20]), **asked)

    def _request(self, uuid: Any) -> dict[str, Any]:
        dice = self.dice
        routes = ("echo", "sync", "ordered", "briefly", "ask-briefly", "push", "progress", "some")
        return {
            "uuid": uuid,
            "route": dice.choice(routes),
            "headers": dice.choice([None, {}, {"$progress": True}, {"$timeout": 1000}]),
            "payload": dice.randrange(8),
        }

    # --- what is heard

    def hear(self) -> None:
        message = self.peer.receive()
        if message.get("route") == "confirm":
            self._confirm(message["uuid"])
        elif message.get("route") == "$cancel":
            assert message["uuid"][0] == "#"
        elif message.get("route") == "news":
            assert message["uuid"] == "#"
        else:
            self.books.enter(message)
            uuid = message["uuid"]
            assert self.books.finals[repr(uuid)] <= self.expected[repr(uuid)], message
            if message.get("status") == 402 and "$seq" in message["headers"]:
                self._take(uuid, message["headers"]["$seq"])

    def _take(self, uuid: Any, seq: int) -> None:
        key = repr(uuid)
        assert seq <= self._acked.get(key, -1) + self._windows[key]
        if uuid not in self._again:
            self._begun.append(uuid)
        if self.dice.random() < 0.5:
            self._acked[key] = seq
            self.whisper(ack(uuid, seq))

    def _confirm(self, uuid: str) -> None:
        good: dict[str, Any] = {"uuid": uuid, "status": 200}
        match self.dice.randrange(6):
            case 0:
                self.whisper(good, good)
            case 1:
                self.whisper({**good, "status": self.dice.choice([404, 999, -1, 402])})
            case 2:
                self.say({**good, "status": self.dice.choice(["200", None, True, 2.5])})
            case 3:
                self.whisper({**good, "uuid": "#0", "headers": [1], "payload": PADDING})
            case 4:
                self.whisper(good)

    def hear_the_end(self) -> Closed:
        try:
            while True:
                self.hear()
        except Closed as closed:
            return closed

    def finish(self) -> None:
        """Cancel what may not end by itself, and hear all that is owed."""
        self.say({**PING, "uuid": "over"})
        while not self.books.finals[repr("over")]:
            self.hear()
        self.whisper(*(cancel(uuid) for uuid in self._streams))
        while self.books.finals.total() < self.expected.total():
            self.hear()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_said_each_request_is_answered_once(
    serve: Serve, stage: Stage, seed: int
) -> None:
    server = serve(everything(stage, max_bad_messages=1 << 30))
    dice = random.Random(seed)
    with server.connect() as peer:
        talk = Talk(peer, dice)
        if dice.random() < 0.8:
            talk.say(HELLO)
        for _ in range(150):
            for _ in range(dice.choice([1, 10, 20])):
                talk.go_on()
            for _ in range(dice.randrange(8)):
                if talk.books.finals.total() < talk.expected.total():
                    talk.hear()
        talk.finish()
        assert talk.books.finals == talk.expected
        talk.stop()
        talk.peer.assert_alive()
    server.assert_nothing_left()
    assert stage.seen["opened"] == stage.seen["closed"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_whatever_ends_a_conversation_its_code_is_a_known_one(
    serve: Serve, stage: Stage, seed: int
) -> None:
    server = serve(everything(stage, max_bad_messages=20, max_message_bytes=10_000))
    dice = random.Random(seed)
    for _ in range(15):
        peer = server.connect()
        talk = Talk(peer, dice)
        talk.say(HELLO)
        for _ in range(dice.randrange(100)):
            talk.go_on()
        match dice.randrange(5):
            case 0:
                talk.whisper('"' + "x" * 10_000 + '"')
            case 1:
                talk.say(*["{"] * 25)
            case 2:
                for _ in range(dice.randrange(50)):
                    talk.go_on()
                talk.stop()
                try:
                    peer.send_raw(frame(BINARY, b"binary") + text_frame(PING))
                except OSError:
                    pass
            case _:
                talk.stop()
                dice.choice([peer.reset, peer.drop])()
                continue
        assert talk.hear_the_end().code in CLOSE_CODES
        talk.stop()
        peer.drop()
    with server.connect() as witness:
        witness.assert_alive()
    server.assert_nothing_left()
    assert stage.seen["opened"] == stage.seen["closed"]
