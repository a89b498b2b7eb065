"""What is declared beside handlers, and holds: errors, pushes, calls, versions."""

import asyncio
import datetime
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict

from fastapi_observable_socket import (
    Connection,
    MisfitError,
    Progress,
    Reply,
    SignatureError,
    SocketRouter,
)
from fastapi_observable_socket.contract import contract_of
from fastapi_observable_socket.testing import SocketTestClient


class NotFound(BaseModel):
    message: str
    id: int
    hint: str = "none"


class Taken(BaseModel):
    by: str


@dataclass
class Gone:
    since: datetime.date


class Article(BaseModel):
    title: str
    on: datetime.date = datetime.date(2020, 1, 2)


class Verdict(BaseModel):
    model_config = ConfigDict(strict=True)

    on: datetime.date


RESPONSES = {404: NotFound, 409: {"description": "Taken"}, 410: Gone}
WHOLE = {"message": "no item 3", "id": 3, "hint": "none"}


# --- errors


def raising(error: Callable[[], Any], **options: Any) -> SocketRouter:
    router = SocketRouter(**options)

    async def fail():
        result = error()
        if isinstance(result, Exception):
            raise result
        return result

    def fail_in_a_thread():
        raise error()

    async def fail_at_the_end() -> AsyncIterator[int]:
        yield 1
        raise error()

    async def unreached(): ...

    router.route("fail", responses=RESPONSES)(fail)
    router.route("thread", responses=RESPONSES)(fail_in_a_thread)
    router.route("stream", responses=RESPONSES)(fail_at_the_end)
    router.route("hook", {"access": lambda ws, message: fail()}, responses=RESPONSES)(unreached)
    router.route("undeclared")(fail)
    return router


ERRORS = [
    (lambda: HTTPException(404, NotFound(message="no item 3", id=3)), 404, WHOLE),
    (lambda: HTTPException(410, Gone(datetime.date(2020, 1, 2))), 410, {"since": "2020-01-02"}),
    (lambda: HTTPException(404, "no item 3"), 404, {"message": "no item 3", "code": "not_found"}),
    (
        lambda: HTTPException(404, {"message": "no item 3", "id": 3}),
        404,
        {"message": "not found", "code": "not_found", "detail": {"message": "no item 3", "id": 3}},
    ),
    (
        lambda: HTTPException(409, Taken(by="ann")),
        409,
        {"message": "conflict", "code": "conflict", "detail": {"by": "ann"}},
    ),
    (
        lambda: HTTPException(418, Taken(by="ann")),
        418,
        {"message": "error", "code": "error", "detail": {"by": "ann"}},
    ),
]


@pytest.mark.parametrize(("error", "status", "payload"), ERRORS)
def test_a_declared_model_is_the_payload_and_all_else_is_a_detail(error, status, payload, run):
    async def main():
        async with SocketTestClient(raising(error)) as client:
            for route in ("fail", "thread", "hook", "stream"):
                answer = await client.request(route, headers={"$stream": True})
                if answer.status == 402:  # the item before it
                    answer = (await client.receive())["payload"]
                    assert answer == payload
                    continue
                assert (answer.status, answer.payload) == (status, payload), route

    run(main())


@pytest.mark.parametrize(
    "given",
    [
        lambda: Reply(NotFound(message="no item 3", id=3), 404),
        lambda: Reply({"message": "no item 3", "id": 3, "secret": 1}, 404),
        lambda: {"status": 404, "payload": {"message": "no item 3", "id": 3}},
    ],
)
def test_a_returned_error_is_written_by_its_model(given, run):
    async def main():
        async with SocketTestClient(raising(given)) as client:
            assert (await client.request("fail")).payload == WHOLE

    run(main())


@pytest.mark.parametrize(
    "given",
    [
        lambda: HTTPException(404, Taken(by="a secret")),
        lambda: Reply({"id": "a secret"}, 404),
        lambda: Reply(None, 404),
    ],
)
def test_an_error_that_is_not_as_declared_is_the_servers_fault(given, run, caplog):
    async def main():
        async with SocketTestClient(raising(given)) as client:
            answer = await client.request("fail")
            assert (answer.status, answer.payload["code"]) == (500, "internal")
            assert (await client.request("undeclared")).status == 404

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "the payload of a 404 does not fit its type" in caplog.text
    assert "a secret" not in caplog.text


