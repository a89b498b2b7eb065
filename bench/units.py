"""
What one connection, one subscription, one event and one publication cost: the units of sizing.

    python bench/units.py            # with the package, uvicorn[standard], redis and hiredis

One uvicorn worker and one redis-server, each measured by the system's own accounts: CPU from
`/proc/PID/task/*/schedstat`, memory as resident set, Redis by its `INFO`. Clients are in
another process, whose cost is not counted. It needs Linux, and takes some minutes.
"""

import asyncio
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket._hub import Hub
from fastapi_observable_socket.backends import Keep
from fastapi_observable_socket.backends.redis import RedisBackend

HERE = Path(__file__).resolve().parent
EVENT = {"text": "x" * 170}  # about 200 bytes as JSON
DATA = json.dumps(EVENT).encode()
KEEP = Keep(256, 300)
ROUNDS = 5

# --- the application that is measured

app = FastAPI(openapi_url=None)
router = SocketRouter(backend=RedisBackend(os.environ.get("REDIS_URL", "redis://")))


@router.topic("{name}")
async def anybody(name: str) -> bool:  # noqa: ARG001
    return True


@router.route("burst")
async def burst(topic: str, count: int) -> int:
    for _ in range(count):
        await router.publish(topic, EVENT)
    return count


router.mount(app, "/ws")


