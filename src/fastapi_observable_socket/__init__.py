"""WebSockets that feel like FastAPI: named routes, typed messages, one answer for each request."""

from ._attendance import PresenceChange
from ._depends import PerConnection
from ._errors import (
    CallsNotTakenError,
    ConnectionLostError,
    Gap,
    MisfitError,
    NotConnected,
    ResponseError,
    SignatureError,
    SocketError,
    SocketTimeoutError,
)
from ._handle import Connection, Connections
from ._identity import Authenticated
from ._plan import (
    AccessCheck,
    DataCheck,
    DehydrateFunction,
    Handler,
    HandlerResult,
    HydrateFunction,
    Reply,
    RouteOptions,
)
from ._presence import Presence
from ._publisher import Publisher
from ._router import SocketAccess, SocketRouter
from ._signature import Cached, MessageHeader
from ._status import CloseCode, Status
from ._stream import Progress
from ._subscribe import Events
from ._user import User
from ._wire import Header, MessageData, Payload, Request, Response
from .backends._backend import Member

__version__ = "2.0.0.dev0"

__all__ = [
    "AccessCheck",
    "Authenticated",
    "Cached",
    "CallsNotTakenError",
    "CloseCode",
    "Connection",
    "ConnectionLostError",
    "Connections",
    "DataCheck",
    "DehydrateFunction",
    "Events",
    "Gap",
    "Handler",
    "HandlerResult",
    "Header",
    "HydrateFunction",
    "Member",
    "MessageData",
    "MessageHeader",
    "MisfitError",
    "NotConnected",
    "Payload",
    "PerConnection",
    "Presence",
    "PresenceChange",
    "Progress",
    "Publisher",
    "Reply",
    "Request",
    "Response",
    "ResponseError",
    "RouteOptions",
    "SignatureError",
    "SocketAccess",
    "SocketError",
    "SocketRouter",
    "SocketTimeoutError",
    "Status",
    "User",
]
