"""Registering and including routes, and every way to mount them."""

import asyncio
import inspect
import logging
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, WebSocket
from starlette.applications import Starlette
from starlette.routing import Mount, Router, WebSocketRoute

from fastapi_observable_socket import HandlerResult, SignatureError, SocketRouter
from fastapi_observable_socket import _compat as compat
from fastapi_observable_socket.testing import SocketClosed, SocketRejected, SocketTestClient


def echoing(**settings):
    """A router with one route."""
    router = SocketRouter(**settings)

    @router.route("echo")
    async def echo(payload):
        return payload

    return router


async def handler(payload):
    return payload


# --- registration


@pytest.mark.parametrize("name", ["", "x" * 257])
def test_a_name_has_1_to_256_characters(name):
    with pytest.raises(ValueError, match="1 to 256 characters"):
        SocketRouter().route(name)(handler)


def test_the_decorator_without_a_name_is_refused():
    with pytest.raises(
        TypeError, match=r'a route needs a name: @router.route\("name"\), not <func'
    ):
        SocketRouter().route(handler)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["PING", "PONG", "$hello", "$", "$anything/else"])
def test_names_of_the_protocol_are_reserved(name):
    with pytest.raises(ValueError, match="is reserved for the protocol"):
        SocketRouter().route(name)(handler)


@pytest.mark.parametrize("name", ["a", "a/b", "/a", "a b", "ü", "ping", "x" * 256, "__proto__"])
def test_any_other_name_is_served(run, name):
    router = SocketRouter()
    router.route(name)(handler)

    async def talk():
        async with SocketTestClient(router) as client:
            assert (await client.request(name, 1)).payload == 1
            assert (await client.request(name + "/", 1)).status == (404 if len(name) < 256 else 400)

    run(talk())


def test_a_name_is_taken_once():
    router = SocketRouter(prefix="v1/")
    router.route("a")(handler)
    with pytest.raises(ValueError, match="route 'v1/a' is already registered"):
        router.route("a")(handler)
    router.route("v1/a")(handler)


def test_an_unknown_route_is_answered_with_404(run):
    async def talk():
        async with SocketTestClient(echoing()) as client:
            answer = await client.request("Echo")
            assert (answer.status, answer.payload["code"]) == (404, "not_found")
            assert "'Echo'" in answer.payload["message"]

    run(talk())


def test_one_function_may_serve_many_routes(run):
    router = SocketRouter()
    assert router.route("a")(router.route("b")(handler)) is handler

    async def talk():
        async with SocketTestClient(router) as client:
            assert [(await client.request(name, name)).payload for name in "ab"] == ["a", "b"]

    run(talk())


def test_routes_may_be_added_while_a_socket_is_open(run):
    router = echoing()

    async def talk():
        async with SocketTestClient(router) as client:
            assert (await client.request("late", 1)).status == 404
            router.route("late")(handler)
            assert (await client.request("late", 1)).payload == 1

    run(talk())


@pytest.mark.parametrize(
    ("of_router", "of_route", "takes_socket", "one_at_a_time"),
    [
        (None, None, True, True),
        (None, None, False, False),
        (True, None, False, True),
        (False, None, True, False),
        (True, False, True, False),
        (False, True, False, True),
    ],
)
@pytest.mark.parametrize("included", [False, True])
def test_routes_that_take_the_socket_run_in_order_unless_told_otherwise(
    run, of_router, of_route, takes_socket, one_at_a_time, included
):
    router = SocketRouter(ordered=of_router)
    events: list[str] = []
    going_on = asyncio.Event()

    async def wait(number):
        events.append(f"start {number}")
        if number == 1:
            await going_on.wait()
        events.append(f"end {number}")

    async def plain(payload):
        await wait(payload)

    async def with_socket(ws, payload):
        await wait(payload)

    router.route("r", ordered=of_route)(with_socket if takes_socket else plain)
    router.route("mark", ordered=False)(lambda: going_on.set())
    app = router
    if included:
        app = SocketRouter()
        app.include(router)

    async def talk():
        async with SocketTestClient(app) as client:
            first = asyncio.create_task(client.request("r", 1))
            second = asyncio.create_task(client.request("r", 2))
            await asyncio.sleep(0)
            await client.request("mark")
            await asyncio.gather(first, second)

    run(talk())
    concurrent = ["start 1", "start 2", "end 2", "end 1"]
    assert events == (["start 1", "end 1", "start 2", "end 2"] if one_at_a_time else concurrent)


