"""FastAPI's dependencies on the messages of a socket: the same values, in the same order."""

import asyncio
import contextvars
import functools
import inspect
import threading
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Path,
    Query,
    Security,
    WebSocket,
)
from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import WebSocketRequestValidationError
from fastapi.security import APIKeyHeader, HTTPBearer, OAuth2PasswordBearer, SecurityScopes
from pydantic import BaseModel
from starlette.requests import HTTPConnection, Request

from fastapi_observable_socket import (
    Cached,
    MessageData,
    MessageHeader,
    PerConnection,
    SignatureError,
    SocketRouter,
)
from fastapi_observable_socket import Request as MessageRequest
from fastapi_observable_socket.testing import SocketTestClient

KNOWS_SCOPE = "scope" in inspect.signature(Depends).parameters
KNOWS_CONCURRENCY = "max_concurrency" in inspect.signature(Depends).parameters
IS_OLD = "own_oauth_scopes" not in inspect.signature(get_dependant).parameters
"""Whether this FastAPI has faults of its own, which later ones have not."""


def in_function(dependency: Any) -> Any:
    """`Depends(..., scope="function")`, which older FastAPI has no word for."""
    return Depends(dependency, scope="function") if KNOWS_SCOPE else Depends(dependency)


@pytest.fixture
def ask(run):
    """Registers a handler, sends it one request, gives the answer."""

    def ask(handler, payload=None, options=None, headers=None, handshake=None, query=None):
        router = SocketRouter()
        router.route("r", options)(handler)

        async def talk():
            async with SocketTestClient(router, headers=handshake, query=query) as client:
                return await client.request("r", payload, headers)

        return run(talk())

    return ask


class Journal(list[str]):
    """What happened, in order."""

    def asynchronous(self, name, value=None, **dependencies):
        """An async dependency with `yield` that writes its coming and going."""

        async def dependency(**solved):
            self.append(f"enter {name}")
            try:
                yield value or [name, *solved.values()]
            except BaseException as error:
                self.append(f"{name} saw {type(error).__name__}")
                raise
            finally:
                self.append(f"exit {name}")

        return _with_dependencies(dependency, dependencies)

    def synchronous(self, name, value=None, **dependencies):
        def dependency(**solved):
            self.append(f"enter {name}")
            try:
                yield value or [name, *solved.values()]
            finally:
                self.append(f"exit {name}")

        return _with_dependencies(dependency, dependencies)

    def plain(self, name, **dependencies):
        async def dependency(**solved):
            self.append(f"call {name}")
            return [name, *solved.values()]

        return _with_dependencies(dependency, dependencies)

    def noting_answers(self, app):
        """`app`, with its answers in the journal too."""

        async def noting(scope, receive, send):
            async def noted(message):
                if message["type"] == "websocket.send":
                    self.append("answer")
                await send(message)

            await app(scope, receive, noted)

        return noting


def _with_dependencies(function, dependencies):
    function.__signature__ = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=marker)
            for name, marker in dependencies.items()
        ]
    )
    return function


# --- the same tree, in FastAPI's own endpoint and in a message


def chain(journal):
    a = journal.asynchronous("a")
    b = journal.synchronous("b", a=Depends(a))
    c = journal.plain("c", b=Depends(b))

    async def handler(c: Annotated[list, Depends(c)], a: Annotated[list, Depends(a)]):
        return [c, a]

    return handler


def diamond(journal):
    top = journal.asynchronous("top")
    left = journal.asynchronous("left", top=Depends(top))
    right = journal.synchronous("right", top=Depends(top))

    async def handler(left=Depends(left), right=Depends(right)):
        return [left, right]

    return handler


def diamond_without_cache(journal):
    top = journal.asynchronous("top")
    left = journal.asynchronous("left", top=Depends(top, use_cache=False))
    right = journal.asynchronous("right", top=Depends(top))
    third = journal.asynchronous("third", top=Depends(top, use_cache=False))

    async def handler(left=Depends(left), right=Depends(right), third=Depends(third)):
        return [left, right, third]

    return handler


def cache_then_without(journal):
    top = journal.plain("top")

    async def handler(a=Depends(top), b=Depends(top, use_cache=False), c=Depends(top)):
        return [a, b, c]

    return handler


class Service:
    def __init__(self, q: int = 1, x_tenant: Annotated[str, Header()] = "none"):
        self.values = [q, x_tenant]


class Callables:
    def __call__(self, q: int):
        return ["called", q]

    async def method(self, q: int):
        return ["method", q]

    async def generate(self, q: int):
        yield ["generated", q]


class AsyncCallable:
    async def __call__(self, q: int):
        return ["async called", q]


