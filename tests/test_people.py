"""Users, wherever their sockets are. Across workers: `contract/test_people.py`."""

import asyncio
import json

import pytest
from pydantic import BaseModel

from fastapi_observable_socket import (
    CallsNotTakenError,
    Connection,
    ConnectionLostError,
    MisfitError,
    NotConnected,
    Response,
    ResponseError,
    SocketRouter,
    SocketTimeoutError,
)
from fastapi_observable_socket._errors import ResponseTooLarge, Unserialisable
from fastapi_observable_socket.backends import MemoryBackend, Unavailable, Uncertain
from fastapi_observable_socket.testing import SocketClosed, SocketTestClient


def socket(router, user, **options):
    return SocketTestClient(router, scope={"user": user}, **options)


async def settled():
    for _ in range(30):
        await asyncio.sleep(0)


async def eventually(fact):
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110  # facts of all kinds
            await asyncio.sleep(0.005)


def listens(router):
    return sorted(router._topics.hub.topics())


# --- pushes


def test_a_push_reaches_all_sockets_of_the_user_and_nobody_else(run):
    async def main():
        router = SocketRouter()
        async with (
            socket(router, "ann") as a,
            socket(router, "ann") as b,
            socket(router, "bob") as c,
        ):
            assert await router.user("ann").push("news", {"n": 1}, {"h": 2}) == 1
            expected = {"uuid": "#", "route": "news", "headers": {"h": 2}, "payload": {"n": 1}}
            assert await a.receive() == await b.receive() == expected
            assert await router.user("bob").push("more") == 1
            assert (await c.receive())["route"] == "more"
            assert await router.user("eve").push("news") == 0
        await settled()
        assert await router.user("ann").push("news") == 0
        await router.aclose()

    run(main())


def test_users_are_listened_for_from_the_first_socket_to_the_last(run):
    async def main():
        router = SocketRouter()
        assert listens(router) == []
        async with socket(router, {"id": 7}):
            async with socket(router, 7), socket(router, None), socket(router, "x" * 1000):
                assert listens(router) == ["@u:7", "@u:" + "x" * 1000]
            assert listens(router) == ["@u:7"]
        assert listens(router) == []
        await router.aclose()

    run(main())


def test_who_says_later_who_they_are_is_listened_for_from_then_on(run):
    async def main():
        router = SocketRouter(authenticate=lambda token: token, allow_anonymous=True)
        async with SocketTestClient(router) as client:
            await client.hello()
            assert listens(router) == []
            assert (await client.request("$auth", {"token": "ann"})).ok
            assert listens(router) == ["@u:ann"]
            assert (await client.request("$auth", {"token": "ann"})).ok
            assert await router.user("ann").push("news") == 1
            assert (await client.receive())["route"] == "news"
        await router.aclose()

    run(main())


def test_a_name_that_is_no_text_is_a_users_all_the_same(run):
    async def main():
        router, odd = SocketRouter(), "\ud800 \u2603\n"
        async with socket(router, odd) as client:
            assert await router.user(odd).push("news") == 1
            assert router.connections.push("more", user_id=odd) == 1
            assert [(await client.receive())["route"] for _ in "ab"] == ["news", "more"]
        await router.aclose()

    run(main())


def test_an_included_router_reaches_the_users_of_those_around_it(run):
    async def main():
        inner, middle, outer, apart = (SocketRouter() for _ in range(4))
        middle.include(inner)
        outer.include(middle, prefix="a/")
        outer.include(inner, prefix="b/")  # on two ways
        apart.include(inner)
        async with socket(outer, "ann") as client, socket(apart, "ann") as other:
            client.handle("sum", sum)
            await client.hello()
            assert await inner.user("ann").push("news") == 2
            assert (await client.receive())["route"] == "news"
            assert (await other.receive())["route"] == "news"
            assert await inner.user("ann").call("sum", [1, 2]) == 3
            await inner.user("ann").push("last")
            assert (await client.receive())["route"] == "last"
            with pytest.raises(NotConnected):
                await inner.user("bob").call("sum", [1, 2])
        for router in (outer, apart):
            await router.aclose()

    run(main())


def test_what_cannot_be_said_is_told_before_anybody_hears_of_it(run):
    async def main():
        user = SocketRouter(max_pushed_bytes=1000).user("ann")
        for ask in (user.push, user.call):
            with pytest.raises(ValueError, match="reserved"):
                await ask("$sub")
            with pytest.raises(Unserialisable):
                await ask("news", object())
            with pytest.raises(Unserialisable):
                await ask("news", 1, headers={"h": float("nan")})
            with pytest.raises(ResponseTooLarge):
                await ask("news", "x" * 2000)
        for timeout in (None, -1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="time"):
                await user.call("news", timeout=timeout)
        for code in (0, 99, 5000, "1000", True):
            with pytest.raises(ValueError, match="close code"):
                await user.close(code)

    run(main())


