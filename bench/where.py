"""
Where each microsecond of one call goes, on the plain way and on the lane: a Markdown table.

    python3 bench/where.py [ROUNDS]

CPU of the server is measured as by `run.py`; `stages.py` measures, in a process of its own, what of
it is spent above the transport.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

import processes
from catalog import CALL_SCENARIOS, CALL_SUBJECTS
from processes import HERE, Failed, last_line, python_of
from report import microseconds, table
from run import machine, rehearse

SECONDS = 0.6
SUBJECTS = ("ours", "lane")
SCENARIOS = {"pipelined": "64", "one": "1"}  # and the batch that is the same in `stages.py`


def stages() -> dict[str, Any]:
    done = subprocess.run(
        [python_of("fastapi"), "-m", "stages"],
        check=False,
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Failed(f"stages.py: {last_line(done.stderr)}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def parts(stage: dict[str, float], path: dict[str, float], server: float) -> Iterator[float]:
    """They add up to `server`, since each is a difference, or is in one."""
    dispatched = stage["payload"] + stage["handler"] + stage["encoded"]
    yield path["taken"]
    yield stage["session"]
    yield path["whole"] - path["answered"] - stage["session"] - stage["dispatch"]
    yield stage["payload"]
    yield stage["handler"]
    yield stage["encoded"]
    yield stage["dispatch"] - dispatched
    yield path["answered"] - path["taken"]
    yield server - path["whole"]
    yield server


ROWS = (
    "a frame in: uvicorn's parser and ASGI's `receive`, or the lane's `take`",
    "envelope decoded: `ServerSession.receive`",
    "admission, and all else in the connection",
    "payload decoded: `decode_payload`",
    "the handler",
    "answer encoded: `encode_response`",
    "all else in `Dispatcher.answer`",
    "a frame out: ASGI's `send`, or the lane's `put`",
    "event loop, socket, kernel",
    "**all: CPU of the server**",
)


def middle(samples: list[Any]) -> Any:
    """Samples of one shape, each figure replaced by its median."""
    if isinstance(samples[0], dict):
        return {key: middle([sample[key] for sample in samples]) for key in samples[0]}
    return median(samples)


def measure(rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `stages.py` says, and the CPU of the servers by scenario and subject."""
    scenarios = [s for s in CALL_SCENARIOS if s.name in SCENARIOS]
    inside, servers = [], []
    with ExitStack() as stack:
        up = [
            stack.enter_context(processes.serving(subject))
            for subject in CALL_SUBJECTS
            if subject.name in SUBJECTS
        ]
        runs = [rehearse(server, scenario, SECONDS) for scenario in scenarios for server in up]
        for round_ in range(rounds):
            print(f"round {round_ + 1} of {rounds}", file=sys.stderr)
            inside.append(stages())
            cpu: dict[str, dict[str, float]] = {scenario.name: {} for scenario in scenarios}
            for run in runs:
                result = processes.measure(run.server, run.scenario, run.counted, run.warm_up)
                cpu[run.scenario.name][run.server.subject.name] = result["cpu_us"]
            servers.append(cpu)
    return middle(inside), middle(servers)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    try:
        processes.compile_load()
        processes.make_environment("fastapi")
        processes.install_checkout("fastapi")
        inside, servers = measure(rounds)
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    columns = [
        parts(inside["stages"], inside["paths"][batch][subject], servers[scenario][subject])
        for scenario, batch in SCENARIOS.items()
        for subject in SUBJECTS
    ]
    titles = {scenario.name: scenario.title for scenario in CALL_SCENARIOS}
    head = [f"`{subject}`, {titles[name]}" for name in SCENARIOS for subject in SUBJECTS]
    rows = [
        [what, *(microseconds([value]) for value in values)]
        for what, *values in zip(ROWS, *columns, strict=True)
    ]
    print(f"{machine()}\n\n{table(['µs of CPU a call', *head], rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
