"""
A Redis of our own, and the two ends of a relay.

The listening end has the servers' core; the publishing one shares the core of the load with Redis.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

from catalog_topics import TOPICS, Relay, RelayScenario
from processes import BUILD, HERE, START_SECONDS, Failed, cores, free_port, last_line, python_of

ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Redis:
    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """What all its threads have had."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def redis() -> Iterator[Redis]:
    """A server of the system's redis-server, empty and without persistence."""
    program = shutil.which("redis-server")
    if program is None:
        raise Failed("there is no redis-server on this machine")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--appendonly", "no"]
    log = BUILD / "redis.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=BUILD, stdout=output, stderr=output)
    try:
        os.sched_setaffinity(process.pid, {cores()[1]})
        await_redis(process, port)
        yield Redis(f"redis://127.0.0.1:{port}/0", process.pid)
    finally:
        process.terminate()
        process.wait()


def await_redis(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(5) == b"+PONG":
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise Failed("redis-server did not start")


class End:
    """A process of `relays/harness.py`, which does as it is ordered."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        assert process.stdin
        assert process.stdout
        self._process, self._log = process, log
        self._orders, self._answers = process.stdin, process.stdout

    def order(self, *words: object) -> None:
        try:
            self._orders.write(" ".join(map(str, words)) + "\n")
            self._orders.flush()
        except BrokenPipeError:
            raise Failed(last_line(self._log.read_text())) from None

    def answers(self, *to: str) -> dict[str, Any]:
        """The answers to these orders, in whatever order they come."""
        answers: dict[str, Any] = {}
        while set(answers) < set(to):
            answer = self._answer()
            answers[answer.pop("order")] = answer
        return answers

    def _answer(self) -> dict[str, Any]:
        # A process that does not answer is no use any more.
        impatience = Timer(ANSWER_SECONDS, self._process.kill)
        impatience.start()
        line = self._answers.readline()
        impatience.cancel()
        if not line:
            raise Failed(last_line(self._log.read_text()))
        answer: dict[str, Any] = json.loads(line)
        return answer


def command(relay: Relay, *arguments: object) -> list[str]:
    # From the folder above `relays`, so that `relays/socketio.py` hides no `socketio`.
    return [python_of(relay.environment), "-m", f"relays.{relay.module}", *map(str, arguments)]


@contextmanager
def running(relay: Relay, url: str, what: str, core: int) -> Iterator[End]:
    log = BUILD / f"{relay.name}.{what}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command(relay, url, TOPICS),
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        os.sched_setaffinity(process.pid, {core})
        yield End(process, log)
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True, slots=True)
class Pair:
    """A relay that is up. Without a broker both ends are one process."""

    relay: Relay
    publisher: End
    listener: End
    broker: Redis | None

    def measure(self, scenario: RelayScenario, count: int) -> dict[str, float]:
        """What so many events took: rate, latency in µs, and µs of CPU for each."""
        before = self.broker.cpu_seconds() if self.broker else 0.0
        self.listener.order("expect", count)
        self.listener.answers("expect")
        self.publisher.order(scenario.order, count, scenario.number)
        if self.broker is None:
            answers = self.publisher.answers(scenario.order, "heard")
            told, heard = answers[scenario.order], answers["heard"]
            cpu = [heard["cpu_us"]]  # of the one process, publishing included
        else:
            told = self.publisher.answers(scenario.order)[scenario.order]
            heard = self.listener.answers("heard")["heard"]
            spent = (self.broker.cpu_seconds() - before) / count * 1e6
            cpu = [told["cpu_us"], heard["cpu_us"], spent]
        if heard["got"] != count:
            raise Failed(f"{heard['got']} of {count} events were delivered")
        result = {"per_s": told["per_s"], "p50": heard["p50"], "p99": heard["p99"]}
        parts = dict(zip(("publisher_us", "listener_us", "broker_us"), cpu, strict=False))
        return result | parts | {"cpu_us": sum(cpu)}


@contextmanager
def pair(relay: Relay) -> Iterator[Pair]:
    """Both ends, with a Redis of their own, until the block is left."""
    with ExitStack() as stack:
        broker = stack.enter_context(redis()) if relay.broker else None
        url = broker.url if broker else "memory://"
        there, here = cores()
        listener = stack.enter_context(running(relay, url, "listener", there))
        publisher = listener
        if broker:
            publisher = stack.enter_context(running(relay, url, "publisher", here))
        listener.order("listen")
        listener.answers("listen")
        yield Pair(relay, publisher, listener, broker)


def attach(relay: Relay, topics: int) -> dict[str, float]:
    """What `relays/attach.py` says of so many topics, in a fresh process with a fresh Redis."""
    with redis() as broker:
        process = subprocess.Popen(
            command(relay, broker.url, topics),
            cwd=HERE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(process.pid, {cores()[0]})
        stdout, stderr = process.communicate()
    if process.returncode:
        raise Failed(last_line(stderr))
    result: dict[str, float] = json.loads(stdout)
    return result