# --- closing


def test_all_sockets_of_a_user_are_closed_behind_what_was_pushed(run):
    async def main():
        router = SocketRouter()
        async with socket(router, "bob") as other:
            async with socket(router, "ann") as a, socket(router, "ann") as b:
                assert await router.user("ann").push("bye") == 1
                assert await router.user("ann").close(1008, "banned") == 1
                for client in (a, b):
                    assert (await client.receive())["route"] == "bye"
                    with pytest.raises(SocketClosed) as closed:
                        await client.receive()
                    assert (closed.value.code, closed.value.reason) == (1008, "banned")
            assert await router.user("ann").close() == 0
            assert (await other.request("nothing")).status == 404
        await router.aclose()

    run(main())


# --- calls


class Answer(BaseModel):
    yes: bool


def test_the_first_good_answer_is_that_of_the_user_and_the_others_are_told_so(run):
    async def main():
        router = SocketRouter()
        async with (
            socket(router, "ann") as a,
            socket(router, "ann") as b,
            socket(router, "ann") as c,
        ):
            for client in (a, b):
                await client.hello()
            a.handle("confirm", lambda _: Response(0, 403, {}, {"message": "not mine"}))
            asking = asyncio.create_task(
                router.user("ann").call("confirm", "sure?", headers={"h": 1}, result=Answer)
            )
            question = await b.receive()
            assert (question["route"], question["payload"]) == ("confirm", "sure?")
            assert question["headers"] == {"h": 1}
            assert not asking.done()
            c.handle("confirm", lambda _: {"yes": True})
            await b.send_raw(
                f'{{"uuid": "{question["uuid"]}", "status": 200, "payload": {{"yes": true}}}}'
            )
            assert await asking == Answer(yes=True)

            await c.hello()
            asking = asyncio.create_task(router.user("ann").call("confirm"))
            question = await b.receive()
            assert await asking == {"yes": True}
            told = await b.receive()
            assert (told["uuid"], told["route"]) == (question["uuid"], "$cancel")
        await router.aclose()

    run(main())


def test_where_all_fail_the_last_failure_is_told(run):
    async def main():
        router = SocketRouter()
        async with socket(router, "ann") as a, socket(router, "ann") as b:
            user = router.user("ann")
            with pytest.raises(CallsNotTakenError):
                await user.call("confirm", timeout=60)
            await a.hello()
            await b.hello()
            a.handle("confirm", lambda _: Response(0, 404, {}, None))
            asking = asyncio.create_task(user.call("confirm", timeout=60))
            question = await b.receive()
            refused = {
                "status": 409,
                "headers": {"x": 1},
                "payload": {"message": "no", "code": "n"},
            }
            await b.send_raw(json.dumps({"uuid": question["uuid"], **refused}))
            with pytest.raises(ResponseError, match="no") as failed:
                await asking
            error = failed.value
            assert (error.status, error.code, error.headers) == (409, "n", {"x": 1})
            asking = asyncio.create_task(user.call("confirm", timeout=60))
            await b.receive()
            await b.disconnect()
            with pytest.raises(ConnectionLostError) as lost:
                await asking
            assert lost.value.sent
            a.handle("confirm", lambda _: {"yes": "perhaps"})
            with pytest.raises(MisfitError):
                await user.call("confirm", result=Answer)
        await router.aclose()

    run(main())


def test_a_user_who_is_nowhere_is_told_of_at_once(run):
    async def main():
        router = SocketRouter()
        with pytest.raises(NotConnected, match="nowhere") as nowhere:
            await router.user("ann").call("confirm", timeout=1e9)
        assert isinstance(nowhere.value, ConnectionLostError)
        assert not nowhere.value.sent
        await router.aclose()

    run(main())


def test_a_question_ends_at_its_deadline_or_with_who_asked_and_the_client_is_told(run):
    async def main():
        router = SocketRouter()
        async with socket(router, "ann") as client:
            await client.hello()
            with pytest.raises(SocketTimeoutError) as late:
                await router.user("ann").call("confirm", timeout=0.05)
            assert late.value.sent
            assert (await client.receive())["route"] == "confirm"
            assert (await client.receive())["route"] == "$cancel"
            asking = asyncio.create_task(router.user("ann").call("confirm"))
            assert (await client.receive())["route"] == "confirm"
            asking.cancel()
            assert (await client.receive())["route"] == "$cancel"
            assert not router._post._waiting
            await settled()
            assert not router._people._asking
        await router.aclose()

    run(main())