def test_a_topic_refuses_with_what_it_declared(run):
    router = SocketRouter()

    @router.topic("orders/{order}", responses={404: NotFound})
    def orders(order: int) -> bool:
        if order == 3:
            raise HTTPException(404, NotFound(message="no item 3", id=3))
        raise HTTPException(404, "no such order")

    async def main():
        async with SocketTestClient(router) as client:
            alone = await client.request("$sub", {"topic": "orders/3"})
            assert (alone.status, alone.payload) == (404, WHOLE)
            alone = await client.request("$sub", {"topic": "orders/4"})
            assert alone.payload == {"message": "no such order", "code": "not_found"}
            topics = [{"topic": "orders/3"}, {"topic": "orders/4"}]
            many = await client.request("$sub", {"topics": topics})
            assert many.payload["topics"] == [
                {"topic": "orders/3", "status": 404, "code": "refused", "payload": WHOLE},
                {
                    "topic": "orders/4",
                    "status": 404,
                    "message": "no such order",
                    "code": "refused",
                },
            ]

    run(main())


# --- progress


def test_typed_progress_is_written_by_its_type(run):
    router = SocketRouter()

    @router.route("work")
    async def work(payload: dict, progress: Progress[Article]):
        await progress(payload)  # type: ignore[arg-type]
        return "done"

    async def main():
        async with SocketTestClient(router) as client:
            seen: list[Any] = []
            async for _ in client.stream("work", {"title": "a", "b": 1}, progress=seen.append):
                pass
            assert seen == [{"title": "a", "on": "2020-01-02"}]
            await client.push("work", {"b": 1}, {"$progress": True}, uuid="w")
            assert (await client.receive())["status"] == 500
            assert (await client.request("work", {"b": 1})).payload == "done"

    run(main())


def test_progress_of_what_pydantic_cannot_write_is_refused():
    class Unknown: ...

    async def work(payload: int, progress: Progress[Unknown]): ...

    with pytest.raises(SignatureError, match=r"parameter 'progress' tells of .*Unknown"):
        SocketRouter().route("work")(work)


# --- pushes


def pushing() -> SocketRouter:
    router = SocketRouter()
    router.pushes("news", Article)
    router.pushes("reload")
    router.pushes("anything", Any)

    @router.route("push")
    async def push(payload, connection: Connection):
        route, payload = payload
        await connection.push(route, payload)

    return router


def test_a_declared_push_is_written_by_its_type_on_every_way(run):
    async def main():
        router = pushing()
        async with SocketTestClient(router) as client:
            loose = {"title": "a", "secret": 1}
            await client.push("push", ["news", loose], uuid=1)
            assert (await client.receive())["payload"] == {"title": "a", "on": "2020-01-02"}
            await client.receive()
            assert router.connections.push("news", Article(title="b")) == 1
            assert (await client.receive())["payload"] == {"title": "b", "on": "2020-01-02"}
            for connection in router.connections:
                await connection.push("anything", loose)
                await connection.push("undeclared", loose)
                await connection.push("reload")
            assert [(await client.receive())["payload"] for _ in "abc"] == [loose, loose, None]

    run(main())


def test_a_push_that_does_not_fit_is_not_sent_and_not_shown(run):
    async def main():
        router = pushing()
        async with SocketTestClient(router) as client:
            with pytest.raises(TypeError, match=r"push 'news' does not fit its type: title") as e:
                router.connections.push("news", {"secret": 1})
            assert "secret" not in str(e.value)
            with pytest.raises(TypeError, match="it was declared without one"):
                router.connections.push("reload", 1)
            connection = next(iter(router.connections))
            with pytest.raises(TypeError, match="does not fit its type"):
                await connection.push("news", None)
            await connection.push("anything", "the first")
            assert (await client.receive())["payload"] == "the first"

    run(main())


def test_an_included_routers_pushes_hold_for_the_sockets_of_the_outer(run):
    async def main():
        outer, inner = SocketRouter(), SocketRouter(prefix="in/")
        inner.pushes("news", Article)
        outer.include(inner, "v1/")
        async with SocketTestClient(outer) as client:
            assert inner.connections.push("v1/in/news", {"title": "a", "b": 1}) == 1
            assert (await client.receive())["payload"] == {"title": "a", "on": "2020-01-02"}
            with pytest.raises(TypeError):
                await next(iter(outer.connections)).push("v1/in/news", {})

    run(main())


# --- calls


