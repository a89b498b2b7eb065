"""From samples of topics to Markdown, as `report` does it."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import catalog_topics as topics
from catalog_topics import RELAY_64, RELAY_PACED, RelayGoal
from report import Samples, microseconds, table
from topics import Results

PARTS = ("publisher_us", "listener_us", "broker_us", "cpu_us")


def _values(runs: Iterable[Any], what: str) -> list[float]:
    return [run[what] for run in runs if run and what in run]


def _cell(samples: Samples, scenario: str, subject: str, what: str) -> str:
    values = _values(samples.get(scenario, {}).get(subject, ()), what)
    if not values:
        return "-"
    return f"{median(values):,.0f}" if what == "per_s" else microseconds(values)


def relay_table(samples: Samples) -> str:
    columns = [
        *((RELAY_PACED.name, what) for what in ("p50", "p99", "cpu_us")),
        *((RELAY_64.name, what) for what in ("per_s", *PARTS)),
    ]
    subjects = [r.name for r in topics.RELAYS if any(r.name in runs for runs in samples.values())]
    rows = [
        [f"`{name}`", *(_cell(samples, scenario, name, what) for scenario, what in columns)]
        for name in subjects
    ]
    head = ["subject", "paced: p50", "p99", "CPU", "64 in flight: events/s"]
    return table([*head, "CPU of the publisher", "listener", "Redis", "all"], rows)


def attach_table(samples: Sequence[Any]) -> str:
    rows = []
    for what, title in (("attach_s", "at the beginning"), ("again_s", "after a loss")):
        values = _values(samples, what)
        if values:
            rows.append([title, f"{median(values):.2f}", f"{min(values):.2f} to {max(values):.2f}"])
    return table(["to listen to 10,000 topics", "seconds", "rounds"], rows)


def memory_table(memory: Mapping[str, float]) -> str:
    return table(["memory of", "kB"], [[what, f"{kb:.2f}"] for what, kb in memory.items()])


def _ratios(samples: Samples, goal: RelayGoal) -> list[float]:
    runs = samples.get(RELAY_64.name, {})
    both = zip(runs.get(goal.subject, ()), runs.get(goal.peer, ()), strict=False)
    return [ours["cpu_us"] / theirs["cpu_us"] for ours, theirs in both if ours and theirs]


def _verdict(scenario: str, what: str, bound: float, values: Sequence[float]) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "what": what,
        "goal": f"≤ {bound:.2f}",
        "measured": f"{median(values):.2f}",
        "rounds": f"{min(values):.2f} to {max(values):.2f}",
        "met": median(values) <= bound,
    }


def judged(results: Results) -> list[dict[str, Any]]:
    verdicts = []
    for goal in topics.RELAY_GOALS:
        if values := _ratios(results.relays, goal):
            what = f"CPU of `{goal.subject}` / `{goal.peer}`"
            verdicts.append(_verdict(RELAY_64.name, what, goal.bound, values))
    for key, what in (("attach_s", "seconds"), ("again_s", "seconds, after a loss")):
        if values := _values(results.attach, key):
            verdicts.append(_verdict(topics.ATTACH, what, topics.ATTACH_GOAL_SECONDS, values))
    return verdicts


def show(results: Results) -> None:
    """Print the tables of what was measured."""
    if results.relays:
        print("\nRelays, from one process to another; latency and CPU of an event in µs:\n")
        print(relay_table(results.relays))
    if any(results.attach):
        print("\nListening to many topics, over Redis:\n")
        print(attach_table(results.attach))
    if results.memory:
        print("\nMemory of topics:\n")
        print(memory_table(results.memory))
