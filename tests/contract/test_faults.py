"""What may befall a server and the way to it: nothing is lost in silence, nothing comes twice."""

import asyncio
import contextlib
import logging
import re
import signal
import ssl
import subprocess
from collections import deque
from pathlib import Path

import pytest

from fastapi_observable_socket.backends import Keep, Position, Unavailable, Uncertain
from fastapi_observable_socket.backends import redis as module
from fastapi_observable_socket.backends.redis import RedisBackend

from .proxy import DOWN, UP, Proxy
from .redis_server import RedisServer
from .traffic import KEEP, Traffic, Witness, hub_at, in_order, listen, names, until

TOPICS = names(20)


def holds(witnesses, traffic):
    for topic, witness in witnesses.items():
        witness.holds(traffic.acknowledged[topic])


def nothing_lost(witnesses, traffic):
    """Not even behind a gap."""
    for topic, witness in witnesses.items():
        assert witness.gaps == 0
        assert in_order(witness.numbers)
        assert set(traffic.acknowledged[topic]) <= set(witness.numbers)


# --- the server


def test_killed_and_restarted_empty_every_topic_has_a_gap(run, own_redis):
    async def main():
        async with hub_at(own_redis.url) as hub, hub_at(own_redis.url) as other:
            witnesses = await listen(hub, TOPICS)
            async with Traffic(other, TOPICS) as traffic:
                for _ in range(2):
                    await traffic.flows()
                    own_redis.kill()
                    await until(lambda: not hub.up and not other.up)
                    await asyncio.to_thread(own_redis.start)
                await traffic.flows()
            await traffic.arrived(witnesses)
            holds(witnesses, traffic)
            assert all(w.gaps >= 1 for w in witnesses.values())

    run(main())


def test_killed_and_restarted_with_its_log_nothing_is_lost(run, tmp_path):
    async def main(server):
        options = {"incarnation_check": False}
        async with hub_at(server.url, **options) as hub, hub_at(server.url, **options) as other:
            witnesses = await listen(hub, TOPICS)
            async with Traffic(other, TOPICS, persist=True) as traffic:
                for _ in range(2):
                    await traffic.flows()
                    server.kill()
                    await until(lambda: not hub.up)
                    await asyncio.to_thread(server.start)
                await traffic.flows()
            await traffic.arrived(witnesses)
            for topic, witness in witnesses.items():
                assert witness.items == traffic.acknowledged[topic]
                assert witness.items == list(range(len(witness.items)))

    with RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        run(main(server))


@pytest.mark.parametrize("check", [True, False])
def test_who_comes_back_to_an_older_history_is_told_of_a_gap(check, run, own_redis):
    async def main():
        async with hub_at(own_redis.url, incarnation_check=check) as hub:
            witness = Witness()
            await hub.attach("t", witness)
            traffic = Traffic(hub, ["t"])
            for _ in range(5):
                await traffic.one("t")
            own_redis.send("SAVE")
            for _ in range(5):
                await traffic.one("t")
            await until(lambda: len(witness.items) == 10)
            last = witness.positions[-1]
            own_redis.kill()
            await until(lambda: not hub.up)
            await asyncio.to_thread(own_redis.start)
            await until(lambda: hub.up)
            for _ in range(5):  # to offsets that were there before
                await traffic.one("t")
            back = await hub.attach("t", Witness(), last)
            if check:
                assert not back.recovered
                assert back.position.epoch != last.epoch
                await traffic.arrived({"t": witness})
                witness.holds(traffic.acknowledged["t"])
                assert witness.gaps == 1
            else:  # it was trusted: this is what the check is for
                assert back.recovered

    run(main())


def test_ended_and_restarted_in_order(run, own_redis):
    async def main():
        async with hub_at(own_redis.url) as hub, hub_at(own_redis.url) as other:
            witnesses = await listen(hub, TOPICS)
            async with Traffic(other, TOPICS) as traffic:
                await traffic.flows()
                own_redis.end()
                await asyncio.to_thread(own_redis.start)
                await traffic.flows()
            await traffic.arrived(witnesses)
            holds(witnesses, traffic)
            assert all(w.gaps == 1 for w in witnesses.values())

    run(main())