def asking() -> tuple[SocketRouter, list[Any]]:
    router, outcomes = SocketRouter(), []
    router.calls("confirm", payload=Article, result=Verdict)
    router.calls("refresh")
    router.calls("any", payload=Any, result=Any)

    @router.route("ask")
    async def ask(payload: list, connection: Connection):
        route, question, options = payload
        options = {"result": int} if options else {}
        try:
            outcomes.append(await connection.call(route, question, **options))
        except (MisfitError, TypeError) as error:
            outcomes.append(error)

    return router, outcomes


def test_a_declared_call_is_held_to_its_types(run):
    async def main():
        router, outcomes = asking()
        heard: list[Any] = []

        async with SocketTestClient(router) as client:
            await client.hello()

            def answer(payload):
                heard.append(payload)
                return {"on": "2020-01-02"} if payload["title"] == "good" else {"on": 3}

            client.handle("confirm", answer)
            await client.request("ask", ["confirm", {"title": "good", "secret": 1}, False])
            assert heard == [{"title": "good", "on": "2020-01-02"}]
            assert outcomes == [Verdict(on=datetime.date(2020, 1, 2))]
            await client.request("ask", ["confirm", {"title": "bad"}, False])
            assert isinstance(outcomes[1], MisfitError)
            await client.request("ask", ["confirm", {"secret": 1}, False])
            assert isinstance(outcomes[2], TypeError)
            assert len(heard) == 2

    run(main())


def test_a_result_that_was_not_declared_does_not_count_and_one_that_is_asked_for_does(run):
    async def main():
        router, outcomes = asking()
        async with SocketTestClient(router) as client:
            await client.hello()
            for route in ("refresh", "any", "undeclared"):
                client.handle(route, lambda _: 7)
            await client.request("ask", ["refresh", None, False])
            await client.request("ask", ["refresh", None, True])
            await client.request("ask", ["any", {"a": 1}, False])
            await client.request("ask", ["undeclared", {"a": 1}, False])
            assert outcomes == [None, 7, 7, 7]

    run(main())


def test_users_are_told_and_asked_as_single_sockets_are(run):
    async def main():
        router, _ = asking()
        router.pushes("news", Article)
        heard: list[Any] = []

        async def answer(payload):
            heard.append(payload)
            return {"on": "2020-01-02"} if payload["title"] == "good" else {"on": 3}

        async with SocketTestClient(router, scope={"user": "ann"}) as client:
            await client.hello()
            client.handle("confirm", answer)
            user = router.user("ann")
            await user.push("news", {"title": "a", "secret": 1})
            assert (await client.receive())["payload"] == {"title": "a", "on": "2020-01-02"}
            verdict = await user.call("confirm", {"title": "good", "secret": 1})
            assert verdict == Verdict(on=datetime.date(2020, 1, 2))
            assert heard == [{"title": "good", "on": "2020-01-02"}]
            assert await user.call("confirm", {"title": "good"}, result=dict) == {
                "on": "2020-01-02"
            }
            with pytest.raises(MisfitError):
                await user.call("confirm", {"title": "bad"})
            for send in (user.push("news", {}), user.call("confirm", {}), user.call("refresh", 1)):
                with pytest.raises(TypeError, match="does not fit its type"):
                    await send
        await router.aclose()

    run(main())


# --- declaring


def test_a_name_is_declared_once_and_never_one_of_the_protocol():
    router = SocketRouter()
    router.pushes("news")
    router.calls("news")
    with pytest.raises(ValueError, match="push 'news' is already declared"):
        router.pushes("news", int)
    with pytest.raises(ValueError, match="call 'news' is already declared"):
        router.calls("news")
    with pytest.raises(ValueError, match="reserved"):
        router.pushes("$gap")


def test_an_include_that_cannot_be_brings_nothing():
    outer, inner = SocketRouter(), SocketRouter()
    outer.pushes("news")
    inner.pushes("other")
    inner.pushes("news")
    inner.route("r")(lambda: None)
    inner.topic("t")(lambda: True)
    with pytest.raises(ValueError, match="already declared"):
        outer.include(inner)
    made = contract_of(outer).as_json()
    assert (list(made["pushes"]), made["routes"], made["topics"]) == (["news"], {}, {})
    with pytest.raises(ValueError, match="already declared"):
        inner.pushes("other")


def test_a_name_that_is_taken_outside_is_not_declared_inside():
    outer, inner = SocketRouter(), SocketRouter()
    outer.pushes("news")
    outer.include(inner)
    with pytest.raises(ValueError, match="already declared"):
        inner.pushes("news")
    assert contract_of(inner).as_json()["pushes"] == {}


