"""Who gets in, and how those that do not are told."""

import asyncio
import functools

import msgspec
import pytest
from fastapi import FastAPI, HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket import _gate as gate
from fastapi_observable_socket._closing import close, shortened
from fastapi_observable_socket.testing import SocketClosed, SocketRejected, SocketTestClient


def served(access_logic=None, **settings):
    router = SocketRouter(access_logic, **settings)

    @router.route("echo")
    async def echo(payload):
        return payload

    return router


async def fate(app, **handshake):
    """What becomes of a socket: "served", a close code and reason, or an HTTP status and body."""
    try:
        async with SocketTestClient(app, **handshake) as client:
            try:
                answer = await client.request("echo", 1)
            except SocketClosed as closed:
                return closed.code, closed.reason
            assert answer.payload == 1
            return "served"
    except SocketRejected as refused:
        message = msgspec.json.decode(refused.body)["message"] if refused.body else None
        return refused.status, message


# --- origins


SAME = "https://shop.example"


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "welcome"),
    [
        (None, "shop.example", [], True),
        (SAME, "shop.example", [], True),
        (SAME, "shop.example:443", [], True),
        ("https://shop.example:3000", "shop.example:8000", [], True),
        ("http://localhost:5173", "localhost:8000", [], True),
        ("https://SHOP.example", "shop.Example", [], True),
        ("http://[::1]:5173", "[::1]:8000", [], True),
        ("https://evil.example", "shop.example", [], False),
        ("https://shop.example.evil", "shop.example", [], False),
        ("https://evil-shop.example", "shop.example", [], False),
        ("https://sub.shop.example", "shop.example", [], False),
        ("https://shop.example@evil.example", "shop.example", [], False),
        ("null", "shop.example", [], False),
        ("", "shop.example", [], False),
        ("", "", [], False),
        ("https://", "", [], False),
        ("https://[bad", "shop.example", [], False),
        ("https://shop.example", "[bad", [], False),
        ("https://app.example", "api.example", ["https://app.example"], True),
        ("https://APP.example", "api.example", ["https://app.example/"], True),
        ("https://app.example:8443", "api.example", ["https://app.example"], False),
        ("http://app.example", "api.example", ["https://app.example"], False),
        ("https://b.example", "api.example", ("https://a.example", "https://b.example"), True),
        ("null", "api.example", ["*"], True),
        ("https://evil.example", "api.example", ["*"], True),
        ("null", "api.example", ["https://app.example"], False),
    ],
)
@pytest.mark.parametrize("deny", ["close", "http"])
def test_a_page_of_another_host_gets_in_only_if_allowed(run, origin, host, allowed, welcome, deny):
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    app = served(allowed_origins=allowed, deny=deny)
    assert run(fate(app, headers=headers)) == ("served" if welcome else (403, None))


def test_a_refused_origin_is_not_even_shown_to_access_logic(run):
    asked = []
    app = served(asked.append)
    assert run(fate(app, headers={"origin": "https://evil.example"})) == (403, None)
    assert asked == []


def test_origins_are_a_list():
    with pytest.raises(TypeError, match="allowed_origins is a list of origins, not one string"):
        SocketRouter(allowed_origins="https://app.example")


# --- access_logic


def allows(ws):
    assert isinstance(ws, WebSocket)
    return True


def denies(ws):
    return ws.headers.get("x-token") == "t"


async def allows_async(ws):
    await asyncio.sleep(0)
    return True


async def denies_async(ws):
    return None


class Allows:
    def __call__(self, ws):
        return True

    async def method(self, ws):
        return False


def raising(error):
    async def access_logic(ws):
        raise error

    return access_logic


def raising_in_a_thread(error):
    def access_logic(ws):
        raise error

    return access_logic


DENIED = (1008, "Access denied")
LATER = (503, "try again later")