def test_stopped_for_four_seconds_nothing_is_lost(run, own_redis):
    async def main():
        async with hub_at(own_redis.url) as hub, hub_at(own_redis.url) as other:
            witnesses = await listen(hub, TOPICS)
            async with Traffic(other, TOPICS) as traffic:
                await traffic.flows()
                own_redis.signal(signal.SIGSTOP)
                await until(lambda: not hub.up and not other.up)
                await asyncio.sleep(3)
                own_redis.signal(signal.SIGCONT)
                await traffic.flows()
            await traffic.arrived(witnesses)
            nothing_lost(witnesses, traffic)

    run(main())


@pytest.mark.parametrize("what", ["all", "positions", "events"])
def test_keys_that_vanish_are_a_gap_and_not_an_end(what, run, own_redis):
    async def main():
        async with hub_at(own_redis.url) as hub:
            witnesses = await listen(hub, TOPICS)
            async with Traffic(hub, TOPICS) as traffic:
                await traffic.flows()
                if what == "all":
                    own_redis.send("FLUSHALL")
                for topic in TOPICS:
                    if what != "all":
                        kind = "m" if what == "positions" else "s"
                        assert own_redis.send("DEL", f"fos:{kind}:{{{topic}}}") == b":1\r\n"
                before = {topic: w.positions[0] for topic, w in witnesses.items()}
                await traffic.flows()
            await traffic.arrived(witnesses)
            holds(witnesses, traffic)
            if what != "events":
                assert all(w.gaps >= 1 for w in witnesses.values())
            hub._channels[TOPICS[0]].ring.clear()
            assert not (await hub.attach(TOPICS[0], Witness(), before[TOPICS[0]])).recovered

    run(main())


def test_scripts_that_are_forgotten_are_given_again(run, own_redis):
    async def main():
        async with hub_at(own_redis.url) as hub:
            witnesses = await listen(hub, TOPICS)
            async with Traffic(hub, TOPICS) as traffic:
                for _ in range(5):
                    await traffic.flows(5)
                    own_redis.send("SCRIPT", "FLUSH")
            await traffic.arrived(witnesses)
            nothing_lost(witnesses, traffic)
            assert not traffic.refused

    run(main())


