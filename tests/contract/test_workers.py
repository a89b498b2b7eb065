"""Several real worker processes and a real Redis: who listens in one hears what any publishes."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from .redis_server import RedisServer
from .traffic import until
from .workers import Crowd, Follower, Idler, Numbers, Workers, following, visitor

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
            assert states.pop(survivor)["reads"] == reads
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


# --- as it is documented

WHO = """

import os

@router.route("who")
async def who() -> int:
    return os.getpid()
"""


def documented() -> tuple[str, str]:
    """The application of the guide, before and after its change."""
    guide = (ROOT / "docs" / "scaling.md").read_text()
    before = re.findall(r"^```python\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)[0]
    old, new = re.findall(r"^```diff\n-(.*?)\n\+(.*?)\n```", guide, re.MULTILINE)[0]
    [needed] = re.findall(r"`(from \S+ import RedisBackend)`", guide)
    assert before.count(f"{old}\n") == 1
    return before, f"{needed}\n{before.replace(old, new)}"


@pytest.mark.slow
def test_one_changed_line_makes_one_of_two_processes(run, redis, tmp_path):
    before, after = documented()
    after, changed = re.subn(r"redis://localhost:6379/0", redis.url, after)
    assert changed == 1
    (tmp_path / "alone.py").write_text(before + WHO)
    (tmp_path / "together.py").write_text(after + WHO)
    texts = [f"news {n}" for n in range(20)]

    async def main(server):
        async with visitor() as http, following(server, 4) as followers:
            for text in texts:
                (await http.post(f"{server.url}/news", params={"text": text})).raise_for_status()
            heard = [f.items for f in followers]
            await until(
                lambda: "memory of each" in server.log() or all(len(i) >= 20 for i in heard)
            )
            return heard

    with Workers(2, f"{tmp_path}/together:app") as server:
        heard = run(main(server))
        assert all(items == texts for items in heard)
        assert "memory of each worker" not in server.log()
    with Workers(2, f"{tmp_path}/alone:app") as server:
        run(main(server))
        assert "memory of each worker" in server.log()


@pytest.mark.slow
def test_the_board_is_one_for_two_workers(run, redis, tmp_path):
    async def main(server):
        topic = {"topic": "boards/ours"}
        async with Crowd(f"ws://127.0.0.1:{server.port}/ws") as crowd:
            one, other = await crowd.at_two("about", lambda told: told["process"])
            for page in (one, other):
                assert (await page.call("$sub", topic))["snapshot"] == {"notes": []}
            for number, page in enumerate((one, other) * 5):
                fresh = {"board": "ours", "id": f"n{number}", "x": 0.5, "y": 0.5}
                told = await page.call("add", fresh)
                assert await one.news() == await other.news() == told
            os.kill((await one.call("about"))["process"], signal.SIGKILL)
            fresh = {"board": "ours", "id": "after", "x": 0.5, "y": 0.5}
            told = await other.call("add", fresh)
            assert await other.news() == told
            third = await crowd.another()
            ids = [note["id"] for note in (await third.call("$sub", topic))["snapshot"]["notes"]]
            assert sorted(ids) == sorted([*(f"n{n}" for n in range(10)), "after"])

    app = f"{ROOT}/examples/board/app:app"
    with Workers(2, app, REDIS_URL=redis.url, BOARD_DB=f"{tmp_path}/board.sqlite3") as server:
        run(main(server))
