"""
Peers that vanish, stall, flood and fall silent, and handlers that will not end.

Every test ends by looking at what the server still holds: no task, connection or socket may
outlive the peer it was for.
"""

import asyncio
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websockets.sync.client
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed

from fastapi_observable_socket import Reply, SocketRouter

from .peer import ABNORMAL, CLOSE, PATIENCE, TEXT, Closed, frame, handshake, requests, text_frame
from .serving import Server, Stage, eventually, resident_bytes

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Serve = Callable[[SocketRouter], Server]

MEGABYTE = 1 << 20

MAX_IN_FLIGHT = 64

LOOK_AHEAD = 64


def build(stage: Stage, **options: Any) -> SocketRouter:
    router = SocketRouter(**options)

    @router.route("echo")
    async def echo(payload: Any) -> Reply:
        stage.seen["echo"] += 1
        return Reply(payload)

    @router.route("wait")
    async def wait(payload: Any) -> Reply:
        await stage.behind()
        return Reply(payload)

    @router.route("shielded", shield=True)
    async def shielded(payload: Any) -> Reply:
        await stage.behind()
        return Reply(payload)

    @router.route("ordered")
    async def ordered(ws: WebSocket, payload: Any) -> Reply:
        await stage.behind(payload)
        ws.state.order = [*getattr(ws.state, "order", []), payload]
        return Reply(ws.state.order)

    @router.route("stubborn")
    async def stubborn() -> Reply:
        while not stage.door().is_set():
            try:
                await stage.door().wait()
            except asyncio.CancelledError:
                stage.seen["refused to go"] += 1
        stage.seen["ended"] += 1
        return Reply("too late")

    @router.route("polite")
    async def polite() -> Reply:
        try:
            await stage.door().wait()
        except asyncio.CancelledError:
            stage.seen["cancelled"] += 1
            return Reply("too late")
        return Reply("in time")

    @router.route("stuck")
    def stuck() -> Reply:
        stage.seen["stuck"] += 1
        stage.stuck.wait()
        stage.seen["ended"] += 1
        return Reply("too late")

    @router.route("big")
    async def big(payload: Any) -> Reply:
        stage.seen["big"] += 1
        return Reply("x" * MEGABYTE)

    @router.route("leave")
    async def leave(ws: WebSocket, payload: Any) -> Reply:
        await ws.close(*payload)
        return Reply("not seen")

    @router.route("leave-late")
    async def leave_late(ws: WebSocket) -> Reply:
        await stage.door().wait()
        await ws.close(4000, "enough")
        return Reply("not seen")

    return router


@pytest.fixture
def server(serve: Serve, stage: Stage) -> Server:
    return serve(build(stage))


def assert_serves(server: Server) -> None:
    with server.connect() as peer:
        peer.assert_alive()


# --- peers that vanish


@pytest.mark.parametrize("leave", ["reset", "drop"])
def test_a_peer_that_vanishes_while_nothing_is_read_is_noticed(
    server: Server, stage: Stage, leave: str
) -> None:
    peer = server.connect()
    sending = peer.send_apart(*requests(range(1000), "wait"))
    eventually(lambda: stage.running == MAX_IN_FLIGHT)
    sending.join(PATIENCE)
    getattr(peer, leave)()
    eventually(lambda: stage.seen["cancelled"] == MAX_IN_FLIGHT)
    server.assert_nothing_left()


@pytest.mark.parametrize("leave", ["reset", "drop", "close"])
def test_the_calls_of_a_peer_that_left_are_cancelled(
    server: Server, stage: Stage, leave: str
) -> None:
    peer = server.connect()
    peer.send(*requests(range(50), "wait"))
    eventually(lambda: stage.running == 50)
    getattr(peer, leave)()
    eventually(lambda: stage.seen["cancelled"] == 50)
    server.assert_nothing_left()
    assert stage.seen["ended"] == 0


def test_calls_that_wait_for_their_turn_never_start_when_the_peer_left(
    server: Server, stage: Stage
) -> None:
    peer = server.connect()
    peer.send(*requests(range(MAX_IN_FLIGHT), "wait"), *requests(range(100, 130), "echo"))
    eventually(lambda: stage.running == MAX_IN_FLIGHT)
    peer.reset()
    server.assert_nothing_left()
    assert stage.seen == {"cancelled": MAX_IN_FLIGHT}