@pytest.mark.parametrize(
    ("refuse", "allow"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["oom", "readonly"],
)
def test_a_server_that_takes_nothing_is_unavailable_until_it_does(refuse, allow, run, own_redis):
    async def main():
        async with hub_at(own_redis.url) as hub:
            witnesses = await listen(hub, ["t"])
            traffic = Traffic(hub, ["t"])
            await traffic.one("t")
            assert own_redis.send(*refuse) == b"+OK\r\n"
            for _ in range(5):
                with pytest.raises(Unavailable):
                    await hub.publish("t", b"99", KEEP)
            assert own_redis.send(*allow) == b"+OK\r\n"
            await until(lambda: hub.up)
            await traffic.arrived(witnesses)
            nothing_lost(witnesses, traffic)

    run(main())


@pytest.mark.parametrize(
    "refusal",
    ["LOADING Redis is loading", "NOAUTH Authentication required.", "MASTERDOWN x", "ERR what"],
)
def test_a_refusal_is_told_and_hides_nothing(refusal, run, shared_redis):
    async def main():
        topic = f"refused {refusal[:4]}"
        async with Proxy(shared_redis.port) as proxy, hub_at(proxy.url) as hub:
            witnesses = await listen(hub, [topic])
            traffic = Traffic(hub, [topic])
            await traffic.one(topic)

            def refuse(command):
                return f"-{refusal}\r\n".encode() if command[0][:4] == b"EVAL" else None

            proxy.refuse = refuse
            with pytest.raises(Unavailable):
                await hub.publish(topic, b"99", KEEP)
            with pytest.raises(Unavailable):
                await hub.attach("another", Witness())
            proxy.refuse = lambda command: None
            await until(lambda: hub.up)
            await traffic.arrived(witnesses)
            nothing_lost(witnesses, traffic)

    run(main())


def test_a_server_that_was_never_there_keeps_nobody_waiting(run, own_redis, caplog):
    async def main():
        own_redis.kill()
        loop = asyncio.get_running_loop()
        async with hub_at(own_redis.url) as hub:
            began = loop.time()
            for _ in range(3):
                with pytest.raises(Unavailable):
                    await hub.publish("t", b"0", KEEP, timeout=1)
                with pytest.raises(Unavailable):
                    await hub.attach("t", Witness())
            assert loop.time() - began < 1
            await asyncio.to_thread(own_redis.start)
            await until(lambda: hub.up)
            assert (await hub.publish("t", b"0", KEEP)).position.offset == 1

    run(main())
    assert sum("redis:" in record.message for record in caplog.records) <= 3  # not one a try


# --- the way


def test_connections_that_are_reset_again_and_again(run, own_redis):
    async def main():
        async with (
            Proxy(own_redis.port) as proxy,
            hub_at(own_redis.url) as other,
            hub_at(proxy.url) as hub,
        ):
            witnesses = await listen(hub, TOPICS)
            async with Traffic(other, TOPICS) as traffic, Traffic(hub, names(5, "u")) as own:
                for n in range(8):
                    await traffic.flows(3)
                    await until(lambda: hub.up)
                    proxy.cut(lambda passage, n=n: passage.listens or n % 2)
                    await until(lambda: not hub.up)
            await traffic.arrived(witnesses)
            nothing_lost(witnesses, traffic)
            heard = {topic: Witness() for topic in own.topics}
            start = Position("", 0)
            for topic in own.topics:
                start = (await hub.backend.history(topic, None)).position._replace(offset=0)
                page = await hub.backend.history(topic, start)
                for message in page.messages:
                    heard[topic].event(message)
            nothing_lost(heard, own)

    run(main())


@pytest.mark.slow
def test_resets_while_ten_thousand_topics_are_subscribed_again(run, own_redis):
    async def main():
        topics = names(10_000)
        async with (
            Proxy(own_redis.port) as proxy,
            hub_at(own_redis.url) as other,
            hub_at(proxy.url, audit=30, command_timeout=2) as hub,
        ):
            witnesses = await listen(hub, topics)
            cuts = 0

            def alter(data, passage):
                nonlocal cuts
                if passage.listens and b"subscribe" in data and b"c0:t" in data and cuts < 5:
                    cuts += 1
                    return None
                return data

            proxy.alter = alter
            proxy.cut()
            await until(lambda: not hub.up)
            traffic = Traffic(other, topics)
            traffic.timeout = 20
            await asyncio.gather(*(traffic.one(topic) for topic in topics))
            await until(lambda: all(w.items for w in witnesses.values()))
            assert cuts == 5
            nothing_lost(witnesses, traffic)

    run(main())


@pytest.mark.parametrize("blocked", [{UP, DOWN}, {UP}, {DOWN}], ids=["both", "up", "down"])
def test_a_way_on_which_nothing_moves(blocked, run, own_redis):
    async def main():
        async with (
            Proxy(own_redis.port) as proxy,
            hub_at(own_redis.url) as other,
            hub_at(proxy.url) as hub,
        ):
            witnesses = await listen(hub, TOPICS)
            async with Traffic(other, TOPICS) as traffic, Traffic(hub, names(5, "u")) as own:
                await traffic.flows()
                proxy.blocked = blocked
                await until(lambda: not hub.up)
                await traffic.flows(50)
                with pytest.raises((Unavailable, Uncertain)):
                    await hub.publish("x", b"0", KEEP, timeout=1)
                proxy.blocked = set()
                await traffic.flows()
                await own.flows()
            await traffic.arrived(witnesses)
            nothing_lost(witnesses, traffic)

    run(main())


def test_a_subscription_that_is_deaf_is_made_anew(run, own_redis):
    async def main():
        async with (
            Proxy(own_redis.port) as proxy,
            hub_at(own_redis.url) as other,
            hub_at(proxy.url, audit=1000) as hub,
        ):
            witnesses = await listen(hub, TOPICS)
            async with Traffic(other, TOPICS) as traffic:
                await traffic.flows()
                proxy.deaf = True
                await until(lambda: not hub.up)
                proxy.deaf = False
                await traffic.flows()
            await traffic.arrived(witnesses)
            nothing_lost(witnesses, traffic)

    run(main())


def test_who_is_cut_off_by_redis_for_being_slow_loses_nothing(run, own_redis):
    async def main():
        own_redis.send("CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 65536 1")
        async with hub_at(own_redis.url) as hub, hub_at(own_redis.url) as other:
            witness = Witness()
            await hub.attach("t", witness)
            era = hub._era
            for number in range(5):  # each is more than what may wait for a subscriber
                await other.publish("t", b"%d %s" % (number, b"x" * 200_000), KEEP)
                await until(lambda number=number: number in witness.items)
            assert witness.items == list(range(5))
            assert hub._era > era

    run(main())


def test_a_slow_way_is_no_dead_one(run, own_redis):
    """What takes longer than the patience in all, but keeps coming."""

    async def main():
        async with (
            Proxy(own_redis.port) as proxy,
            hub_at(own_redis.url) as other,
            hub_at(proxy.url) as hub,
        ):
            witness = Witness()
            start = (await hub.attach("t", witness)).position
            hub.detach("t", witness)
            hub._channels["t"]._ring = deque(maxlen=1)
            size = 20_000
            await asyncio.gather(
                *(other.publish("t", b"%d " % n + b"x" * size, KEEP) for n in range(30))
            )
            await until(lambda: hub._channels["t"].cursor.offset == 30)
            opened = proxy.opened
            proxy.per_second = 300_000
            back = await hub.attach("t", witness, start)
            assert back.recovered
            assert len(back.missed) == 30
            assert proxy.opened == opened

    run(main())


def test_an_event_loop_that_was_held_up_keeps_its_connections(run, own_redis):
    import threading
    import time

    def elsewhere(publish, done):
        async def main():
            async with hub_at(own_redis.url) as other:
                traffic = Traffic(other, ["t"])
                while not done.is_set():
                    await traffic.one("t")
                    await asyncio.sleep(0.01)
                publish.extend(traffic.acknowledged["t"])

        asyncio.run(main())

    async def main():
        async with Proxy(own_redis.port) as _, hub_at(own_redis.url) as hub:
            witness, states = Witness(), []
            await hub.attach("t", witness)
            changed = hub.backend._on_state
            hub.backend._on_state = lambda up: (states.append(up), changed(up))
            published, done = [], threading.Event()
            thread = threading.Thread(target=elsewhere, args=(published, done))
            thread.start()
            await until(lambda: witness.items)
            for _ in range(5):
                asyncio.get_running_loop().call_soon(time.sleep, 1.0)  # longer than the patience
                await hub.publish("u", b"0", KEEP)
            time.sleep(5)  # noqa: ASYNC251
            await hub.publish("u", b"0", KEEP)
            done.set()
            await asyncio.to_thread(thread.join)
            await until(lambda: witness.items[-1] == published[-1])
            assert witness.items == published
            assert states == []

    run(main())


# --- publishing


def test_a_lost_answer_stores_the_event_once(run, own_redis):
    async def main():
        async with (
            Proxy(own_redis.port) as proxy,
            hub_at(own_redis.url) as other,
            hub_at(proxy.url) as hub,
        ):
            witness = Witness()
            await other.attach("t", witness)
            await hub.publish("t", b"0", KEEP)
            proxy.alter = lambda data, passage: data if passage.listens else None
            with pytest.raises(Uncertain):
                await hub.backend.publish("t", b"1", keep=KEEP, message_id="one")
            again = asyncio.create_task(hub.publish("t", b"1", KEEP, "one"))
            await until(lambda: witness.numbers == [0, 1])
            proxy.alter = lambda data, passage: data
            with contextlib.suppress(Unavailable):
                assert (await again).position.offset == 2
            await until(lambda: hub.up)
            assert (await hub.publish("t", b"1", KEEP, "one")).position.offset == 2
            lost = 0

            def lose_one(data, passage):
                nonlocal lost
                if b"\r\n:" in data and not passage.listens and lost < 1:
                    lost += 1
                    return None
                return data

            proxy.alter = lose_one
            assert (await hub.publish("t", b"2", KEEP)).position.offset == 3
            assert lost == 1
            await until(lambda: witness.numbers == [0, 1, 2])

    run(main())


def test_however_many_publish_there_are_two_connections(run, own_redis):
    async def main():
        async with hub_at(own_redis.url) as hub:
            witness = Witness()
            await hub.attach("t", witness)
            receipts = await asyncio.gather(
                *(hub.publish("t", b"%d" % n, KEEP) for n in range(2000))
            )
            assert sorted(r.position.offset for r in receipts) == list(range(1, 2001))
            clients = own_redis.send("CLIENT", "LIST").decode()
            assert clients.count(" addr=") - 1 - clients.count("cmd=client") <= 2
            await until(lambda: len(witness.items) == 2000)
            assert sorted(witness.items) == list(range(2000))

    run(main())


def test_a_command_that_cannot_be_written_disturbs_no_other_answer(run, shared_redis):
    async def main():
        async with hub_at(shared_redis.url) as hub:
            a, b = "odd/a", "odd/b"
            first = (await hub.publish(a, b"a", KEEP)).position
            since = (await hub.publish(b, b"b0", KEEP)).position
            with pytest.raises(UnicodeEncodeError):
                await hub.publish(a, b"a", KEEP, "\ud800")
            await hub.publish(b, b"b", KEEP)
            page = await hub.backend.history(b, since)
            assert [m.data for m in page.messages] == [b"b"]
            assert (await hub.backend.history(a, first)).messages == []

    run(main())


def test_publications_that_are_cancelled_disturb_no_other_answer(run, shared_redis):
    async def main():
        async with hub_at(shared_redis.url) as hub:
            tasks = []
            for n in range(1000):
                tasks.append(asyncio.create_task(hub.publish(f"c{n}", b"%d" % n, KEEP)))
                if n % 3 == 0:
                    await asyncio.sleep(0)
                if n % 2:
                    tasks[-1].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for n, result in enumerate(results):
                if not isinstance(result, asyncio.CancelledError):
                    own = (await hub.backend.history(f"c{n}", None)).position
                    assert result.position == own == Position(own.epoch, 1)

    run(main())


def test_an_id_is_known_for_its_topic_alone(run, shared_redis):
    async def main():
        async with hub_at(shared_redis.url) as hub:
            await hub.ready()
            for topic, message_id in (("a", "b}c"), ("a}b", "c"), ("a", "}:s"), ("a}", ":s")):
                before = (await hub.backend.history(topic, None)).position.offset
                receipt = await hub.publish(topic, b"1", KEEP, message_id)
                assert receipt.position.offset == before + 1

    run(main())


# --- the hub over Redis


def test_coming_and_going_at_random_over_redis(run, own_redis):
    """With resets in between: each visitor has all from its first event on, once, in order."""
    import random

    async def main():
        chance = random.Random(11)
        topics = names(5)
        async with (
            Proxy(own_redis.port) as proxy,
            hub_at(own_redis.url) as other,
            hub_at(proxy.url, linger=0.01) as hub,
        ):
            await listen(other, topics)
            over = asyncio.Event()

            async def visitor(topic):
                heard, since = [], None
                while True:
                    last, witness = over.is_set(), Witness()
                    try:
                        attached = await hub.attach(topic, witness, since)
                    except Unavailable:
                        await asyncio.sleep(0.01)
                        continue
                    assert since is None or attached.recovered
                    for message in attached.missed:
                        heard.append(int(message.data))
                    since = attached.position
                    await asyncio.sleep(chance.choice((0, 0, 0.001, 0.01, 0.03)))
                    hub.detach(topic, witness)
                    assert not witness.gaps
                    heard += witness.items
                    since = witness.positions[-1] if witness.items else since
                    # What was published last may still be on its way to this hub.
                    if last and heard and heard[-1] >= traffic.acknowledged[topic][-1]:
                        return topic, heard

            traffic = Traffic(other, topics)
            traffic.pause = 0.001
            visitors = [asyncio.create_task(visitor(t)) for t in topics * 6]
            async with traffic:
                for _ in range(5):
                    await traffic.flows(40)
                    proxy.cut()
            over.set()
            for topic, heard in await asyncio.gather(*visitors):
                assert in_order(heard)
                assert {n for n in traffic.acknowledged[topic] if n >= heard[0]} <= set(heard)

    run(main())


def test_a_lost_last_event_is_found(run, own_redis):
    async def main():
        async with (
            Proxy(own_redis.port) as proxy,
            hub_at(own_redis.url) as other,
            hub_at(proxy.url, probe_every=1000, audit=0.2) as hub,
        ):
            witness = Witness()
            await hub.attach("t", witness)
            proxy.deaf = True
            await other.publish("t", b"0", KEEP)
            await until(lambda: witness.items == [0])
            assert proxy.deaf

    run(main())


def test_two_workers_hear_the_same_in_the_same_order(run, own_redis):
    async def main():
        async with hub_at(own_redis.url) as a, hub_at(own_redis.url) as b:
            heard = [await listen(a, ["t"]), await listen(b, ["t"])]
            jobs = [hub.publish("t", b"%d" % n, KEEP) for n in range(500) for hub in (a, b)]
            await asyncio.gather(*jobs)
            await until(lambda: all(len(w["t"].items) == 1000 for w in heard))
            assert heard[0]["t"].positions == heard[1]["t"].positions
            assert heard[0]["t"].items == heard[1]["t"].items
            assert in_order([p.offset for p in heard[0]["t"].positions])

    run(main())


WORKER = """
import asyncio, sys
from fastapi_observable_socket._hub import Hub
from fastapi_observable_socket.backends import Keep
from fastapi_observable_socket.backends.redis import RedisBackend

async def main():
    hub = Hub(RedisBackend(sys.argv[1]))
    n = 0
    while True:
        await hub.publish("t", b"%d" % n, Keep(10_000, 60))
        print(n, flush=True)
        n += 1

asyncio.run(main())
"""


def test_a_worker_that_is_killed_leaves_the_others_with_all_it_published(run, own_redis):
    import os
    import sys

    import fastapi_observable_socket

    async def main():
        root = os.path.dirname(os.path.dirname(fastapi_observable_socket.__file__))
        async with hub_at(own_redis.url) as a, hub_at(own_redis.url) as b:
            heard = [await listen(a, ["t"]), await listen(b, ["t"])]
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WORKER, own_redis.url),
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": root},
            )
            await until(lambda: len(heard[0]["t"].items) > 200)
            worker.kill()
            told = (await worker.stdout.read()).split(b"\n")[:-1]
            await worker.wait()
            await until(lambda: len(heard[1]["t"].items) >= len(told))
            end = await a.publish("t", b"1000000", KEEP)
            await until(lambda: all(w["t"].positions[-1] == end.position for w in heard))
            assert heard[0]["t"].items == heard[1]["t"].items
            count = len(heard[0]["t"].items) - 1
            assert heard[0]["t"].items[:-1] == list(range(count))
            assert count - len(told) in (0, 1)  # one may be stored of which it was not told

    run(main())


