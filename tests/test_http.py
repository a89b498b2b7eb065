"""The same routes over HTTP: what they answer, and what the documentation says of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    WebSocket,
)
from pydantic import BaseModel

from fastapi_observable_socket import (
    Connection,
    HandlerResult,
    MessageHeader,
    Progress,
    SocketRouter,
)


class Sum(BaseModel):
    sum: int
    note: str = ""


class Node(BaseModel):
    name: str
    inner: list["Node"] = []


class Missing(BaseModel):
    what: str


def calculator(**settings):
    router = SocketRouter(**settings)

    @router.route("math/sum", tags=["math"])
    async def add(payload: list[int]) -> Sum:
        """Add numbers.

        All of them.
        """
        return Sum(sum=sum(payload))

    return router


def serving(router, prefix="/api", **include):
    app = FastAPI()
    app.include_router(router.http(prefix), **include)
    return app


def client(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def post(run, app, path, payload=None, headers=None, content=None):
    async def main():
        async with client(app) as http:
            if content is not None:
                return await http.post(path, content=content, headers=headers)
            return await http.post(path, json=payload, headers=headers)

    return run(main())


# --- calls


def test_a_call_is_answered_with_the_payload(run):
    answer = post(run, serving(calculator()), "/api/math/sum", [1, 2])
    assert (answer.status_code, answer.json()) == (200, {"sum": 3, "note": ""})
    assert answer.headers["content-type"] == "application/json"


def test_what_does_not_fit_is_told_as_over_a_socket(run):
    answer = post(run, serving(calculator()), "/api/math/sum", ["x"])
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"
    assert answer.json()["detail"][0]["loc"] == ["payload", 0]


@pytest.mark.parametrize(
    "body", [b"{", b'1,"route":"other"', b'[1],"x":1', b"\xff", b"[" * 5000], ids=range(5)
)
def test_what_is_not_json_is_refused_and_reaches_no_route(run, body):
    answer = post(run, serving(calculator()), "/api/math/sum", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_a_body_is_bounded(run):
    app = serving(calculator(max_message_bytes=1000))
    answer = post(run, app, "/api/math/sum", content=b"[" + b"1," * 600 + b"1]")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_hooks_and_dependencies_run_as_over_a_socket(run):
    seen = []
    router = SocketRouter(options={"access": lambda ws, message: ws.headers.get("x-key") == "k"})

    async def session(ws: WebSocket):
        seen.append("open")
        yield ws.url.path
        seen.append("closed")

    def twice(payload):
        return payload * 2

    @router.route("r", {"dehydrate": twice})
    async def r(payload: int, path: Annotated[str, Depends(session)]) -> int:
        seen.append(path)
        return payload

    app = serving(router)
    assert post(run, app, "/api/r", 2).status_code == 403
    assert seen == []
    assert post(run, app, "/api/r", 2, {"x-key": "k"}).json() == 4
    assert seen == ["open", "/api/r", "closed"]


def test_the_headers_that_a_route_names_are_those_of_the_request(run):
    router = SocketRouter()

    @router.route("r")
    async def r(headers, trace: Annotated[int, MessageHeader("x-trace")] = 0):
        return {"trace": trace, "all": headers}

    app = serving(router)
    sent = {"X-Trace": "7", "x-other": "1"}
    assert post(run, app, "/api/r", None, sent).json() == {"trace": 7, "all": {"x-trace": "7"}}
    assert post(run, app, "/api/r", None, {"x-trace": "x"}).status_code == 400
    (named,) = app.openapi()["paths"]["/api/r"]["post"]["parameters"]
    assert (named["name"], named["in"], named["required"]) == ("x-trace", "header", False)


def test_status_and_headers_of_an_answer_are_those_of_the_response(run):
    router = SocketRouter()

    @router.route("r")
    async def r() -> HandlerResult:
        headers = {"x-page": 2, "x-bad": "a\r\nb", "content-length": "9", "x-list": [1]}
        return {"status": 201, "headers": headers, "payload": "made"}

    @router.route("nothing")
    async def nothing() -> HandlerResult:
        return {"status": 204, "payload": None}

    app = serving(router)
    answer = post(run, app, "/api/r")
    assert (answer.status_code, answer.json(), answer.headers["x-page"]) == (201, "made", "2")
    assert not {"x-bad", "x-list"} & set(answer.headers)
    assert (post(run, app, "/api/nothing").status_code, post(run, app, "/api/nothing").content) == (
        204,
        b"",
    )


def test_declared_errors_are_answered_and_documented(run):
    router = SocketRouter()

    @router.route("r", responses={404: Missing})
    async def r():
        raise HTTPException(404, detail=Missing(what="it"))

    @router.route("broken")
    async def broken():
        raise RuntimeError("secret")

    app = serving(router)
    answer = post(run, app, "/api/r")
    assert (answer.status_code, answer.json()) == (404, {"what": "it"})
    answer = post(run, app, "/api/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    said = app.openapi()["paths"]["/api/r"]["post"]["responses"]["404"]
    either = said["content"]["application/json"]["schema"]["anyOf"]
    assert [each["$ref"].rpartition("/")[2] for each in either] == ["Missing", "Problem"]


def test_nothing_can_be_asked_of_a_peer_that_is_no_socket(run):
    router = SocketRouter()

    @router.route("r")
    async def r(connection: Connection, progress: Progress):
        await connection.push("news", 1)
        await progress(1)
        return connection.takes_calls

    assert post(run, serving(router), "/api/r").json() is False
    assert len(router.connections) == 0


# --- who may


def test_the_gate_is_that_of_the_socket(run):
    async def allowed(ws):
        return "x-key" in ws.headers

    app = serving(calculator(access_logic=allowed))
    assert post(run, app, "/api/math/sum", [1]).status_code == 403
    assert post(run, app, "/api/math/sum", [1], {"x-key": "1"}).status_code == 200
    foreign = {"x-key": "1", "origin": "https://evil.example"}
    assert post(run, app, "/api/math/sum", [1], foreign).status_code == 403
    assert (
        post(run, serving(calculator(max_connections=0)), "/api/math/sum", [1]).status_code == 503
    )


def test_a_token_is_the_bearers(run):
    router = SocketRouter(authenticate=lambda token: token if token == "good" else None)

    @router.route("me")
    async def me(ws: WebSocket):
        return ws.user

    app = serving(router)
    refused = post(run, app, "/api/me")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert post(run, app, "/api/me", headers={"authorization": "Bearer bad"}).status_code == 401
    assert post(run, app, "/api/me", headers={"authorization": "Bearer good"}).json() == "good"
    assert app.openapi()["paths"]["/api/me"]["post"]["security"] == [{"HTTPBearer": []}]


def test_dependencies_around_it_are_fastapis(run):
    async def paid(plan: Annotated[str, Query()]):
        if plan != "gold":
            raise HTTPException(402, "pay first")

    app = serving(calculator(), dependencies=[Depends(paid)])
    assert post(run, app, "/api/math/sum?plan=tin", [1]).status_code == 402
    assert post(run, app, "/api/math/sum", [1]).status_code == 422
    assert post(run, app, "/api/math/sum?plan=tin", ["x"]).status_code == 402
    assert post(run, app, "/api/math/sum?plan=gold", ["x"]).status_code == 400
    assert post(run, app, "/api/math/sum?plan=gold", [1]).status_code == 200


# --- streams


def counting(**settings):
    router = SocketRouter(**settings)
    router.ended = []

    @router.route("count", responses={404: Missing})
    async def count(payload: int):
        if payload == 0:
            raise HTTPException(404, detail=Missing(what="numbers"))
        try:
            for n in range(payload):
                if n == 5:
                    raise HTTPException(503, "enough")
                yield {"n": n}
        finally:
            router.ended.append(payload)

    return router


def events_of(text):
    for event in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        yield fields.get("event", "message"), json.loads(fields["data"])


def test_a_stream_is_server_sent_events(run):
    answer = post(run, serving(counting()), "/api/count", 2)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert list(events_of(answer.text)) == [
        ("message", {"n": 0}),
        ("message", {"n": 1}),
        ("end", None),
    ]


def test_a_browsers_event_source_may_ask_by_get(run):
    async def main():
        async with client(serving(counting())) as http:
            return await http.get("/api/count", params={"payload": "1"})

    assert [kind for kind, _ in events_of(run(main()).text)] == ["message", "end"]


def test_a_stream_that_fails_says_how_it_ended(run):
    answer = post(run, serving(counting()), "/api/count", 9)
    events = list(events_of(answer.text))
    assert len(events) == 6
    kind, error = events[-1]
    assert (kind, error["status"], error["payload"]["message"]) == ("error", 503, "enough")


def test_one_that_fails_at_once_is_refused_by_its_status(run):
    answer = post(run, serving(counting()), "/api/count", 0)
    assert (answer.status_code, answer.json()) == (404, {"what": "numbers"})
    assert post(run, serving(counting()), "/api/count", "x").status_code == 400


def test_whoever_takes_json_alone_gets_a_list(run):
    app = serving(counting())
    answer = post(run, app, "/api/count", 2, {"accept": "application/json"})
    assert answer.json() == [{"n": 0}, {"n": 1}]


def test_more_items_than_a_window_arrive(run):
    router = SocketRouter()

    @router.route("many")
    async def many():
        for n in range(1000):
            yield n

    assert len(list(events_of(post(run, serving(router), "/api/many").text))) == 1001


def by_hand(app, path, receive, send):
    """One request to `app`, of which the test sees each message."""
    body = [{"type": "http.request", "body": b"", "more_body": False}]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [],
        "client": ("test", 1),
        "server": ("test", 80),
    }

    async def receive_all():
        return body.pop() if body else await receive()

    return app(scope, receive_all, send)


@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_goes_away_ends_what_it_asked_for(run, streams):
    router, begun, ended = SocketRouter(), asyncio.Event(), asyncio.Event()

    async def lasting():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def call():
        await lasting()

    async def stream():
        yield 1
        await lasting()

    router.route("last")(stream if streams else call)

    async def receive():
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    async def main():
        await by_hand(serving(router), "/api/last", receive, send)
        assert ended.is_set()
        assert len(router.connections) == 0

    run(main())


def test_one_that_is_silent_says_that_it_is_still_there(run):
    router, go_on, sent = SocketRouter(idle_timeout=0.15), asyncio.Event(), []

    @router.route("slow")
    async def slow():
        yield 1
        await go_on.wait()
        yield 2

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message.get("body", b""))
        if sent.count(b": still here\n\n") > 5:  # longer than a silent socket lives
            go_on.set()

    run(by_hand(serving(router), "/api/slow", receive, send))
    assert any(b"data: 2" in body for body in sent)
    assert b"event: end" in sent[-2]


@pytest.mark.parametrize(
    "marker", [Query(), Header(), Body(embed=True)], ids=["query", "header", "body"]
)
def test_a_guard_whose_own_parameter_is_missing_lets_nobody_in(run, marker):
    async def guard(payload: Annotated[int, marker]):
        raise HTTPException(403)

    app = serving(calculator(), dependencies=[Depends(guard)])
    assert post(run, app, "/api/math/sum", [1]).status_code == 422


def test_a_page_of_another_site_can_only_ask_where_the_gate_sees_it(run):
    async def main():
        async with client(serving(counting())) as http:
            for site, status in (("cross-site", 403), ("same-origin", 200), ("none", 200)):
                answer = await http.get("/api/count?payload=1", headers={"sec-fetch-site": site})
                assert answer.status_code == status

    run(main())


def test_an_included_router_is_not_served_without_those_around_it():
    inner, outer = calculator(), SocketRouter()
    outer.include(inner, "in/")
    with pytest.raises(ValueError, match=r"call http\(\) there"):
        inner.http()


def test_the_answer_does_not_wait_for_what_is_done_behind_it(run):
    async def main():
        router, answered, done = SocketRouter(), asyncio.Event(), asyncio.Event()

        async def later():
            await answered.wait()
            done.set()

        @router.route("r")
        async def r(tasks: BackgroundTasks):
            tasks.add_task(later)
            return 1

        async def receive():
            await asyncio.Event().wait()

        async def send(message):
            if message["type"] == "http.response.body" and not message.get("more_body"):
                answered.set()

        await by_hand(serving(router), "/api/r", receive, send)
        assert done.is_set()

    run(main())


def test_who_replays_the_body_holds_up_nobody(run):
    async def main():
        router, go_on = SocketRouter(), asyncio.Event()

        @router.route("r")
        async def r():
            await go_on.wait()
            return 1

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            pass

        asked = asyncio.create_task(by_hand(serving(router), "/api/r", receive, send))
        await asyncio.sleep(0.01)  # which never ends, where the loop is held up
        go_on.set()
        await asked

    run(main())


def test_what_a_handler_sends_by_itself_reaches_nobody(run):
    router = SocketRouter()

    @router.route("r")
    async def r(ws: WebSocket):
        await ws.send_text("hi")
        await ws.send_bytes(b"hi")
        await ws.send_json({"hello": 1})
        return 1

    assert post(run, serving(router), "/api/r").json() == 1


# --- documentation


def test_the_routes_are_in_openapi(run):
    router = calculator()

    @router.route("tree", deprecated=True)
    async def tree(payload: Node) -> Node:
        return payload

    @router.route("place")
    async def place(payload: dict, x: int = 0) -> None:
        pass

    said = serving(router).openapi()
    add = said["paths"]["/api/math/sum"]["post"]
    assert (add["summary"], add["description"], add["tags"]) == (
        "Add numbers.",
        "All of them.",
        ["math"],
    )
    body = add["requestBody"]
    assert body["required"]
    assert body["content"]["application/json"]["schema"]["items"] == {"type": "integer"}
    result = add["responses"]["200"]["content"]["application/json"]["schema"]
    assert result == {"$ref": "#/components/schemas/Sum"}
    assert "422" not in add["responses"]
    assert said["paths"]["/api/tree"]["post"]["deprecated"] is True
    assert any(name.startswith("Node") for name in said["components"]["schemas"])


@pytest.mark.filterwarnings("error:Duplicate Operation ID")
def test_an_operation_has_an_id_of_its_own_that_stays():
    def ids(*names):
        router = SocketRouter()

        async def items(payload: int) -> AsyncIterator[int]:
            yield payload

        for name in names:
            router.route(name)(items)
        paths = serving(router).openapi()["paths"]
        operations = [each for path in paths.values() for each in path.values()]
        return {each["operationId"] for each in operations}

    plain = {"a_b_api_a_b_post", "a_b_api_a_b_get"}
    assert ids("a/b") == ids("a_b") == plain
    both = ids("a/b", "a_b")
    assert len(both) == 4
    assert plain < both
    assert both == ids("a_b", "a/b")
    assert both < ids("a.b", "a_b", "a-b", "a/b")


def test_it_can_be_included_under_other_prefixes(run):
    api = APIRouter(prefix="/v1")
    api.include_router(calculator().http("/rpc"))
    app = FastAPI()
    app.include_router(api)
    assert post(run, app, "/v1/rpc/math/sum", [4]).json()["sum"] == 4


def test_a_name_with_braces_cannot_be_a_path():
    router = SocketRouter()
    router.route("a{b}")(lambda payload: payload)
    with pytest.raises(ValueError, match="cannot be a path"):
        router.http()
