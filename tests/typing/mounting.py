"""Every way of mounting type-checks. Read by type checkers, never run."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from fastapi_observable_socket import SocketRouter

router = SocketRouter()
app = FastAPI()


def database() -> str:
    return "database"


router.mount(app)
router.mount(app, "/ws")
router.mount(app, "/ws", dependencies=[Depends(database)], name="socket")
router.mount(APIRouter(), "/ws")
router.mount(Starlette(), "/ws")
router.mount(Router(), "/ws")
router.mount("/ws", app)  # type: ignore[arg-type]

app.include_router(router.api_router("/ws"))
app.include_router(router.api_router(dependencies=[Depends(database)]), prefix="/api")
app.include_router(router)  # type: ignore[arg-type]

app.add_api_websocket_route("/ws", router)
app.websocket("/ws")(router)
app.router.add_websocket_route("/ws", router)
app.mount("/ws", router)
Starlette(routes=[WebSocketRoute("/ws", router), Mount("/", app=router)])

as_asgi: ASGIApp = router


@app.websocket("/awaited")
async def awaited(ws: WebSocket, db: Annotated[str, Depends(database)]) -> None:
    ws.scope["db"] = db
    await router(ws)


async def below(scope: Scope, receive: Receive, send: Send) -> None:
    await router(scope, receive, send)


async def wrong(ws: WebSocket, scope: Scope, anything: Any) -> None:
    await router(scope)  # type: ignore[call-overload]
    await router()  # type: ignore[call-overload]
    await router(ws, anything)  # type: ignore[call-overload]
