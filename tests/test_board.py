"""The example with sticky notes: its rules, and then for real, in one process and in two."""

import asyncio
import importlib
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastapi_observable_socket.backends import Unavailable
from fastapi_observable_socket.client import connect
from fastapi_observable_socket.testing import SocketTestClient

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "board"
MODULES = ("app", "db")
PATIENCE = 20


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The application, fresh, with a database of its own."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.setenv("BOARD_DB", str(tmp_path / "board.sqlite3"))
    monkeypatch.delenv("REDIS_URL", raising=False)
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    yield importlib.import_module("app")
    for name, module in before.items():
        del sys.modules[name]
        if module is not None:
            sys.modules[name] = module


@pytest.fixture
def page(board: ModuleType, run: Any) -> Any:
    """Runs `main(client)` with a page at the application, from its start to its end."""

    def go(main: Any) -> None:
        async def whole() -> None:
            async with SocketTestClient(board.app, lifespan=True) as client:
                await main(client)

        run(whole())

    return go


FRESH = {"board": "ours", "id": "one", "text": "tea", "x": 0.25, "y": 0.5}
NOTE = {**FRESH, "colour": "yellow", "gone": False, "version": 1}
del NOTE["board"]
HERE = {"board": "ours", "id": "one"}


async def asked(client: SocketTestClient, route: str, payload: Any) -> Any:
    answer = await client.request(route, payload)
    assert answer.ok, answer
    return answer.payload


async def notes(client: SocketTestClient, name: str = "ours") -> list[Any]:
    """Those with which a page begins; it listens from then on."""
    return (await asked(client, "$sub", {"topic": f"boards/{name}"}))["snapshot"]["notes"]


async def news(client: SocketTestClient) -> Any:
    frame = await client.receive()
    assert frame["route"] == "boards/ours"
    return frame["payload"]


def test_a_board_begins_with_what_was_kept_and_a_new_one_empty(page):
    async def main(client):
        assert [note["id"] for note in await notes(client, "main")] == [
            "welcome-0",
            "welcome-1",
            "welcome-2",
        ]
        assert await notes(client) == []
        await asked(client, "add", FRESH)
        assert await notes(client) == [NOTE]

    page(main)


def test_every_change_is_told_as_the_whole_note(page):
    async def main(client):
        await notes(client)
        changes = [
            ("add", FRESH, NOTE),
            ("change", {**HERE, "text": "coffee"}, {**NOTE, "text": "coffee", "version": 2}),
            ("change", {**HERE, "x": 1, "colour": "pink"}, {"x": 1, "colour": "pink"}),
            ("remove", HERE, {"gone": True, "text": "", "version": 4}),
        ]
        for route, payload, expected in changes:
            answer = await asked(client, route, payload)
            assert answer | expected == answer
            assert await news(client) == answer

    page(main)


def test_who_adds_twice_adds_one_note(page):
    async def main(client):
        assert await asked(client, "add", FRESH) == NOTE
        assert await asked(client, "add", FRESH) == NOTE
        assert await notes(client) == [NOTE]
        stranger = {**FRESH, "board": "theirs"}
        assert (await client.request("add", stranger)).status == 409
        assert (await client.request("change", {**stranger, "x": 0})).status == 404

    page(main)


def test_what_is_gone_stays_gone(page):
    async def main(client):
        await asked(client, "add", FRESH)
        gone = await asked(client, "remove", HERE)
        assert await asked(client, "change", {**HERE, "text": "back"}) == gone
        assert await asked(client, "add", FRESH) == gone
        assert await asked(client, "remove", HERE) == gone
        assert await notes(client) == [gone]

    page(main)


@pytest.mark.parametrize(
    ("route", "payload", "status"),
    [
        ("add", {**FRESH, "x": 1.5}, 400),
        ("add", {**FRESH, "text": "x" * 501}, 400),
        ("add", {**FRESH, "id": "a/b"}, 400),
        ("add", {**FRESH, "board": "Not this"}, 400),
        ("change", {**HERE, "colour": "black"}, 400),
        ("change", HERE, 400),
        ("change", {**HERE, "x": 0}, 404),
        ("remove", HERE, 404),
        ("$sub", {"topic": "boards/Not this"}, 404),
    ],
)
def test_what_does_not_fit_is_refused(route, payload, status, page):
    async def main(client):
        assert (await client.request(route, payload)).status == status
        assert await notes(client) == []

    page(main)


def test_a_board_has_room_for_so_many_notes(board, page, monkeypatch):
    async def main(client):
        for number in range(3):
            await asked(client, "add", {**FRESH, "id": f"n{number}"})
        assert (await client.request("add", FRESH)).status == 409
        await asked(client, "remove", {"board": "ours", "id": "n0"})
        await asked(client, "add", FRESH)
        await asked(client, "add", {**FRESH, "board": "theirs", "id": "two"})

    monkeypatch.setattr(board, "MAX_NOTES", 3)
    page(main)


