"""
Everything that runs beside the driver: environments, servers, the load generator, clients.

Servers share one core, and the load or the client has another, so that neither takes the
other's time.
Linux only: it needs epoll, /proc and processor affinity.
"""

import hashlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog import Scenario, Subject

HERE = Path(__file__).resolve().parent
BUILD = HERE / ".build"
LOAD = BUILD / "load"

START_SECONDS = 20.0
CLIENT_SECONDS = 60.0
UVICORN = (
    *("--loop", "uvloop", "--http", "httptools", "--ws-per-message-deflate", "false"),
    *("--no-access-log", "--log-level", "warning"),
)


class Failed(Exception):
    """A build, a server or a load that did not do what it should; says why in a line."""


def cores() -> tuple[int, int]:
    """The core of the servers and the core of the load: the same one where there is no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[1 % len(allowed)]


def _checked(command: list[str], what: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr or done.stdout
        errors = [line for line in said.splitlines() if line.upper().startswith("ERROR")]
        raise Failed(f"{what} failed: {last_line(errors[0] if errors else said)}")


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


# ---- what has to be built first


def compile_load() -> None:
    source = HERE / "load.c"
    BUILD.mkdir(exist_ok=True)
    if not LOAD.exists() or LOAD.stat().st_mtime < source.stat().st_mtime:
        _checked(["cc", "-O2", "-o", str(LOAD), str(source)], "compiling load.c")


def python_of(environment: str) -> str:
    return str(BUILD / "venvs" / environment / "bin" / "python")


def _pip(environment: str, *arguments: str) -> None:
    command = [python_of(environment), "-m", "pip", "install", "--quiet"]
    command += ["--disable-pip-version-check", *arguments]
    _checked(command, f"installing into {environment}")


def make_environment(environment: str) -> None:
    """A virtual environment with just what its requirements file names; made once."""
    requirements = HERE / "requirements" / f"{environment}.txt"
    stamp = BUILD / "venvs" / f"{environment}.stamp"
    wanted = f"{sys.version}\n{requirements.read_text()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"making the environment {environment}", file=sys.stderr)
    folder = str(BUILD / "venvs" / environment)
    _checked([sys.executable, "-m", "venv", "--clear", folder], f"making {environment}")
    _pip(environment, "-r", str(requirements))
    stamp.write_text(wanted)


def install_checkout(environment: str) -> None:
    """This package as it stands in this checkout, built anew when its source has changed."""
    root = HERE.parent
    if not (root / "pyproject.toml").exists():
        raise Failed("this checkout has no pyproject.toml")
    digest = hashlib.sha256((BUILD / "venvs" / f"{environment}.stamp").read_bytes())
    for file in sorted([root / "pyproject.toml", *(root / "src").rglob("*")]):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(str(file).encode() + file.read_bytes())
    stamp = BUILD / "venvs" / f"{environment}.checkout"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    print("installing this checkout", file=sys.stderr)
    constraints = str(HERE / "requirements" / f"{environment}.txt")
    _pip(environment, "-c", constraints, str(root))
    # The version stays the same while the source changes: pip would leave the old one.
    _pip(environment, "--force-reinstall", "--no-deps", str(root))
    stamp.write_text(digest.hexdigest())


# ---- servers


@dataclass(frozen=True, slots=True)
class Server:
    subject: Subject
    port: int
    pid: int

    def rss_kb(self) -> int:
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Rss:")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _command(subject: Subject, port: int) -> list[str]:
    python, module = python_of(subject.environment), f"subjects.{subject.server or subject.name}"
    if subject.own:
        return [python, "-m", module, str(port)]
    options = ["--port", str(port), "--ws", subject.ws, *UVICORN]
    return [python, "-m", "uvicorn", f"{module}:app", *options]


@contextmanager
def serving(subject: Subject) -> Iterator[Server]:
    """The subject's server, once it listens, until the block is left."""
    port = free_port()
    log = BUILD / f"{subject.name}.log"
    with log.open("w") as output:
        # From the folder above `subjects`, so that `subjects/chanx.py` hides no `chanx`.
        command = _command(subject, port)
        process = subprocess.Popen(command, cwd=HERE, stdout=output, stderr=output)
    try:
        os.sched_setaffinity(process.pid, {cores()[0]})
        _await_listening(process, port, log)
        yield Server(subject, port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed(f"did not start: {last_line(log.read_text())}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Failed(f"did not listen within {START_SECONDS:.0f} s")


def allow_many_files() -> None:
    """Servers inherit the limit; each idle connection takes a file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# ---- load


def _load(server: Server, *options: str) -> subprocess.Popen[str]:
    where = ["-p", str(server.port), "-u", server.subject.path]
    process = subprocess.Popen(
        [str(LOAD), *where, *server.subject.dialect.options, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.sched_setaffinity(process.pid, {cores()[1]})
    return process


def _calls(server: Server, scenario: Scenario, *options: str) -> tuple[dict[str, Any], str]:
    dialect = server.subject.dialect
    with tempfile.NamedTemporaryFile("w", suffix=".call") as file:
        file.write(dialect.call(scenario.job, scenario.headers, scenario.payload))
        file.flush()
        what = ("-f", file.name, "--id-key", dialect.id_key, *scenario.options)
        process = _load(server, *what, *options)
        stdout, stderr = process.communicate()
    if process.returncode:
        raise Failed(f"{stdout.strip()} {last_line(stderr)}")
    result: dict[str, Any] = json.loads(stdout)
    return result, stderr


def check_answer(server: Server, scenario: Scenario) -> None:
    """One call, whose answer has to hold the right result."""
    if server.subject.client:
        _client(server, 1, 1, 0)
        return
    result, answer = _calls(server, scenario, "-n", "1", "-t", "10", "--show")
    right = scenario.expected in "".join(answer.split())
    if not right or result.get("items", 0) != scenario.items:
        raise Failed(f"answered wrongly: {answer[:200].strip()}")


def measure(server: Server, scenario: Scenario, counted: int, warm_up: int) -> dict[str, Any]:
    """What the load generator, or the client, says of `counted` calls."""
    if server.subject.client:
        return _client(server, scenario.in_flight, counted, warm_up)
    result, _ = _calls(
        server,
        scenario,
        *("-c", str(scenario.connections), "-k", str(scenario.in_flight)),
        *("-n", str(counted), "-w", str(warm_up), "--pid", str(server.pid)),
    )
    return result


def _client(server: Server, in_flight: int, counted: int, warm_up: int) -> dict[str, Any]:
    """What a client says of its own calls, in a process of its own."""
    subject = server.subject
    command = [python_of(subject.environment), "-m", f"clients.{subject.client}"]
    command += [str(number) for number in (server.port, in_flight, counted, warm_up)]
    process = subprocess.Popen(
        # From the folder above `clients`, so that `clients/socketio.py` hides no `socketio`.
        command,
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.sched_setaffinity(process.pid, {cores()[1]})
    try:
        stdout, stderr = process.communicate(timeout=CLIENT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed(f"the client did not end within {CLIENT_SECONDS:.0f} s") from None
    if process.returncode:
        raise Failed(last_line(stderr))
    result: dict[str, Any] = json.loads(stdout)
    return result


@contextmanager
def idle_connections(server: Server, count: int, *options: str) -> Iterator[None]:
    """So many open connections, silent but for heartbeats, until the block is left."""
    with _ready(_load(server, "--idle", str(count), *options)):
        yield


@contextmanager
def connected_client(server: Server, module: str, *arguments: object) -> Iterator[None]:
    """A client that has done what it is there for, and stays, until the block is left."""
    command = [python_of(server.subject.environment), "-m", f"clients.{module}", str(server.port)]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.sched_setaffinity(process.pid, {cores()[1]})
    with _ready(process):
        yield


@contextmanager
def _ready(process: subprocess.Popen[str]) -> Iterator[None]:
    assert process.stdout
    assert process.stderr
    try:
        if not process.stdout.readline().startswith("READY"):
            raise Failed(last_line(process.stderr.read()))
        yield
    finally:
        process.communicate()  # closes its stdin, which ends it
