"""What changed between two contracts, and whom it breaks."""

import copy
import datetime
import enum
import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal, NotRequired

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypedDict

from fastapi_observable_socket import MessageHeader, SocketRouter
from fastapi_observable_socket.contract import compare, contract_of


def contract(fill: Callable[[SocketRouter], Any], **options: Any) -> dict[str, Any]:
    router = SocketRouter(**options)
    fill(router)
    return contract_of(router).as_json()


def typed(takes: Any, gives: Any) -> dict[str, Any]:
    """A contract of one route."""

    async def handler(payload): ...

    handler.__annotations__ = {"payload": takes, "return": gives}
    return contract(lambda router: router.route("r")(handler))


def told(before: Any, now: Any) -> tuple[list[str], list[str]]:
    """What breaks clients, and what does not, without where."""
    changes = compare(before, now)
    return tuple([c.what for c in changes if c.breaking is b] for b in (True, False))


def model(name: str, **members: Any) -> type[BaseModel]:
    return create_model(name, **members)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


class Closing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int
    b: int = 0


class Ignoring(BaseModel):
    a: int


class Open(Ignoring):
    model_config = ConfigDict(extra="allow")


class Counts(Open):
    __pydantic_extra__: dict[str, int]


class Texts(Open):
    __pydantic_extra__: dict[str, str]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class May(TypedDict):
    a: int
    b: NotRequired[str]


class Must(TypedDict):
    a: int
    b: str


One = model("Item", a=(int, ...))
Two = model("Item", a=(int, ...), b=(str, ...))
Optional = model("Item", a=(int, ...), b=(str, ""))
Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
OlderCat = model("Cat", kind=(Literal["cat"], ...), lives=(str, ...))
OlderPet = Annotated[OlderCat | Dog, Field(discriminator="kind")]