def test_a_shielded_call_ends_although_its_peer_left(server: Server, stage: Stage) -> None:
    peer = server.connect()
    peer.send(*requests(range(10), "shielded"), *requests(range(10, 20), "wait"))
    eventually(lambda: stage.running == 20)
    peer.reset()
    eventually(lambda: stage.seen["cancelled"] == 10)
    assert stage.running == 10
    server.call(stage.door().set)
    eventually(lambda: stage.seen["ended"] == 10)
    server.assert_nothing_left()
    assert stage.seen["cancelled"] == 10


def test_a_peer_that_vanishes_within_a_burst_leaves_nothing(server: Server) -> None:
    for _ in range(20):
        peer = server.connect()
        peer.send_apart(*requests(range(500), "echo"), *requests(range(500, 520), "wait"))
        peer.receive_many(5)
        peer.reset()
    server.assert_nothing_left()
    assert_serves(server)


def test_a_peer_that_vanishes_within_a_frame_leaves_nothing(server: Server, stage: Stage) -> None:
    for leave in ("reset", "drop"):
        data = text_frame({"uuid": 1, "route": "echo", "payload": "x" * 1000})
        for cut in (1, 3, 5, 100):
            peer = server.connect()
            peer.send_raw(data[:cut])
            getattr(peer, leave)()
    server.assert_nothing_left()
    assert not stage.seen


def test_half_a_frame_holds_up_nobody_else(server: Server) -> None:
    with server.connect() as slow:
        data = text_frame({"uuid": 1, "route": "echo", "payload": None})
        slow.send_raw(data[:10])
        assert_serves(server)
        slow.send_raw(data[10:])
        assert slow.receive()["status"] == 200
        slow.assert_alive()
    server.assert_nothing_left()


@pytest.mark.slow
def test_a_thousand_connections_leave_no_task_and_no_memory(server: Server) -> None:
    def visit(number: int) -> None:
        peer = server.connect()
        peer.send({"uuid": 1, "route": "echo", "payload": number})
        if number % 3:
            assert peer.receive()["payload"] == number
        (peer.close, peer.drop, peer.reset)[number % 3 if number % 3 else 2]()

    for number in range(300):
        visit(number)
    server.assert_nothing_left()
    before = resident_bytes()
    for number in range(1000):
        visit(number)
    server.assert_nothing_left()
    assert resident_bytes() - before < 10 * MEGABYTE
    assert_serves(server)


def test_half_a_handshake_holds_up_nobody_and_leaves_nothing(server: Server) -> None:
    greeting = handshake(server.port)
    cut = random.Random(7)
    strangers = []
    for _ in range(100):
        stranger = socket.create_connection(("127.0.0.1", server.port))
        stranger.sendall(greeting[: cut.randrange(1, len(greeting))])
        strangers.append(stranger)
    assert_serves(server)
    for stranger in strangers:
        stranger.close()
    server.assert_nothing_left()


# --- peers that stall


def test_a_peer_that_never_reads_is_cut_and_its_socket_freed(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, send_timeout=0.5))
    before = resident_bytes()
    peer = server.connect(receive_buffer=4096)
    peer.send_apart(*requests(range(2000), "big"))
    eventually(lambda: stage.seen["big"])
    assert_serves(server)
    server.assert_nothing_left()
    # Two thousand answers would be two gigabytes.
    assert resident_bytes() - before < 200 * MEGABYTE
    assert stage.seen["big"] <= 2 * MAX_IN_FLIGHT
    assert_serves(server)
    peer.drop()


@pytest.mark.slow
def test_a_peer_that_never_reads_its_pongs_is_cut(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, send_timeout=0.5))
    before = resident_bytes()
    peer = server.connect(receive_buffer=4096)
    ping = text_frame({"uuid": "p" * 128, "route": "PING"})

    def flood() -> None:
        try:
            while True:
                peer.send_raw(ping * 1000)
        except OSError:
            pass

    flooding = threading.Thread(target=flood, daemon=True)
    flooding.start()
    assert_serves(server)
    server.assert_nothing_left()
    flooding.join(PATIENCE)
    assert not flooding.is_alive()
    assert resident_bytes() - before < 100 * MEGABYTE
    peer.drop()


