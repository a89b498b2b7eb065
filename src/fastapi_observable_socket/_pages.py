"""
Pages beside the socket, over plain HTTP: its console, and its contract in each notation.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, params
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Router

from ._contract import Contract, Contracts
from ._errors import SignatureError
from ._log import failure
from ._schemas import ContractError
from ._typescript import typescript
from .console import page

JSON = "application/json"

PLAIN: Mapping[str, str] = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}

DOCUMENTS: Mapping[str, tuple[str, Callable[[Contract], str]]] = {
    "contract.json": (JSON, lambda contract: _as_json(contract.as_json())),
    "asyncapi.json": (JSON, lambda contract: _as_json(contract.as_asyncapi())),
    "routes.ts": ("text/plain; charset=utf-8", lambda contract: typescript(contract.as_json())),
}
"""What stands beside the console, by its name: its kind, and how it is written."""

WHAT_IT_IS = (
    "A WebSocket. Opened in a browser, this address shows its console: every route and topic, "
    "with a form to try it."
)


class Pages:
    """Those of one router. `docs`: whether they are there; None for where the app's own are."""

    def __init__(self, contracts: Contracts, docs: bool | None) -> None:
        self._contracts = contracts
        self._docs = docs
        self._written: dict[str, tuple[Any, str]] = {}

    def add(
        self,
        router: Router,
        path: str,
        guards: Sequence[params.Depends] = (),
        address: str = "",
    ) -> None:
        """Serve them at `path` and below it. `address` is that path, where nothing can come before
        it, for a link from the app's own documentation. Raises `TypeError` for guards without
        FastAPI."""
        if self._docs is False:
            return
        below, slash = path.rstrip("/"), "/" if path.endswith("/") else ""
        if not isinstance(router, APIRouter):
            if guards:
                raise TypeError("docs_dependencies need a FastAPI app or an APIRouter")
            router.add_route(path, self.console, methods=["GET"], include_in_schema=False)
            for name in DOCUMENTS:
                router.add_route(
                    f"{below}/{name}", self._endpoint(name, slash), include_in_schema=False
                )
            return
        router.add_api_route(
            path,
            self.console,
            methods=["GET"],
            dependencies=guards,
            summary=self._contracts.title or "WebSocket",
            response_class=HTMLResponse,
            description=WHAT_IT_IS + (f"\n\n[Open the console](.{address})" if address else ""),
            tags=["WebSocket"],
        )
        for name in DOCUMENTS:
            router.add_api_route(
                f"{below}/{name}",
                self._endpoint(name, slash),
                dependencies=guards,
                include_in_schema=False,
                response_model=None,
            )

    # Without `async`: a contract takes its time, and is made in a thread.

    def console(self, request: Request) -> Response:
        """The page."""
        self._check_shown(request)
        body, headers = page()
        return answered(request, body, headers)

    def _endpoint(self, name: str, slash: str) -> Callable[[Request], Response]:
        """The document of that name; `slash` is what the socket's own path ends with."""
        kind, write = DOCUMENTS[name]

        def document(request: Request) -> Response:
            self._check_shown(request)
            path = request.url.path.removesuffix("/" + name) + slash or "/"
            try:
                text = self._text(name, path, request.scope.get("app"), write)
            except (ContractError, SignatureError) as error:
                failure("there is no contract", error)
                return JSONResponse({"message": str(error)}, 500)
            body = text.encode()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            return answered(request, body, {"Content-Type": kind, "ETag": etag, **PLAIN})

        return document

    def _text(self, name: str, path: str, app: Any, write: Callable[[Contract], str]) -> str:
        same = self._contracts.size, path, id(app)
        before = self._written.get(name)
        if before is None or before[0] != same:
            before = self._written[name] = same, write(self._contracts.of(path, app))
        return before[1]

    def _check_shown(self, request: Request) -> None:
        app = request.scope.get("app")
        if self._docs is None and not getattr(app, "openapi_url", None):
            raise HTTPException(404)


def answered(request: Request, body: bytes, headers: Mapping[str, str]) -> Response:
    """`body`, or that the client has it already, by the `ETag` among the headers."""
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers)


def _as_json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