def test_a_hook_that_takes_the_socket_makes_its_route_run_in_order(run):
    router, events = SocketRouter(), []

    async def access(ws, message):
        return True

    @router.route("r", {"access": access})
    async def slow(payload):
        events.append(payload)
        await asyncio.sleep(0)
        events.append(payload)

    async def talk():
        async with SocketTestClient(router) as client:
            await asyncio.gather(*(client.request("r", n) for n in range(3)))

    run(talk())
    assert events == [0, 0, 1, 1, 2, 2]


# --- including


def names_of(router):
    return set(router._routes)


def test_prefixes_are_put_together_from_the_outside(run):
    inner = SocketRouter(prefix="inner/")
    inner.route("r")(handler)
    middle = SocketRouter(prefix="middle/")
    outer = SocketRouter(prefix="outer/")
    middle.include(inner, prefix="included/")
    outer.include(middle)
    outer.include(inner, "twice/")
    assert names_of(inner) == {"inner/r"}
    assert names_of(middle) == {"middle/included/inner/r"}
    assert names_of(outer) == {"outer/middle/included/inner/r", "outer/twice/inner/r"}

    async def talk():
        async with SocketTestClient(outer) as client:
            for name in names_of(outer):
                assert (await client.request(name, 1)).payload == 1
            assert (await client.request("inner/r", 1)).status == 404

    run(talk())


def test_routes_added_later_appear_on_every_level_at_once(run):
    inner, middle, outer = SocketRouter(), SocketRouter(prefix="m/"), SocketRouter()
    outer.include(middle)
    middle.include(inner, prefix="i/")

    async def talk():
        async with SocketTestClient(outer) as client:
            inner.route("late")(handler)
            assert (await client.request("m/i/late", 1)).payload == 1

    run(talk())


def test_a_router_cannot_include_itself_at_whatever_depth():
    a, b, c = SocketRouter(), SocketRouter(), SocketRouter()
    a.include(b)
    b.include(c)
    for outer, inner in ((a, a), (c, a), (c, b), (b, a)):
        with pytest.raises(ValueError, match="cannot include itself"):
            outer.include(inner, prefix="x/")


def test_two_ways_to_one_router_need_two_prefixes():
    inner, left, right, outer = (SocketRouter() for _ in range(4))
    left.include(inner)
    right.include(inner)
    outer.include(left, "left/")
    outer.include(right, "right/")
    inner.route("r")(handler)
    assert names_of(outer) == {"left/r", "right/r"}


def test_a_name_taken_anywhere_above_is_refused_and_changes_nothing():
    inner, other, middle, outer = (SocketRouter() for _ in range(4))
    outer.include(middle)
    outer.route("taken")(handler)
    inner.route("free")(handler)
    inner.route("taken")(handler)
    with pytest.raises(ValueError, match="route 'taken' is already registered"):
        middle.include(inner)
    assert names_of(middle) == set()
    assert names_of(outer) == {"taken"}
    inner.route("later")(handler)
    assert names_of(outer) == {"taken"}, "what was refused is not included"

    middle.include(other)
    with pytest.raises(ValueError, match="route 'taken' is already registered"):
        other.route("taken")(handler)
    assert names_of(other) == names_of(middle) == set()
    other.route("free")(handler)
    assert names_of(outer) == {"taken", "free"}


def test_a_router_included_twice_under_one_name_is_refused_and_changes_nothing():
    inner, left, right, outer = (SocketRouter() for _ in range(4))
    outer.include(left)
    outer.include(right)
    left.include(inner)
    right.include(inner)
    with pytest.raises(ValueError, match="route 'r' is already registered"):
        inner.route("r")(handler)
    assert [names_of(r) for r in (inner, left, right, outer)] == [set()] * 4


@pytest.mark.parametrize("prefix", ["$", "x" * 256])
def test_a_prefix_that_makes_a_name_impossible_is_refused(prefix):
    outer, inner = SocketRouter(), echoing()
    with pytest.raises(ValueError, match="route"):
        outer.include(inner, prefix)
    assert names_of(outer) == set()


