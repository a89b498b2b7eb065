"""Several real worker processes and a real Redis: who listens in one hears what any publishes."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from fastapi_observable_socket.client import connect

from .redis_server import RedisServer
from .traffic import until
from .workers import Follower, Idler, Numbers, Workers, following, visitor


ROOT = Path(__file__).parents[2]


@pytest.fixture
def redis(tmp_path):
    with RedisServer(tmp_path) as server:
        yield server


def complete(follower: Follower) -> bool:
    """Whether it heard every number so far, once and in order, and no gap."""
    return follower.items == list(range(len(follower.items)))


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_what_any_worker_publishes_is_heard_at_all_in_one_order(count, run, redis):
    async def main(server):
        async with visitor() as http:
            one, other = Numbers(server, http), Numbers(server, http)
            other._next = 1_000_000

            async def publish(numbers):
                await numbers.many(50)
                while len(one.by | other.by) < count:
                    await numbers.one()

            async with following(server, 5 * count) as followers:
                await asyncio.gather(publish(one), publish(other))
                published = {*one.acknowledged, *other.acknowledged}
                assert len(published) == len(one.acknowledged) + len(other.acknowledged)
                await until(lambda: all(len(f.items) >= len(published) for f in followers))
                assert len({tuple(f.items) for f in followers}) == 1
                assert len(followers[0].items) == len(published)
                assert set(followers[0].items) == published
                for numbers in (one, other):  # each waited for one to be stored: an order
                    those = set(numbers.acknowledged)
                    heard = [n for n in followers[0].items if n in those]
                    assert heard == numbers.acknowledged

    with Workers(count, REDIS_URL=redis.url) as server:
        run(main(server))


@pytest.mark.slow
def test_a_worker_killed_in_traffic_costs_its_clients_nothing(run, redis):
    async def main(server):
        async with visitor() as http, following(server, 300) as followers:
            victim, survivor = sorted(
                {f.worker for f in followers}, key=[f.worker for f in followers].count
            )
            numbers = Numbers(server, http)
            reads = (await server.states(http))[survivor]["reads"]
            async with numbers.flowing() as more:
                await more(20)
                there = [f for f in followers if f.worker == victim]
                os.kill(victim, signal.SIGKILL)
                await until(lambda: all(f.returned or f not in there for f in followers))
                await more(20)
            end = await numbers.one()
            await until(lambda: all(f.items and f.items[-1] == end for f in followers))
            assert all(complete(f) for f in followers)
            assert all(f.returned == {True: 1} for f in there)
            states = await server.states(http)
            assert victim not in states
            assert states.pop(survivor)["reads"] == reads == 1
            # And the one that came in its place asked once for all who came to it.
            assert [state["reads"] for state in states.values()] in ([0], [1])

    with Workers(2, REDIS_URL=redis.url) as server:
        run(main(server))


@pytest.mark.slow
def test_redis_killed_and_restarted_in_traffic_loses_nothing_in_silence(run, redis):
    async def main(server):
        async with visitor() as http, following(server, 50) as followers:
            one = Numbers(server, http)
            async with one.flowing(persist=False) as more:
                for _ in range(2):
                    await more(50)
                    redis.kill()
                    tried = one._next
                    await until(lambda tried=tried: one._next > tried + 1)
                    await asyncio.to_thread(redis.start)
                await more(50)

            async def last():
                await one.one()

            await until(lambda: all(f.items[-1:] == [one._next - 1] for f in followers), last)
            for follower in followers:
                follower.holds(one.acknowledged)
                assert follower.gaps >= 2
                assert not follower.returned  # no socket was lost for it

    with Workers(2, REDIS_URL=redis.url) as server:
        run(main(server))


@pytest.mark.slow
def test_one_of_a_thousand_that_does_not_read_is_closed_and_recovers(run, redis):
    async def main(server):
        async with visitor() as http, following(server, 999) as followers:
            idler = Idler(server.port)
            await idler.listen()
            news, heaps = Numbers(server, http), Numbers(server, http, "heaps")

            async def closed():
                return (await server.states(http))[idler.worker]["closed"]

            while await closed() == [None]:
                await news.one()
                for _ in range(5):
                    await heaps.one(size=200_000)
            assert await closed() == [4008]
            # What it was not sent before its end it gets when it comes back.
            assert await idler.read_to_the_end() in (4008, 1006)
            assert len(idler.items["heaps"]) < len(heaps.acknowledged)
            await idler.listen()
            assert idler.items == {"news": news.acknowledged, "heaps": heaps.acknowledged}
            await idler.close()
            await until(lambda: all(len(f.items) >= len(news.acknowledged) for f in followers))
            assert all(complete(f) and not f.returned for f in followers)

    with Workers(2, REDIS_URL=redis.url) as server:
        run(main(server))

