"""
A server of several worker processes, and clients that come back to it by themselves.
"""

import asyncio
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

import fastapi_observable_socket

from .traffic import GAP, Witness, until

PATIENCE = 30.0
"""Seconds that anything may take on a busy machine."""

SOURCE = Path(fastapi_observable_socket.__file__).parents[1]


class Workers:
    """`uvicorn --workers count`, until the `with` ends."""

    def __init__(self, count: int, app: str = "news:app", **variables: str) -> None:
        self._log = tempfile.TemporaryFile("a+")  # noqa: SIM115  # at its end, wherever we read
        folder, _, name = app.rpartition("/")
        command = f"-m uvicorn {name} --workers {count} --port 0 --no-access-log"
        # A worker on a busy machine is slow, and no reason to kill it.
        command += " --timeout-worker-healthcheck 60"
        self._process = subprocess.Popen(
            [sys.executable, *command.split(), "--app-dir", folder or Path(__file__).parent],
            env={**os.environ, "PYTHONPATH": str(SOURCE), **variables},
            stderr=self._log,
            start_new_session=True,
        )
        self.count = count

    def __enter__(self) -> Self:
        try:
            deadline = time.monotonic() + PATIENCE
            address: list[str] = []
            while self.log().count("Application startup complete") < self.count or not address:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)
                address = re.findall(r"http://[\d.]+:(\d+)", self.log())
            self.port = int(address[0])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            pytest.fail(f"the server does not stop:\n{self.log()}")
        finally:
            self._log.close()

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def states(self, http: httpx.AsyncClient) -> dict[int, Any]:
        """What each process says of itself, until all have been asked."""
        found: dict[int, Any] = {}

        async def ask() -> None:
            state = (await http.get(f"{self.url}/state")).json()
            found[state["pid"]] = state

        await until(lambda: len(found) == self.count, ask)
        return found


@asynccontextmanager
async def visitor() -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that comes by a new connection each time, so to whichever process."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, timeout=PATIENCE, trust_env=False) as client:
        yield client


