"""
From a call to its answer: hooks, handler, and what an exception means on the wire.

Never touches the socket; the answer is finished text when it leaves this room, so
nothing a handler returns can fail later.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import msgspec
from fastapi.exceptions import WebSocketException
from starlette.exceptions import HTTPException

from ._call import Call
from ._declared import ErrorPayload, declared_detail
from ._depends import solve
from ._errors import (
    Cancelled,
    CheckFailed,
    DeadlinePassed,
    Forbidden,
    HandlerTimeout,
    Internal,
    RequestFailed,
    TooManyItems,
    of_broker,
)
from ._fit import serialised
from ._flow import Flow
from ._log import failure
from ._plan import Plan
from ._results import Parts, shaped
from ._route import Route
from ._session import refusal_of
from ._signature import is_coroutine_function
from ._status import CloseCode, Status
from ._threads import run_sync
from ._wire import (
    BadFrame,
    Response,
    decode_payload,
    encode,
    encode_response,
    refusal,
)

FAIR_SHARE = 64
"""Items that are sent in a row before others get their turn."""


PLAIN_TYPES = frozenset({list, tuple, str, int, float, bool, type(None)})
"""A result of one of these is certainly a payload, with nothing around it."""

_NO_HEADERS: dict[str, Any] = {}

PENDING = int(Status.PENDING)  # compared with every status: an enum's member costs more


class Dispatcher:
    """Runs calls. `exception_handlers`: whether those of the app may answer failures.
    `max_items`: how many items of a stream are gathered for a client that wants one answer."""

    def __init__(
        self, max_response_bytes: int, exception_handlers: bool, max_items: int = 1000
    ) -> None:
        self._max_bytes = max_response_bytes
        self._max_items = max_items
        self._exception_handlers = exception_handlers

    async def answer(self, call: Call) -> str:
        """The one answer to `call`, whatever happens.

        Raises only what is not the call's to answer: KeyboardInterrupt, and the
        cancellation of the whole connection.
        """
        try:
            plan = call.route.plan
            if plan.bare is not None:
                result = await plan.bare(decode_payload(call.frame))
                kind = type(result)
                if (
                    "payload" not in result and "status" not in result
                    if kind is dict
                    else kind in PLAIN_TYPES
                ):
                    response = Response(call.frame.uuid, 200, _NO_HEADERS, result)
                    text = encode_response(response, self._max_bytes)
                else:
                    text = self._encoded(plan, call, shaped(plan, result))
            elif plan.is_plain:
                # The same as `_run` where there are no hooks, dependencies and threads.
                _look_at_payload(plan, call)
                text = self._encoded(plan, call, shaped(plan, await plan.invoke(call)))
            else:
                text = await self._run(call, call.route)
        except BadFrame as bad:
            call.malformed = call.lingers = True
            text = refusal_of(bad)
        except RequestFailed as error:
            text = self._refusal(call, error)
        except asyncio.CancelledError as error:
            text = ""
            if call.ended_by is None:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                text = self._failed(call, error)  # it awaited something that was cancelled
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            try:
                text = await self._answer_of(error, call)
            except RequestFailed as broken:  # a detail that is not JSON
                text = self._refusal(call, broken)
        if call.ended_by is not None:
            return ended(call)
        return text

    def _encoded(self, plan: Plan, call: Call, parts: Parts) -> str:
        status, headers, payload = parts
        if status == PENDING:
            _check_final(call)
        if plan.result is not None and not plan.is_stream and 200 <= status < 300:
            payload = serialised(plan.result, payload)
        elif status in plan.errors:
            payload = _error(plan, status, payload)
        return encode_response(Response(call.frame.uuid, status, headers, payload), self._max_bytes)

    async def _run(self, call: Call, route: Route) -> str:
        try:
            plan = self._plan(call, route)
            await _prepare(plan, call)
            outcome = self._streamed if plan.is_stream else _outcome
            text = self._encoded(plan, call, await outcome(plan, call))
            if call.inner_stack is not None:
                inner, call.inner_stack = call.inner_stack, None
                await inner.aclose()
            return text
        except BaseException:
            after, before = call.stack, call.inner_stack
            call.forget_afterwards()
            if after is None and before is None:
                raise
            # Open dependencies see the exception, and are closed before the answer.
            async with after or AsyncExitStack(), before or AsyncExitStack():
                raise
            raise Internal("a dependency swallowed the exception") from None

    async def _streamed(self, plan: Plan, call: Call) -> Parts:
        """What ends a stream: the number of its items and its return value, or all items."""
        items: Any = plan.invoke(call)
        flow = call.flow
        async with aclosing(items):
            if flow is None:
                return 200, {}, await self._gathered(plan, call, items)
            await self._send_items(plan, call, items, flow)
        value = getattr(items, "value", None)
        if plan.result is not None:
            value = serialised(plan.result, value)
        return 200, {"$seq": flow.sent}, value

    async def _send_items(
        self, plan: Plan, call: Call, items: AsyncIterator[Any], flow: Flow
    ) -> None:
        uuid, put, limit = call.frame.uuid, call.shared.put, self._max_bytes
        async for item in items:
            if call.ended_by is not None:
                return  # it does not heed its cancellation
            if plan.item is not None or plan.dehydrate is not None:
                item = await _shaped_item(plan, call, item)
            text = encode_response(Response(uuid, PENDING, {"$seq": flow.sent}, item), limit)
            if flow.full:
                await flow.room()
            await put(text, call)
            flow.sent += 1
            if flow.sent % FAIR_SHARE == 0:
                await asyncio.sleep(0)  # the peer may take all of it at once

    async def _gathered(self, plan: Plan, call: Call, items: AsyncIterator[Any]) -> list[Any]:
        gathered: list[msgspec.Raw] = []
        size = 0
        async for item in items:
            if len(gathered) == self._max_items:
                raise TooManyItems(f"more than {self._max_items} items: ask for a stream")
            raw = encode(await _shaped_item(plan, call, item))
            gathered.append(msgspec.Raw(raw))
            size += len(raw)
            if size > self._max_bytes:
                raise TooManyItems(f"more than {self._max_bytes} bytes: ask for a stream")
            if len(gathered) % FAIR_SHARE == 0:
                await asyncio.sleep(0)
        return gathered

    def _plan(self, call: Call, route: Route) -> Plan:
        plan = route.plan
        if plan.slots:
            overrides = getattr(call.shared.app, "dependency_overrides", None)
            if overrides:
                return route.variant(overrides)
        return plan

    async def _answer_of(self, error: BaseException, call: Call) -> str:
        if self._exception_handlers:
            answer = await self._answer_of_app(error, call)
            if answer is not None:
                return answer
        uuid = call.frame.uuid
        if isinstance(error, HTTPException) and 100 <= error.status_code <= 599:
            headers = dict(error.headers) if error.headers else {}
            try:
                errors = call.route.plan.errors
                detail = declared_detail(errors, error.status_code, error.detail)
            except TypeError as misfit:
                return self._failed(call, misfit)
            payload = http_payload(error.status_code, detail)
            return encode(Response(uuid, error.status_code, headers, payload)).decode()
        if isinstance(error, WebSocketException):
            # Made to end a socket: it does, once this call has its answer.
            call.close_behind(error.code, error.reason)
            final = error.code in (CloseCode.POLICY, 4401, 4403)
            status = Status.FORBIDDEN if final else Status.INTERNAL_SERVER_ERROR
            payload = http_payload(status, error.reason or "the connection is being closed")
            return encode(Response(uuid, status, {}, payload)).decode()
        broken = of_broker(error)
        return self._failed(call, error) if broken is None else self._refusal(call, broken)

    def _refusal(self, call: Call, error: RequestFailed) -> str:
        if error.status >= 500:
            # Not the peer's doing: the operator should know of it.
            failure("no answer", error, route=call.frame.route, uuid=call.frame.uuid)
        return refusal(call.frame.uuid, error)

    def _failed(self, call: Call, error: BaseException) -> str:
        error_id = failure("handler failed", error, route=call.frame.route, uuid=call.frame.uuid)
        return refusal(call.frame.uuid, Internal(f"internal server error, id {error_id}"))

    async def _answer_of_app(self, error: BaseException, call: Call) -> str | None:
        """What the app's own exception handlers make of it; None where they have no say."""
        by_type, by_status = call.ws.scope.get("starlette.exception_handlers", ({}, {}))
        handler = by_status.get(getattr(error, "status_code", None))
        for kind in type(error).__mro__:
            handler = handler or by_type.get(kind)
        if handler is None or handler.__module__.split(".")[0] in ("fastapi", "starlette"):
            return None  # their defaults know nothing that we do not
        try:
            request = call.shared.http
            if is_coroutine_function(handler):
                response = await handler(request, error)
            else:
                response = await run_sync(handler, request, error)
            payload = msgspec.json.decode(response.body) if response.body else None
            return encode(Response(call.frame.uuid, response.status_code, {}, payload)).decode()
        except Exception as broken:
            failure("exception handler failed", broken, route=call.frame.route)
            return None


