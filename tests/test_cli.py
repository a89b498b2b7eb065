"""The command line, against real servers."""

import asyncio
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import FastAPI, Header, HTTPException, WebSocket

from fastapi_observable_socket import (
    Connection,
    HandlerResult,
    Progress,
    Reply,
    SocketRouter,
)
from fastapi_observable_socket.__main__ import main

app = FastAPI()
listeners: dict[str, list[Any]] = {"times": [], "received": [], "left": []}


async def gate(ws: WebSocket) -> bool:
    match ws.query_params.get("gate"):
        case "full":
            raise HTTPException(503)
        case "shut":
            return False
    return True


router = SocketRouter(gate)


@router.route("math/sum")
async def add(payload: list[int]) -> Reply:
    return Reply({"sum": sum(payload)}, 200, {"unit": "apples"})


@router.route("mirror")
async def mirror(headers: dict[str, Any], payload: Any) -> HandlerResult:
    return {"status": 200, "payload": {"headers": headers, "payload": payload}}


@router.route("handshake")
async def handshake(ws: WebSocket, x_tenant: Annotated[str, Header()] = "none") -> dict[str, Any]:
    return {"tenant": x_tenant, "origin": ws.headers.get("origin")}


@router.route("pending")
async def pending() -> Reply:
    return Reply({"job": 7}, 402)


@router.route("slow")
async def slow() -> None:
    await asyncio.sleep(60)


@router.route("text")
async def text() -> str:
    return "grüße \x1b[31m"


@router.route("count")
async def count(payload: int) -> AsyncIterator[Any]:
    listeners["left"].clear()
    try:
        for number in range(payload):
            yield {"n": number}
        if payload > 1_000_000:
            await asyncio.sleep(60)
    finally:
        listeners["left"].append(payload)


@router.route("broken")
async def broken() -> AsyncIterator[str]:
    yield "grüße"
    raise HTTPException(409, "enough")


@router.topic("orders/{number}", publish=True)
async def orders(number: int) -> bool:
    return number != 13


@router.topic("board")
async def board() -> dict[str, str]:
    return {"note": "grüße"}


@router.route("publish")
async def publish(payload: list[Any]) -> None:
    for event in payload[1:]:
        await router.publish(payload[0], event)


@router.route("work")
async def work(progress: Progress) -> str:
    await progress({"done": 1})
    return "done"


router.mount(app, "/ws")


async def known(token: str | None) -> str | None:
    return token if token == "ada" else None


members = SocketRouter(authenticate=known)


@members.route("who")
async def who(connection: Connection) -> Any:
    return connection.user


@members.route("tell")
async def tell(connection: Connection) -> AsyncIterator[Any]:
    yield connection.user


members.mount(app, "/members")


@app.websocket("/closes/{code}")
async def closes(ws: WebSocket, code: int) -> None:
    """Takes one frame, and leaves without an answer."""
    await ws.accept()
    await ws.receive_text()
    await ws.close(code, "so be it")


@app.websocket("/raw")
async def raw(ws: WebSocket) -> None:
    """Answers with what was sent, as text, after some frames that are not meant."""
    await ws.accept()
    frame = await ws.receive_text()
    uuid = json.loads(frame)["uuid"]
    await ws.send_text("not json")
    await ws.send_bytes(b"\x00")
    await ws.send_json({"uuid": "another", "status": 200, "payload": None})
    await ws.send_json({"uuid": "#", "route": "news", "payload": None})
    await ws.send_json({"uuid": uuid, "status": 299, "headers": None, "payload": frame})


@app.websocket("/pushes")
async def pushes(ws: WebSocket) -> None:
    """Two pushes and a restart the first time, one push and a refusal the second."""
    listeners["times"].append(time.monotonic())
    await ws.accept()
    if len(listeners["times"]) == 1:
        await ws.send_text('{"uuid":"#","route":"news","payload":1}')
        await ws.send_text('{"uuid":"#","route":"news","payload":"grüße"}')
        await ws.close(1012, "restart")
    else:
        await ws.send_text("no json \x1b[31m")
        await ws.close(1008, "enough")


