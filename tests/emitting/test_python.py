"""The Python of a contract: routes with the application's own types."""

import collections
import enum
import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Annotated, Any, List, Literal, NewType, Optional, TypeVar  # noqa: UP035

import pytest
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket._python import _Names, python
from fastapi_observable_socket.client import Route, StreamRoute, TopicRoute
from fastapi_observable_socket.contract import contract_of

Number = NewType("Number", int)
Some = TypeVar("Some")


class Colour(enum.Enum):
    RED = "red"


class Outer:
    class Inner(BaseModel):
        x: int


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (None, "None"),
        (Any, "Any"),
        (int, "int"),
        (list[int], "list[int]"),
        (List[int], "list[int]"),  # noqa: UP006
        (tuple[int, ...], "tuple[int, ...]"),
        (tuple[()], "tuple[()]"),
        (Optional[int], "int | None"),  # noqa: UP045
        (None | int | str, "int | str | None"),
        (Annotated[int, Field(gt=0)], "int"),
        (Mapping[str, list[None]], "Mapping[str, list[None]]"),
        (collections.OrderedDict[str, int], "OrderedDict[str, int]"),
        (Literal["a", '"', 1, None, Colour.RED], 'Literal["a", "\\"", 1, None, Colour.RED]'),
        (Outer.Inner, "Outer.Inner"),
        (Number, "Number"),
        (Some, "Any"),
        ("Unresolved", "Any"),
    ],
)
def test_each_type_is_written_as_people_do(annotation: Any, text: str):
    assert _Names().type_of(annotation) == text


def test_what_has_no_name_to_be_imported_by_is_any():
    class Local(BaseModel):
        x: int

    names = _Names()
    assert names.type_of(Local) == "Any"
    assert names.type_of(dict[str, Local]) == "dict[str, Any]"
    assert list(names.imports()) == ["from typing import Any"]


def test_names_of_two_modules_are_told_apart_and_none_hides_a_builtin():
    names = _Names()
    assert names.type_of(pathlib.PurePath) == "PurePath"
    assert names.imported("elsewhere", "PurePath") == "PurePath2"
    assert names.new("list") == "list_"
    assert names.new("list") == "list2"
    assert names.new("class") == "class_"
    assert "from elsewhere import PurePath as PurePath2" in list(names.imports())


def executed(router: SocketRouter) -> dict[str, Any]:
    made: dict[str, Any] = {}
    exec(compile(python(contract_of(router)), "routes.py", "exec"), made)
    return made


def test_what_is_made_of_the_hardest_models_can_be_imported_and_has_their_types(
    torture: ModuleType,
):
    made = executed(torture.router())
    assert isinstance(made["stream"], StreamRoute)
    assert made["both_owner"].takes.validate_python({}) == torture.Owner()
    assert made["both_pages"].gives.validate_python({"items": []}).items == []
    routes = [each for each in made.values() if isinstance(each, Route | StreamRoute)]
    assert len(routes) == len(contract_of(torture.router()).as_json()["routes"])
    for each in routes:
        assert isinstance(each.takes, TypeAdapter)
    keys = made["keys"].takes
    assert keys.validate_python({"first": 1, "pet": {"kind": "cat"}}) == {
        "first": 1,
        "pet": torture.Cat(),
    }


def test_odd_names_and_words_are_harmless():
    router = SocketRouter(title='"""\\', version="\x00")

    @router.route("1/ü-\"'\n", summary='ends in """" and "')
    async def odd(payload: Annotated[int | None, Field()] = 1) -> None: ...

    @router.route("import")
    async def word() -> None: ...

    @router.route("/")
    async def nothing(a: int, b: "list[int] | None" = None) -> Literal["\u2028"]:
        return "\u2028"

    made = executed(router)
    assert made["_1_ü"].name == "1/ü-\"'\n"
    assert made["import_"].name == "import"
    assert made["route"].gives.validate_json('"\\u2028"') == "\u2028"
    assert set(made["RoutePayload"].__annotations__) == {"a", "b"}
    assert made["__doc__"] == 'The routes of """\\ \x00.'


@pytest.mark.parametrize(
    ("name", "constant"),
    [
        ("²x", "_2x"),
        ("1a", "_1a"),
        ("class", "class_"),
        ("ﬁ", "fi"),
        ("٣", "_٣"),
        ("None", "None_"),
    ],
)
def test_a_name_becomes_one_that_python_takes(name: str, constant: str):
    router = SocketRouter()

    @router.route(name)
    async def several(a: int, b: int) -> None: ...

    assert executed(router)[constant].name == name


def test_of_two_names_that_are_one_to_python_the_plain_one_stays():
    """Whatever else comes: it is imported by that name."""
    router = SocketRouter()
    for name in ("a/b", "a_b", "a.b", "Route"):
        router.route(name)(movies)
    router.topic("a/b")(allowed)
    router.topic("a_b")(allowed)
    made = executed(router)
    names = {key: each.name for key, each in made.items() if isinstance(each, Route | TopicRoute)}
    assert names == {
        "Route": "Route",
        "a_b": "a_b",
        "a_b2": "a.b",
        "a_b3": "a/b",
        "topic_a_b": "a_b",
        "topic_a_b2": "a/b",
    }


def allowed() -> bool:
    return True


def test_a_typed_dict_serves_as_well():
    router = SocketRouter()
    router.route("movies")(movies)
    assert "Route[Movie, list[Movie]]" in python(contract_of(router))
    assert executed(router)["movies"].takes.validate_python({"name": "M"}) == {"name": "M"}


class Movie(TypedDict):
    name: str


async def movies(payload: Movie) -> list[Movie]:
    return [payload]
