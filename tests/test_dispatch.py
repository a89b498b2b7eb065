"""From a call to its answer: the order of its steps, results, and what exceptions mean."""

import asyncio
import dataclasses
import datetime
import decimal
import enum
import json
import logging
import math
import re
import uuid
from typing import Annotated, Any

import msgspec
import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.exceptions import WebSocketException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response

from fastapi_observable_socket import HandlerResult, Reply, SocketRouter, Status
from fastapi_observable_socket.testing import SocketClosed, SocketTestClient


@pytest.fixture
def ask(run):
    """Registers a handler, sends it one request, gives the answer."""

    def ask(handler, payload=None, options=None, **settings):
        router = SocketRouter(**settings)
        router.route("r", options)(handler)

        async def talk():
            async with SocketTestClient(router) as client:
                return await client.request("r", payload)

        return run(talk())

    return ask


def parts(answer):
    return answer.status, answer.headers, answer.payload


def returning(result, annotation=None):
    """A handler that returns `result`, annotated so."""

    async def handler(payload):
        return result

    if annotation is not None:
        handler.__annotations__["return"] = annotation
    return handler


# --- results without a type


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Struct(msgspec.Struct):
    a: int


class User(BaseModel):
    name: str


class Measured(BaseModel):
    value: float


class UserInDatabase(User):
    password: str = "secret"


@pytest.mark.parametrize(
    ("result", "payload"),
    [
        (None, None),
        (0, 0),
        (False, False),
        ("", ""),
        ([], []),
        ({}, {}),
        ({"sum": 3}, {"sum": 3}),
        ({"status": "active"}, {"status": "active"}),
        ({"status": True}, {"status": True}),
        ({"status": None}, {"status": None}),
        ({"headers": {"a": 1}}, {"headers": {"a": 1}}),
        ({"status": 200, "name": "x"}, {"status": 200, "name": "x"}),
        ({"payload": 1, "name": "x"}, {"payload": 1, "name": "x"}),
        (User(name="x"), {"name": "x"}),
        ([User(name="x")], [{"name": "x"}]),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Struct(1), {"a": 1}),
        (Color.RED, "red"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (decimal.Decimal("1.5"), "1.5"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"ab", "YWI="),
        ("\ud800", "\ud800"),
        ({1: "a"}, {"1": "a"}),
    ],
)
def test_a_result_without_a_type_is_the_payload_of_a_200(ask, result, payload):
    assert parts(ask(returning(result))) == (200, {}, payload)


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ({"status": 201}, (201, {}, None)),
        ({"payload": [1]}, (200, {}, [1])),
        ({"payload": None}, (200, {}, None)),
        ({"status": None, "payload": 1}, (200, {}, 1)),
        ({"status": Status.NOT_FOUND, "payload": 1}, (404, {}, 1)),
        ({"status": 404, "headers": None, "payload": 1}, (404, {}, 1)),
        ({"status": 200, "headers": {"a": 1}, "payload": 1}, (200, {"a": 1}, 1)),
        ({"headers": {"a": 1}, "payload": 1}, (200, {"a": 1}, 1)),
        ({"status": 402, "payload": {"progress": 1}}, (402, {}, {"progress": 1})),
    ],
)
@pytest.mark.parametrize("annotation", [None, HandlerResult, dict, dict[str, Any], Any])
def test_a_dict_of_the_results_shape_is_a_result(ask, result, answer, annotation):
    assert parts(ask(returning(result, annotation))) == answer


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ({"headers": {"a": 1}}, (200, {"a": 1}, None)),
        ({}, (200, {}, None)),
        (Reply(1, 201), (201, {}, 1)),
    ],
)
def test_annotated_as_a_result_every_dict_is_one(ask, result, answer):
    assert parts(ask(returning(result, HandlerResult))) == answer


