"""What a handler's or hook's parameter gets, and which signatures are refused."""

import datetime
import functools
import importlib.util
import re
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import msgspec
import pytest
from fastapi import Body, Cookie, Depends, FastAPI, File, Form, Header, Path, Query
from fastapi import Response as HTTPResponse
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.requests import Request as HTTPRequest
from starlette.websockets import WebSocket

import fastapi_observable_socket as fos
from fastapi_observable_socket import (
    Cached,
    MessageData,
    MessageHeader,
    PerConnection,
    Request,
    SignatureError,
    SocketRouter,
)
from fastapi_observable_socket.testing import SocketTestClient

__all__ = ["File", "HTTPRequest"]  # named in signatures that are made from text

HEADERS = {"x-trace": "t1", "n": 7}


@pytest.fixture
def ask(run):
    """Registers a handler, sends it one request, gives the answer."""

    def ask(handler, payload=None, options=None, **handshake):
        router = SocketRouter()
        router.route("r", options)(handler)

        async def talk():
            async with SocketTestClient(router, **handshake) as client:
                return await client.request("r", payload, HEADERS)

        return run(talk())

    return ask


def kind(value):
    return type(value).__name__


class Item(BaseModel):
    name: str
    price: float = 1.0


class Row:
    """Something pydantic knows no schema for, such as an ORM object."""

    def __init__(self, name):
        self.name = name


def leave(value):
    """A hook that leaves `value` for the handler."""

    async def data_check(message, local):
        local["value"] = value
        return True

    return {"data_check": data_check}


# --- the table of parameters


async def dependency():
    return "solved"


async def r1_depends(it: Annotated[str, Depends(dependency)]):
    return it


async def r1_depends_as_default(it=Depends(dependency)):
    return it


async def r1_depends_named_payload(payload: Annotated[str, Depends(dependency)]):
    return payload


async def r1_per_connection(it: Annotated[str, PerConnection(dependency)]):
    return it


async def r1_header(x_trace: Annotated[str, Header()]):
    return x_trace


async def r1_query(q: Annotated[int, Query()]):
    return q


async def r1_cookie(c: Annotated[str, Cookie()]):
    return c


async def r2_body(thing: Annotated[dict, Body()]):
    return thing


async def r2_body_as_default(thing: dict = Body()):
    return thing


async def r2_body_embedded(a: Annotated[int, Body(embed=True)]):
    return a


async def r2_body_embedded_beside_a_key(a: Annotated[int, Body(embed=True)], b: int):
    return [a, b]


async def r2_message_header(trace: Annotated[str, MessageHeader("x-trace")]):
    return trace


async def r2_message_header_by_its_own_name(x_trace: Annotated[str, MessageHeader()]):
    return x_trace


async def r2_message_header_converted(n: Annotated[str | int, MessageHeader()]):
    return n


async def r2_message_header_absent(y: Annotated[str, MessageHeader()] = "none"):
    return y


async def r3_websocket(sock: WebSocket):
    return kind(sock)


async def r3_connection(con: HTTPConnection):
    return [kind(con), con.headers["host"]]


async def r3_message(m: MessageData):
    return [m.headers, m.payload]


async def r3_request(r: Request):
    return [r.uuid, r.route, r.headers, r.payload]


async def r4_ws(ws):
    return kind(ws)


async def r4_websocket(websocket):
    return kind(websocket)


async def r4_headers(headers):
    return headers


async def r4_payload(payload):
    return payload


async def r4_message(message):
    return [message["headers"], message.get("payload")]


async def r4_local(local: dict):
    return local


async def r4_any_order(payload, ws, local, headers):
    return [payload, kind(ws), local, headers]


async def r4_keyword_only(*, payload, headers):
    return [payload, headers]


async def r4_positional_only(headers, payload, /):
    return [headers, payload]


async def r5_free_names(sock, hdrs, body):
    return [kind(sock), hdrs, body]


async def r5_annotated(s: WebSocket, h: dict[str, Any], b: dict[str, int]):
    return [kind(s), h, b]


async def r5_mixed_names(ws, hdrs: dict | None, payload: Any):
    return [kind(ws), hdrs, payload]


async def r6_anything(*args):
    return [kind(args[0]), *args[1:]]


async def r7_one_left_over(x):
    return x


async def r7_one_left_over_typed(item: Item):
    return [kind(item), item.name]


async def r7_beside_reserved(ws, item: Item, headers):
    return [kind(ws), item.name, headers]


async def r7_beside_dependency(numbers: list[int], it: Annotated[str, Depends(dependency)]):
    return [numbers, it]


async def r8_keys(a: int, b: int = 2):
    return [a, b]


async def r8_keys_with_odd_names(json: int, model_x: int, _id: int):
    return [json, model_x, _id]


async def r8_keys_and_more(a: int, headers, b: Item, it: Annotated[str, Depends(dependency)]):
    return [a, headers, b.name, it]


