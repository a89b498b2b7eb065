"""The demo: started as the README does, and spoken to as its page does."""

import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """One that no connection of another test is given before the demo takes it: systems give
    those the ports from 32768 on."""
    while True:
        port = random.randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class Demo:
    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [ROOT / "scripts" / "demo.sh"],
            env={
                **os.environ,
                "DEMO_PYTHON": sys.executable,
                "NEWSROOM_DB": str(folder / "newsroom.sqlite3"),
                "PORT": str(free_port()),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            start_new_session=True,  # as in a terminal: Ctrl-C goes to all of it
        )
        self.output = ""
        self.address = self._announced()

    def _announced(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if found := re.search(r"http://\S+", line):
                return found[0]
        raise AssertionError(f"the demo ended without an address:\n{self.output}")

    def end(self, signum: int) -> int:
        """The exit code of the demo once it was sent `signum`, to all its processes."""
        os.killpg(self.process.pid, signum)
        self.output += self.process.communicate(timeout=20)[0]
        return self.process.returncode

    def get(self, path: str) -> tuple[str, str]:
        """Content type and text of a page."""
        with urllib.request.urlopen(self.address + path, timeout=10) as response:
            return response.headers["content-type"], response.read().decode()

    def sign_in(self, person: int | None) -> str:
        """The cookie of that person."""
        request = urllib.request.Request(
            self.address + "/sign-in",
            json.dumps({"person": person}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            cookie = SimpleCookie(response.headers["set-cookie"])["newsroom"]
        assert cookie["httponly"]
        return f"newsroom={cookie.value}"

    @asynccontextmanager
    async def page(self, person: int | None = None) -> AsyncIterator["Page"]:
        """An open page, of somebody or nobody."""
        headers = {"Origin": self.address}
        if person is not None:
            headers["Cookie"] = await asyncio.to_thread(self.sign_in, person)
        url = self.address.replace("http", "ws", 1) + "/ws"
        async with connect(url, additional_headers=headers) as ws:
            yield Page(ws)


class Page:
    """Sends the frames that the page's client sends."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.last = 0

    async def send(self, route: str, payload: Any, headers: dict[str, Any]) -> int:
        self.last += 1
        request = {"uuid": self.last, "route": route, "headers": headers, "payload": payload}
        await self.ws.send(json.dumps(request))
        return self.last

    async def answer(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return json.loads(await self.ws.recv())

    async def call(self, route: str, payload: Any = None, **headers: Any) -> tuple[int, Any]:
        uuid = await self.send(route, payload, headers)
        answer = await self.answer()
        assert answer["uuid"] == uuid
        return answer["status"], answer["payload"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    assert demo.end(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert "Traceback" not in demo.output


CLEO, ADA, BEN = 1, 2, 3
FERRY, LIBRARY, COUNCIL, GARDEN = "1", "2", "3", "4"
DRAFT = {"title": "A new bridge", "body": "It is said to be longer than the old one."}


# --- the page


def test_the_page_and_its_files_are_served_from_here(demo: Demo):
    kind, page = demo.get("/")
    assert kind.startswith("text/html")
    for path in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert path.startswith("/static/")
        assert demo.get(path)[1]
    kind, script = demo.get("/static/page.js")
    assert kind.startswith("text/javascript")
    for path in re.findall(r"from '\./([^']+)'", script):
        assert demo.get(f"/static/{path}")[1]


def test_the_client_of_the_page_is_served_or_missed_aloud(demo: Demo):
    place = re.search(r'"fastapi-observable-socket": "([^"]+)"', demo.get("/")[1])
    assert place
    if (ROOT / "js" / "dist" / "index.mjs").exists():
        kind, client = demo.get(place[1])
        assert "javascript" in kind
        assert "ObservableSocket" in client
    else:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            demo.get(place[1])
        assert "its client is not built" in demo.output


def test_every_route_that_the_page_calls_exists(demo: Demo):
    script = demo.get("/static/page.js")[1]
    called = set(re.findall(r"call\('([\w/-]+)'", script)) | {"add-article", "edit-article"}

    async def statuses() -> dict[str, int]:
        async with demo.page() as page:
            return {route: (await page.call(route))[0] for route in called}

    answered = asyncio.run(statuses())
    assert len(answered) >= 8
    assert 404 not in answered.values(), answered


def test_the_heartbeat_is_answered(demo: Demo):
    async def pong() -> Any:
        async with demo.page() as page:
            await page.ws.send('{"uuid": 1, "route": "PING"}')
            return await page.answer()

    assert asyncio.run(pong()) == {"uuid": 1, "route": "PONG", "headers": None, "payload": None}


# --- the routes


def test_a_socket_is_of_whoever_its_cookie_says(demo: Demo):
    async def names() -> list[str | None]:
        found = []
        for person in (None, ADA, CLEO):
            async with demo.page(person) as page:
                status, me = await page.call("me")
                assert status == 200
                found.append(me["user"] and me["user"]["name"])
        return found

    assert asyncio.run(names()) == [None, "Ada", "Cleo"]


def test_signing_out_leaves_nobody_behind_the_cookie(demo: Demo):
    async def user() -> Any:
        cookie = await asyncio.to_thread(demo.sign_in, ADA)
        request = urllib.request.Request(
            demo.address + "/sign-in",
            b"{}",
            {"Content-Type": "application/json", "Cookie": cookie},
        )
        await asyncio.to_thread(urllib.request.urlopen, request)
        url = demo.address.replace("http", "ws", 1) + "/ws"
        async with connect(url, additional_headers={"Cookie": cookie}) as ws:
            return (await Page(ws).call("me"))[1]["user"]

    assert asyncio.run(user()) is None


@pytest.mark.parametrize("person", [0, -1, 99, 10**30])
def test_nobody_signs_in_as_a_stranger(demo: Demo, person: int):
    with pytest.raises(urllib.error.HTTPError) as refused:
        demo.sign_in(person)
    assert refused.value.code in (404, 422)


def test_the_list_shows_headlines_and_no_texts(demo: Demo):
    async def listed() -> Any:
        async with demo.page() as page:
            return await page.call("list-articles")

    status, articles = asyncio.run(listed())
    assert status == 200
    assert len(articles) >= 4
    assert all(set(article) == {"id", "title", "access", "author"} for article in articles)


@pytest.mark.parametrize(
    ("person", "article", "status"),
    [
        (None, FERRY, 200),
        (None, COUNCIL, 403),
        (None, GARDEN, 403),
        (CLEO, COUNCIL, 200),
        (CLEO, GARDEN, 403),
        (BEN, GARDEN, 403),
        (ADA, GARDEN, 200),
        (None, "99", 404),
        (None, "first", 400),
        (None, None, 400),
        (None, str(10**30), 400),
    ],
)
def test_an_article_is_read_by_those_who_may(
    demo: Demo, person: int | None, article: str | None, status: int
):
    async def read() -> tuple[int, Any]:
        async with demo.page(person) as page:
            return await page.call("get-article", article=article)

    found, payload = asyncio.run(read())
    assert found == status
    if status == 200:
        assert set(payload) == {"id", "title", "author", "access", "body"}
    else:
        assert set(payload) <= {"message", "code"}


def test_an_article_is_added_and_edited_by_its_author_alone(demo: Demo):
    async def write() -> None:
        async with demo.page(BEN) as ben, demo.page(CLEO) as cleo, demo.page() as nobody:
            assert (await nobody.call("add-article", DRAFT))[0] == 403
            status, added = await ben.call("add-article", DRAFT)
            assert (status, added["author"], added["access"]) == (201, "Ben", "PUBLIC")
            number = str(added["id"])
            changed = {**DRAFT, "title": "  A longer bridge ", "access": "AUTHOR"}
            assert (await cleo.call("edit-article", changed, article=number))[0] == 403
            status, edited = await ben.call("edit-article", changed, article=number)
            assert (status, edited["title"]) == (200, "A longer bridge")
            assert (await cleo.call("get-article", article=number))[0] == 403
            assert (await ben.call("edit-article", changed, article="99"))[0] == 404

    asyncio.run(write())


@pytest.mark.parametrize(
    ("draft", "status", "fields"),
    [
        ({"title": "x", "body": "y"}, 400, ["title", "body"]),
        ({**DRAFT, "access": "NOBODY"}, 400, ["access"]),
        ({**DRAFT, "title": "The library lends tools now"}, 409, ["title"]),
    ],
)
def test_a_draft_that_does_not_fit_is_told_field_by_field(
    demo: Demo, draft: Any, status: int, fields: list[str]
):
    async def save() -> tuple[int, Any]:
        async with demo.page(ADA) as page:
            return await page.call("add-article", draft)

    found, payload = asyncio.run(save())
    assert found == status
    assert [error["loc"] for error in payload["detail"]] == [["payload", name] for name in fields]


@pytest.mark.parametrize(
    ("field", "value", "headers", "message"),
    [
        ("title", "abc", {}, "at least 5"),
        ("title", "A title of its own", {}, None),
        ("title", "The library lends tools now", {}, "There is an article"),
        ("title", "The library lends tools now", {"article": LIBRARY}, None),
        ("body", "short", {}, "at least 20"),
    ],
)
def test_a_field_is_checked_while_it_is_typed(
    demo: Demo, field: str, value: str, headers: dict[str, str], message: str | None
):
    async def check() -> tuple[int, Any]:
        async with demo.page() as page:
            return await page.call("check-field", {"field": field, "value": value}, **headers)

    status, finding = asyncio.run(check())
    assert (status, finding["field"]) == (200, field)
    assert message in finding["message"] if message else finding["message"] is None


def test_numbers_are_added_and_other_things_refused(demo: Demo):
    async def add() -> tuple[Any, Any]:
        async with demo.page() as page:
            return await page.call("math/sum", [1, 2, 3.5]), await page.call("math/sum", [1, "two"])

    good, (status, payload) = asyncio.run(add())
    assert good == (200, {"sum": 6.5})
    assert status == 400
    assert payload["detail"][0]["loc"] == ["payload", 1]


def test_quick_calls_overtake_a_slow_one(demo: Demo):
    async def race() -> None:
        async with demo.page(ADA) as page:
            slow = await page.send("slow", {"seconds": 0.5}, {})
            quick = [
                await page.send("math/sum", [1, 1], {}),
                await page.send("list-articles", None, {}),
                await page.send("get-article", None, {"article": GARDEN}),
            ]
            answers = [await page.answer() for _ in range(4)]
            assert [answer["status"] for answer in answers] == [200] * 4
            uuids = [answer["uuid"] for answer in answers]
            assert (sorted(uuids[:3]), uuids[3]) == (quick, slow)

    asyncio.run(race())


def test_a_burst_of_calls_is_answered_each_with_a_session_of_its_own(demo: Demo):
    async def burst() -> list[int]:
        async with demo.page(ADA) as page:
            for _ in range(50):
                await page.send("get-article", None, {"article": GARDEN})
            return [(await page.answer())["status"] for _ in range(50)]

    assert asyncio.run(burst()) == [200] * 50


def test_another_site_cannot_open_the_socket(demo: Demo):
    async def knock() -> int:
        url = demo.address.replace("http", "ws", 1) + "/ws"
        async with connect(url, additional_headers={"Origin": "https://evil.example"}):
            return 101

    with pytest.raises(Exception, match="403"):
        asyncio.run(knock())


# --- starting and ending


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_ends_at_once_with_a_page_still_open(tmp_path: Path, signum: int):
    demo = Demo(tmp_path)

    async def end() -> int:
        async with demo.page() as page:
            await page.send("slow", {"seconds": 10}, {})
            assert (await page.call("math/sum", [1]))[0] == 200  # so the slow one has begun
            return await asyncio.to_thread(demo.end, signum)

    assert asyncio.run(end()) in (0, -signum)
    assert "Traceback" not in demo.output


def test_what_was_written_is_there_after_a_restart(tmp_path: Path):
    async def write(demo: Demo) -> None:
        async with demo.page(ADA) as page:
            assert (await page.call("add-article", DRAFT))[0] == 201

    async def titles(demo: Demo) -> list[str]:
        async with demo.page() as page:
            return [article["title"] for article in (await page.call("list-articles"))[1]]

    first = Demo(tmp_path)
    asyncio.run(write(first))
    first.end(signal.SIGTERM)
    second = Demo(tmp_path)
    found = asyncio.run(titles(second))
    second.end(signal.SIGTERM)
    assert found[0] == DRAFT["title"]
    assert len(found) == 5


@pytest.mark.parametrize("port", ["taken", "none", "99999"])
def test_a_port_that_cannot_be_had_is_told_in_one_line(port: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = str(taken.getsockname()[1]) if port == "taken" else port
        ended = subprocess.run(
            [ROOT / "scripts" / "demo.sh"],
            env={**os.environ, "DEMO_PYTHON": sys.executable, "PORT": wanted},
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "PORT=" in ended.stderr


# --- the client of the page


class Clone:
    """A clone whose Python part is set up, on a machine that has `tools` and no others."""

    NPM = """#!/bin/sh
    case $1 in
        ci) mkdir -p node_modules && touch node_modules/.package-lock.json ;;
        run) mkdir -p dist && touch dist/index.mjs ;;
        *) exit ;;
    esac
    echo "$1" >> ../told-to-npm
    """

    # The real one, where there is one: it is asked how new it is.
    NODE = f'#!/bin/sh\nexec {shutil.which("node") or "true"} "$@"\n'

    def __init__(self, folder: Path, tools: dict[str, str]) -> None:
        self.folder = folder
        for name in ("js/src/index.ts", "js/package.json", "js/package-lock.json"):
            self.write(name, "")
        for name in ("js/tsdown.config.ts", "pyproject.toml", "examples/demo/requirements.txt"):
            self.write(name, "")
        self.write("scripts/demo.sh", (ROOT / "scripts" / "demo.sh").read_text())
        for name, text in tools.items():
            self.write(f"tools/{name}", text)
        (folder / "tools").mkdir(exist_ok=True)
        for name in ("sh", "dirname", "find", "touch", "mkdir"):
            (folder / "tools" / name).symlink_to(str(shutil.which(name)))
        self.write(".venv/bin/python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self.write(".venv/demo-is-installed", "", age=0)

    def write(self, name: str, text: str, age: float = 60) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        os.utime(path, (time.time() - age,) * 2)

    def start(self) -> tuple[str, list[str]]:
        """What it said, and what it told npm, until it came to a port that there is not."""
        (self.folder / "told-to-npm").write_text("")
        ended = subprocess.run(
            ["sh", str(self.folder / "scripts" / "demo.sh")],
            env={"PATH": str(self.folder / "tools"), "PORT": "none"},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert ended.returncode == 1
        return ended.stderr, (self.folder / "told-to-npm").read_text().splitlines()


def test_the_client_is_built_once_and_again_when_its_source_is_newer(tmp_path: Path):
    clone = Clone(tmp_path, {"node": Clone.NODE, "npm": Clone.NPM})
    assert clone.start()[1] == ["ci", "run"]
    assert clone.start()[1] == []
    clone.write("js/src/wire.ts", "", age=-60)
    assert clone.start()[1] == ["run"]
    clone.write("js/package-lock.json", "", age=-60)
    assert clone.start()[1] == ["ci", "run"]


@pytest.mark.parametrize(
    "tools",
    [
        {},
        {"node": "#!/bin/sh\necho v18.0.0; [ $1 = --version ]", "npm": Clone.NPM},
        {"node": Clone.NODE},
    ],
    ids=["no node", "an old node", "no npm"],
)
def test_a_machine_that_cannot_build_the_client_is_told_what_it_lacks(
    tmp_path: Path, tools: dict[str, str]
):
    said, told = Clone(tmp_path, tools).start()
    assert "Node 20 or newer and npm" in said
    assert told == []
    assert "PORT=" not in said


def test_a_failing_build_is_shown(tmp_path: Path):
    clone = Clone(tmp_path, {"node": Clone.NODE, "npm": "#!/bin/sh\necho no network; [ $1 != ci ]"})
    said, _ = clone.start()
    assert "no network" in said
    assert "PORT=" not in said
