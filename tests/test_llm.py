"""The example with tokens: its rules word by word, and then for real."""

import asyncio
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from websockets.asyncio.client import connect as websocket

from fastapi_observable_socket.client import Socket, connect
from fastapi_observable_socket.testing import SocketTestClient

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "llm"
MODULES = ("app", "babbler", "generation")
PATIENCE = 20


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The application, fresh."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    yield importlib.import_module("app")
    for name, module in before.items():
        del sys.modules[name]
        if module is not None:
            sys.modules[name] = module


class Hand:
    """A pace that is turned by hand: one word for each turn."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(0)
        self.waiting = 0
        """Models that wait for their turn."""

    async def __call__(self) -> None:
        self.waiting += 1
        try:
            await self.turns.acquire()
        finally:
            self.waiting -= 1

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.turns.release()


def by_hand(llm: ModuleType) -> Hand:
    """A model that counts, one word for each turn."""
    hand = Hand()
    model = llm.Babbler("one two three one", hand)
    llm.app.dependency_overrides[llm.get_model] = lambda: model
    return hand


ASK = {"prompt": "one", "words": 6}
TEXT = " two three one two three one"


async def news(client: SocketTestClient) -> dict[str, Any]:
    """The next push: what it says of a generation, and how many run."""
    frame = await client.receive()
    assert (frame["uuid"], frame["route"]) == ("#", "generation")
    return {**frame["payload"]["generation"], "running": frame["payload"]["running"]}


async def overview(client: SocketTestClient) -> tuple[list[str], int, int]:
    """The states of the generations, how many run, how many watch."""
    told = (await client.request("overview")).payload
    states = [generation["state"] for generation in told["generations"]]
    return states, told["running"], told["watching"]


async def rest(tokens: AsyncIterator[Any]) -> str:
    return "".join([token["text"] async for token in tokens])


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await fact():  # noqa: ASYNC110 -- it is a fact of another process
            await asyncio.sleep(0.005)


# --- who asks


def test_tokens_come_one_by_one_in_order(llm, run):
    async def main():
        hand = by_hand(llm)
        async with SocketTestClient(llm.app) as client:
            tokens = client.stream("generate", ASK)
            for index, word in enumerate(TEXT.split()):
                hand.turn()
                assert await anext(tokens) == {"text": f" {word}", "index": index}
            assert await anext(tokens, "end") == "end"
            assert await overview(client) == (["done"], 0, 0)

    run(main())


def test_who_asks_is_told_first_what_has_begun(llm, run):
    async def main():
        hand, told = by_hand(llm), []
        async with SocketTestClient(llm.app) as client:
            tokens = client.stream("generate", {**ASK, "seed": 7}, progress=told.append)
            hand.turn(6)
            await anext(tokens)
            [generation] = (await client.request("overview")).payload["generations"]
            assert told == [{**generation, "state": "running"}]
            assert (generation["prompt"], generation["seed"]) == ("one", 7)
            await rest(tokens)

    run(main())


def test_a_plain_call_gets_all_tokens_as_one_list(llm, run):
    async def main():
        by_hand(llm).turn(6)
        async with SocketTestClient(llm.app) as client:
            tokens = (await client.request("generate", ASK)).payload
            assert "".join(token["text"] for token in tokens) == TEXT

    run(main())


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"prompt": "  "}, "prompt"),
        ({"prompt": "x" * 201}, "prompt"),
        ({"words": 0}, "words"),
        ({"words": 401}, "words"),
        ({"temperature": 2.5}, "temperature"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_asked_is_told_field_by_field(llm, run, wrong, field):
    async def main():
        async with SocketTestClient(llm.app) as client:
            answer = await client.request("generate", {**ASK, **wrong}, {"$stream": True})
            assert answer.status == 400
            assert [error["loc"] for error in answer.payload["detail"]] == [["payload", field]]
            assert await overview(client) == ([], 0, 0)

    run(main())


def test_no_more_are_written_at_a_time_than_may(llm, run):
    async def main():
        by_hand(llm)
        async with SocketTestClient(llm.app) as client:
            for number in range(llm.MAX_RUNNING):
                await client.push("generate", ASK, {"$stream": True}, uuid=f"s{number}")
                assert (await news(client))["running"] == number + 1
            assert (await client.request("generate", ASK, {"$stream": True})).status == 429
            await client.push("$cancel", uuid="s0")
            assert (await news(client))["running"] == llm.MAX_RUNNING - 1
            await client.push("generate", ASK, {"$stream": True}, uuid="next")
            frames = [await client.receive() for _ in range(2)]
            assert {frame["uuid"] for frame in frames} == {"s0", "#"}
            assert (await overview(client))[1] == llm.MAX_RUNNING

    run(main())


# --- stopping


def test_stopping_ends_the_model_where_it_waits(llm, run):
    async def main():
        hand = by_hand(llm)
        async with SocketTestClient(llm.app) as client:
            async with aclosing(client.stream("generate", ASK)) as tokens:
                hand.turn(2)
                assert [(await anext(tokens))["index"] for _ in "ab"] == [0, 1]
                assert (await overview(client), hand.waiting) == ((["running"], 1, 0), 1)
            assert (await overview(client), hand.waiting) == ((["stopped"], 0, 0), 0)

    run(main())


def test_stopping_ends_a_generator_that_waits_for_its_reader(llm, run):
    async def main():
        hand = by_hand(llm)
        hand.turn(6)
        async with SocketTestClient(llm.app) as client:
            tokens = client.stream("generate", ASK, window=1)
            await anext(tokens)
            generation = next(iter(llm.shelf))
            assert (await overview(client), hand.waiting) == ((["running"], 1, 0), 0)
            assert len(generation.words) < 6  # the model went no further than its reader
            await tokens.aclose()
            assert await overview(client) == (["stopped"], 0, 0)

    run(main())


def test_a_generation_ends_with_the_connection_of_who_asked(llm, run):
    async def main():
        hand = by_hand(llm)
        async with SocketTestClient(llm.app) as watcher:
            async with SocketTestClient(llm.app) as asker:
                await asker.push("generate", ASK, {"$stream": True}, uuid="s")
                begun = await news(watcher)
                hand.turn(2)
                watched = watcher.stream("watch", begun["id"])
                first = (await anext(watched))["text"]
            assert (await news(watcher))["state"] == "stopped"
            assert first + await rest(watched) in (" two", " two three")
            assert (await overview(watcher), hand.waiting) == ((["stopped"], 0, 0), 0)

    run(main())


def test_a_model_that_fails_ends_the_generation_for_all(llm, run):
    async def main():
        class Broken(Exception):
            pass

        async def pace():
            if len(next(iter(llm.shelf)).words) == 2:
                raise Broken

        llm.app.dependency_overrides[llm.get_model] = lambda: llm.Babbler("one two one", pace)
        async with SocketTestClient(llm.app) as client:
            await client.push("generate", ASK, {"$stream": True}, uuid="s")
            begun = await news(client)
            assert await rest(client.stream("watch", begun["id"])) == " two one"
            frames = [await client.receive() for _ in range(4)]
            told = [frame.get("status") or frame["route"] for frame in frames]
            assert told == [402, 402, "generation", 500]
            assert await overview(client) == (["stopped"], 0, 0)

    run(main())


# --- who watches


def test_all_who_watch_get_the_text_of_who_asked(llm, run):
    async def main():
        hand = by_hand(llm)
        async with (
            SocketTestClient(llm.app) as asker,
            SocketTestClient(llm.app) as first,
            SocketTestClient(llm.app) as second,
        ):
            asked = asyncio.ensure_future(rest(asker.stream("generate", ASK)))
            texts = [
                asyncio.ensure_future(rest(each.stream("watch", (await news(each))["id"])))
                for each in (first, second)
            ]
            hand.turn(6)
            assert await asyncio.gather(asked, *texts) == [TEXT, TEXT, TEXT]
            assert (await news(first))["state"] == "done"
            assert await overview(first) == (["done"], 0, 0)

    run(main())


def test_who_comes_late_gets_the_text_so_far_at_once_and_then_what_is_new(llm, run):
    async def main():
        hand = by_hand(llm)
        async with SocketTestClient(llm.app) as client, SocketTestClient(llm.app) as late:
            tokens = client.stream("generate", ASK)
            hand.turn(3)
            for _ in range(3):
                await anext(tokens)
            watched = late.stream("watch", (await news(late))["id"])
            assert await anext(watched) == {"text": " two three one", "index": 0}
            hand.turn()
            assert await anext(watched) == {"text": " two", "index": 3}
            hand.turn(2)
            await rest(tokens)
            assert await rest(watched) == " three one"

    run(main())


def test_what_is_over_can_be_read_again(llm, run):
    async def main():
        by_hand(llm).turn(6)
        async with SocketTestClient(llm.app) as client:
            await rest(client.stream("generate", ASK))
            id = (await news(client))["id"]
            tokens = [token async for token in client.stream("watch", id)]
            assert tokens == [{"text": TEXT, "index": 0}]

    run(main())


def test_a_watcher_who_does_not_read_holds_up_nobody(llm, run):
    async def main():
        hand = by_hand(llm)
        async with SocketTestClient(llm.app) as asker, SocketTestClient(llm.app) as slow:
            tokens = asker.stream("generate", ASK)
            hand.turn()
            await anext(tokens)
            id = (await news(slow))["id"]
            await slow.push("watch", id, {"$stream": True, "$window": 1}, uuid="w")
            item = await slow.receive()
            assert item["payload"] == {"text": " two", "index": 0}
            hand.turn(5)
            assert await rest(tokens) == TEXT.removeprefix(" two")
            assert (await news(slow))["state"] == "done"
            assert await overview(slow) == (["done"], 0, 1)  # one still has to read it
            caught_up = ""
            while item["status"] == 402:
                await slow.push("$ack", None, {"$seq": item["headers"]["$seq"]}, uuid="w")
                item = await slow.receive()
                caught_up += item["payload"]["text"] if item["status"] == 402 else ""
            assert (item["status"], caught_up) == (200, TEXT.removeprefix(" two"))
            assert item["headers"]["$seq"] <= 3  # few tokens, each of many words
            assert await overview(slow) == (["done"], 0, 0)

    run(main())


def test_a_watcher_who_leaves_ends_nothing_for_others(llm, run):
    async def main():
        hand = by_hand(llm)
        async with SocketTestClient(llm.app) as asker, SocketTestClient(llm.app) as stays:
            tokens = asker.stream("generate", ASK)
            hand.turn()
            text = (await anext(tokens))["text"]
            id = (await news(stays))["id"]
            watched = stays.stream("watch", id)
            seen = (await anext(watched))["text"]
            async with SocketTestClient(llm.app) as vanishes, SocketTestClient(llm.app) as leaves:
                await vanishes.push("watch", id, {"$stream": True}, uuid="w")
                await vanishes.receive()
                async with aclosing(leaves.stream("watch", id)) as left:
                    await anext(left)
                    assert await overview(stays) == (["running"], 1, 3)
                assert await overview(stays) == (["running"], 1, 2)
            assert await overview(stays) == (["running"], 1, 1)
            hand.turn(5)
            assert text + await rest(tokens) == TEXT
            assert seen + await rest(watched) == TEXT

    run(main())


def test_what_never_was_cannot_be_watched(llm, run):
    async def main():
        async with SocketTestClient(llm.app) as client:
            assert (await client.request("watch", "x", {"$stream": True})).status == 404

    run(main())


def test_all_pages_hear_that_one_has_begun_and_that_it_has_ended(llm, run):
    async def main():
        hand = by_hand(llm)
        hand.turn(6)
        async with SocketTestClient(llm.app) as asker, SocketTestClient(llm.app) as other:
            await rest(asker.stream("generate", {**ASK, "seed": 3}))
            for client in (asker, other):
                begun, ended = await news(client), await news(client)
                assert {**begun, "id": 0} == {
                    "id": 0,
                    "prompt": "one",
                    "seed": 3,
                    "state": "running",
                    "running": 1,
                }
                assert ended == {**begun, "state": "done", "running": 0}

    run(main())


def test_the_last_ones_are_kept_and_those_that_run(llm):
    shelf = llm.Shelf(keep=2)
    runs = shelf.begin("runs", 0)
    ended = []
    for _ in range(4):
        ended.append(shelf.begin("ended", 0))
        ended[-1].end("done")
    newest = shelf.begin("newest", 0)
    assert list(shelf) == [newest, ended[3], ended[2], runs]
    assert shelf.find(ended[0].id) is None
    assert shelf.find(runs.id) is runs
    assert shelf.running == 2


# --- the model


def written(llm: ModuleType, prompt: str, words: int = 30, **options: Any) -> list[str]:
    async def write() -> list[str]:
        found: list[str] = []
        async with aclosing(sea.write(prompt, **{"temperature": 0.8, "seed": 1} | options)) as text:
            async for word in text:
                found.append(word)
                if len(found) == words:
                    break
        return found

    sea = importlib.import_module("babbler").of_the_sea(0)
    return asyncio.run(write())


def test_the_same_seed_gives_the_same_text_and_another_seed_another(llm):
    once = written(llm, "In the evening", seed=1)
    assert once == written(llm, "In the evening", seed=1)
    assert once != written(llm, "In the evening", seed=2)


def test_the_seed_counts_for_nothing_at_temperature_0(llm):
    cold = [written(llm, "The sea", temperature=0, seed=seed) for seed in (1, 2)]
    assert cold[0] == cold[1]


def test_each_word_has_followed_the_one_before_it(llm):
    text = (EXAMPLE / "text.txt").read_text().split()
    pairs = {(a.strip(",").lower(), b) for a, b in pairwise(text)}
    words = written(llm, "The sea", 200, temperature=2)
    before = ["sea", *(word.strip(",").lower() for word in words)]
    ends = text[-1].lower()  # nothing follows it: a new sentence begins
    assert all(a == ends or (a, b) in pairs for a, b in zip(before, words, strict=False))


def test_what_it_never_read_begins_a_sentence(llm):
    assert written(llm, "xyzzy")[0][0].isupper()
    assert written(llm, "?!")[0][0].isupper()


# --- for real

COMMAND = "fastapi_observable_socket serve app:app --app-dir examples/llm"


class Server:
    """Started as the README says, and at a pace at which a test has time to stop it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *COMMAND.split(), "--port", "0", "--no-access-log"],
            env={**os.environ, "LLM_TOKENS_PER_SECOND": "50"},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.output = ""
        self.address = self._announced()
        self.url = self.address.replace("http", "ws", 1) + "/ws"

    def _announced(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.output += line
            if found := re.search(r"http://[\d.:]+", line):
                return found[0]
        raise AssertionError(f"the server ended without an address:\n{self.output}")

    def end(self, signum: int) -> int:
        self.process.send_signal(signum)
        self.output += self.process.communicate(timeout=PATIENCE)[1]
        return self.process.returncode

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.address + path, timeout=PATIENCE) as response:
            return response.read().decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    assert server.end(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert "Traceback" not in server.output, server.output


LONG = {"prompt": "The sea", "words": 400}


@asynccontextmanager
async def pages(server: Server, count: int) -> AsyncIterator[list[Socket]]:
    async with asyncio.TaskGroup() as opening:
        opened = [opening.create_task(connect(server.url).__aenter__()) for _ in range(count)]
    sockets = [task.result() for task in opened]
    try:
        yield sockets
    finally:
        for socket in sockets:
            await socket.close()


async def begun(socket: Socket) -> str:
    """The id of the generation that runs, once there is one."""
    found: list[str] = []

    async def there() -> bool:
        told = await socket.call("overview")
        found[:] = [each["id"] for each in told["generations"] if each["state"] == "running"]
        return bool(found)

    await until(there)
    return found[0]


async def nothing_runs(socket: Socket) -> None:
    async def idle() -> bool:
        told = await socket.call("overview")
        return (told["running"], told["watching"]) == (0, 0)

    await until(idle)


async def text_of(socket: Socket, route: str, payload: Any) -> str:
    async with asyncio.timeout(PATIENCE), socket.stream(route, payload) as tokens:
        return "".join([token["text"] async for token in tokens])


def test_the_readme_says_how_to_start_it_and_what_its_files_are():
    readme = (EXAMPLE / "README.md").read_text()
    assert COMMAND in readme
    named = re.findall(r"`([\w/]+\.(?:py|js|txt))`", readme)
    assert len(named) >= 5
    for name in named:
        assert (EXAMPLE / name).exists() or (ROOT / name).exists(), name


def test_the_page_and_its_files_are_served_from_here(server: Server):
    page, script = server.get("/"), server.get("/static/page.js")
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert server.get(path)
    for path in re.findall(r"from '\./([^']+)'", script):
        assert server.get(f"/static/{path}")


def test_the_client_of_the_page_is_served_where_it_is_built(server: Server):
    place = re.search(r'"fastapi-observable-socket": "([^"]+)"', server.get("/"))
    assert place
    if (ROOT / "js" / "dist" / "index.mjs").exists():
        assert "ObservableSocket" in server.get(place[1])
    else:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            server.get(place[1])


def test_all_windows_read_the_same_text(server: Server, run):
    async def main():
        async with pages(server, 3) as (asker, first, second):
            ask = {"prompt": "In the evening", "words": 100, "seed": 5}
            asking = asyncio.ensure_future(text_of(asker, "generate", ask))
            id = await begun(first)
            texts = await asyncio.gather(
                asking, text_of(first, "watch", id), text_of(second, "watch", id)
            )
            assert len(texts[0].split()) == 100
            assert texts[0] == texts[1] == texts[2] == await text_of(first, "watch", id)

    run(main())


def test_stopping_ends_it_for_all(server: Server, run):
    async def main():
        async with pages(server, 2) as (asker, watcher):
            asked = ""
            async with asker.stream("generate", LONG) as tokens:
                watching = None
                async for token in tokens:
                    asked += token["text"]
                    if watching is None:
                        id = await begun(watcher)
                        watching = asyncio.ensure_future(text_of(watcher, "watch", id))
                    if token["index"] == 10:
                        break
            await nothing_runs(asker)
            assert watching is not None
            watched = await watching
            assert watched.startswith(asked)
            assert 11 <= len(watched.split()) < 400
            told = await watcher.call("overview")
            assert {each["state"] for each in told["generations"] if each["id"] == id} == {
                "stopped"
            }

    run(main())


def test_a_page_that_is_gone_without_a_word_ends_its_generation(server: Server, run):
    async def main():
        async with pages(server, 1) as (watcher,):
            ws = await websocket(server.url)
            ask = {"uuid": 1, "route": "generate", "headers": {"$stream": True}, "payload": LONG}
            await ws.send(json.dumps(ask))
            watching = asyncio.ensure_future(text_of(watcher, "watch", await begun(watcher)))
            ws.transport.abort()
            await nothing_runs(watcher)
            assert 0 <= len((await watching).split()) < 400
            await ws.wait_closed()

    run(main())


def test_a_watcher_that_is_gone_ends_nothing(server: Server, run):
    async def main():
        async with pages(server, 3) as (asker, stays, goes):
            asking = asyncio.ensure_future(text_of(asker, "generate", {**LONG, "words": 100}))
            id = await begun(stays)
            staying = asyncio.ensure_future(text_of(stays, "watch", id))
            async with goes.stream("watch", id) as tokens:
                await anext(tokens)
                await goes.close()
            text = await asking
            assert len(text.split()) == 100
            assert await staying == text
            await nothing_runs(asker)

    run(main())


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_server_ends_at_once_in_the_middle_of_a_text(signum: int, run):
    async def main():
        server = Server()
        async with websocket(server.url) as asker, websocket(server.url) as watcher:
            ask = {"uuid": 1, "route": "generate", "headers": {"$stream": True}, "payload": LONG}
            await asker.send(json.dumps(ask))
            id = json.loads(await watcher.recv())["payload"]["generation"]["id"]
            watch = {"uuid": 1, "route": "watch", "headers": {"$stream": True}, "payload": id}
            await watcher.send(json.dumps(watch))
            await watcher.recv()
            code = await asyncio.to_thread(server.end, signum)
        assert code in (0, -signum)
        assert "Traceback" not in server.output, server.output

    run(main())