OBJECT = {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("handler", "payload", "got"),
    [
        (r1_depends, 1, "solved"),
        (r1_depends_as_default, 1, "solved"),
        (r1_depends_named_payload, 1, "solved"),
        (r1_per_connection, 1, "solved"),
        (r1_header, 1, "from the handshake"),
        (r1_query, 1, 5),
        (r1_cookie, 1, "crumb"),
        (r2_body, OBJECT, OBJECT),
        (r2_body_as_default, OBJECT, OBJECT),
        (r2_body_embedded, OBJECT, 1),
        (r2_body_embedded_beside_a_key, OBJECT, [1, 3]),
        (r2_message_header, 1, "t1"),
        (r2_message_header_by_its_own_name, 1, "t1"),
        (r2_message_header_converted, 1, 7),
        (r2_message_header_absent, 1, "none"),
        (r3_websocket, 1, "WebSocket"),
        (r3_connection, 1, ["WebSocket", "testserver"]),
        (r3_message, 1, [HEADERS, 1]),
        (r3_request, 1, [1, "r", HEADERS, 1]),
        (r4_ws, 1, "WebSocket"),
        (r4_websocket, 1, "WebSocket"),
        (r4_headers, 1, HEADERS),
        (r4_payload, [1], [1]),
        (r4_message, 1, [HEADERS, 1]),
        (r4_local, 1, {}),
        (r4_any_order, 1, [1, "WebSocket", {}, HEADERS]),
        (r4_keyword_only, 1, [1, HEADERS]),
        (r4_positional_only, 1, [HEADERS, 1]),
        (r5_free_names, 1, ["WebSocket", HEADERS, 1]),
        (r5_annotated, OBJECT, ["WebSocket", HEADERS, OBJECT]),
        (r5_mixed_names, 1, ["WebSocket", HEADERS, 1]),
        (r6_anything, 1, ["WebSocket", HEADERS, 1]),
        (r7_one_left_over, 1, 1),
        (r7_one_left_over_typed, {"name": "x"}, ["Item", "x"]),
        (r7_beside_reserved, {"name": "x"}, ["WebSocket", "x", HEADERS]),
        (r7_beside_dependency, [1], [[1], "solved"]),
        (r8_keys, OBJECT, [1, 3]),
        (r8_keys, {"a": 1}, [1, 2]),
        (r8_keys_with_odd_names, {"json": 1, "model_x": 2, "_id": 3}, [1, 2, 3]),
        (r8_keys_and_more, {"a": 1, "b": {"name": "x"}}, [1, HEADERS, "x", "solved"]),
    ],
    ids=lambda v: v.__name__ if callable(v) else "",
)
def test_what_a_parameter_gets(ask, handler, payload, got):
    handshake = {"x-trace": "from the handshake"}
    answer = ask(handler, payload, headers=handshake, query={"q": 5}, cookies={"c": "crumb"})
    assert (answer.status, answer.payload) == (200, got)


@pytest.mark.parametrize("absent", [{}, {"headers": None}, {"headers": {}}])
def test_headers_and_payload_are_never_absent_for_a_handler(run, absent):
    router = SocketRouter()
    seen = []

    @router.route("r")
    async def handler(ws, headers, payload):
        seen.append((headers, payload))

    async def talk():
        async with SocketTestClient(router) as client:
            await client.send_raw(msgspec.json.encode({"uuid": 1, "route": "r", **absent}).decode())
            await client.receive()

    run(talk())
    assert seen == [({}, None)]


# --- a payload of a type


async def whole_model(payload: Item):
    return payload.name


async def whole_list(payload: list[int]):
    return payload


async def whole_optional(payload: Item | None = None):
    return payload and payload.name


async def whole_default(payload: int = 5):
    return payload


async def whole_untyped_default(payload=5):
    return payload


async def whole_body_default(it: int = Body(5)):
    return it


async def whole_body_annotated_default(it: Annotated[int, Body()] = 5):
    return it


async def whole_body_constrained(it: int = Body(gt=0)):
    return it


async def whole_body_constrained_annotated(it: Annotated[int, Body(gt=0)]):
    return it


async def left_over_typed(numbers: list[int]):
    return numbers


async def triple_typed(ws, headers, payload: list[int]):
    return payload


async def key_required(a: int, b: Item):
    return [a, b.name]


async def key_with_body_default(a: int = Body(1, embed=True), b: int = Body(2, embed=True)):
    return [a, b]


async def key_constrained(a: Annotated[int, Body(embed=True, le=3)]):
    return a


async def key_constrained_in_its_default(a: int = Body(embed=True, le=3)):
    return a


async def key_with_alias(a: Annotated[int, Body(embed=True, alias="A")], b: int):
    return [a, b]


