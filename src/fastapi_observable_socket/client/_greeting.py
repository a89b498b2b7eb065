"""
Who is there: what the client says of itself, and what the server says back.

It keeps a session alive as long as it is asked to; when, and over which line, is the desk's part.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from .._errors import SocketError
from .._log import escaped, logger
from .._wire import Header, Request, encode
from ._asking import error_of
from ._ledger import Heard, payload_of

SOONEST = 1.0
"""Seconds between two renewals of a session, or two PINGs that a server asks for, at least."""


class Contract(msgspec.Struct, frozen=True):
    """What a server says of its types. `compatible` is False where this client was built for
    another major version, and None where it did not say what it was built for."""

    version: str | None = None
    hash: str | None = None
    compatible: bool | None = None


class Session(msgspec.Struct, frozen=True):
    """What the server said of itself and of this connection. A server without extensions says
    nothing: no features, no limits.

    `session` names the connection, `heartbeat` and `expires_in` are in seconds.
    """

    session: str | None = None
    features: frozenset[str] = frozenset()
    limits: dict[str, Any] = msgspec.field(default_factory=dict)
    heartbeat: float | None = None
    expires_in: float | None = None
    contract: Contract = Contract()


def hello(uuid: str, token: str | None, contract: Mapping[str, Any] | None) -> str:
    """The frame of `$hello`."""
    payload: Header = {"protocol": 1, "client": "python", "features": ["calls", "drain"]}
    if token is not None:
        payload["token"] = token
    if contract is not None:
        payload["contract"] = dict(contract)
    return encode(Request(uuid, "$hello", {}, payload)).decode()


def session_of(frame: Heard) -> Session:
    """What the server said of itself; nothing, if it knows no `$hello`."""
    if not frame.ok:
        return Session()
    try:
        return msgspec.convert(payload_of(frame), Session)
    except (msgspec.MsgspecError, SocketError):
        return Session()


def limit_of(session: Session | None, name: str) -> int | None:
    """One of the server's limits; None where it has none, or does not say."""
    limit = None if session is None else session.limits.get(name)
    return limit if type(limit) is int and limit > 0 else None


async def kept(expires_in: float, renew: Callable[[], Awaitable[Heard]]) -> None:
    """Renew a session before it ends, again and again, until it has no end."""
    left: float | None = expires_in
    while left is not None:
        await asyncio.sleep(max(SOONEST, left * 0.8))
        left = await _renewed(left * 0.2, renew)


async def _renewed(left: float, renew: Callable[[], Awaitable[Heard]]) -> float | None:
    """How many seconds the session has now: `left`, where it could not be renewed."""
    try:
        frame = await renew()
        if not frame.ok:
            raise error_of("$auth", frame)
        return session_of(frame).expires_in
    except Exception as error:
        logger.warning("session not renewed: %s: %s", type(error).__name__, escaped(error))
        return left
