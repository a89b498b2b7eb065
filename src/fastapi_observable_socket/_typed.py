"""
What was typed on the command line, made into what can be sent.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import msgspec

from ._errors import Unserialisable
from ._wire import Request, encode_request


class Mistyped(Exception):
    """What was typed cannot be sent; the message says where and how to put it right."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which server, and how to knock. `timeout` is in seconds."""

    url: str
    headers: Sequence[tuple[str, str]] = ()
    origin: str | None = None
    timeout: float = 10.0
    token: str | None = None


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


def topic_name(text: str) -> str:
    """A topic's name that can be sent. Raises `Mistyped`."""
    if not text:
        raise Mistyped("the topic is empty")
    return text


def position(text: str | None) -> tuple[str, int] | None:
    """Where to begin, written `epoch:offset`. Raises `Mistyped`."""
    if text is None:
        return None
    epoch, colon, offset = text.rpartition(":")
    if not colon or not offset.isascii() or not offset.isdecimal():
        raise Mistyped(f"{text!r} is no position: write epoch:offset, as it was told")
    return epoch, int(offset)


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