@pytest.mark.parametrize(
    ("handler", "payload", "got"),
    [
        (whole_model, {"name": "x"}, "x"),
        (whole_list, ["1", 2], [1, 2]),
        (whole_optional, None, None),
        (whole_optional, {"name": "x"}, "x"),
        (whole_default, None, 5),
        (whole_default, 0, 0),
        (whole_untyped_default, None, 5),
        (whole_untyped_default, 0, 0),
        (whole_body_default, None, 5),
        (whole_body_default, 7, 7),
        (whole_body_annotated_default, None, 5),
        (whole_body_constrained, 1, 1),
        (whole_body_constrained_annotated, 1, 1),
        (triple_typed, [1], [1]),
        (key_with_body_default, None, [1, 2]),
        (key_with_body_default, {"b": 3}, [1, 3]),
        (key_constrained, {"a": 3}, 3),
        (key_with_alias, {"A": 1, "b": 2}, [1, 2]),
    ],
    ids=lambda v: v.__name__ if callable(v) else "",
)
def test_a_payload_that_fits_its_type_arrives_as_it(ask, handler, payload, got):
    answer = ask(handler, payload)
    assert (answer.status, answer.payload) == (200, got)


@pytest.mark.parametrize(
    ("handler", "payload", "places"),
    [
        (whole_model, None, [["payload"]]),
        (whole_model, {}, [["payload", "name"]]),
        (whole_model, {"name": 1, "price": "x"}, [["payload", "name"], ["payload", "price"]]),
        (whole_list, [1, "x"], [["payload", 1]]),
        (whole_list, {"0": 1}, [["payload"]]),
        (whole_optional, 3, [["payload"]]),
        (whole_default, "x", [["payload"]]),
        (whole_body_constrained, 0, [["payload"]]),
        (whole_body_constrained_annotated, 0, [["payload"]]),
        (left_over_typed, 1, [["payload"]]),
        (triple_typed, ["x"], [["payload", 0]]),
        (key_required, None, [["payload", "a"], ["payload", "b"]]),
        (key_required, {"a": 1}, [["payload", "b"]]),
        (key_required, {"a": 1, "b": {}}, [["payload", "b", "name"]]),
        (key_required, [1], [["payload"]]),
        (key_constrained, {"a": 4}, [["payload", "a"]]),
        (key_constrained_in_its_default, {"a": 4}, [["payload", "a"]]),
        (key_with_alias, {"a": 1, "b": 2}, [["payload", "A"]]),
    ],
    ids=lambda v: v.__name__ if callable(v) else "",
)
def test_a_payload_that_does_not_fit_is_answered_with_its_places(ask, handler, payload, places):
    answer = ask(handler, payload)
    assert (answer.status, answer.payload["code"]) == (400, "bad_request")
    detail = answer.payload["detail"]
    assert [error["loc"] for error in detail] == places
    assert all({"type", "loc", "msg"} == set(error) for error in detail), "no input is echoed"


def test_a_message_header_that_is_missing_or_unfit_is_answered_with_its_place(ask):
    async def missing(y: Annotated[str, MessageHeader()]):
        return y

    async def unfit(n: Annotated[bool, MessageHeader()]):
        return n

    for handler, name in ((missing, "y"), (unfit, "n")):
        answer = ask(handler)
        assert answer.status == 400
        assert answer.payload["detail"][0]["loc"] == ["headers", name]


def test_payloads_are_read_as_json_so_that_its_strings_become_dates(ask):
    async def handler(payload: list[datetime.date]):
        return payload[0].year

    assert ask(handler, ["2024-05-01"]).payload == 2024


# --- hydrate > local["value"] > payload


def hydrate_to(value):
    async def hydrate(ws, message):
        return value

    return {"hydrate": hydrate}


async def free_triple_typed(sock, hdrs: dict, body: list[int]):
    return [kind(sock), hdrs == HEADERS, body]


async def names_a_row(row: Row):
    return row.name


async def names_a_row_beside_payload(row: Row, payload: Item):
    return [row.name, payload.name]


async def article_beside_payload(article, payload: Item):
    return [article, payload.name]


async def marked_cached(ws, thing: Annotated[str, Cached()]):
    return thing


async def marked_cached_with_default(ws, thing: Annotated[str | None, Cached()] = "none"):
    return thing


async def local_itself(local):
    return local["value"]


async def only_ws(ws):
    return ws


async def body_marked(it: Annotated[Item, Body()]):
    return it


async def two_and_hydrate(local, article):
    return [local, article]


