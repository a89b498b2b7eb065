"""
One registered route: its definition, and the plans it is run by.

A plan is compiled as soon as it can be, and once for each set of dependency overrides.
"""

import math
from typing import Any

from ._call import Call
from ._compile import compiled
from ._depends import Overrides
from ._errors import SignatureError
from ._plan import Definition, Plan
from ._signature import Unresolved, describe

MAX_VARIANTS = 16
"""Plans that are kept for sets of overrides: tests may bring a new set each."""


class Route:
    """A definition with its plans, compiled when first possible.

    Compiling raises `SignatureError`. Where an annotation is not defined yet, it waits
    for `resolve`, called when the router is mounted or the first socket arrives.
    """

    def __init__(self, definition: Definition, ordered: bool | None, timeout: float) -> None:
        self.definition = definition
        self._timeout = timeout
        self.timeout = timeout if definition.timeout is None else definition.timeout
        """Seconds that a call may take that is no stream."""
        self.shield = definition.shield
        self._ordered = ordered if definition.ordered is None else definition.ordered
        self._compiled = False
        self._variants: dict[Any, Plan] = {}
        try:
            self._compile()
        except Unresolved:
            pass

    plan: Plan
    streams: bool
    """Whether it answers with many items, where the client takes them."""
    ordered: bool
    """Whether calls of this route wait for each other on one connection."""

    def time_of(self, call: Call) -> float:
        """Seconds that a call may take. A stream has no bound but its own: logs have no end."""
        own = self.definition.timeout
        if own is None:
            return self._timeout if call.flow is None else math.inf
        return own

    def _compile(self) -> None:
        self.plan = compiled(self.definition, {})
        self.streams = self.plan.is_stream
        # A stream may last for ever, and must not hold up all others that take the socket.
        by_itself = self.plan.takes_socket and not self.streams
        self.ordered = by_itself if self._ordered is None else self._ordered
        self._compiled = True

    def resolve(self) -> None:
        """Compile what could not be compiled before. Raises `SignatureError`."""
        if self._compiled:
            return
        try:
            self._compile()
        except Unresolved as error:
            raise SignatureError(
                f"route {self.definition.name!r}: {describe(self.definition.handler)}(): "
                f"an annotation cannot be resolved: {error}; define it where the handler's "
                "module, or the function around it, can see it"
            ) from error

    def variant(self, overrides: Overrides) -> Plan:
        """The plan under the app's `dependency_overrides`."""
        key = tuple(overrides.items())
        if key not in self._variants:
            if len(self._variants) >= MAX_VARIANTS:
                self._variants.clear()
            self._variants[key] = compiled(self.definition, overrides)
        return self._variants[key]