def test_hooks_around_a_route_must_be_possible_for_it():
    def hydrate(ws, message): ...

    inner, outer = SocketRouter(), SocketRouter()

    @inner.route("r")
    async def nothing_to_fill(): ...

    with pytest.raises(SignatureError, match="no parameter for what hydrate returns"):
        outer.include(inner, options={"hydrate": hydrate})
    assert names_of(outer) == set()


def test_checks_accumulate_from_the_outside_and_shapes_are_the_innermost(run):
    steps: list[str] = []

    def options(name):
        def data_check(message):
            steps.append(f"data_check {name}")
            return message.payload != f"data_check {name}"

        async def access(ws, message):
            steps.append(f"access {name}")
            return message.payload != f"access {name}"

        def hydrate(ws, message):
            return f"hydrated {name}"

        def dehydrate(payload):
            return f"{payload}, dehydrated {name}"

        every = {"data_check": data_check, "access": access}
        return every | {"hydrate": hydrate, "dehydrate": dehydrate}

    inner = SocketRouter(options=options("3"))
    outer = SocketRouter(options=options("1"))
    inner.route("r", options("4"))(handler)
    inner.route("plain")(handler)
    outer.include(inner, options=options("2"))
    top = SocketRouter()
    top.include(outer, options=options("0"))

    async def talk():
        async with SocketTestClient(top) as client:
            assert (await client.request("r")).payload == "hydrated 4, dehydrated 4"
            in_order = [f"data_check {n}" for n in "01234"] + [f"access {n}" for n in "01234"]
            assert steps == in_order
            assert (await client.request("plain")).payload == "hydrated 3, dehydrated 3"
            for number, step in enumerate(in_order):
                steps.clear()
                answer = await client.request("r", step)
                assert answer.status == (400 if "data_check" in step else 403)
                assert steps == in_order[: number + 1], "the first no is the last question"
        steps.clear()
        async with SocketTestClient(inner) as client:
            await client.request("r")
            assert steps == ["data_check 3", "data_check 4", "access 3", "access 4"]

    run(talk())


def test_limits_and_access_logic_are_the_mounted_routers(run):
    asked = []

    def of_inner(ws):
        asked.append("inner")
        return False

    def of_outer(ws):
        asked.append("outer")
        return True

    inner = echoing(access_logic=of_inner)
    outer = SocketRouter(of_outer)
    outer.include(inner)

    async def talk():
        async with SocketTestClient(outer) as client:
            assert (await client.request("echo", 1)).payload == 1

    run(talk())
    assert asked == ["outer"]


# --- mounting


def with_raw_starlette(router):
    return Starlette(routes=[WebSocketRoute("/ws", router)])


def with_mounted_starlette(router):
    app = Starlette()
    router.mount(app, "/ws")
    return app


def with_starlette_router(router):
    app = Router()
    router.mount(app, "/ws")
    return app


def with_starlette_mount(router):
    return Starlette(routes=[Mount("/", app=router)])


def with_fastapi_mount(router):
    app = FastAPI()
    app.mount("/ws", router)
    return app, "/ws/"


def with_mount(router):
    app = FastAPI()
    router.mount(app)
    return app


def with_mount_and_dependencies(router):
    app = FastAPI()
    router.mount(app, "/ws", dependencies=[Depends(lambda: 1)], name="x")
    return app


def with_add_websocket_route(router):
    app = FastAPI()
    app.add_websocket_route("/ws", router)
    return app


def with_add_websocket_route_of_the_router(router):
    app = FastAPI()
    app.router.add_websocket_route("/ws", router)
    return app


def with_add_api_websocket_route(router):
    app = FastAPI()
    app.add_api_websocket_route("/ws", router)
    return app


def with_decorator(router):
    app = FastAPI()
    app.websocket("/ws")(router)
    return app


def with_api_router(router):
    app = FastAPI()
    app.include_router(router.api_router("/socket"), prefix="/api")
    return app, "/api/socket"


def with_mount_in_nested_api_routers(router):
    app, outer, inner = FastAPI(), APIRouter(prefix="/outer"), APIRouter(prefix="/inner")
    router.mount(inner, "/ws")
    outer.include_router(inner)
    app.include_router(outer, prefix="/api")
    return app, "/api/outer/inner/ws"


def with_endpoint(router):
    app = FastAPI()

    @app.websocket("/ws")
    async def endpoint(ws: WebSocket):
        await router(ws)

    return app