@pytest.mark.parametrize(
    ("handler", "options", "payload", "got"),
    [
        (r7_one_left_over, leave("cached"), 1, "cached"),
        (r7_one_left_over, leave(None), 1, None),
        (r7_one_left_over, leave("cached") | hydrate_to("hydrated"), 1, "hydrated"),
        (r7_one_left_over_typed, leave(Item(name="c")), "never validated", ["Item", "c"]),
        (r7_one_left_over_typed, leave(Row("c")), "never validated", ["Row", "c"]),
        (r7_one_left_over_typed, hydrate_to(Row("h")), "never validated", ["Row", "h"]),
        (r6_anything, {}, 1, ["WebSocket", HEADERS, 1]),
        (lambda *args: args, leave("cached"), 1, ["cached"]),
        (lambda *args: args, leave("cached") | hydrate_to("hydrated"), 1, ["hydrated"]),
        (r4_payload, leave("cached"), 1, 1),
        (r4_payload, hydrate_to("hydrated"), 1, "hydrated"),
        (whole_model, hydrate_to(Row("h")), 1, "h"),
        (r4_local, leave("cached"), 1, {"value": "cached"}),
        (r4_local, hydrate_to("hydrated"), 1, "hydrated"),
        (local_itself, leave("cached"), 1, "cached"),
        (only_ws, hydrate_to("hydrated"), 1, "hydrated"),
        (body_marked, hydrate_to("hydrated"), 1, "hydrated"),
        (two_and_hydrate, hydrate_to("hydrated"), 1, [{}, "hydrated"]),
        (r4_any_order, leave("c"), 1, [1, "WebSocket", {"value": "c"}, HEADERS]),
        (r4_any_order, hydrate_to("h"), 1, ["h", "WebSocket", {}, HEADERS]),
        (r5_free_names, leave("cached"), 1, ["WebSocket", HEADERS, 1]),
        (r5_free_names, hydrate_to("h"), 1, ["WebSocket", HEADERS, "h"]),
        (free_triple_typed, hydrate_to("h"), "unfit", ["WebSocket", True, "h"]),
        (triple_typed, hydrate_to("h"), "unfit", "h"),
        (names_a_row, leave(Row("c")), {"name": "posed"}, "c"),
        (names_a_row, hydrate_to(Row("h")), {"name": "posed"}, "h"),
        (names_a_row_beside_payload, leave(Row("c")), {"name": "p"}, ["c", "p"]),
        (article_beside_payload, leave("c"), {"name": "p"}, ["c", "p"]),
        (article_beside_payload, hydrate_to("h"), {"name": "p"}, ["h", "p"]),
        (marked_cached, leave("c"), 1, "c"),
        (marked_cached_with_default, {}, 1, "none"),
        (marked_cached_with_default, leave(None), 1, None),
    ],
    ids=lambda v: v.__name__ if callable(v) else "",
)
def test_hydrate_goes_before_a_cached_value_and_that_before_the_payload(
    ask, handler, options, payload, got
):
    answer = ask(handler, payload, options)
    assert (answer.status, answer.payload) == (200, got)


def test_the_left_over_takes_the_payload_in_calls_for_which_no_hook_left_a_value(run):
    router = SocketRouter()

    def data_check(message, local):
        if message.payload == [0]:
            local["value"] = "cached"
        return True

    @router.route("r", {"data_check": data_check})
    async def handler(numbers: list[int]):
        return numbers

    async def talk():
        async with SocketTestClient(router) as client:
            for payload, got in (([0], "cached"), ([1], [1])):
                assert (await client.request("r", payload)).payload == got
            assert (await client.request("r", ["x"])).status == 400

    run(talk())


@pytest.mark.parametrize(
    "handler",
    [names_a_row, names_a_row_beside_payload, article_beside_payload, marked_cached],
    ids=lambda v: v.__name__,
)
def test_a_payload_never_poses_as_what_a_hook_should_have_left(ask, handler, caplog):
    answer = ask(handler, {"name": "posed"}, {"access": lambda ws, message: True})
    assert (answer.status, answer.payload["code"]) == (500, "internal")
    assert 'takes local["value"], and no hook set it' in caplog.text


def test_beside_a_hydrated_value_the_whole_payload_is_still_validated(ask):
    answer = ask(article_beside_payload, {"price": 1}, hydrate_to("h"))
    assert answer.payload["detail"][0]["loc"] == ["payload", "name"]


# --- handlers in every disguise


class Handlers:
    prefix = "method"

    async def method(self, ws, headers, payload):
        return [self.prefix, payload]

    @staticmethod
    async def static(payload):
        return ["static", payload]

    @classmethod
    async def of_class(cls, payload):
        return [cls.prefix, payload]

    async def __call__(self, payload):
        return ["called", payload]


class SyncCallable:
    def __call__(self, payload: int):
        return ["called", payload]


