"""
What the command line shows: payloads to standard output, all else to standard error.

It also knows how to say why there is no connection. What it needs beyond the package is
imported when it runs.
"""

import json
import os
import socket as sockets
import ssl
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ._errors import ResponseError
from ._status import CloseCode, Status
from ._typed import Mistyped, Target

if TYPE_CHECKING:
    from websockets.exceptions import InvalidStatus


class Away(Exception):
    """The server cannot be reached, refuses or has gone."""


# --- frames and statuses


def read_frame(text: str | bytes) -> dict[str, Any]:
    """The frame in `text`; empty where there is none."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return frame if isinstance(frame, dict) else {}


def name_of(status: int) -> str:
    try:
        return Status(status).name
    except ValueError:
        return ""


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


def show_line(text: str) -> None:
    """JSON on one line, for people and programs alike."""
    show(_printable(text) if sys.stdout.isatty() else text, True)


def tell(text: str) -> None:
    """What is about the answer and not in it."""
    print(_printable(text), file=sys.stderr, flush=True)


def tell_status(status: int) -> None:
    """Number and name."""
    tell(f"{status} {name_of(status)}".rstrip())


def tell_json(payload: Any) -> None:
    """A payload that is not the result."""
    tell(json.dumps(payload, ensure_ascii=False))


def _printable(text: str) -> str:
    """What a server wrote must not steer the terminal."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


# --- why there is no connection


def away(target: Target, code: int, reason: str, cause: BaseException | None) -> Away:
    """Why there is no connection, for people. Raises `Mistyped` for an address that is none."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI

    match cause:
        case InvalidURI():
            raise Mistyped(f"{target.url!r} is no address of a socket")
        case InvalidStatus():
            return _refused(cause, target.url)
        case OSError():  # refused, unknown, unreachable, not trusted, too late
            return _unreachable(cause, target)
        case None:
            return Away("the connection was lost")
        case ConnectionClosed() | ResponseError():
            return _closed(code, reason)
        case _:
            return Away(f"no WebSocket at {target.url}: {cause}")


def _closed(code: int, reason: str) -> Away:
    if code == 1006:
        return Away("the connection was lost")
    verb = "refused us" if code == CloseCode.POLICY else "closed the connection"
    return Away(f"the server {verb}: {code} {' '.join(reason.split())}".rstrip())


def _refused(error: "InvalidStatus", url: str) -> Away:
    status = error.response.status_code
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    retry_after = error.response.headers.get("Retry-After", "")
    hint = f": try again in {retry_after} s" if retry_after.isdecimal() else ""
    if status in (401, 403, 404):
        hint = ": no socket at this path, or not for you"
    return Away(f"{url} refused the handshake with HTTP {phrase}{hint}")


def _unreachable(error: OSError, target: Target) -> Away:
    url = target.url
    if isinstance(error, TimeoutError):
        return Away(f"{url} did not open a socket within {target.timeout:g} s")
    if isinstance(error, sockets.gaierror):
        return Away(f"no host is known as {urlsplit(url).hostname!r}")
    if isinstance(error, ssl.SSLError):
        return Away(f"no safe connection to {url}: {error}")
    # Where a name has several addresses, asyncio merges their errors into one without a kind.
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return Away(f"connection refused: nothing listens at {url}")
    return Away(f"cannot reach {url}: {error}")
