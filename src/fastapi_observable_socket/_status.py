"""
The two vocabularies of numbers: statuses of answers, codes of closes.

Nothing here acts; other rooms take their numbers from here.
"""

from enum import IntEnum


class Status(IntEnum):
    """The status of an answer: HTTP's numbers (RFC 9110), but for one.

    402 is `PENDING`: "not the final answer yet".
    """

    OK = 200
    CREATED = 201
    ACCEPTED = 202
    NO_CONTENT = 204

    BAD_REQUEST = 400
    UNAUTHORIZED = 401
    PENDING = 402
    FORBIDDEN = 403
    NOT_FOUND = 404
    METHOD_NOT_ALLOWED = 405
    NOT_ACCEPTABLE = 406
    REQUEST_TIMEOUT = 408
    CONFLICT = 409
    GONE = 410
    LENGTH_REQUIRED = 411
    PRECONDITION_FAILED = 412
    PAYLOAD_TOO_LARGE = 413
    URI_TOO_LONG = 414
    UNSUPPORTED_MEDIA_TYPE = 415
    RANGE_NOT_SATISFIABLE = 416
    EXPECTATION_FAILED = 417
    UNPROCESSABLE_ENTITY = 422
    TOO_MANY_REQUESTS = 429
    CLIENT_CLOSED_REQUEST = 499

    INTERNAL_SERVER_ERROR = 500
    NOT_IMPLEMENTED = 501
    BAD_GATEWAY = 502
    SERVICE_UNAVAILABLE = 503
    GATEWAY_TIMEOUT = 504
    HTTP_VERSION_NOT_SUPPORTED = 505


class CloseCode(IntEnum):
    """Why a socket was closed (RFC 6455, section 7.4, and our own 4xxx).

    After `POLICY` a client stays away, an older one after `INTERNAL_ERROR` too; after every
    other code it comes back.
    """

    NORMAL = 1000
    UNSUPPORTED_DATA = 1003
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    SLOW_CONSUMER = 4008
    NEW_TOKEN = 4401
    IDLE = 4408