# what was, what is, what breaks who sends it, what breaks who is sent it
TYPES = [
    ("nothing", Pet, Pet, [], []),
    ("another name", One, model("Thing", a=(int, ...)), [], []),
    ("a default", Optional, model("Item", a=(int, ...), b=(str, "x")), [], []),
    ("a needed member", One, Two, ["needs a member 'b' now, which is new"], []),
    ("an optional member", One, Optional, [], []),
    ("a member less", Two, One, [], ["has no member 'b' any more"]),
    ("a member needed", May, Must, ["needs a member 'b' now"], []),
    ("a member optional", Must, May, [], ["may come without a member 'b' now"]),
    (
        "a member no longer taken",
        Closing,
        Closed,
        ["may no longer have a member 'b'"],
        ["has no member 'b' any more"],
    ),
    ("a member taken", Closed, Closing, [], []),
    ("another type", int, str, ["may no longer be an integer"], ["may be a text now"]),
    ("a wider number", int, float, [], ["may be a number now"]),
    ("a narrower number", float, int, ["may no longer be a number"], []),
    ("null too", int, int | None, [], ["may be null now"]),
    ("null no more", int | None, int, ["may no longer be null"], []),
    ("anything", int, Any, [], ["may be anything now"]),
    ("no longer anything", Any, int, ["may no longer be anything"], []),
    (
        "other values",
        Literal["a", "b"],
        Literal["a", "c", "d"],
        ['may no longer be "b"'],
        ['may be "c" or "d" now'],
    ),
    ("values of a type", Literal["a"], str, [], ["may be a text now"]),
    ("an arm", Dog, Pet, [], ["may be Cat now"]),
    ("an arm less", Pet, Dog, ["may no longer be Cat"], []),
    (
        "inside an arm",
        OlderPet,
        Pet,
        [".lives may no longer be a text"],
        [".lives may be an integer now"],
    ),
    (
        "inside a list",
        list[One],
        list[Two],
        ["[] needs a member 'b' now, which is new"],
        [],
    ),
    (
        "inside a dict",
        dict[str, int],
        dict[str, str],
        [".* may no longer be an integer"],
        [".* may be a text now"],
    ),
    (
        "a longer tuple",
        tuple[int, int],
        tuple[int, int, int],
        ["may no longer be a list of 2 items"],
        ["may be a list of 3 items now"],
    ),
    (
        "inside a tuple",
        tuple[int, int],
        tuple[int, str],
        ["[1] may no longer be an integer"],
        ["[1] may be a text now"],
    ),
    (
        "bounds",
        Annotated[int, Field(gt=1, le=9)],
        Annotated[int, Field(ge=2, lt=9)],
        ["must be at least 2 now", "must be below 9 now"],
        [],
    ),
    ("wider bounds", Annotated[int, Field(gt=1)], Annotated[int, Field(ge=1)], [], []),
    (
        "steps",
        Annotated[int, Field(multiple_of=4)],
        Annotated[int, Field(multiple_of=3)],
        ["must be a multiple of 3 now"],
        [],
    ),
    (
        "a format",
        str,
        uuid.UUID,
        ["must have the format uuid now"],
        [],
    ),
    ("no format", datetime.date, str, [], ["no longer has the format date"]),
    ("a pattern", str, Annotated[str, Field(pattern="^a")], ["must be matched by ^a now"], []),
    ("a set", list[int], set[int], ["must be without repetition now"], []),
    ("no set", set[int], list[int], [], []),
    (
        "sets in a union",
        list[int] | list[str],
        set[int] | set[str],
        ["must be without repetition now"],
        [],
    ),
    ("no sets in a union", set[int] | set[str], list[int] | list[str], [], []),
    (
        "other keys",
        dict[Literal["a", "b"], int],
        dict[Literal["a", "c"], int],
        ['key may no longer be "b"'],
        ['key may be "c" now'],
    ),
    ("some keys", dict[str, int], dict[Colour, int], ["key may no longer be a text"], []),
    ("any keys", dict[Colour, int], dict[str, int], [], ["key may be a text now"]),
    ("the same keys", dict[Colour, int], dict[Literal["red", "blue"], int], [], []),
    (
        "keys of numbers",
        dict[str, int],
        dict[enum.IntEnum("Number", ["ONE"]), int],
        ["key may no longer be a text"],
        [],
    ),
    (
        "longer keys",
        dict[str, int],
        dict[Annotated[str, Field(min_length=2)], int],
        ["key must be of at least 2 characters now"],
        [],
    ),
    (
        "keys of a pattern",
        dict[str, int],
        dict[Annotated[str, Field(pattern="^a")], int],
        ["key must be matched by ^a now"],
        [],
    ),
    ("keys of no pattern", dict[Annotated[str, Field(pattern="^a")], int], dict[str, int], [], []),
    (
        "another pattern and type",
        dict[Annotated[str, Field(pattern="^a")], int],
        dict[Annotated[str, Field(pattern="^b")], str],
        ["key must be matched by ^b now", ".* may no longer be an integer"],
        [".* may be a text now"],
    ),
    (
        "keys with a format",
        dict[str, int],
        dict[uuid.UUID, int],
        ["key must have the format uuid now"],
        [],
    ),
    (
        "keys without one",
        dict[uuid.UUID, int],
        dict[str, int],
        [],
        ["key no longer has the format uuid"],
    ),
    (
        "members for keys",
        May,
        dict[Literal["a"], int],
        ["may no longer have a member 'b'"],
        ["has no member 'a' any more", "has no member 'b' any more"],
    ),
    ("others typed", Open, Counts, [".* may no longer be anything"], []),
    ("others of any type", Counts, Open, [], [".* may be anything now"]),
    (
        "others of another type",
        Counts,
        Texts,
        [".* may no longer be an integer"],
        [".* may be a text now"],
    ),
    ("others read", Ignoring, Counts, [], []),
    ("others ignored", Counts, Ignoring, [], []),
    ("others refused", Counts, Closed, ["may no longer have members that are not named"], []),
    (
        "one of the others",
        dict[str, int],
        model("B", b=(str, "")),
        [".b may no longer be an integer"],
        [".b may be a text now"],
    ),
    ("a member among others", Open, model("Open", __base__=Open, b=(int, 0)), [], []),
    (
        "no member among others",
        model("Open", __base__=Open, b=(int, 0)),
        Open,
        [],
        ["has no member 'b' any more"],
    ),
]