@app.websocket("/quiet")
async def quiet(ws: WebSocket) -> None:
    """Answers two heartbeats, then nothing; refuses whoever comes back."""
    await ws.accept()
    if listeners["received"]:
        await ws.close(1008, "you were here")
        return
    async for text in ws.iter_text():
        listeners["received"].append(json.loads(text))
        if len(listeners["received"]) < 3:
            await ws.send_json({"uuid": json.loads(text)["uuid"], "route": "PONG"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, lifespan="off")
    )
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(
    port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Runs the command line in this process; `{ws}` stands for the server's address."""

    def run(*arguments: str) -> Outcome:
        filled = [a.replace("{ws}", f"ws://127.0.0.1:{port}") for a in arguments]
        monkeypatch.setattr(sys, "argv", ["fastapi-observable-socket", *filled])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return Outcome(end.value.code, out, err)  # type: ignore[arg-type]

    return run


Run = Callable[..., Outcome]


# --- call: the answer


def test_payload_goes_to_standard_output_and_status_to_standard_error(run: Run):
    outcome = run("call", "{ws}/ws", "math/sum", "[1, 2, 3]")
    assert (outcome.code, outcome.out) == (0, '{"sum": 6}\n')
    assert outcome.err == "200 OK\nunit: apples\n"


def test_an_error_status_ends_with_one(run: Run):
    outcome = run("call", "{ws}/ws", "math/sum", '["x"]')
    assert outcome.code == 1
    assert outcome.err == "400 BAD_REQUEST\n"
    assert json.loads(outcome.out)["detail"][0]["loc"] == ["payload", 0]


def test_402_is_pending_and_no_success(run: Run):
    outcome = run("call", "{ws}/ws", "pending")
    assert (outcome.code, outcome.err) == (1, "402 PENDING\n")


def test_an_unknown_route_is_an_error_status(run: Run):
    outcome = run("call", "{ws}/ws", "nothing")
    assert outcome.code == 1
    assert outcome.err.startswith("404 NOT_FOUND")


def test_message_headers_go_into_the_frame(run: Run):
    outcome = run("call", "{ws}/ws", "mirror", "-H", "article=7", "--header", "note=a=b")
    assert json.loads(outcome.out)["headers"] == {"article": "7", "note": "a=b"}


def test_http_headers_and_origin_go_into_the_handshake(run: Run):
    outcome = run(
        "call",
        "{ws}/ws",
        "handshake",
        "--http-header",
        "X-Tenant=acme",
        "--origin",
        "http://127.0.0.1:1",
    )
    assert json.loads(outcome.out) == {"tenant": "acme", "origin": "http://127.0.0.1:1"}


def test_a_http_address_will_do(run: Run, port: int):
    outcome = run("call", f"http://127.0.0.1:{port}/ws", "math/sum", "[]")
    assert (outcome.code, outcome.out) == (0, '{"sum": 0}\n')


def test_a_missing_payload_is_absent_from_the_frame(run: Run):
    outcome = run("call", "{ws}/raw", "any")
    assert (outcome.code, outcome.err) == (0, "299\n")
    assert "payload" not in json.loads(json.loads(outcome.out))


def test_a_payload_is_sent_as_it_was_written(run: Run):
    outcome = run("call", "{ws}/raw", "any", '{"n": 1.10, "big": 123456789012345678901234567890}')
    assert '{"n": 1.10, "big": 123456789012345678901234567890}' in json.loads(outcome.out)


def test_a_negative_number_follows_two_hyphens(run: Run):
    outcome = run("call", "{ws}/ws", "mirror", "--", "-5")
    assert json.loads(outcome.out)["payload"] == -5


def test_json_prints_the_frame_as_it_came(run: Run):
    outcome = run("call", "{ws}/ws", "math/sum", "[4]", "--json")
    frame = json.loads(outcome.out)
    assert (frame["status"], frame["payload"]) == (200, {"sum": 4})


def test_text_is_readable_and_harmless(run: Run):
    assert run("call", "{ws}/ws", "text").out == '"grüße \\u001b[31m"\n'


# --- call: what was typed


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ("{a: 1}", "line 1, character 2\n  {a: 1}\n   ^"),
        ("hello", "line 1, character 1\n  hello\n  ^"),
        ('{"a": 1,\n "b": hello}', 'line 2, character 7\n   "b": hello}\n        ^'),
        ("[1, 2", "line 1, character 6\n  [1, 2\n       ^"),
        ("NaN", "NaN"),
        ("  ", "empty"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_payload_that_is_not_json_is_shown_its_place(run: Run, payload: str, place: str):
    outcome = run("call", "{ws}/ws", "mirror", payload)
    assert outcome.code == 2
    assert place in outcome.err
    assert "quote it" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("call", "{ws}/ws", "mirror", "-H", "nothing"),
        ("call", "{ws}/ws", "mirror", "-H", "=value"),
        ("call", "localhost:8000/ws", "mirror"),
        ("call", "ftp://localhost/ws", "mirror"),
        ("call", "ws://", "mirror"),
        ("call", "ws://localhost:99999/ws", "mirror"),
        ("call", "{ws}/ws", "mirror", '"\udcff"'),
        ("call", "{ws}/ws", "mirror", "--timeout", "soon"),
        ("call", "{ws}/ws"),
        ("listen", "localhost"),
        ("unknown",),
    ],
)
def test_what_is_typed_wrong_ends_with_two(run: Run, arguments: tuple[str, ...]):
    outcome = run(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


# --- call: the server's absence


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/ws?gate=shut", "the server refused us: 1008 Access denied"),
        ("/ws?gate=full", "HTTP 503 Service Unavailable: try again in 5 s"),
        ("/nowhere", "HTTP 403 Forbidden: no socket at this path, or not for you"),
        ("/closes/1012", "the server closed the connection: 1012 so be it"),
        ("/closes/1008", "the server refused us: 1008 so be it"),
        ("/closes/1000", "the server closed the connection: 1000 so be it"),
    ],
)
def test_a_server_that_does_not_serve_us_ends_with_three(run: Run, path: str, reason: str):
    outcome = run("call", "{ws}" + path, "math/sum", "[1]")
    assert (outcome.code, outcome.out) == (3, "")
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1


