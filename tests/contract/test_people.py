"""Users and presence across workers: two routers are two workers, on a real Redis."""

import asyncio
import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import fastapi_observable_socket
from fastapi_observable_socket import (
    CallsNotTakenError,
    Events,
    Gap,
    NotConnected,
    Publisher,
    Response,
    ResponseError,
    SocketRouter,
    SocketTimeoutError,
    _attendance,
)
from fastapi_observable_socket.backends import Keep, Unavailable
from fastapi_observable_socket.backends.redis import RedisBackend
from fastapi_observable_socket.client import connect
from fastapi_observable_socket.testing import SocketClosed, SocketTestClient

from .traffic import PATIENT, until

ROOT = str(Path(fastapi_observable_socket.__file__).parents[1])
TIMES = {"command_timeout": 0.6, "probe_every": 0.3}


class Order(BaseModel):
    state: str


def worker(url: str, prefix: str, **options: Any) -> SocketRouter:
    router = SocketRouter(backend=RedisBackend(url, prefix=prefix, **TIMES), **options)

    @router.topic("room", presence=True)
    async def room() -> bool:
        return True

    @router.topic("orders/{number}", event=Order, history=3)
    async def orders(number: int) -> bool:
        return True

    return router


@asynccontextmanager
async def workers(
    url: str, count: int = 2, prefix: str = "", **options: Any
) -> AsyncIterator[tuple[SocketRouter, ...]]:
    prefix = prefix or secrets.token_hex(4)
    made = [worker(url, prefix, **options) for _ in range(count)]
    try:
        yield tuple(made)
    finally:
        for router in made:
            await router.aclose()


@asynccontextmanager
async def socket_of(user: Any, router: SocketRouter) -> AsyncIterator[SocketTestClient]:
    """One that is listened for by now, if it is anybody's."""
    async with SocketTestClient(router, scope={"user": user}) as client:
        await client.hello()
        if user is not None:
            await router._topics.hub.settled(f"@u:{user}")
        yield client


async def present(client: SocketTestClient) -> dict[str, Any]:
    answer = await client.request("$sub", {"topic": "room"})
    assert answer.ok, answer.payload
    return answer.payload


async def there(router: SocketRouter) -> dict[Any, int]:
    return {m.user_id: m.sockets for m in await router.presence("room").members()}


async def until_there(router: SocketRouter, users: dict[Any, int]) -> None:
    found: Any = None

    async def look() -> None:
        nonlocal found
        try:
            found = await there(router)
        except Unavailable:
            found = None

    await until(lambda: found == users, look)


async def until_gap(events: Events) -> None:
    with contextlib.suppress(Gap):
        async with asyncio.timeout(PATIENT):
            while True:
                await anext(events)


async def changed(told: Events, fact: Callable[[set[str]], Any], event: str) -> set[str]:
    """Those who joined, or left, and did not do the other thing after it."""
    users: set[str] = set()
    while not fact(users):
        change = await anext(told)
        (users.add if change.event == event else users.discard)(change.user_id)
    return users


# --- pushes, calls, closes


def test_a_push_reaches_the_sockets_of_a_user_on_all_workers_in_one_order(run, shared_redis):
    async def main():
        async with workers(shared_redis.url, 3) as (a, b, c):
            async with socket_of("ann", a) as one, socket_of("ann", b) as two:
                assert await c.user("ann").push("first") == 2
                pushes = [r.user("ann").push("news", n) for n in range(50) for r in (a, b, c)]
                assert await asyncio.gather(*pushes) == [2] * 150
                heard = [[(await s.receive())["payload"] for _ in range(151)] for s in (one, two)]
                assert heard[0] == heard[1]
                assert await c.user("bob").push("news") == 0
            async with asyncio.timeout(10):
                while await c.user("ann").push("news"):  # noqa: ASYNC110  # they are leaving
                    await asyncio.sleep(0.01)

    run(main())


def test_the_first_good_answer_of_any_worker_wins_and_the_others_are_told(run, shared_redis):
    async def main():
        async with (
            workers(shared_redis.url, 3) as (a, b, c),
            socket_of("ann", a) as one,
            socket_of("ann", b) as two,
        ):
            one.handle("confirm", lambda question: {"sure": question})
            answer = await c.user("ann").call("confirm", "really", headers={"h": 1})
            assert answer == {"sure": "really"}
            asked = await two.receive()
            assert (asked["route"], asked["headers"]) == ("confirm", {"h": 1})
            told = await two.receive()
            assert (told["uuid"], told["route"]) == (asked["uuid"], "$cancel")

    run(main())


