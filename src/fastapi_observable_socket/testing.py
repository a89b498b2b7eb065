"""
A peer in the same process, for the tests of an application.

No server, no port, no second event loop: the application runs beside the test, so its
fixtures can be shared. Whatever is waited for has a timeout, and what the application
raises is raised in the test.
"""

import asyncio
import inspect
import json
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Generator,
    Mapping,
)
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from anyio.from_thread import start_blocking_portal

from ._compat import ClosableQueue, QueueShutDown
from ._errors import ResponseError
from ._followed import Followed, SyncFollowed
from ._wire import Header, Request, Response, Uuid, encode_request
from .backends._backend import Position
from .backends.contract import BACKEND_RULES

__all__ = [
    "BACKEND_RULES",
    "SocketClosed",
    "SocketRejected",
    "SocketTestClient",
    "SyncSocketTestClient",
]

T = TypeVar("T")

ABSENT: Any = object()


class SocketRejected(Exception):
    """The application did not accept the socket.

    `status` is the HTTP status of the refusal (403 for a plain close, as servers answer),
    `body` its text, `headers` its headers with lower-case names.
    """

    def __init__(
        self, message: str, status: int, body: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class SocketClosed(Exception):
    """The application closed the socket; `code` and `reason` are those of its close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason!r}" if reason else f"closed with {code}")
        self.code = code
        self.reason = reason


class SocketTestClient:
    """A socket to `app`, any ASGI application or a `SocketRouter`.

        async with SocketTestClient(app, "/ws") as client:
            answer = await client.request("math/sum", [1, 2])
            assert answer.ok and answer.payload == {"sum": 3}

    `headers`, `cookies` and `query` are those of the handshake. `scope` adds to the ASGI
    scope, such as `{"user": ...}`; `state` to its lifespan state. With `lifespan=True` the
    application's startup runs before the handshake and its shutdown after the close.
    `timeout` (seconds) bounds each wait.

    Entering raises `SocketRejected` where the socket is refused, leaving `TimeoutError`
    where the application does not end after its peer went away. What the application
    raises comes out of whatever the test is awaiting.

    It speaks ASGI: frame limits, pings and compression need a real server.
    """

    def __init__(
        self,
        app: Any,
        path: str = "/ws",
        *,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        scope: Mapping[str, Any] | None = None,
        lifespan: bool = False,
        timeout: float = 5.0,
    ) -> None:
        self._app = app
        self._timeout = timeout
        self._lifespan = _Lifespan(app, timeout) if lifespan else None
        self._state = dict(state or {})
        sent = {"host": "testserver", **{k.lower(): v for k, v in (headers or {}).items()}}
        if cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        self._scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(query or {}, doseq=True).encode(),
            "root_path": "",
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in sent.items()],
            "client": ("testclient", 50000),
            "server": ("testserver", 80),
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
            **(scope or {}),
        }
        self._to_app: ClosableQueue[dict[str, Any]] = ClosableQueue()
        self._frames: ClosableQueue[dict[str, Any]] = ClosableQueue()
        self._waiting: dict[str, asyncio.Future[Response]] = {}
        self._streams: dict[str, ClosableQueue[Response]] = {}
        self._followed: dict[str, ClosableQueue[dict[str, Any]]] = {}
        self._handlers: dict[str, Callable[[Any], Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._last_uuid = 0
        self._task: asyncio.Task[None] | None = None
        self._refusal: dict[str, Any] | None = None
        self._body = b""
        self.closed: SocketClosed | None = None
        """How the application closed the socket; None while it is open."""

    # --- what a test does

    async def request(
        self,
        route: str,
        payload: Any = ABSENT,
        headers: Header | None = None,
        *,
        uuid: Uuid | None = None,
    ) -> Response:
        """Send a request and wait for its answer, whatever its status.

        Raises `TimeoutError`, `SocketClosed`, or what the application raised.
        """
        uuid = self._next_uuid() if uuid is None else uuid
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[repr(uuid)] = answer
        try:
            await self.push(route, payload, headers, uuid=uuid)
            return await self._wait(answer, f"no answer to {route!r}")
        finally:
            self._waiting.pop(repr(uuid), None)

    async def stream(
        self,
        route: str,
        payload: Any = ABSENT,
        headers: Header | None = None,
        *,
        window: int | None = None,
        progress: Callable[[Any], Any] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """The items of a stream, one by one; with a `window` each is acknowledged as it is asked
        for the next. `progress` is called with what the route tells of it. The answer of a route
        that is no stream counts as its items, or its one item.

        Leaving before the end cancels it (at once by `contextlib.aclosing`). Raises
        `ResponseError` for an end that is no 2xx, and else as `request` does.
        """
        uuid = self._next_uuid()
        frames = self._streams[repr(uuid)] = ClosableQueue()
        asked: Header = {"$stream": True, **(headers or {})}
        asked |= {"$window": window} if window is not None else {}
        asked |= {"$progress": True} if progress is not None else {}
        end: Response | None = None
        try:
            await self.push(route, payload, asked, uuid=uuid)
            while end is None:
                frame = await self._frame_of(frames, route)
                seq = (frame.headers or {}).get("$seq")
                if frame.status != 402:
                    end = frame
                elif seq is None and progress is not None:
                    progress(frame.payload)
                elif seq is not None:
                    yield frame.payload
                    if window is not None:
                        await self.push("$ack", headers={"$seq": seq}, uuid=uuid)
        finally:
            if end is None and self.closed is None:
                await self.push("$cancel", uuid=uuid)
                while (await self._frame_of(frames, route)).status == 402:
                    pass
            del self._streams[repr(uuid)]
        assert end is not None
        if not end.ok:
            raise ResponseError(route, end.status, end.headers or {}, end.payload)
        if "$seq" not in (end.headers or {}):
            for item in end.payload if isinstance(end.payload, list) else [end.payload]:
                yield item

    def subscribe(self, topic: str, *, since: Position | None = None) -> Followed:
        """Follow a topic by `async with`; its events are not among `receive`'s frames then.
        Those that came `since` a position come first. See `Followed`."""
        return Followed(self, topic, since)

    def follow(self, uuid: str) -> Callable[[], Awaitable[dict[str, Any]]]:
        """For `Followed`: its frames, one by one."""
        if uuid in self._followed:
            raise RuntimeError(f"topic {uuid[1:]!r} is subscribed to already")
        frames = self._followed[uuid] = ClosableQueue()
        return lambda: self._frame_of(frames, uuid[1:])

    def unfollow(self, uuid: str) -> None:
        """For `Followed`: no more of them."""
        self._followed.pop(uuid, None)

    async def hello(
        self,
        token: str | None = None,
        *,
        calls: bool = True,
        drain: bool = False,
        contract: Mapping[str, Any] | None = None,
    ) -> Response:
        """Introduce this peer, as clients do; `calls`: it answers calls of the server; `drain`:
        it wants to be told by `$drain`, among `receive`'s frames; `contract`: what it was built
        for, such as `{"version": "2.0"}`."""
        said: dict[str, Any] = {"protocol": 1, "client": "testing"}
        features = ["calls"] * calls + ["drain"] * drain
        said |= {"features": features} if features else {}
        said |= {} if contract is None else {"contract": dict(contract)}
        return await self.request("$hello", said | ({} if token is None else {"token": token}))

    def handle(self, route: str, function: Callable[[Any], Any]) -> None:
        """Answer calls of the server with what `function(payload)` returns, awaited if need be;
        a `Response` gives the status too. Calls without a handler are among `receive`'s frames."""
        self._handlers[route] = function

    async def push(
        self, route: str, payload: Any = ABSENT, headers: Header | None = None, *, uuid: Uuid = 0
    ) -> None:
        """Send a request and do not wait: its answer will be among `receive`'s frames."""
        frame = {"uuid": uuid, "route": route, "headers": headers or {}}
        if payload is ABSENT:
            text = msgspec.json.encode(frame).decode()
        else:
            text = encode_request(Request(uuid, route, headers or {}, payload))
        await self.send_raw(text)

    async def send_raw(self, frame: str | bytes) -> None:
        """Send one frame as it is: text for a str, binary for bytes."""
        if self.closed is not None:
            raise self.closed
        kind = "text" if isinstance(frame, str) else "bytes"
        self._to_app.put_nowait({"type": "websocket.receive", kind: frame})
        await asyncio.sleep(0)

    async def receive(self) -> dict[str, Any]:
        """The next frame that answers no `request` of this test, decoded.

        Raises `TimeoutError`, `SocketClosed`, or what the application raised.
        """
        try:
            return await self._wait(self._frames.get(), "no frame")
        except QueueShutDown:
            raise self.closed or SocketClosed(1006, "") from None

    def _next_uuid(self) -> int:
        self._last_uuid += 1
        return self._last_uuid

    async def _frame_of(self, frames: ClosableQueue[T], route: str) -> T:
        try:
            return await self._wait(frames.get(), f"no frame of {route!r}")
        except QueueShutDown:
            raise self.closed or SocketClosed(1006, "") from None

    async def _answer(self, question: Mapping[str, Any]) -> None:
        try:
            answer = self._handlers[question["route"]](question["payload"])
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as error:
            self._failed(error)
            answer = Response(0, 500, {}, {"message": "the test's handler failed"})
        if not isinstance(answer, Response):
            answer = Response(0, 200, {}, answer)
        answer.uuid = question["uuid"]
        await self.send_raw(msgspec.json.encode(answer).decode())

    async def disconnect(self, code: int = 1000) -> None:
        """Go away, and wait until the application has ended. Raises what it raised."""
        assert self._task is not None
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        done, _ = await asyncio.wait([self._task], timeout=self._timeout)
        if not done:
            self._task.cancel()
            raise TimeoutError(f"the application did not end within {self._timeout:g} s")
        self._task.result()

    # --- coming and going

    async def __aenter__(self) -> Self:
        if self._lifespan is not None:
            self._state |= await self._lifespan.startup()
        self._scope["state"] = self._state
        self._to_app.put_nowait({"type": "websocket.connect"})
        accepted = self._accepted = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())
        try:
            await self._wait(accepted, "the application neither accepted nor refused the socket")
        except BaseException:
            self._task.cancel()
            await asyncio.wait([self._task])
            if self._lifespan is not None:
                await self._lifespan.shutdown()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.disconnect()
        finally:
            if self._lifespan is not None:
                await self._lifespan.shutdown()

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._to_app.get, self._send)
        except Exception as error:
            self._ended(error)
            raise
        if self._accepted.done():
            self._ended(self.closed or SocketClosed(1006, "the application returned"))
        else:
            self._ended(
                SocketRejected(
                    "the application returned and neither accepted nor refused the socket: is "
                    "`await router(ws)` missing its await?",
                    500,
                )
            )

    def _failed(self, error: Exception) -> None:
        """The test's own part is broken: whatever it waits for ends with that."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()

    def _ended(self, error: Exception) -> None:
        for waiting in [self._accepted, *self._waiting.values()]:
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # told to whom it concerns; nobody else need hear of it
        self._frames.shutdown()
        for frames in self._streams.values():
            frames.shutdown()
        for events in self._followed.values():
            events.shutdown()
        for task in self._answering:
            task.cancel()

    async def _send(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "websocket.accept":
                self._accepted.set_result(None)
            case "websocket.send":
                if self.closed is not None:
                    raise RuntimeError("sent after the close")
                self._arrived(message)
            case "websocket.close" if self._accepted.done():
                self.closed = SocketClosed(message.get("code", 1000), message.get("reason") or "")
                self._ended(self.closed)
            case "websocket.close":
                reason = message.get("reason") or ""
                self._ended(SocketRejected(f"refused with HTTP 403 {reason}".strip(), 403))
            case "websocket.http.response.start":
                self._refusal = dict(message)
            case "websocket.http.response.body":
                self._denied(message)

    def _denied(self, message: Mapping[str, Any]) -> None:
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        start = self._refusal or {}
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in start["headers"]}
        text = f"refused with HTTP {start['status']}"
        body = self._body.decode(errors="replace")
        self._ended(SocketRejected(text, start["status"], body, headers))

    def _arrived(self, message: Mapping[str, Any]) -> None:
        text = message.get("text")
        data = text if text is not None else message["bytes"]
        try:
            frame = msgspec.json.decode(data)
        except msgspec.DecodeError:
            frame = json.loads(data)  # reads lone surrogates, as browsers do
        key = repr(frame.get("uuid"))
        if key in self._streams and "status" in frame:
            self._streams[key].put_nowait(msgspec.convert(frame, Response))
            return
        followed = self._followed.get(str(frame.get("uuid")))
        if followed is not None:
            followed.put_nowait(frame)
            return
        if frame.get("route") in self._handlers and frame["uuid"] != "#":
            task = asyncio.create_task(self._answer(frame))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        waiting = self._waiting.get(key)
        if waiting is None or waiting.done() or "status" not in frame:
            self._frames.put_nowait(frame)
        else:
            waiting.set_result(msgspec.convert(frame, Response))

    async def _wait(self, what: Awaitable[T], otherwise: str) -> T:
        try:
            return await asyncio.wait_for(what, self._timeout)
        except TimeoutError:
            raise TimeoutError(f"{otherwise} within {self._timeout:g} s") from None


class _Lifespan:
    """Startup and shutdown of an application."""

    def __init__(self, app: Any, timeout: float) -> None:
        self._app = app
        self._timeout = timeout
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._state: dict[str, Any] = {}

    async def startup(self) -> dict[str, Any]:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self._state}
        self._task = asyncio.create_task(self._app(scope, self._to_app.get, self._from_app.put))
        await self._step("startup")
        return self._state

    async def shutdown(self) -> None:
        await self._step("shutdown")
        await self._task

    async def _step(self, step: str) -> None:
        self._to_app.put_nowait({"type": f"lifespan.{step}"})
        told = asyncio.create_task(self._from_app.get())
        done, _ = await asyncio.wait(
            {told, self._task}, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if told in done:
            if told.result()["type"].endswith("failed"):
                raise RuntimeError(told.result().get("message") or f"{step} failed")
            return
        told.cancel()
        if not done:
            raise TimeoutError(f"{step} did not end within {self._timeout:g} s")
        self._task.result()


class SyncSocketTestClient:
    """`SocketTestClient` for tests that are not `async`; takes the same arguments.

    with SyncSocketTestClient(app, "/ws") as client:
        assert client.request("math/sum", [1, 2]).payload == {"sum": 3}
    """

    def __init__(self, app: Any, path: str = "/ws", **options: Any) -> None:
        self._client = SocketTestClient(app, path, **options)

    def __enter__(self) -> Self:
        self._manager = start_blocking_portal("asyncio")
        self._portal = self._manager.__enter__()
        try:
            self._portal.call(self._client.__aenter__)
        except BaseException as error:
            self._manager.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._portal.call(self._client.__aexit__, kind, error, traceback)
        finally:
            self._manager.__exit__(kind, error, traceback)

    def _do(self, coroutine: Awaitable[T]) -> T:
        async def run() -> T:
            return await coroutine

        return self._portal.call(run)

    def request(self, route: str, payload: Any = ABSENT, headers: Header | None = None) -> Response:
        """As `SocketTestClient.request`."""
        return self._do(self._client.request(route, payload, headers))

    def push(self, route: str, payload: Any = ABSENT, headers: Header | None = None) -> None:
        """As `SocketTestClient.push`."""
        self._do(self._client.push(route, payload, headers))

    def send_raw(self, frame: str | bytes) -> None:
        """As `SocketTestClient.send_raw`."""
        self._do(self._client.send_raw(frame))

    def receive(self) -> dict[str, Any]:
        """As `SocketTestClient.receive`."""
        return self._do(self._client.receive())

    def stream(
        self,
        route: str,
        payload: Any = ABSENT,
        headers: Header | None = None,
        *,
        window: int | None = None,
        progress: Callable[[Any], Any] | None = None,
    ) -> Generator[Any, None, None]:
        """As `SocketTestClient.stream`."""
        client = self._client
        items = client.stream(route, payload, headers, window=window, progress=progress)
        end = object()
        try:
            while (item := self._do(_next(items, end))) is not end:
                yield item
        finally:
            self._do(items.aclose())

    def subscribe(self, topic: str, *, since: Position | None = None) -> SyncFollowed:
        """As `SocketTestClient.subscribe`, by `with`."""
        return SyncFollowed(self._do, self._client.subscribe(topic, since=since))

    def hello(
        self,
        token: str | None = None,
        *,
        calls: bool = True,
        drain: bool = False,
        contract: Mapping[str, Any] | None = None,
    ) -> Response:
        """As `SocketTestClient.hello`."""
        return self._do(self._client.hello(token, calls=calls, drain=drain, contract=contract))

    def handle(self, route: str, function: Callable[[Any], Any]) -> None:
        """As `SocketTestClient.handle`; `function` runs beside the application."""
        self._client.handle(route, function)


async def _next(items: AsyncGenerator[Any, None], end: Any) -> Any:
    return await anext(items, end)