@pytest.mark.parametrize(
    ("access_logic", "by_close", "by_http"),
    [
        (allows, "served", "served"),
        (allows_async, "served", "served"),
        (Allows(), "served", "served"),
        (lambda ws: allows_async(ws), "served", "served"),
        (functools.partial(allows), "served", "served"),
        (denies, DENIED, (403, None)),
        (denies_async, DENIED, (403, None)),
        (Allows().method, DENIED, (403, None)),
        (lambda ws: denies_async(ws), DENIED, (403, None)),
        (raising(HTTPException(401, "who?")), (1008, "who?"), (401, "who?")),
        (raising_in_a_thread(HTTPException(401, "who?")), (1008, "who?"), (401, "who?")),
        (raising(HTTPException(403, "no")), (1008, "no"), (403, None)),
        (raising(HTTPException(404)), (1008, "Not Found"), (404, "Not Found")),
        (raising(HTTPException(429)), LATER, LATER),
        (raising(HTTPException(500)), LATER, LATER),
        (raising(HTTPException(503, "down")), LATER, LATER),
        (raising(HTTPException(401, "x" * 200)), (1008, "x" * 123), (401, "x" * 200)),
        (raising(HTTPException(401, "ü" * 100)), (1008, "ü" * 61), (401, "ü" * 100)),
    ],
)
def test_access_logic_decides(run, access_logic, by_close, by_http, caplog):
    assert run(fate(served(access_logic))) == by_close
    assert run(fate(served(access_logic, deny="http"))) == by_http
    assert caplog.text == ""


@pytest.mark.parametrize("error", [ZeroDivisionError("db"), OSError("db"), KeyError("db")])
def test_access_logic_that_fails_refuses_for_now_and_is_logged(run, error, caplog):
    assert run(fate(served(raising(error)))) == LATER
    assert "access_logic failed" in caplog.text


def test_access_logic_that_loses_its_peer_is_no_failure(run, caplog):
    async def first_message(ws):
        await ws.accept()
        return await ws.receive_text() == "token"

    async def talk():
        async with SocketTestClient(served(first_message)) as client:
            await client.send_raw("token")
            assert (await client.request("echo", 1)).payload == 1
        async with SocketTestClient(served(first_message)) as client:
            await client.disconnect()

    run(talk())
    assert caplog.text == ""


def test_access_logic_reads_the_handshake(run):
    assert run(fate(served(denies), headers={"x-token": "t"})) == "served"
    assert run(fate(served(denies), headers={"x-token": "u"})) == DENIED


def test_a_socket_refused_for_now_is_told_when_to_come_back(run):
    async def talk():
        with pytest.raises(SocketRejected) as refused:
            async with SocketTestClient(served(raising(HTTPException(503)))):
                pass
        assert refused.value.status == 503
        assert int(refused.value.headers["retry-after"]) > 0

    run(talk())


@pytest.mark.parametrize(
    ("access_logic", "deny"), [(raising(HTTPException(503)), "close"), (denies, "http")]
)
def test_a_server_that_cannot_deny_by_http_closes_before_accepting(run, access_logic, deny):
    app = served(access_logic, deny=deny)
    assert run(fate(app, scope={"extensions": {}})) == (403, None)
    assert run(fate(app, scope={"extensions": None})) == (403, None)


# --- a socket that the endpoint accepted already


def accepting(router):
    app = FastAPI()

    @app.websocket("/ws")
    async def endpoint(ws: WebSocket):
        await ws.accept()
        await router(ws)

    return app


@pytest.mark.parametrize(
    ("settings", "headers", "expected"),
    [
        ({}, {}, "served"),
        ({}, {"origin": "https://evil.example"}, (1008, "origin not allowed")),
        ({"access_logic": denies}, {}, DENIED),
        ({"access_logic": denies, "deny": "http"}, {}, DENIED),
        ({"access_logic": raising(HTTPException(401, "who?"))}, {}, (1008, "who?")),
        ({"access_logic": raising(HTTPException(503))}, {}, (1013, "try again later")),
        ({"max_connections": 0}, {}, (1013, "try again later")),
    ],
)
def test_an_accepted_socket_is_refused_by_close_codes(run, settings, headers, expected):
    assert run(fate(accepting(served(**settings)), headers=headers)) == expected


# --- how many


def test_sockets_beyond_the_most_are_refused_until_others_leave(run):
    app = served(max_connections=2)

    async def talk():
        async with SocketTestClient(app) as first:
            async with SocketTestClient(app):
                assert await fate(app) == LATER
                assert await fate(app) == LATER
                assert (await first.request("echo", 1)).ok
            assert await fate(app) == "served"
        assert await fate(app) == "served"

    run(talk())


