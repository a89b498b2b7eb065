"""
What the user holds: routes go in, an endpoint comes out.

Registration, inclusion and every way to be mounted; frames are not seen here.
"""

import dataclasses
import inspect
import sys
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar, cast, overload

from fastapi import APIRouter, FastAPI, params
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Router
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ._attendance import Attendance
from ._clocks import Limits
from ._compat import Serving, mark_coroutine_function, restore_add_websocket_route
from ._compile import checked_options
from ._connection import Shell
from ._contract import Contracts, Head
from ._declared import (
    Declaration,
    Declarations,
    Place,
    Responses,
    about,
    all_new,
    error_responses,
)
from ._dispatch import Dispatcher
from ._drain import RETRY_AFTER, Drain
from ._errors import SignatureError
from ._gate import Gate, refuse_for_now
from ._greeting import Greeting
from ._handle import Connections, checked_name
from ._http import BEAT, http_routes
from ._http import Bounds as HttpBounds
from ._hub import Hub
from ._identity import Authenticate, Authenticator
from ._lane import lane_of
from ._outbox import Bounds, Budget
from ._pages import Pages
from ._people import People
from ._plan import Definition, Handler, RouteOptions
from ._presence import Presence
from ._route import Route
from ._signature import Unresolved
from ._subscribe import Events
from ._topic import Topic, TopicDefinition, same_shape
from ._topics import Topics
from ._user import Post, User
from ._wire import is_reserved
from .backends._backend import Backend, Keep, Position
from .backends.memory import MemoryBackend

SocketAccess = Callable[[WebSocket], bool | Awaitable[bool]]
"""`(ws)`: whether a socket may be opened at all. Reads `ws.headers`, `ws.cookies`, `ws.scope`."""

HandlerT = TypeVar("HandlerT", bound=Handler)