def with_accepting_endpoint(router):
    app = FastAPI()

    @app.websocket("/ws")
    async def endpoint(ws: WebSocket):
        await ws.accept()
        await router(ws)

    return app


def with_starlette_endpoint(router):
    async def endpoint(ws):
        await router(ws)

    return Starlette(routes=[WebSocketRoute("/ws", endpoint)])


def bare(router):
    return router


def with_sub_application(router):
    app, sub = FastAPI(), FastAPI()
    router.mount(sub, "/ws")
    app.mount("/sub", sub)
    return app, "/sub/ws"


@pytest.mark.parametrize(
    "mounted",
    [
        with_raw_starlette,
        with_mounted_starlette,
        with_starlette_router,
        with_starlette_mount,
        with_fastapi_mount,
        with_mount,
        with_mount_and_dependencies,
        with_add_websocket_route,
        with_add_websocket_route_of_the_router,
        with_add_api_websocket_route,
        with_decorator,
        with_api_router,
        with_mount_in_nested_api_routers,
        with_endpoint,
        with_accepting_endpoint,
        with_starlette_endpoint,
        bare,
        with_sub_application,
    ],
    ids=lambda f: f.__name__,
)
def test_every_way_of_mounting_serves_and_ends(run, mounted, caplog):
    made = mounted(echoing())
    app, path = made if isinstance(made, tuple) else (made, "/ws")

    async def talk():
        async with SocketTestClient(app, path) as client:
            assert (await client.request("echo", 1)).payload == 1
            await client.send_raw('{"route": "PING", "uuid": 5}')
            assert (await client.receive())["route"] == "PONG"
        async with SocketTestClient(app, path) as client:
            await client.send_raw(b"binary")
            with pytest.raises(SocketClosed, match="1003"):
                await client.receive()

    run(talk())
    assert caplog.text == ""


def test_a_router_shows_fastapi_one_parameter_and_its_class_its_own():
    assert list(inspect.signature(SocketRouter()).parameters) == ["websocket"]
    assert "access_logic" in inspect.signature(SocketRouter).parameters
    assert SocketRouter().__name__ == "socket_router"


def test_a_server_takes_the_router_for_an_asgi_3_application():
    is_coroutine_function = (
        inspect.iscoroutinefunction if sys.version_info >= (3, 12) else asyncio.iscoroutinefunction
    )
    assert is_coroutine_function(SocketRouter().__call__)


def test_a_route_has_a_name_to_be_reversed_by():
    app = FastAPI()
    SocketRouter().mount(app, "/a")
    SocketRouter().mount(app, "/b", name="b")
    SocketRouter().mount(app, "/c", name="c", dependencies=[Depends(lambda: 1)])
    app.include_router(SocketRouter().api_router("/d", name="d"))
    paths = {"socket_router": "/a", "b": "/b", "c": "/c", "d": "/d"}
    assert {name: str(app.url_path_for(name)) for name in paths} == paths


def test_a_websocket_route_is_given_back_to_fastapi_only_where_it_is_absent():
    assert hasattr(FastAPI, "add_websocket_route")
    before = FastAPI.add_websocket_route
    compat.restore_add_websocket_route()
    assert FastAPI.add_websocket_route is before


# --- dependencies at the door


def refusing(status=401):
    """A dependency that refuses without a token, and counts who came."""
    seen: list[str | None] = []

    async def token(ws: WebSocket, x_token: Annotated[str | None, Header()] = None):
        seen.append(x_token)
        if x_token is None:
            raise HTTPException(status, "no token")

    return token, seen


def at_mount(router, dependency):
    app = FastAPI()
    router.mount(app, "/ws", dependencies=[dependency])
    return app, "/ws"


def at_the_app(router, dependency):
    app = FastAPI(dependencies=[dependency])
    router.mount(app, "/ws")
    return app, "/ws"


def at_the_app_beside_others(router, dependency):
    app = FastAPI(dependencies=[dependency])
    router.mount(app, "/ws", dependencies=[Depends(lambda: 1)])
    return app, "/ws"


def at_the_api_router(router, dependency):
    app, api = FastAPI(), APIRouter(prefix="/api", dependencies=[dependency])
    router.mount(api, "/ws")
    app.include_router(api)
    return app, "/api/ws"


def at_include_router(router, dependency):
    app, api = FastAPI(), APIRouter()
    router.mount(api, "/ws")
    app.include_router(api, dependencies=[dependency])
    return app, "/ws"