@pytest.mark.slow
def test_ten_thousand_topics(run, own_redis, capsys):
    async def main():
        loop, topics = asyncio.get_running_loop(), names(10_000)
        options = {"command_timeout": 3, "probe_every": 5, "audit": 30}
        async with Proxy(own_redis.port) as proxy, hub_at(own_redis.url, **options) as other:
            async with hub_at(own_redis.url, **options) as hub:
                await hub.publish("warm", b"0", KEEP)
                began = loop.time()
                witnesses = await listen(hub, topics)
                attached = loop.time() - began
                began = loop.time()
                await hub.audit()
                await hub.audit()
                audited = loop.time() - began
                own_redis.kill()
                await until(lambda: not hub.up and not other.up)
                await asyncio.to_thread(own_redis.start)
                began = loop.time()
                await until(lambda: all(c.joined for c in hub._channels.values()))
                await until(lambda: all(w.gaps for w in witnesses.values()))
                recovered = loop.time() - began
                traffic = Traffic(other, topics)
                traffic.timeout = 20
                await asyncio.gather(*(traffic.one(topic) for topic in topics))
                await until(lambda: all(w.items == [-1, 0] for w in witnesses.values()))
            assert not proxy.passages
            with capsys.disabled():
                print(
                    f"\n10,000 topics: attached in {attached:.2f} s, audited in {audited:.2f} s, "
                    f"back {recovered:.2f} s after the server was"
                )

    run(main())


