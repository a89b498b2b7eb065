"""
Everything that must hold, by one command on a fresh machine: `python3 scripts/test.py`.

    test.py           lint, types, all tests on every Python >= 3.11 found, on the oldest and
                      the newest FastAPI, against the built wheel (bursts of load on one of
                      them); the fast lane's own on each older uvicorn that it knows; then the
                      npm package
    test.py check     lint and types
    test.py fast      the quick tests, on one Python and the newest FastAPI
    test.py types     no test: write anew what is made of contracts and kept here

With the fast lane and without it: what speaks frames by hand (tests/integration) runs on each
of uvicorn's WebSocket implementations and on the lane (on Pythons between the oldest and the
newest on two of them), and the conversations of vectors/ on the sans-I/O one and on the lane;
tests/framing compares these two without sockets. That is so in each environment but those of
older uvicorns, where it is the lane's half of it alone. All else that starts a server takes the
lane: other processes, the examples, the npm package in Node and in the browser. On the oldest
FastAPI it takes what uvicorn would. UVICORN_WS says otherwise, such as `UVICORN_WS=auto test.py
fast`.

Needs Python with venv and, for the npm package, AsyncAPI and pyright, Node 20 and npm. Virtual
environments are kept in .venvs/ and made anew only when what they hold changed.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
DIST = ROOT / ".build" / "dist"
OLDEST = (3, 11)

NEWEST = ROOT / "constraints" / "newest.txt"
FLOOR = ROOT / "constraints" / "floor.txt"
TOOLS = ROOT / "constraints" / "tools.txt"
TESTS = ROOT / "tests" / "requirements.txt"

LANE = ROOT / "src" / "fastapi_observable_socket" / "_lane.py"

QUICK = ["-m", "not slow"]
SLOW = ["-m", "slow"]

FAST_LANE = ("-k", "lane or framing")

AT_ONCE = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile"]
"""Most tests wait for a server half of the time. Bursts of load run one by one."""


def main(what: str) -> None:
    pythons = find_pythons()
    if not pythons:
        stop("no Python >= 3.11 found: install one (Debian: apt-get install python3 python3-venv)")
    version = min(pythons)
    print(f"Pythons: {', '.join('.'.join(map(str, v)) for v in sorted(pythons))}", flush=True)
    if what in ("all", "check"):
        check(pythons[version])
    if what == "check":
        return
    if what == "types":
        write_types(pythons[version], version)
        return
    wheel = build(pythons[version])
    ensure_redis()
    if what == "fast":
        run_tests(pythons[version], version, "newest", NEWEST, wheel, bursts=False)
        return
    ensure_asyncapi_checker()
    run_tests(pythons[version], version, "floor", FLOOR, wheel, bursts=False, UVICORN_WS="auto")
    for constraints in older_uvicorns():
        name = constraints.stem
        run_tests(pythons[version], version, name, constraints, wheel, False, FAST_LANE)
    for version in sorted(pythons):
        # Bursts of load tell the same on every Python: the oldest bears them.
        bursts = version == min(pythons)
        # So do uvicorn's older ways to speak frames: those between take the newest and ours.
        ends = version in (min(pythons), max(pythons))
        kinds = {} if ends else {"FOS_IMPLEMENTATIONS": "websockets-sansio,lane"}
        run_tests(pythons[version], version, "newest", NEWEST, wheel, bursts, **kinds)
    test_npm_package(VENVS / f"{name_of(min(pythons))}-newest" / "bin" / "python")
    print("\nall checks passed", flush=True)


# --- Pythons


def find_pythons() -> dict[tuple[int, int], Path]:
    """One interpreter for each minor version from 3.11 on: on PATH first, then pyenv's."""
    names = ["python3"] + [f"python3.{minor}" for minor in range(11, 20)]
    candidates = [Path(found) for name in names if (found := shutil.which(name))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += sorted(pyenv.glob("3.*/bin/python3"))
    found = {}
    for candidate in candidates:
        version = version_of(candidate)
        if version and version >= OLDEST:
            found.setdefault(version, candidate)
    return found


def version_of(python: Path) -> tuple[int, int] | None:
    ask = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    answer = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=False)
    numbers = answer.stdout.split()
    return (int(numbers[0]), int(numbers[1])) if answer.returncode == 0 else None


def name_of(version: tuple[int, int]) -> str:
    return "py" + ".".join(map(str, version))


# --- virtual environments


def environment(python: Path, name: str, *arguments: str) -> Path:
    """The python of a virtual environment that holds what `pip install arguments` brings."""
    folder = VENVS / name
    inside = folder / "bin" / "python"
    mark = folder / "made-of"
    files = [Path(a) for a in arguments if a.endswith(".txt")]
    content = " ".join(arguments) + "".join(f.read_text() for f in files) + str(python)
    digest = hashlib.sha256(content.encode()).hexdigest()
    if mark.exists() and mark.read_text() == digest:
        return inside
    step(f"making .venvs/{name}")
    shutil.rmtree(folder, ignore_errors=True)
    run([str(python), "-m", "venv", str(folder)])
    pip(inside, *arguments)
    mark.write_text(digest)
    return inside


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    for attempt in (1, 2, 3):
        done = subprocess.run([*command, *arguments], cwd=ROOT, check=False)
        if done.returncode == 0:
            return
        if attempt < 3:
            print("pip failed, trying again", flush=True)
            time.sleep(5 * attempt)
    stop(f"pip install {' '.join(arguments)} failed three times")