class SocketRouter:
    """Routes the messages of WebSockets to handlers, as FastAPI routes requests.

        router = SocketRouter()

        @router.route("math/sum")
        async def add(payload: list[int]):
            return {"sum": sum(payload)}

        router.mount(app, "/ws")

    `access_logic(ws)` is asked before a socket is accepted; False refuses it for good.
    `prefix` and `options` (hooks) apply to every route of this router. `title`, `version` and
    `description` are those of its contract. Clients that were built for another major version (the
    part before the first dot) are told so by the answer to their `$hello`.

    `ordered=True` makes all calls of a connection wait for each other, `False` none; by
    default those wait whose handler or hooks take the socket.

    `authenticate(token[, ws])` is given what a client brings by `$hello` or `$auth`, and returns
    the user (or `Authenticated`, with an end), None to refuse; handlers find them in `ws.user`.
    With it nobody is served before a good token, and who brings none within `auth_timeout` is
    closed with 1008; `allow_anonymous=True` serves them with a user of None. `identify(user)`
    is what `connections` finds a user by: by default its `id`, `sub` or `username`.

    `allowed_origins` are accepted besides the page's own origin, such as
    `"https://app.example.com"`; `"*"` accepts all, also `null`. `deny="http"` refuses with
    an HTTP status instead of accepting and closing with 1008, which is all that a browser
    can see. `exception_handlers=True` lets the app's exception handlers answer messages.

    With `drain` the first SIGTERM or SIGINT lets the sockets go, within so many seconds, and is
    handed to the server only then; without, the server drops what runs on them. What it needs
    is in `docs/deploying.md`.

    Times are in seconds, sizes in bytes. `max_in_flight` calls of one connection run at a
    time; then the server stops reading (`overflow="wait"`), or answers 429
    (`overflow="reject"`). `max_streams` of one connection may be open at a time; more are
    answered 429. A client that asks for a stream as one answer gets at most `max_items`, or 413.
    `max_connections` of this process default to what its file
    descriptors allow. What the limits mean is in `docs/limits.md`.
    """

    def __init__(
        self,
        access_logic: SocketAccess | None = None,
        *,
        prefix: str = "",
        options: RouteOptions | None = None,
        ordered: bool | None = None,
        title: str = "",
        version: str = "",
        description: str = "",
        allowed_origins: Sequence[str] = (),
        deny: Literal["close", "http"] = "close",
        authenticate: Authenticate | None = None,
        identify: Callable[[Any], Any] | None = None,
        allow_anonymous: bool = False,
        auth_timeout: float = 10.0,
        exception_handlers: bool = False,
        handler_timeout: float = 30.0,
        overflow: Literal["wait", "reject"] = "wait",
        max_in_flight: int = 64,
        max_streams: int = 128,
        max_items: int = 1000,
        max_message_bytes: int = 256 * 1024,
        max_response_bytes: int = 16 * 1024 * 1024,
        max_bad_messages: int = 100,
        max_connections: int | None = None,
        idle_timeout: float = 180.0,
        idle_timeout_without_heartbeat: float = 3600.0,
        send_timeout: float = 10.0,
        max_outgoing_bytes: int = 256 * 1024 * 1024,
        max_pushed_bytes: int = 8 * 1024 * 1024,
        backend: Backend | None = None,
        max_topics: int = 128,
        max_event_bytes: int = 256 * 1024,
        drain: float | None = None,
    ) -> None:
        if overflow not in ("wait", "reject"):
            raise ValueError(f"overflow is 'wait' or 'reject', not {overflow!r}")
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight is at least 1, not {max_in_flight}")
        self._prefix = prefix
        self._options = checked_options(prefix or "SocketRouter", options or {})
        self._ordered = ordered
        self._handler_timeout = handler_timeout
        self._routes: dict[str, Route] = {}
        self._parents: list[tuple[SocketRouter, str, RouteOptions]] = []
        self._unready = True
        self._limits = Limits(
            max_message_bytes=max_message_bytes,
            max_response_bytes=max_response_bytes,
            max_in_flight=max_in_flight,
            reject_overflow=overflow == "reject",
            max_bad_messages=max_bad_messages,
            idle_timeout=idle_timeout,
            idle_timeout_without_heartbeat=idle_timeout_without_heartbeat,
            send_timeout=send_timeout,
            max_streams=max_streams,
            max_pushed=min(max_response_bytes, max_pushed_bytes),
            outbox=Bounds(min(1024 * 1024, max_pushed_bytes), max_pushed_bytes),
        )
        self._budget = Budget(max_outgoing_bytes)
        self._dispatcher = Dispatcher(max_response_bytes, exception_handlers, max_items)
        self.connections = Connections(self._limits.max_pushed, Declarations())
        """The open sockets, of this process."""
        hub = Hub(backend or MemoryBackend())
        attendance = Attendance(hub)
        self.connections.renamed = attendance.renamed
        self._topics = Topics(hub, attendance, max_topics, max_event_bytes, max_response_bytes // 2)
        self._people, self._post = People(hub, self.connections), Post(hub)
        auth = "optional" if allow_anonymous else "required"
        self._contracts = Contracts(
            Head(title, version, description, None if authenticate is None else auth),
            self._routes,
            self._topics,
            self.connections.declared,
            self._ready,
        )
        self._authenticator = Authenticator(
            authenticate,
            identify,
            allow_anonymous,
            auth_timeout,
            Greeting(self._limits, authenticate is not None, version, self._contracts.hash),
        )
        self._gate = Gate(access_logic, allowed_origins, deny, max_connections)
        self._drain = Drain(drain)
        # FastAPI reads the signature of an endpoint and calls it by keyword: it must see one
        # parameter, not the two more that raw ASGI brings. On the instance, since on the
        # class it would stand for the constructor's.
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    "websocket", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=WebSocket
                )
            ],
            return_annotation=None,
        )
        self.__name__ = "socket_router"

    # --- registration

    def route(
        self,
        path: str,
        options: RouteOptions | None = None,
        *,
        ordered: bool | None = None,
        timeout: float | None = None,
        shield: bool = False,
        summary: str | None = None,
        description: str | None = None,
        tags: Sequence[str] = (),
        deprecated: bool = False,
        idempotent: bool = False,
        responses: Responses | None = None,
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the decorated function as the handler of `path`.

        `options` are its hooks. `ordered` overrides the router's rule for this route;
        `timeout` (seconds) the router's `handler_timeout`; a `shield`ed handler is not
        cancelled when its client goes away. The function is returned unchanged.

        The others are for the contract. `summary` and `description` are the docstring's unless
        they are given; `idempotent` says that the call may be repeated safely. `responses` are the
        errors by which the route answers, such as `{404: NotFound}`: what is answered with that
        status is serialised by that model, also `HTTPException(404, detail=NotFound(...))`.

        Raises `ValueError` for a name that is taken or reserved, and `SignatureError` for a
        handler or a hook that could never be called as it is written.
        """
        if not isinstance(path, str):
            raise TypeError(f'a route needs a name: @router.route("name"), not {path!r}')
        names = _locals_of_caller()
        words = about(summary, description, tags, deprecated)
        errors = error_responses(f"route {path!r}", responses)

        def register(handler: HandlerT) -> HandlerT:
            if not callable(handler):
                raise SignatureError(f"route {path!r}: {handler!r} is no function")
            definition = Definition(
                path,
                handler,
                (options or RouteOptions(),),
                names,
                ordered,
                timeout,
                shield,
                words,
                idempotent,
                errors,
            )
            _register(self._routes_of(definition))
            return handler

        return register

    def topic(
        self,
        pattern: str,
        *,
        event: Any = None,
        history: int = 256,
        ttl: float = 300.0,
        keep: bool = True,
        conflate: float | None = None,
        publish: bool | Callable[..., Any] = False,
        presence: bool = False,
        summary: str | None = None,
        description: str | None = None,
        tags: Sequence[str] = (),
        deprecated: bool = False,
        responses: Responses | None = None,
    ) -> Callable[[HandlerT], HandlerT]:
        """Declare a topic; the decorated function says who may listen.

            @router.topic("orders/{order_id}", event=OrderEvent)
            async def may_follow(order_id: int, ws: WebSocket) -> bool:
                return ws.user.owns(order_id)

        Its parameters are those of the pattern, `ws`, and dependencies. False refuses with 403,
        an `HTTPException` with its status; it is asked at each subscription, also when a client
        comes back. With another return type than bool it returns the state of things, which
        a new subscriber gets together with all events behind it.

        `event` is the type of the events. The last `history` of them are kept for `ttl` seconds
        for those who come back; with `keep=False` none are. `conflate` events a second reach
        each subscriber at most, the latest last. `publish` says which clients may publish:
        none, those who may listen (True), or whom a function admits, which may take the `event`.
        With `presence` it is known who listens: see `router.presence`, and for clients the topic
        `<name>/@presence`. `summary` to `responses` are as those of a route.

        Raises `ValueError` for a name that is taken or cannot be, and `SignatureError`.
        """
        kept = Keep(history, ttl) if keep else None
        names = _locals_of_caller()
        words = about(summary, description, tags, deprecated)
        errors = error_responses(f"topic {pattern!r}", responses)

        def register(function: HandlerT) -> HandlerT:
            if not callable(function):
                raise SignatureError(f"topic {pattern!r}: {function!r} is no function")
            self._register_topic(
                TopicDefinition(
                    pattern,
                    function,
                    event,
                    kept,
                    conflate,
                    publish,
                    presence,
                    names,
                    words,
                    errors,
                )
            )
            return function

        return register

    def pushes(
        self,
        name: str,
        type: Any = None,
        *,
        summary: str | None = None,
        description: str | None = None,
        deprecated: bool = False,
    ) -> None:
        """Declare a push for the contract, and hold it to `type` (None: it has no payload).

            router.pushes("news", Article, summary="A new article")
            router.connections.push("news", article)

        Raises `ValueError` for a name that is taken or reserved, and `SignatureError`.
        """
        words = about(summary, description, (), deprecated)
        self._declare(Declaration(name, False, type, None, words))

    def calls(
        self,
        name: str,
        *,
        payload: Any = None,
        result: Any = None,
        summary: str | None = None,
        description: str | None = None,
        deprecated: bool = False,
    ) -> None:
        """Declare a call of the server for the contract, and hold it to its types.

            router.calls("confirm", payload=Question, result=bool)
            if await connection.call("confirm", Question(text="Sure?")): ...

        Without a `payload` it has none; without a `result`, what clients answer does not count.
        Raises as `pushes` does.
        """
        words = about(summary, description, (), deprecated)
        self._declare(Declaration(name, True, payload, result, words))

    def _declare(self, declaration: Declaration) -> None:
        for declared, each in all_new(self._declared_by(declaration)):
            declared.add(each)

    def _declared_by(self, declaration: Declaration) -> "Iterator[Place]":
        """`declaration` for this router and for every one that includes it."""
        mine = dataclasses.replace(declaration, name=self._prefix + declaration.name)
        checked_name(mine.name)
        yield self.connections.declared, mine
        for parent, prefix, _ in self._parents:
            yield from parent._declared_by(dataclasses.replace(mine, name=prefix + mine.name))

    def _register_topic(self, definition: TopicDefinition) -> None:
        made = list(self._topics_of(definition))
        for router, topic in made:
            router._add_topic(topic)

    def _topics_of(self, definition: TopicDefinition) -> "Iterator[tuple[SocketRouter, Topic]]":
        """`definition` compiled, for this router and for every one that includes it."""
        mine = _under(definition, self._prefix)
        if any(same_shape(mine.pattern, known) for known in self._topics.known):
            raise ValueError(f"topic {mine.pattern!r} is already registered")
        yield self, self._topics.made(mine)
        for parent, prefix, _ in self._parents:
            yield from parent._topics_of(_under(mine, prefix))

    def _add_topic(self, topic: Topic) -> None:
        self._topics.known[topic.definition.pattern] = topic
        for name, handler in (
            ("$sub", self._topics.sub),
            ("$unsub", self._topics.unsub),
            ("$pub", self._topics.pub),
        ):
            if name not in self._routes:
                definition = Definition(name, handler, ordered=True)
                self._routes[name] = Route(definition, True, self._handler_timeout)

    async def publish(
        self, topic: str, event: Any, *, message_id: str = "", timeout: float = 5.0
    ) -> Position | None:
        """Send an event to all who listen to `topic`, in every process, and keep it for those who
        come back. From handlers, HTTP endpoints and background tasks.

        Returns its position once it is stored; None where the topic keeps nothing. Under
        one `message_id` it is stored once, however often it is published within a minute. Waits
        for the broker, `timeout` seconds at most, and never for a subscriber.

        Raises `LookupError` for a topic that was not declared, `TypeError` for an event that does
        not fit its type, `Unserialisable`, `ValueError` for one that is too large;
        `backends.Unavailable` where it was certainly not stored, and `backends.Uncertain` where
        nobody can tell.
        """
        position: Position | None = None
        for router, name in self._roots(topic):
            receipt = await router._topics.publish(name, event, message_id, timeout)
            position = receipt.position
        return position

    def subscribe(self, topic: str, *, since: Position | None = None) -> Events:
        """Listen in the server itself: `async with router.subscribe("orders/42") as events`, then
        `async for event in events`. See `Events`."""
        router, name = next(self._roots(topic))
        return Events(router._topics, name, since)

    def presence(self, topic: str) -> Presence:
        """Who listens to `topic`, in all processes. See `Presence`. Raises `LookupError` for one
        that was not declared with `presence=True`."""
        router, name = next(self._roots(topic))
        return Presence(router._topics, name)

    def user(self, user_id: Any) -> User:
        """One user, on whichever worker their sockets are: `await router.user("ann").push(...)`,
        `.call(...)`, `.close(...)`. See `User`."""
        roots = dict.fromkeys(router for router, _ in self._roots(""))
        posts, limit = [router._post for router in roots], self._limits.max_pushed
        return User(posts, user_id, limit, self.connections.declared_for)

    def _roots(self, topic: str) -> "Iterator[tuple[SocketRouter, str]]":
        """The routers that are mounted, and what they call `topic`."""
        mine = self._prefix + topic
        if not self._parents:
            yield self, mine
        for parent, prefix, _ in self._parents:
            yield from parent._roots(prefix + mine)

    async def drain(self, within: float = 30.0) -> None:
        """Let the open sockets go, before the process ends: no answer is dropped, and clients do
        not come back all at the same moment.

        From now on new sockets are refused with HTTP 503. Clients that know how to are asked to
        go on over another connection; the others are closed with 1012 once nothing runs on
        them. What is still there after `within` seconds is closed with 1012, and what runs on it
        is cancelled. Returns when no socket is left, or the time is up. Twice is harmless: the
        second call waits for the end of the first. To be awaited on the event loop of the sockets.
        """
        await self._drain.run(within)

    @property
    def draining(self) -> bool:
        """Whether sockets are, or were, let go: an answer for readiness probes."""
        return self._drain.draining

    async def aclose(self) -> None:
        """End what the router has begun: the hub and its backend. The app's shutdown does it for
        a router that is mounted by `mount`. It may be used again."""
        await self._people.close()
        await self._topics.attendance.close()
        await self._topics.hub.close()

    def include(
        self, router: "SocketRouter", prefix: str = "", options: RouteOptions | None = None
    ) -> None:
        """Serve the routes of `router` too, also those it gets later, under `prefix`.

        `data_check` and `access` of all routers around a route must pass, outermost first;
        of `hydrate`, `dehydrate` and `ordered` the innermost is used. Limits and `access_logic`
        are those of the router that is mounted.

        Raises `ValueError` for a circle and for names that are taken, and includes nothing then.
        """
        if self is router or router._contains(self):
            raise ValueError("a router cannot include itself, at whatever depth")
        around = checked_options(prefix or "include", options or {})
        topics = [
            made
            for topic in list(router._topics)
            for made in self._topics_of(_under(topic.definition, prefix))
        ]
        declarations = all_new(
            made
            for each in list(router.connections.declared)
            for made in self._declared_by(dataclasses.replace(each, name=prefix + each.name))
        )
        _register(
            made
            for route in list(router._routes.values())
            if not is_reserved(route.definition.name)
            for made in self._routes_of(_within(route.definition, prefix, around))
        )
        for owner, topic in topics:
            owner._add_topic(topic)
        for declared, each in declarations:
            declared.add(each)
        router._parents.append((self, prefix, around))
        router.connections.within(self.connections)

    def _routes_of(self, definition: Definition) -> "Iterator[tuple[SocketRouter, Route]]":
        """`definition` compiled, for this router and for every one that includes it."""
        mine = _within(definition, self._prefix, self._options, self._ordered)
        self._check_name(mine.name)
        yield self, Route(mine, self._ordered, self._handler_timeout)
        for parent, prefix, around in self._parents:
            yield from parent._routes_of(_within(mine, prefix, around))

    def _check_name(self, name: str) -> None:
        checked_name(name)
        if name in self._routes:
            raise ValueError(f"route {name!r} is already registered")

    def _contains(self, router: "SocketRouter") -> bool:
        return any(parent is self or self._contains(parent) for parent, _, _ in router._parents)

    # --- mounting

    def mount(
        self,
        app: FastAPI | APIRouter | Starlette | Router,
        path: str = "/ws",
        *,
        dependencies: Sequence[params.Depends] = (),
        name: str | None = None,
        docs: bool | None = None,
        docs_dependencies: Sequence[params.Depends] = (),
    ) -> None:
        """Serve this router's sockets at `path` of a FastAPI or Starlette application.

        `dependencies` are FastAPI's, solved before the socket is accepted. Opened as a page, the
        same path is the console, with `contract.json`, `asyncapi.json` and `routes.ts` below it:
        where the app has its own documentation, or as `docs` says. `docs_dependencies` guard
        them all.

        Raises `SignatureError` for routes whose annotations are still not defined.
        """
        if not isinstance(app, Starlette | Router):
            raise TypeError(f"mount(app, path) needs the app first, not {app!r}")
        self._ready()
        router = app.router if isinstance(app, Starlette) else app
        self._end_with(router)
        if dependencies and not isinstance(router, APIRouter):
            raise TypeError("dependencies need a FastAPI app or an APIRouter")
        # An APIRouter may be included with dependencies later, which only its own kind runs.
        late = router is app
        if isinstance(router, APIRouter) and (late or dependencies or router.dependencies):
            router.add_api_websocket_route(
                path, cast(Any, self), name=name or self.__name__, dependencies=dependencies
            )
        else:
            # Straight to ASGI: FastAPI's own share of a connection would be for nothing.
            router.add_websocket_route(path, cast(Any, self), name=name or self.__name__)
        Pages(self._contracts, docs).add(
            router, path, docs_dependencies, path if isinstance(app, FastAPI) else ""
        )

    def api_router(
        self,
        path: str = "/ws",
        *,
        dependencies: Sequence[params.Depends] = (),
        name: str | None = None,
        docs: bool | None = None,
        docs_dependencies: Sequence[params.Depends] = (),
    ) -> APIRouter:
        """An `APIRouter` with this router's socket at `path`, for `app.include_router`. The
        others are as in `mount`."""
        api = APIRouter()
        api.add_api_websocket_route(
            path, cast(Any, self), name=name or self.__name__, dependencies=dependencies
        )
        Pages(self._contracts, docs).add(api, path, docs_dependencies)
        return api

    def http(self, prefix: str = "/api") -> APIRouter:
        """The same routes over HTTP, for `app.include_router`: `POST <prefix>/<route>`, and for
        streams server-sent events, also by `GET` with the payload as JSON in `?payload=`.

        Hooks, dependencies, limits and errors are those of the socket; a token comes as
        `Authorization: Bearer`, a message's headers are those of the request that the route
        names. `ws` is a socket that nobody pushes through. All is in the app's OpenAPI. To be
        called when all routes are registered. Raises `ValueError` and `SignatureError`.
        """
        self._ready()
        if self._parents:
            raise ValueError(
                "this router is included in another, whose hooks would not run: call http() there"
            )
        routes = {n: r for n, r in self._routes.items() if not is_reserved(n)}
        beat = min(BEAT, self._limits.idle_timeout / 3)
        bounds = HttpBounds(body=self._limits.max_message_bytes, beat=beat)
        return http_routes(routes, self, prefix, self._authenticator.hook is not None, bounds)

    def _end_with(self, router: Router) -> None:
        """Close the hub in the application's shutdown, behind all that its own does."""
        inner = router.lifespan_context

        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[Any]:
            self._drain.begin()
            try:
                async with inner(app) as state:
                    yield state
            finally:
                self._drain.end()
                await self.aclose()

        router.lifespan_context = lifespan

    @overload
    def __call__(self, websocket: WebSocket, /) -> Coroutine[Any, Any, None]: ...
    @overload
    def __call__(
        self, scope: Scope, receive: Receive, send: Send, /
    ) -> Coroutine[Any, Any, None]: ...
    @mark_coroutine_function
    def __call__(self, websocket: Any, receive: Any = None, send: Any = None) -> Any:
        """Serve one socket, until its peer is gone or it is closed.

        As `await router(ws)` in an endpoint, and as an ASGI application.
        """
        if isinstance(websocket, WebSocket):
            ws = websocket
            return Serving(lambda: self._serve(ws, ws._receive, ws._send), ws.scope)
        scope = websocket
        if scope["type"] != "websocket":
            return _not_a_socket(scope, receive, send)
        return self._serve(WebSocket(scope, receive, send), receive, send)

    async def _serve(self, ws: WebSocket, receive: Any, send: Any) -> None:
        self._ready()
        self._drain.arm()  # where no lifespan is ours, by now
        if self._drain.draining:
            await refuse_for_now(ws, RETRY_AFTER)
            return
        async with self._gate.admitted(ws) as accepted:
            if accepted:
                shell = Shell(
                    ws,
                    receive,
                    send,
                    self._routes,
                    self._dispatcher,
                    self._limits,
                    self._budget,
                    self._authenticator,
                    self.connections,
                    self._topics.leave,
                    lane_of(ws.scope, receive, send),
                )
                with self._drain.holding(shell):
                    await shell.serve()

    def _ready(self) -> None:
        """Compile what waited for its annotations."""
        if self._unready:
            for route in self._routes.values():
                route.resolve()
            try:
                self._authenticator.resolve()
            except Unresolved as error:
                raise SignatureError(f"authenticate: {error}") from error
            self._unready = False

    def __getattr__(self, name: str) -> Any:
        if name in ("routes", "_contains_router", "_get_routes_version"):
            # For `include_router`. An AttributeError, since Starlette's Mount may do without.
            raise AttributeError(
                "a SocketRouter is no APIRouter: use router.mount(app, '/ws'), or "
                "app.include_router(router.api_router('/ws'))"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _register(made: Iterable[tuple[SocketRouter, Route]]) -> None:
    """Give each router its route; none gets any where one cannot be."""
    routes: dict[tuple[SocketRouter, str], Route] = {}
    for router, route in made:
        key = router, route.definition.name
        if key in routes:
            raise ValueError(f"route {route.definition.name!r} is already registered")
        routes[key] = route
    for (router, name), route in routes.items():
        router._routes[name] = route
        router._unready = True


def _within(
    definition: Definition, prefix: str, options: RouteOptions, ordered: bool | None = None
) -> Definition:
    return dataclasses.replace(
        definition,
        name=prefix + definition.name,
        options=(options, *definition.options) if options else definition.options,
        ordered=ordered if definition.ordered is None else definition.ordered,
    )


def _under(definition: TopicDefinition, prefix: str) -> TopicDefinition:
    return dataclasses.replace(definition, pattern=prefix + definition.pattern)


def _locals_of_caller() -> Mapping[str, Any]:
    """The locals around the decorated function, for annotations that name them."""
    frame = sys._getframe(2)
    return {} if frame.f_locals is frame.f_globals else dict(frame.f_locals)


async def _not_a_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """What an ASGI server asks of a bare router besides sockets."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    response = PlainTextResponse(
        "this address speaks WebSocket\n", 426, {"Upgrade": "websocket", "Connection": "Upgrade"}
    )
    await response(scope, receive, send)


restore_add_websocket_route()