class GeneratorCallable:
    async def __call__(self, q: int):
        yield ["async generated", q]


async def labelled(label: str, q: int):
    return [label, q]


def classes(journal):
    async def handler(
        service: Annotated[Service, Depends()],
        same: Annotated[Service, Depends(Service)],
        called: Annotated[list, Depends(Callables())],
        method: Annotated[list, Depends(Callables().method)],
        generated: Annotated[list, Depends(Callables().generate)],
        async_called: Annotated[list, Depends(AsyncCallable())],
        async_generated: Annotated[list, Depends(GeneratorCallable())],
        lambdas: Annotated[list, Depends(lambda q: ["lambda", q])],
    ):
        assert service is same
        return [service.values, called, method, generated, async_called, async_generated,
                lambdas]  # fmt: skip

    return handler


def partials(journal):
    async def handler(it: Annotated[list, Depends(functools.partial(labelled, "partial"))]):
        return it

    return handler


class Filters(BaseModel):
    q: int
    tag: list[str] = []
    absent: str = "default"


class Seen(BaseModel):
    x_tenant: str
    user_agent: str | None = None


def handshake(journal):
    async def get(
        room: str,
        q: int,
        tag: Annotated[list[str], Query()],
        maybe: Annotated[list[int] | None, Query(alias="n")] = None,
        nothing: Annotated[list[int] | None, Query()] = None,
        x_tenant: Annotated[str, Header()] = "none",
        x_many: Annotated[list[str] | None, Header()] = None,
        x_raw: Annotated[str | None, Header(convert_underscores=False)] = None,
        crumb: Annotated[int, Cookie()] = 0,
        fresh: Annotated[list, Query(default_factory=list)] = ...,  # type: ignore[assignment]
        aliased: int = Query(5, alias="q"),
        flag: bool = Query(default=False),
    ):
        return [room, q, tag, maybe, nothing, x_tenant, x_many, x_raw, crumb, aliased, flag]

    async def handler(values=Depends(get), room: str = Path()):
        return [values, room]

    return handler


def models(journal):
    async def of_query(filters: Annotated[Filters, Query()]):
        return filters.model_dump()

    async def of_headers(seen: Annotated[Seen, Header()]):
        return seen.model_dump()

    async def of_cookies(cookies: Annotated[dict, Depends(lambda crumb=Cookie(): crumb)]):
        return cookies

    async def handler(q=Depends(of_query), h=Depends(of_headers), c=Depends(of_cookies)):
        return [q, h, c]

    return handler


def connections(journal):
    async def get(ws: WebSocket, con: HTTPConnection):
        return [ws.headers["x-tenant"], con.query_params["q"], con.path_params, ws is con]

    async def handler(it: Annotated[list, Depends(get)]):
        return it

    return handler


def scopes(journal):
    async def inner(wanted: SecurityScopes):
        return [wanted.scopes, wanted.scope_str]

    async def outer(wanted: SecurityScopes, inner=Security(inner, scopes=["c", "a"])):
        return [wanted.scopes, inner]

    async def handler(
        one=Security(outer, scopes=["a", "b"]),
        two=Security(outer, scopes=["d"]),
        same=Security(outer, scopes=["b", "a"]),
        none=Depends(outer),
    ):
        return [one, two, same, none]

    return handler


def one_session_under_many_scopes(journal):
    session = journal.asynchronous("session")
    user = journal.plain("user", session=Depends(session))

    async def handler(
        a=Security(user, scopes=["a"]), b=Security(user, scopes=["b"]), session=Depends(session)
    ):
        return [a, b, session]

    return handler


def closing_early(journal):
    session = journal.asynchronous("session")
    early = journal.asynchronous("early", session=Depends(session))
    both = journal.plain("both", e=in_function(early), late=Depends(session))

    async def handler(
        e=in_function(early), s=Depends(session), early_too=in_function(session), b=Depends(both)
    ):
        return [e, s, early_too, b]

    return handler


TREES = [
    chain,
    diamond,
    diamond_without_cache,
    cache_then_without,
    classes,
    partials,
    handshake,
    models,
    connections,
    scopes,
    one_session_under_many_scopes,
    closing_early,
]


NEEDS_NEWER = [
    partials,  # 0.115 does not await a partial of an async function
    scopes,  # 0.115 adds the scopes of a dependency to those of its siblings
    one_session_under_many_scopes,  # 0.115 opens a session for each set of scopes
]