# --- processes and their accounts


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    def __init__(self, *command: str, port: int, **variables: str) -> None:
        self.port = port
        self._process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        raise SystemExit(f"{command[0]} did not start")

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory(self) -> int:
        """Bytes that are resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()


def redis_server(folder: str) -> Process:
    port = free_port()
    options = ("--port", f"{port}", "--save", "", "--dir", folder, "--bind", "127.0.0.1")
    return Process(shutil.which("redis-server") or "valkey-server", *options, port=port)


def worker(redis: Process) -> Process:
    port = free_port()
    command = "-m uvicorn units:app --loop uvloop --ws websockets-sansio --no-access-log"
    command += " --ws-per-message-deflate false --ws-ping-interval 0"
    command += f" --log-level warning --port {port}"
    url = f"redis://127.0.0.1:{redis.port}/0"
    path = (sys.executable, *command.split(), "--app-dir", str(HERE))
    return Process(*path, port=port, REDIS_URL=url)


# --- clients, as cheap as can be: frames are counted, not read

EVENT_MARK, ANSWER_MARK = b'"$offset"', b'"status":200'


class Peer(asyncio.Protocol):
    """A WebSocket that counts what comes."""

    def __init__(self) -> None:
        self.open = asyncio.get_running_loop().create_future()
        self.last = b""
        self.events = 0
        self.answers = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        if not self.open.done():
            self.open.set_result(None)
        # With what a mark that was cut in two began with, and no whole one.
        data = self.last + data
        self.events += data.count(EVENT_MARK) - self.last.count(EVENT_MARK)
        self.answers += data.count(ANSWER_MARK) - self.last.count(ANSWER_MARK)
        self.last = data[1 - len(ANSWER_MARK) :]

    def send(self, route: str, payload: Any) -> None:
        text = json.dumps({"uuid": 1, "route": route, "payload": payload}).encode()
        size = len(text)
        head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else b""
        head = head or struct.pack("!BBH", 0x81, 0x80 | 126, size)
        self._transport.write(head + bytes(4) + text)

    def close(self) -> None:
        self._transport.abort()


async def connected(port: int, count: int) -> list[Peer]:
    loop, peers = asyncio.get_running_loop(), []
    for start in range(0, count, 50):
        some = range(start, min(start + 50, count))
        made = [loop.create_connection(Peer, "127.0.0.1", port) for _ in some]
        fresh = [peer for _, peer in await asyncio.gather(*made)]
        await asyncio.gather(*(peer.open for peer in fresh))
        peers += fresh
    return peers


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def subscribed(peers: list[Peer], topics: Callable[[int], list[str]]) -> None:
    """One frame for each peer, and its answer."""
    before = [peer.answers for peer in peers]
    for start in range(0, len(peers), 100):
        some = range(start, min(start + 100, len(peers)))
        for n in some:
            wanted = [{"topic": topic} for topic in topics(n)]
            peers[n].send("$sub", {"topics": wanted})
        await until(lambda some=some: all(peers[n].answers > before[n] for n in some))  # type: ignore[misc]


# --- what is measured

Row = tuple[str, str]


async def memory(redis: Process) -> list[Row]:
    server = worker(redis)
    try:
        first = await connected(server.port, 100)  # what is needed once
        await subscribed(first, lambda _: ["warm"])
        start = server.memory()
        peers = await connected(server.port, 2000)
        idle = server.memory()
        await subscribed(peers, lambda _: ["one"])
        shared = server.memory()
        await subscribed(peers, lambda n: [f"of-{(n + k) % 400}" for k in range(5)])
        five = server.memory()
        used = redis_info(redis, "used_memory")
        await subscribed(first, lambda n: [f"own-{n}-{k}" for k in range(100)])
        own = server.memory()
        in_redis = redis_info(redis, "used_memory") - used
    finally:
        server.end()
    return [
        ("worker, an idle connection", f"{(idle - start) / 2000 / 1024:.1f} kB"),
        ("worker, a subscription to a topic it has", f"{(shared - idle) / 2000 / 1024:.2f} kB"),
        ("worker, a subscription, 5 each to 400 topics", f"{(five - shared) / 1e4 / 1024:.2f} kB"),
        ("worker, a topic with its one subscription", f"{(own - five) / 1e4 / 1024:.1f} kB"),
        ("Redis, a topic without events", f"{in_redis / 1e4 / 1024:.2f} kB"),
    ]


async def arrivals(redis: Process) -> list[Row]:
    """Opening a connection, and joining five topics of many by one frame."""
    server = worker(redis)
    opening, joining = [], []
    try:
        for _ in range(ROUNDS):
            start = server.cpu()
            peers = await connected(server.port, 500)
            opened = server.cpu()
            await subscribed(peers, lambda n: [f"a-{(n + k) % 100}" for k in range(5)])
            opening.append((opened - start) / 500)
            joining.append((server.cpu() - opened) / 2500)
            for peer in peers:
                peer.close()
            await asyncio.sleep(0.5)  # until the worker has seen them go
    finally:
        server.end()
    return [
        ("worker, opening a connection", micro(opening)),
        ("worker, a `$sub`, five in a frame", micro(joining)),
    ]


async def deliveries(redis: Process, listeners: int, count: int) -> list[Row]:
    server = worker(redis)
    costs = []
    try:
        peers = await connected(server.port, listeners)
        [publisher] = await connected(server.port, 1)
        await subscribed(peers, lambda _: ["hot"])
        for number in range(ROUNDS + 1):
            start, wanted = server.cpu(), (number + 1) * count
            publisher.send("burst", {"topic": "hot", "count": count})
            await until(lambda wanted=wanted: all(p.events >= wanted for p in peers))  # type: ignore[misc]
            costs.append((server.cpu() - start) / count)
    finally:
        server.end()
    each = [cost / listeners for cost in costs[1:]]
    return [(f"worker, an event delivered to one of {listeners:,} who listen", micro(each))]


@asynccontextmanager
async def hub(redis: Process) -> AsyncIterator[Hub]:
    made = Hub(RedisBackend(f"redis://127.0.0.1:{redis.port}/0"))
    try:
        yield made
    finally:
        await made.close()


async def publications(redis: Process, keep: Keep | None) -> list[Row]:
    """64 in flight, on 100 topics to which nobody listens."""
    server, ours, count = [], [], 5000
    async with hub(redis) as publisher:

        async def some(first: int) -> None:
            for n in range(first, count, 64):
                await publisher.publish(f"p-{n % 100}", DATA, keep)

        for _ in range(ROUNDS + 1):
            before, mine = redis.cpu(), time.process_time()
            await asyncio.gather(*(some(first) for first in range(64)))
            ours.append((time.process_time() - mine) / count)
            server.append((redis.cpu() - before) / count)
    what = "an event that is kept" if keep else "an event of which nothing is kept"
    return [
        (f"Redis, {what}", micro(server[1:])),
        (f"publisher, {what}", micro(ours[1:])),
    ]


class Drain(asyncio.Protocol):
    def __init__(self, topic: str) -> None:
        self._topic = topic
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        channel = f"fos:c0:{self._topic}"
        transport.write(f"SUBSCRIBE {channel}\r\n".encode())

    def data_received(self, _: bytes) -> None:
        if not self.ready.done():
            self.ready.set_result(None)


async def copies(redis: Process, in_flight: int, count: int = 1000) -> list[Row]:
    """What an event costs Redis by the number of processes that are told: the slope."""
    loop, costs = asyncio.get_running_loop(), {}
    async with hub(redis) as publisher:

        async def some() -> None:
            for _ in range(count // in_flight):
                await publisher.publish("c", DATA, KEEP)

        for subscribers in (1, 200):
            drains: list[Drain] = []
            for _ in range(subscribers):
                _, drain = await loop.create_connection(lambda: Drain("c"), "127.0.0.1", redis.port)
                await drain.ready
                drains.append(drain)
            rounds = []
            for _ in range(ROUNDS):
                before = redis.cpu()
                await asyncio.gather(*(some() for _ in range(in_flight)))
                rounds.append((redis.cpu() - before) / count)
            costs[subscribers] = statistics.median(rounds)
            for drain in drains:
                drain.transport.abort()
    slope = (costs[200] - costs[1]) / 199 * 1e6
    return [(f"Redis, a copy for one more process, {in_flight} in flight", f"{slope:.2f} µs")]


async def histories(redis: Process, count: int = 20_000) -> list[Row]:
    """What an event occupies in Redis, and what its id does."""
    sizes = []
    async with hub(redis) as publisher:
        await publisher.publish("h", DATA, KEEP)
        for kind in ("h", "i"):

            async def some(kind: str, first: int) -> None:
                for n in range(first, count, 64):
                    message_id = f"{n:016}" if kind == "i" else ""
                    topic = f"{kind}-{n % 100}"
                    await publisher.backend.publish(topic, DATA, keep=KEEP, message_id=message_id)

            before = redis_info(redis, "used_memory")
            await asyncio.gather(*(some(kind, first) for first in range(64)))
            sizes.append((redis_info(redis, "used_memory") - before) / count)
    return [
        ("Redis, an event in the history", f"{sizes[0]:.0f} bytes"),
        ("Redis, its id, for five minutes", f"{sizes[1] - sizes[0]:.0f} bytes"),
    ]


class Ear:
    heard = 0

    def event(self, _: Any) -> None:
        self.heard += 1

    def gap(self, _: Any) -> None:
        raise AssertionError("a gap")


PUBLISHER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
import units
async def main():
    hub = units.Hub(units.RedisBackend(sys.argv[1]))
    for _ in range(int(sys.argv[3]) // 50):
        await asyncio.gather(*(hub.publish(f"r-{n}", units.DATA, units.KEEP) for n in range(50)))
    await hub.close()
asyncio.run(main())
"""


