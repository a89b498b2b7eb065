"""
Who is at the other end: `$hello`, `$auth`, and how long it holds.

Asks the router's `authenticate` hook and says what is answered; a session that has ended, or
that nobody began in time, is told to the connection.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException, WebSocketException

from ._call import Call, Shared
from ._compile import compiled_authenticate
from ._errors import (
    BadRequest,
    Duplicate,
    Forbidden,
    RequestFailed,
    Unauthorized,
    Unavailable,
)
from ._greeting import Greeting
from ._handle import name_of
from ._log import failure
from ._session import refusal_of
from ._signature import Unresolved
from ._status import CloseCode, Status
from ._wire import BadFrame, Frame, Response, encode, refusal


@dataclass(frozen=True, slots=True)
class Authenticated:
    """What `authenticate` may return instead of the user alone.

    `expires_in`: seconds until the session ends, unless the client renews it.
    """

    user: Any
    expires_in: float | None = None

    def __post_init__(self) -> None:
        seconds = self.expires_in
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, int | float)
        ):
            raise TypeError(f"expires_in is a number of seconds, not {seconds!r}")


Authenticate = Callable[..., Any]
"""`(token[, ws])` and dependencies: the user, an `Authenticated`, or None for nobody. It may
raise `HTTPException`."""


class Authenticator:
    """The router's part: how a token becomes a user, and a user a name.

    Raises `SignatureError` for a hook that can never be called.
    """

    def __init__(
        self,
        authenticate: Authenticate | None,
        identify: Callable[[Any], Any] | None,
        allow_anonymous: bool,
        timeout: float,
        greeting: Greeting,
    ) -> None:
        for name, hook in (("authenticate", authenticate), ("identify", identify)):
            if hook is not None and not callable(hook):
                raise TypeError(f"{name} is a function, not {hook!r}")
        self.hook = authenticate
        self.timeout = timeout
        self.greeting = greeting
        """What every `$hello` is answered."""
        self.needs_token = authenticate is not None and not allow_anonymous
        self._identify = identify or identity_of
        self._compiled: Any = None
        try:
            self.resolve()
        except Unresolved:
            pass

    def resolve(self) -> None:
        """Compile the hook, at the latest now."""
        if self.hook is not None and self._compiled is None:
            self._compiled = compiled_authenticate(self.hook, {})

    async def user_of(
        self, token: str, frame: Frame, shared: Shared
    ) -> tuple[Authenticated, str | None]:
        """Who brings this token, and by what name. Raises what refuses it, or says that nobody
        can tell."""
        assert self.hook is not None
        overrides = getattr(shared.app, "dependency_overrides", None)
        hook, slots = compiled_authenticate(self.hook, overrides) if overrides else self._compiled
        call = Call(frame, shared, None)
        call.values = [None] * slots
        call.outgoing = token
        try:
            async with asyncio.timeout(self.timeout):
                found = await hook(call)
                if not isinstance(found, Authenticated):
                    found = Authenticated(found)
                # False too: it is how hooks say no.
                if found.user is None or found.user is False:
                    raise Unauthorized("the token is not good")
                name = self.name_of(found.user)
                await _closed(call)
                return found, name
        except BaseException as error:
            raise await _refused(error, call) from None

    def name_of(self, user: Any) -> str | None:
        """What a user is found by; None for nobody, and for one without a name."""
        name = None if user is None else self._identify(user)
        return None if name is None else name_of(name)


async def _closed(call: Call) -> None:
    before, call.inner_stack = call.inner_stack, None
    if before is not None:
        await before.aclose()
    await call.afterwards()


async def _refused(error: BaseException, call: Call) -> BaseException:
    """What `error` of the hook means; its dependencies have seen it, and are closed."""
    before, after = call.inner_stack, call.stack
    call.forget_afterwards()
    try:
        async with after or AsyncExitStack(), before or AsyncExitStack():
            raise error
    except RequestFailed as failed:
        return failed
    except HTTPException as refused:
        return _from_http(refused)
    except WebSocketException as closing:
        if closing.code in (CloseCode.POLICY, CloseCode.NEW_TOKEN, 4403):
            return Forbidden(closing.reason or "access denied")
        return Unavailable(closing.reason or "cannot tell who this is just now")
    except Exception as broken:
        failure("authenticate failed", broken)
        return Unavailable("cannot tell who this is just now")
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            return cancelled
        failure("authenticate awaited what was cancelled", cancelled)
        return Unavailable("cannot tell who this is just now")
    except BaseException as fatal:
        return fatal
    return Unauthorized("the token is not good")


def _from_http(error: HTTPException) -> RequestFailed:
    if error.status_code == Status.FORBIDDEN:
        return Forbidden(str(error.detail))
    if error.status_code >= 500 or error.status_code == Status.TOO_MANY_REQUESTS:
        return Unavailable(str(error.detail))
    return Unauthorized(str(error.detail))


def identity_of(user: Any) -> Any:
    """The identity of a user of the usual kinds: a name or a number itself; `id`, `sub` or
    `username` of an object or a dict; Starlette's `identity`."""
    if isinstance(user, bool):
        return None
    if isinstance(user, str | int):
        return user
    if getattr(user, "is_authenticated", True) is False:
        return None
    for name in ("id", "sub", "username", "identity"):
        try:
            found = user.get(name) if isinstance(user, Mapping) else getattr(user, name, None)
        except NotImplementedError:  # Starlette's users may leave `identity` out
            continue
        if isinstance(found, str | int) or type(found).__name__ == "UUID":
            return found
    return None


