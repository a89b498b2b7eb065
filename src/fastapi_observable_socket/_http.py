"""
The same routes over HTTP: `POST <prefix>/<route>`, and server-sent events for streams.

Each request is served as a socket with one request on it, so hooks, dependencies, limits and
errors are those of the socket.
"""

import asyncio
import contextlib
import inspect
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Header, Query
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field, TypeAdapter, create_model
from pydantic_core import core_schema
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ._http_answers import Events, Sent, gone, is_item, refusal_response
from ._loopback import HELLO, Answer, Loopback, Refused, Serve, refused
from ._plan import Member
from ._route import Route
from ._signature import EMPTY

WINDOW = 64
"""Items of a stream that are on their way at most."""

BEAT = 15.0
"""Seconds of silence after which a stream says that it is still there."""


class Problem(BaseModel):
    """The payload of a refusal."""

    message: str
    code: str | None = None
    detail: list[dict[str, Any]] | None = Field(
        None, description="What did not fit: `loc`, `msg` and `type` of each."
    )


class Bounds(BaseModel):
    """What holds for each request: bytes of its body, and seconds between signs of life."""

    body: int
    beat: float


def http_routes(
    routes: Mapping[str, Route],
    serve: Serve,
    prefix: str,
    has_tokens: bool,
    bounds: Bounds,
) -> APIRouter:
    """An `APIRouter` with one path for each of `routes`. Raises `ValueError` for a name that can
    be no path."""
    if prefix and (prefix[0] != "/" or prefix[-1] == "/"):
        raise ValueError(f"a prefix begins with a slash and ends with none, as '/api': {prefix!r}")
    api = APIRouter(
        prefix=prefix, dependencies=[Depends(HTTPBearer(auto_error=False))] if has_tokens else None
    )
    plain = Counter(map(_plain, routes))
    for name, route in routes.items():
        if "{" in name or "}" in name:
            raise ValueError(f"route {name!r} cannot be a path: it has braces in it")
        shares_id = plain[_plain(name)] > 1 and _plain(name) != name
        _add(api, Gateway(name, route, serve, has_tokens, bounds), shares_id)
    return api


def _plain(name: str) -> str:
    """All that is left of a name in FastAPI's ids of operations."""
    return re.sub(r"\W", "_", name)


def _add(api: APIRouter, gateway: "Gateway", shares_id: bool) -> None:
    """`shares_id`: the id that FastAPI would make is that of another route, too."""
    definition = gateway.route.definition
    words = definition.about.of(definition.handler)
    told: dict[str, Any] = {
        "name": gateway.name,
        "summary": words.summary or None,
        "description": words.description or "",
        "tags": list(words.tags),
        "deprecated": words.deprecated or None,
        "responses": gateway.responses(),
        "route_class_override": gateway.route_class(),
        "openapi_extra": gateway.extra(),
        "response_model": None,
    }
    if shares_id:
        told["generate_unique_id_function"] = gateway.id_of
    plan = gateway.route.plan
    if not plan.is_stream:
        told["response_model"] = (
            None if plan.shape.result is None else documented(plan.shape.result)
        )
    api.add_api_route("/" + gateway.name, gateway.endpoint(), methods=["POST"], **told)
    if plan.is_stream:
        by_query = gateway.endpoint(by_query=True)
        del told["openapi_extra"]
        api.add_api_route("/" + gateway.name, by_query, methods=["GET"], **told)