def test_the_waiting_calls_of_a_peer_that_is_cut_are_cancelled(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, send_timeout=0.5))
    peer = server.connect(receive_buffer=4096)
    peer.send_apart(*requests(range(20), "wait"), *requests(range(100, 140), "big"))
    eventually(lambda: stage.seen["cancelled"] == 20)
    server.assert_nothing_left()
    peer.drop()


@pytest.mark.slow
def test_a_peer_that_reads_late_gets_every_answer(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, send_timeout=60))
    with server.connect(receive_buffer=4096) as peer:
        sending = peer.send_apart(*requests(range(100), "big"))
        eventually(lambda: stage.seen["big"])
        # It is not read from meanwhile, so it cannot make the server hold all at once.
        assert stage.seen["big"] <= 2 * MAX_IN_FLIGHT
        answers = peer.receive_many(100)
        assert sorted(answer["uuid"] for answer in answers) == list(range(100))
        sending.join()
        peer.assert_alive()
    server.assert_nothing_left()


# --- many requests


@pytest.mark.slow
def test_each_of_ten_thousand_requests_in_a_row_is_answered_once(server: Server) -> None:
    with server.connect() as peer:
        peer.send_apart(*({"uuid": n, "route": "echo", "payload": -n} for n in range(10_000)))
        answers = Counter((a["uuid"], a["payload"]) for a in peer.receive_many(10_000))
        assert answers == Counter((n, -n) for n in range(10_000))
        peer.assert_alive()
    server.assert_nothing_left()


def test_many_peers_at_once_get_their_own_answers(server: Server) -> None:
    peers = [server.connect() for _ in range(50)]
    for number, peer in enumerate(peers):
        peer.send(*requests(range(50), "echo", payload=number))
    for number, peer in enumerate(peers):
        answers = peer.receive_many(50)
        assert [a["uuid"] for a in answers] == list(range(50))
        assert {a["payload"] for a in answers} == {number}
        peer.close()
    server.assert_nothing_left()


def test_so_many_calls_run_at_a_time_and_heartbeats_do_not_wait(
    server: Server, stage: Stage
) -> None:
    with server.connect() as peer:
        # The last frame that is read before the server stops: room for one is left.
        ahead = MAX_IN_FLIGHT + LOOK_AHEAD - 1
        peer.send(*requests(range(ahead), "wait"), {"uuid": "alive?", "route": "PING"})
        assert peer.receive() == {
            "uuid": "alive?",
            "route": "PONG",
            "headers": None,
            "payload": None,
        }
        assert stage.running == MAX_IN_FLIGHT
        peer.send(*requests(range(ahead, 200), "wait"))
        server.call(stage.door().set)
        answers = Counter(answer["uuid"] for answer in peer.receive_many(200))
        assert answers == Counter(range(200))
        assert stage.peak == MAX_IN_FLIGHT
        peer.assert_alive()
    server.assert_nothing_left()