def as_endpoint(handler):
    """`handler` as one of FastAPI's own: what it returns is sent as a message."""

    async def endpoint(websocket, **values):
        await websocket.accept()
        await websocket.send_json(await handler(**values))
        await websocket.close()

    own = inspect.signature(handler)
    socket = inspect.Parameter("websocket", inspect.Parameter.KEYWORD_ONLY, annotation=WebSocket)
    keyword = [p.replace(kind=p.KEYWORD_ONLY) for p in own.parameters.values()]
    endpoint.__signature__ = inspect.Signature([socket, *keyword])  # type: ignore[attr-defined]
    return endpoint


SHAKE: dict[str, Any] = {
    "headers": {"x-tenant": "acme", "user-agent": "test", "x_raw": "raw"},
    "query": {"q": 5, "tag": ["a", "b"], "n": ["1", "2"]},
    "cookies": {"crumb": "7"},
}


def in_endpoint(run, tree, overrides=None):
    """Values, journal and errors of `tree` in an endpoint of FastAPI's own."""
    journal, app, errors = Journal(), FastAPI(), []
    app.websocket("/{room}/ws")(as_endpoint(tree(journal)))
    app.dependency_overrides = overrides or {}

    @app.exception_handler(WebSocketRequestValidationError)
    async def invalid(websocket, error):
        errors.extend(error.errors())
        await websocket.accept()
        await websocket.send_json({"invalid": True})
        await websocket.close()

    async def talk():
        async with SocketTestClient(app, "/7/ws", **SHAKE) as client:
            return await client.receive()

    return run(talk()), list(journal), errors


def in_message(run, tree, overrides=None):
    """The same of `tree` in a message."""
    journal, app, router = Journal(), FastAPI(), SocketRouter()
    router.route("r")(tree(journal))
    router.mount(app, "/{room}/ws")
    app.dependency_overrides = overrides or {}

    async def talk():
        async with SocketTestClient(app, "/7/ws", **SHAKE) as client:
            return await client.request("r")

    answer = run(talk())
    errors = answer.payload.get("detail", []) if answer.status == 400 else []
    return ({"invalid": True} if errors else answer.payload), list(journal), errors


def _as_object(tree):
    # Not an array: the test client reads frames as objects.
    def made(journal):
        handler = tree(journal)

        @functools.wraps(handler)
        async def wrapped(*args, **values):
            return {"values": await handler(*args, **values)}

        return wrapped

    return made


@pytest.mark.parametrize("tree", TREES, ids=lambda t: t.__name__)
def test_a_tree_means_in_a_message_what_it_means_in_an_endpoint_of_fastapi(run, tree):
    if tree in NEEDS_NEWER and IS_OLD:
        pytest.skip("an older FastAPI errs here")
    expected = in_endpoint(run, _as_object(tree))
    assert "values" in expected[0], expected
    assert in_message(run, _as_object(tree)) == expected


@pytest.mark.parametrize("tree", TREES, ids=lambda t: t.__name__)
def test_overrides_mean_what_they_mean_in_an_endpoint_of_fastapi(run, tree):
    def overrides(handler):
        first = next(
            p.default.dependency
            if p.default is not p.empty
            else p.annotation.__metadata__[0].dependency
            for p in inspect.signature(handler).parameters.values()
        )

        async def other(q: int, ws: WebSocket):
            yield ["overridden", q, ws.path_params]

        return {first: other}

    def both(side):
        found = {}

        def made(journal):
            handler = _as_object(tree)(journal)
            found.update(overrides(handler))
            return handler

        return side(run, made, found)

    if tree is classes:
        pytest.skip("its first parameter names its dependency by its type")
    if tree in NEEDS_NEWER and IS_OLD:
        pytest.skip("an older FastAPI errs here")
    expected = both(in_endpoint)
    assert "overridden" in str(expected[0]), expected
    assert both(in_message) == expected


async def needs_query(missing: int):
    return missing


async def needs_number(q: Annotated[int, Query(gt=5)]):
    return q


async def needs_number_in_its_default(q: int = Query(gt=5)):
    return q


async def needs_header(x_missing: Annotated[str, Header()]):
    return x_missing


async def needs_number_in_header(x_tenant: Annotated[int, Header()]):
    return x_tenant


async def needs_cookie(none: Annotated[str, Cookie()]):
    return none


async def needs_list(tag: Annotated[list[int], Query()]):
    return tag


async def needs_model(filters: Annotated[Filters, Query()], crumb: Annotated[str, Cookie()]):
    return filters


async def needs_room(room: Annotated[str, Path(max_length=0)]):
    return room


class Strict(BaseModel):
    q: int
    must: str


async def needs_strict(strict: Annotated[Strict, Query()]):
    return strict


