"""
What a router may ask of a server that has a lane, and where to find it.
"""

import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Any, Final
from typing import Protocol as Interface

from ._arrival import Step

EXTENSION: Final = "fastapi_observable_socket"
"""Under which a server names its lane in the ASGI scope's `extensions`."""

SUPPORTED: Final = ("0.52", "0.53", "0.54")
"""The minor versions of uvicorn on which the lane is tested."""


class Lane(Interface):
    """Messages of one connection without ASGI between. `take`, `put` and `push` never wait."""

    step: Step
    """Told of each step of a task that has waited in `receive`, to have it taken."""

    def take(self) -> str | bytes | None:
        """The next message; None where ASGI's `receive` is to be asked."""
        ...

    def put(self, text: str) -> bool:
        """Send a text; False where ASGI's `send` is to be asked, which may wait or fail."""
        ...

    def push(self, text: str) -> bool:
        """As `put`, for a text that others get as well."""
        ...

    async def receive(self) -> Any: ...

    async def send(self, message: Any) -> None: ...


def lane_of(
    scope: Mapping[str, Any],
    receive: Callable[[], Coroutine[Any, Any, Any]],
    send: Callable[[Any], Coroutine[Any, Any, None]],
) -> Lane | None:
    """That of the connection, unless a middleware wants to see what is received or sent."""
    lane: Lane | None = (scope.get("extensions") or {}).get(EXTENSION, {}).get("lane")
    if lane is None:
        return None
    if receive != lane.receive or _innermost(send) != lane.send:
        tell_once(logging.WARNING, "the fast lane is off where a middleware wraps receive or send")
        return None
    tell_once(logging.INFO, "the fast lane is on")
    return lane


@cache
def tell_once(level: int, text: str) -> None:
    """One line in uvicorn's log, once in each process."""
    logging.getLogger("uvicorn.error").log(level, text)


def _innermost(send: Any) -> Any:
    """What Starlette and FastAPI have wrapped: their wrappers change no WebSocket message."""
    while (getattr(send, "__module__", None) or "").split(".")[0] in ("starlette", "fastapi"):
        names = getattr(getattr(send, "__code__", None), "co_freevars", ())
        if "send" not in names:
            break
        send = send.__closure__[names.index("send")].cell_contents
    return send
