"""What is declared and written down, as type checkers see it. Never run."""

from typing import Any, assert_type

from fastapi import HTTPException
from pydantic import BaseModel

from fastapi_observable_socket import Connection, Progress, SocketRouter
from fastapi_observable_socket.client import Contract as Told
from fastapi_observable_socket.client import connect
from fastapi_observable_socket.contract import Change, Contract, compare, contract_of, sockets_of


class NotFound(BaseModel):
    id: int


router = SocketRouter(title="Newsroom", version="2.1", description="Live.")
SocketRouter(version=2)  # type: ignore[arg-type]


@router.route(
    "read",
    summary="Read",
    description="More.",
    tags=["a"],
    deprecated=True,
    idempotent=True,
    responses={404: NotFound, 409: {"description": "Taken"}},
)
async def read(payload: int, progress: Progress[int]) -> str:
    await progress(1)
    await progress("1")  # type: ignore[arg-type]
    raise HTTPException(404, NotFound(id=payload))


@router.route("untyped")
async def untyped(payload: int, progress: Progress) -> None:
    await progress({"any": "thing"})


@router.topic("orders/{order}", tags=("a",), responses={404: NotFound})
async def orders(order: int) -> bool:
    return True


router.topic("t", idempotent=True)  # type: ignore[call-arg]
router.pushes("news", list[NotFound], summary="News")
router.calls("confirm", payload=NotFound, result=bool | None)
router.calls("confirm", NotFound)  # type: ignore[call-arg]


async def use(connection: Connection, app: Any) -> None:
    await connection.push("news", [])
    contract = contract_of(app, "/ws")
    assert_type(contract, Contract)
    assert_type(contract.as_json(), dict[str, Any])
    assert_type(compare(contract.as_json(), contract.as_json()), list[Change])
    assert_type(sockets_of(app), dict[str, SocketRouter])
    async with connect("ws://localhost", contract={"version": "2.1"}) as socket:
        assert socket.session is not None
        assert_type(socket.session.contract, Told)
        assert_type(socket.session.contract.compatible, bool | None)
