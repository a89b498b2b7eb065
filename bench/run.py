"""
Measures WebSocket servers, and clients, against each other and prints Markdown tables.

    python3 bench/run.py                    everything
    python3 bench/run.py --quick            a rough look
    python3 bench/run.py --only raw_json,ours --scenario pipelined,memory

All servers are started once and stay, idle while it is not their turn. Rounds are
interleaved: in each round, and for each scenario, every subject runs once.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import catalog
import catalog_topics
import processes
import report
import report_topics
import topics
from catalog import Contest, Scenario, Subject
from processes import Failed, Server

SHOWN_VERSIONS = ("fastapi", "msgspec", "pydantic", "starlette", "uvicorn", "uvloop", "websockets")


@dataclass(frozen=True, slots=True)
class Options:
    subjects: tuple[Subject, ...]
    scenarios: tuple[Scenario, ...]
    memory: bool
    topics: topics.Options
    rounds: int
    seconds: float  # what one run should take
    idle: int
    json: Path | None


@dataclass(frozen=True, slots=True)
class Run:
    """One cell of the table: how many calls take about as long as a run should."""

    server: Server
    scenario: Scenario
    counted: int
    warm_up: int


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def read_options() -> Options:
    parser = argparse.ArgumentParser(description="Compare WebSocket servers and clients.")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=float, default=0.6, help="of one run (0.6)")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    parser.add_argument("--only", metavar="A,B", help="only these subjects")
    parser.add_argument("--scenario", metavar="A,B", help=f"only these, {catalog.IDLE!r} being one")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all samples there")
    given = parser.parse_args()
    names = [*(s.name for s in catalog.SUBJECTS), *catalog_topics.SUBJECTS]
    kinds = [*(s.name for s in catalog.SCENARIOS), catalog.IDLE, *catalog_topics.SCENARIOS]
    wanted = given.only.split(",") if given.only else names
    shown = given.scenario.split(",") if given.scenario else kinds
    for name in set(wanted) - set(names) | set(shown) - set(kinds):
        parser.error(f"{name!r} is none of {', '.join(names)}; {', '.join(kinds)}")
    rounds = 2 if given.quick else given.rounds
    seconds = 0.2 if given.quick else given.seconds
    return Options(
        subjects=tuple(s for s in catalog.SUBJECTS if s.name in wanted),
        scenarios=tuple(s for s in catalog.SCENARIOS if s.name in shown),
        memory=catalog.IDLE in shown,
        topics=topics.Options(wanted, shown, rounds, seconds, given.quick, say),
        rounds=rounds,
        seconds=seconds,
        idle=500 if given.quick else catalog.IDLE_CONNECTIONS,
        json=given.json,
    )


def prepare(subjects: Iterable[Subject]) -> list[Subject]:
    """Builds what the subjects need, and leaves out those that cannot be built."""
    built = []
    for subject in subjects:
        try:
            processes.make_environment(subject.environment)
            if subject.checkout:
                processes.install_checkout(subject.environment)
        except Failed as failed:
            say(f"skipped {subject.name}: {failed}")
            continue
        built.append(subject)
    return built


def start(subjects: Iterable[Subject], stack: ExitStack) -> list[Server]:
    servers = []
    for subject in subjects:
        try:
            servers.append(stack.enter_context(processes.serving(subject)))
        except Failed as failed:
            say(f"skipped {subject.name}: {failed}")
    return servers


def rehearse(server: Server, scenario: Scenario, seconds: float) -> Run:
    """Checks an answer, warms the server, and finds out how fast it is."""
    processes.check_answer(server, scenario)
    at_once = scenario.at_once
    small = 2 * at_once if scenario.items else 10 * at_once + 100
    rate = processes.measure(server, scenario, small, small // 2)["per_s"]
    counted = max(small, int(rate * seconds * scenario.longer))
    # Whole bursts: where all that is under way is answered together, the rate of half a one is
    # any figure.
    counted -= counted % at_once
    return Run(server, scenario, counted, counted // 8 + at_once)


def chosen(contest: Contest, options: Options) -> list[Scenario]:
    return [s for s in contest.scenarios if s in options.scenarios]


def competing(options: Options) -> list[Subject]:
    """The subjects that have a scenario."""
    shown = [subject for c in catalog.CONTESTS if chosen(c, options) for subject in c.subjects]
    return [subject for subject in options.subjects if subject in shown]


def resting(options: Options) -> list[Subject]:
    """The subjects whose memory is measured."""
    return [s for s in options.subjects if options.memory and s.name in catalog.IDLE_SUBJECTS]


def plan(servers: Iterable[Server], options: Options) -> list[Run]:
    runs = []
    for server in servers:
        contest = next(c for c in catalog.CONTESTS if server.subject in c.subjects)
        for scenario in chosen(contest, options):
            try:
                runs.append(rehearse(server, scenario, options.seconds))
            except Failed as failed:
                say(f"skipped {server.subject.name} in {scenario.name}: {failed}")
    return runs


def measure(runs: Sequence[Run], options: Options) -> dict[str, dict[str, list[Any]]]:
    samples: dict[str, dict[str, list[Any]]] = {s.name: {} for s in options.scenarios}
    for round_ in range(options.rounds if runs else 0):
        say(f"round {round_ + 1} of {options.rounds}")
        for scenario in options.scenarios:
            for run in (r for r in runs if r.scenario is scenario):
                name = run.server.subject.name
                # Every round leaves an entry: ratios pair the entries of one round.
                results = samples[scenario.name].setdefault(name, [])
                try:
                    results.append(
                        processes.measure(run.server, scenario, run.counted, run.warm_up)
                    )
                except Failed as failed:
                    say(f"lost a run of {name} in {scenario.name}: {failed}")
                    results.append(None)
    return samples


def idle_kb(subject: Subject, count: int) -> float:
    """What a silent connection adds to a fresh server, in kB of resident memory."""
    with processes.serving(subject) as server:
        with processes.idle_connections(server, 20):
            pass  # what is loaded with the first connections is no cost of the others
        time.sleep(0.3)
        before = server.rss_kb()
        with processes.idle_connections(server, count):
            time.sleep(0.5)
            return (server.rss_kb() - before) / count


def measure_memory(subjects: Iterable[Subject], count: int) -> dict[str, float]:
    memory = {}
    for subject in subjects:
        say(f"memory of {subject.name}")
        try:
            memory[subject.name] = idle_kb(subject, count)
        except Failed as failed:
            say(f"skipped {subject.name} in {catalog.IDLE}: {failed}")
    return memory


def machine() -> str:
    """One line on what was measured with."""
    pins = (processes.HERE / "requirements" / "fastapi.txt").read_text().split()
    shown = [p.replace("==", " ") for p in pins if p.split("==")[0] in SHOWN_VERSIONS]
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, Python {platform.python_version()}, {', '.join(shown)}"


def show(
    samples: dict[str, dict[str, list[Any]]], memory: dict[str, float], subjects: Sequence[str]
) -> None:
    print(f"\n{machine()}")
    for contest in catalog.CONTESTS:
        if any(samples.get(scenario.name) for scenario in contest.scenarios):
            print(f"\n{contest.speed}:\n")
            print(report.ratio_table(samples, contest, subjects))
            print(f"\n{contest.cpu}:\n")
            print(report.cpu_table(samples, contest, subjects))
            if contest.latency:
                print(f"\n{contest.latency}:\n")
                print(report.latency_table(samples, contest, subjects))
    if memory:
        print("\nMemory of an idle connection:\n")
        print(report.memory_table(memory))


def main() -> int:
    options = read_options()
    processes.allow_many_files()
    try:
        processes.compile_load()
    except Failed as failed:
        say(str(failed))
        return 1
    began = time.monotonic()
    competitors, sleepers = competing(options), resting(options)
    built = prepare(s for s in options.subjects if s in competitors or s in sleepers)
    with ExitStack() as stack:
        servers = start((s for s in built if s in competitors), stack)
        samples = measure(plan(servers, options), options)
    memory = measure_memory((s for s in built if s in sleepers), options.idle)
    of_topics = topics.measure(options.topics)
    show(samples, memory, [server.subject.name for server in servers])
    report_topics.show(of_topics)
    verdicts = report.judged(samples, memory) + report_topics.judged(of_topics)
    if verdicts:
        print("\nGoals:\n")
        print(report.goal_table(verdicts))
    if options.json:
        results = {
            "machine": machine(),
            "samples": samples,
            "idle_kb": memory,
            "topics": asdict(of_topics),
            "goals": verdicts,
        }
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    say(f"took {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
