"""On which connections the lane is open, and on which servers."""

import os
import subprocess
import sys
import zlib

import pytest
import uvicorn
from fastapi import FastAPI, WebSocket
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from fastapi_observable_socket._lane import SUPPORTED, lane_of

from .harness import EXTENSION, LANE, UVICORN, Line, turns
from .test_lane import BOTH, Patron, opened
from .wire import BINARY, PING, TEXT, Sent, frame, text

# --- whose middleware wants to see


class Watches:
    """A middleware of a user's that sees what is received, or sent."""

    def __init__(self, app, what):
        self.app, self.what = app, what

    async def __call__(self, scope, receive, send):
        async def watched_receive():
            return await receive()

        async def watched_send(message):
            await send(message)

        await self.app(
            scope,
            watched_receive if self.what == "receive" else receive,
            watched_send if self.what == "send" else send,
        )


def lane_in(app, run, subject=LANE):
    """What `lane_of` says in an endpoint below this application."""
    found = []

    @app.websocket("/ws")
    async def endpoint(ws: WebSocket):
        await ws.accept()
        found.append(lane_of(ws.scope, ws._receive, ws._send))
        await ws.receive()

    async def main():
        line = await Line(app, subject).open()
        await turns(20)
        await line.leave()
        return line.protocol

    protocol = run(main())
    assert len(found) == 1
    return found[0] is protocol


@pytest.mark.parametrize(
    "middleware",
    [
        (),
        ((CORSMiddleware, {"allow_origins": ["*"]}),),
        ((TrustedHostMiddleware, {"allowed_hosts": ["*"]}), (GZipMiddleware, {})),
        ((BaseHTTPMiddleware, {"dispatch": lambda request, call_next: call_next(request)}),),
        ((Watches, {"what": "nothing"}),),
    ],
    ids=["none", "cors", "two", "http", "one that looks away"],
)
def test_the_lane_is_found_below_what_changes_nothing(run, middleware):
    app = FastAPI(openapi_url=None)
    for kind, options in middleware:
        app.add_middleware(kind, **options)
    assert lane_in(app, run)


@pytest.mark.parametrize("what", ["receive", "send"])
@pytest.mark.parametrize("where", ["outside", "inside", "between"])
def test_a_middleware_that_sees_messages_is_not_passed_by(run, what, where):
    inner = FastAPI(openapi_url=None)
    outer = inner
    if where == "between":
        inner.add_middleware(Watches, what=what)
        inner.add_middleware(CORSMiddleware)
        assert not lane_in(inner, run)
        return

    @inner.websocket("/ws")
    async def endpoint(ws: WebSocket):
        await ws.accept()
        found.append(lane_of(ws.scope, ws._receive, ws._send))

    found = []
    if where == "outside":
        outer = Watches(inner, what)
    else:
        outer = FastAPI(openapi_url=None)
        outer.mount("", Watches(inner, what))

    async def main():
        line = await Line(outer).open()
        await turns(20)
        await line.leave()

    run(main())
    assert found == [None]


def test_an_object_of_starlettes_that_sends_is_no_lane():
    class Sends:
        async def __call__(self, message): ...

    Sends.__module__ = "starlette.middleware.some"
    lane = type("Lane", (), {"receive": lambda self: None, "send": lambda self, message: None})()
    scope = {"extensions": {EXTENSION: {"lane": lane}}}
    assert lane_of(scope, lane.receive, lane.send) is lane
    assert lane_of(scope, lane.receive, Sends()) is None
    assert lane_of(scope, lane.receive, Sends().__call__) is None


@pytest.mark.parametrize("scope", [{}, {"extensions": None}, {"extensions": {}}])
def test_other_servers_have_none(scope):
    assert lane_of(scope, lambda: None, lambda message: None) is None


# --- which connections

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def deflated(data):
    packer = zlib.compressobj(wbits=-12)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("early", [False, True])
