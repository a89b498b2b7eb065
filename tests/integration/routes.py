"""
The routes that the battery of bad input calls: good ones, and every way to be a bad one.
"""

import asyncio
import decimal
import sys
from typing import Any

from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from fastapi_observable_socket import Reply, SocketRouter

from .serving import Stage


class Unspeakable(Exception):
    """Fails once more when it is asked what failed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Aloof(BaseException):
    """Not an `Exception`, so `except Exception` lets it pass."""


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


RESULTS: dict[str, Any] = {
    "nan": float("nan"),
    "infinity": [1.0, float("-inf")],
    "nan-in-tuple": {"a": (None, float("nan"))},
    "set-of-objects": {object()},
    "object": object(),
    "function": len,
    "circular": circular(),
    "deep": nested(129),
    "abyss": nested(100_000),
    "bytes-not-utf8": {"a": b"\xff\xfe"},
    "status-bool": Reply(1, status=True),
    "status-text": Reply(1, status="200"),  # type: ignore[arg-type]
    "status-float": Reply(1, status=200.0),  # type: ignore[arg-type]
    "status-700": Reply(1, status=700),
    "status-99": Reply(1, status=99),
    "status-0": {"status": 0, "payload": 1},
    "status-negative": {"status": -200, "payload": 1},
    "status-true-in-dict": {"status": True, "payload": 1},
    "status-text-in-dict": {"status": "200", "payload": 1},
    "headers-list": Reply(1, headers=[]),  # type: ignore[arg-type]
    "headers-pairs": {"status": 200, "headers": [("a", "b")], "payload": 1},
    "headers-text": {"status": 200, "headers": "a: b"},
    "headers-nan": Reply(1, headers={"a": float("nan")}),
    "headers-object": Reply(1, headers={"a": object()}),
    "headers-circular": Reply(1, headers={"a": circular()}),
    "too-large": "x" * (1 << 20),
    "too-large-utf8": "é" * (1 << 19),
    "none": None,
    "no-envelope": {"status": "active"},
    "empty-dict": {},
    "only-status": {"status": 204},
    "lone-surrogate": {"a\udc00": ["\ud800"]},
    "surrogate-headers": Reply(1, headers={"\udfff": "\ud800"}),
    "unicode": "\x00\x1f\u2028\ufeff\U0001f600é",
    "odd-keys": {1: "int", None: "null"},
    "decimal": decimal.Decimal("0.1"),
    "huge-integer": 2**70,
    "deepest": nested(100),
}

EXCEPTIONS: dict[str, BaseException | type[BaseException]] = {
    "value-error": ValueError("secret"),
    "unspeakable": Unspeakable,
    "aloof": Aloof,
    "system-exit": SystemExit,
    "generator-exit": GeneratorExit,
    "stop-iteration": StopIteration,
    "stop-async-iteration": StopAsyncIteration,
    "cancelled": asyncio.CancelledError,
    "timeout": TimeoutError,
    "memory": MemoryError,
    "recursion": RecursionError,
    "connection": ConnectionResetError,
    "group": BaseExceptionGroup("several", [ValueError(), Aloof()]),
    "surrogate": ValueError("\ud800\r\n\x1b[31m"),
    "http-600": HTTPException(600, "no such status"),  # type: ignore[arg-type]
}

UNSERIALISABLE_EXCEPTIONS: dict[str, BaseException] = {
    "http-nan": HTTPException(418, float("nan")),  # type: ignore[arg-type]
    "http-object": HTTPException(418, object()),  # type: ignore[arg-type]
    "http-headers": HTTPException(418, "a", {"a": object()}),  # type: ignore[dict-item]
}


def build(stage: Stage) -> SocketRouter:
    router = SocketRouter(max_response_bytes=1 << 20, ordered=False)

    @router.route("echo")
    async def echo(payload: Any) -> Reply:
        return Reply(payload)

    @router.route("héllo/☃")
    async def unicode_name(payload: Any) -> Reply:
        return Reply(payload)

    @router.route("r" * 256)
    async def longest_name() -> Reply:
        return Reply("long")

    @router.route("headers")
    async def headers(headers: dict[str, Any]) -> Reply:
        return Reply(headers)

    @router.route("nothing")
    async def nothing() -> Reply:
        return Reply("nothing")

    @router.route("sum")
    async def add(payload: list[int]) -> int:
        return sum(payload)

    @router.route("keys")
    async def keys(a: int, b: int) -> int:
        return a + b

    @router.route("triple")
    async def triple(_: WebSocket, headers: Any, payload: Any) -> Reply:
        return Reply([headers, payload])

    @router.route("sync")
    def sync(payload: Any) -> Reply:
        return Reply(payload)

    @router.route("wait")
    async def wait(payload: Any) -> Reply:
        await stage.behind(payload)
        return Reply(payload)

    @router.route("release")
    async def release(payload: Any) -> Reply:
        stage.door(payload).set()
        return Reply(payload)

    @router.route("result")
    async def result(payload: str):  # type: ignore[no-untyped-def]
        return RESULTS[payload]

    @router.route("sync-result")
    def sync_result(payload: str):  # type: ignore[no-untyped-def]
        return RESULTS[payload]

    @router.route("raise")
    async def fail(payload: str) -> Reply:
        raise (EXCEPTIONS | UNSERIALISABLE_EXCEPTIONS)[payload]

    @router.route("raise-late")
    async def fail_late(payload: str) -> Reply:
        await asyncio.sleep(0)
        raise (EXCEPTIONS | UNSERIALISABLE_EXCEPTIONS)[payload]

    @router.route("raise-sync")
    def fail_sync(payload: str) -> Reply:
        raise (EXCEPTIONS | UNSERIALISABLE_EXCEPTIONS)[payload]

    @router.route("exit")
    async def leave() -> None:
        sys.exit("as a script would")

    @router.route("teapot")
    async def teapot() -> None:
        raise HTTPException(418, {"short": "stout"}, {"x-pot": "tea"})

    @router.route("recurse")
    async def recurse() -> Any:
        return await recurse()

    @router.route("typed-result")
    async def typed_result() -> list[int]:
        return ["no number"]  # type: ignore[list-item]

    def handler() -> Reply:
        stage.seen["handler"] += 1
        return Reply("never")

    def refuse(*_: Any) -> bool:
        return False

    async def refuse_later(*_: Any) -> bool:
        await asyncio.sleep(0)
        return False

    def explode(*_: Any) -> bool:
        raise ValueError("secret")

    async def leave_hook(*_: Any) -> bool:
        raise SystemExit

    for kind in ("data_check", "access"):
        for hook in (refuse, refuse_later, explode, leave_hook):
            router.route(f"{kind}/{hook.__name__}", {kind: hook})(handler)  # type: ignore[misc]
    for kind in ("hydrate", "dehydrate"):

        async def through(payload: Any) -> Reply:
            return Reply(payload)

        for hook in (explode, leave_hook):
            router.route(f"{kind}/{hook.__name__}", {kind: hook})(through)  # type: ignore[misc]

    router.route("dehydrate/nan", {"dehydrate": lambda _: float("nan")})(through)
    return router