def test_a_handler_asks_the_user_it_serves(run):
    async def main():
        router = SocketRouter(max_in_flight=1)

        @router.route("delete")
        async def delete(connection: Connection):
            return await router.user(connection.user_id).call("confirm", timeout=60)

        async with socket(router, "ann") as client:
            await client.hello()
            client.handle("confirm", lambda _: "yes")
            assert (await client.request("delete")).payload == "yes"
        await router.aclose()

    run(main())


# --- the broker


class Broker(MemoryBackend):
    """One that may be away, lose answers, and wait before it confirms."""

    remote = True

    def __init__(self):
        super().__init__()
        self.error = None

    async def start(self, on_message, on_state):
        self.on_state = on_state
        await super().start(on_message, on_state)

    async def publish(self, topic, data, *, keep, message_id=""):
        if self.error is not None:
            raise self.error
        return await super().publish(topic, data, keep=keep, message_id=message_id)

    async def subscribe(self, topics):
        if self.error is not None:
            raise self.error
        await super().subscribe(topics)

    def go(self):
        self.error = Unavailable("away")
        self._subscribed.clear()
        self.on_state(False)

    def come(self):
        self.error = None
        self.on_state(True)


@pytest.mark.parametrize("error", [Unavailable, Uncertain])
def test_a_broker_that_does_not_do_it_is_told_of(error, run):
    async def main():
        broker = Broker()
        router = SocketRouter(backend=broker)
        async with socket(router, "ann") as client:
            await client.hello()
            user = router.user("ann")
            await user.push("news")
            await client.receive()
            await router._topics.hub.attach(f"@w:{router._topics.hub.id}", router._post)
            broker.error = error("no answer")
            for ask in (user.push("news"), user.call("confirm", timeout=60), user.close()):
                with pytest.raises(error):
                    await ask
            broker.error = None
            assert await user.push("last") == 1
            assert (await client.receive())["route"] == "last"
        await router.aclose()

    run(main())


def test_who_comes_while_the_broker_is_away_is_found_when_it_is_back(run):
    async def main():
        broker = Broker()
        router = SocketRouter(backend=broker)
        async with socket(router, "ann"):
            await router._topics.hub.ready()
            broker.go()
            async with socket(router, "bob") as client:
                assert (await client.request("nothing")).status == 404
                with pytest.raises(Unavailable):
                    await router.user("bob").push("news")
                broker.come()
                assert await router.user("bob").push("news") == 1
                assert (await client.receive())["route"] == "news"
                assert await router.user("ann").push("news") == 1
            broker.go()
        broker.come()
        await settled()
        assert await router.user("bob").push("news") == 0
        await router.aclose()

    run(main())


def test_a_router_that_was_closed_and_is_used_again_is_not_deaf(run):
    async def main():
        router = SocketRouter()
        async with socket(router, "ann") as client:
            await router.user("ann").push("one")
            await router.aclose()
            await router.user("bob").push("none")
            assert await router.user("ann").push("two") == 1
            assert [(await client.receive())["route"] for _ in "ab"] == ["one", "two"]
        await router.aclose()

    run(main())


def test_what_is_no_letter_of_ours_is_logged_and_harms_nobody(run, caplog):
    async def main():
        router = SocketRouter()
        async with socket(router, "ann") as client:
            await settled()
            for data in (b"{", b'{"do": "dance"}', b'{"do": "push"}'):
                await router._topics.hub.publish("@u:ann", data, None)
            await router._topics.hub.publish("@u:bob", b"{", None)
            await router.user("ann").push("news")
            assert (await client.receive())["route"] == "news"
        await router.aclose()

    run(main())
    assert caplog.text.count("a listener failed") == 3


def test_a_question_that_comes_when_the_user_has_just_left_is_answered(run):
    class Late(MemoryBackend):
        """Unsubscribes when it is let."""

        def __init__(self):
            super().__init__()
            self.door = asyncio.Event()

        async def unsubscribe(self, topics):
            await self.door.wait()
            await super().unsubscribe(topics)

    async def main():
        backend = Late()
        router = SocketRouter(backend=backend)
        with pytest.raises(NotConnected):
            await router.user("ann").call("confirm")
        async with socket(router, "ann") as client:
            await client.hello()
        await settled()
        assert "@u:ann" in backend._subscribed
        with pytest.raises(NotConnected):
            await router.user("ann").call("confirm", timeout=60)
        backend.door.set()
        await router.aclose()

    run(main())
