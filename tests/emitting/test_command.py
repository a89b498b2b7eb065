"""`contract --typescript --python`, with `--check` and `--watch`."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastapi_observable_socket.__main__ import main
from fastapi_observable_socket._made import document
from fastapi_observable_socket._watch import sources
from fastapi_observable_socket.contract import contract_of

APP = """
from fastapi_observable_socket import SocketRouter

router = SocketRouter(title="Shop", version="1")


@router.route("sum")
async def add(payload: list[int]) -> {result}:
    return {result}(sum(payload))
"""


class Folder:
    """A folder with an application in it, whose module has a name of its own."""

    number = 0

    def __init__(self, path: Path) -> None:
        Folder.number += 1
        self.path = path
        self.module = f"shop_{Folder.number}"
        self.write("int")

    def write(self, result: str) -> None:
        (self.path / f"{self.module}.py").write_text(APP.format(result=result))

    def says(self, name: str, text: str) -> bool:
        file = self.path / name
        return file.exists() and text in file.read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return Folder(tmp_path)


Run = Callable[..., tuple[Any, str, str]]


@pytest.fixture
def run(folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Run:
    """`contract` of the folder's application, in this process: exit code, output, errors."""

    def run(*arguments: str) -> tuple[Any, str, str]:
        command = ["fos", "contract", f"{folder.module}:router", *arguments]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run


def test_files_are_written_and_left_alone_where_they_say_the_same(run: Run, folder: Folder):
    wanted = ("--typescript", "page/routes.ts", "--python", "routes.py", "-o", "contract.json")
    code, out, err = run(*wanted)
    assert (code, out) == (0, "")
    assert err.splitlines() == ["wrote contract.json", "wrote page/routes.ts", "wrote routes.py"]
    assert folder.says("page/routes.ts", "sum: { payload: number[]; result: number }")
    assert folder.says("routes.py", 'sum_ = Route[list[int], int]("sum")')
    assert folder.says("contract.json", '"title": "Shop"')
    before = (folder.path / "page" / "routes.ts").stat().st_mtime_ns
    assert run(*wanted) == (0, "", "")
    assert (folder.path / "page" / "routes.ts").stat().st_mtime_ns == before


def test_a_hyphen_is_standard_output(run: Run):
    code, out, err = run("--typescript", "-", "--no-register")
    assert (code, err) == (0, "")
    assert out.endswith("export interface Topics {}\n")
    assert "declare module" in run("--typescript", "-")[1]


def test_a_declaration_file_holds_no_value(run: Run, folder: Folder):
    run("--typescript", "routes.d.ts")
    assert folder.says("routes.d.ts", "interface Routes")
    assert not folder.says("routes.d.ts", "export const")


def test_json_is_what_is_shown_where_nothing_else_is_asked_for(run: Run):
    assert run()[1].startswith('{\n  "format": 1')
    code, out, _ = run("--json", "--typescript", "routes.ts")
    assert code == 0
    assert out.startswith('{\n  "format": 1')


def test_the_schema_is_one_of_the_models_alone(run: Run, torture: ModuleType):
    code, out, _ = run("--schema")
    assert code == 0
    assert json.loads(out) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Shop",
        "definitions": {},
    }
    whole = json.loads(document(contract_of(torture.router()), "--schema"))
    references = set(re.findall(r'"#/definitions/([^"]+)"', json.dumps(whole)))
    assert references
    assert references <= whole["definitions"].keys()


def test_check_tells_stale_files_and_writes_nothing(run: Run, folder: Folder):
    wanted = ("--typescript", "routes.ts", "--python", "routes.py")
    code, _, err = run(*wanted, "--check")
    assert code == 1
    assert "routes.ts is stale" in err
    assert not (folder.path / "routes.ts").exists()
    run(*wanted)
    assert run(*wanted, "--check") == (0, "", "")
    (folder.path / "routes.py").write_text("edited")
    code, _, err = run(*wanted, "--check")
    assert code == 1
    assert err == "routes.py is stale: write it anew, by the same command without --check\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--check",),
        ("--watch",),
        ("--watch", "--typescript", "-"),
        ("--watch", "--check", "--typescript", "routes.ts"),
    ],
)
def test_check_and_watch_are_about_files_and_not_for_each_other(run: Run, arguments: Any):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("--check and --watch")


def test_only_sources_of_ones_own_are_watched(folder: Folder):
    for name in ("a.py", "b.txt", ".venv/c.py", "env/pyvenv.cfg", "env/d.py", "node_modules/e.py"):
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text("")
    (folder.path / "gone.py").symlink_to("nowhere")
    found = {Path(each).name for each in sources(folder.path)}
    assert found == {"a.py", f"{folder.module}.py"}


# --- watching


def until(fact: Callable[[], bool], process: "subprocess.Popen[Any]") -> None:
    deadline = time.monotonic() + 30
    while not fact():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.02)


WITHOUT_WATCHFILES = """
import runpy, sys
sys.modules["watchfiles"] = None
runpy.run_module("fastapi_observable_socket", run_name="__main__")
"""


@pytest.fixture(params=["told", pytest.param("looking", marks=pytest.mark.slow)])
def watching(request: Any, folder: Folder) -> Iterator["subprocess.Popen[Any]"]:
    """The command in a process of its own, told of changes by watchfiles, or looking itself."""
    how = ["-m", "fastapi_observable_socket"]
    if request.param == "looking":
        how = ["-c", WITHOUT_WATCHFILES]
    wanted = ["contract", f"{folder.module}:router", "--typescript", "routes.ts", "--watch"]
    process = subprocess.Popen(
        [sys.executable, *how, *wanted],
        cwd=folder.path,
        stderr=(folder.path / "said").open("w"),
        # Whoever runs the tests in the background has Ctrl-C ignored, and we inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    yield process
    process.kill()
    process.wait(20)


def test_watching_goes_on_after_mistakes_and_ends_by_ctrl_c(
    watching: "subprocess.Popen[Any]", folder: Folder
):
    until(lambda: folder.says("said", "watching"), watching)
    assert folder.says("routes.ts", "result: number }")
    folder.write("None) -> (")
    until(lambda: folder.says("said", "SyntaxError"), watching)
    assert folder.says("routes.ts", "result: number }")
    folder.write("str")
    until(lambda: folder.says("routes.ts", "result: string }"), watching)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) == 130
    assert not folder.says("said", "KeyboardInterrupt")
