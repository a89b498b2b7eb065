"""
The command line: call a route, take the items of a stream, follow a topic, listen to a socket,
serve an application.

    python -m fastapi_observable_socket call http://localhost:8000/ws math/sum '[1, 2, 3]'

Ends with 0 after a 2xx answer, 1 after any other, 2 for what was typed wrong, 3 where the
server is away, refuses or does not answer, and 130 after Ctrl-C. Speaks no protocol of its
own: that is the client's. What it needs beyond the package (the extra `cli`; for `serve`
`uvicorn`) is imported when it runs.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

from . import _contracts, _serve
from ._errors import ConnectionLostError, ResponseError, SocketError, SocketTimeoutError
from ._shown import Away, away, read_frame, show, show_line, tell, tell_json, tell_status
from ._typed import (
    Mistyped,
    Target,
    address,
    frame_of,
    pairs,
    payload_of,
    position,
    standard_input,
    topic_name,
)
from ._wire import Request

if TYPE_CHECKING:
    from typer import Typer

    from .client import Connecting, End, Events, Socket

FAILED: Final = 1
USAGE: Final = 2
AWAY: Final = 3
INTERRUPTED: Final = 130


# --- the commands


async def call(target: Target, request: Request, raw: bool = False, progress: bool = False) -> int:
    """Send one request, print its answer; the exit code that tells its status."""
    frame_of(request)
    seen: list[str] = []
    async with connected(target, on_frame=lambda text: seen.append(str(text))) as socket:
        answer = await socket.request(
            request.route,
            request.payload,
            headers=request.headers,
            timeout=target.timeout,
            on_progress=tell_json if progress else None,
        )
    tell_status(answer.status)
    for name, value in (answer.headers or {}).items():
        tell(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")
    text = [text for text in seen if read_frame(text).get("uuid") == answer.uuid][-1]
    show(text if raw else json.dumps(read_frame(text).get("payload"), ensure_ascii=False), raw)
    return 0 if answer.ok else FAILED


async def stream(target: Target, request: Request, window: int, count: int | None = None) -> int:
    """Print the items of a stream as they come, at most `count`; the exit code of its end."""
    frame_of(request)
    taken = 0
    async with (
        connected(target) as socket,
        socket.stream(
            request.route,
            request.payload,
            headers=request.headers,
            window=window,
            timeout=target.timeout,
        ) as items,
    ):
        try:
            async for item in items:
                show_line(json.dumps(item, ensure_ascii=False))
                taken += 1
                if taken == count:
                    break
        except ResponseError as error:
            tell_status(error.status)
            tell_json(error.payload)
            return FAILED
    return 0


async def subscribe(
    target: Target,
    topic: str,
    since: tuple[str, int] | None = None,
    count: int | None = None,
    snapshot: bool = False,
) -> int:
    """Print the events of a topic as they come, at most `count`, over one connection after
    another; the exit code, which tells a refusal. Raises `Away` where there is no connection, or
    none any more."""
    lasting = {"max_attempts": None, "open_timeout": target.timeout, "hello": True}
    connecting = _connecting(target, **lasting)
    connecting.socket.on_state(lambda state, end: _tell_state(target, state, end))
    async with _told_as_away(target), connecting as socket:
        events = socket.subscribe(topic, since=since, timeout=target.timeout)
        try:
            async with events:
                try:
                    await _show_events(events, count, snapshot)
                finally:
                    tell(f"--since {':'.join(map(str, events.position or ()))}")
        except ResponseError as error:
            tell_status(error.status)
            tell_json(error.payload)
            return FAILED
    return 0


async def _show_events(events: "Events[Any, Any]", count: int | None, snapshot: bool) -> None:
    from .client import Gap

    shown, state = 0, None
    while shown != count:
        if snapshot and events.snapshot is not state:
            state = events.snapshot
            show_line(json.dumps(state, ensure_ascii=False))
        try:
            show_line(json.dumps(await anext(events), ensure_ascii=False))
            shown += 1
        except Gap:
            tell("events are lost here")


async def listen(target: Target, heartbeat: float, raw: bool = False) -> NoReturn:
    """Print every frame that arrives but PONG, for ever. Raises `Away` where that is final."""
    listening = asyncio.current_task()
    enough: list[SystemExit] = []

    def heard(message: str | bytes) -> None:
        try:
            _show_frame(message, raw, target.token is not None)
        except SystemExit as end:
            # Raised here, it would end the loop and not the command.
            enough.append(end)
            assert listening is not None
            listening.cancel()

    beats = {"heartbeat": heartbeat, "heartbeat_timeout": heartbeat, "max_attempts": None}
    connecting = _connecting(target, on_frame=heard, **beats)
    connecting.socket.on_state(lambda state, end: _tell_state(target, state, end))
    try:
        async with _told_as_away(target), connecting as socket:
            async for _ in socket.pushes():
                pass
    except asyncio.CancelledError:
        if enough:
            raise enough[0] from None
        raise
    raise Away("the connection was closed")


def _show_frame(message: str | bytes, raw: bool, introduced: bool) -> None:
    if isinstance(message, bytes):
        tell(f"a binary frame of {len(message)} bytes")
        return
    frame = read_frame(message)
    # The answer to `$hello` is none of the server's own messages.
    if frame.get("route") != "PONG" and not (introduced and type(frame.get("status")) is int):
        show(message, raw)


def _tell_state(target: Target, state: str, end: "End | None") -> None:
    if state == "open":
        tell(f"listening to {target.url}")
    elif state == "waiting" and end is not None:
        why = away(target, end.code, end.reason, end.cause)
        tell(f"{why}; next attempt in {end.wait or 0:.1f} s")


# --- the way to the server


def _connecting(target: Target, **options: Any) -> "Connecting":
    from .client import connect

    known: dict[str, Any] = {
        "auth": None if target.token is None else lambda: target.token,
        "hello": False,
        "open_timeout": None,
        "connect_timeout": target.timeout,
        "max_attempts": 1,
    }
    if target.origin is not None:
        known["origin"] = target.origin
    return connect(target.url, handshake_headers=target.headers, **{**known, **options})


@asynccontextmanager
async def connected(
    target: Target, on_frame: Callable[[str | bytes], Any] | None = None
) -> AsyncIterator["Socket"]:
    """An open socket. What may happen to it, also later, is raised as `Away`."""
    async with _told_as_away(target), _connecting(target, on_frame=on_frame) as socket:
        yield socket


@asynccontextmanager
async def _told_as_away(target: Target) -> AsyncIterator[None]:
    try:
        yield
    except ConnectionLostError as error:
        raise away(target, error.close_code, error.reason, error.__cause__) from None
    except SocketTimeoutError:
        raise Away(f"no answer within {target.timeout:g} s") from None
    except ResponseError:
        raise
    except SocketError as error:
        raise Away(str(error)) from None


# --- the entry point


def _request(route: str, payload: str | None, header: Sequence[str] | None) -> Request:
    text = standard_input() if payload == "-" else payload
    return Request("", route, dict(pairs(header or ())), payload_of(text))


def _run(command: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(command)
    except KeyboardInterrupt:
        return INTERRUPTED


def commands() -> "Typer":
    """The command line as typer knows it."""
    import typer

    url_ = typer.Argument(metavar="URL", help="ws://, wss://, http:// or https://")
    route_ = typer.Argument(metavar="ROUTE", help="Such as math/sum.")
    payload_ = typer.Argument(metavar="PAYLOAD", help="JSON; - reads it from standard input.")
    header_ = typer.Option("--header", "-H", metavar="NAME=VALUE", help="Of the message.")
    http_header_ = typer.Option("--http-header", metavar="NAME=VALUE", help="For the handshake.")
    origin_ = typer.Option(metavar="ORIGIN", help="Origin header of the handshake.")
    token_ = typer.Option(metavar="TOKEN", envvar="FOS_TOKEN", help="Says who you are.")
    raw_ = typer.Option("--json", help="Print frames just as they came.")
    timeout_ = typer.Option(min=0.001, metavar="SECONDS")
    progress_ = typer.Option("--progress", help="Show how far it has come, if the route tells.")
    first_ = typer.Option(min=0.001, metavar="SECONDS", help="For the first item.")
    window_ = typer.Option(min=1, metavar="N", help="Items that may be on their way.")
    count_ = typer.Option(min=1, metavar="N", help="Stop after as many items.")
    topic_ = typer.Argument(metavar="TOPIC", help="Such as orders/42.")
    answer_ = typer.Option(min=0.001, metavar="SECONDS", help="For the connection, and to begin.")
    since_ = typer.Option(metavar="EPOCH:OFFSET", help="Begin behind that position.")
    events_ = typer.Option("--count", min=1, metavar="N", help="Stop after as many events.")
    snapshot_ = typer.Option("--snapshot", help="Print the topic's state, too, if it has one.")
    heartbeat_ = typer.Option(min=0.001, metavar="SECONDS", help="Between two PINGs.")

    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Call the routes of an ObservableSocket server, and listen to it.",
    )

    @app.command("call")
    def _call(
        url: Annotated[str, url_],
        route: Annotated[str, route_],
        payload: Annotated[str | None, payload_] = None,
        header: Annotated[list[str] | None, header_] = None,
        http_header: Annotated[list[str] | None, http_header_] = None,
        timeout: Annotated[float, timeout_] = 10.0,
        origin: Annotated[str | None, origin_] = None,
        token: Annotated[str | None, token_] = None,
        progress: Annotated[bool, progress_] = False,
        raw: Annotated[bool, raw_] = False,
    ) -> None:
        """Send one request and print the payload of its answer.

        Status, headers and progress go to standard error.

        A payload that starts with a minus needs -- before it.

        Exit code: 0 after a 2xx answer, 1 after any other, 2 for a mistyped
        command, 3 where the server is away, refuses or does not answer.
        """
        target = Target(address(url), pairs(http_header or ()), origin, timeout, token)
        request = _request(route, payload, header)
        raise SystemExit(_run(call(target, request, raw, progress)))

    @app.command("stream")
    def _stream(
        url: Annotated[str, url_],
        route: Annotated[str, route_],
        payload: Annotated[str | None, payload_] = None,
        header: Annotated[list[str] | None, header_] = None,
        http_header: Annotated[list[str] | None, http_header_] = None,
        timeout: Annotated[float, first_] = 10.0,
        window: Annotated[int, window_] = 64,
        count: Annotated[int | None, count_] = None,
        origin: Annotated[str | None, origin_] = None,
        token: Annotated[str | None, token_] = None,
    ) -> None:
        """Print the items of a stream as they come, one on each line.

        Ctrl-C ends the stream on the server too.

        Exit code: 0 after an end with 2xx or after --count items, 1 after any other, 2 for a
        mistyped command, 3 where the server is away, refuses or does not answer, 130 after Ctrl-C.
        """
        target = Target(address(url), pairs(http_header or ()), origin, timeout, token)
        request = _request(route, payload, header)
        raise SystemExit(_run(stream(target, request, window, count)))

    @app.command("subscribe")
    def _subscribe(
        url: Annotated[str, url_],
        topic: Annotated[str, topic_],
        http_header: Annotated[list[str] | None, http_header_] = None,
        timeout: Annotated[float, answer_] = 10.0,
        since: Annotated[str | None, since_] = None,
        count: Annotated[int | None, events_] = None,
        snapshot: Annotated[bool, snapshot_] = False,
        origin: Annotated[str | None, origin_] = None,
        token: Annotated[str | None, token_] = None,
    ) -> None:
        """Print the events of a topic as they come, one on each line.

        Comes back after a lost connection, with all that it missed; where that cannot be had
        it says so on standard error. The state (--snapshot) comes first, and again after that.
        At the end it tells how to go on from there with --since.

        Exit code: 0 after --count events, 1 where the topic is refused, 2 for a mistyped
        command, 3 where the server is away, refuses or does not answer, 130 after Ctrl-C.
        """
        target = Target(address(url), pairs(http_header or ()), origin, timeout, token)
        name, begin = topic_name(topic), position(since)
        raise SystemExit(_run(subscribe(target, name, begin, count, snapshot)))

    @app.command("listen")
    def _listen(
        url: Annotated[str, url_],
        http_header: Annotated[list[str] | None, http_header_] = None,
        timeout: Annotated[float, timeout_] = 10.0,
        origin: Annotated[str | None, origin_] = None,
        token: Annotated[str | None, token_] = None,
        heartbeat: Annotated[float, heartbeat_] = 45.0,
        raw: Annotated[bool, raw_] = False,
    ) -> None:
        """Print every frame that arrives, until Ctrl-C.

        Comes back after a lost connection, but not where the server refused for good.
        """
        target = Target(address(url), pairs(http_header or ()), origin, timeout, token)
        try:
            asyncio.run(listen(target, heartbeat, raw))
        except KeyboardInterrupt:
            raise SystemExit(0) from None

    _contracts.add_to(app)
    _serve.add_to(app)
    return app


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    if sys.argv[1:2] == ["serve"]:
        _serve.serve(sys.argv[2:])  # what makes a client is not needed on a server
    try:
        import rich  # noqa: F401
        import websockets  # noqa: F401

        run = commands()
    except ModuleNotFoundError as missing:
        tell(f"no module {missing.name!r}: install fastapi-observable-socket[cli]")
        raise SystemExit(USAGE) from None
    # What there is to say is said here, in one line.
    logging.getLogger("fastapi_observable_socket").addHandler(logging.NullHandler())
    try:
        run()
    except Mistyped as error:
        tell(str(error))
        raise SystemExit(USAGE) from None
    except Away as error:
        tell(str(error))
        raise SystemExit(AWAY) from None


if __name__ == "__main__":
    main()