def test_where_all_workers_fail_the_last_failure_is_told(run, shared_redis):
    async def main():
        async with workers(shared_redis.url, 3) as (a, b, c):
            user = c.user("ann")
            with pytest.raises(NotConnected):
                await user.call("confirm", timeout=1e6)
            async with SocketTestClient(a, scope={"user": "ann"}) as old:
                assert (await old.request("nothing")).status == 404
                await a._topics.hub.settled("@u:ann")
                with pytest.raises(CallsNotTakenError):
                    await user.call("confirm", timeout=1e6)
                async with socket_of("ann", b) as two:
                    refused = Response(0, 409, {"x": 1}, {"message": "no", "code": "busy"})
                    two.handle("confirm", lambda _: refused)
                    with pytest.raises(ResponseError) as failed:
                        await user.call("confirm", timeout=1e6)
                    error = failed.value
                    assert (error.status, error.code, error.headers) == (409, "busy", {"x": 1})
                    with pytest.raises(SocketTimeoutError):
                        await user.call("nobody answers this", timeout=0.1)
                    assert (await two.receive())["route"] == "nobody answers this"
                    assert (await two.receive())["route"] == "$cancel"

    run(main())


def test_the_sockets_of_a_user_are_closed_on_all_workers(run, shared_redis):
    async def main():
        async with workers(shared_redis.url, 3) as (a, b, c), socket_of("bob", a) as other:
            async with socket_of("ann", a) as one, socket_of("ann", b) as two:
                assert await c.user("ann").push("bye") == 2
                assert await c.user("ann").close(1008, "signed out everywhere") == 2
                for client in (one, two):
                    assert (await client.receive())["route"] == "bye"
                    with pytest.raises(SocketClosed, match="1008 'signed out everywhere'"):
                        await client.receive()
            assert (await other.request("nothing")).status == 404

    run(main())


def test_a_broker_that_is_away_is_told_of_and_nobody_is_deaf_afterwards(run, own_redis):
    async def main():
        async with workers(own_redis.url) as (a, b), socket_of("ann", a) as one:
            assert await b.user("ann").push("news") == 1
            assert (await one.receive())["route"] == "news"
            own_redis.kill()
            await until(lambda: not a._topics.hub.up and not b._topics.hub.up)
            user = b.user("ann")
            for ask in (user.push("news"), user.call("confirm", timeout=1e6), user.close()):
                with pytest.raises(Unavailable):
                    await ask
            async with socket_of("bob", a) as two:  # it comes in all the same
                await asyncio.to_thread(own_redis.start)
                await until(lambda: a._topics.hub.up and b._topics.hub.up)
                for name, client in (("ann", one), ("bob", two)):
                    await a._topics.hub.settled(f"@u:{name}")
                    assert await b.user(name).push("news") == 1
                    assert (await client.receive())["route"] == "news"
                    client.handle("confirm", lambda _: "yes")
                    assert await b.user(name).call("confirm") == "yes"

    run(main())


def test_a_first_broker_that_comes_late_is_heard_of(run, own_redis):
    async def main():
        own_redis.kill()
        async with workers(own_redis.url) as (a, b), socket_of("ann", a) as one:
            with pytest.raises(Unavailable):
                await b.user("ann").push("news")
            await asyncio.to_thread(own_redis.start)
            await until(lambda: a._topics.hub.up and b._topics.hub.up)
            await a._topics.hub.settled("@u:ann")
            assert await b.user("ann").push("news") == 1
            assert (await one.receive())["route"] == "news"

    run(main())


