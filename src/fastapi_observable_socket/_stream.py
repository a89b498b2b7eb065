"""
What a client asks for beside its answer: items one by one, and how far the work has come.
"""

import typing
from typing import TYPE_CHECKING, Any, Generic

from pydantic import TypeAdapter

from ._call import Call
from ._fit import ANYTHING, serialised
from ._flow import Flow
from ._status import Status
from ._wire import Response, encode_response

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
else:
    T = typing.TypeVar("T")

MAX_WINDOW = 1024
"""Items that a client may have on their way, at most."""


def flow_of(call: Call) -> Flow | None:
    """That of a call whose client takes items one by one; None where it wants one answer."""
    headers = call.frame.headers
    if not headers or headers.get("$stream") is not True:
        return None
    window = headers.get("$window")
    if type(window) is not int or window < 1:
        return Flow(None)
    return Flow(min(window, MAX_WINDOW))


class Progress(Generic[T]):
    """Tells the client of a call how far the work has come.

        @router.route("import")
        async def import_all(payload: list[Row], progress: Progress) -> int:
            for done, row in enumerate(payload):
                await progress({"done": done})

    `Progress[Step]` says of what type it is, and serialises by it.

    A client that did not ask for it (header `$progress: true`) is told nothing, and so is one
    that has its answer. Waits while the client does not read. Raises `TypeError` for what is
    not of its type, and `Unserialisable`.
    """

    __slots__ = ("_call", "_type", "wanted")

    def __init__(self, call: Call, type: "TypeAdapter[Any]" = ANYTHING) -> None:
        self._call = call
        self._type = type
        self.wanted = bool(call.frame.headers) and call.headers.get("$progress") is True
        """Whether the client asked for it: what is dear to find out need not be."""
        if self.wanted:
            call.lingers = True  # it must be known when the answer is out

    async def __call__(self, payload: T) -> None:
        call = self._call
        if self.wanted and not call.settled:
            if self._type is not ANYTHING:
                payload = serialised(self._type, payload, "the progress")
            response = Response(call.frame.uuid, Status.PENDING, {}, payload)
            await call.shared.put(encode_response(response, call.shared.max_bytes), call)