def test_it_closes_cleanly_a_hundred_times(run, own_redis):
    async def main():
        for n in range(100):
            async with hub_at(own_redis.url) as hub:
                await listen(hub, names(n % 7))
                jobs = [asyncio.create_task(hub.publish("t", b"0", KEEP)) for _ in range(n % 5)]
                for _ in range(1 + n % 3):
                    await asyncio.sleep(0)
                if n % 10 == 9:
                    own_redis.send("CLIENT", "KILL", "TYPE", "normal")
                if n % 10 == 4:
                    own_redis.send("CLIENT", "KILL", "TYPE", "pubsub")
            await asyncio.gather(*jobs, return_exceptions=True)
        left = {t.get_name() for t in asyncio.all_tasks()} - {asyncio.current_task().get_name()}
        await until(lambda: own_redis.send("CLIENT", "LIST").count(b" addr=") == 1)
        assert len(left) <= 1  # the one that runs this test

    run(main())


def test_it_goes_on_in_another_event_loop(run, own_redis):
    from fastapi_observable_socket._hub import Hub

    hub = Hub(RedisBackend(own_redis.url))

    async def main(close):
        witness = Witness()
        await hub.attach("t", witness)
        await hub.publish("t", b"1", KEEP)
        await until(lambda: witness.items == [1])
        if close:
            await hub.close()

    run(main(True))
    for _ in range(3):
        asyncio.run(main(False))  # left as it is, as by a process that forks
    run(main(True))