def test_fast_calls_are_answered_while_a_slow_one_runs(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send({"uuid": "slow", "route": "wait"}, *requests(range(100), "echo"))
        assert [a["uuid"] for a in peer.receive_many(100)] == list(range(100))
        assert stage.running == 1
        server.call(stage.door().set)
        assert peer.receive()["uuid"] == "slow"
        peer.assert_alive()
    server.assert_nothing_left()


def test_fast_calls_are_answered_while_many_slow_ones_run(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send(*requests([f"slow {n}" for n in range(MAX_IN_FLIGHT - 1)], "wait"))
        for n in range(100):
            assert peer.ask({"uuid": n, "route": "echo"})["uuid"] == n
        assert stage.running == MAX_IN_FLIGHT - 1
    server.assert_nothing_left()


def test_calls_that_take_the_socket_run_in_order_and_one_at_a_time(
    server: Server, stage: Stage
) -> None:
    with server.connect() as peer:
        peer.send(*({"uuid": n, "route": "ordered", "payload": n} for n in range(20)))
        peer.assert_alive()  # others need not wait for them
        for n in reversed(range(20)):
            server.call(stage.door(n).set)
        answers = peer.receive_many(20)
        assert [answer["uuid"] for answer in answers] == list(range(20))
        assert answers[-1]["payload"] == list(range(20))
        assert stage.peak == 1
        peer.assert_alive()
    server.assert_nothing_left()


def test_ordered_calls_of_two_connections_do_not_wait_for_each_other(
    server: Server, stage: Stage
) -> None:
    with server.connect() as one, server.connect() as other:
        one.send({"uuid": 1, "route": "ordered", "payload": "one"})
        other.send({"uuid": 1, "route": "ordered", "payload": "other"})
        eventually(lambda: stage.running == 2)
        server.call(stage.door("other").set)
        assert other.receive()["payload"] == ["other"]
    server.assert_nothing_left()


def test_a_router_that_rejects_answers_429_beyond_its_limit(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, overflow="reject", max_in_flight=8))
    with server.connect() as peer:
        peer.send(*requests(range(20), "wait"))
        refused = peer.receive_many(12)
        assert [a["uuid"] for a in refused] == list(range(8, 20))
        assert {(a["status"], a["payload"]["code"]) for a in refused} == {
            (429, "too_many_requests")
        }
        server.call(stage.door().set)
        assert sorted(a["uuid"] for a in peer.receive_many(8)) == list(range(8))
        peer.assert_alive()
    server.assert_nothing_left()


@pytest.mark.slow
def test_malformed_floods_end_themselves_and_hold_up_nobody(server: Server) -> None:
    floods = [server.connect() for _ in range(20)]
    for peer in floods:
        peer.send_apart(*["{"] * 5000)
    assert_serves(server)
    for peer in floods:
        assert_ended_by(peer.receive_close(), 1008)
        peer.drop()
    server.assert_nothing_left()


def assert_ended_by(closed: Closed, code: int) -> None:
    """A peer that was still sending may see the reset that follows instead of the code."""
    assert closed.code in (code, ABNORMAL)


# --- handlers that will not end


@pytest.fixture
def impatient(serve: Serve, stage: Stage) -> Iterator[Server]:
    """A server whose handlers have a tenth of a second."""
    yield serve(build(stage, handler_timeout=0.1))
    stage.stuck.set()


def assert_timed_out(answer: Any, uuid: Any) -> None:
    assert (answer["uuid"], answer["status"]) == (uuid, 504)
    assert answer["payload"]["code"] == "timeout"


def test_a_handler_out_of_time_is_cancelled_and_answered(impatient: Server, stage: Stage) -> None:
    with impatient.connect() as peer:
        assert_timed_out(peer.ask({"uuid": "t", "route": "wait"}), "t")
        eventually(lambda: stage.seen["cancelled"] == 1)
        assert stage.running == 0
        peer.assert_alive()
    impatient.assert_nothing_left()


def test_a_handler_that_answers_its_cancellation_is_out_of_time_too(
    impatient: Server, stage: Stage
) -> None:
    with impatient.connect() as peer:
        assert_timed_out(peer.ask({"uuid": 1, "route": "polite"}), 1)
        assert stage.seen["cancelled"] == 1
        peer.assert_alive()
    impatient.assert_nothing_left()


def test_a_handler_that_ignores_its_cancellation_keeps_nobody_waiting(
    impatient: Server, stage: Stage
) -> None:
    with impatient.connect() as peer:
        assert_timed_out(peer.ask({"uuid": 1, "route": "stubborn"}), 1)
        assert stage.seen["ended"] == 0
        peer.assert_alive()
        impatient.call(stage.door().set)
        eventually(lambda: stage.seen["ended"] == 1)
        peer.assert_alive()  # and no second answer came before
    impatient.assert_nothing_left()


def test_a_handler_in_a_thread_that_cannot_be_cancelled_keeps_nobody_waiting(
    impatient: Server, stage: Stage
) -> None:
    with impatient.connect() as peer:
        assert_timed_out(peer.ask({"uuid": 1, "route": "stuck"}), 1)
        assert stage.seen["ended"] == 0
        peer.assert_alive()
        stage.stuck.set()
        eventually(lambda: stage.seen["ended"] == 1)
        peer.assert_alive()
    impatient.assert_nothing_left()


def test_handlers_that_ignore_their_cancellation_do_not_use_up_the_connection(
    serve: Serve, stage: Stage
) -> None:
    server = serve(build(stage, handler_timeout=0.1, max_in_flight=4))
    with server.connect() as peer:
        peer.send(*requests(range(4), "stubborn"))
        for answer in peer.receive_many(4):
            assert_timed_out(answer, answer["uuid"])
        # It may be served or refused, but whoever asks is told.
        assert peer.ask({"uuid": "next", "route": "echo"})["status"] in (200, 429, 503, 504)
        server.call(stage.door().set)
        eventually(lambda: stage.seen["ended"] == 4)
        peer.assert_alive()
    server.assert_nothing_left()


def test_half_closed_peers_leave_nothing(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send(*requests(range(5), "wait"))
        eventually(lambda: stage.running == 5)
        peer.socket.shutdown(socket.SHUT_WR)
        eventually(lambda: stage.seen["cancelled"] == 5)
        assert peer.receive_close()
    server.assert_nothing_left()


def test_ordered_calls_behind_one_out_of_time_are_not_lost(impatient: Server, stage: Stage) -> None:
    with impatient.connect() as peer:
        impatient.call(stage.door("open").set)
        peer.send(
            {"uuid": 1, "route": "ordered", "payload": "shut"},
            {"uuid": 2, "route": "ordered", "payload": "open"},
        )
        assert_timed_out(peer.receive(), 1)
        assert peer.receive()["payload"] == ["open"]
        peer.assert_alive()
    impatient.assert_nothing_left()


def test_a_peer_that_left_need_not_wait_for_stubborn_handlers(server: Server, stage: Stage) -> None:
    peer = server.connect()
    peer.send({"uuid": 1, "route": "stubborn"}, {"uuid": 2, "route": "wait"})
    eventually(lambda: stage.running == 1)
    peer.reset()
    eventually(lambda: stage.seen["refused to go"])
    eventually(lambda: stage.seen["cancelled"] == 1)
    assert_serves(server)
    server.call(stage.door().set)
    server.assert_nothing_left()


# --- who gets in


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://127.0.0.1.evil.example",
        "http://evil.example#127.0.0.1",
        "http://127.0.0.1@evil.example",
        "null",
        "",
        "127.0.0.1",
        "http://[",
        "file://",
    ],
)
def test_pages_of_other_hosts_are_refused(server: Server, origin: str) -> None:
    with server.connect(headers={"Origin": origin}) as peer:
        assert peer.status == 403
    server.assert_nothing_left()