def test_a_refused_socket_leaves_its_place(run):
    app = served(denies, max_connections=1)
    for _ in range(3):
        assert run(fate(app)) == DENIED
    assert run(fate(app, headers={"x-token": "t"})) == "served"


def test_a_socket_counts_while_access_logic_is_asked(run):
    asked, may_go_on = asyncio.Event(), asyncio.Event()

    async def access_logic(ws):
        asked.set()
        await may_go_on.wait()
        return True

    app = served(access_logic, max_connections=1)

    async def talk():
        first = asyncio.create_task(fate(app))
        await asked.wait()
        assert await fate(app) == LATER
        may_go_on.set()
        assert await first == "served"

    run(talk())


def test_the_default_leaves_file_descriptors_for_others(monkeypatch):
    limits = [(1024, 819), (100, 36), (64, 1), (10, 1), (1_000_000, 800_000)]
    for soft, most in limits:
        monkeypatch.setattr(gate.resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert gate.default_max_connections() == most
    unlimited = (gate.resource.RLIM_INFINITY, gate.resource.RLIM_INFINITY)
    monkeypatch.setattr(gate.resource, "getrlimit", lambda _: unlimited)
    assert gate.default_max_connections() == 1_000_000
    monkeypatch.setattr(gate, "resource", None)
    assert gate.default_max_connections() == 10_000


# --- whom we turn away may be gone


@pytest.mark.parametrize("error", [OSError, RuntimeError, WebSocketDisconnect])
@pytest.mark.parametrize("app", [served(max_connections=0), served(denies, deny="http")])
def test_turning_away_a_peer_that_is_gone_is_no_failure(run, app, error, caplog):
    sent = []

    async def send(message):
        sent.append(message["type"])
        raise error

    async def receive():
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "headers": [], "path": "/", "query_string": b""}
    run(app(scope, receive, send))
    assert sent == ["websocket.close"]
    assert caplog.text == ""


# --- closing


def recording(refused=()):
    """A `send` of a server that raises for the codes in `refused`."""
    sent = []

    async def send(message):
        if message["code"] in refused:
            raise ValueError("invalid close code")
        sent.append((message["type"], message["code"], message["reason"]))

    return send, sent


STANDARD = range(1001, 2000)


@pytest.mark.parametrize(
    ("code", "twin"),
    [(1003, 4003), (1008, 4403), (1009, 4009), (1011, 4011), (1012, 4012), (1013, 4013)],
)
def test_a_code_that_the_server_refuses_is_sent_as_its_twin(run, code, twin):
    send, sent = recording(refused=STANDARD)
    run(close(send, code, "why"))
    assert sent == [("websocket.close", twin, "why")]
    send, sent = recording()
    run(close(send, code, "why"))
    assert sent == [("websocket.close", code, "why")]


@pytest.mark.parametrize("code", [1000, 4008, 4408])
def test_a_code_without_a_twin_is_tried_once(run, code):
    send, sent = recording(refused={code})
    run(close(send, code, "why"))
    assert sent == []


def test_a_refusal_reaches_the_peer_of_a_server_that_refuses_1008(run):
    router = served(denies)

    async def app(scope, receive, send):
        async def picky(message):
            if message["type"] == "websocket.close" and message["code"] in STANDARD:
                raise ValueError("invalid close code")
            await send(message)

        await router(scope, receive, picky)

    assert run(fate(app)) == (4403, "Access denied")


def test_a_close_that_nobody_takes_drops_the_transport(run, monkeypatch):
    class Transport:
        aborted = False

        def abort(self):
            self.aborted = True

        def get_extra_info(self, name):
            return None

    class Server:
        def __init__(self):
            self.transport = Transport()

        async def send(self, message):
            await asyncio.Event().wait()

    server = Server()
    monkeypatch.setattr("fastapi_observable_socket._closing.CLOSE_TIMEOUT", 0.01)
    run(close(server.send, 1008, "why"))
    assert server.transport.aborted


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("", ""),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("ü" * 62, "ü" * 61),
        ("x" + "ü" * 61, "x" + "ü" * 61),
        ("€" * 42, "€" * 41),
        ("𝄞" * 31, "𝄞" * 30),
        ("\ud800", "?"),
    ],
)
def test_a_reason_has_at_most_123_bytes_cut_between_characters(reason, sent):
    assert shortened(reason) == sent
    assert len(shortened(reason).encode()) <= 123