def wrapping(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return ["wrapped", await function(*args, **kwargs)]

    return wrapper


def wrapping_without_await(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def hiding(function):
    async def wrapper(*args):
        return await function(*args)

    return wrapper


async def with_two(label, payload: int):
    return [label, payload]


def plain(payload: int):
    return ["plain", payload]


@pytest.mark.parametrize(
    ("handler", "got"),
    [
        (Handlers().method, ["method", 1]),
        (Handlers.static, ["static", 1]),
        (Handlers.of_class, ["method", 1]),
        (Handlers(), ["called", 1]),
        (SyncCallable(), ["called", 1]),
        (functools.partial(with_two, "partial"), ["partial", 1]),
        (functools.partial(functools.partial(plain)), ["plain", 1]),
        (wrapping(r4_payload), ["wrapped", 1]),
        (wrapping_without_await(r4_payload), 1),
        (hiding(r5_free_names), ["WebSocket", HEADERS, 1]),
        (plain, ["plain", 1]),
        (lambda payload: ["lambda", payload], ["lambda", 1]),
        (lambda payload: with_two("awaited", payload), ["awaited", 1]),
    ],
)
def test_handlers_may_be_any_callable(ask, handler, got):
    answer = ask(handler, 1)
    assert (answer.status, answer.payload) == (200, got)


def test_a_plain_def_runs_in_the_thread_pool_and_an_async_def_does_not(ask):
    async def on_loop(payload):
        return threading.current_thread() is threading.main_thread()

    assert ask(on_loop).payload is True
    assert (
        ask(lambda payload: threading.current_thread() is threading.main_thread()).payload is False
    )


# --- hooks


class Hooks:
    """Hooks as methods; what they were given is in `seen`."""

    def __init__(self):
        self.seen = []

    async def one(self, message):
        self.seen.append(message)
        return True

    def two(self, first, second):
        self.seen += [first, second]
        return True

    async def three(self, first, second, third):
        self.seen += [first, second, third]
        return True

    def __call__(self, *given):
        self.seen += given
        return True


def test_hooks_are_given_what_their_arity_asks_for(ask):
    def hook_forms(seen):
        """Each form: the function, and how many arguments it wants."""

        async def asynchronous_one(a):
            seen.append((a,))
            return True

        async def asynchronous_two(a, b):
            seen.append((a, b))
            return True

        async def asynchronous_three(a, b, c):
            seen.append((a, b, c))
            return True

        def with_label(label, *given):
            seen.append(given)
            return True

        def optional(a, b, local=None):
            seen.append((a, b, local))
            return True

        def optional_two(a, local=None):
            seen.append((a, local))
            return True

        return {
            "data_check": [
                (asynchronous_one, 1),
                (asynchronous_two, 2),
                (lambda m: seen.append((m,)) or True, 1),
                (lambda m, l: seen.append((m, l)) or True, 2),  # noqa: E741
                (optional_two, 2),
                (functools.partial(with_label, "x"), 2),
            ],
            "access": [
                (asynchronous_two, 2),
                (asynchronous_three, 3),
                (lambda w, m: seen.append((w, m)) or True, 2),
                (optional, 3),
                (functools.partial(with_label, "x"), 3),
            ],
            "hydrate": [
                (asynchronous_two, 2),
                (asynchronous_three, 3),
                (lambda w, m, l: seen.append((w, m, l)), 3),  # noqa: E741
                (optional, 3),
            ],
            "dehydrate": [
                (asynchronous_one, 1),
                (lambda p: seen.append((p,)), 1),
                (functools.partial(with_label, "x"), 1),
            ],
        }

    kinds = {
        "data_check": ["MessageData", "dict"],
        "access": ["WebSocket", "MessageData", "dict"],
        "hydrate": ["WebSocket", "MessageData", "dict"],
        "dehydrate": ["int"],
    }

    async def handler(local: dict):
        return 1

    for name, forms in hook_forms([]).items():
        for number, (_, count) in enumerate(forms):
            seen: list[tuple[Any, ...]] = []
            hook = hook_forms(seen)[name][number][0]
            answer = ask(handler, 5, {name: hook})
            assert answer.status == 200, (name, number, answer)
            assert [[kind(v) for v in given] for given in seen] == [kinds[name][:count]]


@pytest.mark.parametrize(
    ("name", "hook", "got"),
    [
        ("data_check", Hooks().one, ["MessageData"]),
        ("data_check", Hooks().two, ["MessageData", "dict"]),
        ("access", Hooks().two, ["WebSocket", "MessageData"]),
        ("access", Hooks().three, ["WebSocket", "MessageData", "dict"]),
        ("access", Hooks(), ["WebSocket", "MessageData", "dict"]),
        ("hydrate", Hooks().three, ["WebSocket", "MessageData", "dict"]),
        ("dehydrate", Hooks().one, ["int"]),
    ],
)
def test_bound_methods_and_callable_objects_are_hooks_too(ask, name, hook, got):
    async def handler(payload):
        return 1

    assert ask(handler, 5, {name: hook}).status == 200
    owner = hook if isinstance(hook, Hooks) else hook.__self__
    assert [kind(v) for v in owner.seen] == got


def test_the_message_that_hooks_see_reads_as_attributes_and_as_a_mapping(ask):
    seen = []

    def data_check(message):
        seen.append([message.headers, message.payload])
        seen.append([message["headers"], message["payload"]])
        seen.append([message.get("headers"), message.get("payload")])
        seen.append([message.get("other"), message.get("other", 3)])
        return True

    assert ask(r4_payload, 1, {"data_check": data_check}).status == 200
    assert seen == [[HEADERS, 1]] * 3 + [[None, 3]]


@pytest.mark.parametrize("name", ["data_check", "access"])
@pytest.mark.parametrize("verdict", [True, False, 1, 0, None, "", "yes"])
@pytest.mark.parametrize("form", ["async", "sync", "lambda around async"])
def test_a_check_passes_if_what_it_says_is_true(ask, name, verdict, form):
    async def asynchronous(*given):
        return verdict

    hook = {
        "async": asynchronous,
        "sync": lambda *given: verdict,
        "lambda around async": lambda *given: asynchronous(*given),
    }[form]
    answer = ask(r4_payload, 1, {name: hook})
    refused = {"data_check": (400, "check"), "access": (403, "forbidden")}[name]
    if verdict:
        assert answer.status == 200
    else:
        assert (answer.status, answer.payload["code"]) == refused


def test_hydrate_and_dehydrate_may_return_an_awaitable_from_a_plain_def(ask):
    async def plus_one(value):
        return value + 1

    options = {"hydrate": lambda ws, message: plus_one(1), "dehydrate": lambda p: plus_one(p)}
    assert ask(r4_payload, None, options).payload == 3


def test_hooks_may_have_dependencies(ask):
    seen = []

    async def data_check(message, it: Annotated[str, Depends(dependency)]):
        seen.append(it)
        return True

    async def access(ws, message, local, it: Annotated[str, Depends(dependency)]):
        seen.append(it)
        return True

    def hydrate(ws, message, it=Depends(dependency)):
        return ["hydrated", it]

    async def dehydrate(payload, *, it: Annotated[str, Depends(dependency)], x: MessageData):
        return [payload, it]

    options = {"data_check": data_check, "access": access, "hydrate": hydrate}
    assert ask(r4_payload, 1, options).payload == ["hydrated", "solved"]
    assert seen == ["solved", "solved"]


def test_hooks_may_ask_for_values_of_the_handshake_and_the_message(ask):
    def data_check(
        message,
        q: Annotated[int, Query()],
        trace: Annotated[str, MessageHeader("x-trace")],
        tenant: Annotated[str, Header()] = "none",
    ):
        return [q, trace, tenant] == [5, "t1", "none"]

    assert ask(r4_payload, 1, {"data_check": data_check}, query={"q": 5}).status == 200
    assert ask(r4_payload, 1, {"data_check": data_check}).status == 400


def test_options_that_are_none_are_no_hooks(ask):
    nothing = {"data_check": None, "access": None, "hydrate": None, "dehydrate": None}
    assert ask(r4_payload, 1, nothing).payload == 1


# --- signatures that can never work


def body_of_a_function(parameters, annotation=""):
    """`async def handler(<parameters>) <annotation>`, named and made here."""
    names: dict[str, Any] = {}
    exec(f"async def handler({parameters}){annotation}: ...", globals(), names)
    return names["handler"]


async def needs_body(item: Item): ...


async def needs_row(row: Row): ...


async def wants_http_response(response: HTTPResponse): ...


async def marked_form(x: Annotated[str, Form()]): ...


async def marked_body(x: Annotated[str, Body()]): ...


def a_only(x, /): ...


@pytest.mark.parametrize(
    ("parameters", "named", "way_out"),
    [
        ("x, y", "'x'", "mark it with Depends, or take `payload`"),
        ("x: int, y", "'y'", "annotate it"),
        ("ws, headers, x, y", "'x'", "annotate it"),
        ("self, payload: Item", "'self'", "register the method of an instance"),
        ("**kwargs", "'**kwargs'", "name what the handler needs"),
        ("ws, *args", "'*args'", "functools.wraps"),
        ("payload, x: int, y: int", "'x'", "the whole payload"),
        ("payload, it: Annotated[dict, Body()]", "'it'", "takes the whole payload, as 'payload'"),
        ("it: Annotated[dict, Body()], payload", "'payload'", "as 'it'"),
        ("x: Item, y: Row", "'y'", "no schema"),
        ("payload: Row", "'payload'", "a hook (hydrate) or Depends"),
        ("request: HTTPRequest", "'request'", "take `ws: WebSocket`"),
        ("response: HTTPResponse", "'response'", "return a Reply"),
        ("x: Annotated[str, Form()]", "'x'", "a message has only a payload"),
        ("x: Annotated[bytes, File()]", "'x'", "a message has only a payload"),
        ("headers: int", "'headers'", "MessageHeader"),
        ("headers: Item", "'headers'", "MessageHeader"),
        ("x: Annotated[Row, Header()]", "'x'", "cannot come from the handshake"),
        ("x=Depends()", "'x'", "write Depends(function)"),
        ("x: Annotated[str, Depends(needs_body)]", "'item'", "take the payload in the handler"),
        ("x: Annotated[str, Depends(needs_row)]", "'row'", "mark it with Depends"),
        ("x: Annotated[str, Depends(wants_http_response)]", "'response'", "return a Reply"),
        ("x: Annotated[str, Depends(marked_form)]", "'x'", "which only a handler can have"),
        ("x: Annotated[str, Depends(marked_body)]", "'x'", "which only a handler can have"),
        ("x: Annotated[str, Depends(a_only)]", "'x'", "dependencies are called by keyword"),
    ],
)
def test_a_handler_that_can_never_be_called_is_refused_with_the_way_out(parameters, named, way_out):
    router = SocketRouter()
    handler = body_of_a_function(parameters)
    with pytest.raises(SignatureError) as refused:
        router.route("the/route")(handler)
    message = str(refused.value)
    assert message.startswith("route 'the/route': ")
    assert "(): parameter " in message
    assert named in message
    assert way_out in message


@pytest.mark.parametrize(
    ("annotation", "way_out"),
    [
        (" -> Row", "return a model, or shape it with the dehydrate hook"),
        (" -> list[Row]", "return a model, or shape it with the dehydrate hook"),
    ],
)
def test_a_result_that_cannot_be_serialised_is_refused(annotation, way_out):
    with pytest.raises(SignatureError, match=re.escape(way_out)) as refused:
        SocketRouter().route("r")(body_of_a_function("payload", annotation))
    assert str(refused.value).startswith("route 'r': handler() returns ")


def test_with_dehydrate_a_result_may_have_any_type(ask):
    async def handler(payload) -> Row:
        return Row("x")

    assert ask(handler, 1, {"dehydrate": lambda row: row.name}).payload == "x"


@pytest.mark.parametrize(
    ("handler", "options", "way_out"),
    [
        (needs_body, hydrate_to(1) | {"hydrate": lambda ws: 1}, "hydrate(ws, message[, local])"),
        (r4_payload, {"data_check": lambda: True}, "data_check(message[, local])"),
        (r4_payload, {"data_check": lambda a, b, c: True}, "data_check(message[, local])"),
        (r4_payload, {"access": lambda ws: True}, "access(ws, message[, local])"),
        (r4_payload, {"access": lambda a, b, c, d: True}, "access(ws, message[, local])"),
        (r4_payload, {"dehydrate": lambda: True}, "dehydrate(payload)"),
        (r4_payload, {"dehydrate": lambda a, b: True}, "dehydrate(payload)"),
        (r4_payload, {"data_check": lambda m, *, x: True}, "mark other parameters with Depends"),
    ],
)
def test_a_hook_of_the_wrong_arity_is_refused_with_the_right_one(handler, options, way_out):
    with pytest.raises(SignatureError, match=re.escape(way_out)) as refused:
        SocketRouter().route("r", options)(handler)
    assert str(refused.value).startswith("route 'r': ")


def test_a_hook_that_is_a_generator_is_refused():
    def generator(message) -> Iterator[int]:
        yield 1

    async def async_generator(message) -> AsyncIterator[int]:
        yield 1

    for function in (generator, async_generator):
        with pytest.raises(SignatureError, match="is a generator and cannot be data_check"):
            SocketRouter().route("r", {"data_check": function})(r4_payload)


def test_a_generator_must_be_annotated_as_one():
    async def wrong() -> list[int]:
        yield 1

    with pytest.raises(SignatureError, match=r"is a generator: annotate what it yields"):
        SocketRouter().route("r")(wrong)


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (body_of_a_function("x: Item, y: Item"), "several parameters for what hydrate returns"),
        (body_of_a_function(""), "no parameter for what hydrate returns"),
        (body_of_a_function("ws, headers"), "no parameter for what hydrate returns"),
        (r1_depends, "no parameter for what hydrate returns"),
    ],
)
def test_hydrate_needs_one_parameter_to_fill(handler, why):
    with pytest.raises(SignatureError, match=why):
        SocketRouter().route("r", hydrate_to(1))(handler)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"acces": lambda ws, m: True}, "unknown option 'acces': did you mean 'access'?"),
        ({"timeout": 3}, "unknown option 'timeout': known are data_check, access, hydrate"),
        ({"access": True}, "option 'access' is not callable: True"),
        ({"dehydrate": "json"}, "option 'dehydrate' is not callable: 'json'"),
    ],
)
def test_options_that_cannot_be_are_refused(options, why):
    with pytest.raises(SignatureError, match=re.escape(why)):
        SocketRouter().route("r", options)(r4_payload)
    with pytest.raises(SignatureError, match=re.escape(why)):
        SocketRouter(options=options)
    with pytest.raises(SignatureError, match=re.escape(why)):
        SocketRouter().include(SocketRouter(), options=options)