def at_the_app_above_an_api_router(router, dependency):
    app, api = FastAPI(dependencies=[dependency]), APIRouter()
    router.mount(api, "/ws")
    app.include_router(api)
    return app, "/ws"


def at_two_levels_above(router, dependency):
    app, outer, inner = FastAPI(), APIRouter(dependencies=[dependency]), APIRouter(prefix="/i")
    router.mount(inner, "/ws")
    outer.include_router(inner)
    app.include_router(outer, prefix="/o")
    return app, "/o/i/ws"


def at_own_api_router(router, dependency):
    app = FastAPI()
    app.include_router(router.api_router("/ws", dependencies=[dependency]))
    return app, "/ws"


def at_the_endpoint(router, dependency):
    app = FastAPI()

    @app.websocket("/ws", dependencies=[dependency])
    async def endpoint(ws: WebSocket):
        await router(ws)

    return app, "/ws"


@pytest.mark.parametrize(
    "mounted",
    [
        at_mount,
        at_the_app,
        at_the_app_beside_others,
        at_the_api_router,
        at_include_router,
        at_the_app_above_an_api_router,
        at_two_levels_above,
        at_own_api_router,
        at_the_endpoint,
    ],
    ids=lambda f: f.__name__,
)
def test_dependencies_at_any_level_above_run_before_the_socket_is_accepted(run, mounted):
    dependency, seen = refusing()
    app, path = mounted(echoing(), Depends(dependency))

    async def talk():
        async with SocketTestClient(app, path, headers={"x-token": "t"}) as client:
            assert (await client.request("echo", 1)).payload == 1
            assert (await client.request("echo", 2)).payload == 2
        assert seen == ["t"], "once for a socket, not for its messages"
        with pytest.raises(Exception):  # noqa: B017, PT011  # how depends on the FastAPI
            async with SocketTestClient(app, path):
                pass

    run(talk())
    assert seen == ["t", None]


def test_a_yield_dependency_of_the_endpoint_is_open_while_the_socket_is(run):
    events = []

    async def database():
        events.append("open")
        yield "db"
        events.append("close")

    app, router = FastAPI(), SocketRouter()

    @router.route("r")
    async def r(ws):
        events.append("message")
        return ws.scope["db"]

    @app.websocket("/ws")
    async def endpoint(ws: WebSocket, db: Annotated[str, Depends(database)]):
        ws.scope["db"] = db
        await router(ws)

    async def talk():
        async with SocketTestClient(app) as client:
            assert (await client.request("r")).payload == "db"

    run(talk())
    assert events == ["open", "message", "close"]


@pytest.mark.parametrize("app", [Starlette(), Router()], ids=["Starlette", "Router"])
def test_dependencies_need_fastapi(app):
    with pytest.raises(TypeError, match="dependencies need a FastAPI app or an APIRouter"):
        SocketRouter().mount(app, "/ws", dependencies=[Depends(lambda: 1)])


def test_include_router_of_fastapi_with_a_socket_router_says_what_to_write():
    message = r"use router.mount\(app, '/ws'\), or app.include_router\("
    with pytest.raises(AttributeError, match=message):
        FastAPI().include_router(SocketRouter())  # type: ignore[arg-type]


def test_an_app_with_a_mounted_router_finds_its_other_routes():
    app = FastAPI()
    app.mount("/socket", SocketRouter())
    app.add_api_route("/other", lambda: None, name="other")
    assert app.url_path_for("other") == "/other"


def test_other_attributes_that_are_not_there_are_missing_as_usual():
    with pytest.raises(AttributeError, match="'SocketRouter' object has no attribute 'get'"):
        SocketRouter().get  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        (("/api",), TypeError, "access_logic is a function that is given the socket, not '/api'"),
        ({"deny": "htp"}, ValueError, "deny is 'close' or 'http', not 'htp'"),
        ({"overflow": "drop"}, ValueError, "overflow is 'wait' or 'reject', not 'drop'"),
        ({"max_in_flight": 0}, ValueError, "max_in_flight is at least 1, not 0"),
    ],
)
def test_arguments_of_a_router_that_can_never_work_are_told_at_once(arguments, error, why):
    with pytest.raises(error, match=why):
        SocketRouter(*arguments) if isinstance(arguments, tuple) else SocketRouter(**arguments)


