"""Topics: who may listen, what is heard, and what those who come back have missed."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from starlette.websockets import WebSocket

from fastapi_observable_socket import SignatureError, SocketRouter
from fastapi_observable_socket.backends import MemoryBackend, Position, Unavailable, Uncertain
from fastapi_observable_socket.testing import SocketTestClient


class Order(BaseModel):
    number: int
    state: str = "new"


class SecretOrder(Order):
    margin: float = 0.5


def shop(**options: Any) -> SocketRouter:
    router = SocketRouter(**options)

    @router.topic("orders/{order}", event=Order)
    async def may_follow(order: int, ws: WebSocket) -> bool:
        return order != 13

    @router.topic("news")
    async def news():
        pass

    @router.topic("cursors", keep=False, publish=True)
    async def cursors(ws: WebSocket) -> bool:
        return ws.query_params.get("cursor") != "no"

    return router


async def sub(client, topic, recover=None):
    payload = {"topic": topic} | ({"recover": recover} if recover else {})
    return await client.request("$sub", payload)


def at(answer):
    return {"epoch": answer.payload["epoch"], "offset": answer.payload["offset"]}


async def nothing_more(client):
    await client.push("PING", uuid="nothing more")
    assert (await client.receive())["uuid"] == "nothing more"


def test_an_event_reaches_all_who_subscribed_with_the_same_bytes(run):
    async def main():
        router = shop()
        async with SocketTestClient(router) as a, SocketTestClient(router) as b:
            first = await sub(a, "orders/1")
            assert first.payload == {**at(first), "recovered": False, "missed": []}
            await sub(b, "orders/1")
            position = await router.publish("orders/1", SecretOrder(number=1))
            assert position == Position(first.payload["epoch"], 1)
            expected = {
                "uuid": "#orders/1",
                "route": "orders/1",
                "headers": {"$epoch": position.epoch, "$offset": 1},
                "payload": {"number": 1, "state": "new"},
            }
            assert await a.receive() == await b.receive() == expected
            await router.publish("orders/2", Order(number=2))
            await nothing_more(a)

    run(main())


def test_those_who_may_not_are_refused(run):
    async def main():
        async with SocketTestClient(shop()) as client:
            assert (await sub(client, "orders/13")).payload["code"] == "forbidden"
            for topic in ("orders", "orders/x", "orders/1/2", "other", "Orders/1"):
                assert (await sub(client, topic)).status == 404
            assert (await client.request("$sub", {})).status == 400
            assert (await client.request("$sub", {"topic": ""})).status == 400
            assert (await client.request("$sub", {"topic": "x" * 256})).status == 400

    run(main())


@pytest.mark.parametrize("name", ["@u:1", "#x", "$sub", "PING", "PONG", "7", "007"])
def test_a_pattern_for_any_name_opens_no_reserved_one(name, run):
    async def main():
        router = SocketRouter()

        @router.topic("{name:path}", publish=True)
        async def anything(name: str) -> bool:
            return True

        async with SocketTestClient(router) as client:
            assert (await sub(client, "any/name")).ok
            assert (await sub(client, name)).status == 404
            assert (await client.request("$pub", {"topic": name, "payload": 1})).status == 404

    run(main())


def test_without_topics_there_is_no_sub(run):
    async def main():
        async with SocketTestClient(SocketRouter()) as client:
            assert (await sub(client, "news")).status == 404

    run(main())


def test_who_comes_back_gets_exactly_what_was_missed(run):
    async def main():
        router = shop()
        async with SocketTestClient(router) as client:
            start = at(await sub(client, "news"))
            await router.publish("news", 1)
            assert (await client.receive())["headers"]["$offset"] == 1
        await router.publish("news", 2)
        await router.publish("news", {"n": 3})
        async with SocketTestClient(router) as client:
            back = await sub(client, "news", {**start, "offset": 1})
            assert back.payload["recovered"] is True
            assert [(m["offset"], m["payload"]) for m in back.payload["missed"]] == [
                (2, 2),
                (3, {"n": 3}),
            ]
            await router.publish("news", 4)
            assert (await client.receive())["payload"] == 4
            await nothing_more(client)
        async with SocketTestClient(router) as client:
            # Not one event was seen: the position came with the answer.
            assert len((await sub(client, "news", start)).payload["missed"]) == 4
            lost = await sub(client, "news", {"epoch": "other", "offset": 1})
            assert (lost.payload["recovered"], lost.payload["missed"]) == (False, [])

    run(main())


def test_many_topics_are_resumed_by_one_frame(run):
    async def main():
        router = shop()
        async with SocketTestClient(router) as client:
            start = at(await sub(client, "news"))
        await router.publish("news", 1)
        async with SocketTestClient(router) as client:
            wanted = [
                {"topic": "news", "recover": start},
                {"topic": "orders/13"},
                {"topic": "orders/2"},
                {"topic": "nowhere"},
            ]
            answer = await client.request("$sub", {"topics": wanted})
            statuses = [(t["topic"], t["status"]) for t in answer.payload["topics"]]
            assert statuses == [
                ("news", 200),
                ("orders/13", 403),
                ("orders/2", 200),
                ("nowhere", 404),
            ]
            assert answer.payload["topics"][0]["missed"][0]["payload"] == 1
            await router.publish("orders/2", Order(number=2))
            assert (await client.receive())["route"] == "orders/2"

    run(main())


def test_one_that_cannot_be_is_answered_by_itself(run):
    async def main():
        async with SocketTestClient(shop()) as client:
            wanted = [{"topic": ""}, 7, {"topic": "news", "recover": 1}, {"topic": "news"}, {}]
            answer = await client.request("$sub", {"topics": [*wanted, {"topic": "7"}]})
            told = [(t["topic"], t["status"]) for t in answer.payload["topics"]]
            assert told[:3] == [("", 400), (None, 400), ("news", 400)]
            assert told[3:] == [("news", 200), (None, 400), ("7", 404)]
            wrong = answer.payload["topics"][2]
            assert wrong["code"] == "bad_request"
            assert wrong["detail"][0]["loc"] == ["payload", "topics", 2, "recover"]
            assert (await client.request("$sub", {"topics": [{}] * 1001})).status == 400
            assert (await client.request("$sub", {"topics": "news"})).status == 400

    run(main())


def test_many_topics_are_joined_at_the_same_time_so_many_at_most(run):
    async def main():
        router, inside, peak, door = SocketRouter(), 0, 0, asyncio.Event()

        @router.topic("t/{n}")
        async def t(n: int) -> bool:
            nonlocal inside, peak
            inside += 1
            peak = max(peak, inside)
            if inside == 32:
                door.set()
            await door.wait()
            inside -= 1
            return n != 50

        async with SocketTestClient(router) as client:
            wanted = [{"topic": f"t/{n}"} for n in range(100)]
            answer = await client.request("$sub", {"topics": wanted})
            told = [(t["topic"], t["status"]) for t in answer.payload["topics"]]
            assert told == [(f"t/{n}", 403 if n == 50 else 200) for n in range(100)]
            assert peak == 32

    run(main())


def test_functions_that_take_the_socket_are_asked_one_after_the_other(run):
    async def main():
        router, inside = SocketRouter(), []

        async def alone(n):
            assert not inside
            inside.append(n)
            await asyncio.sleep(0)
            inside.remove(n)

        @router.topic("t/{n}")
        async def t(n: int, ws: WebSocket) -> bool:
            await alone(n)
            return True

        @router.topic("s/{n}")
        async def s(n: int, socket: WebSocket) -> int:
            await alone(n)
            return n

        async with SocketTestClient(router) as client:
            wanted = [{"topic": f"{name}/{n}"} for n in range(20) for name in "ts"]
            answer = await client.request("$sub", {"topics": wanted})
            assert {t["status"] for t in answer.payload["topics"]} == {200}

    run(main())


def test_of_many_topics_no_more_than_may_be_are_joined(run):
    async def main():
        router = shop(max_topics=5)
        async with SocketTestClient(router) as client:
            wanted = [{"topic": f"orders/{n}"} for n in range(20, 40)]
            answer = await client.request("$sub", {"topics": wanted})
            statuses = [t["status"] for t in answer.payload["topics"]]
            assert (statuses.count(200), statuses.count(403)) == (5, 15)
            joined = [t["topic"] for t in answer.payload["topics"] if t["status"] == 200]
            assert sorted(router._topics.hub.topics()) == sorted(joined)

    run(main())


def test_of_a_cancelled_sub_of_many_none_is_left(run):
    async def main():
        router, arrived = shop(), asyncio.Event()

        @router.topic("slow")
        async def slow() -> bool:
            arrived.set()
            await asyncio.Event().wait()

        async with SocketTestClient(router) as client:
            wanted = [{"topic": "news"}, {"topic": "slow"}]
            await client.push("$sub", {"topics": wanted}, uuid="s")
            await asyncio.wait_for(arrived.wait(), 5)
            await client.push("$cancel", uuid="s")
            assert (await client.receive())["status"] == 499
            assert list(router._topics.hub.topics()) == []

    run(main())


def test_events_come_behind_the_answer_that_subscribed(run):
    async def main():
        router = SocketRouter()

        @router.topic("news")
        async def news(ws: WebSocket) -> int:
            # Published while the state is being read: behind it, and not lost.
            await router.publish("news", "meanwhile")
            return 42

        async with SocketTestClient(router) as client:
            await client.push("$sub", {"topic": "news"}, uuid="s")
            answer = await client.receive()
            assert (answer["uuid"], answer["payload"]["snapshot"]) == ("s", 42)
            assert (await client.receive())["payload"] == "meanwhile"

    run(main())


def test_a_state_is_given_to_those_who_cannot_be_brought_up_to_date(run):
    async def main():
        router, asked = SocketRouter(), []

        @router.topic("board/{name}")
        async def board(name: str) -> Order:
            asked.append(name)
            if name == "none":
                raise HTTPException(404, "no such board")
            return SecretOrder(number=7)

        async with SocketTestClient(router) as client:
            first = await sub(client, "board/a")
            assert first.payload["snapshot"] == {"number": 7, "state": "new"}
            back = await sub(client, "board/a", at(first))
            assert "snapshot" not in back.payload
            assert asked == ["a", "a"]  # access is asked again
            lost = await sub(client, "board/a", {"epoch": "?", "offset": 0})
            assert lost.payload["snapshot"]["number"] == 7
            assert (await sub(client, "board/none")).status == 404
            await router.publish("board/none", 1)
            await nothing_more(client)

    run(main())


def test_unsub_ends_it_and_twice_is_harmless(run):
    async def main():
        router = shop()
        async with SocketTestClient(router) as client:
            await sub(client, "news")
            for _ in "ab":
                assert (await client.request("$unsub", {"topic": "news"})).payload == {
                    "topic": "news"
                }
            await router.publish("news", 1)
            await nothing_more(client)

    run(main())


def test_who_was_away_from_a_topic_that_keeps_nothing_has_missed_something(run):
    async def main():
        async with SocketTestClient(shop()) as client:
            start = at(await sub(client, "cursors"))
            assert (await sub(client, "cursors", start)).payload["recovered"] is False

    run(main())


def test_subscribing_twice_tells_once(run):
    async def main():
        router = shop()
        async with SocketTestClient(router) as client:
            await sub(client, "news")
            await sub(client, "news")
            await router.publish("news", 1)
            await client.receive()
            await nothing_more(client)

    run(main())


def test_a_connection_listens_to_so_many_topics_at_most(run):
    async def main():
        async with SocketTestClient(shop(max_topics=2)) as client:
            for n in (1, 2):
                assert (await sub(client, f"orders/{n}")).ok
            refused = await sub(client, "orders/3")
            assert (refused.status, refused.payload["code"]) == (403, "topic_limit")
            assert (await sub(client, "orders/2")).ok
            await client.request("$unsub", {"topic": "orders/1"})
            assert (await sub(client, "orders/3")).ok

    run(main())


def test_a_connection_that_ends_listens_no_more(run):
    async def main():
        router = shop()
        async with SocketTestClient(router) as client:
            await sub(client, "news")
            assert list(router._topics.hub.topics()) == ["news"]
        assert list(router._topics.hub.topics()) == []

    run(main())


# --- publishing by clients


def test_clients_publish_where_the_topic_lets_them(run):
    async def main():
        router = shop()

        async def only_new(event: Order, ws: WebSocket) -> bool:
            return event.state == "new"

        @router.topic("requests", event=Order, publish=only_new)
        async def requests() -> bool:
            return False

        async with SocketTestClient(router) as a, SocketTestClient(router) as b:
            await sub(a, "cursors")
            answer = await b.request("$pub", {"topic": "cursors", "payload": {"x": 1}})
            assert (answer.status, answer.payload) == (200, {})
            event = await a.receive()
            assert (event["headers"], event["payload"]) == ({}, {"x": 1})
            for topic, status in (("news", 403), ("nowhere", 404)):
                assert (await b.request("$pub", {"topic": topic, "payload": 1})).status == status
            wrong = await b.request("$pub", {"topic": "requests", "payload": {"number": "x"}})
            assert wrong.payload["detail"][0]["loc"] == ["payload", "payload", "number"]
            done = {"topic": "requests", "payload": {"number": 1, "state": "done"}}
            assert (await b.request("$pub", done)).status == 403
            new = {"topic": "requests", "payload": {"number": 1}, "message_id": "one"}
            first, again = await b.request("$pub", new), await b.request("$pub", new)
            assert first.payload == again.payload
            assert first.payload["offset"] == 1
        async with SocketTestClient(router, query={"cursor": "no"}) as client:
            answer = await client.request("$pub", {"topic": "cursors", "payload": 1})
            assert answer.status == 403

    run(main())


@pytest.mark.parametrize(
    ("error", "code"), [(Unavailable, "unavailable"), (Uncertain, "uncertain")]
)
def test_a_broker_that_is_away_is_no_fault_of_the_handlers(error, code, run):
    class Broken(MemoryBackend):
        async def publish(self, *arguments, **options):
            raise error("no answer")

        async def subscribe(self, topics):
            raise Unavailable("no answer")

    async def main():
        router = shop(backend=Broken())

        @router.route("say")
        async def say(payload):
            await router.publish("cursors", payload)

        @router.route("count")
        async def count(payload: int) -> AsyncIterator[int]:
            yield 1
            await router.publish("cursors", payload)

        async with SocketTestClient(router) as client:
            event = {"topic": "cursors", "payload": 1}
            for route, payload in (("say", 1), ("count", 1), ("$pub", event)):
                answer = await client.request(route, payload)
                assert (answer.status, answer.payload["code"]) == (503, code), route
            answer = await sub(client, "news")
            assert (answer.status, answer.payload["code"]) == (503, "unavailable")
            many = await client.request("$sub", {"topics": [{"topic": "news"}]})
            assert many.payload["topics"][0]["status"] == 503

    run(main())


# --- publishing by the server


@pytest.mark.parametrize(
    ("topic", "event", "error"),
    [
        ("nowhere", 1, LookupError),
        ("orders/x", 1, LookupError),
        ("orders/1", {"number": "x"}, TypeError),
        ("news", "x" * 2000, ValueError),
        ("", 1, ValueError),
        ("$sub", 1, ValueError),
        ("#news", 1, ValueError),
        ("@u:1", 1, ValueError),
        ("7", 1, ValueError),
    ],
)
def test_what_cannot_be_published_is_told(topic, event, error, run):
    async def main():
        with pytest.raises(error):
            await shop(max_event_bytes=1000).publish(topic, event)

    run(main())


def test_an_event_under_one_id_is_stored_once(run):
    async def main():
        router = shop()
        async with SocketTestClient(router) as client:
            await sub(client, "news")
            positions = {await router.publish("news", 1, message_id="m") for _ in range(3)}
            assert len(positions) == 1
            await client.receive()
            await nothing_more(client)

    run(main())


def test_included_routers_publish_to_those_around_them(run):
    async def main():
        inner, outer = SocketRouter(prefix="in/"), SocketRouter()
        outer.include(inner, prefix="out/")

        @inner.topic("news/{n}")
        async def news(n: int) -> bool:
            return n > 0

        async with SocketTestClient(outer) as client:
            assert (await sub(client, "out/in/news/1")).ok
            assert (await sub(client, "news/1")).status == 404
            await inner.publish("news/1", "hello")
            assert (await client.receive())["route"] == "out/in/news/1"
        later = SocketRouter()
        later.include(inner)
        async with SocketTestClient(later) as client:
            assert (await sub(client, "in/news/1")).ok

    run(main())


# --- listening in the server


def test_the_server_listens_as_clients_do(run):
    async def main():
        router = shop()
        async with router.subscribe("orders/1") as events:
            await router.publish("orders/1", Order(number=1))
            await router.publish("orders/1", Order(number=2))
            assert [(await anext(events)).number for _ in "ab"] == [1, 2]
            position = events.position
        await router.publish("orders/1", Order(number=3))
        async with router.subscribe("orders/1", since=position) as events:
            assert (await anext(events)).number == 3
        with pytest.raises(LookupError):
            router.subscribe("nowhere")
        await router.aclose()

    run(main())


def test_a_listener_in_the_server_that_is_slow_misses_nothing(run):
    async def main():
        router = SocketRouter()

        @router.topic("numbers", history=10_000)
        async def numbers() -> bool:
            return True

        async with router.subscribe("numbers") as events:
            for n in range(5000):
                await router.publish("numbers", n)
            assert [await anext(events) for _ in range(5000)] == list(range(5000))
            await router.publish("numbers", 5000)
            assert await anext(events) == 5000

    run(main())


def test_a_listener_in_the_server_is_told_of_a_gap(run):
    async def main():
        from fastapi_observable_socket import Gap

        router = SocketRouter()

        @router.topic("numbers", history=10)
        async def numbers() -> bool:
            return True

        async with router.subscribe("numbers") as events:
            for n in range(5000):
                await router.publish("numbers", n)
            heard = [await anext(events) for _ in range(1000)]
            assert heard == list(range(1000))
            router._topics.hub._channels["numbers"].ring.clear()
            with pytest.raises(Gap) as gap:
                await anext(events)
            assert gap.value.position.offset == 5000
            await router.publish("numbers", 5000)
            assert await anext(events) == 5000

    run(main())


# --- conflation


def test_of_many_events_the_latest_is_told_so_often(run):
    async def main():
        router = SocketRouter()

        @router.topic("price", conflate=20)
        async def price() -> bool:
            return True

        async with SocketTestClient(router) as client:
            await sub(client, "price")
            for n in range(100):
                await router.publish("price", n)
            first, last = await client.receive(), await client.receive()
            assert (first["payload"], last["payload"]) == (0, 99)
            await nothing_more(client)
            async with SocketTestClient(router) as late:
                back = await sub(late, "price", {**at(await sub(late, "price")), "offset": 90})
                assert len(back.payload["missed"]) == 10

    run(main())


# --- what cannot be


@pytest.mark.parametrize(
    "pattern", ["", "$sub", "PING", "#x", "@x", "a{b", "a}b", "{a}/{a}", "{1}", "7", "42"]
)
def test_a_name_that_no_topic_can_have_is_refused(pattern):
    with pytest.raises(ValueError, match="topic"):
        SocketRouter().topic(pattern)(lambda: True)


def test_names_of_digits_alone_are_those_of_the_servers_calls():
    async def by_number(n: int) -> bool:
        return True

    router = SocketRouter()
    for pattern in ("{n}", "1{n}", "{n}2"):
        with pytest.raises(ValueError, match="digits"):
            router.topic(pattern)(by_number)
    router.topic("n/{n}")(by_number)
    router.topic("{n}.txt")(by_number)


def test_a_topic_is_declared_once():
    router = shop()
    with pytest.raises(ValueError, match="already"):
        router.topic("orders/{other}")(lambda: True)
    outer = shop()
    with pytest.raises(ValueError, match="already"):
        outer.include(router)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda unknown: True, "'unknown' is unknown here"),
        (lambda *a: True, "given by name"),
        (7, "is no function"),
    ],
)
def test_a_function_that_can_never_be_called_is_refused(function, why):
    with pytest.raises(SignatureError, match=why):
        SocketRouter().topic("t/{name}")(function)


def test_dependencies_of_a_topic_are_closed_behind_its_answer_and_overridden(run):
    async def main():
        app, router, events = FastAPI(), SocketRouter(), []

        async def database():
            events.append("open")
            yield "db"
            events.append("closed")

        @router.topic("t/{n}")
        async def t(n: int, db: Annotated[str, Depends(database)]) -> bool:
            return db == "db"

        router.mount(app, "/ws")
        async with SocketTestClient(app) as client:
            assert (await sub(client, "t/1")).ok
            assert events == ["open", "closed"]
            app.dependency_overrides[database] = lambda: "other"
            assert (await sub(client, "t/1")).status == 403

    run(main())


def test_the_apps_shutdown_closes_the_hub(run):
    class Backend(MemoryBackend):
        closed = 0

        async def close(self):
            self.closed += 1
            await super().close()

    async def main():
        backend = Backend()
        app, router = FastAPI(), shop(backend=backend)
        router.mount(app, "/ws")
        async with SocketTestClient(app, lifespan=True) as client:
            await sub(client, "news")
        assert backend.closed == 1

    run(main())


def test_a_frame_as_an_older_client_writes_it(run):
    """`sendAndWait(new Message('$sub', {topic}))`, with the status that it always sends."""

    async def main():
        router = shop()
        async with SocketTestClient(router) as client:
            frame = {"uuid": "u1", "route": "$sub", "payload": {"topic": "news"}, "status": 200}
            await client.send_raw(json.dumps(frame))
            answer = await client.receive()
            assert (answer["uuid"], answer["status"]) == ("u1", 200)
            await router.publish("news", "extra")
            assert (await client.receive())["payload"] == "extra"

    run(main())


def test_a_cancelled_sub_leaves_no_subscription(run):
    async def main():
        router, arrived = SocketRouter(), asyncio.Event()

        @router.topic("slow")
        async def slow() -> int:
            arrived.set()
            await asyncio.Event().wait()

        async with SocketTestClient(router) as client:
            await client.push("$sub", {"topic": "slow"}, uuid="s")
            await asyncio.wait_for(arrived.wait(), 5)
            await client.push("$cancel", uuid="s")
            assert (await client.receive())["status"] == 499
            assert list(router._topics.hub.topics()) == []

    run(main())


@pytest.mark.parametrize("payload", [{"payload": "x"}, {"payload": None}, {}])
def test_who_may_publish_is_asked_whatever_the_event_is(run, payload):
    async def main():
        router = SocketRouter()

        def nobody(event: Any) -> bool:
            return False

        @router.topic("news", publish=nobody)
        async def news() -> bool:
            return True

        async with SocketTestClient(router, "/") as client:
            await sub(client, "news")
            assert (await client.request("$pub", {"topic": "news", **payload})).status == 403
            await nothing_more(client)

    run(main())


def test_who_may_not_come_back_may_not_stay(run):
    async def main():
        router, allowed = SocketRouter(), [True, False]

        @router.topic("news")
        async def news() -> bool:
            return allowed.pop(0)

        async with SocketTestClient(router, "/") as client:
            assert (await sub(client, "news")).status == 200
            assert (await sub(client, "news")).status == 403
            await router.publish("news", "secret")
            await nothing_more(client)

    run(main())


def test_what_one_answer_cannot_hold_is_lost_and_told(run):
    async def main():
        router = SocketRouter(max_response_bytes=1000)

        @router.topic("news")
        async def news() -> bool:
            return True

        first = await router.publish("news", "x")
        for _ in range(20):
            await router.publish("news", "x" * 100)
        async with SocketTestClient(router, "/") as client:
            back = await sub(client, "news", {"epoch": first.epoch, "offset": first.offset})
            assert (back.status, back.payload["recovered"], back.payload["missed"]) == (
                200,
                False,
                [],
            )
            await router.publish("news", "on")
            assert (await client.receive())["payload"] == "on"

    run(main())


def test_a_reader_that_is_further_takes_nothing_from_another_of_its_socket(run):
    async def main():
        router = shop()
        async with SocketTestClient(router, "/") as client:
            await sub(client, "news")
            backend = router._topics.hub.backend
            deliver, held = backend._on_message, []
            backend._on_message = held.append  # on its way to this process
            one = await router.publish("news", "one")
            await sub(client, "news", {"epoch": one.epoch, "offset": one.offset})
            backend._on_message = deliver
            for message in held:
                deliver(message)
            await router.publish("news", "two")
            assert [(await client.receive())["payload"] for _ in range(2)] == ["one", "two"]

    run(main())


def test_names_that_were_asked_about_leave_nothing_behind(run):
    async def main():
        router = shop(max_topics=1000)
        async with SocketTestClient(router, "/") as client:
            topics = [{"topic": f"orders/{n}"} for n in range(20, 520)]
            await client.request("$sub", {"topics": topics})
            position = at(await sub(client, "orders/20"))
        await router.aclose()
        async with SocketTestClient(router, "/") as client:
            # Nothing was there, so nothing is lost.
            assert (await sub(client, "orders/20", position)).payload["recovered"]
            backend = router._topics.hub.backend
            await backend.unsubscribe([f"orders/{n}" for n in range(520)])
            assert not backend._histories
        await router.aclose()

    run(main())