@pytest.mark.parametrize(
    "dependency",
    [
        needs_query,
        needs_number,
        needs_number_in_its_default,
        needs_header,
        needs_number_in_header,
        needs_cookie,
        needs_list,
        needs_room,
        needs_strict,
    ],
    ids=lambda d: d.__name__,
)
def test_what_the_handshake_lacks_is_told_as_fastapi_tells_it(run, dependency):
    def tree(journal):
        async def handler(it=Depends(dependency)):
            return it

        return handler

    def told(result):
        return [(tuple(e["loc"]), e["type"]) for e in result[2]]

    expected, got = in_endpoint(run, tree), in_message(run, tree)
    assert expected[0] == got[0] == {"invalid": True}
    assert told(got) == told(expected)


# --- lifetimes


def test_a_dependency_closes_after_the_answer_in_reverse_order(run):
    journal, router = Journal(), SocketRouter()
    router.route("r")(chain(journal))

    async def talk():
        async with SocketTestClient(journal.noting_answers(router)) as client:
            await client.request("r")

    run(talk())
    assert journal == ["enter a", "enter b", "call c", "answer", "exit b", "exit a"]


@pytest.mark.skipif(not KNOWS_SCOPE, reason="this FastAPI has no scope=")
def test_a_dependency_of_the_function_scope_closes_before_the_answer(run):
    journal, router = Journal(), SocketRouter()
    early, late = journal.asynchronous("early"), journal.asynchronous("late")

    @router.route("r")
    async def handler(e: Annotated[list, in_function(early)], s: Annotated[list, Depends(late)]):
        journal.append("handler")

    async def talk():
        async with SocketTestClient(journal.noting_answers(router)) as client:
            await client.request("r")

    run(talk())
    assert journal == [
        *("enter early", "enter late", "handler"),
        *("exit early", "answer", "exit late"),
    ]


@pytest.mark.skipif(not KNOWS_SCOPE, reason="this FastAPI has no scope=")
def test_what_closes_after_the_answer_may_not_need_what_closes_before_it():
    journal = Journal()
    late = journal.asynchronous("late", early=in_function(journal.asynchronous("early")))

    async def handler(it=Depends(late)): ...

    with pytest.raises(SignatureError, match="parameter 'early' is closed before the answer"):
        SocketRouter().route("r")(handler)


def test_a_dependency_failing_at_its_exit_is_logged_and_the_answer_stands(ask, caplog):
    async def get():
        yield 1
        raise OSError("disk full")

    async def handler(it: Annotated[int, Depends(get)]):
        return it

    assert ask(handler).payload == 1
    assert "failed after the answer: OSError: disk full route=r uuid=1" in caplog.text


@pytest.mark.skipif(not KNOWS_SCOPE, reason="this FastAPI has no scope=")
def test_a_dependency_of_the_function_scope_failing_at_its_exit_fails_the_call(ask):
    async def get():
        yield 1
        raise HTTPException(409, "conflict")

    async def handler(it: Annotated[int, in_function(get)]):
        return it

    assert ask(handler).status == 409


@pytest.mark.parametrize("payload", [1, "boom"])
def test_an_exception_is_seen_by_open_dependencies_before_the_error_answer(run, payload):
    journal, router = Journal(), SocketRouter()
    outer = journal.asynchronous("outer")
    inner = journal.asynchronous("inner", outer=Depends(outer))

    @router.route("r")
    async def handler(payload: int, it=Depends(inner)):
        raise ZeroDivisionError

    @router.route("denied", {"access": lambda ws, message, it=Depends(inner): False})
    async def denied(payload):
        pass

    async def talk():
        async with SocketTestClient(journal.noting_answers(router)) as client:
            first = await client.request("r", payload)
            seen = "ZeroDivisionError" if payload == 1 else ""
            assert first.status == (500 if seen else 400)
            opened = ["enter outer", "enter inner"]
            closed = [f"inner saw {seen}", "exit inner", f"outer saw {seen}", "exit outer"]
            # An unfit payload is refused before the handler's dependencies are opened.
            assert journal == [*(opened + closed if seen else []), "answer"]
            journal.clear()
            assert (await client.request("denied", 1)).status == 403
            closed = ["inner saw Forbidden", "exit inner", "outer saw Forbidden", "exit outer"]
            assert journal == [*opened, *closed, "answer"]

    run(talk())


@pytest.mark.parametrize("form", ["async", "sync"])
def test_a_dependency_may_turn_an_exception_into_another(ask, form):
    async def asynchronous():
        try:
            yield 1
        except KeyError:
            raise HTTPException(404, "no such key") from None

    def synchronous():
        try:
            yield 1
        except KeyError:
            raise HTTPException(404, "no such key") from None

    dependency = asynchronous if form == "async" else synchronous

    async def handler(it: Annotated[int, Depends(dependency)]):
        raise KeyError

    answer = ask(handler)
    assert (answer.status, answer.payload["message"]) == (404, "no such key")


