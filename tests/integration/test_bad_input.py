"""
Whatever a peer sends is answered once, correctly, and harms nobody.

One table, over real sockets: a row is a frame and its answer. The rest are faults that end
a connection, or need two requests.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from . import routes
from .peer import (
    ABNORMAL,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Closed,
    Peer,
    frame,
    strict_json,
    text_frame,
)
from .serving import Server, Stage, eventually

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MAX_BYTES = 256 * 1024


@pytest.fixture(scope="module")
def stage(ws: str) -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def server(ws: str, stage: Stage) -> Iterator[Server]:
    with Server(routes.build(stage), ws) as server:
        yield server


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    with server.connect() as peer:
        yield peer


# --- answers


def ok(payload: Any, uuid: Any = 1, status: int = 200, headers: Any = None) -> dict[str, Any]:
    return {"uuid": uuid, "status": status, "headers": headers or {}, "payload": payload}


@dataclass(frozen=True)
class Refused:
    """An error answer: its machine word, and a message that says nothing of our insides."""

    status: int
    code: str
    uuid: Any = 1


LEAKS = ("secret", "Traceback", "Error", ".py", "0x")


def is_just(answer: Any, expected: Any) -> bool:
    """Whether `answer` is what was expected, with every JSON type: 1 is not 1.0, nor true."""
    if isinstance(expected, Refused):
        if not isinstance(answer["payload"], dict):
            return False
        message = answer["payload"].get("message")
        assert message
        assert not any(leak in message for leak in LEAKS)
        payload = {"message": message, "code": expected.code}
        expected = ok(payload, expected.uuid, expected.status)
    return json.dumps(answer, sort_keys=True) == json.dumps(expected, sort_keys=True)


def not_json(uuid: Any = 0) -> Refused:
    return Refused(400, "bad_request", uuid)


def bad_uuid() -> Refused:
    return Refused(400, "bad_uuid", 0)


def pong(uuid: Any) -> dict[str, Any]:
    return {"uuid": uuid, "route": "PONG", "headers": None, "payload": None}


def internal(uuid: Any = 1) -> Refused:
    return Refused(500, "internal", uuid)


def unserialisable() -> Refused:
    return Refused(500, "unserialisable")


# --- frames


def echo(payload: str, uuid: str = "1", route: str = '"echo"') -> str:
    """A request whose parts are JSON text, or try to be."""
    return f'{{"uuid": {uuid}, "route": {route}, "payload": {payload}}}'


def nest(depth: int, inside: str = "") -> str:
    return "[" * depth + inside + "]" * depth


@dataclass(frozen=True)
class Case:
    name: str
    frame: Any
    answer: Any = field(compare=False)


def call(route: str, payload: Any = None, uuid: Any = 1, **members: Any) -> dict[str, Any]:
    return {"uuid": uuid, "route": route, "payload": payload, **members}


LONG_TEXT = "x" * 100_000

NOT_JSON = [
    ("empty", ""),
    ("blank", " \t\r\n"),
    ("word", "hello"),
    ("open object", '{"uuid": 1, "route": "echo"'),
    ("open string", '{"uuid": 1, "route": "ec'),
    ("byte order mark", "\ufeff" + echo("1")),
    ("two documents", echo("1") + echo("2")),
    ("trailing garbage", echo("1") + "x"),
    ("trailing comma", '{"uuid": 1, "route": "echo",}'),
    ("single quotes", "{'uuid': 1, 'route': 'echo'}"),
    ("comment", '{"uuid": 1, /* */ "route": "echo"}'),
    ("bare key", '{uuid: 1, route: "echo"}'),
    ("null", "null"),
    ("true", "true"),
    ("number", "7"),
    ("string", '"echo"'),
    ("array", "[]"),
    ("array of a request", f"[{echo('1')}]"),
    ("NaN in payload", echo("NaN")),
    ("NaN deep in payload", echo('[{"a": NaN}]')),
    ("NaN as uuid", echo("1", uuid="NaN")),
    ("Infinity in payload", echo("Infinity")),
    ("-Infinity in payload", echo("-Infinity")),
    ("NaN unknown member", '{"uuid": 1, "route": "echo", "x": NaN}'),
    ("NaN in headers", '{"uuid": 1, "route": "echo", "headers": {"a": NaN}}'),
    ("NaN to a handler that does not look", echo("NaN", route='"nothing"')),
    ("undefined", echo("undefined")),
    ("leading zero", echo("01")),
    ("plus sign", echo("+1")),
    ("hexadecimal", echo("0x10")),
    ("bare point", echo("1.")),
    ("bare exponent", echo("1e")),
    ("escape that is none", echo(r'"\x41"')),
    ("escape that is none, not looked at", echo(r'"\x41"', route='"nothing"')),
    ("escape cut short", echo(r'"\u12"')),
    ("escape cut short, not looked at", echo(r'"\u12"', route='"nothing"')),
    ("raw line break in string", echo('"a\nb"')),
    ("raw NUL in string", echo('"\x00"')),
    ("raw NUL in string, not looked at", echo('"\x00"', route='"nothing"')),
    ("raw NUL behind", echo("1") + "\x00"),
    ("wrong brackets", echo("[}")),
    ("open brackets", "[" * 100_000),
    ("open objects", '{"a":' * 40_000),
]

READABLE_BUT_REFUSED = [
    ("1e999 as payload", echo("1e999")),
    ("-1e999 deep", echo('{"a": [-1e999]}')),
    ("1e999 in headers", '{"uuid": 1, "route": "echo", "headers": {"a": 1e999}}'),
    ("1e999 to a handler that does not look", echo("1e999", route='"nothing"')),
    ("lone high surrogate", echo(r'"\ud800"')),
    ("lone low surrogate", echo(r'"a\udc00b"')),
    ("lone surrogate to a handler that does not look", echo(r'"\ud800"', route='"nothing"')),
    ("surrogates the wrong way round", echo(r'"\udc00\ud800"')),
    ("surrogate before another escape", echo(r'"\ud800\n"')),
    ("lone surrogate in a key", echo(r'{"\udfff": 1}')),
    ("lone surrogate in headers", r'{"uuid": 1, "route": "echo", "headers": {"a": "\ud800"}}'),
    ("integer of 4301 digits", echo("1" * 4301)),
    ("integer of 5000 digits", echo("1" * 5000)),
    ("integer of 5000 digits to a handler that does not look", echo("1" * 5000, route='"nothing"')),
    ("negative integer of 5000 digits", echo("[-" + "1" * 5000 + "]")),
    (
        "integer of 5000 digits in headers",
        f'{{"uuid":1,"route":"echo","headers":{{"a":{"1" * 5000}}}}}',
    ),
]

TOO_DEEP = [
    ("payload one level too deep", echo(nest(128))),
    ("payload far too deep", echo(nest(100_000))),
    ("objects too deep", echo('{"a":' * 128 + "1" + "}" * 128)),
    ("objects and arrays too deep", echo('[{"a":' * 64 + "1" + "}]" * 64)),
    ("too deep to a handler that does not look", echo(nest(200), route='"nothing"')),
    ("too deep behind a wide start", echo("[" + "[],{}," * 500 + nest(127) + "]")),
    ("headers too deep", f'{{"uuid": 1, "route": "echo", "headers": {{"a": {nest(200)}}}}}'),
    ("unknown member too deep", f'{{"uuid": 1, "route": "echo", "x": {nest(200)}}}'),
]

BAD_UUIDS = [
    ("null", "null"),
    ("true", "true"),
    ("false", "false"),
    ("1.5", "1.5"),
    ("1.0", "1.0"),
    ("1e3", "1e3"),
    ("1e999", "1e999"),
    ("empty list", "[]"),
    ("list", "[1]"),
    ("object", '{"a": 1}'),
    ("empty string", '""'),
    ("129 characters", f'"{"x" * 129}"'),
    ("100,000 characters", f'"{LONG_TEXT}"'),
    ("2^53", str(2**53)),
    ("-2^53", str(-(2**53))),
    ("2^63", str(2**63)),
    ("2^64", str(2**64)),
    ("1000 digits", "9" * 1000),
    ("5000 digits", "9" * 5000),
    ("lone surrogate", r'"\ud800"'),
]

GOOD_UUIDS: list[tuple[str, Any]] = [
    ("0", 0),
    ("-1", -1),
    ("2^53 - 1", 2**53 - 1),
    ("1 - 2^53", 1 - 2**53),
    ("7", 7),
    ("text 7", "7"),
    ("text null", "null"),
    ("blank", " "),
    ("128 characters", "x" * 128),
    ("128 snowmen", "☃" * 128),
    ("NUL", "\x00"),
    ("emoji", "😀"),
    ("quotes", "\"'\\/"),
    ("line separator", "\u2028"),
    ("prototype", "__proto__"),
]

BAD_ROUTES = [
    ("null", "null"),
    ("empty", '""'),
    ("number", "7"),
    ("bool", "true"),
    ("list", '["echo"]'),
    ("object", '{"echo": 1}'),
    ("257 characters", f'"{"x" * 257}"'),
    ("100,000 characters", f'"{LONG_TEXT}"'),
    ("lone surrogate", r'"\ud800"'),
]

UNKNOWN_ROUTES = [
    "nowhere",
    "ECHO",
    " echo",
    "echo/",
    "x" * 256,
    "\x00",
    "😀",
    "PONG",
    "ping",
    "__class__",
    "$nothing",
    "$unsub",
    "'%s%n{0}\r\n",
]

BAD_HEADERS = ["[]", '"a"', "7", "true", "false", "1.5", '[{"a": 1}]', '""', "0"]

UNCHANGED: list[tuple[str, str]] = [
    ("0", "0"),
    ("false", "false"),
    ("empty string", '""'),
    ("empty list", "[]"),
    ("empty object", "{}"),
    ("null", "null"),
    ("true", "true"),
    ("float", "0.1"),
    ("whole float", "1.0"),
    ("minus zero", "-0.0"),
    ("exponent", "1E5"),
    ("least float", "5e-324"),
    ("greatest float", "1.7976931348623157e308"),
    ("underflow", "1e-999"),
    ("2^53 + 1", str(2**53 + 1)),
    ("2^63", str(2**63)),
    ("2^64", str(2**64)),
    ("-2^64", str(-(2**64))),
    ("100 digits", "9" * 100),
    ("4300 digits", "9" * 4300),
    ("minus 4299 digits", "-" + "9" * 4299),
    ("NUL", r'"\u0000"'),
    ("line separators", '"\u2028\u2029"'),
    ("byte order mark inside", '"\ufeff"'),
    ("emoji", '"😀"'),
    ("emoji as escapes", r'"\ud83d\ude00"'),
    ("escapes", r'"\"\\\/\b\f\n\r\t\u00e9"'),
    ("DEL and C1", '"\x7f\x80\x9f"'),
    ("noncharacters", '"\uffff\ufffe"'),
    ("unicode keys", '{"é": {"☃": 1, "": 2}}'),
    ("prototype", '{"__proto__": {"a": 1}, "constructor": 1}'),
    ("126 levels", nest(126)),
    ("126 levels of objects", '{"a":' * 125 + "{}" + "}" * 125),
    ("brackets in a string", json.dumps("[{" * 1000)),
    ("brackets behind an escaped quote", json.dumps('"[' * 1000)),
    ("brackets behind a backslash", "[" + json.dumps("[" * 500 + "\\") + "]"),
    ("brackets in keys", json.dumps({"[" * 500: "{" * 500})),
    ("wide list", "[" + ",".join(["[]"] * 20_000) + "]"),
    ("duplicate keys", '{"a": 1, "a": 2}'),
    ("a result's shape", '{"status": 404, "payload": 1}'),
]

RESULTS: list[tuple[str, Any]] = [
    ("nan", unserialisable()),
    ("infinity", unserialisable()),
    ("nan-in-tuple", unserialisable()),
    ("set-of-objects", unserialisable()),
    ("object", unserialisable()),
    ("function", unserialisable()),
    ("circular", unserialisable()),
    ("deep", ok(routes.nested(129))),  # only requests are bound to 128 levels
    ("abyss", unserialisable()),
    ("bytes-not-utf8", ok({"a": "//4="})),
    ("status-bool", internal()),
    ("status-text", internal()),
    ("status-float", internal()),
    ("status-700", internal()),
    ("status-99", internal()),
    ("status-0", internal()),
    ("status-negative", internal()),
    ("status-true-in-dict", internal()),
    ("status-text-in-dict", internal()),
    ("headers-list", internal()),
    ("headers-pairs", internal()),
    ("headers-text", internal()),
    ("headers-nan", unserialisable()),
    ("headers-object", unserialisable()),
    ("headers-circular", unserialisable()),
    ("too-large", Refused(500, "response_too_large")),
    ("too-large-utf8", Refused(500, "response_too_large")),
    ("none", ok(None)),
    ("no-envelope", ok({"status": "active"})),
    ("empty-dict", ok({})),
    ("only-status", ok(None, status=204)),
    ("lone-surrogate", ok({"a\udc00": ["\ud800"]})),
    ("surrogate-headers", ok(1, headers={"\udfff": "\ud800"})),
    ("unicode", ok("\x00\x1f\u2028\ufeff\U0001f600é")),
    ("decimal", ok("0.1")),
    ("odd-keys", ok({"1": "int", "null": "null"})),
    ("huge-integer", ok(2**70)),
    ("deepest", ok(routes.nested(100))),
]

HEARTBEATS: list[tuple[str, str, Any]] = [
    ("as the client sends it", '{"uuid": 3, "route": "PING", "headers": {}, "status": 200}', 3),
    ("uuid is text", '{"uuid": "3", "route": "PING"}', "3"),
    ("path and track_id", '{"track_id": "3", "path": "PING"}', "3"),
    ("no uuid", '{"route": "PING"}', 0),
    ("uuid null", '{"uuid": null, "route": "PING"}', 0),
    ("uuid bool", '{"uuid": true, "route": "PING"}', 0),
    ("uuid float", '{"uuid": 1.5, "route": "PING"}', 0),
    ("uuid list", '{"uuid": [], "route": "PING"}', 0),
    ("uuid object", '{"uuid": {}, "route": "PING"}', 0),
    ("uuid empty", '{"uuid": "", "route": "PING"}', 0),
    ("uuid 2^53", f'{{"uuid": {2**53}, "route": "PING"}}', 0),
    ("uuid too long", f'{{"uuid": "{"x" * 129}", "route": "PING"}}', 0),
    ("headers are a list", '{"uuid": 3, "route": "PING", "headers": []}', 3),
    ("headers are text", '{"uuid": 3, "route": "PING", "headers": "a"}', 3),
    ("global headers", '{"uuid": 3, "route": "PING", "headers": {"token": "t"}}', 3),
    ("payload", '{"uuid": 3, "route": "PING", "payload": [1, {}]}', 3),
    ("payload 1e999", '{"uuid": 3, "route": "PING", "payload": 1e999}', 3),
    ("lone surrogate", r'{"uuid": 3, "route": "PING", "headers": {"a": "\ud800"}}', 3),
]


def table() -> Iterator[Case]:
    for name, text in NOT_JSON:
        yield Case(f"not JSON, {name}", text, not_json())
    for name, text in READABLE_BUT_REFUSED:
        yield Case(f"refused, {name}", text, not_json(uuid=1))
    for name, text in TOO_DEEP:
        # Nobody reads that far, so nobody reads the uuid either.
        yield Case(f"too deep, {name}", text, not_json())
    for name, uuid in BAD_UUIDS:
        yield Case(f"bad uuid, {name}", echo("1", uuid=uuid), bad_uuid())
    yield Case("bad uuid, missing", '{"route": "echo"}', bad_uuid())
    yield Case("bad uuid, nothing there at all", "{}", bad_uuid())
    yield Case("bad uuid, in another case", '{"UUID": 1, "route": "echo"}', bad_uuid())
    for name, good in GOOD_UUIDS:
        yield Case(f"good uuid, {name}", call("echo", uuid=good), ok(None, good))
        yield Case(
            f"good uuid, {name}, to nowhere",
            call("nowhere", uuid=good),
            Refused(404, "not_found", good),
        )
    for name, route in BAD_ROUTES:
        yield Case(f"bad route, {name}", echo("1", route=route), Refused(400, "bad_route"))
    yield Case("bad route, missing", '{"uuid": "a"}', Refused(400, "bad_route", "a"))
    yield Case(
        "bad route, an answer",
        '{"uuid": 1, "status": 200, "headers": {}, "payload": 1}',
        Refused(400, "bad_route"),
    )
    for route in UNKNOWN_ROUTES:
        yield Case(f"unknown route, {route[:20]!r}", call(route), Refused(404, "not_found"))
    yield Case("route of 256 characters", call("r" * 256), ok("long"))
    yield Case("route of Unicode", call("héllo/☃", 1), ok(1))
    yield Case("route of escapes", r'{"uuid": 1, "route": "\u0065cho"}', ok(None))
    for headers in BAD_HEADERS:
        yield Case(
            f"bad headers, {headers}",
            f'{{"uuid": "a", "route": "echo", "headers": {headers}}}',
            Refused(400, "bad_headers", "a"),
        )
    for given in ("null", "{}"):
        yield Case(
            f"headers {given}",
            f'{{"uuid": 1, "route": "headers", "headers": {given}}}',
            ok({}),
        )
    yield Case("headers absent", '{"uuid": 1, "route": "headers"}', ok({}))
    yield Case(
        "headers unchanged",
        call("headers", headers={"a": [1, None, {"b": False}], "": "é"}),
        ok({"a": [1, None, {"b": False}], "": "é"}),
    )
    for name, text in UNCHANGED:
        for route in ("echo", "sync"):
            yield Case(
                f"unchanged by {route}, {name}",
                echo(text, route=f'"{route}"'),
                ok(strict_json(text)),
            )
        yield Case(
            f"unchanged in an older frame, {name}",
            f'{{"track_id": 1, "path": "echo", "headers": {{"a": {text}}}, "payload": {text}}}',
            ok(strict_json(text)),
        )
        yield Case(
            f"unchanged in headers, {name}",
            f'{{"uuid": 1, "route": "headers", "headers": {{"a": {text}}}}}',
            ok({"a": strict_json(text)}),
        )
    yield Case("payload of 127 levels", echo(nest(127)), ok(strict_json(nest(127))))
    yield Case("payload absent", '{"uuid": 1, "route": "echo"}', ok(None))
    yield Case("triple", call("triple", 0, headers={"a": 1}), ok([{"a": 1}, 0]))
    yield Case("triple of nothing", '{"uuid": 1, "route": "triple"}', ok([{}, None]))
    yield Case("path for route", '{"uuid": 1, "path": "echo", "payload": 0}', ok(0))
    yield Case("track_id for uuid", '{"track_id": "a", "route": "echo"}', ok(None, "a"))
    yield Case("both older names", '{"track_id": 2, "path": "echo", "payload": []}', ok([], 2))
    yield Case("route before path", '{"uuid": 1, "path": "nowhere", "route": "echo"}', ok(None))
    yield Case("uuid before track_id", '{"track_id": 2, "uuid": 1, "route": "echo"}', ok(None))
    yield Case("bad track_id", '{"track_id": 1.5, "route": "echo"}', bad_uuid())
    yield Case("bad path", '{"uuid": 1, "path": 7}', Refused(400, "bad_route"))
    yield Case("status in a request", call("echo", 2, status=404), ok(2))
    yield Case("unknown members", call("echo", 2, method="GET", id=[], __proto__={}), ok(2))
    yield Case("uuid twice", '{"uuid": 2, "uuid": 1, "route": "echo"}', ok(None))
    yield Case("uuid twice, first bad", '{"uuid": null, "uuid": 1, "route": "echo"}', ok(None))
    yield Case("uuid twice, last bad", '{"uuid": 1, "uuid": null, "route": "echo"}', bad_uuid())
    yield Case("route twice", '{"uuid": 1, "route": "nowhere", "route": "echo"}', ok(None))
    yield Case("payload twice", '{"uuid": 1, "route": "echo", "payload": 1, "payload": 2}', ok(2))
    yield Case("blanks around", " \r\n\t" + echo("1") + "\n ", ok(1))
    yield Case("sum", call("sum", [1, 2]), ok(3))
    for name, good in (("int", 7), ("text", "7")):
        for route in ("exit", "recurse", "typed-result"):
            yield Case(f"{route}, uuid {name}", call(route, uuid=good), internal(good))
    for name, text, uuid in HEARTBEATS:
        yield Case(f"PING, {name}", text, pong(uuid))
    for name, answer in RESULTS:
        for route in ("result", "sync-result"):
            yield Case(f"{route}, {name}", call(route, name), answer)
    for route in ("raise", "raise-late", "raise-sync"):
        for name in routes.EXCEPTIONS:
            yield Case(f"{route}, {name}", call(route, name, uuid="e"), internal("e"))
        for name in routes.UNSERIALISABLE_EXCEPTIONS:
            yield Case(f"{route}, {name}", call(route, name), unserialisable())
    yield Case(
        "HTTPException",
        call("teapot"),
        ok(
            {"message": "error", "code": "error", "detail": {"short": "stout"}},
            status=418,
            headers={"x-pot": "tea"},
        ),
    )
    for hook in ("refuse", "refuse_later"):
        yield Case(f"data_check {hook}", call(f"data_check/{hook}"), Refused(400, "check"))
        yield Case(f"access {hook}", call(f"access/{hook}"), Refused(403, "forbidden"))
    for kind in ("data_check", "access", "hydrate", "dehydrate"):
        for hook in ("explode", "leave_hook"):
            yield Case(f"{kind} {hook}", call(f"{kind}/{hook}"), internal())
    yield Case("dehydrate nan", call("dehydrate/nan"), unserialisable())


CASES = list(table())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_frame_has_its_one_answer_and_the_connection_goes_on(case: Case, peer: Peer) -> None:
    answer = peer.ask(case.frame)
    assert is_just(answer, case.answer)
    peer.assert_alive()


# --- two requests at a time


def test_a_uuid_in_flight_is_refused_and_the_first_keeps_it(
    peer: Peer, server: Server, stage: Stage
) -> None:
    peer.send(call("wait", "a", uuid=5))
    assert is_just(peer.ask(call("echo", uuid=5)), Refused(409, "duplicate", 5))
    assert is_just(peer.ask(call("nothing", uuid=5)), Refused(409, "duplicate", 5))
    assert is_just(peer.ask(call("PING", uuid=5)), pong(5))
    server.call(stage.door("a").set)
    assert is_just(peer.receive(), ok("a", 5))
    assert is_just(peer.ask(call("echo", "again", uuid=5)), ok("again", 5))
    peer.assert_alive()


def test_7_and_text_7_are_two_uuids(peer: Peer, server: Server, stage: Stage) -> None:
    peer.send(call("wait", "seven", uuid=7), call("wait", "seven", uuid="7"))
    assert is_just(peer.ask(call("echo", uuid=7)), Refused(409, "duplicate", 7))
    assert is_just(peer.ask(call("echo", uuid="7")), Refused(409, "duplicate", "7"))
    server.call(stage.door("seven").set)
    answers = sorted(peer.receive_many(2), key=lambda answer: str(type(answer["uuid"])))
    assert is_just(answers, [ok("seven", 7), ok("seven", "7")])
    peer.assert_alive()


def test_a_uuid_is_in_flight_on_its_own_connection_only(
    peer: Peer, server: Server, stage: Stage
) -> None:
    peer.send(call("wait", "mine", uuid=1))
    with server.connect() as other:
        assert is_just(other.ask(call("echo", "yours", uuid=1)), ok("yours"))
    server.call(stage.door("mine").set)
    assert is_just(peer.receive(), ok("mine"))


def test_a_handler_behind_a_refusing_hook_never_runs(peer: Peer, stage: Stage) -> None:
    for kind in ("data_check", "access"):
        for hook in ("refuse", "refuse_later", "explode", "leave_hook"):
            peer.ask(call(f"{kind}/{hook}"))
    assert stage.seen["handler"] == 0


@pytest.mark.parametrize(
    "question",
    [
        call("sum", [1, "secret"]),
        call("sum", "secret"),
        call("sum", {"secret": 1}),
        call("sum"),
        {"uuid": 1, "route": "sum"},
        call("keys", {"a": 1}),
        call("keys", {"a": "secret", "b": 2}),
        call("keys", ["secret"]),
        call("keys", "secret"),
        call("keys", 0),
        call("keys"),
        {"uuid": 1, "route": "keys"},
    ],
)
def test_a_payload_of_the_wrong_type_is_told_what_is_wrong_and_not_shown(
    peer: Peer, question: Any
) -> None:
    answer = peer.ask(question)
    details = answer["payload"].pop("detail")
    assert is_just(answer, Refused(400, "bad_request"))
    assert details
    assert all(set(detail) == {"loc", "msg", "type"} for detail in details)
    assert "secret" not in json.dumps([detail["msg"] for detail in details])
    peer.assert_alive()


def test_a_message_may_come_in_fragments_with_a_ping_between(peer: Peer) -> None:
    data = echo('"é☃😀"').encode()
    peer.send_raw(frame(TEXT, data[:-5], final=False))  # cuts the emoji in two
    peer.send_raw(frame(PING, b"?"))
    peer.send_raw(frame(CONTINUATION, data[-5:-4], final=False))
    peer.send_raw(frame(CONTINUATION, b"", final=False))
    peer.send_raw(frame(CONTINUATION, data[-4:]))
    assert peer.receive_frame() == (PONG, b"?")
    assert is_just(peer.receive(), ok("é☃😀"))
    peer.assert_alive()


# --- the size of a message


@pytest.mark.parametrize("character", ["x", "é", "☃", "😀"])
def test_a_message_of_the_greatest_size_is_answered(peer: Peer, character: str) -> None:
    text = of_size(MAX_BYTES, character)
    assert is_just(peer.ask(text), ok(strict_json(text)["payload"]))
    peer.assert_alive()


@pytest.mark.parametrize("character", ["x", "é", "☃", "😀"])
def test_a_message_one_byte_larger_ends_the_connection(peer: Peer, character: str) -> None:
    peer.send(of_size(MAX_BYTES + 1, character))
    assert peer.receive_close().code == 1009


def of_size(size: int, character: str) -> str:
    """A request of that many bytes of UTF-8, mostly of one character."""
    width = len(character.encode())
    room = size - len(echo('""').encode())
    return echo(f'"{"x" * (room % width)}{character * (room // width)}"')


# --- what ends a connection


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", echo("1").encode()])
def test_a_binary_frame_ends_the_connection(peer: Peer, data: bytes) -> None:
    peer.send_raw(frame(BINARY, data))
    assert peer.receive_close().code == 1003


def test_what_came_before_a_binary_frame_is_answered(peer: Peer) -> None:
    peer.send_raw(text_frame(call("echo", "before")) + frame(BINARY, b"{}"))
    assert is_just(peer.receive(), ok("before"))
    assert peer.receive_close().code == 1003


def test_a_hundred_malformed_messages_are_answered_and_the_next_is_the_last(peer: Peer) -> None:
    malformed = ["{", echo("1", uuid="null"), '{"uuid": 0}', echo("1e999", uuid="0")]
    peer.send(*malformed * 25)
    assert {(a["uuid"], a["status"]) for a in peer.receive_many(100)} == {(0, 400)}
    peer.assert_alive()
    peer.send("{")
    with pytest.raises(Closed, match="1008 too many malformed messages"):
        peer.receive()


def test_refusals_of_good_frames_are_not_malformed_messages(peer: Peer) -> None:
    for route in ("nowhere", "data_check/refuse", "access/refuse", "exit", "sum"):
        peer.send(*[call(route)] * 30)
        assert all(answer["status"] >= 400 for answer in peer.receive_many(30))
    peer.assert_alive()


PROTOCOL_ERRORS = {
    "invalid UTF-8": (frame(TEXT, b"\xff"), 1007),
    "half a character": (frame(TEXT, "é".encode()[:1]), 1007),
    "a surrogate as UTF-8": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "overlong UTF-8": (frame(TEXT, b"\xc0\xaf"), 1007),
    "unmasked": (frame(TEXT, b"{}", masked=False), 1002),
    "reserved opcode": (frame(3, b""), 1002),
    "reserved bit": (b"\xc1" + frame(TEXT, b"{}")[1:], 1002),
    "continuation of nothing": (frame(CONTINUATION, b""), 1002),
    "text within a text": (frame(TEXT, b"{", final=False) + frame(TEXT, b"}"), 1002),
    "long ping": (frame(PING, b"x" * 126), 1002),
    "fragmented ping": (frame(PING, b"", final=False), 1002),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "close with code 999": (frame(CLOSE, b"\x03\xe7"), 1002),
    "close with code 1005": (frame(CLOSE, b"\x03\xed"), 1002),
    "close with bad UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", 1002),
    "more than 63 bits long": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1009),
}


@pytest.mark.parametrize("name", PROTOCOL_ERRORS)
def test_bytes_that_are_no_websocket_end_the_connection_and_no_other(
    name: str, ws: str, server: Server, peer: Peer, stage: Stage
) -> None:
    data, code = PROTOCOL_ERRORS[name]
    before = stage.seen["cancelled"]
    with server.connect() as broken:
        broken.send(call("wait", "for ever"))
        eventually(lambda: stage.running == 1)
        broken.send_raw(data)
        # uvicorn ends a connection without a word where wsproto finds a fault.
        assert broken.receive_close().code == (ABNORMAL if ws == "wsproto" else code)
    eventually(lambda: stage.seen["cancelled"] == before + 1)
    peer.assert_alive()
