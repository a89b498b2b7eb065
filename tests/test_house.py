"""The order of imports, the front door, and what the wheel brings."""

import ast
import os
from importlib.metadata import files, requires, version
from pathlib import Path

import pytest

import fastapi_observable_socket

PACKAGE = Path(fastapi_observable_socket.__file__).parent

ORDER = [
    "backends._backend",
    "_status",
    "_errors",
    "_wire",
    "_fit",
    "_signature",
    "_declared",
    "_session",
    "_outbox",
    "_log",
    "_threads",
    "_turn",
    "_flow",
    "_handle",
    "_call",
    "_calls",
    "_stream",
    "_depends",
    "_plan",
    "_results",
    "_compile",
    "_route",
    "_dispatch",
    "_compat",
    "_channel",
    "_hub",
    "_people",
    "_user",
    "_topic",
    "_attendance",
    "_topics",
    "_subscribe",
    "_presence",
    "_publisher",
    "_arrival",
    "_lane",
    "_closing",
    "_clocks",
    "_greeting",
    "_identity",
    "_connection",
    "_gate",
    "console",
    "_signals",
    "_drain",
    "_loopback",
    "_http_answers",
    "_http",
    "backends.memory",
    "_schemas",
    "_asyncapi",
    "_contract",
    "_ts_type",
    "_typescript",
    "_pages",
    "_router",
    "_framing",
    "_joined",
    "_uvicorn",
    "uvicorn",
    "_subset",
    "_changes",
    "contract",
    "backends",
    "backends._redis_link",
    "backends._redis_scripts",
    "backends._redis_presence",
    "backends.redis",
    "backends.contract",
    "client._ledger",
    "client._line",
    "client._life",
    "client._asked",
    "client._asking",
    "client._greeting",
    "client._items",
    "client._routes",
    "client._leaving",
    "client._subscription",
    "client._topics",
    "client._events",
    "client._desk",
    "client._following",
    "client._socket",
    "client._bridge",
    "client._blocking_items",
    "client._blocking",
    "client",
    "_followed",
    "_python",
    "_typed",
    "_shown",
    "_watch",
    "_made",
    "_contracts",
    "_serve",
    "__init__",
]
"""Each room imports only rooms above it in this list."""

DOORS = {"testing", "pytest_plugin", "__main__"}
"""Import rooms; no room imports them."""

WITHOUT_A_LOOP = {
    *("_status", "_errors", "_wire", "_session", "_framing"),
    *("client._ledger", "console"),
}
"""Rooms that need no event loop and no web framework."""


def name_of(file: Path) -> str:
    """A room's name: `_wire`, `client._line`; a folder's own is that of the folder."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for file in PACKAGE.rglob("*.py")}


def imports(file: Path) -> tuple[set[str], set[str]]:
    """The rooms that a file imports, and the roots of whatever else it does."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = file.relative_to(PACKAGE).parts[: -node.level]
            ours.add(".".join([*folder, *filter(None, [node.module])]))
        elif isinstance(node, ast.ImportFrom):
            others.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
    return ours, others


def test_every_file_has_its_place():
    assert FILES.keys() == {*ORDER, *DOORS}


@pytest.mark.parametrize("room", ORDER)
def test_imports_point_one_way(room):
    assert imports(FILES[room])[0] <= set(ORDER[: ORDER.index(room)])


@pytest.mark.parametrize("room", sorted(WITHOUT_A_LOOP))
def test_the_rules_need_no_event_loop(room):
    assert not imports(FILES[room])[1] & {"asyncio", "anyio", "fastapi", "starlette"}


def test_the_front_door_names_everything_once():
    names = fastapi_observable_socket.__all__
    assert sorted(names) == sorted(set(names))
    assert all(hasattr(fastapi_observable_socket, name) for name in names)


def test_the_seeds_names_are_there():
    from fastapi_observable_socket import (  # noqa: F401
        AccessCheck,
        DehydrateFunction,
        Handler,
        HandlerResult,
        Header,
        HydrateFunction,
        MessageData,
        Payload,
        Request,
        Response,
        RouteOptions,
        SocketAccess,
        SocketRouter,
        Status,
    )


def test_the_core_needs_three_packages():
    core = {r.split(">")[0] for r in requires("fastapi-observable-socket") if "extra" not in r}
    assert core == {"fastapi", "pydantic", "msgspec"}


def test_the_version_is_one():
    assert version("fastapi-observable-socket") == fastapi_observable_socket.__version__


@pytest.mark.skipif("FOS_INSTALLED" not in os.environ, reason="only where the wheel is installed")
def test_the_wheel_is_what_is_tested():
    assert "site-packages" in PACKAGE.parts
    names = {file.name for file in files("fastapi-observable-socket")}
    assert {"py.typed", "LICENSE"} <= names