def test_a_dependency_that_swallows_an_exception_makes_no_answer_of_it(ask):
    async def get():
        try:
            yield 1
        except KeyError:
            pass

    async def handler(it: Annotated[int, Depends(get)]):
        raise KeyError

    answer = ask(handler)
    assert (answer.status, answer.payload["code"]) == (500, "internal")


def test_a_dependency_sees_that_the_result_could_not_be_written(run):
    journal, router = Journal(), SocketRouter()

    @router.route("r")
    async def handler(it=Depends(journal.asynchronous("a"))):
        return object()

    async def talk():
        async with SocketTestClient(router) as client:
            assert (await client.request("r")).status == 500

    run(talk())
    assert journal == ["enter a", "a saw Unserialisable", "exit a"]


def test_a_dependency_of_a_cancelled_call_is_closed(run):
    journal, router, started = Journal(), SocketRouter(handler_timeout=0.01), []

    @router.route("r")
    async def handler(it=Depends(journal.asynchronous("a"))):
        started.append(1)
        await asyncio.Event().wait()

    async def talk():
        async with SocketTestClient(router) as client:
            assert (await client.request("r")).status == 504

    run(talk())
    assert started == [1]
    assert journal == ["enter a", "a saw CancelledError", "exit a"]


def test_context_variables_of_one_message_are_not_seen_by_the_next(run):
    router, variable = SocketRouter(), contextvars.ContextVar("variable", default="unset")

    async def resetting():
        token = variable.set("dependency")
        yield variable.get()
        variable.reset(token)  # raises where the context is another one

    async def waiting():
        await asyncio.sleep(0)

    @router.route("set")
    async def sets():
        before = variable.get()
        variable.set("handler")
        return [before, variable.get()]

    @router.route("reset")
    async def reset(it: Annotated[str, Depends(resetting)]):
        return [it, variable.get()]

    @router.route("waits")
    async def waits(w: Annotated[None, Depends(waiting)], it: Annotated[str, Depends(resetting)]):
        await asyncio.sleep(0)
        return [it, variable.get()]

    @router.route("in order", ordered=True)
    async def in_order(it: Annotated[str, Depends(resetting)]):
        await asyncio.sleep(0)
        return [it, variable.get()]

    async def talk():
        async with SocketTestClient(router) as client:
            for _ in range(2):
                assert (await client.request("set")).payload == ["unset", "handler"]
                for route in ("reset", "waits", "in order"):
                    answer = await client.request(route)
                    assert answer.payload == ["dependency", "dependency"]
            burst = await asyncio.gather(*(client.request("in order") for _ in range(5)))
            assert [a.payload for a in burst] == [["dependency", "dependency"]] * 5

    run(talk())


def test_closing_with_a_reset_token_logs_no_failure(run, caplog):
    test_context_variables_of_one_message_are_not_seen_by_the_next(run)
    assert caplog.text == ""


def test_a_plain_def_dependency_runs_in_the_thread_pool(ask):
    def get():
        return threading.current_thread() is threading.main_thread()

    def generate():
        yield threading.current_thread() is threading.main_thread()

    async def handler(a: Annotated[bool, Depends(get)], b: Annotated[bool, Depends(generate)]):
        return [a, b]

    assert ask(handler).payload == [False, False]


def test_background_tasks_run_after_the_answer_and_before_dependencies_close(run):
    journal, router = Journal(), SocketRouter()

    async def later(what):
        journal.append(what)

    async def get(tasks: BackgroundTasks):
        tasks.add_task(later, "task of the dependency")

    @router.route("r")
    async def handler(tasks: BackgroundTasks, a=Depends(journal.asynchronous("a")), b=Depends(get)):
        tasks.add_task(later, "task of the handler")

    @router.route("fails")
    async def fails(tasks: BackgroundTasks):
        tasks.add_task(later, "never")
        raise ValueError

    async def talk():
        async with SocketTestClient(journal.noting_answers(router)) as client:
            await client.request("r")
            assert journal == [
                *("enter a", "answer", "task of the dependency", "task of the handler", "exit a")
            ]
            journal.clear()
            await client.request("fails")
        assert journal == ["answer"]

    run(talk())


# --- stages share one table


