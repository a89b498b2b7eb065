"""Who listens to a topic. Across workers: `contract/test_people.py`."""

import asyncio

import pytest
from fastapi import FastAPI
from starlette.websockets import WebSocket

from fastapi_observable_socket import Gap, Member, PresenceChange, SocketRouter
from fastapi_observable_socket.backends import MemoryBackend, Position, Unavailable
from fastapi_observable_socket.testing import SocketTestClient


def socket(router, user=None, **options):
    return SocketTestClient(router, scope={"user": user}, **options)


def house(**options):
    router = SocketRouter(**options)

    @router.topic("rooms/{room}", presence=True)
    async def rooms(room: int, ws: WebSocket) -> bool:
        return room != 13

    @router.topic("boards/{name}", presence=True, keep=False)
    async def boards(name: str) -> list[str]:
        return ["a note"]

    @router.topic("news")
    async def news() -> bool:
        return True

    return router


async def sub(client, *topics):
    answer = await client.request("$sub", {"topics": [{"topic": topic} for topic in topics]})
    return answer.payload["topics"]


async def there(router, topic="rooms/1"):
    return {m.user_id: m.sockets for m in await router.presence(topic).members()}


async def changes(client, count):
    """The next changes that a client is told of."""
    frames = [await client.receive() for _ in range(count)]
    assert {frame["route"] for frame in frames} == {"rooms/1/@presence"}
    return [
        (f["payload"]["event"], f["payload"]["user_id"], f["payload"]["sockets"]) for f in frames
    ]


async def nothing_more(client):
    await client.push("PING", uuid="nothing more")
    assert (await client.receive())["uuid"] == "nothing more"


def test_those_who_listen_are_there_each_user_once(run):
    async def main():
        router = house()
        presence = router.presence("rooms/1")
        assert (await presence.members(), await presence.count()) == ([], 0)
        async with socket(router, "ann") as a, socket(router, "bob") as b, socket(router) as nobody:
            async with socket(router, "ann") as again, socket(router) as other:
                for client in (a, b, nobody, again, other):
                    await sub(client, "rooms/1", "rooms/1", "rooms/2", "news")
                assert await there(router) == {"ann": 2, "bob": 1, None: 2}
                assert await presence.count() == 4
                members = await presence.members()
                assert isinstance(members[0], Member)
                assert [m.since for m in members] == sorted(m.since for m in members)
            assert await there(router) == {"ann": 1, "bob": 1, None: 1}
            await a.request("$unsub", {"topic": "rooms/1"})
            assert await there(router) == {"bob": 1, None: 1}
            assert await there(router, "rooms/2") == {"ann": 1, "bob": 1, None: 1}
        assert await presence.count() == 0
        await router.aclose()

    run(main())


def test_clients_are_told_who_is_there_and_who_comes_and_goes(run):
    async def main():
        router = house()
        async with socket(router, "eve") as watching:
            async with socket(router, "ann") as a:
                await sub(a, "rooms/1")
                (told,) = await sub(watching, "rooms/1/@presence")
                assert (told["status"], told["recovered"]) == (200, False)
                (member,) = told["snapshot"]
                assert member.keys() == {"user_id", "sockets", "since"}
                assert (member["user_id"], member["sockets"]) == ("ann", 1)
                async with socket(router, "ann") as again, socket(router, "bob") as b:
                    await sub(again, "rooms/1")
                    await sub(b, "rooms/1")
                    frame = await watching.receive()
                    assert frame["uuid"] == "#rooms/1/@presence"
                    assert frame["headers"]["$offset"] == told["offset"] + 1
                    assert frame["payload"] == {
                        "event": "join",
                        "user_id": "bob",
                        "sockets": 1,
                        "since": (await router.presence("rooms/1").members())[1].since,
                    }
                # One of ann's two is gone: nothing to tell.
                assert await changes(watching, 1) == [("leave", "bob", 0)]
            assert await changes(watching, 1) == [("leave", "ann", 0)]
            async with socket(router) as one, socket(router) as other:
                await sub(one, "rooms/1")
                await sub(other, "rooms/1")
                assert await changes(watching, 2) == [("join", None, 1), ("join", None, 2)]
            assert await changes(watching, 2) == [("leave", None, 1), ("leave", None, 0)]
            await nothing_more(watching)
        await router.aclose()

    run(main())


