"""
Write anew what this repository keeps that is made of contracts: `python scripts/keep.py`.

With `--check` it writes nothing, and ends with 1 where something is stale. Needs the package,
and what the tests and the demo need, in the interpreter that runs it.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

KEPT = [
    ("examples/demo", "app:app", "--typescript", "routes.ts"),
    ("examples/demo", "app:app", "--typescript", "../react/src/routes.ts"),
    ("examples/llm", "app:app", "--typescript", "routes.ts"),
    ("tests/typing", "shop:router", "--python", "shop_routes.py"),
    (
        "tests",
        "torture:router",
        "--factory",
        "--typescript",
        "../js/tests/types/emitted/routes.ts",
    ),
]
"""Where to stand, and what to ask for."""


def main(*options: str) -> int:
    """The number of commands that failed."""
    command = [sys.executable, "-m", "fastapi_observable_socket", "contract"]
    running = [
        subprocess.Popen([*command, *wanted, *options], cwd=ROOT / folder)
        for folder, *wanted in KEPT
    ]
    return sum(each.wait() != 0 for each in running)


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