class Identity:
    """That of one connection. `close` ends it with a code and a reason."""

    __slots__ = (
        "_authenticator",
        "_close",
        "_due",
        "_greeted",
        "_judging",
        "_logged_in",
        "_shared",
        "_timer",
        "locked",
    )

    def __init__(
        self,
        authenticator: Authenticator,
        shared: Shared,
        close: Callable[[int, str], None],
    ) -> None:
        self._authenticator = authenticator
        self._shared = shared
        self._close = close
        self._greeted = False
        self._logged_in = False
        self._timer: asyncio.TimerHandle | None = None
        self._due: tuple[int, str] | None = None
        self._judging = False
        self.locked = authenticator.needs_token
        """Whether nobody has said yet who is there, where somebody must."""
        scope = shared.ws.scope
        if authenticator.hook is not None:
            scope.setdefault("user", None)
        try:
            shared.connection.user_id = authenticator.name_of(scope.get("user"))
        except Exception as error:
            failure("identify failed", error)
        if self.locked:
            self._end_in(authenticator.timeout, CloseCode.POLICY, "no token came")

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def introduce(self, frame: Frame) -> tuple[str, tuple[int, str] | None]:
        """The answer to `$hello` or `$auth`, and how the socket is closed behind it, if it is."""
        says_hello = frame.route == "$hello"
        try:
            text = await (self._hello(frame) if says_hello else self._auth(frame))
            return text, None
        except BadFrame as bad:
            return refusal_of(bad), None
        except RequestFailed as error:
            return refusal(frame.uuid, error), self._close_behind(error, says_hello)

    def _close_behind(self, error: RequestFailed, says_hello: bool) -> tuple[int, str] | None:
        """How the socket is closed behind this refusal, if it is."""
        if self._judging:
            return None  # what is being judged decides
        due, self._due = self._due, None
        if says_hello and isinstance(error, Unauthorized | Forbidden):
            return CloseCode.POLICY, str(error)
        if says_hello and isinstance(error, Unavailable):
            return CloseCode.TRY_AGAIN_LATER, "try again later"
        return due

    async def _hello(self, frame: Frame) -> str:
        if self._greeted:
            raise Duplicate("$hello was said already")
        said = self._payload(frame)
        if said.get("protocol") != 1 or said["protocol"] is True:
            raise BadRequest("protocol must be 1")
        greeting = {**self._authenticator.greeting.to(said), "session": self._shared.connection.id}
        token = said.get("token")
        if self._authenticator.hook is not None and (token is not None or self.locked):
            greeting["expires_in"] = await self._log_in(token, frame, greeted=True)
        self._greeted = True
        features = said.get("features")
        if isinstance(features, list):
            self._shared.connection.takes_calls = "calls" in features
            self._shared.connection.heeds_drain = "drain" in features
        return _answer(frame, greeting)

    async def _auth(self, frame: Frame) -> str:
        token = self._payload(frame).get("token")
        if self._authenticator.hook is None:
            raise BadRequest("this server asks for no tokens")
        expires_in = await self._log_in(token, frame, self._greeted)
        return _answer(frame, {"expires_in": expires_in})

    async def _log_in(self, token: Any, frame: Frame, greeted: bool) -> float | None:
        """Seconds for which the token is good; None for as long as the connection."""
        if not isinstance(token, str):
            raise Unauthorized("a token is needed" if token is None else "a token must be a string")
        if self._judging:
            raise Duplicate("another token is being looked at")
        self._judging = True
        try:
            found, name = await self._authenticator.user_of(token, frame, self._shared)
            self._check_same(found.user, name)
        finally:
            self._judging = False
        self._due = None
        self._shared.ws.scope["user"] = found.user
        self._shared.connection.user_id = name
        self._logged_in = True
        self.locked = False
        self.stop()
        if found.expires_in is not None:
            code = CloseCode.NEW_TOKEN if greeted else CloseCode.POLICY
            self._end_in(found.expires_in, code, "session expired")
        return found.expires_in

    def _check_same(self, user: Any, name: str | None) -> None:
        """A session is one user's: what is kept for them must not be another's."""
        connection, before = self._shared.connection, self._shared.ws.scope.get("user")
        if connection.closed is not None:
            raise Unauthorized("the socket is closed")
        if connection.user_id is not None:
            same = connection.user_id == name
        else:
            same = not self._logged_in or before == user
        if not same:
            raise Forbidden("the token is another user's")

    def _payload(self, frame: Frame) -> dict[str, Any]:
        said = Call(frame, self._shared, None).payload
        if not isinstance(said, dict):
            raise BadRequest(f"{frame.route} takes an object")
        return said

    def _end_in(self, seconds: float, code: int, reason: str) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0, seconds), self._over, code, reason)

    def _over(self, code: int, reason: str) -> None:
        if self._judging:
            self._due = code, reason  # the token that is being judged decides
        else:
            self._close(code, reason)


def _answer(frame: Frame, payload: dict[str, Any]) -> str:
    return encode(Response(frame.uuid, Status.OK, {}, payload)).decode()