@pytest.mark.slow
def test_clients_that_are_cut_a_thousand_times_have_every_event_once_and_in_order(run, own_redis):
    import random

    from fastapi_observable_socket import SocketRouter
    from fastapi_observable_socket.testing import SocketTestClient

    async def main():
        chance, topics, cuts = random.Random(5), names(4), 0
        over, gone = asyncio.Event(), asyncio.Event()

        def worker():
            backend = RedisBackend(own_redis.url, command_timeout=1)
            router = SocketRouter(backend=backend)
            router.topic("{name}", history=100_000)(may)
            return router

        async def may(name: str) -> bool:
            return True

        workers = [worker(), worker()]
        published = dict.fromkeys(topics, 0)

        async def publisher(topic):
            while not gone.is_set():
                await chance.choice(workers).publish(topic, published[topic])
                published[topic] += 1
                await asyncio.sleep(0.002)

        async def client(topic):
            nonlocal cuts
            heard, recover, last = [], None, False
            while not last:
                last = over.is_set()
                async with SocketTestClient(chance.choice(workers)) as socket:
                    wanted = {"topic": topic} | ({"recover": recover} if recover else {})
                    answer = await socket.request("$sub", wanted)
                    joined = answer.payload
                    assert answer.ok
                    assert joined["recovered"] is (recover is not None)
                    heard += [missed["payload"] for missed in joined["missed"]]
                    at = recover = {"epoch": joined["epoch"], "offset": joined["offset"]}
                    for _ in range(chance.randrange(8)):
                        if last:
                            break
                        event = await socket.receive()
                        assert event["route"] == topic
                        assert event["headers"]["$offset"] > at["offset"]
                        heard.append(event["payload"])
                        at = {"epoch": at["epoch"], "offset": event["headers"]["$offset"]}
                        recover = at
                cuts += 1
                if cuts == 1000:
                    over.set()
            return topic, heard

        publishers = [asyncio.create_task(publisher(topic)) for topic in topics]
        clients = [asyncio.create_task(client(topic)) for topic in topics * 10]
        everything = await asyncio.gather(*clients)
        ends = dict(published)
        gone.set()
        await asyncio.gather(*publishers)
        for topic, heard in everything:
            assert heard == list(range(heard[0], heard[0] + len(heard)))
            assert heard[-1] <= ends[topic]
        assert cuts >= 1000
        for router in workers:
            await router.aclose()

    run(main())


