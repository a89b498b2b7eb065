"""
The command line: call a route, listen to a socket.

    python -m fastapi_observable_socket call http://localhost:8000/ws math/sum '[1, 2, 3]'

Ends with 0 after a 2xx answer, 1 after any other, 2 for what was typed wrong and 3 where
the server is away, refuses or does not answer. Speaks no protocol of its own: frames are
`_wire`'s. What it needs beyond the package (the extra `cli`) is imported when it runs.
"""

import asyncio
import json
import os
import random
import socket as sockets
import ssl
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn
from urllib.parse import urlsplit

import msgspec

from ._errors import Unserialisable
from ._status import CloseCode, Status
from ._wire import Request, encode_request

if TYPE_CHECKING:
    from typer import Typer
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed, InvalidStatus

FAILED: Final = 1
USAGE: Final = 2
AWAY: Final = 3
INTERRUPTED: Final = 130

LONGEST_WAIT: Final = 30.0
"""Seconds between two attempts to connect, at most."""

STEADY: Final = 5.0
"""Seconds after which a connection counts as a good one: the next wait is short again."""

FINAL_CODES: Final = (CloseCode.POLICY, CloseCode.INTERNAL_ERROR)
"""Close codes after which no client comes back."""


class Mistyped(Exception):
    """What was typed cannot be sent; the message says where and how to put it right."""


class Away(Exception):
    """The server cannot be reached, refuses or has gone.

    `final`: trying again is no use. `wait`: not before as many seconds.
    """

    def __init__(self, why: str, *, final: bool = False, wait: float = 0.0) -> None:
        super().__init__(why)
        self.final = final
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Target:
    """Which server, and how to knock. `timeout` is in seconds."""

    url: str
    headers: Sequence[tuple[str, str]] = ()
    origin: str | None = None
    timeout: float = 10.0


# --- what was typed


def address(url: str) -> str:
    """`url` as a WebSocket's. Raises `Mistyped`."""
    scheme, colon, rest = url.partition("://")
    known = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    try:
        usable = scheme.lower() in known and urlsplit(url).hostname and urlsplit(url).port != 0
    except ValueError:
        usable = False
    if not colon or not usable:
        raise Mistyped(
            f"{url!r} is no address of a socket: write ws://host:port/path "
            "(wss://, http:// and https:// do as well)"
        )
    return f"{known[scheme.lower()]}://{rest.partition('#')[0]}"


def pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Each `name=value` as a pair. Raises `Mistyped`."""
    for text in texts:
        if not text.partition("=")[0].strip() or "=" not in text:
            raise Mistyped(f"{text!r} is no header: write name=value")
    return [(name.strip(), value) for name, _, value in (text.partition("=") for text in texts)]


def payload_of(text: str | None) -> Any:
    """The payload as it was written, once it is known to be JSON. Raises `Mistyped`."""
    if text is None:
        return msgspec.UNSET
    if not text.strip():
        raise Mistyped(f"the payload is empty: leave it out, or\n{_QUOTING}")
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise Mistyped(f"the payload is not JSON: {_pointed_at(error)}\n{_QUOTING}") from None
    except (ValueError, RecursionError) as error:
        raise Mistyped(f"the payload is not JSON: {error}\n{_QUOTING}") from None
    # Not decoded and encoded again: a long number would lose its last digits.
    return msgspec.Raw(text.encode(errors="surrogateescape"))


_QUOTING: Final = """\
quote it for the shell: '{"title": "news"}' for an object, '[1, 2]' for a list, \
'"news"' for a text"""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it has no {name}")


def _pointed_at(error: json.JSONDecodeError) -> str:
    """The reason, and the piece of the line it is about with a mark below the place."""
    column = error.colno - 1
    line = error.doc.split("\n")[error.lineno - 1]
    start = max(0, column - 40)
    piece = "".join(c if c.isprintable() else " " for c in line[start : column + 30])
    where = f"line {error.lineno}, character {error.colno}"
    return f"{error.msg.lower()} at {where}\n  {piece}\n  {' ' * (column - start)}^"


def standard_input() -> str:
    """All of it. Raises `Mistyped`."""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistyped(f"standard input is not UTF-8: byte {error.start + 1}") from None


def frame_of(request: Request) -> str:
    """The request's frame. Raises `Mistyped`."""
    try:
        frame = encode_request(request)
        frame.encode()
    except (Unserialisable, UnicodeError):
        raise Mistyped("route, headers and payload must be valid UTF-8 text") from None
    return frame


# --- the two commands