def test_with_compression_all_is_uvicorns(run, early):
    async def main():
        app = Patron(accepts=not early)
        line = await Line(app, deflate=True).open(headers=DEFLATE)
        data = "much of the same, " * 20
        pieces = frame(TEXT, deflated(data.encode()), rsv=4) + text("plain") + frame(PING)
        await line.come(pieces[:40], pieces[40:])
        if early:
            await app.accept()
            await turns()
        assert b"permessage-deflate" in line.wire.written
        assert app.lane is None
        assert await app.received() == [data, "plain"]
        await app.send("answer " * 20)
        assert len(line.wire.after_handshake()) < 60
        await line.leave()

    run(main())


@BOTH
def test_without_compression_asked_for_there_is_none(run, subject):
    async def main():
        app = Patron()
        line = await Line(app, subject, deflate=True).open()
        await line.come(text("a"))
        assert await app.received() == ["a"]
        assert b"permessage" not in line.wire.written
        await line.leave()

    run(main())


@BOTH
def test_a_refusal_with_a_body_is_uvicorns(run, subject):
    async def main():
        app = Patron(accepts=False)
        line = await Line(app, subject).open()
        await app.asgi_send({"type": "websocket.http.response.start", "status": 404, "headers": []})
        await app.asgi_send({"type": "websocket.http.response.body", "body": b"not here"})
        await turns()
        assert b" 404 " in line.wire.written
        assert line.wire.written.endswith(b"not here")
        assert await app.received() == [1006, 1006]
        await line.leave()

    run(main())


@BOTH
def test_a_shutdown_before_the_accept_is_a_500(run, subject):
    async def main():
        app = Patron(accepts=False)
        line = await Line(app, subject).open()
        await line.come(text("a"))
        await line.call(line.protocol.shutdown)
        assert b" 500 " in line.wire.written
        assert line.wire.lost
        await line.leave()

    run(main())


@BOTH
def test_what_an_application_sends_is_checked_as_uvicorn_does(run, subject):
    async def main():
        app, line = await opened(subject)
        with pytest.raises(RuntimeError):
            await app.asgi_send({"type": "websocket.accept"})
        with pytest.raises(UnicodeEncodeError):
            await app.send("\ud800")
        await app.asgi_send({"type": "websocket.send", "bytes": None, "text": "t"})
        await app.asgi_send({"type": "websocket.send", "bytes": b"b", "text": None})
        await app.asgi_send({"type": "websocket.send", "bytes": bytearray(b"a")})
        await turns()
        assert line.sent == [Sent(TEXT, b"t"), Sent(BINARY, b"b"), Sent(BINARY, b"a")]
        await line.leave()

    run(main())


# --- which servers

LOOK = """
import logging
class Keep(logging.Handler):
    def emit(self, record): print("warned:", record.getMessage())
logging.getLogger("uvicorn.error").addHandler(Keep(logging.WARNING))
logging.getLogger("uvicorn.error").propagate = False
import uvicorn
uvicorn.__version__ = {version!r}
from fastapi_observable_socket.uvicorn import Protocol
import fastapi_observable_socket.uvicorn
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol
print("auto" if Protocol is AutoWebSocketsProtocol else "lane")
"""


def look(version):
    done = subprocess.run(
        [sys.executable, "-c", LOOK.format(version=version)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("version", ["0.49.0", "0.55.0", "1.0.0", "0.540.1", "0.55.0.dev1"])
def test_a_version_that_is_not_known_is_served_by_its_own_with_one_warning(version):
    warned, found = look(version)
    assert found == "auto"
    assert warned.startswith("warned: the fast lane is off")
    assert version in warned


@pytest.mark.parametrize("patch", ["0", "7", "0.post1", "1.dev0"])
def test_all_patches_of_the_known_versions_have_the_lane(patch):
    assert look(f"{SUPPORTED[-1]}.{patch}") == ["lane"]


def test_the_tests_are_about_the_lane():
    assert LANE is not UVICORN
    assert uvicorn.__version__.startswith(SUPPORTED)
