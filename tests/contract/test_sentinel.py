"""A primary, a replica and a real Sentinel: who fails over loses nothing in silence."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastapi_observable_socket.backends import Keep
from fastapi_observable_socket.backends.redis import RedisBackend

from .redis_server import RedisServer, Sentinel
from .traffic import Traffic, Witness, hub_at, listen, names, until

TOPICS = names(10)
KEEP = Keep(10_000, 60)

pytestmark = pytest.mark.slow


@dataclass
class Pair:
    """Two servers, and the one who says which of them is the primary."""

    primary: RedisServer
    replica: RedisServer
    sentinel: Sentinel

    def hub(self, **options):
        dead = ("127.0.0.1", 1)  # nobody is there: the next one is asked
        those = [dead, ("127.0.0.1", self.sentinel.port)]
        return hub_at("redis://unused", sentinels=those, master="pair", **options)

    async def in_step(self):
        """The replica has all that the primary has."""
        await until(lambda: told(self.primary, "master_repl_offset") == self.applied())

    def applied(self):
        return told(self.replica, "slave_repl_offset")

    def cut_off(self):
        """From here on the replica falls behind."""
        self.replica.send("CONFIG", "SET", "masteruser", "nobody")
        self.replica.send("CONFIG", "SET", "masterauth", "knows")
        self.primary.send("CLIENT", "KILL", "TYPE", "replica")

    async def failed_over(self):
        await until(lambda: self.sentinel.primary("pair") == self.replica.port)


def told(server, name):
    lines = server.send("INFO", "replication").decode().splitlines()
    return next((line.partition(":")[2] for line in lines if line.startswith(f"{name}:")), "")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    for name in ("primary", "replica", "sentinel"):
        (tmp_path / name).mkdir()
    quick = ("--repl-diskless-sync-delay", "0")
    with RedisServer(tmp_path / "primary", *quick) as primary:
        of = ("--replicaof", "127.0.0.1", str(primary.port))
        with (
            RedisServer(tmp_path / "replica", *quick, *of) as replica,
            Sentinel(tmp_path / "sentinel", "pair", primary.port) as sentinel,
        ):
            yield Pair(primary, replica, sentinel)


async def known(pair):
    """Sentinel knows the replica, and that it follows."""
    await until(lambda: told(pair.replica, "master_link_status") == "up")
    await until(lambda: b"slave" in pair.sentinel.send("SENTINEL", "REPLICAS", "pair"))


def test_a_primary_that_is_killed_is_followed_by_its_replica(run, pair):
    async def main():
        await known(pair)
        async with pair.hub() as hub, pair.hub() as other:
            witnesses = await listen(hub, TOPICS)
            async with Traffic(other, TOPICS) as traffic:
                await traffic.flows()
                pair.primary.kill()
                await pair.failed_over()
                await traffic.flows()
            await traffic.arrived(witnesses)
            for topic, witness in witnesses.items():
                witness.holds(traffic.acknowledged[topic])
                assert witness.gaps == 1

    run(main())


def test_a_replica_that_lagged_is_a_gap_and_no_silence(run, pair):
    async def main():
        await known(pair)
        async with pair.hub() as hub:
            witness = Witness()
            await hub.attach("t", witness)
            traffic = Traffic(hub, ["t"])
            for _ in range(5):
                await traffic.one("t")
            await pair.in_step()
            pair.cut_off()
            for _ in range(5):
                await traffic.one("t")
            await until(lambda: len(witness.items) == 10)
            last = witness.positions[-1]
            pair.primary.kill()
            await pair.failed_over()
            await until(lambda: hub.up)
            for _ in range(8):  # to offsets that the lost events had
                await traffic.one("t")
            back = await hub.attach("t", Witness(), last)
            assert not back.recovered
            assert back.position.epoch != last.epoch
            await traffic.arrived({"t": witness})
            witness.holds(traffic.acknowledged["t"])
            assert witness.gaps == 1

    run(main())


def test_a_primary_that_is_demoted_is_left_also_by_those_who_only_listen(run, pair):
    async def main():
        await known(pair)
        async with pair.hub() as hub, pair.hub() as other:
            witnesses = await listen(hub, TOPICS)
            async with Traffic(other, TOPICS) as traffic:
                await traffic.flows()
                assert pair.sentinel.send("SENTINEL", "FAILOVER", "pair").startswith(b"+OK")
                await pair.failed_over()
                # Sentinel does this by itself, ten seconds later, and cuts all connections.
                pair.primary.send("REPLICAOF", "127.0.0.1", str(pair.replica.port))
                await traffic.flows()
                assert told(pair.primary, "role") == "slave"
            await traffic.arrived(witnesses)
            for topic, witness in witnesses.items():
                witness.holds(traffic.acknowledged[topic])
                # What the old one took after it was one no more is lost: perhaps a gap of its own.
                assert witness.gaps in (1, 2)

    run(main())


def test_a_sentinel_that_is_not_there_keeps_nobody_waiting(run, pair):
    async def main():
        await known(pair)
        pair.sentinel.kill()
        async with pair.hub() as hub:
            starting = asyncio.ensure_future(hub.publish("t", b"1", KEEP, timeout=20))
            await until(lambda: not hub.up and hub._starting is not None)
            with pytest.raises(Exception, match="away"):
                await starting
            await asyncio.to_thread(pair.sentinel.start)
            await until(lambda: hub.up)
            assert await hub.publish("t", b"1", KEEP)

    run(main())


def test_a_sentinel_may_ask_for_a_password(run, tmp_path, own_redis):
    async def main(port):
        backend = RedisBackend(
            sentinels=[("127.0.0.1", port)],
            master="pair",
            sentinel_options={"password": "open"},
        )
        up = asyncio.Event()
        await backend.start(lambda _: None, lambda now: up.set() if now else None)
        try:
            async with asyncio.timeout(20):
                await up.wait()
        finally:
            await backend.close()

    (tmp_path / "sentinel").mkdir()
    with Sentinel(tmp_path / "sentinel", "pair", own_redis.port, "requirepass open") as sentinel:
        run(main(sentinel.port))
