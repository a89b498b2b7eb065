"""
What can go wrong, each with the answer it deserves.

    SignatureError            a route that can never work, told at import
    RequestFailed             a request that ends in an error answer
    ├── BadRequest            400  its payload or headers do not fit
    ├── CheckFailed           400  `data_check` said no
    ├── Unauthorized          401  nobody, or nobody we know
    ├── Forbidden             403  `access` said no
    ├── NotFound              404  no such route
    ├── DeadlinePassed        408  the time that the client gave is up
    ├── Duplicate             409  its uuid is still in flight
    ├── TooManyItems          413  a stream asked for as one answer, and too long for it
    ├── TooManyRequests       429  over the limit, where the router rejects
    ├── TooManyStreams        429  over the limit of open streams
    ├── Cancelled             499  the client asked for it
    ├── Internal              500  a handler or a hook failed
    ├── Unserialisable        500  the result is not JSON
    ├── ResponseTooLarge      500  the result is longer than allowed
    ├── Unavailable           503  `authenticate` cannot tell just now, or a broker is away
    ├── Doubtful              503  a broker did not say whether it did what it was asked
    └── HandlerTimeout        504  the handler took too long
    SocketError               a call to the other end that brought no result
    ├── ResponseError         the other end answered, and not with a 2xx
    ├── ConnectionLostError   no answer will come: the connection is gone
    │   └── NotConnected      the user who was to be asked has none
    ├── SocketTimeoutError    no answer came in time
    ├── QueueFullError        too many calls wait for a connection already
    ├── MisfitError           the answer is not of the type that was asked for
    └── CallsNotTakenError    the client takes no calls
    Gap                       events of a topic are lost

Errors know their status and their machine word, never frames.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from ._status import Status
from .backends._backend import Unavailable as Away
from .backends._backend import Uncertain

if TYPE_CHECKING:
    from .backends._backend import Position


class SignatureError(TypeError):
    """A handler, hook or dependency that can never be called as it is written.

    Raised where the route is registered (or, for annotations that were not defined
    yet, when the first socket arrives). The message names the function, the
    parameter and the way out.
    """


class RequestFailed(Exception):
    """A request that ends in an error answer; `str(error)` is shown to the peer."""

    status: ClassVar[Status] = Status.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, detail: Any = None) -> None:
        super().__init__(message)
        self.detail = detail


class BadRequest(RequestFailed):
    status = Status.BAD_REQUEST
    code = "bad_request"


class CheckFailed(RequestFailed):
    status = Status.BAD_REQUEST
    code = "check"


class Unauthorized(RequestFailed):
    status = Status.UNAUTHORIZED
    code = "unauthorized"


class Forbidden(RequestFailed):
    status = Status.FORBIDDEN
    code = "forbidden"


class NotFound(RequestFailed):
    status = Status.NOT_FOUND
    code = "not_found"


class DeadlinePassed(RequestFailed):
    status = Status.REQUEST_TIMEOUT
    code = "deadline"


class Duplicate(RequestFailed):
    status = Status.CONFLICT
    code = "duplicate"


class TooManyItems(RequestFailed):
    status = Status.PAYLOAD_TOO_LARGE
    code = "too_many_items"


class TooManyRequests(RequestFailed):
    status = Status.TOO_MANY_REQUESTS
    code = "too_many_requests"


class TooManyStreams(RequestFailed):
    status = Status.TOO_MANY_REQUESTS
    code = "too_many_streams"


class Cancelled(RequestFailed):
    status = Status.CLIENT_CLOSED_REQUEST
    code = "cancelled"


class Internal(RequestFailed):
    pass


class Unserialisable(RequestFailed):
    code = "unserialisable"


class ResponseTooLarge(RequestFailed):
    code = "response_too_large"


class Unavailable(RequestFailed):
    status = Status.SERVICE_UNAVAILABLE
    code = "unavailable"


class Doubtful(Unavailable):
    code = "uncertain"


def of_broker(error: BaseException) -> RequestFailed | None:
    """What a broker's error means to a peer; None for any other."""
    if isinstance(error, Away):
        return Unavailable("the broker of this server is away just now")
    if isinstance(error, Uncertain):
        return Doubtful("it is not known whether this was done: the broker did not answer")
    return None


class HandlerTimeout(RequestFailed):
    status = Status.GATEWAY_TIMEOUT
    code = "timeout"


class SocketError(Exception):
    """A call to the other end that brought no result; of either end, client or server."""


class ResponseError(SocketError):
    """The other end answered, and not with a 2xx.

    `code` is its machine word for what went wrong, such as "not_found", if it gave one.
    """

    def __init__(self, route: str, status: int, headers: dict[str, Any], payload: Any) -> None:
        said = payload if isinstance(payload, dict) else {}
        message = said.get("message")
        super().__init__(
            message if isinstance(message, str) else f"{route} was answered with {status}"
        )
        self.route = route
        self.status = status
        self.headers = headers
        self.payload = payload
        self.code: str | None = code if isinstance(code := said.get("code"), str) else None


class ConnectionLostError(SocketError, ConnectionError):
    """No answer will come, since the connection is gone.

    `sent` False: it never left, and may be tried again safely. True: the other end may have
    done it. `close_code` is 1006 where there was no close frame.
    """

    def __init__(self, sent: bool, close_code: int, reason: str = "") -> None:
        when = "after" if sent else "before"
        super().__init__(f"connection lost {when} the call was sent: {reason or close_code}")
        self.sent = sent
        self.close_code = close_code
        self.reason = reason


class NotConnected(ConnectionLostError):
    """The user who was to be asked has no socket, in no process: nothing was sent."""

    def __init__(self) -> None:
        super().__init__(False, 1006)
        self.args = ("the user is connected nowhere",)


class SocketTimeoutError(SocketError, TimeoutError):
    """No answer came within `timeout` seconds; `sent`: the other end may have done it."""

    def __init__(self, route: str, timeout: float, sent: bool) -> None:
        done = "answered" if sent else "sent"
        super().__init__(f"{route} was not {done} within {timeout:g} s")
        self.route = route
        self.sent = sent


class MisfitError(SocketError):
    """The answer is not of the type that was asked for; `detail` says where, without what it is."""

    def __init__(self, route: str, detail: list[Any]) -> None:
        where = ", ".join(
            f"{'.'.join(map(str, e['loc'])) or 'all of it'}: {e['type']}" for e in detail
        )
        super().__init__(f"the answer of {route} does not fit: {where}")
        self.route = route
        self.detail = detail


class QueueFullError(SocketError):
    """Too many calls wait for a connection already."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} calls already wait for a connection")


class CallsNotTakenError(SocketError):
    """The client has not said that it takes calls: it has no `handle`, or is an older one."""

    def __init__(self) -> None:
        super().__init__("this client takes no calls: it did not say `$hello` with the feature")


class Gap(Exception):
    """Events of a topic were lost: whoever keeps state from them must read it anew. Iterating may
    go on, from `position` on.

    `reload_after_ms`: milliseconds, chosen at random, that a client is asked to wait before it
    reads anew, since all others were told too; 0 in the server itself, and where the topic's new
    state has come already.
    """

    def __init__(self, topic: str, position: "Position", reload_after_ms: int = 0) -> None:
        super().__init__(f"events of {topic!r} are lost")
        self.topic = topic
        self.position = position
        self.reload_after_ms = reload_after_ms