class Gateway:
    """One route of the router as one path of HTTP."""

    def __init__(
        self, name: str, route: Route, serve: Serve, has_tokens: bool, bounds: Bounds
    ) -> None:
        self.name = name
        self.route = route
        self._serve = serve
        self._has_tokens = has_tokens
        self._bounds = bounds
        self._headers = {m.name: m.name.lower() for m in route.plan.shape.headers}

    # --- what it looks like

    def endpoint(self, by_query: bool = False) -> Callable[..., Coroutine[Any, Any, Response]]:
        """What FastAPI calls, and reads the documentation from."""

        async def answer(request: Request, **_: Any) -> Response:
            return await self.answer(request)

        shape = self.route.plan.shape
        parameters = {"request": inspect.Parameter("request", _BY_NAME, annotation=Request)}
        payload = _payload_parameter(self.name, shape.payload, shape.members, by_query)
        if payload is not None:
            parameters["payload"] = payload
        for n, member in enumerate(shape.headers):
            name = f"header_{n}"
            parameters[name] = _header_parameter(name, self._headers[member.name], member)
        answer.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        answer.__name__ = _plain(self.name)
        return answer

    def id_of(self, route: APIRoute) -> str:
        """Like FastAPI's, with the characters that those leave out: no other name has the same,
        whatever routes there will be."""
        spelled = re.sub(r"\W", lambda found: f"_{ord(found[0]):x}_", self.name)
        method = "".join(route.methods or ()).lower()  # each has one
        return f"{spelled}{_plain(route.path_format)}_{method}"

    def extra(self) -> dict[str, Any]:
        """What the parameters cannot say, which are lenient."""
        shape = self.route.plan.shape
        required = any(member.default is EMPTY for member in shape.members)
        if not shape.members and shape.payload is not None:
            required = shape.default is EMPTY
        return {"requestBody": {"required": True}} if required else {}

    def responses(self) -> dict[int | str, dict[str, Any]]:
        plan, definition = self.route.plan, self.route.definition
        found: dict[int | str, dict[str, Any]] = {
            "default": {"description": "Refused, or failed", "model": Problem}
        }
        for status, each in definition.responses.items():
            errors = plan.errors.get(status)
            # What is raised without the model that was declared is a problem as any other.
            model = Problem if errors is None else documented(errors) | Problem
            found[status] = {"description": each.description, "model": model}
        if plan.is_stream:
            item = plan.shape.item
            found[200] = {
                "description": "Server-sent events, one for each item, then `end` or `error`; or, "
                "where the request accepts JSON alone, a list of all items",
                "model": list[Any if item is None else documented(item)],  # type: ignore[misc]
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        return found

    def route_class(self) -> type[APIRoute]:
        """FastAPI's checks run for the dependencies around the router alone: to it, any payload and
        any headers fit. The route says itself what does not, as over a socket."""
        gateway = self

        class Path(APIRoute):
            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                inner = super().get_route_handler()

                async def handler(request: Request) -> Response:
                    try:
                        await gateway.read(request)
                        return await inner(request)
                    except Refused as refusal:
                        return refusal_response(refusal)

                return handler

        return Path

    # --- what it does

    async def read(self, request: Request) -> None:
        """Take the body, before anybody takes more of it than there may be. Raises `Refused`."""
        if _is_from_elsewhere(request):
            raise refused(403, "origin not allowed", "forbidden")
        chunks, size = [], 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > self._bounds.body:
                    most = f"a payload has at most {self._bounds.body} bytes"
                    raise refused(413, most, "too_large")
                chunks.append(chunk)
        except ClientDisconnect:
            raise refused(499, "the client went away", "cancelled") from None
        request._body = b"".join(chunks)
        await self._payload(request)  # older FastAPIs answer what is not JSON in their own way

    async def answer(self, request: Request) -> Response:
        """Raises nothing that is the peer's fault."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                payload, items = await self._payload(request), self._takes_items(request)
                peer = await stack.enter_async_context(Loopback(self._serve, request.scope))
                first = await self._first(peer, payload, request, items)
            except Refused as refusal:
                return refusal_response(refusal)
            if not items or (not is_item(first) and first.status >= 300):
                return Sent(first, stack.pop_all())
            return Events(peer, first, self._bounds.beat, stack.pop_all())

    async def _introduce(self, peer: Loopback, request: Request) -> None:
        if not self._has_tokens:
            return
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        said: dict[str, Any] = {"protocol": 1, "client": "http"}
        if kind.lower() == "bearer" and token.strip():
            said["token"] = token.strip()
        peer.say("$hello", said, uuid=HELLO)
        answer = await peer.answer()
        if answer.status >= 300:
            challenge = {"WWW-Authenticate": "Bearer"} if answer.status == 401 else {}
            raise Refused(answer.status, challenge, bytes(answer.payload))

    def _takes_items(self, request: Request) -> bool:
        accepted = request.headers.get("accept", "*/*")
        wants_json = "json" in accepted and "event-stream" not in accepted and "*/*" not in accepted
        return self.route.streams and not wants_json

    async def _payload(self, request: Request) -> Any:
        body: bytes = await request.body()
        if request.method == "GET":
            body = request.query_params.get("payload", "").encode()
        if not body.strip():
            return None
        try:
            # Decoded, so that nothing in it can pass for another member of the frame.
            body.decode()
            return msgspec.json.decode(body, type=msgspec.Raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise refused(400, "the payload is not JSON", "bad_request") from None

    def _ask(self, peer: Loopback, payload: Any, request: Request, items: bool) -> None:
        headers: dict[str, Any] = {
            name: request.headers[alias]
            for name, alias in self._headers.items()
            if alias in request.headers
        }
        if items:
            headers |= {"$stream": True, "$window": WINDOW}
        peer.say(self.name, payload, headers)

    async def _first(self, peer: Loopback, payload: Any, request: Request, items: bool) -> Answer:
        """The first answer, unless nobody waits for it any more."""
        answer = asyncio.ensure_future(self._asked(peer, payload, request, items))
        leaving = asyncio.ensure_future(gone(request.receive))
        try:
            await asyncio.wait((answer, leaving), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise refused(499, "the client went away", "cancelled")
        finally:
            for task in (answer, leaving):
                task.cancel()
            await asyncio.gather(answer, leaving, return_exceptions=True)

    async def _asked(self, peer: Loopback, payload: Any, request: Request, items: bool) -> Answer:
        await self._introduce(peer, request)
        self._ask(peer, payload, request, items)
        while True:
            try:
                async with asyncio.timeout(self._bounds.beat):
                    return await peer.answer()
            except TimeoutError:
                peer.say("PING", uuid=HELLO)


_BY_NAME = inspect.Parameter.KEYWORD_ONLY


def documented(adapts: "TypeAdapter[Any]") -> Any:
    """A type that FastAPI documents as this one."""

    class Documented:
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return adapts.core_schema

    return Documented


def lenient(adapts: "TypeAdapter[Any]") -> Any:
    """The same, but everything fits it."""

    class Documented:
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return core_schema.any_schema()

        @classmethod
        def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
            return handler(adapts.core_schema)

    return Documented


def _payload_parameter(
    name: str, payload: "TypeAdapter[Any] | None", members: Sequence[Member], by_query: bool
) -> inspect.Parameter | None:
    """Never required, not to be refused by FastAPI."""
    kind: Any
    if by_query:
        kind = Annotated[str | None, Query(description="The payload, as JSON")]
    elif members:
        kind = Annotated[lenient(TypeAdapter(_model(name, members))), Body()]
    elif payload is not None:
        kind = Annotated[lenient(payload), Body()]
    else:
        return None
    return inspect.Parameter("payload", _BY_NAME, annotation=kind, default=None)


def _model(name: str, members: Sequence[Member]) -> Any:
    fields: dict[str, Any] = {
        f"m{n}": (
            documented(member.type),
            Field(... if member.default is EMPTY else member.default, alias=member.name),
        )
        for n, member in enumerate(members)
    }
    words = re.findall(r"[A-Za-z0-9]+", name)
    return create_model("".join(word.capitalize() for word in words) + "Payload", **fields)


def _header_parameter(name: str, alias: str, member: Member) -> inspect.Parameter:
    kind: Any = Annotated[lenient(member.type), Header(alias=alias)]
    return inspect.Parameter(name, _BY_NAME, annotation=kind, default=None)


def _is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another site had a browser ask, by a link or an image: with cookies, and
    without the `Origin` that the socket's gate goes by."""
    where = request.headers.get("sec-fetch-site")
    return where in ("cross-site", "same-site") and "origin" not in request.headers
