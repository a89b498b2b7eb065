"""Decorators keep the handler's type; hooks and results are typed. Never run."""

import functools
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, assert_type

from fastapi import Body, Depends, Header, Security
from pydantic import BaseModel
from starlette.websockets import WebSocket

from fastapi_observable_socket import (
    AccessCheck,
    Cached,
    CloseCode,
    DataCheck,
    DehydrateFunction,
    Handler,
    HandlerResult,
    HydrateFunction,
    MessageData,
    MessageHeader,
    Payload,
    PerConnection,
    Reply,
    RouteOptions,
    SignatureError,
    SocketAccess,
    SocketRouter,
    Status,
)
from fastapi_observable_socket import Header as Headers

router = SocketRouter()


class Item(BaseModel):
    name: str


async def session() -> str:
    return "session"


# --- handlers keep their types


@router.route("typed")
async def typed(payload: Item, db: Annotated[str, Depends(session)]) -> Item:
    return payload


@router.route("plain")
def plain(ws: WebSocket, headers: Headers, payload: Payload) -> HandlerResult:
    return {"status": Status.OK, "payload": payload}


@router.route("many")
async def many(
    item: Annotated[Item, Cached()],
    payload: Annotated[Item, Body()],
    trace: Annotated[str, MessageHeader("x-trace")],
    user: Annotated[str, PerConnection(session)],
    token: Annotated[str, Security(session, scopes=["a"])],
    tenant: Annotated[str, Header()] = "none",
) -> Item | Reply:
    return Reply(item, status=Status.CREATED, headers={"etag": trace})


async def use() -> None:
    assert_type(await typed(Item(name="x"), "db"), Item)
    assert_type(await typed(payload=Item(name="x"), db="db"), Item)
    await typed(1, "db")  # type: ignore[arg-type]
    await typed()  # type: ignore[call-arg]


router.route("lambda")(lambda payload: payload)
kept: Callable[[Item, str], Awaitable[Item]] = router.route("kept")(typed)


class Handlers:
    async def method(self, payload: int) -> int:
        return payload

    def __call__(self, payload: int) -> int:
        return payload


router.route("method")(Handlers().method)
assert_type(router.route("object")(Handlers()), Handlers)
router.route("partial")(functools.partial(plain))
router.route("twice")(router.route("once")(typed))

router.route("not callable")(3)  # type: ignore[type-var]
router.route()  # type: ignore[call-arg]
router.route(typed)  # type: ignore[arg-type]


# --- options


async def check(message: MessageData) -> bool:
    assert_type(message.headers, dict[str, Any])
    return "id" in message.headers


def check_with_local(message: MessageData, local: dict[str, Any]) -> bool:
    local["id"] = message.get("headers")
    return True


async def access(ws: WebSocket, message: MessageData, local: dict[str, Any]) -> bool:
    return bool(ws.headers)


async def hydrate(ws: WebSocket, message: MessageData) -> Item:
    return Item(name=message["payload"])


def dehydrate(payload: Item) -> str:
    return payload.name


options: RouteOptions = {
    "data_check": check,
    "access": access,
    "hydrate": hydrate,
    "dehydrate": dehydrate,
}
router.route("options", options)
router.route("options", options={"data_check": check_with_local, "access": None})
router.route("options", {"access": lambda ws, message: True}, ordered=True, timeout=1, shield=True)
SocketRouter(options={"access": access}, prefix="v1/")
router.include(SocketRouter(), "prefix/", options)

router.route("unknown", {"acces": access})  # type: ignore[arg-type]
router.route("wrong", {"access": 3})  # type: ignore[arg-type]


async def says_a_word(message: MessageData) -> str:
    return "yes"


router.route("wrong", {"data_check": says_a_word})  # type: ignore[arg-type]

data_check: DataCheck = check
access_check: AccessCheck = access
hydrate_function: HydrateFunction = hydrate
dehydrate_function: DehydrateFunction = dehydrate
handler: Handler = typed


# --- results


complete: HandlerResult = {"status": 200, "headers": {"a": 1}, "payload": None}
partial: HandlerResult = {"status": None}
wrong_status: HandlerResult = {"status": "200"}  # type: ignore[typeddict-item]
wrong_key: HandlerResult = {"state": 200}  # type: ignore[typeddict-unknown-key]

Reply()
Reply(1, 200, {"a": 1})
Reply(status="200")  # type: ignore[arg-type]


# --- the router


async def access_logic(ws: WebSocket) -> bool:
    return True


def plain_access_logic(ws: WebSocket) -> bool | Awaitable[bool]:
    return True


socket_access: SocketAccess = access_logic
SocketRouter(access_logic)
SocketRouter(plain_access_logic, allowed_origins=["https://app.example"], deny="http")
SocketRouter(lambda ws: ws.headers["x"] == "y", ordered=False, overflow="reject")
SocketRouter(deny="never")  # type: ignore[arg-type]
SocketRouter(overflow="drop")  # type: ignore[arg-type]
SocketRouter(access_logic, "prefix/")  # type: ignore[call-arg]

status: int = Status.OK
assert_type(CloseCode(1008), CloseCode)
not_an_answer: type[Exception] = SignatureError