def test_a_signature_error_is_a_type_error():
    assert issubclass(SignatureError, TypeError)
    with pytest.raises(TypeError):
        SocketRouter().route("r")(3)  # type: ignore[type-var]


def test_a_refused_handler_leaves_its_name_free():
    router = SocketRouter()
    with pytest.raises(SignatureError):
        router.route("r")(body_of_a_function("x, y"))
    router.route("r")(r4_payload)


def test_a_registered_function_is_returned_unchanged():
    assert SocketRouter().route("r")(plain) is plain


# --- postponed annotations


@pytest.fixture
def module(tmp_path):
    """Makes a module of its own file, with postponed annotations."""
    made = []

    def make(code):
        name = f"postponed_{len(made)}_{tmp_path.name}"
        path = tmp_path / f"{name}.py"
        path.write_text(
            "from __future__ import annotations\n"
            "from typing import TYPE_CHECKING, Annotated\n"
            "from fastapi import Depends, Header\n"
            "from pydantic import BaseModel\n"
            "from fastapi_observable_socket import *\n"
            "router = SocketRouter()\n" + textwrap.dedent(code),
            encoding="utf-8",
        )
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded
        made.append(name)
        spec.loader.exec_module(loaded)
        return loaded

    yield make
    for name in made:
        sys.modules.pop(name, None)