def test_who_comes_back_gets_the_changes_that_were_missed(run):
    async def main():
        router = house()
        async with socket(router, "eve") as client:
            (told,) = await sub(client, "rooms/1/@presence")
        async with socket(router, "ann") as a:
            await sub(a, "rooms/1")
            await router.presence("rooms/1").count()
        recover = {"epoch": told["epoch"], "offset": told["offset"]}
        async with socket(router, "eve") as client:
            answer = await client.request(
                "$sub", {"topic": "rooms/1/@presence", "recover": recover}
            )
            assert answer.payload["recovered"]
            assert "snapshot" not in answer.payload
            missed = [
                (m["payload"]["event"], m["payload"]["user_id"]) for m in answer.payload["missed"]
            ]
            assert missed == [("join", "ann"), ("leave", "ann")]
        await router.aclose()

    run(main())


def test_those_who_may_not_listen_may_not_know_who_does(run):
    async def main():
        router = house()
        async with socket(router, "ann") as client:
            names = ["rooms/13", "rooms/13/@presence", "news/@presence", "rooms/x/@presence"]
            names += ["/@presence", "rooms/1/@presence/@presence", "rooms/1/@presence/x"]
            told = await sub(client, *names)
            assert [t["status"] for t in told] == [403, 403, 404, 404, 404, 404, 404]
            event = {"topic": "rooms/1/@presence", "payload": {"event": "join"}}
            assert (await client.request("$pub", event)).status == 403
            assert await there(router, "rooms/13") == {}
        await router.aclose()

    run(main())


def test_no_topic_of_ones_own_has_the_name_of_a_presence(run):
    async def main():
        router = house()

        @router.topic("{name:path}", publish=True)
        async def anything(name: str) -> bool:
            return True

        with pytest.raises(ValueError, match="reserved"):
            router.topic("mine/@presence")(lambda: True)
        with pytest.raises(ValueError, match="reserved"):
            await router.publish("rooms/1/@presence", {"event": "join"})
        for topic in ("news", "nowhere"):
            with pytest.raises(LookupError):
                router.presence(topic)
        async with socket(router, "ann") as client:
            told = await sub(client, "any/thing", "any/thing/@presence")
            assert [t["status"] for t in told] == [200, 404]
        await router.aclose()

    run(main())


def test_who_is_refused_only_after_the_state_was_asked_for_was_never_there(run):
    async def main():
        router, ask = SocketRouter(), asyncio.Event()

        @router.topic("boards/{name}", presence=True)
        async def boards(name: str, ws: WebSocket) -> bool | list[str]:
            await ask.wait()
            return False if ws.scope["user"] == "eve" else ["a note"]

        async with (
            socket(router, "ann") as a,
            socket(router, "eve") as eve,
            router.presence("boards/b").changes() as told,
        ):
            ask.set()
            assert (await sub(eve, "boards/b"))[0]["status"] == 403
            assert (await sub(a, "boards/b"))[0]["snapshot"] == ["a note"]
            assert (await anext(told)).user_id == "ann"
        await router.aclose()

    run(main())


def test_who_says_later_who_they_are_is_there_by_that_name(run):
    async def main():
        router = house(authenticate=lambda token: token, allow_anonymous=True)
        async with SocketTestClient(router) as client:
            await client.hello()
            await sub(client, "rooms/1", "boards/b")
            assert await there(router) == {None: 1}
            assert (await client.request("$auth", {"token": "ann"})).ok
            assert await there(router) == await there(router, "boards/b") == {"ann": 1}
        assert await there(router) == {}
        await router.aclose()

    run(main())


def test_the_server_hears_of_changes(run):
    async def main():
        router = house()
        presence = router.presence("rooms/1")
        async with presence.changes() as told:
            async with socket(router, "ann") as client:
                await sub(client, "rooms/1")
                join = await anext(told)
                assert join == PresenceChange("join", "ann", 1, join.since)
                assert (await presence.members())[0] == Member("ann", 1, join.since)
                position = told.position
            assert await anext(told) == PresenceChange("leave", "ann", 0, join.since)
        async with presence.changes(since=position) as later:
            assert (await anext(later)).event == "leave"
        async with presence.changes(since=Position("other", 1)) as lost:
            with pytest.raises(Gap):
                await anext(lost)
        await router.aclose()

    run(main())


def test_an_included_routers_topic_is_that_of_those_around_it(run):
    async def main():
        inner, outer = house(), SocketRouter()
        outer.include(inner, prefix="in/")
        async with socket(outer, "ann") as client:
            await sub(client, "in/rooms/1")
            assert await there(inner) == await there(outer, "in/rooms/1") == {"ann": 1}
        await outer.aclose()

    run(main())