def test_hooks_and_handler_share_what_is_solved(run):
    journal, router = Journal(), SocketRouter()
    session = journal.asynchronous("session")

    async def data_check(message):
        journal.append("data_check")
        return message.payload != "bad"

    async def access(ws, message, s=Depends(session)):
        journal.append("access")
        return True

    async def hydrate(ws, message, s=Depends(session)):
        journal.append("hydrate")
        return s

    async def dehydrate(payload, s=Depends(session)):
        journal.append("dehydrate")
        return [payload is s, payload]

    options = {
        "data_check": data_check,
        "access": access,
        "hydrate": hydrate,
        "dehydrate": dehydrate,
    }

    @router.route("r", options)  # type: ignore[arg-type]
    async def handler(it, s=Depends(session)):
        journal.append("handler")
        assert it is s
        return s

    async def talk():
        async with SocketTestClient(journal.noting_answers(router)) as client:
            assert (await client.request("r")).payload == [True, ["session"]]
            steps = ["enter session", "access", "hydrate", "handler", "dehydrate", "answer"]
            assert journal == ["data_check", *steps, "exit session"]
            journal.clear()
            assert (await client.request("r", "bad")).status == 400
            assert journal == ["data_check", "answer"], "a failed check opens no session"

    run(talk())


def test_each_message_has_its_own(run):
    router = SocketRouter()

    @router.route("r")
    async def handler(it: Annotated[object, Depends(lambda: object())], ws):
        ws.state.seen = [*getattr(ws.state, "seen", []), it]
        return len({id(i) for i in ws.state.seen})

    async def talk():
        async with SocketTestClient(router) as client:
            assert [(await client.request("r")).payload for _ in range(3)] == [1, 2, 3]

    run(talk())


# --- the handshake is the handshake's


def test_handshake_values_are_never_those_of_the_message(ask):
    async def get(
        x_user: Annotated[str, Header()] = "nobody", q: str = "nothing", c: str = Cookie("none")
    ):
        return [x_user, q, c]

    async def handler(it: Annotated[list, Depends(get)], x_user: Annotated[str, Header()] = "-"):
        return [*it, x_user]

    spoofed = {"x-user": "admin", "q": "x", "cookie": "c=x"}
    assert ask(handler, {"q": "x"}, headers=spoofed).payload == ["nobody", "nothing", "none", "-"]
    proxied = ask(handler, {"q": "x"}, headers=spoofed, query={"q": "y"})
    assert proxied.payload == ["nobody", "y", "none", "-"]


def test_dependencies_may_take_the_message_and_its_headers(ask):
    async def get(
        message: MessageData,
        request: MessageRequest,
        trace: Annotated[str, MessageHeader("x-trace")],
        left: Annotated[str, Cached()] = "nothing",
    ):
        return [message.payload, request.route, trace, left]

    def data_check(message, local):
        local["value"] = "left"
        return True

    async def handler(payload, it: Annotated[list, Depends(get)]):
        return it

    answer = ask(handler, 1, {"data_check": data_check}, {"x-trace": "t"})
    assert answer.payload == [1, "r", "t", "left"]


def test_a_default_is_fresh_for_each_message(run):
    router = SocketRouter()
    made = iter(range(10))

    async def get(
        tags: Annotated[list[int], Query()] = [],  # noqa: B006
        made: int = Query(default_factory=lambda: next(made)),
    ):
        tags.append(1)
        return [tags, made]

    @router.route("r")
    async def handler(it: Annotated[list, Depends(get)], payload: list[int] = []):  # noqa: B006
        payload.append(1)
        return [*it, payload]

    async def talk():
        async with SocketTestClient(router) as client:
            for number in range(3):
                assert (await client.request("r")).payload == [[1], number, [1]]

    run(talk())


oauth2 = OAuth2PasswordBearer(tokenUrl="token")
oauth2_quiet = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)
api_key = APIKeyHeader(name="x-key")
bearer = HTTPBearer()


async def token(token: Annotated[str, Depends(oauth2)]):
    return token


async def quiet(token: Annotated[str | None, Depends(oauth2_quiet)]):
    return token


async def key(key: Annotated[str, Security(api_key)]):
    return key


async def credentials(it: Annotated[Any, Depends(bearer)]):
    return it.credentials


async def request_view(request: Request):
    return [request.headers["authorization"], request.query_params["q"], request.method]


