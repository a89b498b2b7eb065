"""The command `serve`: uvicorn with other defaults, and the fast lane in use."""

import inspect
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
import uvicorn
from websockets.sync.client import connect, unix_connect

import fastapi_observable_socket
from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.__main__ import main

APP = """
from fastapi import FastAPI, WebSocket

from fastapi_observable_socket import SocketRouter

app = FastAPI(openapi_url=None)
router = SocketRouter()


@router.route("has lane")
async def has_lane(ws: WebSocket) -> bool:
    return "fastapi_observable_socket" in ws.scope["extensions"]


router.mount(app, "/ws")


async def watched(scope, receive, send):
    async def receiving():
        return await receive()

    await app(scope, receiving, send)
"""
ASK = '{"uuid": 1, "route": "has lane"}'
SOURCE = str(Path(fastapi_observable_socket.__file__).parents[1])


class Served:
    """`serve` in a process of its own, until the `with` ends: with SIGTERM, and cleanly."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        mine = {name: value for name, value in os.environ.items() if name != "UVICORN_WS"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fastapi_observable_socket", "serve", *arguments],
            env={**mine, "PYTHONPATH": SOURCE, **variables},
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = ""

    def says(self, pattern: str) -> str:
        """What it says, now or later."""
        assert self.process.stderr is not None
        while not (found := re.search(pattern, self.log)):
            line = self.process.stderr.readline()
            assert line, f"the server ended:\n{self.log}"
            self.log += line
        return found[0]

    def __enter__(self) -> Self:
        self.says("Application startup complete")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.log += self.process.communicate(timeout=20)[1]
        # uvicorn ends itself by the signal that it was sent, where it is one process.
        assert self.process.returncode in (0, -signal.SIGTERM), self.log
        assert "Traceback" not in self.log, self.log

    def has_lane(self, **options: Any) -> bool:
        address = self.says(r"http://[\d.:]+").replace("http", "ws", 1) + "/ws"
        while True:
            try:
                with connect(address, **{"compression": None, **options}) as ws:
                    return answer_of(ws)
            except ConnectionRefusedError:  # a child process listens a moment after it says so
                assert self.process.poll() is None, self.log
                time.sleep(0.01)


def answer_of(ws: Any) -> bool:
    ws.send(ASK)
    return '"payload":true' in ws.recv(20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--workers", "2"], ["--reload"]], ids=" ".join)
def test_it_serves_on_the_fast_lane_and_ends_cleanly(folder: Path, options: list[str]):
    with Served(folder, "app:app", "--port", "0", *options) as served:
        assert served.has_lane()
        served.says("the fast lane is on")


def test_a_unix_socket_has_the_lane_too(folder: Path):
    path = str(folder / "socket")
    with Served(folder, "app:app", "--uds", path) as served:
        served.says("running on")
        with unix_connect(path, "ws://localhost/ws", compression=None) as ws:
            assert answer_of(ws)


def test_another_protocol_is_taken_where_one_asks_for_it(folder: Path):
    with Served(folder, "app:app", "--port", "0", "--ws", "websockets-sansio") as served:
        assert not served.has_lane()
    assert "fast lane" not in served.log


@pytest.mark.parametrize(
    ("app", "options", "client", "said"),
    [
        ("watched", [], {}, "a middleware wraps"),
        ("app", ["--ws-per-message-deflate", "true"], {"compression": "deflate"}, "compress"),
    ],
)
def test_why_the_lane_is_off_is_said_once(
    folder: Path, app: str, options: list[str], client: dict[str, Any], said: str
):
    with Served(folder, f"app:{app}", "--port", "0", *options) as served:
        for _ in range(2):
            served.has_lane(**client)
    assert len(re.findall(f"WARNING:.*the fast lane is off where .*{said}", served.log)) == 1
    assert "lane is on" not in served.log


@pytest.mark.parametrize(
    ("app", "said"),
    [("nowhere:app", 'Could not import module "nowhere"'), ("app:no", 'Attribute "no" not found')],
)
def test_an_app_that_is_not_there_is_told_in_one_line(folder: Path, app: str, said: str):
    served = Served(folder, app)
    log = served.process.communicate(timeout=20)[1]
    assert said in log
    assert log.count("\n") == 1
    assert served.process.returncode == 3


# --- what uvicorn is told


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., dict[str, Any]]:
    """What uvicorn makes of a command line, instead of running it."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn.main, "callback", lambda **options: seen.update(options))
    for name in [name for name in os.environ if name.startswith("UVICORN_")]:
        monkeypatch.delenv(name)

    def serve(*arguments: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["fastapi-observable-socket", "serve", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        return seen

    return serve


def test_the_defaults_are_those_of_a_socket(told):
    options = told("app:app")
    assert options["app"] == "app:app"
    assert options["ws"] == "fastapi_observable_socket.uvicorn:Protocol"
    assert options["ws_ping_interval"] == 0
    assert options["ws_per_message_deflate"] is False
    largest = inspect.signature(SocketRouter).parameters["max_message_bytes"].default
    assert options["ws_max_size"] == largest


def test_each_of_them_can_be_another_and_all_others_pass(told):
    typed = "--ws auto --ws-max-size 9 --ws-ping-interval 20 --ws-per-message-deflate true"
    options = told("app:app", *typed.split(), "--port", "9000", "--reload", "--factory")
    expected = {
        "ws": "auto",
        "ws_max_size": 9,
        "ws_ping_interval": 20,
        "ws_per_message_deflate": True,
        "port": 9000,
        "reload": True,
        "factory": True,
    }
    assert expected.items() <= options.items()


def test_uvicorns_environment_variables_count(told, monkeypatch):
    monkeypatch.setenv("UVICORN_WS", "wsproto")
    monkeypatch.setenv("UVICORN_PORT", "9001")
    options = told("app:app")
    assert (options["ws"], options["port"]) == ("wsproto", 9001)


def test_help_is_uvicorns_with_these_defaults(told, capsys):
    told("--help")
    text = capsys.readouterr().out
    assert "Usage: fastapi-observable-socket serve [OPTIONS] APP" in text
    assert "max_message_bytes" in text
    assert "--workers" in text
    assert "fastapi_observable_socket.uvicorn:Protocol" in text.replace("\n", "")
    assert not uvicorn.main.help


@pytest.mark.parametrize("missing", ["uvicorn", "websockets"])
def test_what_is_not_installed_is_named_with_the_way_out(missing, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(sys, "argv", ["fastapi-observable-socket", "serve", "app:app"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    wanted = f"no module {missing!r}: install fastapi-observable-socket[uvicorn]\n"
    assert capsys.readouterr().err == wanted


def test_the_commands_list_names_it_and_a_server_needs_no_typer(told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fastapi-observable-socket", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "serve" in capsys.readouterr().out
    for module in ("typer", "rich"):
        monkeypatch.setitem(sys.modules, module, None)
    assert told("app:app")