# --- without `await`


@pytest.fixture
def not_warned(monkeypatch):
    monkeypatch.setattr(compat.Serving, "warned", False)


@pytest.mark.usefixtures("not_warned")
def test_an_endpoint_without_await_is_served_and_warned_of_once(run, caplog):
    app, router, events = FastAPI(), echoing(), []

    async def database():
        events.append("open")
        yield
        events.append("close")

    @app.websocket("/ws")
    async def endpoint(ws: WebSocket, db: Annotated[None, Depends(database)]):
        router(ws)

    async def talk():
        for _ in range(2):
            async with SocketTestClient(app) as client:
                assert (await client.request("echo", 1)).payload == 1
                assert events[-1] == "open", "dependencies of the endpoint are still there"

    run(talk())
    assert events == ["open", "close"] * 2
    [record] = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "fastapi_observable_socket")
    assert "write `await router(ws)`" in record.getMessage()


@pytest.mark.usefixtures("not_warned")
def test_an_endpoint_that_fails_after_the_call_without_await_is_not_served(run, caplog):
    app, router = FastAPI(), echoing()

    @app.websocket("/ws")
    async def endpoint(ws: WebSocket):
        router(ws)
        raise ZeroDivisionError

    async def talk():
        with pytest.raises(ZeroDivisionError):
            async with SocketTestClient(app):
                pass

    run(talk())
    assert "serving the socket" not in caplog.text


def test_serving_can_be_a_task_beside_others(run):
    app, router, beside = FastAPI(), echoing(), []

    @app.websocket("/ws")
    async def endpoint(ws: WebSocket):
        async with asyncio.TaskGroup() as group:
            served = group.create_task(router(ws))
            other = group.create_task(asyncio.Event().wait())
            await served
            beside.append(other.cancel())

    async def talk():
        async with SocketTestClient(app) as client:
            assert (await client.request("echo", 1)).payload == 1

    run(talk())
    assert beside == [True]


def test_without_fastapi_nobody_can_serve_it_and_an_error_is_logged(run, caplog):
    router = echoing()

    async def endpoint(ws):
        router(ws)

    async def talk():
        with pytest.raises(SocketRejected, match="missing its await"):
            async with SocketTestClient(Starlette(routes=[WebSocketRoute("/ws", endpoint)])):
                pass

    run(talk())
    assert "a SocketRouter was called and never awaited: write `await router(ws)`" in caplog.text


# --- ASGI besides sockets


async def http(app, path="/", method="GET"):
    """What `app` answers to one HTTP request: status, headers, body."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"testserver")],
        "server": ("testserver", 80),
        "client": ("testclient", 1),
    }
    await app(scope, receive, send)
    headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_http_is_told_to_upgrade(run, method):
    status, headers, body = run(http(echoing(), "/ws", method))
    assert status == 426
    assert (headers["upgrade"], headers["connection"]) == ("websocket", "Upgrade")
    assert b"WebSocket" in body


def test_a_bare_router_takes_part_in_the_lifespan(run):
    async def talk():
        async with SocketTestClient(echoing(), lifespan=True) as client:
            assert (await client.request("echo", 1)).payload == 1

    run(talk())


def test_the_lifespan_state_of_the_app_reaches_handlers(run):
    @asynccontextmanager
    async def lifespan(app):
        yield {"pool": "pool"}

    app, router = FastAPI(lifespan=lifespan), SocketRouter()

    @router.route("r")
    async def r(ws) -> HandlerResult:
        return {"payload": [ws.state.pool, ws.app is app]}

    router.mount(app, "/ws")

    async def talk():
        async with SocketTestClient(app, lifespan=True) as client:
            assert (await client.request("r")).payload == ["pool", True]

    run(talk())


def test_importing_the_package_imports_no_server():
    code = (
        "import sys, fastapi_observable_socket; "
        "print({'uvicorn', 'websockets', 'httpx', 'typer'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: SocketRouter().route("a")(3), "route 'a': 3 is no function"),
        (lambda: SocketRouter().route("a", options=[print])(print), "options are a dict of hooks"),
        (lambda: SocketRouter().mount("/ws"), "needs the app first, not '/ws'"),
    ],
)
def test_what_is_mixed_up_is_told_in_words(wrong, told):
    with pytest.raises(TypeError, match=told):
        wrong()