@pytest.mark.parametrize(
    ("dependency", "got"),
    [
        (token, "secret"),
        (quiet, "secret"),
        (key, "k1"),
        (credentials, "secret"),
        (request_view, ["Bearer secret", "5", "GET"]),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_fastapis_security_reads_the_handshake(ask, dependency, got):
    async def handler(it: Annotated[Any, Depends(dependency)]):
        return it

    handshake = {"authorization": "Bearer secret", "x-key": "k1"}
    answer = ask(handler, query={"q": 5}, handshake=handshake)
    assert (answer.status, answer.payload) == (200, got)


@pytest.mark.parametrize("dependency", [token, key, credentials], ids=lambda v: v.__name__)
def test_fastapis_security_refuses_without_credentials(ask, dependency):
    async def handler(it: Annotated[Any, Depends(dependency)]):
        return it

    assert ask(handler).status in (401, 403)


def test_a_quiet_scheme_gives_none_without_credentials(ask):
    async def handler(it: Annotated[Any, Depends(quiet)]):
        return [it]

    assert ask(handler).payload == [None]


# --- overrides


def test_overrides_work_while_the_connection_is_open(run):
    app, router = FastAPI(), SocketRouter()

    async def real():
        return "real"

    async def nested(it: Annotated[str, Depends(real)]):
        return ["nested", it]

    async def access(ws, message, it: Annotated[str, Depends(real)]):
        return it != "nobody"

    @router.route("r", {"access": access})
    async def handler(it: Annotated[list, Depends(nested)]):
        return it

    router.mount(app, "/ws")

    async def talk():
        async with SocketTestClient(app) as client:
            assert (await client.request("r")).payload == ["nested", "real"]
            app.dependency_overrides[real] = lambda: "fake"
            assert (await client.request("r")).payload == ["nested", "fake"]
            app.dependency_overrides = {nested: lambda message_free=1: "all fake"}
            assert (await client.request("r")).payload == "all fake"
            app.dependency_overrides[real] = lambda: "nobody"
            assert (await client.request("r")).status == 403
            app.dependency_overrides.clear()
            assert (await client.request("r")).payload == ["nested", "real"]

    run(talk())


def test_an_override_that_cannot_be_called_is_a_500_and_the_line_stays(run, caplog):
    app, router = FastAPI(), SocketRouter()

    async def real():
        return "real"

    @router.route("r")
    async def handler(it: Annotated[str, Depends(real)]):
        return it

    router.mount(app, "/ws")

    async def talk():
        async with SocketTestClient(app) as client:
            app.dependency_overrides[real] = lambda item, /: item
            assert (await client.request("r")).status == 500
            app.dependency_overrides.clear()
            assert (await client.request("r")).payload == "real"

    run(talk())
    assert "called by keyword" in caplog.text


# --- PerConnection


def test_per_connection_is_solved_once_lazily_and_closed_with_the_socket(run):
    journal, router = Journal(), SocketRouter()
    session = journal.asynchronous("session")
    user = journal.synchronous("user", session=Depends(session))
    of_connection = PerConnection(user)

    @router.route("other")
    async def other():
        return "nothing solved"

    @router.route("r")
    async def handler(it=of_connection, s=Depends(session)):
        return [it, s]

    @router.route("second", {"access": lambda ws, message, it=PerConnection(user): True})
    async def second(it: Annotated[list, of_connection]):
        return it

    async def talk():
        async with SocketTestClient(journal.noting_answers(router)) as client:
            await client.request("other")
            assert journal == ["answer"], "nothing is solved before it is needed"
            journal.clear()
            answer = await client.request("r")
            assert answer.payload == [["user", ["session"]], ["session"]]
            own = ["enter session", "enter user", "enter session"]
            assert journal == [*own, "answer", "exit session"], "messages have their own session"
            journal.clear()
            await client.request("r")
            await client.request("second")
            assert journal == ["enter session", "answer", "exit session", "answer"]
            journal.clear()
        assert journal == ["exit user", "exit session"]

    run(talk())


def test_per_connection_is_solved_once_for_calls_that_wait_at_the_same_time(run):
    journal, router = Journal(), SocketRouter()
    entered, may_go_on = asyncio.Event(), asyncio.Event()

    async def user():
        journal.append("enter user")
        entered.set()
        await may_go_on.wait()
        yield object()
        journal.append("exit user")

    @router.route("r")
    async def handler(it: Annotated[object, PerConnection(user)]):
        return id(it)

    async def talk():
        async with SocketTestClient(router) as client:
            calls = [asyncio.create_task(client.request("r")) for _ in range(5)]
            await entered.wait()
            may_go_on.set()
            assert len({a.payload for a in await asyncio.gather(*calls)}) == 1
        async with SocketTestClient(router) as client:
            await client.request("r")
        assert journal == ["enter user", "exit user"] * 2

    run(talk())


def test_a_connections_dependency_that_failed_is_tried_again_by_the_next_message(run):
    router, left = SocketRouter(), [HTTPException(503, "database is away"), None]

    async def user():
        if error := left.pop(0):
            raise error
        return "user"

    @router.route("r")
    async def handler(it: Annotated[str, PerConnection(user)]):
        return it

    async def talk():
        async with SocketTestClient(router) as client:
            assert (await client.request("r")).status == 503
            assert (await client.request("r")).payload == "user"
            assert (await client.request("r")).payload == "user"

    run(talk())


def test_a_connections_dependency_failing_at_its_exit_is_logged(run, caplog):
    router = SocketRouter()

    async def user():
        yield 1
        raise OSError("disk full")

    @router.route("r")
    async def handler(it: Annotated[int, PerConnection(user)]):
        return it

    async def talk():
        async with SocketTestClient(router) as client:
            assert (await client.request("r")).payload == 1

    run(talk())
    assert "failed to close a dependency of the connection: OSError: disk full" in caplog.text


def test_per_connection_can_be_overridden(run):
    app, router = FastAPI(), SocketRouter()

    async def user():
        return "real"

    @router.route("r")
    async def handler(it: Annotated[str, PerConnection(user)]):
        return it

    router.mount(app, "/ws")

    async def talk():
        app.dependency_overrides[user] = lambda: "fake"
        async with SocketTestClient(app) as client:
            assert (await client.request("r")).payload == "fake"
            app.dependency_overrides.clear()
            assert (await client.request("r")).payload == "real"

    run(talk())


def test_per_connection_may_be_nested_and_read_the_handshake(run):
    router = SocketRouter()

    async def tenant(x_tenant: Annotated[str, Header()], ws: WebSocket):
        return [x_tenant, ws.url.path]

    async def user(tenant: Annotated[list, PerConnection(tenant)]):
        return ["user", tenant]

    async def of_message(user: Annotated[list, PerConnection(user)]):
        return ["message", user]

    @router.route("r")
    async def handler(it: Annotated[list, Depends(of_message)]):
        return it

    async def talk():
        async with SocketTestClient(router, headers={"x-tenant": "acme"}) as client:
            for _ in range(2):
                answer = await client.request("r")
                assert answer.payload == ["message", ["user", ["acme", "/ws"]]]

    run(talk())


async def takes_message(message: MessageData): ...


async def takes_request(request: MessageRequest): ...


async def takes_header(x: Annotated[str, MessageHeader()]): ...


async def takes_cached(x: Annotated[str, Cached()]): ...


async def takes_tasks(tasks: BackgroundTasks): ...


async def takes_one_that_does(it: Annotated[Any, Depends(takes_message)]): ...


@pytest.mark.parametrize(
    "dependency",
    [
        takes_message,
        takes_request,
        takes_header,
        takes_cached,
        takes_tasks,
        takes_one_that_does,
    ],
    ids=lambda d: d.__name__,
)
def test_what_lives_as_long_as_the_connection_may_not_need_a_message(dependency):
    async def handler(it: Annotated[Any, PerConnection(dependency)]): ...

    with pytest.raises(SignatureError, match="depends on a message, and PerConnection outlives it"):
        SocketRouter().route("r")(handler)


# --- what is refused


def test_a_circle_is_refused():
    def a(it=None): ...

    def b(it=Depends(a)): ...

    a.__signature__ = inspect.signature(b).replace(  # type: ignore[attr-defined]
        parameters=[inspect.Parameter("it", inspect.Parameter.KEYWORD_ONLY, default=Depends(b))]
    )

    async def handler(it=Depends(a)): ...

    async def shared(it=PerConnection(a)): ...

    for function in (handler, shared):
        with pytest.raises(SignatureError, match=r"'r': circular dependency: .*a → .*b → .*a"):
            SocketRouter().route("r")(function)


@pytest.mark.skipif(not KNOWS_CONCURRENCY, reason="this FastAPI has no max_concurrency=")
def test_a_feature_of_depends_without_effect_is_warned_of():
    async def handler(it: Annotated[str, Depends(token, max_concurrency=2)]): ...

    with pytest.warns(UserWarning, match=r"Depends\(max_concurrency=...\) has no effect") as warned:
        SocketRouter().route("r")(handler)
    assert len(warned) == 1


def test_depends_without_features_is_not_warned_of(recwarn):
    async def handler(
        a: Annotated[str, Depends(token)],
        b: Annotated[str, Security(token, scopes=["x"])],
        c: Annotated[str, PerConnection(token)],
        d: Annotated[Service, Depends(use_cache=False)],
    ): ...

    SocketRouter().route("r")(handler)
    assert not recwarn.list


def test_a_router_of_fastapi_may_use_per_connection_as_a_plain_dependency():
    api = APIRouter()

    @api.get("/")
    async def endpoint(it: Annotated[int, PerConnection(lambda: 1)]): ...

    assert api.routes