def ended(call: Call) -> str:
    """The answer to a call that was cancelled, by what ended it."""
    error: RequestFailed
    match call.ended_by:
        case "cancel":
            error = Cancelled("cancelled by the client")
        case "deadline":
            error = DeadlinePassed("the time that the client gave is up")
        case _:
            error = HandlerTimeout(f"no answer within {call.route.time_of(call):g} s")
    return refusal(call.frame.uuid, error)


async def _prepare(plan: Plan, call: Call) -> None:
    """Hooks, payload, dependencies: in this order, each once."""
    if plan.slots:
        call.values = [None] * plan.slots
    for check in plan.data_checks:
        if not await check(call):
            raise CheckFailed("data check failed")
    for access in plan.accesses:
        if not await access(call):
            raise Forbidden("access denied")
    if plan.hydrate is not None:
        call.hydrated = await plan.hydrate(call)
    _look_at_payload(plan, call)
    if plan.steps:
        await solve(plan.steps, call)


def _look_at_payload(plan: Plan, call: Call) -> None:
    if plan.validate is not None:
        call.validated = plan.validate(call)
    elif plan.ignores_payload:
        call.payload  # noqa: B018  # what is not JSON is refused for all


async def _outcome(plan: Plan, call: Call) -> Parts:
    """What the handler makes of it, shaped."""
    if plan.is_async:
        result = await plan.invoke(call)
    else:
        result = await run_sync(plan.invoke, call)
        if inspect.isawaitable(result):
            result = await result
    status, headers, payload = shaped(plan, result)
    if plan.dehydrate is not None and 200 <= status < 300:
        call.outgoing = payload
        payload = await plan.dehydrate(call)
    return status, headers, payload


async def _shaped_item(plan: Plan, call: Call, item: Any) -> Any:
    if plan.dehydrate is not None:
        call.outgoing = item
        item = await plan.dehydrate(call)
    return item if plan.item is None else serialised(plan.item, item)


def _check_final(call: Call) -> None:
    """To a client that takes many answers, 402 is never the last: it would wait for ever."""
    if call.headers.get("$stream") is True or call.headers.get("$progress") is True:
        raise TypeError("the last answer is 402, PENDING, to a client that waits for the last")


def _error(plan: Plan, status: int, payload: Any) -> Any:
    return serialised(plan.errors[status], payload, f"the payload of a {status}")


def http_payload(status: int, detail: Any) -> Any:
    """The payload of an error that the user raised: what was declared for it; else text as
    message, the rest as detail."""
    if isinstance(detail, ErrorPayload):
        return detail.payload
    try:
        code = Status(status).name.lower()
    except ValueError:
        code = "error"
    if isinstance(detail, str):
        return {"message": detail, "code": code}
    return {"message": code.replace("_", " "), "code": code, "detail": detail}
