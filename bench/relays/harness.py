"""
One end of a relay, or both: publishes events, or is told of them, as it is ordered.

    python -m relays.NAME URL TOPICS

An order is a line on stdin, and is answered by lines of JSON that repeat its first word:

    listen                   once it listens to all topics
    expect COUNT             at once; and as `heard`, when so many events came, or none came any
                             more, with "got", "p50" and "p99" in µs, and "cpu_us" an event
    publish COUNT IN_FLIGHT  with "per_s" and "cpu_us"; so many tasks await one publish after the
                             other
    pace COUNT PER_SECOND    the same, by one task

An event is an object of 200 bytes, with the time at which its publish began, by the clock that
all processes of a machine share. The event loop is uvloop's, as in a server.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from time import perf_counter, perf_counter_ns, process_time
from typing import Any, NamedTuple

import uvloop

TEXT = "x" * 150
QUIET = 3.0  # seconds without an event, after which the rest counts as lost

Event = dict[str, Any]


class Relay(NamedTuple):
    """What a package does for us. `listen` returns once it is told of all these topics' events."""

    publish: Callable[[str, Event], Awaitable[Any]]
    listen: Callable[[list[str], Callable[[Event], None]], Awaitable[None]]


def say(order: str, **result: Any) -> None:
    print(json.dumps({"order": order, **result}), flush=True)


class Ear:
    """What was heard since it last was told to expect something."""

    def __init__(self) -> None:
        self._ages: list[int] = []
        self._count = 0
        self._all = asyncio.Event()

    def hear(self, event: Event) -> None:
        self._ages.append(perf_counter_ns() - event["at"])
        if len(self._ages) == self._count:
            self._all.set()

    async def expect(self, count: int) -> None:
        self._ages, self._count = [], count
        self._all.clear()
        say("expect")
        cpu = process_time()
        await self._quiet()
        cpu = process_time() - cpu
        ages = sorted(self._ages) or [0]
        p50, p99 = (ages[int((len(ages) - 1) * part)] / 1000 for part in (0.5, 0.99))
        say("heard", got=len(self._ages), p50=p50, p99=p99, cpu_us=cpu / count * 1e6)

    async def _quiet(self) -> None:
        """Until all are there, or no more come."""
        got = -1
        while not self._all.is_set() and got < len(self._ages):
            got = len(self._ages)
            try:
                await asyncio.wait_for(self._all.wait(), QUIET)
            except TimeoutError:
                continue


class Mouth:
    def __init__(self, relay: Relay, topics: list[str]) -> None:
        self._publish = relay.publish
        self._topics = topics

    async def _say(self, n: int) -> None:
        topic = self._topics[n % len(self._topics)]
        await self._publish(topic, {"n": n, "at": perf_counter_ns(), "text": TEXT})

    async def _in_turn(self, turns: Iterator[int]) -> None:
        for n in turns:
            await self._say(n)

    async def publish(self, count: int, in_flight: int) -> None:
        turns = iter(range(count))
        await asyncio.gather(*(self._in_turn(turns) for _ in range(in_flight)))

    async def pace(self, count: int, per_second: int) -> None:
        began = perf_counter()
        for n in range(count):
            wait = began + n / per_second - perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._say(n)


async def timed(order: str, count: int, work: Awaitable[None]) -> None:
    began, cpu = perf_counter(), process_time()
    await work
    seconds, cpu = perf_counter() - began, process_time() - cpu
    say(order, per_s=count / seconds, cpu_us=cpu / count * 1e6)


async def serve(relay: Relay, topics: list[str]) -> None:
    """Follow orders until stdin is closed."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    ear, mouth = Ear(), Mouth(relay, topics)
    async with asyncio.TaskGroup() as tasks:
        while line := await orders.readline():
            order, *words = line.decode().split()
            numbers = [int(word) for word in words]
            match order:
                case "listen":
                    await relay.listen(topics, ear.hear)
                    say("listen")
                case "expect":
                    tasks.create_task(ear.expect(*numbers))
                case "publish":
                    await timed(order, numbers[0], mouth.publish(*numbers))
                case "pace":
                    await timed(order, numbers[0], mouth.pace(*numbers))


def run(opened: Callable[[str], AbstractAsyncContextManager[Relay]]) -> None:
    url, topics = sys.argv[1], [f"topic-{n}" for n in range(int(sys.argv[2]))]

    async def main() -> None:
        async with opened(url) as relay:
            await serve(relay, topics)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
