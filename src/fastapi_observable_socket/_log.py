"""
Failures, told to the operator: one line each, that no peer can forge or flood.

Never a payload or a header. What a peer had a say in is escaped and cut.
"""

import logging
import secrets
import sys
import traceback
from typing import Any

logger = logging.getLogger("fastapi_observable_socket")

LONGEST = 200
"""Characters of a value that a log line shows."""


def escaped(value: Any) -> str:
    """`value` on one line, control characters as escapes, cut at LONGEST characters."""
    try:
        shown = str(value)
    except Exception:  # an exception may fail even at saying what it is
        shown = f"<{type(value).__name__}>"
    text = shown[: LONGEST + 1].encode("unicode_escape").decode("ascii")
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def failure(what: str, error: BaseException, **facts: Any) -> str:
    """Log one failure with its traceback; returns the id that the peer may be shown."""
    error_id = secrets.token_hex(4)
    shown = " ".join(f"{name}={escaped(value)}" for name, value in facts.items())
    message = f"{what}: {type(error).__name__}: {escaped(error)} {shown} error_id={error_id}"
    if logger.isEnabledFor(logging.ERROR):
        code = sys._getframe(1)
        record = logger.makeRecord(
            logger.name,
            logging.ERROR,
            code.f_code.co_filename,
            code.f_lineno,
            message,
            (),
            (type(error), error, error.__traceback__),
        )
        # Formatters take a ready text before they make their own, which would print the
        # error's message as it is, line breaks included.
        record.exc_text = _traceback(error)
        logger.handle(record)
    return error_id


def _traceback(error: BaseException) -> str:
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < 5:
        seen.add(id(current))
        parts.append(
            "Traceback (most recent call last):\n"
            + "".join(traceback.format_tb(current.__traceback__))
            + f"{type(current).__name__}: {escaped(current)}"
        )
        context = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or context
    return "\n\nfollowed by:\n\n".join(reversed(parts))