# --- ways to connect


def test_tls(run, own_redis, tmp_path):
    files = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", files[0], "-out", files[1]], check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])

    async def main():
        async with Proxy(own_redis.port, tls=context) as proxy:
            async with hub_at(proxy.url, ssl_ca_certs=files[1]) as hub:
                witnesses = await listen(hub, TOPICS)
                async with Traffic(hub, TOPICS) as traffic:
                    await traffic.flows()
                    proxy.cut()
                    await traffic.flows()
                await traffic.arrived(witnesses)
                nothing_lost(witnesses, traffic)
            async with hub_at(proxy.url) as stranger:
                with pytest.raises(Unavailable):
                    await stranger.publish("t", b"0", KEEP)

    run(main())


def test_a_unix_socket(run, tmp_path):
    path = f"{tmp_path}/s"

    async def main():
        async with hub_at(f"unix://{path}?db=3") as hub:
            witnesses = await listen(hub, ["t"])
            await hub.publish("t", b"0", KEEP)
            await until(lambda: witnesses["t"].items == [0])

    with RedisServer(tmp_path, "--unixsocket", path):
        run(main())


def test_users_and_what_they_may_not(run, own_redis):
    guide = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text()
    [rights] = re.findall(r"ACL SETUSER app on >secret (.*)", guide)
    own_redis.send("ACL", "SETUSER", "app", "on", ">s3 cret", *rights.split())
    assert own_redis.send("ACL", "SETUSER", "mute", "on", ">x", "~fos:*", "resetchannels", "+@all")
    address = f"127.0.0.1:{own_redis.port}/0"

    async def main():
        async with hub_at(f"redis://app:s3%20cret@{address}") as hub:
            witnesses = await listen(hub, ["t"])
            await hub.publish("t", b"0", KEEP)
            await until(lambda: witnesses["t"].items == [0])
            run_id = hub.backend._incarnation
            assert run_id.encode() in own_redis.send("INFO", "server")
        for user in ("app:wrong", "mute:x"):
            async with hub_at(f"redis://{user}@{address}") as hub:
                with pytest.raises(Unavailable):
                    await hub.publish("t", b"0", KEEP)

    run(main())


