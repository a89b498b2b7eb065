"""
The fast lane: a WebSocket protocol for uvicorn, below ASGI.

    uvicorn app:app --ws fastapi_observable_socket.uvicorn:Protocol

`Protocol` is uvicorn's own sans-I/O protocol with a short way for plain frames: whole messages
in one frame, on connections without extensions. Handshakes, closing, pings, fragments and
every faulty frame stay with uvicorn and `websockets`. A `SocketRouter` takes its frames
straight from it; any other ASGI application runs on it unchanged.

It knows the uvicorn of the minor versions in `SUPPORTED`. On any other, `Protocol` is the one
that `--ws auto` would take, and one warning says so.
"""

import logging
from typing import TYPE_CHECKING

import uvicorn

from ._lane import SUPPORTED

__all__ = ["SUPPORTED", "Protocol"]

if TYPE_CHECKING or ".".join(uvicorn.__version__.split(".")[:2]) in SUPPORTED:
    from ._uvicorn import Protocol
else:
    from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol as Protocol

    logging.getLogger("uvicorn.error").warning(
        "the fast lane is off: it knows uvicorn %s, and this is %s",
        ", ".join(SUPPORTED),
        uvicorn.__version__,
    )