@pytest.mark.parametrize(
    ("before", "now", "sent", "got"), [t[1:] for t in TYPES], ids=[t[0] for t in TYPES]
)
def test_a_type_is_judged_by_the_direction_in_which_it_goes(before, now, sent, got):
    breaking = told(typed(before, None), typed(now, None))[0]
    # Where null fitted and does not any more, that is a sentence of its own.
    assert [what for what in breaking if what != "the payload is required now"] == [
        f"payload{'' if what[0] in '.[' else ' '}{what}" for what in sent
    ]
    breaking = told(typed(dict, before), typed(dict, now))[0]
    assert breaking == [f"result{'' if what[0] in '.[' else ' '}{what}" for what in got]


def test_what_breaks_nobody_is_told_as_well():
    assert told(typed(One, One), typed(Optional, Optional)) == (
        [],
        ["payload may have a member 'b' now", "result has a member 'b' now"],
    )


def test_what_refers_to_itself_is_compared_once():
    def tree(value: Any) -> Any:
        class Tree(BaseModel):
            children: "list[Tree]"
            value: "Any"

        Tree.model_fields["value"].annotation = value
        Tree.model_rebuild(force=True, _types_namespace={"Tree": Tree, "Any": value})
        return Tree

    breaking, _ = told(typed(tree(int), None), typed(tree(str), None))
    assert breaking == ["payload.value may no longer be an integer"]


def test_routes_come_and_go():
    async def handler() -> None: ...

    before = contract(lambda router: (router.route("a")(handler), router.route("b")(handler)))
    now = contract(lambda router: (router.route("b")(handler), router.route("c")(handler)))
    assert [str(change) for change in compare(before, now)] == [
        "breaking: route 'a': it is gone",
        "harmless: route 'c': it is new",
    ]


async def plain(payload: int) -> int: ...
async def silent() -> None: ...
async def loose(payload: int = 1) -> int: ...
async def stream(payload: int) -> AsyncIterator[int]:
    yield 1


async def asks(payload: int, trace: Annotated[str, MessageHeader()]) -> int: ...


ROUTES = [
    (plain, {}, stream, {}, ["it is a stream now"]),
    (stream, {}, plain, {}, ["it answers once now"]),
    (loose, {}, plain, {}, ["the payload is required now"]),
    (plain, {}, loose, {}, []),
    (silent, {}, plain, {}, ["the payload is required now"]),
    (plain, {}, silent, {}, ["the result is gone"]),
    (plain, {}, asks, {}, ["headers needs a member 'trace' now, which is new"]),
    (plain, {"idempotent": True}, plain, {}, ["it may no longer be repeated safely"]),
    (plain, {"timeout": 3, "summary": "A", "tags": ["t"]}, plain, {"ordered": True}, []),
    (plain, {}, plain, {"deprecated": True}, []),
    (plain, {"responses": {404: One}}, plain, {}, ["the error 404 is no longer declared"]),
    (plain, {"responses": {404: None}}, plain, {}, []),
    (plain, {}, plain, {"responses": {404: One}}, []),
    (
        plain,
        {"responses": {404: Two}},
        plain,
        {"responses": {404: One}},
        ["error 404 has no member 'b' any more"],
    ),
    (
        plain,
        {"responses": {404: None}},
        plain,
        {"responses": {404: One}},
        ["error 404 has no member 'code' any more", "error 404 has no member 'message' any more"],
    ),
]


@pytest.mark.parametrize(("before", "options", "now", "others", "breaking"), ROUTES)
def test_a_route_is_more_than_its_types(before, options, now, others, breaking):
    found = told(
        contract(lambda router: router.route("r", **options)(before)),
        contract(lambda router: router.route("r", **others)(now)),
    )
    assert sorted(found[0]) == breaking


def allowed(order: int) -> bool:
    return True


def text_order(order: str) -> bool:
    return True


def state(order: int) -> One:  # type: ignore[valid-type]
    return One(a=1)


TOPICS = [
    (allowed, {}, allowed, {}, [], []),
    (allowed, {"event": One}, allowed, {"event": Two}, [], ["event has a member 'b' now"]),
    (allowed, {"event": Two}, allowed, {"event": One}, ["event has no member 'b' any more"], []),
    (state, {}, allowed, {}, ["the snapshot is gone"], []),
    (allowed, {}, state, {}, [], ["it has a snapshot now"]),
    (allowed, {"publish": True}, allowed, {}, ["clients may no longer publish"], []),
    (
        allowed,
        {"publish": True, "event": One},
        allowed,
        {"publish": True, "event": Two},
        ["published event needs a member 'b' now, which is new"],
        ["event has a member 'b' now"],
    ),
    (allowed, {}, allowed, {"presence": True}, [], ["one can know now who listens"]),
    (
        allowed,
        {"presence": True},
        allowed,
        {},
        ["one cannot know any more who listens"],
        [],
    ),
    (
        text_order,
        {},
        allowed,
        {"keep": False},
        ["parameter order may no longer be a text"],
        [
            "parameter order may also be an integer now",
            "events are no longer kept for those who come back",
        ],
    ),
]