def test_databases_are_worlds_of_their_own(run, own_redis):
    async def main():
        base = own_redis.url[:-1]
        async with hub_at(f"{base}1") as one, hub_at(f"{base}2?protocol=3") as two:
            heard = [await listen(one, ["t"]), await listen(two, ["t"])]
            for n in range(3):
                await one.publish("t", b"%d" % n, KEEP)
                await two.publish("t", b"%d" % (n + 100), KEEP)
            await until(lambda: all(len(w["t"].items) == 3 for w in heard))
            assert heard[0]["t"].items == [0, 1, 2]
            assert heard[1]["t"].items == [100, 101, 102]

    run(main())


def test_servers_that_differ_are_believed_at_last(run, own_redis, caplog):
    """A proxy before several servers: epochs would change with every connection."""

    async def main():
        async with Proxy(own_redis.port) as proxy:
            tag = b"run_id:"

            def alter(data, passage):
                head, found, rest = data.partition(tag)
                return head + found + (b"%04d" % passage.number + rest[4:] if found else b"")

            proxy.alter = alter
            async with hub_at(proxy.url) as hub, hub_at(proxy.url) as other:
                await until(lambda: hub.up, lambda: hub.ready())
                await until(lambda: other.up, lambda: other.ready())
                witnesses = await listen(hub, TOPICS)
                async with Traffic(other, TOPICS) as traffic:
                    await traffic.flows()
                    proxy.cut()
                    await traffic.flows()
                await traffic.arrived(witnesses)
                nothing_lost(witnesses, traffic)
        assert [r.levelname for r in caplog.records].count("ERROR") == 2  # once each

    run(main())


def test_a_server_that_does_not_tell_its_run_is_used_and_told_of(run, own_redis, caplog):
    async def main():
        async with Proxy(own_redis.port) as proxy, hub_at(proxy.url) as hub:
            proxy.refuse = lambda c: b"-NOPERM no info\r\n" if c[0] == b"INFO" else None
            await hub.publish("t", b"0", KEEP)
            proxy.cut()
            await until(lambda: not hub.up)
            await until(lambda: hub.up)
        assert [r.levelname for r in caplog.records].count("ERROR") == 1

    with caplog.at_level(logging.WARNING):
        run(main())


def test_a_topic_that_is_asked_about_keeps_its_epoch(run, own_redis, monkeypatch):
    monkeypatch.setattr(module, "META_TTL_MS", 400)

    async def main():
        async with hub_at(own_redis.url, audit=0.05) as hub:
            witness = Witness()
            first = (await hub.attach("t", witness)).position
            await asyncio.sleep(1)
            assert (await hub.backend.history("t", None)).position == first
            assert witness.items == []

    run(main())


def test_redis_py_has_what_is_used_of_it():
    backend = RedisBackend()

    async def main():
        with contextlib.suppress(Exception):
            await backend._opened({"port": 1})

    asyncio.run(main())
    from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

    for kind in (Connection(), SSLConnection(), UnixDomainSocketConnection()):
        assert kind._reader is None
        assert kind._writer is None
    assert Keep().size == 256
