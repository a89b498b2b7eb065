"""
From samples to Markdown.

A ratio is taken within one round, between runs a few seconds apart, and the median of
the rounds is shown: the machine's speed drifts, and the same drift meets both.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from catalog import GOALS, IDLE_GOALS, SCENARIOS, Contest, Goal, IdleGoal

Sample = Mapping[str, Any]
# By scenario, then by subject: a sample for each round, None where one failed.
Samples = Mapping[str, Mapping[str, Sequence[Sample | None]]]


def goes_by(scenario: str) -> str:
    return next(s.by for s in SCENARIOS if s.name == scenario)


def rate(run: Sample) -> float:
    """Answers a second, or items where the answers come in many."""
    return float(run.get("items_per_s", run["per_s"]))


def ratios(samples: Samples, scenario: str, subject: str, peer: str, by: str = "") -> list[float]:
    """How many times as fast as its peer the subject was, in each round that has both."""
    by = by or goes_by(scenario)
    runs = samples.get(scenario, {})
    pairs = zip(runs.get(subject, ()), runs.get(peer, ()), strict=False)
    return [
        rate(ours) / rate(theirs) if by == "rate" else theirs[by] / ours[by]
        for ours, theirs in pairs
        if ours and theirs
    ]


def cpu(samples: Samples, scenario: str, subject: str) -> list[float]:
    """µs an answer, or an item where the answers come in many."""
    runs = samples.get(scenario, {}).get(subject, ())
    return [run.get("item_cpu_us", run["cpu_us"]) for run in runs if run]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _ratio(values: Sequence[float]) -> str:
    return f"{median(values):.2f}" if values else "-"


def microseconds(values: Sequence[float]) -> str:
    if not values:
        return "-"
    value = median(values)
    return f"{value:.1f}" if value < 30 else f"{value:.0f}"


def _contest_table(
    samples: Samples, contest: Contest, subjects: Sequence[str], cell: Callable[[str, str], str]
) -> str:
    shown = [s for s in contest.scenarios if s.name in samples]
    names = [s.name for s in contest.subjects if s.name in subjects]
    rows = [[f"`{name}`", *(cell(s.name, name) for s in shown)] for name in names]
    return table(["subject", *(s.title for s in shown)], rows)


def ratio_table(samples: Samples, contest: Contest, subjects: Sequence[str]) -> str:
    def cell(scenario: str, subject: str) -> str:
        return _ratio(ratios(samples, scenario, subject, contest.base))

    return _contest_table(samples, contest, subjects, cell)


def cpu_table(samples: Samples, contest: Contest, subjects: Sequence[str]) -> str:
    def cell(scenario: str, subject: str) -> str:
        return microseconds(cpu(samples, scenario, subject))

    return _contest_table(samples, contest, subjects, cell)


def latency_table(samples: Samples, contest: Contest, subjects: Sequence[str]) -> str:
    def cell(scenario: str, subject: str) -> str:
        runs = [run for run in samples[scenario].get(subject, ()) if run]
        return " / ".join(microseconds([run[by] for run in runs]) for by in ("p50", "p99"))

    return _contest_table(samples, contest, subjects, cell)


def memory_table(memory: Mapping[str, float]) -> str:
    rows = [[f"`{name}`", f"{kb:.1f}"] for name, kb in memory.items()]
    return table(["subject", "kB a connection"], rows)


def judge(goal: Goal, samples: Samples) -> dict[str, Any] | None:
    """None when the run did not measure what the goal compares."""
    by = goal.by or goes_by(goal.scenario)
    values = ratios(samples, goal.scenario, goal.subject, goal.peer, by)
    if not values:
        return None
    latency = by != "rate"
    if latency:
        values = [1 / value for value in values]
    reached = median(values)
    return {
        "scenario": goal.scenario,
        "what": f"{by} of `{goal.subject}` / `{goal.peer}`",
        "goal": f"{'≤' if latency else '≥'} {goal.bound:.2f}",
        "measured": f"{reached:.2f}",
        "rounds": f"{min(values):.2f} to {max(values):.2f}",
        "met": reached <= goal.bound if latency else reached >= goal.bound,
    }


def judge_memory(goal: IdleGoal, memory: Mapping[str, float]) -> dict[str, Any] | None:
    if goal.subject not in memory or goal.peer not in memory:
        return None
    more = memory[goal.subject] - memory[goal.peer]
    return {
        "scenario": "memory",
        "what": f"kB of `{goal.subject}` above `{goal.peer}`",
        "goal": f"≤ {goal.more:.0f}",
        "measured": f"{more:.1f}",
        "rounds": "",
        "met": more <= goal.more,
    }


def judged(samples: Samples, memory: Mapping[str, float]) -> list[dict[str, Any]]:
    verdicts = [judge(goal, samples) for goal in GOALS]
    verdicts += [judge_memory(goal, memory) for goal in IDLE_GOALS]
    return [verdict for verdict in verdicts if verdict]


def goal_table(verdicts: Sequence[Mapping[str, Any]]) -> str:
    columns = ("scenario", "what", "goal", "measured", "rounds")
    rows = [[*(v[c] for c in columns), "met" if v["met"] else "**missed**"] for v in verdicts]
    return table([*columns, ""], rows)