@pytest.mark.parametrize("origin", ["http://127.0.0.1", "http://127.0.0.1:3000"])
def test_pages_of_the_same_host_may_enter(server: Server, origin: str) -> None:
    with server.connect(headers={"Origin": origin}) as peer:
        assert peer.status == 101
        peer.assert_alive()
    server.assert_nothing_left()


def test_allowed_origins_may_enter_and_no_others(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, allowed_origins=["https://app.example.com"]))
    with server.connect(headers={"Origin": "https://app.example.com"}) as peer:
        peer.assert_alive()
    with server.connect(headers={"Origin": "http://app.example.com"}) as peer:
        assert peer.status == 403
    server.assert_nothing_left()


def sync_no(_: WebSocket) -> bool:
    return False


async def async_no(_: WebSocket) -> bool:
    return False


@pytest.mark.parametrize("access_logic", [sync_no, async_no])
def test_who_is_refused_for_good_is_accepted_and_told(
    serve: Serve, stage: Stage, access_logic: Any
) -> None:
    server = serve(build(stage, access_logic=access_logic))
    with server.connect() as peer:
        assert peer.status == 101
        with pytest.raises(Closed, match="1008 Access denied"):
            peer.ask({"uuid": 1, "route": "echo"})
    server.assert_nothing_left()
    assert stage.seen["echo"] == 0


def test_who_is_refused_may_be_told_by_http(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, access_logic=async_no, deny="http"))
    with server.connect() as peer:
        assert peer.status == 403
    server.assert_nothing_left()


async def broken(_: WebSocket) -> bool:
    raise ConnectionError("the session store is down")


def test_who_cannot_be_judged_now_is_asked_to_come_back(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, access_logic=broken))
    with server.connect() as peer:
        assert peer.status == 503
        assert int(peer.headers["retry-after"]) > 0
    server.assert_nothing_left()


def test_a_full_server_asks_to_come_back_and_has_room_again(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, max_connections=1))
    with server.connect() as first:
        with server.connect() as second:
            assert second.status == 503
            assert int(second.headers["retry-after"]) > 0
        first.assert_alive()
        first.close()
    server.assert_nothing_left()
    assert_serves(server)


