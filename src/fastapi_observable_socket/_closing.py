"""
Ending a socket, whatever the server below makes of it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ._compat import abort_transport
from ._log import escaped, logger
from ._status import CloseCode

CLOSE_TIMEOUT = 10.0
"""Seconds that a close may take (some servers wait for the peer's own close frame); after
that the transport is dropped."""

STALLED_TIMEOUT = 1.0
"""The same for a peer that is known not to read."""

TWINS: Mapping[int, int] = {1003: 4003, 1008: 4403, 1009: 4009, 1011: 4011, 1012: 4012, 1013: 4013}
"""Sent where a server below refuses a code: daphne knows 1000 and 3000 to 4999 only."""


async def close(send: Callable[[Any], Coroutine[Any, Any, None]], code: int, reason: str) -> None:
    """Close a socket, by all means: under another code where the server refuses this one,
    by dropping the transport where the peer takes nothing any more. Raises nothing."""
    for attempt in filter(None, (int(code), TWINS.get(code))):
        message = {"type": "websocket.close", "code": attempt, "reason": shortened(reason)}
        try:
            stalled = code == CloseCode.SLOW_CONSUMER
            async with asyncio.timeout(STALLED_TIMEOUT if stalled else CLOSE_TIMEOUT):
                await send(message)
            return
        except TimeoutError:
            abort_transport(send)
            return
        except Exception as error:
            logger.debug("close %d failed: %s", attempt, escaped(error))
    abort_transport(send)


def shortened(reason: str) -> str:
    """At most 123 bytes of UTF-8, cut between characters: more does not fit a close frame
    (RFC 6455, section 5.5)."""
    return reason.encode(errors="replace")[:123].decode(errors="ignore")