NOW = """
class Model(BaseModel):
    a: int

@router.route("r")
async def handler(payload: Model) -> Model:
    return payload
"""

LATER = """
@router.route("r")
async def handler(payload: Model) -> Model:
    return payload

class Model(BaseModel):
    a: int
"""

LATER_WITHIN = """
class Outer(BaseModel):
    inner: Model

@router.route("r")
async def handler(payload: Model, x: Annotated[Outer | None, MessageHeader()] = None) -> Model:
    return payload

class Model(BaseModel):
    a: int
"""

LOCAL = """
def make():
    class Model(BaseModel):
        a: int

    def get() -> Model:
        return Model(a=1)

    @router.route("r")
    async def handler(payload: Model, it: Annotated[Model, Depends(get)]) -> Model:
        return payload

make()
"""

HOOKED = """
async def access(ws: WebSocket, message: MessageData, local: dict, x: Annotated[int, Depends(one)]):
    return x == 1

async def one() -> int:
    return 1

@router.route("r", {"access": access})
async def handler(ws: WebSocket, headers: Header, payload: Model) -> HandlerResult:
    return {"payload": payload}

from starlette.websockets import WebSocket

class Model(BaseModel):
    a: int
"""

RESERVED_FOR_CHECKERS_ONLY = """
if TYPE_CHECKING:
    from starlette.websockets import WebSocket
    from somewhere import Message, Headers

def access(ws: WebSocket, message: Message, local: Local):
    return True

@router.route("r", {"access": access})
async def handler(ws: WebSocket, headers: Headers, message: Message, local: Local, payload: dict):
    return [payload, message.payload, headers, local][0]
"""