@pytest.mark.parametrize(
    "annotation", [None, Reply, Any, dict, int | Reply, Reply | None, Reply | HandlerResult]
)
def test_a_reply_is_an_answer_in_full_whatever_the_annotation(ask, annotation):
    reply = Reply(7, Status.CREATED, {"etag": "x"})
    assert parts(ask(returning(reply, annotation))) == (201, {"etag": "x"}, 7)


@pytest.mark.parametrize("annotation", [None, Reply | None, HandlerResult | None])
def test_none_is_an_empty_answer(ask, annotation):
    assert parts(ask(returning(None, annotation))) == (200, {}, None)
    assert parts(ask(returning({"status": 404}, annotation))) == (404, {}, None)


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ({"status": 404, "payload": "none"}, (404, {}, "none")),
        ({"payload": {"name": "Ada", "password": "secret"}}, (200, {}, {"name": "Ada"})),
        ({"name": "Ada", "password": "secret"}, (200, {}, {"name": "Ada"})),
    ],
)
def test_a_type_or_a_result_may_be_either(ask, result, answer):
    assert parts(ask(returning(result, User | HandlerResult))) == answer


@pytest.mark.parametrize(
    ("result", "annotation"),
    [
        ({"status": 99, "payload": 1}, None),
        ({"status": 600, "payload": 1}, None),
        ({"status": "200", "payload": 1}, None),
        ({"status": True, "payload": 1}, None),
        ({"status": 200.0, "payload": 1}, None),
        ({"status": 200, "headers": [1]}, None),
        ({"status": 200, "headers": "x"}, None),
        (Reply(1, status=0), None),
        (Reply(1, status=True), None),
        (Reply(1, headers=[("a", 1)]), None),
        (3, HandlerResult),
        (None, HandlerResult),
    ],
)
def test_a_status_or_headers_that_cannot_be_are_a_500_and_logged(ask, result, annotation, caplog):
    answer = ask(returning(result, annotation))
    assert (answer.status, answer.payload["code"]) == (500, "internal")
    assert "handler failed: TypeError" in caplog.text


CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    "result",
    [
        object(),
        math.nan,
        {"a": [math.inf]},
        Measured(value=math.nan),
        [Measured(value=math.inf)],
        {"payload": 1, "headers": {"a": object()}},
        {"payload": 1, "headers": {"a": math.nan}},
        lambda: 1,
        CIRCULAR,
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_result_that_is_not_json_is_a_500_that_says_so(ask, result):
    answer = ask(returning(result))
    assert (answer.status, answer.payload["code"]) == (500, "unserialisable")


def test_a_result_larger_than_allowed_is_a_500_that_says_so(ask):
    answer = ask(returning("x" * 100), max_response_bytes=100)
    assert (answer.status, answer.payload["code"]) == (500, "response_too_large")
    assert ask(returning("x" * 20), max_response_bytes=100).status == 200


# --- results with a type


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    password: Mapped[str]

    def __repr__(self) -> str:
        return "Account()"  # it is part of tests' names, which are the same in each run


class Team(BaseModel):
    lead: User
    members: list[User] = []


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    full_name: str = Field(serialization_alias="fullName")


class Hidden(BaseModel):
    name: str
    password: str = Field("secret", exclude=True)


@dataclasses.dataclass
class Near(Point):
    z: int = 3


ROW = Account(id=1, name="Ada", password="secret")
SHOWN = {"name": "Ada"}


@pytest.mark.parametrize(
    ("result", "annotation", "payload"),
    [
        (UserInDatabase(name="Ada"), User, SHOWN),
        ({"name": "Ada", "password": "secret"}, User, SHOWN),
        (ROW, User, SHOWN),
        ([ROW, {"name": "Ada", "x": 1}, UserInDatabase(name="Ada")], list[User], [SHOWN] * 3),
        ((ROW,), list[User], [SHOWN]),
        ({"a": UserInDatabase(name="Ada")}, dict[str, User], {"a": SHOWN}),
        (
            Team(lead=UserInDatabase(name="Ada"), members=[UserInDatabase(name="Ada")]),
            Team,
            {"lead": SHOWN, "members": [SHOWN]},
        ),
        ({"lead": ROW, "members": [ROW]}, Team, {"lead": SHOWN, "members": [SHOWN]}),
        (UserInDatabase(name="Ada"), User | None, SHOWN),
        (None, User | None, None),
        (Hidden(name="Ada"), Hidden, SHOWN),
        (Aliased(full_name="Ada"), Aliased, {"fullName": "Ada"}),
        (Near(1, 2), Point, {"x": 1, "y": 2}),
        (UserInDatabase(name="Ada"), User | Reply, SHOWN),
        (Reply(UserInDatabase(name="Ada")), User | Reply, SHOWN),
        (Reply(ROW), User | Reply | None, SHOWN),
        (Reply(ROW), User, SHOWN),
        ("1", int, 1),
        ({"status": 3}, dict[str, int], {"status": 3}),
        ({"status": 404, "payload": 5}, dict[str, int], {"status": 404, "payload": 5}),
        (datetime.timedelta(seconds=1), datetime.timedelta, "PT1S"),
        (None, type(None), None),
        (1, Annotated[int, Field(gt=0)], 1),
    ],
    ids=str,
)
def test_of_a_result_with_a_type_only_what_the_type_names_is_sent(ask, result, annotation, payload):
    assert parts(ask(returning(result, annotation))) == (200, {}, payload)


@pytest.mark.parametrize(
    ("result", "annotation"),
    [
        ({"nom": "secret"}, User),
        (None, User),
        ("secret", int),
        (0, Annotated[int, Field(gt=0)]),
        (1, type(None)),
        ([{"name": "a"}, {"password": "secret"}], list[User]),
    ],
    ids=str,
)
def test_a_result_that_does_not_fit_its_type_is_a_500_logged_without_its_value(
    ask, result, annotation, caplog
):
    answer = ask(returning(result, annotation))
    assert (answer.status, answer.payload["code"]) == (500, "internal")
    assert "TypeError: the result does not fit its type" in caplog.text
    assert "secret" not in caplog.text + str(answer.payload)


class Holder(BaseModel):
    held: object


@pytest.mark.parametrize(
    ("result", "kind"),
    [(math.nan, float), (Holder(held=object()), Holder), (b"\xff", bytes)],
    ids=["NaN", "object", "bytes"],
)
def test_a_typed_result_that_is_not_json_is_unserialisable(ask, result, kind):
    answer = ask(returning(result, kind))
    assert (answer.status, answer.payload["code"]) == (500, "unserialisable")
    assert ask(returning([1.5], list[float])).payload == [1.5]


def test_a_reply_that_is_no_2xx_is_sent_as_it_is(ask):
    reply = Reply({"why": "none"}, 404)
    options = {"dehydrate": lambda payload: "never"}
    assert parts(ask(returning(reply, User | Reply))) == (404, {}, {"why": "none"})
    assert parts(ask(returning(reply, User), options=options)) == (404, {}, {"why": "none"})


# --- dehydrate


def shape(user) -> User:
    return user


async def shape_async(user) -> User:
    return user


def shape_without_type(user):
    return {"shaped": user.name}


def shape_to_result(user):
    return {"status": 500, "payload": user.name}


@pytest.mark.parametrize(
    ("dehydrate", "annotation", "payload"),
    [
        (shape, None, SHOWN),
        (shape_async, None, SHOWN),
        (shape, Account, SHOWN),
        (shape_without_type, None, {"shaped": "Ada"}),
        (shape_without_type, User, {"shaped": "Ada"}),
        # What dehydrate returns is a payload, never a result.
        (shape_to_result, None, {"status": 500, "payload": "Ada"}),
    ],
)
@pytest.mark.parametrize(
    ("wrap", "status"),
    [
        (lambda value: value, 200),
        (lambda value: {"status": 201, "payload": value}, 201),
        (lambda value: Reply(value, 299), 299),
    ],
)
def test_dehydrate_shapes_the_payload_of_a_2xx(ask, dehydrate, annotation, payload, wrap, status):
    if annotation is not None and status == 201:
        pytest.skip("a result with a type of its own is all payload")
    answer = ask(returning(wrap(ROW), annotation), options={"dehydrate": dehydrate})
    assert parts(answer) == (status, {}, payload)


@pytest.mark.parametrize("status", [300, 400, 402, 404, 500])
def test_dehydrate_is_left_out_of_other_statuses(ask, status):
    seen: list[Any] = []
    handler = returning({"status": status, "payload": "as it is"})
    answer = ask(handler, options={"dehydrate": seen.append})
    assert parts(answer) == (status, {}, "as it is")
    assert seen == []


def test_what_dehydrate_raises_is_the_answer(ask):
    def dehydrate(payload):
        raise HTTPException(410, "gone")

    assert ask(returning(1), options={"dehydrate": dehydrate}).status == 410


# --- the order of the steps


def test_the_steps_of_a_call_run_in_this_order_and_end_at_the_first_no(run):
    steps: list[str] = []
    router = SocketRouter()

    def step(name):
        async def hook(*given):
            steps.append(name)
            return given[-1].payload != name if name in ("data_check", "access") else given[0]

        return hook

    async def dependency():
        steps.append("dependency")

    async def hydrate(ws, message):
        steps.append("hydrate")
        return "hydrated"

    async def dehydrate(payload):
        steps.append("dehydrate")
        return payload

    async def data_check(message):
        return await step("data_check")(message)

    async def access(ws, message):
        return await step("access")(ws, message)

    options = {
        "dehydrate": dehydrate,
        "hydrate": hydrate,
        "access": access,
        "data_check": data_check,
    }

    @router.route("r", options)  # type: ignore[arg-type]
    async def handler(article, payload: str, it: Annotated[None, Depends(dependency)]):
        steps.append("handler")
        return payload

    in_order = ["data_check", "access", "hydrate", "dependency", "handler", "dehydrate"]

    async def talk():
        async with SocketTestClient(router) as client:
            for payload, status, upto in (
                ("fine", 200, 6),
                ("data_check", 400, 1),
                ("access", 403, 2),
                (3, 400, 3),
            ):
                answer = await client.request("r", payload)
                assert (answer.status, steps) == (status, in_order[:upto])
                steps.clear()

    run(talk())


# --- exceptions


@pytest.mark.parametrize(
    ("error", "status", "payload"),
    [
        (HTTPException(404), 404, {"message": "Not Found", "code": "not_found"}),
        (HTTPException(404, "no row"), 404, {"message": "no row", "code": "not_found"}),
        (StarletteHTTPException(409, "twice"), 409, {"message": "twice", "code": "conflict"}),
        (
            HTTPException(422, {"field": "a"}),
            422,
            {
                "message": "unprocessable entity",
                "code": "unprocessable_entity",
                "detail": {"field": "a"},
            },
        ),
        (
            HTTPException(400, ["a", "b"]),
            400,
            {"message": "bad request", "code": "bad_request", "detail": ["a", "b"]},
        ),
        (HTTPException(418, "tea"), 418, {"message": "tea", "code": "error"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["handler", "data_check", "access", "hydrate", "dependency"])
def test_an_http_exception_is_answered_with_its_status_wherever_it_is_raised(
    ask, error, status, payload, place, caplog
):
    def fail(*given):
        raise error

    def fail_as_hook(message, local=None):
        raise error

    async def handler(payload, it: Annotated[Any, Depends(lambda: 1)]):
        if place == "handler":
            raise error

    async def with_dependency(payload, it: Annotated[Any, Depends(lambda: fail())]): ...

    options = {place: fail} if place in ("data_check", "access", "hydrate") else None
    answer = ask(with_dependency if place == "dependency" else handler, 1, options)
    assert parts(answer) == (status, {}, payload)
    assert caplog.text == "", "a deliberate answer is no failure"


def test_the_headers_of_an_http_exception_are_the_answers(ask):
    async def handler(payload):
        raise HTTPException(401, "who?", {"WWW-Authenticate": "Bearer"})

    answer = ask(handler)
    assert parts(answer)[1] == {"WWW-Authenticate": "Bearer"}


def test_a_detail_that_is_not_json_is_a_500(ask):
    async def handler(payload):
        raise HTTPException(400, object())

    answer = ask(handler)
    assert (answer.status, answer.payload["code"]) == (500, "unserialisable")


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        KeyError("secret"),
        SystemExit(3),
        GeneratorExit(),
        StopAsyncIteration(),
        Unprintable(),
        asyncio.CancelledError(),
        TimeoutError("secret"),
        ExceptionGroup("secret", [ValueError("secret")]),
        RecursionError(),
        MemoryError(),
    ],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("form", ["async", "sync", "late"])
def test_any_other_exception_is_a_500_with_an_id_that_the_log_has_too(run, error, form, caplog):
    router = SocketRouter()

    @router.route("fails")
    async def fails(payload):
        if form == "late":
            await asyncio.sleep(0)
        raise error

    @router.route("fails in a thread")
    def fails_in_a_thread(payload):
        raise error

    @router.route("works")
    async def works(payload):
        return payload

    async def talk():
        async with SocketTestClient(router) as client:
            route = "fails in a thread" if form == "sync" else "fails"
            answer = await client.request(route, uuid="u-1")
            assert (await client.request("works", 1)).payload == 1
            return answer

    answer = run(talk())
    assert (answer.status, answer.payload["code"]) == (500, "internal")
    found = re.fullmatch(r"internal server error, id ([0-9a-f]{8})", answer.payload["message"])
    assert found, answer.payload
    assert "secret" not in str(answer.payload)
    [record] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.name == "fastapi_observable_socket"
    line = record.getMessage()
    assert "handler failed: " in line
    assert f"route={'fails in a thread' if form == 'sync' else 'fails'}" in line
    assert "uuid=u-1" in line
    assert f"error_id={found[1]}" in line
    assert record.exc_text
    assert "Traceback (most recent call last)" in record.exc_text


@pytest.mark.parametrize(
    ("code", "reason", "status", "message"),
    [
        (1008, "expired", 403, "expired"),
        (4401, "", 403, "the connection is being closed"),
        (4403, "no", 403, "no"),
        (4000, "restarting", 500, "restarting"),
        (1011, "broken", 500, "broken"),
    ],
)
@pytest.mark.parametrize("place", ["handler", "access", "dependency"])
def test_a_websocket_exception_is_answered_and_then_closes_with_its_code(
    run, code, reason, status, message, place
):
    router = SocketRouter()

    def fail(*given):
        raise WebSocketException(code, reason)

    async def dependency():
        fail()

    async def handler(payload): ...

    async def failing(payload):
        fail()

    async def depending(payload, it: Annotated[Any, Depends(dependency)]): ...

    handlers = {"handler": failing, "access": handler, "dependency": depending}
    router.route("r", {"access": fail} if place == "access" else None)(handlers[place])

    async def talk():
        async with SocketTestClient(router) as client:
            answer = await client.request("r")
            assert (answer.status, answer.payload["message"]) == (status, message)
            with pytest.raises(SocketClosed):
                await client.receive()
            assert client.closed is not None
            assert (client.closed.code, client.closed.reason) == (code, reason)

    run(talk())


# --- exception handlers of the app


class OutOfStock(Exception):
    pass


class SoldOut(OutOfStock):
    pass


@pytest.fixture
def shop(run):
    """An app with exception handlers, and how it answers a handler that raises `error`."""

    def ask(error, enabled=True):
        app, router = FastAPI(), SocketRouter(exception_handlers=enabled)

        @app.exception_handler(OutOfStock)
        async def out_of_stock(request, exc):
            body = {"stock": 0, "kind": type(exc).__name__, "path": request.url.path}
            return JSONResponse(body, 409)

        @app.exception_handler(418)
        def teapot(request, exc):
            return JSONResponse(["tea"], 418)

        @app.exception_handler(LookupError)
        def broken(request, exc):
            raise ZeroDivisionError("in the handler")

        @app.exception_handler(ArithmeticError)
        async def empty(request, exc):
            return Response(status_code=204)

        @router.route("r")
        async def handler(payload):
            raise error

        router.mount(app, "/ws")

        async def talk():
            async with SocketTestClient(app) as client:
                return await client.request("r")

        return run(talk())

    return ask


@pytest.mark.parametrize(
    ("error", "status", "payload"),
    [
        (OutOfStock(), 409, {"stock": 0, "kind": "OutOfStock", "path": "/ws"}),
        (SoldOut(), 409, {"stock": 0, "kind": "SoldOut", "path": "/ws"}),
        (HTTPException(418), 418, ["tea"]),
        (HTTPException(404, "x"), 404, {"message": "x", "code": "not_found"}),
        (ZeroDivisionError(), 204, None),
    ],
    ids=repr,
)
def test_with_the_option_the_apps_exception_handlers_answer(shop, error, status, payload, caplog):
    assert parts(shop(error)) == (status, {}, payload)
    assert caplog.text == ""


def test_an_exception_handler_that_fails_leaves_the_answer_to_us(shop, caplog):
    answer = shop(KeyError("x"))
    assert (answer.status, answer.payload["code"]) == (500, "internal")
    assert "exception handler failed: ZeroDivisionError: in the handler" in caplog.text


@pytest.mark.parametrize("error", [OutOfStock(), KeyError(), ZeroDivisionError()], ids=repr)
def test_without_the_option_they_do_not(shop, error, caplog):
    answer = shop(error, enabled=False)
    assert (answer.status, answer.payload["code"]) == (500, "internal")


def test_without_the_option_a_status_handler_does_not_either(shop):
    assert shop(HTTPException(418, "x"), enabled=False).payload["message"] == "x"


def test_with_the_option_but_without_an_app_all_is_as_without(ask):
    async def handler(payload):
        raise OutOfStock

    assert ask(handler, exception_handlers=True).status == 500


# --- what the route does not know of


@pytest.mark.parametrize("uuid", [0, -1, 7, "7", "a b", "ü", 2**53 - 1])
def test_an_answer_carries_the_uuid_of_its_request_in_its_type(run, uuid):
    router = SocketRouter()

    @router.route("r")
    async def handler(payload):
        return 1

    async def talk():
        async with SocketTestClient(router) as client:
            await client.send_raw(json.dumps({"uuid": uuid, "route": "r"}))
            frame = await client.receive()
            assert (frame["uuid"], type(frame["uuid"])) == (uuid, type(uuid))

    run(talk())


def test_a_number_out_of_range_is_refused_even_by_a_route_that_takes_no_payload(run):
    router = SocketRouter()
    router.route("none")(lambda headers: 1)
    router.route("any")(lambda payload: 1)

    @router.route("plain")
    async def plain(headers):
        return 1

    async def talk():
        async with SocketTestClient(router) as client:
            for route in ("none", "any", "plain"):
                await client.send_raw(f'{{"uuid": 1, "route": "{route}", "payload": 1e999}}')
                frame = await client.receive()
                assert (frame["uuid"], frame["status"]) == (1, 400)

    run(talk())


@pytest.mark.parametrize("result", [float("nan"), object()])
def test_a_result_that_is_not_json_is_logged_without_the_result(result, run, caplog):
    router = SocketRouter()

    @router.route("odd")
    async def odd():
        return {"secret": [result]}

    async def talk():
        async with SocketTestClient(router) as client:
            assert (await client.request("odd")).payload["code"] == "unserialisable"

    run(talk())
    (record,) = caplog.records
    assert "route=odd uuid=1" in record.getMessage()
    assert "secret" not in record.getMessage()
