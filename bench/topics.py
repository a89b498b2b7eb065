"""
Measures topics, beside the fan-out to sockets: relays, attaching, and memory.

Called by `run.py`. Rounds are interleaved as there, and all pairs stay up meanwhile, idle while
it is not their turn.
"""

import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import catalog_topics as topics
import pairs
import processes
from catalog import Subject
from catalog_topics import Relay, RelayScenario
from pairs import Pair
from processes import Failed, Server, idle_connections

FIRST = 400  # events by which it is found out how fast a pair is

CALL = '{"uuid":1,"route":"$unsub","payload":{"topic":"topic-0"}}'


@dataclass(frozen=True, slots=True)
class Options:
    only: Collection[str]
    scenarios: Collection[str]
    rounds: int
    seconds: float
    quick: bool
    say: Callable[[str], None]


@dataclass(slots=True)
class Results:
    """By scenario and subject, a sample of each round, None where one failed; and kB of memory."""

    relays: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    attach: list[Any] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)


def measure(options: Options) -> Results:
    results = Results()
    scenarios = [s for s in topics.RELAY_SCENARIOS if s.name in options.scenarios]
    relays = _built([r for r in topics.RELAYS if scenarios and r.name in options.only], options)
    if relays:
        results.relays = _relays(relays, scenarios, options)
    if topics.ATTACH in options.scenarios and topics.ATTACH_SUBJECT.name in options.only:
        results.attach = _attach(options)
    if topics.TOPIC_MEMORY in options.scenarios:
        results.memory = _memory(options)
    return results


def _built(relays: Sequence[Relay], options: Options) -> list[Relay]:
    built = []
    for relay in relays:
        try:
            processes.make_environment(relay.environment)
            if relay.checkout:
                processes.install_checkout(relay.environment)
            built.append(relay)
        except Failed as failed:
            options.say(f"skipped {relay.name}: {failed}")
    return built


# ---- relays


def _relays(
    relays: Sequence[Relay], scenarios: Sequence[RelayScenario], options: Options
) -> dict[str, dict[str, list[Any]]]:
    samples: dict[str, dict[str, list[Any]]] = {s.name: {} for s in scenarios}
    with ExitStack() as stack:
        ready = [
            (pair, scenario, count)
            for pair in _started(relays, stack, options)
            for scenario, count in _rehearsed(pair, scenarios, options)
        ]
        for round_ in range(options.rounds):
            options.say(f"relays, round {round_ + 1} of {options.rounds}")
            for wanted in scenarios:
                for pair, _, count in (each for each in ready if each[1] is wanted):
                    mine = samples[wanted.name].setdefault(pair.relay.name, [])
                    mine.append(_sample(pair, wanted, count, options))
    return samples


def _started(relays: Sequence[Relay], stack: ExitStack, options: Options) -> list[Pair]:
    pairs_ = []
    for relay in relays:
        try:
            pairs_.append(stack.enter_context(pairs.pair(relay)))
        except Failed as failed:
            options.say(f"skipped {relay.name}: {failed}")
    return pairs_


def _rehearsed(
    pair: Pair, scenarios: Sequence[RelayScenario], options: Options
) -> Iterator[tuple[RelayScenario, int]]:
    """Each scenario with so many events as take about as long as a run should; the pair is warm."""
    for scenario in scenarios:
        try:
            rate = pair.measure(scenario, FIRST)["per_s"]
        except Failed as failed:
            options.say(f"skipped {pair.relay.name} in {scenario.name}: {failed}")
            continue
        yield scenario, max(FIRST, int(rate * options.seconds * scenario.longer))


def _sample(pair: Pair, scenario: RelayScenario, count: int, options: Options) -> Any:
    try:
        return pair.measure(scenario, count)
    except Failed as failed:
        options.say(f"lost a run of {pair.relay.name} in {scenario.name}: {failed}")
        return None


# ---- attaching


def _attach(options: Options) -> list[Any]:
    samples: list[Any] = []
    for relay in _built([topics.ATTACH_SUBJECT], options):
        for round_ in range(options.rounds):
            options.say(f"attach, round {round_ + 1} of {options.rounds}")
            try:
                samples.append(pairs.attach(relay, topics.ATTACH_TOPICS))
            except Failed as failed:
                options.say(f"lost a run of {relay.name}: {failed}")
                samples.append(None)
    return samples


# ---- memory


def _memory(options: Options) -> dict[str, float]:
    """kB of what listening takes, by what it is."""
    memory: dict[str, float] = {}
    sockets = topics.MANY_SOCKETS // (4 if options.quick else 1)
    for subject in topics.MEMORY_SUBJECTS:
        if subject.name not in options.only:
            continue
        options.say(f"memory of {subject.name}")
        try:
            memory |= _memory_of(subject, sockets)
        except Failed as failed:
            options.say(f"skipped {subject.name} in {topics.TOPIC_MEMORY}: {failed}")
    return memory


def _memory_of(subject: Subject, sockets: int) -> dict[str, float]:
    processes.make_environment(subject.environment)
    processes.install_checkout(subject.environment)
    if subject.name == "topics_redis":
        with pairs.redis() as redis, _environment("BENCH_REDIS", redis.url):
            return {"a topic of the process, over Redis": _of_many_topics(subject)[0]}
    wanted = [{"topic": f"topic-{n}"} for n in range(topics.TOPICS_OF_MANY)]
    subscribe = json.dumps({"uuid": 1, "route": "$sub", "payload": {"topics": wanted}})
    called, listening = (_a_socket(subject, sockets, hello) for hello in (CALL, subscribe))
    channel, subscription = _of_many_topics(subject)
    return {
        "a socket that has made a call": called,
        "a subscription, where many sockets have few": (listening - called) / len(wanted),
        "a subscription, where one socket has many": subscription,
        "a topic of the process, without a broker": channel,
    }


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _a_socket(subject: Subject, sockets: int, hello: str) -> float:
    """Of so many, each of which has said `hello`."""
    options = ("--hello", hello, "--init-recv", "1")
    with processes.serving(subject) as server:
        with idle_connections(server, 20, *options):
            pass  # what is loaded with the first connections is no cost of the others
        return _added(server, idle_connections(server, sockets, *options)) / sockets


def _of_many_topics(subject: Subject) -> tuple[float, float]:
    """What a topic takes in the process, and one more socket that listens to it."""
    count = topics.MANY_TOPICS

    def client(number: int) -> AbstractContextManager[None]:
        return processes.connected_client(server, "many_topics", number)

    with processes.serving(subject) as server:
        with client(20):
            pass
        time.sleep(0.3)
        with ExitStack() as stack:
            first = _entered(server, client(count), stack)
            second = _entered(server, client(count), stack)
    return (first - second) / count, second / count


def _added(server: Server, clients: AbstractContextManager[None]) -> float:
    with ExitStack() as stack:
        time.sleep(0.3)
        return _entered(server, clients, stack)


def _entered(server: Server, clients: AbstractContextManager[None], stack: ExitStack) -> float:
    """kB of resident memory that these clients add to a server, which they stay with."""
    before = server.rss_kb()
    stack.enter_context(clients)
    time.sleep(0.5)
    return server.rss_kb() - before