def test_a_peer_that_leaves_while_it_is_judged_is_forgotten(serve: Serve, stage: Stage) -> None:
    async def slow(_: WebSocket) -> bool:
        await stage.behind()
        return True

    server = serve(build(stage, access_logic=slow))
    stranger = socket.create_connection(("127.0.0.1", server.port))
    stranger.sendall(handshake(server.port))
    eventually(lambda: stage.running == 1)
    stranger.close()
    server.call(stage.door().set)
    server.assert_nothing_left()
    assert_serves(server)


# --- silence


def test_a_peer_whose_heartbeat_stopped_is_closed(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, idle_timeout=0.2))
    with server.connect() as peer:
        peer.ask({"uuid": 1, "route": "PING"})
        with pytest.raises(Closed, match="4408 idle timeout"):
            peer.receive()
    server.assert_nothing_left()


def test_a_peer_without_heartbeat_has_its_own_time(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, idle_timeout=0.05, idle_timeout_without_heartbeat=0.3))
    with server.connect() as peer, pytest.raises(Closed, match="4408 idle timeout"):
        peer.receive()
    server.assert_nothing_left()


def test_a_peer_that_waits_for_an_answer_is_not_idle(serve: Serve, stage: Stage) -> None:
    server = serve(build(stage, idle_timeout=0.1, idle_timeout_without_heartbeat=0.1))
    with server.connect() as peer:
        peer.send({"uuid": 1, "route": "PING"}, {"uuid": 2, "route": "wait"})
        assert peer.receive()["route"] == "PONG"
        # No fact says that nothing happened: this is five times what it must survive.
        time.sleep(0.5)
        server.call(stage.door().set)
        assert peer.receive()["uuid"] == 2
        assert peer.receive_close().code == 4408
    server.assert_nothing_left()


# --- handlers that close


@pytest.mark.parametrize(("code", "reason"), [(1000, None), (4000, "enough"), (1008, "é" * 40)])
def test_a_handler_may_close_the_socket(
    server: Server, stage: Stage, code: int, reason: str | None
) -> None:
    with server.connect() as peer:
        peer.send(*requests(range(5), "wait"))
        eventually(lambda: stage.running == 5)
        peer.send({"uuid": "bye", "route": "leave", "payload": [code, reason]})
        with pytest.raises(Closed) as closed:
            peer.receive()
        assert (closed.value.code, closed.value.reason) == (code, reason or "")
    eventually(lambda: stage.seen["cancelled"] == 5)
    server.assert_nothing_left()


def test_a_handler_that_waited_may_close_the_socket(server: Server, stage: Stage) -> None:
    with server.connect() as peer:
        peer.send({"uuid": "bye", "route": "leave-late"}, *requests(range(5), "wait"))
        eventually(lambda: stage.running == 5)
        server.call(stage.door().set)
        assert peer.receive_close().code == 4000
    server.assert_nothing_left()


def test_a_close_by_a_handler_that_the_peer_does_not_answer_leaves_nothing(
    server: Server, stage: Stage
) -> None:
    with server.connect() as peer:
        peer.send({"uuid": 1, "route": "wait"})
        peer.send({"uuid": 2, "route": "leave", "payload": [4000, "enough"]})
        assert peer.receive_frame() == (CLOSE, (4000).to_bytes(2, "big") + b"enough")
    eventually(lambda: stage.seen["cancelled"] == 1)
    server.assert_nothing_left()


# --- an honest client


def test_an_honest_client_is_served(server: Server) -> None:
    with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        client.send('{"uuid": 1, "route": "echo", "payload": "é"}')
        assert client.recv() == '{"uuid":1,"status":200,"headers":{},"payload":"é"}'
        client.ping().wait(30)
    server.assert_nothing_left()


def test_an_honest_client_may_compress_and_cut_into_fragments(server: Server) -> None:
    with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        client.send(['{"uuid": 1, "route": "echo", ', '"payload": "', "x" * 100_000, '"}'])
        assert len(client.recv()) > 100_000
    server.assert_nothing_left()


def test_an_honest_client_is_told_why_the_connection_ends(server: Server) -> None:
    with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        client.send(b"binary")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003
    server.assert_nothing_left()


def test_a_close_is_answered_with_its_own_code(server: Server) -> None:
    for code in (1000, 1001, 3000, 4999):
        with server.connect() as peer:
            peer.send_raw(frame(TEXT, b"{") + frame(CLOSE, code.to_bytes(2, "big")))
            assert peer.receive_close().code in (code, 1000)
    server.assert_nothing_left()
