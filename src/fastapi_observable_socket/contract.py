"""
The contract of a socket: what its routes, topics and pushes take and give.

    from fastapi_observable_socket.contract import compare, contract_of

    contract = contract_of(app)
    contract.as_json(), contract.as_asyncapi(), contract.hash

It is made of what is registered, needs no running server, and is the source of the AsyncAPI
document, of types for clients, and of the check that a change breaks nobody.
"""

from collections.abc import Iterator
from typing import Any

from starlette.routing import Mount

from ._changes import Change, compare
from ._contract import Contract
from ._router import SocketRouter
from ._schemas import ContractError

__all__ = ["Change", "Contract", "ContractError", "compare", "contract_of", "sockets_of"]


def contract_of(app: Any, path: str | None = None) -> Contract:
    """The contract of a `SocketRouter`, or of the one that is mounted in `app` (at `path`, where
    there are several), as it is registered now.

    Raises `LookupError` where there is none, or several to choose from; `ContractError` for
    types that have no JSON Schema, all of them named; `SignatureError` for annotations that are
    still not defined.
    """
    if isinstance(app, SocketRouter):
        return app._contracts.of(path)
    found = sockets_of(app)
    if path is None and len({id(router) for router in found.values()}) == 1:
        path = next(iter(found))
    if path is None and found:
        raise LookupError(f"sockets are at {', '.join(found)}: say which by its path")
    if path is None:
        raise LookupError(
            "no SocketRouter is mounted here; one that an endpoint of your own awaits cannot be "
            "found: give the router itself"
        )
    if path not in found:
        known = ", ".join(found) or "none"
        raise LookupError(f"there is no socket at {path!r}; known are: {known}")
    return found[path]._contracts.of(path, app)


def sockets_of(app: Any) -> dict[str, SocketRouter]:
    """The routers that are mounted in an application, by path, also within what it mounts."""
    return dict(_sockets(app, ""))


def _sockets(app: Any, prefix: str) -> Iterator[tuple[str, SocketRouter]]:
    while not hasattr(app, "routes") and hasattr(app, "app"):
        app = app.app  # a middleware around it
    for route in getattr(app, "routes", None) or ():
        yield from _socket(route, prefix)


def _socket(route: Any, prefix: str) -> Iterator[tuple[str, SocketRouter]]:
    # FastAPI 0.137 and later include by reference.
    included = getattr(route, "original_router", None)
    if included is not None:
        around = getattr(getattr(route, "include_context", None), "prefix", "")
        yield from _sockets(included, prefix + around)
        return
    path = prefix + getattr(route, "path", "")
    endpoint = getattr(route, "endpoint", None)
    if isinstance(endpoint, SocketRouter):
        yield path, endpoint
    elif isinstance(route, Mount):
        if isinstance(route.app, SocketRouter):
            yield path + "/", route.app
        else:
            yield from _sockets(route.app, path)
