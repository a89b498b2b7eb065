"""
The client for Python. Needs the extra `client`.

    async with connect("ws://localhost:8000/ws") as socket:
        total = await socket.call("math/sum", [1, 2, 3])
        async with socket.subscribe("orders/42") as events:
            async for event in events: ...

    with connect_sync("ws://localhost:8000/ws") as socket:
        total = socket.call("math/sum", [1, 2, 3])

It comes back by itself after a lost connection, and never sends a call twice by itself.
"""

from .._errors import (
    ConnectionLostError,
    Gap,
    QueueFullError,
    ResponseError,
    SocketError,
    SocketTimeoutError,
    Unserialisable,
)

try:
    from ._line import End
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "websockets":
        raise
    raise ImportError(
        "the client needs websockets: install fastapi-observable-socket[client]"
    ) from missing

from .._wire import Response
from ..backends._backend import Position
from ._blocking import SyncSocket, connect_sync
from ._blocking_items import SyncEvents, SyncPushes, SyncStream
from ._events import Events
from ._greeting import Contract, Session
from ._items import Push, Pushes, Stream
from ._life import State
from ._routes import Route, StreamRoute, TopicRoute
from ._socket import Connecting, Socket, connect

__all__ = [
    "Connecting",
    "ConnectionLostError",
    "Contract",
    "End",
    "Events",
    "Gap",
    "Position",
    "Push",
    "Pushes",
    "QueueFullError",
    "Response",
    "ResponseError",
    "Route",
    "Session",
    "Socket",
    "SocketError",
    "SocketTimeoutError",
    "State",
    "Stream",
    "StreamRoute",
    "SyncEvents",
    "SyncPushes",
    "SyncSocket",
    "SyncStream",
    "TopicRoute",
    "Unserialisable",
    "connect",
    "connect_sync",
]