async def receptions(redis: Process, count: int = 10_000) -> list[Row]:
    """An event that comes from Redis, before anybody is told."""
    costs = []
    url = f"redis://127.0.0.1:{redis.port}/0"
    async with hub(redis) as listening:
        ear = Ear()
        for n in range(50):
            await listening.attach(f"r-{n}", ear)
        for number in range(ROUNDS):
            before = time.process_time()
            other = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PUBLISHER, url, str(HERE), f"{count}")
            )
            await until(lambda number=number: ear.heard >= (number + 1) * count)  # type: ignore[misc]
            costs.append((time.process_time() - before) / count)
            await other.wait()
    return [("worker, an event that comes from Redis", micro(costs))]


# --- accounts of Redis


def redis_info(redis: Process, name: str) -> float:
    with socket.create_connection(("127.0.0.1", redis.port)) as client:
        client.sendall(b"INFO everything\r\n")
        text = b""
        while b"# Keyspace" not in text:
            text += client.recv(65536)
    lines = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return float(lines[name])


def micro(costs: list[float]) -> str:
    """The median, and how far the rounds were apart."""
    low, high = min(costs) * 1e6, max(costs) * 1e6
    return f"{statistics.median(costs) * 1e6:.1f} µs ({low:.1f} to {high:.1f})"


async def main() -> None:
    names = ("fastapi", "uvicorn", "uvloop", "websockets", "redis", "hiredis")
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}", end="")
    print("".join(f", {name} {version(name)}" for name in names))
    parts: list[Callable[[Process], Awaitable[list[Row]]]] = [
        memory,
        arrivals,
        lambda redis: deliveries(redis, 1000, 50),
        lambda redis: deliveries(redis, 50, 500),
        receptions,
        lambda redis: publications(redis, KEEP),
        lambda redis: publications(redis, None),
        lambda redis: copies(redis, 1),
        lambda redis: copies(redis, 50),
        histories,
    ]
    print("\n| what | median (lowest to highest round) |\n| --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        redis = redis_server(folder)
        try:
            for part in parts:
                for what, cost in await part(redis):
                    print(f"| {what} | {cost} |", flush=True)
        finally:
            redis.end()


if __name__ == "__main__":
    asyncio.run(main())