def test_hands_are_told_and_not_kept(page):
    async def main(client):
        topic, hand = "boards/ours/hands", {"who": "Otter 7", "x": 0.1, "y": 0.2, "holds": "one"}
        joined = await asked(client, "$sub", {"topic": topic})
        assert "snapshot" not in joined
        assert await asked(client, "$pub", {"topic": topic, "payload": hand}) == {}
        told = await client.receive()
        assert (told["route"], told["headers"], told["payload"]) == (topic, {}, hand)
        wrong = {"topic": topic, "payload": {**hand, "x": -1}}
        assert (await client.request("$pub", wrong)).status == 400
        itself = {"topic": "boards/ours", "payload": NOTE}
        assert (await client.request("$pub", itself)).status == 403

    page(main)


def test_what_could_not_be_told_is_kept_and_told_later(board, page, monkeypatch):
    async def main(client):
        await notes(client)
        away = True

        async def publish(*arguments, **options):
            if away:
                raise Unavailable("away")
            return await really(*arguments, **options)

        really = board.router.publish
        monkeypatch.setattr(board.router, "publish", publish)
        assert await asked(client, "add", FRESH) == NOTE
        changed = await asked(client, "change", {**HERE, "text": "coffee"})
        away = False
        told = await news(client)
        while told != changed:  # the one before it may have been on its way
            assert told == NOTE
            told = await news(client)
        # Once: what is told next comes next.
        after = await asked(client, "change", {**HERE, "text": "water"})
        assert await news(client) == after

    monkeypatch.setattr(board, "TELL_AGAIN_EVERY", 0.02)
    page(main)


# --- for real

COMMAND = "fastapi_observable_socket serve app:app --app-dir examples/board"


class Server:
    """Started as the README says."""

    def __init__(self, database: Path, *options: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *COMMAND.split(), "--port", "0", "--no-access-log", *options],
            env={**os.environ, "BOARD_DB": str(database), **variables},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.output = ""
        self.address = self._read_until(r"http://[\d.:]+")
        self._read_until("Application startup complete", int(options[-1]) if options else 1)
        self.url = self.address.replace("http", "ws", 1) + "/ws"

    def _read_until(self, pattern: str, times: int = 1) -> str:
        assert self.process.stderr is not None
        while len(found := re.findall(pattern, self.output)) < times:
            line = self.process.stderr.readline()
            assert line, f"the server ended:\n{self.output}"
            self.output += line
        return found[0]

    def end(self, signum: int) -> int:
        self.process.send_signal(signum)
        self.output += self.process.communicate(timeout=PATIENCE)[1]
        return self.process.returncode

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.address + path, timeout=PATIENCE) as response:
            return response.read().decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("board") / "board.sqlite3")
    yield server
    assert server.end(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert "Traceback" not in server.output, server.output


def test_the_readme_says_how_to_start_it_and_what_its_files_are():
    readme = (EXAMPLE / "README.md").read_text()
    assert COMMAND in readme
    assert f"REDIS_URL=redis://localhost:6379/0 python -m {COMMAND} --workers 2" in readme
    named = re.findall(r"`([\w/]+\.(?:py|js|txt))`", readme)
    assert len(named) >= 4
    for name in named:
        assert (EXAMPLE / name).exists(), name


def test_the_page_and_its_files_are_served_from_here(server: Server):
    page, script = server.get("/"), server.get("/static/page.js")
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert server.get(path)
    for path in re.findall(r"from '\./([^']+)'", script):
        assert server.get(f"/static/{path}")


def test_the_client_of_the_page_is_served_where_it_is_built(server: Server):
    places = re.findall(r'"fastapi-observable-socket[\w/]*": "/client/([^"]+)"', server.get("/"))
    assert len(places) == 2
    for place in places:
        if (ROOT / "js" / "dist" / place).exists():
            assert "export" in server.get(f"/client/{place}")
        else:
            with pytest.raises(urllib.error.HTTPError, match="404"):
                server.get(f"/client/{place}")


def test_every_route_that_the_page_calls_exists(server: Server, run):
    script = server.get("/static/page.js")
    called = set(re.findall(r"(?:call\(|\? |: )'([a-z]+)'", script)) & {
        "about",
        "add",
        "change",
        "remove",
    }
    assert len(called) == 4

    async def main():
        async with connect(server.url) as socket:
            for route in called:
                answer = await socket.request(route, {})
                assert answer.status in (200, 400), route

    run(main())


def test_what_was_kept_is_there_after_a_kill(tmp_path: Path, run):
    async def main():
        server = await asyncio.to_thread(Server, tmp_path / "board.sqlite3")
        async with connect(server.url) as socket:
            assert await socket.call("add", FRESH) == NOTE
            server.end(signal.SIGKILL)
        server = await asyncio.to_thread(Server, tmp_path / "board.sqlite3")
        async with connect(server.url) as socket:
            joined = await socket.call("$sub", {"topic": "boards/ours"})
            assert joined["snapshot"] == {"notes": [NOTE]}
        assert server.end(signal.SIGTERM) in (0, -signal.SIGTERM)
        assert "Traceback" not in server.output, server.output

    run(main())
