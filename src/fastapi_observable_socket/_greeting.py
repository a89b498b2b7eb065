"""
What a server says to a client's `$hello`: what it can do, and whether they still fit together.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ._clocks import Limits
from ._stream import MAX_WINDOW


class Greeting:
    """What every `$hello` of a router is answered, but for what differs between connections.

    `version` is that of its contract, "" for none; `hashed` gives the hash of its types as
    they are now, None where there is none.
    """

    def __init__(
        self, limits: Limits, has_tokens: bool, version: str, hashed: Callable[[], str | None]
    ) -> None:
        features = ["cancel", "timeout", "stream", "progress", "push", "calls"]
        self._same_for_all: Mapping[str, Any] = {
            "protocol": 1,
            "features": [*features, "auth"] if has_tokens else features,
            "heartbeat": limits.idle_timeout / 3,
            "limits": {
                "message_bytes": limits.max_message_bytes,
                "in_flight": limits.max_in_flight,
                "streams": limits.max_streams,
                "window": MAX_WINDOW,
            },
        }
        self._version = version
        self._hashed = hashed

    def to(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to what this client said of itself."""
        contract: dict[str, Any] = {"version": self._version or None, "hash": self._hashed()}
        theirs = said.get("contract")
        if isinstance(theirs, dict):
            contract["compatible"] = is_compatible(self._version, theirs.get("version"))
        return {**self._same_for_all, "contract": contract}


def is_compatible(ours: str, theirs: Any) -> bool:
    """Whether a client of version `theirs` can go on: not where both say a version, and the
    parts before their first dots differ."""
    if not ours or not isinstance(theirs, str) or not theirs:
        return True
    return ours.partition(".")[0] == theirs.partition(".")[0]
