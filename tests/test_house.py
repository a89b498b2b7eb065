"""The order of imports, the front door, and what the wheel brings."""

import ast
import os
from importlib.metadata import files, requires, version
from pathlib import Path

import pytest

import fastapi_observable_socket

PACKAGE = Path(fastapi_observable_socket.__file__).parent

ORDER = [
    "_status",
    "_errors",
    "_wire",
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
    "_signature",
    "_depends",
    "_plan",
    "_results",
    "_compile",
    "_route",
    "_dispatch",
    "_compat",
    "_closing",
    "_clocks",
    "_identity",
    "_connection",
    "_gate",
    "_router",
    "_ledger",
    "_line",
    "_life",
    "_asked",
    "_asking",
    "_greeting",
    "_items",
    "_desk",
    "_socket",
    "_blocking",
    "_typed",
    "_shown",
    "__init__",
]
"""Each room imports only rooms above it in this list."""

DOORS = {"client", "testing", "pytest_plugin", "__main__"}
"""Import rooms; no room imports them."""

WITHOUT_A_LOOP = {"_status", "_errors", "_wire", "_session", "_ledger"}
"""Rooms that need no event loop and no web framework."""


def imports(file: Path) -> set[str]:
    """The modules that a file imports, ours with a leading dot."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            found.add(dots + (node.module or ""))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_every_file_has_its_place():
    names = {file.stem for file in PACKAGE.glob("*.py")}
    assert names == {*ORDER, *DOORS}


@pytest.mark.parametrize("room", ORDER)
def test_imports_point_one_way(room):
    ours = {name[1:] for name in imports(PACKAGE / f"{room}.py") if name.startswith(".")}
    assert ours <= set(ORDER[: ORDER.index(room)])


@pytest.mark.parametrize("room", sorted(WITHOUT_A_LOOP))
def test_the_rules_need_no_event_loop(room):
    roots = {name.split(".")[0] for name in imports(PACKAGE / f"{room}.py")}
    assert not roots & {"asyncio", "anyio", "fastapi", "starlette"}


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
