"""
What can go wrong, each with the answer it deserves.

    SignatureError            a route that can never work, told at import
    RequestFailed             a request that ends in an error answer
    ├── BadRequest            400  its payload or headers do not fit
    ├── CheckFailed           400  `data_check` said no
    ├── Forbidden             403  `access` said no
    ├── NotFound              404  no such route
    ├── DeadlinePassed        408  the time that the client gave is up
    ├── Duplicate             409  its uuid is still in flight
    ├── TooManyRequests       429  over the limit, where the router rejects
    ├── Cancelled             499  the client asked for it
    ├── Internal              500  a handler or a hook failed
    ├── Unserialisable        500  the result is not JSON
    ├── ResponseTooLarge      500  the result is longer than allowed
    └── HandlerTimeout        504  the handler took too long

Errors know their status and their machine word, never frames.
"""

from typing import Any, ClassVar

from ._status import Status


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


class TooManyRequests(RequestFailed):
    status = Status.TOO_MANY_REQUESTS
    code = "too_many_requests"


class Cancelled(RequestFailed):
    status = Status.CLIENT_CLOSED_REQUEST
    code = "cancelled"


class Internal(RequestFailed):
    pass


class Unserialisable(RequestFailed):
    code = "unserialisable"


class ResponseTooLarge(RequestFailed):
    code = "response_too_large"


class HandlerTimeout(RequestFailed):
    status = Status.GATEWAY_TIMEOUT
    code = "timeout"