async def call(target: Target, request: Request, raw: bool = False) -> int:
    """Send one request, print its answer; the exit code that tells its status."""
    frame = frame_of(request)
    async with connected(target) as socket:
        await socket.send(frame)
        try:
            async with asyncio.timeout(target.timeout):
                text, answer = await _answer_to(request.uuid, socket)
        except TimeoutError:
            raise Away(f"no answer within {target.timeout:g} s") from None
    status = answer["status"]
    tell(f"{status} {_name_of(status)}".rstrip())
    headers = answer.get("headers")
    for name, value in headers.items() if isinstance(headers, dict) else ():
        tell(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")
    show(text if raw else json.dumps(answer.get("payload"), ensure_ascii=False), raw)
    return 0 if 200 <= status < 300 else FAILED


async def _answer_to(wanted: int | str, socket: "ClientConnection") -> tuple[str, dict[str, Any]]:
    while True:
        text = await socket.recv()
        frame = _read(text)
        if frame.get("uuid") == wanted and type(frame.get("status")) is int:
            return str(text), frame


async def listen(target: Target, heartbeat: float, raw: bool = False) -> NoReturn:
    """Print every frame that arrives but PONG, for ever. Raises `Away` where that is final."""
    loop = asyncio.get_running_loop()
    attempt = 0
    while True:
        opened = None
        try:
            async with connected(target) as socket:
                opened = loop.time()
                tell(f"listening to {target.url}")
                await _print_frames(socket, heartbeat, raw)
        except Away as away:
            if away.final:
                raise
            if opened is not None and loop.time() - opened > STEADY:
                attempt = 0
            # Jitter over all of it: clients that were lost together come back apart.
            wait = away.wait + random.uniform(0.1, min(LONGEST_WAIT, 2.0**attempt))
            tell(f"{away}; next attempt in {wait:.1f} s")
            await asyncio.sleep(wait)
            attempt = min(attempt + 1, 10)


async def _print_frames(socket: "ClientConnection", heartbeat: float, raw: bool) -> None:
    heard = asyncio.Event()
    beating = asyncio.create_task(_beat(socket, heard, heartbeat))
    try:
        while True:
            text = await socket.recv()
            heard.set()
            if isinstance(text, bytes):
                tell(f"a binary frame of {len(text)} bytes")
            elif _read(text).get("route") != "PONG":
                show(text, raw)
    finally:
        beating.cancel()


async def _beat(socket: "ClientConnection", heard: asyncio.Event, every: float) -> None:
    """Send PING now and then; end a socket from which nothing comes back."""
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            await asyncio.sleep(every)
            heard.clear()
            await socket.send(encode_request(Request(str(uuid.uuid4()), "PING")))
            async with asyncio.timeout(every):
                await heard.wait()
    except TimeoutError:
        socket.transport.abort()
    except ConnectionClosed:
        pass  # whoever reads learns it too


def _read(text: str | bytes) -> dict[str, Any]:
    """The frame in `text`; empty where there is none."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return frame if isinstance(frame, dict) else {}


def _name_of(status: int) -> str:
    try:
        return Status(status).name
    except ValueError:
        return ""


# --- the way to the server


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator["ClientConnection"]:
    """An open socket. What may happen to it, also later, is raised as `Away`."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import (
        ConnectionClosed,
        InvalidHandshake,
        InvalidStatus,
        InvalidURI,
    )
    from websockets.typing import Origin

    try:
        async with connect(
            target.url,
            origin=None if target.origin is None else Origin(target.origin),
            additional_headers=target.headers,
            open_timeout=target.timeout,
            close_timeout=1,
            ping_interval=None,  # the protocol has its own heartbeat
            max_size=None,
        ) as socket:
            yield socket
    except ConnectionClosed as error:
        raise _closed(error) from None
    except InvalidStatus as error:
        raise _refused(error, target.url) from None
    except InvalidURI:
        raise Mistyped(f"{target.url!r} is no address of a socket") from None
    except (InvalidHandshake, EOFError, ValueError) as error:
        # ValueError: what websockets 14 makes of a reply that is no HTTP.
        raise Away(f"no WebSocket at {target.url}: {error}") from None
    except OSError as error:  # refused, unknown, unreachable, not trusted, too late
        raise _unreachable(error, target) from None


def _closed(error: "ConnectionClosed") -> Away:
    if error.rcvd is None:
        return Away("the connection was lost")
    code, reason = error.rcvd.code, " ".join(error.rcvd.reason.split())
    verb = "refused us" if code == CloseCode.POLICY else "closed the connection"
    return Away(f"the server {verb}: {code} {reason}".rstrip(), final=code in FINAL_CODES)


def _refused(error: "InvalidStatus", url: str) -> Away:
    status = error.response.status_code
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    retry_after = error.response.headers.get("Retry-After", "")
    wait = min(float(retry_after), 3600.0) if retry_after.isdecimal() else 0.0
    hint = f": try again in {wait:g} s" if wait else ""
    if status in (401, 403, 404):
        hint = ": no socket at this path, or not for you"
    final = 400 <= status < 500 and status not in (408, 425, 429)
    return Away(f"{url} refused the handshake with HTTP {phrase}{hint}", final=final, wait=wait)


