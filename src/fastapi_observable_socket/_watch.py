"""
A command that is run again whenever Python files change.

What is run is a process of its own, so that it sees the files as they are. What it says of
their mistakes is shown, and is no end.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from ._shown import tell

OFTEN: Final = 0.5
"""Seconds between two looks where nobody tells of changes."""
SELDOM: Final = 5.0
"""Seconds after which to look, whoever tells of changes."""

_FOREIGN: Final = frozenset(["node_modules", "__pycache__", "site-packages"])


def watch(command: Sequence[str], folder: Path) -> NoReturn:
    """Run the command now, and after each change of a Python file in the folder. Ends by Ctrl-C."""
    seen: Mapping[str, tuple[int, int]] | None = None
    for _ in _wakes(folder):
        now = sources(folder)
        if now == seen:
            continue
        subprocess.run(command, check=False)
        if seen is None:
            tell(f"watching {folder}")
        seen = now
    raise AssertionError("wakes for ever")


def sources(folder: Path) -> Mapping[str, tuple[int, int]]:
    """When the folder's Python files were changed, and how long they are; those of others, such
    as of a virtual environment, are left out."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not _is_foreign(Path(place), each)]
        for file in files:
            if file.endswith(".py"):
                try:
                    stat = os.stat(os.path.join(place, file))
                except OSError:
                    continue  # gone again
                found[os.path.join(place, file)] = stat.st_mtime_ns, stat.st_size
    return found


def _is_foreign(place: Path, name: str) -> bool:
    return name[0] == "." or name in _FOREIGN or (place / name / "pyvenv.cfg").exists()


def _wakes(folder: Path) -> Iterator[object]:
    """Now, and whenever something may have changed."""
    yield None
    try:
        from watchfiles import PythonFilter, watch
    except ModuleNotFoundError:
        while True:
            time.sleep(OFTEN)
            yield None
    yield from watch(
        folder,
        watch_filter=PythonFilter(),
        step=50,
        debounce=400,
        rust_timeout=int(SELDOM * 1000),
        # What changed before it began to watch, it never tells.
        yield_on_timeout=True,
    )
