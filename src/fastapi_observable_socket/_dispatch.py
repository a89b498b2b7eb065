"""
From a call to its answer: hooks, handler, and what an exception means on the wire.

Never touches the socket; the answer is finished text when it leaves this room, so
nothing a handler returns can fail later.
"""

import asyncio
import inspect
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from fastapi.exceptions import WebSocketException
from starlette.exceptions import HTTPException

from ._call import Call
from ._depends import solve
from ._errors import (
    Cancelled,
    CheckFailed,
    DeadlinePassed,
    Forbidden,
    HandlerTimeout,
    Internal,
    RequestFailed,
)
from ._log import failure
from ._plan import Plan
from ._results import Parts, serialised, shaped
from ._route import Route
from ._session import refusal_of
from ._signature import is_coroutine_function
from ._status import CloseCode, Status
from ._threads import run_sync
from ._wire import BadFrame, Response, encode, encode_response, refusal


class Dispatcher:
    """Runs calls. `exception_handlers`: whether those of the app may answer failures."""

    def __init__(self, max_response_bytes: int, exception_handlers: bool) -> None:
        self._max_bytes = max_response_bytes
        self._exception_handlers = exception_handlers

    async def answer(self, call: Call) -> str:
        """The one answer to `call`, whatever happens.

        Raises only what is not the call's to answer: KeyboardInterrupt, and the
        cancellation of the whole connection.
        """
        try:
            plan = call.route.plan
            if plan.is_plain:
                # The same as `_run` where there are no hooks, dependencies and threads.
                if plan.validate is not None:
                    call.validated = plan.validate(call)
                elif plan.ignores_payload:
                    call.payload  # noqa: B018  # what is not JSON is refused for all
                status, headers, payload = shaped(plan, await plan.invoke(call))
                if plan.result is not None and 200 <= status < 300:
                    payload = serialised(plan.result, payload)
                response = Response(call.frame.uuid, status, headers, payload)
                text = encode_response(response, self._max_bytes)
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
        if plan.result is not None and 200 <= status < 300:
            payload = serialised(plan.result, payload)
        return encode_response(Response(call.frame.uuid, status, headers, payload), self._max_bytes)

    async def _run(self, call: Call, route: Route) -> str:
        try:
            plan = self._plan(call, route)
            text = self._encoded(plan, call, await _execute(plan, call))
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
            payload = http_payload(error.status_code, error.detail)
            return encode(Response(uuid, error.status_code, headers, payload)).decode()
        if isinstance(error, WebSocketException):
            # Made to end a socket: it does, once this call has its answer.
            call.close_behind(error.code, error.reason)
            final = error.code in (CloseCode.POLICY, 4401, 4403)
            status = Status.FORBIDDEN if final else Status.INTERNAL_SERVER_ERROR
            payload = http_payload(status, error.reason or "the connection is being closed")
            return encode(Response(uuid, status, {}, payload)).decode()
        return self._failed(call, error)

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
            error = HandlerTimeout(f"no answer within {call.route.timeout:g} s")
    return refusal(call.frame.uuid, error)


async def _execute(plan: Plan, call: Call) -> Parts:
    """Hooks, payload, dependencies, handler, result: in this order, each once."""
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
    if plan.validate is not None:
        call.validated = plan.validate(call)
    elif plan.ignores_payload:
        call.payload  # noqa: B018  # what is not JSON is refused for all
    if plan.steps:
        await solve(plan.steps, call)
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


def http_payload(status: int, detail: Any) -> dict[str, Any]:
    """The payload of an error that the user raised: text as message, the rest as detail."""
    try:
        code = Status(status).name.lower()
    except ValueError:
        code = "error"
    if isinstance(detail, str):
        return {"message": detail, "code": code}
    return {"message": code.replace("_", " "), "code": code, "detail": detail}