WORKER = """
import asyncio, sys
sys.path.insert(0, sys.argv[3])
from fastapi_observable_socket import SocketRouter, _attendance
from fastapi_observable_socket.backends.redis import RedisBackend
from fastapi_observable_socket.testing import SocketTestClient

async def main():
    _attendance.LEASE, _attendance.BEAT = 1.0, 0.2
    router = SocketRouter(backend=RedisBackend(sys.argv[1], prefix=sys.argv[2]))
    router.topic("room", presence=True)(lambda: True)
    sockets = [SocketTestClient(router, scope={"user": f"u{n}"}) for n in range(20)]
    for socket in sockets:
        await socket.__aenter__()
        await socket.hello()
        await socket.request("$sub", {"topic": "room"})
        await router._topics.hub.settled("@u:u0")
    print(await router.presence("room").count(), flush=True)
    print((await sockets[0].receive())["route"], flush=True)  # asked, it says nothing
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def a_process(url: str, prefix: str) -> AsyncIterator[asyncio.subprocess.Process]:
    program = (sys.executable, "-c", WORKER, url, prefix, ROOT)
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def test_a_question_to_a_worker_that_dies_ends_at_its_deadline(run, shared_redis):
    async def main():
        async with (
            workers(shared_redis.url, 1, "dies") as (a,),
            a_process(shared_redis.url, "dies") as process,
        ):
            assert await process.stdout.readline() == b"20\n"
            asking = asyncio.create_task(a.user("u0").call("confirm", timeout=2))
            assert await process.stdout.readline() == b"confirm\n"
            process.kill()
            await process.wait()
            with pytest.raises(SocketTimeoutError) as late:
                await asking
            assert late.value.sent
            with pytest.raises(NotConnected):
                await a.user("u0").call("confirm", timeout=1e6)

    run(main())


# --- presence


def test_a_worker_that_is_killed_has_left_with_all_its_users(run, shared_redis, monkeypatch):
    monkeypatch.setattr(_attendance, "BEAT", 0.2)

    async def main():
        async with workers(shared_redis.url, 2, "killed") as (a, b), socket_of("u0", a) as stays:
            await present(stays)
            async with b.presence("room").changes() as told:
                async with a_process(shared_redis.url, "killed") as process:
                    assert await process.stdout.readline() == b"20\n"
                    here = await changed(told, lambda joined: len(joined) == 19, "join")
                    assert here == {f"u{n}" for n in range(1, 20)}
                    assert await there(b) == {f"u{n}": 2 if n == 0 else 1 for n in range(20)}
                    process.kill()
                    await process.wait()
                here -= await changed(told, lambda left: len(left) == 19, "leave")
                assert not here
                assert await there(a) == await there(b) == {"u0": 1}

    run(main())


def test_a_broker_that_forgot_who_is_there_is_told_again(run, own_redis):
    async def main():
        async with (
            workers(own_redis.url) as (a, b),
            socket_of("ann", a) as one,
            socket_of("bob", b) as two,
            socket_of(None, b) as three,
            b.presence("room").changes() as told,
        ):
            for client in (one, two, three):
                await present(client)
            everybody = {"ann": 1, "bob": 1, None: 1}
            await until_there(a, everybody)
            own_redis.kill()
            await until(lambda: not a._topics.hub.up and not b._topics.hub.up)
            await three.request("$unsub", {"topic": "room"})
            await asyncio.to_thread(own_redis.start)
            for router in (a, b):
                await until_there(router, {"ann": 1, "bob": 1})
            await until_gap(told)
            await one.request("$unsub", {"topic": "room"})
            while (change := await anext(told)).event == "join":
                pass
            assert (change.event, change.user_id) == ("leave", "ann")

    run(main())


def test_a_worker_that_was_held_up_for_long_comes_back_to_where_it_was(
    run, shared_redis, monkeypatch
):
    """It is taken for dead meanwhile, and that is no end."""
    monkeypatch.setattr(_attendance, "BEAT", 0.1)

    async def main():
        async with (
            workers(shared_redis.url, 2, "held up") as (a, b),
            a_process(shared_redis.url, "held up") as process,
        ):
            assert await process.stdout.readline() == b"20\n"
            process.send_signal(signal.SIGSTOP)
            async with socket_of("ann", a) as one:
                await present(one)
                await until_there(b, {"ann": 1})
            process.send_signal(signal.SIGCONT)
            await until_there(b, {f"u{n}": 1 for n in range(20)})

    run(main())


def test_a_worker_that_ends_in_order_is_gone_at_once(run, shared_redis):
    async def main():
        async with workers(shared_redis.url) as (a, b), socket_of("ann", a) as one:
            await present(one)
            await until_there(b, {"ann": 1})
            await a.aclose()
            assert await there(b) == {}
            await a.user("ann").push("news")  # it is used again
            await until_there(b, {"ann": 1})

    run(main())


def test_coming_and_going_on_two_workers_ends_as_it_is(run, shared_redis):
    async def main():
        chance = random.Random(11)
        async with (
            workers(shared_redis.url, 3) as (a, b, c),
            c.presence("room").changes() as told,
        ):

            async def come_and_go(router: SocketRouter, user: str) -> None:
                for _ in range(30):
                    async with socket_of(user, router) as client:
                        await present(client)
                        if chance.random() < 0.5:
                            await asyncio.sleep(0.002 * chance.random())

            users = ["ann", "bob", None]
            await asyncio.gather(*(come_and_go(r, u) for r in (a, b) for u in users))
            async with socket_of("ann", a) as last:
                await present(last)
                await until_there(c, {"ann": 1})
            await until_there(c, {})
            async with socket_of("eve", b) as last:
                await present(last)
                heard: dict[Any, list[Any]] = {user: [] for user in users}
                while (change := await anext(told)).user_id != "eve":
                    heard[change.user_id].append(change)
            for user in ("ann", "bob"):
                events = [change.event for change in heard[user]]
                assert events == ["join", "leave"] * (len(events) // 2)
                assert events
            counts = [0, *(change.sockets for change in heard[None])]
            assert counts[-1] == 0
            for before, change in zip(counts, heard[None], strict=False):
                assert (change.event == "join") == (change.sockets > before)

    run(main())


@pytest.mark.slow
def test_five_thousand_members(run, own_redis, monkeypatch, capsys):
    monkeypatch.setattr(_attendance, "BEAT", 0.1)

    async def main():
        loop = asyncio.get_running_loop()
        async with workers(own_redis.url) as (a, b):
            hub, attendance = a._topics.hub, a._topics.attendance
            await hub.ready()
            await b.presence("room").members()
            began = loop.time()
            for n in range(5000):
                attendance._count("room", f"user {n}", 1)
            await attendance.members("another")
            joined = loop.time() - began
            began = loop.time()
            assert len(await b.presence("room").members()) == 5000
            asked = loop.time() - began
            assert await b.presence("room").count() == 5000
            began = loop.time()
            await hub.backend.reap(attendance._lease)
            reaped = loop.time() - began
            await until_there(b, {f"user {n}": 1 for n in range(5000)})  # it was not dead
            with capsys.disabled():
                print(
                    f"\n5,000 members: joined in {joined:.2f} s, listed in {asked:.3f} s, "
                    f"reaped in {reaped:.2f} s"
                )

    run(main())


# --- publishers


def test_a_publisher_elsewhere_reaches_those_who_listen(run, shared_redis):
    async def main():
        backend = RedisBackend(shared_redis.url, prefix="published", **TIMES)
        async with (
            workers(shared_redis.url, 2, "published") as (a, b),
            socket_of("ann", a) as one,
            socket_of("bob", b) as two,
            Publisher(backend) as publisher,
        ):
            for client in (one, two):
                start = await client.request("$sub", {"topic": "orders/42"})
                assert start.ok
            keep = Keep(3, 300)
            position = await publisher.publish(
                "orders/42", Order(state="paid"), message_id="m", keep=keep
            )
            again = await publisher.publish("orders/42", {"state": "x"}, message_id="m", keep=keep)
            assert again == position
            for client in (one, two):
                event = await client.receive()
                assert event["payload"] == {"state": "paid"}
                assert event["headers"] == {"$epoch": position.epoch, "$offset": position.offset}
            after = await b.publish("orders/42", Order(state="sent"))
            assert after == position._replace(offset=position.offset + 1)
            assert [(await s.receive())["payload"]["state"] for s in (one, two)] == ["sent"] * 2

            assert await publisher.user("ann").push("news") == 1
            assert (await one.receive())["route"] == "news"
            one.handle("confirm", lambda _: "yes")
            assert await publisher.user("ann").call("confirm") == "yes"
            assert await publisher.user("ann").close(1012, "again") == 1
            with pytest.raises(SocketClosed, match="1012"):
                await one.receive()
            assert await publisher.user("nobody").push("news") == 0

    run(main())


# --- without a broker


APP = """
from fastapi import FastAPI
from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


@router.topic("news")
async def news() -> bool:
    return True


router.mount(app, "/ws")
"""


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_several_workers_without_a_broker_are_warned_of(count, run, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    program += ["--workers", str(count)]
    env = {**os.environ, "PYTHONPATH": ROOT}
    log, address = tmp_path / "log", f"ws://127.0.0.1:{port}/ws"

    async def main():
        async with asyncio.timeout(60), connect(address, open_timeout=60) as client:
            await client.call("$sub", {"topic": "news"})

    with log.open("w") as file:
        server = subprocess.Popen(program, cwd=tmp_path, env=env, stdout=file, stderr=file)
        try:
            run(main())
        finally:
            server.terminate()
            server.wait(20)
    assert log.read_text().count("topics are kept in the memory of each worker") == (count > 1)