@pytest.mark.parametrize(
    "code",
    [NOW, LATER, LATER_WITHIN, LOCAL, HOOKED, RESERVED_FOR_CHECKERS_ONLY],
    ids=["now", "later", "later within a model", "local", "hooked", "reserved names"],
)
@pytest.mark.parametrize("mounted", [True, False])
def test_postponed_annotations_are_resolved_at_the_latest_when_a_socket_comes(
    module, code, mounted, run
):
    router = module(code).router
    app = router
    if mounted:
        app = FastAPI()
        router.mount(app, "/ws")

    async def talk():
        async with SocketTestClient(app, "/ws") as client:
            answer = await client.request("r", {"a": 1})
            assert (answer.status, answer.payload) == (200, {"a": 1})

    run(talk())


FOR_CHECKERS_ONLY = {
    "handler": """
        if TYPE_CHECKING:
            from somewhere import Model

        @router.route("the/route")
        async def handler(payload: Model):
            return payload
        """,
    "result": """
        @router.route("the/route")
        async def handler(payload) -> Model:
            return payload
        """,
    "hook": """
        async def handler(thing: Model):
            return True

        @router.route("the/route", {"data_check": handler})
        async def handler(payload):
            return payload
        """,
    "dependency": """
        async def get(thing: Model):
            return True

        @router.route("the/route")
        async def handler(it: Annotated[bool, Depends(get)]):
            return it
        """,
    "a reserved name's marker": """
        @router.route("the/route")
        async def handler(payload: Model, local: dict):
            return payload
        """,
}


@pytest.mark.parametrize("code", FOR_CHECKERS_ONLY.values(), ids=FOR_CHECKERS_ONLY)
def test_an_annotation_that_is_never_defined_is_refused_when_mounted(module, code, run):
    router = module(code).router
    with pytest.raises(SignatureError) as refused:
        router.mount(FastAPI(), "/ws")
    message = str(refused.value)
    assert message.startswith("route 'the/route': handler(): an annotation cannot be resolved")
    assert "'Model'" in message

    async def talk():
        with pytest.raises(SignatureError):
            async with SocketTestClient(router):
                pass

    run(talk())


def test_a_forward_reference_in_a_string_is_resolved_later(run):
    router = SocketRouter()

    @router.route("r")
    async def handler(payload: "list[Postponed]"):  # noqa: F821
        return [p.a for p in payload]

    globals()["Postponed"] = type("Postponed", (BaseModel,), {"__annotations__": {"a": int}})
    try:

        async def talk():
            async with SocketTestClient(router) as client:
                assert (await client.request("r", [{"a": 1}])).payload == [1]

        run(talk())
    finally:
        del globals()["Postponed"]


def test_path_parameters_of_the_socket_reach_handlers(run):
    app = FastAPI()
    router = SocketRouter()

    @router.route("r")
    async def handler(room: Annotated[int, Path()]):
        return room

    router.mount(app, "/rooms/{room}")

    async def talk():
        async with SocketTestClient(app, "/rooms/7") as client:
            assert (await client.request("r")).payload == 7

    run(talk())


def test_every_public_name_is_exported():
    assert all(hasattr(fos, name) for name in fos.__all__)
    assert list(fos.__all__) == sorted(fos.__all__)


def test_a_payload_cannot_go_by_the_name_of_the_message():
    with pytest.raises(SignatureError, match="parameter 'message' has the name of the whole"):

        @SocketRouter().route("say")
        async def say(message: str): ...