def _unreachable(error: OSError, target: Target) -> Away:
    url = target.url
    if isinstance(error, TimeoutError):
        return Away(f"{url} did not open a socket within {target.timeout:g} s")
    if isinstance(error, sockets.gaierror):
        return Away(f"no host is known as {urlsplit(url).hostname!r}")
    if isinstance(error, ssl.SSLError):
        return Away(f"no safe connection to {url}: {error}", final=True)
    # Where a name has several addresses, asyncio merges their errors into one without a kind.
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return Away(f"connection refused: nothing listens at {url}")
    return Away(f"cannot reach {url}: {error}")


# --- what is printed


def show(text: str, raw: bool) -> None:
    """JSON for people on a terminal, one line of it for programs; `raw` text as it is."""
    try:
        if raw or not sys.stdout.isatty():
            print(text, flush=True)
        else:
            _show_to_people(text)
    except UnicodeEncodeError:
        print(text.encode("ascii", "backslashreplace").decode(), flush=True)
    except BrokenPipeError:
        # The reader has seen enough. Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def _show_to_people(text: str) -> None:
    from rich import print_json

    try:
        print_json(text)
    except json.JSONDecodeError:
        print(_printable(text), flush=True)


def tell(text: str) -> None:
    """What is about the answer and not in it."""
    print(_printable(text), file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    """What a server wrote must not steer the terminal."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


# --- the entry point


def commands() -> "Typer":
    """The command line as typer knows it."""
    import typer

    url_argument = typer.Argument(metavar="URL", help="ws://, wss://, http:// or https://")
    http_header = typer.Option("--http-header", metavar="NAME=VALUE", help="For the handshake.")
    origin_option = typer.Option(metavar="ORIGIN", help="Origin header of the handshake.")
    raw_option = typer.Option("--json", help="Print frames just as they came.")
    timeout_option = typer.Option(min=0.001, metavar="SECONDS")

    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Call the routes of an ObservableSocket server, and listen to it.",
    )

    @app.command("call")
    def _call(
        url: Annotated[str, url_argument],
        route: Annotated[str, typer.Argument(metavar="ROUTE", help="Such as math/sum.")],
        payload: Annotated[
            str | None,
            typer.Argument(metavar="PAYLOAD", help="JSON; - reads it from standard input."),
        ] = None,
        header: Annotated[
            list[str] | None,
            typer.Option("--header", "-H", metavar="NAME=VALUE", help="Of the message."),
        ] = None,
        http_header: Annotated[list[str] | None, http_header] = None,
        timeout: Annotated[float, timeout_option] = 10.0,
        origin: Annotated[str | None, origin_option] = None,
        raw: Annotated[bool, raw_option] = False,
    ) -> None:
        """Send one request and print the payload of its answer.

        Status and headers go to standard error.

        A payload that starts with a minus needs -- before it.

        Exit code: 0 after a 2xx answer, 1 after any other, 2 for a mistyped
        command, 3 where the server is away, refuses or does not answer.
        """
        target = Target(address(url), pairs(http_header or ()), origin, timeout)
        text = standard_input() if payload == "-" else payload
        headers = dict(pairs(header or ()))
        request = Request(str(uuid.uuid4()), route, headers, payload_of(text))
        try:
            code = asyncio.run(call(target, request, raw))
        except KeyboardInterrupt:
            code = INTERRUPTED
        raise SystemExit(code)

    @app.command("listen")
    def _listen(
        url: Annotated[str, url_argument],
        http_header: Annotated[list[str] | None, http_header] = None,
        timeout: Annotated[float, timeout_option] = 10.0,
        origin: Annotated[str | None, origin_option] = None,
        heartbeat: Annotated[
            float, typer.Option(min=0.001, metavar="SECONDS", help="Between two PINGs.")
        ] = 45.0,
        raw: Annotated[bool, raw_option] = False,
    ) -> None:
        """Print every frame that arrives, until Ctrl-C.

        Comes back after a lost connection, but not where the server refused for good.
        """
        target = Target(address(url), pairs(http_header or ()), origin, timeout)
        try:
            asyncio.run(listen(target, heartbeat, raw))
        except KeyboardInterrupt:
            raise SystemExit(0) from None

    return app


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    try:
        import rich  # noqa: F401
        import websockets  # noqa: F401

        run = commands()
    except ModuleNotFoundError as missing:
        tell(f"no module {missing.name!r}: install fastapi-observable-socket[cli]")
        raise SystemExit(USAGE) from None
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