def test_a_backend_that_does_not_know_who_is_there_is_told_of_at_once():
    class Plain:
        remote = False

        async def start(self, *_): ...

    with pytest.raises(TypeError, match=r"'rooms/\{room\}' has presence, and Plain"):
        house(backend=Plain())
    outer = SocketRouter(backend=Plain())
    with pytest.raises(TypeError, match="Plain"):
        outer.include(house(), prefix="in/")
    SocketRouter(backend=Plain()).topic("news")(lambda: True)


def test_what_is_kept_for_presence_is_gone_with_the_sockets(run):
    async def main():
        router = house()
        app = FastAPI()
        router.mount(app, "/ws")
        async with SocketTestClient(app, scope={"user": "ann"}, lifespan=True) as client:
            await sub(client, "rooms/1", "rooms/2")
        attendance = router._topics.attendance
        assert not attendance._here
        assert not attendance._places
        assert not router._topics.hub.backend._people

    run(main())


# --- the broker


class Broker(MemoryBackend):
    """One that may be away, forget all, or take us for dead."""

    remote = True
    away = False

    async def start(self, on_message, on_state):
        self.on_state = on_state
        await super().start(on_message, on_state)

    async def announce(self, lease, entries):
        if self.away:
            raise Unavailable("away")
        await asyncio.sleep(0)
        return await super().announce(lease, entries)

    async def members(self, topic):
        if self.away:
            raise Unavailable("away")
        return await super().members(topic)

    def go(self):
        self.away = True
        self.on_state(False)

    def come(self):
        self.away = False
        self.on_state(True)


def test_after_a_broker_was_away_all_is_told_anew(run):
    async def main():
        broker = Broker()
        router = house(backend=broker)
        async with socket(router, "ann") as a, socket(router, "bob") as b:
            await sub(a, "rooms/1")
            await sub(b, "rooms/1")
            assert await there(router) == {"ann": 1, "bob": 1}
            broker.go()
            await b.request("$unsub", {"topic": "rooms/1"})
            with pytest.raises(Unavailable):
                await router.presence("rooms/1").members()
            broker.come()
            assert await there(router) == {"ann": 1}
            broker.go()
            broker._leases.clear()
            broker._people.clear()
            broker.come()
            assert await there(router) == {"ann": 1}
            assert len(broker._leases) == 1
        await router.aclose()
        assert not broker._leases

    run(main())


def test_a_worker_that_was_taken_for_dead_says_that_it_is_not(run, monkeypatch):
    from fastapi_observable_socket import _attendance

    monkeypatch.setattr(_attendance, "BEAT", 0.02)

    async def main():
        broker = Broker()
        router = house(backend=broker)
        async with socket(router, "ann") as a, router.presence("rooms/1").changes() as told:
            await sub(a, "rooms/1")
            assert (await anext(told)).event == "join"
            for lease in list(broker._leases):
                await broker.reap(lease)
            assert [(await anext(told)).event for _ in "ab"] == ["leave", "join"]
            assert await there(router) == {"ann": 1}
        await router.aclose()

    run(main())


def test_what_is_refused_for_a_while_is_told_at_last(run):
    async def main():
        broker = Broker()
        router = house(backend=broker)
        async with socket(router, "ann") as a, router.presence("rooms/1").changes() as told:
            broker.away = True
            await sub(a, "rooms/1")
            await asyncio.sleep(0)
            broker.away = False
            assert (await anext(told)).user_id == "ann"
        await router.aclose()

    run(main())


def test_coming_and_going_all_the_time_ends_as_it_is(run):
    async def main():
        broker = Broker()
        router = house(backend=broker)
        async with router.presence("rooms/1").changes() as told:
            async with socket(router, "ann") as a, socket(router, "bob") as b:
                for n in range(200):
                    await sub(a, "rooms/1")
                    if n % 3:
                        await sub(b, "rooms/1")
                    await a.request("$unsub", {"topic": "rooms/1"})
                    if n % 5:
                        await b.request("$unsub", {"topic": "rooms/1"})
                await sub(b, "rooms/1")
                assert await there(router) == {"bob": 1}
            await there(router)
            events = {"ann": [], "bob": []}
            while events["bob"].count("leave") == 0 or told._waiting:
                change = await anext(told)
                events[change.user_id].append(change.event)
            for heard in events.values():
                assert heard == ["join", "leave"] * (len(heard) // 2)
        await router.aclose()

    run(main())