class Follower(Witness):
    """A client that keeps the numbers it hears, and comes back with its position."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._url = f"ws://127.0.0.1:{port}/ws"
        self.at: dict[str, Any] | None = None
        self.worker = 0
        """The process it is at; 0 on the way."""
        self.returned: Counter[bool] = Counter()
        """How often it came back, with what it missed and without."""

    async def run(self) -> None:
        while True:
            try:
                async with connect(
                    self._url, compression=None, ping_interval=None, open_timeout=PATIENCE
                ) as ws:
                    await self._listen(ws)
            except (OSError, WebSocketException, TimeoutError):
                pass
            finally:
                self.worker = 0
            await asyncio.sleep(random.uniform(0, 0.3))

    async def _listen(self, ws: ClientConnection) -> None:
        wanted = {"topic": "news", **({"recover": self.at} if self.at else {})}
        await ws.send(json.dumps({"uuid": 1, "route": "who"}))
        worker = json.loads(await ws.recv())["payload"]
        await ws.send(json.dumps({"uuid": 2, "route": "$sub", "payload": wanted}))
        async for text in ws:
            frame = json.loads(text)
            if frame["uuid"] != 2:
                self._heard(frame)
            elif frame["status"] == 200:
                self._joined(frame["payload"])
                self.worker = worker
            else:
                assert frame["status"] == 503, frame
                return

    def _joined(self, answer: dict[str, Any]) -> None:
        if self.at is not None:
            self.returned[answer["recovered"]] += 1
            if not answer["recovered"]:
                self.items.append(GAP)
        self.items += [missed["payload"] for missed in answer["missed"]]
        self.at = {"epoch": answer["epoch"], "offset": answer["offset"]}

    def _heard(self, frame: dict[str, Any]) -> None:
        assert frame["uuid"] == "#news"
        headers = frame["headers"]
        at = {"epoch": headers["$epoch"], "offset": headers["$offset"]}
        assert self.at is not None
        if frame["route"] == "$gap":
            self.items.append(GAP)
        else:
            assert at["epoch"] != self.at["epoch"] or at["offset"] > self.at["offset"]
            self.items.append(frame["payload"])
        self.at = at


@asynccontextmanager
async def following(server: Workers, count: int) -> AsyncIterator[list[Follower]]:
    """So many clients, or a few more, once all of them listen and every process has some."""
    followers: list[Follower] = []
    tasks: list[asyncio.Task[None]] = []

    def follow() -> None:
        followers.append(Follower(server.port))
        tasks.append(asyncio.create_task(followers[-1].run()))

    for _ in range(count):
        follow()
    try:
        await until(lambda: failed(tasks) or all(f.worker for f in followers))
        while len({f.worker for f in followers}) < server.count:
            follow()
            await until(lambda: failed(tasks) or followers[-1].worker)
        yield followers
        assert not failed(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def failed(tasks: list["asyncio.Task[None]"]) -> bool:
    for task in tasks:
        if task.done():
            task.result()
    return False


class Idler:
    """A client of two topics that stops to read, with little room on its side."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.at: dict[str, dict[str, Any]] = {"news": {}, "heaps": {}}
        self.items: dict[str, list[int]] = {topic: [] for topic in self.at}
        self.worker = 0

    async def listen(self) -> None:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", self._port))
        self._ws = await connect(
            f"ws://127.0.0.1:{self._port}/ws",
            sock=narrow,
            compression=None,
            ping_interval=None,
            max_queue=1,
            max_size=None,
            close_timeout=1,
        )
        self.worker = await self._call("who")
        await self._call("watch-me")
        wanted = [{"topic": t, **({"recover": at} if at else {})} for t, at in self.at.items()]
        for joined in (await self._call("$sub", {"topics": wanted}))["topics"]:
            topic = joined["topic"]
            assert joined["recovered"] is bool(self.at[topic])
            for missed in joined["missed"]:
                self._take(topic, missed["payload"], missed["epoch"], missed["offset"])
            self.at[topic] = {"epoch": joined["epoch"], "offset": joined["offset"]}

    async def _call(self, route: str, payload: Any = None) -> Any:
        await self._ws.send(json.dumps({"uuid": 1, "route": route, "payload": payload}))
        answer = json.loads(await self._ws.recv())
        assert (answer["uuid"], answer["status"]) == (1, 200)
        return answer["payload"]

    def _take(self, topic: str, payload: Any, epoch: str, offset: int) -> None:
        self.items[topic].append(payload[0] if isinstance(payload, list) else payload)
        self.at[topic] = {"epoch": epoch, "offset": offset}

    async def read_to_the_end(self) -> int:
        """What is there still; the code with which it ended."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    frame = json.loads(await self._ws.recv())
                    at = frame["headers"]
                    self._take(frame["route"], frame["payload"], at["$epoch"], at["$offset"])
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    async def close(self) -> None:
        await self._ws.close()


class Numbers:
    """Publishes one number after the other over HTTP, in whichever process."""

    def __init__(self, server: Workers, http: httpx.AsyncClient, topic: str = "news") -> None:
        self._server = server
        self._http = http
        self._topic = topic
        self._next = 0
        self.acknowledged: list[int] = []
        self.by: Counter[int] = Counter()
        """How many each process has published."""

    async def one(self, persist: bool = True, size: int = 0) -> int:
        """With `persist` again and again under its id, until it is stored."""
        number, self._next = self._next, self._next + 1
        url = f"{self._server.url}/publish/{self._topic}"
        while True:
            try:
                done = await self._http.post(url, params={"number": number, "size": size})
            except httpx.TransportError:
                done = None
            if done is not None and done.status_code == 200:
                self.acknowledged.append(number)
                self.by[done.json()] += 1
                return number
            assert done is None or done.status_code == 503, done.text
            if not persist:
                return number

    async def many(self, count: int) -> None:
        for _ in range(count):
            await self.one()

    @asynccontextmanager
    async def flowing(self, persist: bool = True) -> AsyncIterator[Callable[[int], Any]]:
        """One after the other in the background; gives a way to wait for so many more."""
        over = False

        async def flow() -> None:
            while not over:
                await self.one(persist)
                await asyncio.sleep(0.002)

        async def more(count: int) -> None:
            wanted = len(self.acknowledged) + count
            await until(lambda: len(self.acknowledged) >= wanted)

        task = asyncio.create_task(flow())
        try:
            yield more
        finally:
            over = True
            await task


class Caller:
    """A connection on which calls are answered while events come."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self._news: list[Any] = []

    async def _next(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.ws.recv())

    async def call(self, route: str, payload: Any = None) -> Any:
        await self.ws.send(json.dumps({"uuid": 1, "route": route, "payload": payload}))
        while (frame := await self._next())["uuid"] != 1:
            self._news.append(frame["payload"])
        assert frame["status"] == 200, frame
        return frame["payload"]

    async def news(self) -> Any:
        return self._news.pop(0) if self._news else (await self._next())["payload"]


class Crowd:
    """Connections that end with the `with`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def another(self) -> Caller:
        ws = await self._stack.enter_async_context(connect(self._url, ping_interval=None))
        return Caller(ws)

    async def at_two(self, route: str, process: Callable[[Any], int]) -> list[Caller]:
        """Two that are at different processes."""
        found: dict[int, Caller] = {}

        async def ask() -> None:
            caller = await self.another()
            found[process(await caller.call(route))] = caller

        await until(lambda: len(found) == 2, ask)
        return list(found.values())
