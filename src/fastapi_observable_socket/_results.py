"""
What a handler's result means: what its annotation promises, and what came of it.

The promise is read when the route is registered, the result when there is one. Nothing here
calls a handler.
"""

import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from ._plan import HandlerResult, Plan, Reply
from ._signature import EMPTY
from ._status import Status
from ._wire import Header, Payload

Parts = tuple[int, Header, Any]
"""Status, headers and payload of an answer."""

RESULT_KEYS = frozenset({"status", "headers", "payload"})

GENERATORS = (
    *(AsyncIterator, AsyncGenerator, AsyncIterable),
    *(Iterator, Generator, Iterable),
)
"""What a generator's annotation may be."""

LOOSE: tuple[Any, ...] = (EMPTY, Any, dict, object, dict[str, Any], Header, Payload, Mapping)
"""Annotations that promise nothing."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """`type` is what the payload is serialised by, EMPTY for as it is. `always_payload`: a
    dict is never taken for a result; `always_result`: it always is."""

    type: Any
    always_payload: bool
    always_result: bool


def meaning_of(annotation: Any, dehydrated: Any) -> Meaning:
    """What a handler's return annotation promises, and that of its `dehydrate`: None where
    there is no such hook."""
    always_result = _is_result(annotation)
    if dehydrated is not None:
        final = EMPTY if _is_loose(dehydrated) else dehydrated
        return Meaning(final, not always_result and not _is_loose(annotation), always_result)
    if always_result:
        return Meaning(EMPTY, False, True)
    all_payload = HandlerResult not in get_args(annotation)
    annotation = _without_envelopes(annotation)
    if _is_loose(annotation):
        return Meaning(EMPTY, False, False)
    return Meaning(annotation, all_payload, False)


def items_of(annotation: Any) -> tuple[Any, Any] | None:
    """What a generator yields and returns by its annotation, EMPTY for as they are; None where
    the annotation is not that of a generator."""
    if annotation is EMPTY or annotation is Any:
        return EMPTY, EMPTY
    origin = get_origin(annotation) or annotation
    if origin not in GENERATORS:
        return None
    arguments = get_args(annotation)
    item = arguments[0] if arguments else EMPTY
    value = arguments[2] if origin is Generator and len(arguments) == 3 else EMPTY
    return EMPTY if _is_loose(item) else item, EMPTY if _is_loose(value) else value


def _is_loose(annotation: Any) -> bool:
    return any(annotation is loose or annotation == loose for loose in LOOSE)


def _is_result(annotation: Any) -> bool:
    return annotation is HandlerResult or annotation is Reply


def _without_envelopes(annotation: Any) -> Any:
    """`Sum | Reply` promises a Sum: the Reply is only another way to bring it."""
    if get_origin(annotation) is Annotated:
        return annotation
    arms = get_args(annotation)
    if Reply not in arms and HandlerResult not in arms:
        return annotation
    kept = tuple(arm for arm in arms if arm not in (Reply, HandlerResult))
    # `Reply | None`: the None is an empty answer, and no promise about a Reply's payload.
    return typing.Union[kept] if {*kept} - {type(None)} else EMPTY


def shaped(plan: Plan, result: Any) -> Parts:
    """A handler's result in parts. Raises TypeError for a status or headers that cannot be."""
    if isinstance(result, dict):
        if not plan.always_payload and (plan.always_result or _looks_like_result(result)):
            status = result.get("status")
            status = Status.OK if status is None else status
            return checked(status, result.get("headers"), result.get("payload"))
    elif isinstance(result, Reply):
        return checked(result.status, result.headers, result.payload)
    elif plan.always_result:
        raise TypeError(f"a HandlerResult is a dict, not {type(result).__name__}")
    return 200, {}, result


def _looks_like_result(result: dict[Any, Any]) -> bool:
    """`{"status": 200, "payload": ...}` is one; `{"status": "active"}` is a payload."""
    if "payload" not in result:
        status = result.get("status")
        if not isinstance(status, int) or isinstance(status, bool):
            return False
    return result.keys() <= RESULT_KEYS


def checked(status: Any, headers: Header | None, payload: Any) -> Parts:
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise TypeError(f"a status is an int from 100 to 599, not {status!r}")
    if headers is not None and not isinstance(headers, dict):
        raise TypeError(f"headers are a dict, not {type(headers).__name__}")
    return int(status), headers or {}, payload