def test_a_type_that_pydantic_cannot_write_is_told_where_it_is_declared():
    class Unknown: ...

    with pytest.raises(SignatureError, match="push 'news' has the type"):
        SocketRouter().pushes("news", Unknown)
    with pytest.raises(SignatureError, match="call 'ask' has the type"):
        SocketRouter().calls("ask", result=Unknown)


def test_a_model_may_be_defined_later_but_not_never(run):
    class Early(BaseModel):
        late: "Late"

    router = SocketRouter()
    router.pushes("news", Early)
    with pytest.raises(SignatureError, match="push 'news': a type cannot be resolved"):
        router.connections.push("news", {})

    class Late(BaseModel):
        n: int

    Early.model_rebuild(_types_namespace={"Late": Late})
    with pytest.raises(TypeError, match="does not fit"):
        router.connections.push("news", {})


# --- the version


VERSIONS = [
    ("2.1", {"version": "2.0"}, True),
    ("2.1", {"version": "1.9.3"}, False),
    ("2", {"version": "2.7.1"}, True),
    ("10.0", {"version": "1.0"}, False),
    ("2.1", {"hash": "0123456789abcdef"}, True),
    ("2.1", {"version": 1}, True),
    ("2.1", {}, True),
    ("", {"version": "1.0"}, True),
]


@pytest.mark.parametrize(("ours", "theirs", "compatible"), VERSIONS)
def test_a_client_of_another_major_version_is_told_and_served(ours, theirs, compatible, run):
    router = SocketRouter(version=ours)
    router.route("echo")(lambda payload: payload)

    async def main():
        async with SocketTestClient(router) as client:
            answer = await client.hello(contract=theirs)
            assert answer.payload["contract"] == {
                "version": ours or None,
                "hash": contract_of(router).hash,
                "compatible": compatible,
            }
            assert (await client.request("echo", 1)).payload == 1

    run(main())


@pytest.mark.parametrize("said", [None, "2.0", ["2.0"], 2])
def test_a_client_that_says_no_contract_is_told_of_ours_alone(said, run):
    async def main():
        async with SocketTestClient(SocketRouter(version="2.1")) as client:
            answer = await client.request("$hello", {"protocol": 1, "contract": said})
            assert answer.payload["contract"].keys() == {"version", "hash"}

    run(main())


def test_the_apps_version_is_not_taken_for_that_of_the_contract(run):
    app, router = FastAPI(version="3.0"), SocketRouter()
    router.mount(app)

    async def main():
        async with SocketTestClient(app) as client:
            answer = await client.hello(contract={"version": "1.0"})
            assert answer.payload["contract"]["version"] is None
            assert answer.payload["contract"]["compatible"] is True

    run(main())


def test_what_is_registered_later_is_in_the_hash(run):
    router = SocketRouter()

    async def main():
        hashes = set()
        for step in (
            lambda: None,
            lambda: router.route("r")(lambda: None),
            lambda: router.topic("t")(lambda: True),
            lambda: router.pushes("p"),
        ):
            step()
            async with SocketTestClient(router) as client:
                hashes.add((await client.hello()).payload["contract"]["hash"])
        assert len(hashes) == 4
        assert contract_of(router).hash in hashes

    run(main())


def test_types_without_a_contract_keep_nobody_out(run, caplog):
    router = SocketRouter()

    class Odd(BaseModel):
        function: Callable[[], None]

    @router.route("odd")
    async def odd(payload: Odd): ...

    async def main():
        for _ in "ab":
            async with SocketTestClient(router) as client:
                answer = await client.hello()
                assert answer.payload["contract"] == {"version": None, "hash": None}

    with caplog.at_level(logging.WARNING):
        run(main())
    assert [r.getMessage() for r in caplog.records].count(caplog.records[0].getMessage()) == 1
    assert "route 'odd': its payload" in caplog.text


def test_clients_do_not_wait_for_each_others_hash(run):
    """It is made once, whoever asks first."""
    router = SocketRouter()
    router.route("r")(lambda: None)

    async def main():
        async def asked() -> str:
            async with SocketTestClient(router) as client:
                return (await client.hello()).payload["contract"]["hash"]

        assert len(set(await asyncio.gather(*[asked() for _ in range(5)]))) == 1

    run(main())