@pytest.mark.parametrize(("before", "options", "now", "others", "breaking", "harmless"), TOPICS)
def test_topics_are_sent_and_published_to(before, options, now, others, breaking, harmless):
    found = told(
        contract(lambda router: router.topic("orders/{order}", **options)(before)),
        contract(lambda router: router.topic("orders/{order}", **others)(now)),
    )
    assert found == (breaking, harmless)


SAID = [
    (lambda r: r.pushes("n", One), lambda r: None, ["it is gone"]),
    (lambda r: r.pushes("n", One), lambda r: r.pushes("n", Two), []),
    (
        lambda r: r.pushes("n", Two),
        lambda r: r.pushes("n", One),
        ["payload has no member 'b' any more"],
    ),
    (lambda r: None, lambda r: r.calls("n"), []),
    (lambda r: r.calls("n"), lambda r: None, []),
    (lambda r: r.calls("n"), lambda r: r.calls("n", result=bool), ["a result is asked for now"]),
    (lambda r: r.calls("n"), lambda r: r.calls("n", result=bool | None), []),
    (lambda r: r.calls("n", result=bool), lambda r: r.calls("n"), []),
    (
        lambda r: r.calls("n", result=One),
        lambda r: r.calls("n", result=Two),
        ["result needs a member 'b' now, which is new"],
    ),
    (
        lambda r: r.calls("n", payload=Two),
        lambda r: r.calls("n", payload=One),
        ["payload has no member 'b' any more"],
    ),
]


@pytest.mark.parametrize(("before", "now", "breaking"), SAID)
def test_what_the_server_says_is_judged_from_the_client_s_side(before, now, breaking):
    assert told(contract(before), contract(now))[0] == breaking


def test_a_token_that_is_needed_breaks_those_who_have_none():
    async def authenticate(token: str): ...

    anyone = contract(lambda router: None)
    some = contract(lambda router: None, authenticate=authenticate, allow_anonymous=True)
    known = contract(lambda router: None, authenticate=authenticate)
    assert told(anyone, known) == (["a token is required now"], [])
    assert told(some, known) == (["a token is required now"], [])
    assert told(anyone, some) == ([], ["a token is taken now"])
    assert told(known, anyone) == ([], ["a token is no longer required"])


def test_a_contract_is_the_same_as_itself_whatever_its_models(torture):
    whole = contract_of(torture.router()).as_json()
    assert compare(whole, json.loads(json.dumps(whole))) == []


def test_what_another_pydantic_writes_is_no_change(torture):
    """Those below 2.10 and above write the same types in other words."""
    whole = contract_of(torture.router()).as_json()

    def older(node: Any) -> Any:
        if isinstance(node, list):
            return [older(each) for each in node]
        if not isinstance(node, dict):
            return node
        made = {k: older(v) for k, v in node.items()}
        if made.get("additionalProperties") is True and "properties" not in made:
            del made["additionalProperties"]
        if "const" in made:
            made["enum"] = [made["const"]]
        if "$ref" in made and len(made) > 1:
            made["allOf"] = [{"$ref": made.pop("$ref")}]
        return made

    changed = copy.deepcopy(whole)
    changed["definitions"] = older(changed["definitions"])
    changed["routes"] = older(changed["routes"])
    assert changed != whole
    assert compare(changed, whole) == compare(whole, changed) == []


@pytest.mark.parametrize("what", [{}, [], {"format": 2}, {"openapi": "3.1.0"}])
def test_what_is_no_contract_is_refused(what):
    whole = contract(lambda router: None)
    with pytest.raises(ValueError, match="the old one is no contract"):
        compare(what, whole)
    with pytest.raises(ValueError, match="the new one is no contract"):
        compare(whole, what)