# --- the checks


def check(python: Path) -> None:
    inside = environment(
        python,
        "check",
        "-r",
        str(TOOLS),
        "-r",
        str(TESTS),
        "-c",
        str(NEWEST),
        "fastapi",
        "msgspec",
    )
    bin_folder = inside.parent
    places = ["src", "tests", "scripts", "bench", "examples"]
    step("ruff")
    run([str(bin_folder / "ruff"), "check", *places])
    run([str(bin_folder / "ruff"), "format", "--check", *places])
    step("mypy")
    run([str(bin_folder / "mypy")], MYPYPATH="src")
    step("pyright")
    if shutil.which("node") is None:
        stop("pyright needs Node 20: install node and npm")
    run([str(bin_folder / "pyright"), "--pythonpath", str(inside)])


def build(python: Path) -> Path:
    step("building the wheel")
    shutil.rmtree(DIST, ignore_errors=True)
    inside = environment(python, "build", "build", "-c", str(TOOLS))
    run([str(inside), "-m", "build", "-q", "--wheel", "--outdir", str(DIST), str(ROOT)])
    (wheel,) = DIST.glob("*.whl")
    return wheel


def write_types(python: Path, version: tuple[int, int]) -> None:
    name = f"{name_of(version)}-newest"
    inside = environment(python, name, "-r", str(TESTS), "-c", str(NEWEST), "fastapi", "msgspec")
    run([str(inside), "scripts/keep.py"], PYTHONPATH=str(ROOT / "src"))


def run_tests(
    python: Path,
    version: tuple[int, int],
    name: str,
    constraints: Path,
    wheel: Path,
    bursts: bool,
    select: tuple[str, ...] = (),
    **variables: str,
) -> None:
    """The suite against the installed wheel; `src` is not on the path."""
    full_name = f"{name_of(version)}-{name}"
    inside = environment(
        python, full_name, "-r", str(TESTS), "-c", str(constraints), "fastapi", "msgspec"
    )
    pip(inside, "--force-reinstall", "--no-deps", str(wheel))
    step(f"tests on {full_name}")
    started = time.monotonic()
    for options in [[*QUICK, *AT_ONCE], SLOW] if bursts else [[*QUICK, *AT_ONCE]]:
        command = [str(inside), "-m", "pytest", *select, *options]
        run(command, PYTHONPATH="", FOS_INSTALLED="1", **variables)
    print(f"{full_name}: {time.monotonic() - started:.0f} s", flush=True)


def older_uvicorns() -> list[Path]:
    """Constraints for each minor version that the fast lane knows, but for that of newest.txt."""
    newest = NEWEST.read_text()
    found = re.search(r"^SUPPORTED.*= (\(.+\))$", LANE.read_text(), re.MULTILINE)
    made = []
    for minor in ast.literal_eval(found[1]) if found else stop(f"no SUPPORTED in {LANE}"):
        if f"\nuvicorn=={minor}." not in newest:
            made.append(VENVS / f"uvicorn-{minor}.txt")
            VENVS.mkdir(exist_ok=True)
            made[-1].write_text(re.sub(r"(?m)^uvicorn==.*", f"uvicorn=={minor}.*", newest))
    return made


def test_npm_package(python: Path) -> None:
    js = ROOT / "js"
    if not (js / "package.json").exists():
        return
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            stop(f"the npm package needs {tool}: install Node 20")
    ensure_chromium()
    step("npm package")
    run(["npm", "ci", "--no-audit", "--no-fund"], cwd=js)
    run(["npm", "test"], cwd=js, FOS_PYTHON=str(python), FOS_REQUIRE_SERVER="1")
    run(["npm", "run", "test:browser"], cwd=js, FOS_PYTHON=str(python), FOS_REQUIRE_BROWSER="1")


def ensure_chromium() -> None:
    if shutil.which("chromium"):
        return
    if not can_install():
        stop("the browser tests need Chromium: install it (Debian: apt-get install chromium)")
    apt_get("chromium")


def ensure_redis() -> None:
    if shutil.which("redis-server") or shutil.which("valkey-server"):
        return
    if not can_install():
        stop("the tests of topics need Redis: install it (Debian: apt-get install redis-server)")
    apt_get("redis-server")


def ensure_asyncapi_checker() -> None:
    """The official parser; from here on a test that does without it fails."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            stop(f"the tests of AsyncAPI documents need {tool}: install Node 20")
    step("AsyncAPI checker")
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    run(command, cwd=ROOT / "tests" / "asyncapi")
    os.environ["FOS_REQUIRE_ASYNCAPI"] = "1"


def can_install() -> bool:
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def apt_get(package: str) -> None:
    step(f"installing {package}")
    run(["apt-get", "update", "-qq"])
    run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
        DEBIAN_FRONTEND="noninteractive",
        RUNLEVEL="1",
    )


# --- running


def step(text: str) -> None:
    print(f"\n--- {text}", flush=True)


def run(command: list[str], cwd: Path = ROOT, **variables: str) -> None:
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **variables}, check=False)
    if done.returncode != 0:
        stop(f"failed: {re.sub(re.escape(str(ROOT)) + '/?', '', ' '.join(command))}")


def stop(why: str) -> NoReturn:
    print(f"\n{why}", file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    arguments = sys.argv[1:] or ["all"]
    if arguments not in (["all"], ["check"], ["fast"], ["types"]):
        sys.exit(__doc__)
    main(arguments[0])