def test_an_origin_that_is_not_allowed_is_told(run: Run):
    outcome = run("call", "{ws}/ws", "math/sum", "[]", "--origin", "https://evil.example")
    assert outcome.code == 3
    assert "403" in outcome.err


def test_no_answer_in_time_ends_with_three(run: Run):
    outcome = run("call", "{ws}/ws", "slow", "--timeout", "0.2")
    assert (outcome.code, outcome.err) == (3, "no answer within 0.2 s\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_that_is_not_there_is_told_in_one_line(run: Run, host: str):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcome = run("call", f"ws://{host}:{port}/ws", "any")
    assert outcome.code == 3
    assert outcome.err == f"connection refused: nothing listens at ws://{host}:{port}/ws\n"


def test_a_peer_that_is_no_websocket_server_is_told(run: Run):
    with socket.create_server(("127.0.0.1", 0)) as deaf:

        def answer() -> None:
            peer, _ = deaf.accept()
            peer.recv(1000)
            peer.sendall(b"220 mail.example.com ESMTP\r\n")
            peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        outcome = run("call", f"ws://127.0.0.1:{deaf.getsockname()[1]}/ws", "any")
        thread.join()
    assert outcome.code == 3
    assert outcome.err.startswith("no WebSocket at ")


def test_a_server_that_never_answers_the_handshake_is_told(run: Run):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/ws"
        outcome = run("call", url, "any", "--timeout", "0.2")
    assert outcome.code == 3
    assert outcome.err == f"{url} did not open a socket within 0.2 s\n"


# --- call: more than one answer, and who is there


def test_progress_goes_to_standard_error(run: Run):
    outcome = run("call", "{ws}/ws", "work", "--progress")
    assert (outcome.code, outcome.out) == (0, '"done"\n')
    assert outcome.err == '{"done": 1}\n200 OK\n'
    assert run("call", "{ws}/ws", "work").err == "200 OK\n"


@pytest.mark.parametrize("command", ["call", "stream"])
def test_a_token_says_who_is_there(run: Run, command: str, monkeypatch: pytest.MonkeyPatch):
    route = {"call": "who", "stream": "tell"}[command]
    assert run(command, "{ws}/members", route, "--token", "ada").out == '"ada"\n'
    stranger = run(command, "{ws}/members", route, "--token", "eve")
    assert (stranger.code, stranger.out) == (3, "")
    assert stranger.err.startswith("the server refused us: 1008")
    monkeypatch.setenv("FOS_TOKEN", "ada")
    assert run(command, "{ws}/members", route).out == '"ada"\n'


# --- stream


def test_items_are_printed_one_on_each_line(run: Run):
    outcome = run("stream", "{ws}/ws", "count", "3", "--window", "1")
    assert (outcome.code, outcome.out, outcome.err) == (0, '{"n": 0}\n{"n": 1}\n{"n": 2}\n', "")


def test_an_end_that_is_no_success_ends_with_one(run: Run):
    outcome = run("stream", "{ws}/ws", "broken")
    assert (outcome.code, outcome.out) == (1, '"grüße"\n')
    assert outcome.err.startswith("409 CONFLICT\n")
    assert "enough" in outcome.err
    assert run("stream", "{ws}/ws", "nothing").code == 1


def test_a_count_stops_and_cancels_the_rest(run: Run):
    listeners["left"].clear()
    outcome = run("stream", "{ws}/ws", "count", "1000000", "--count", "2")
    assert (outcome.code, outcome.out) == (0, '{"n": 0}\n{"n": 1}\n')
    deadline = time.monotonic() + 10
    while not listeners["left"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_route_that_is_no_stream_has_one_item_or_those_of_its_list(run: Run):
    assert run("stream", "{ws}/ws", "math/sum", "[1]").out == '{"sum": 1}\n'


def test_a_first_item_that_does_not_come_ends_with_three(run: Run):
    outcome = run("stream", "{ws}/ws", "slow", "--timeout", "0.2")
    assert (outcome.code, outcome.err) == (3, "no answer within 0.2 s\n")


@pytest.mark.parametrize(
    "arguments", [("--window", "0"), ("--count", "0"), ("--timeout", "soon"), ("-H", "nothing")]
)
def test_a_mistyped_stream_ends_with_two(run: Run, arguments: tuple[str, ...]):
    assert run("stream", "{ws}/ws", "count", "1", *arguments).code == 2


# --- subscribe


def test_events_are_printed_one_on_each_line_and_where_to_go_on_at_the_end(run: Run, port: int):
    subscribing = program("subscribe", f"ws://127.0.0.1:{port}/ws", "orders/1", "--count", "2")
    assert subscribing.stderr is not None
    assert subscribing.stderr.readline().startswith("listening to")
    until_subscribed("orders/1")
    run("call", "{ws}/ws", "publish", '["orders/1", {"n": 1}, "grüße", 3]')
    out, err = subscribing.communicate(timeout=20)
    assert (subscribing.returncode, out) == (0, '{"n": 1}\n"grüße"\n')
    option, position = err.split()
    assert option == "--since"
    rest = run("subscribe", "{ws}/ws", "orders/1", option, position, "--count", "1")
    assert (rest.code, rest.out) == (0, "3\n")


def until_subscribed(topic: str) -> None:
    deadline = time.monotonic() + 10
    while topic not in router._topics.hub.topics():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_state_is_printed_where_it_is_asked_for_and_again_after_a_gap(run: Run):
    run("call", "{ws}/ws", "publish", '["board", 1]')
    outcome = program_of(run, "--snapshot", "--since", "another:1")
    assert outcome.out == '{"note": "grüße"}\n{"note": "grüße"}\n2\n'
    assert "events are lost here\n" in outcome.err
    assert program_of(run).out == "2\n"


def program_of(run: Run, *arguments: str) -> Outcome:
    """`subscribe` to the board, on which an event is published once it is followed."""
    publishing = threading.Thread(
        target=lambda: (
            until_subscribed("board"),
            asyncio.run_coroutine_threadsafe(router.publish("board", 2), loop_of()).result(10),
        )
    )
    publishing.start()
    outcome = run("subscribe", "{ws}/ws", "board", "--count", "1", *arguments)
    publishing.join()
    return outcome


def loop_of() -> asyncio.AbstractEventLoop:
    loop = router._topics.hub._loop
    assert loop is not None
    return loop


def test_a_topic_that_is_refused_ends_with_one(run: Run):
    for topic, status in (("orders/13", "403 FORBIDDEN"), ("nothing", "404 NOT_FOUND")):
        outcome = run("subscribe", "{ws}/ws", topic)
        assert (outcome.code, outcome.out) == (1, "")
        assert status in outcome.err
    outcome = run("subscribe", "{ws}/members", "orders/1", "--token", "ada")
    assert outcome.code == 1
    assert "the server has no topics" in outcome.err


def test_a_server_that_is_away_ends_subscribing_with_three(run: Run):
    assert run("subscribe", "{ws}/nowhere", "orders/1").code == 3
    outcome = run("subscribe", "{ws}/quiet", "orders/1", "--timeout", "0.2")
    assert outcome.code == 3


@pytest.mark.parametrize(
    "arguments",
    [("",), ("a", "--since", "1"), ("a", "--since", "x:y"), ("a", "--count", "0")],
)
def test_a_mistyped_subscription_ends_with_two(run: Run, arguments: tuple[str, ...]):
    assert run("subscribe", "{ws}/ws", *arguments).code == 2


def test_ctrl_c_ends_subscribing_with_130(port: int):
    subscribing = program("subscribe", f"ws://127.0.0.1:{port}/ws", "orders/7")
    until_subscribed("orders/7")
    event = asyncio.run_coroutine_threadsafe(router.publish("orders/7", {"n": 1}), loop_of())
    event.result(10)
    assert subscribing.stdout is not None
    assert subscribing.stdout.readline()  # it has its answer: it knows where it stands
    subscribing.send_signal(signal.SIGINT)
    _, err = subscribing.communicate(timeout=20)
    assert subscribing.returncode == 130
    assert "Traceback" not in err
    assert "--since " in err


# --- listen


def test_listen_says_who_is_there_too(run: Run):
    outcome = run("listen", "{ws}/members", "--token", "eve")
    assert outcome.code == 3
    assert "the server refused us: 1008" in outcome.err


def test_listen_comes_back_after_a_restart_and_stays_away_after_1008(run: Run):
    listeners["times"].clear()
    outcome = run("listen", "{ws}/pushes")
    assert outcome.code == 3
    first, second, third = outcome.out.splitlines()
    assert json.loads(first)["payload"] == 1
    assert json.loads(second)["payload"] == "grüße"
    assert third == "no json \x1b[31m"
    assert "1012 restart; next attempt in" in outcome.err
    assert outcome.err.endswith("the server refused us: 1008 enough\n")
    assert len(listeners["times"]) == 2


def test_listen_keeps_the_heartbeat_and_leaves_a_server_that_has_none(run: Run):
    listeners["received"].clear()
    outcome = run("listen", "{ws}/quiet", "--heartbeat", "0.1")
    pings = listeners["received"]
    assert [ping["route"] for ping in pings] == ["PING"] * 3
    assert len({ping["uuid"] for ping in pings}) == 3
    assert "the connection was lost; next attempt in" in outcome.err
    assert outcome.err.endswith("you were here\n")
    assert outcome.out == ""


def test_listen_stays_away_after_a_refused_handshake(run: Run):
    assert run("listen", "{ws}/nowhere").code == 3


# --- as a program


def program(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fastapi_observable_socket", *arguments],
        # Whoever runs the tests in the background has Ctrl-C ignored, and we inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
    )


def test_a_hyphen_reads_the_payload_from_standard_input(port: int):
    calling = program("call", f"ws://127.0.0.1:{port}/ws", "mirror", "-", stdin=subprocess.PIPE)
    out, _ = calling.communicate('\ufeff{"title": "grüße"}\n', timeout=20)
    assert json.loads(out)["payload"] == {"title": "grüße"}
    assert calling.returncode == 0


def test_ctrl_c_ends_listening_cleanly(port: int):
    listening = program("listen", f"ws://127.0.0.1:{port}/ws")
    assert listening.stderr is not None
    assert listening.stderr.readline().startswith("listening to")
    listening.send_signal(signal.SIGINT)
    out, err = listening.communicate(timeout=20)
    assert (listening.returncode, out, err) == (0, "", "")


def test_ctrl_c_ends_a_call_with_130():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        calling = program("call", f"ws://127.0.0.1:{silent.getsockname()[1]}/ws", "any")
        peer, _ = silent.accept()
        calling.send_signal(signal.SIGINT)
        _, err = calling.communicate(timeout=20)
        peer.close()
    assert (calling.returncode, err) == (130, "")


def test_ctrl_c_ends_a_stream_with_130_and_on_the_server(port: int):
    url = f"ws://127.0.0.1:{port}/ws"
    streaming = program("stream", url, "count", "1000000000")
    assert streaming.stdout is not None
    assert json.loads(streaming.stdout.readline()) == {"n": 0}
    streaming.send_signal(signal.SIGINT)
    _, err = streaming.communicate(timeout=20)
    assert (streaming.returncode, err) == (130, "")
    deadline = time.monotonic() + 10
    while listeners["left"] != [1000000000]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("arguments", [("count", "1000000"), ("count", "1000000", "--window", "1")])
def test_who_reads_a_stream_may_have_seen_enough(port: int, arguments: tuple[str, ...]):
    streaming = program("stream", f"ws://127.0.0.1:{port}/ws", *arguments)
    assert streaming.stdout is not None
    streaming.stdout.readline()
    streaming.stdout.close()
    assert streaming.wait(20) == 0
    assert streaming.stderr is not None
    assert streaming.stderr.read() == ""
    streaming.stderr.close()


def test_a_reader_that_has_seen_enough_is_no_error(port: int):
    listeners["times"].clear()
    listening = program("listen", f"ws://127.0.0.1:{port}/pushes")
    assert listening.stdout is not None
    listening.stdout.close()
    assert listening.wait(20) == 0
    assert listening.stderr is not None
    assert "Traceback" not in listening.stderr.read()
    listening.stderr.close()


def test_a_terminal_gets_the_payload_over_several_lines(port: int):
    ours, theirs = pty.openpty()
    calling = program(
        "call",
        f"ws://127.0.0.1:{port}/ws",
        "math/sum",
        "[1]",
        stdout=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    calling.communicate(timeout=20)
    os.close(theirs)
    shown = re.sub(r"\x1b\[[\d;]*m|\r", "", os.read(ours, 1000).decode())
    os.close(ours)
    assert '{\n  "sum": 1\n}' in shown


def test_without_its_extra_it_says_what_to_install():
    """In an interpreter where typer is not to be found."""
    code = "import sys; sys.modules['typer'] = None; import runpy; sys.argv[1:] = ['listen', 'x']; "
    code += "runpy.run_module('fastapi_observable_socket', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2
    assert "install fastapi-observable-socket[cli]" in ended.stderr
    assert ended.stderr.count("\n") == 1
