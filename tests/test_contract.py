"""What a router takes and gives, written down."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI
from pydantic import BaseModel, Field, WithJsonSchema
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, WebSocketRoute

from fastapi_observable_socket import (
    HandlerResult,
    MessageData,
    MessageHeader,
    Progress,
    Reply,
    SignatureError,
    SocketRouter,
)
from fastapi_observable_socket.__main__ import main
from fastapi_observable_socket.contract import ContractError, contract_of, sockets_of

INTEGER = {"type": "integer"}


class Item(BaseModel):
    id: int
    note: str = ""


class Lost(BaseModel):
    message: str


def route_of(handler: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """What the contract says of a route with this handler."""
    router = SocketRouter()
    router.route("r", **options)(handler)
    return contract_of(router).as_json()["routes"]["r"]


def hash_of(handler: Callable[..., Any], **options: Any) -> str:
    router = SocketRouter()
    router.route("r", **options)(handler)
    return contract_of(router).hash


# --- routes


async def typed(item: Item) -> Item: ...
async def untyped(payload): ...
async def nothing() -> None: ...
async def seed(ws, headers, payload): ...
async def optional(payload: int | None): ...
async def defaulted(payload: int = 3): ...
async def reply(payload: int) -> Reply: ...
async def result(payload: int) -> HandlerResult: ...
async def either(payload: int) -> int | Reply: ...
async def message(message: MessageData) -> None: ...
def depends(message: MessageData) -> int: ...
async def depending(it: Annotated[int, Depends(depends)]) -> None: ...


PAYLOADS = [
    (typed, {"$ref": "#/definitions/Item-Input"}, True),
    (untyped, {}, False),
    (nothing, None, False),
    (seed, {}, False),
    (optional, {"anyOf": [INTEGER, {"type": "null"}]}, False),
    (defaulted, INTEGER | {"default": 3}, False),
    (message, {}, False),
    (depending, {}, False),
]


@pytest.mark.parametrize(("handler", "payload", "required"), PAYLOADS)
def test_a_payload_is_what_the_handler_takes(handler, payload, required):
    route = route_of(handler)
    assert (route["payload"], route["payload_required"]) == (payload, required)


def test_a_payload_taken_by_its_keys_is_an_object_of_them():
    async def keys(
        a: int, b: Annotated[str, Body(alias="b-b", embed=True, max_length=3)] = "x"
    ): ...
    async def optional_keys(a: int = 1, b: int = 2): ...

    assert route_of(keys)["payload"] == {
        "type": "object",
        "properties": {
            "a": INTEGER,
            "b-b": {"type": "string", "maxLength": 3, "default": "x"},
        },
        "required": ["a"],
    }
    assert route_of(keys)["payload_required"] is True
    assert route_of(optional_keys)["payload_required"] is False


@pytest.mark.parametrize("hook", ["data_check", "access", "hydrate"])
def test_a_hook_may_read_a_payload_that_the_handler_does_not_take(hook):
    async def handler(item: Annotated[int, Depends(lambda: 1)], local: dict, value): ...

    options = {hook: lambda *_: True}
    assert route_of(handler if hook == "hydrate" else nothing, options=options)["payload"] == {}


RESULTS = [
    (typed, {"$ref": "#/definitions/Item-Output"}),
    (untyped, {}),
    (nothing, None),
    (reply, {}),
    (result, {}),
    (either, INTEGER),
]


@pytest.mark.parametrize(("handler", "result"), RESULTS)
def test_a_result_is_what_the_annotation_says(handler, result):
    assert route_of(handler)["result"] == result


def test_dehydrate_has_the_last_word_on_the_result():
    def shown(item: Item) -> str: ...

    assert route_of(typed, options={"dehydrate": shown})["result"] == {"type": "string"}


async def items() -> AsyncIterator[int]:
    yield 1


def sync_items() -> Iterator[Item]:
    yield Item(id=1)


def with_value() -> Generator[int, None, Item]:
    yield 1
    return Item(id=1)


async def any_items():
    yield 1


STREAMS = [
    (items, INTEGER, None),
    (sync_items, {"$ref": "#/definitions/Item"}, None),
    (with_value, INTEGER, {"$ref": "#/definitions/Item"}),
    (any_items, {}, None),
]


@pytest.mark.parametrize(("handler", "item", "value"), STREAMS)
def test_a_stream_has_items_and_a_value_at_its_end(handler, item, value):
    route = route_of(handler)
    assert (route["kind"], route["item"], route["result"]) == ("stream", item, value)
    assert route["timeout"] is None


def test_what_is_sent_has_all_its_members_and_what_is_taken_may_leave_out_some():
    router = SocketRouter()
    router.route("r")(typed)
    definitions = contract_of(router).as_json()["definitions"]
    assert definitions["Item-Input"]["required"] == ["id"]
    assert definitions["Item-Output"]["required"] == ["id", "note"]


def test_headers_of_handlers_hooks_and_dependencies_are_told():
    def depends(trace: Annotated[str, MessageHeader("x-trace")]): ...
    def check(message, tenant: Annotated[int, MessageHeader()] = 0): ...
    async def handler(
        it: Annotated[None, Depends(depends)], key: Annotated[str, MessageHeader()]
    ): ...

    assert route_of(handler, options={"data_check": check})["headers"] == {
        "type": "object",
        "properties": {
            "tenant": INTEGER | {"default": 0},
            "x-trace": {"type": "string"},
            "key": {"type": "string"},
        },
        "required": ["x-trace", "key"],
    }


def test_progress_is_told_where_there_is_some():
    async def any_progress(payload: int, progress: Progress): ...
    async def typed_progress(payload: int, progress: Progress[Item]): ...

    assert route_of(typed)["progress"] is None
    assert route_of(any_progress)["progress"] == {}
    assert route_of(typed_progress)["progress"] == {"$ref": "#/definitions/Item"}


def test_words_are_those_of_the_docstring_unless_they_are_given():
    async def documented():
        """Summed up
        on two lines.

        Told *at length*.

            indented
        \f
        Not for readers.
        """

    words = route_of(documented)
    assert words["summary"] == "Summed up on two lines."
    assert words["description"] == "Told *at length*.\n\n    indented"
    given = route_of(documented, summary="Mine", description="", tags=["a", "b"], deprecated=True)
    assert (given["summary"], given["description"]) == ("Mine", "")
    assert (given["tags"], given["deprecated"]) == (["a", "b"], True)
    moved = route_of(documented, summary="Mine")
    assert moved["description"].startswith("Summed up on two lines.\n\nTold")


def test_tags_are_a_list():
    with pytest.raises(TypeError, match=r"tags are a list of texts: \['shop'\]"):
        SocketRouter().route("r", tags="shop")


def test_errors_have_a_description_and_perhaps_a_payload():
    responses = {404: Lost, "409": {"description": "Taken"}, 418: {"model": list[int]}, 503: None}
    assert route_of(typed, responses=responses)["errors"] == {
        "404": {"description": "Not found", "payload": {"$ref": "#/definitions/Lost"}},
        "409": {"description": "Taken", "payload": None},
        "418": {"description": "Error", "payload": {"type": "array", "items": INTEGER}},
        "503": {"description": "Service unavailable", "payload": None},
    }


@pytest.mark.parametrize("responses", [{200: Lost}, {402: Lost}, {"4XX": Lost}, {True: Lost}, {}])
def test_only_errors_are_declared_by_their_status(responses):
    if not responses:
        SocketRouter().route("r", responses=responses)
        return
    with pytest.raises(SignatureError, match="is no status of an error"):
        SocketRouter().route("r", responses=responses)


@pytest.mark.parametrize(
    ("responses", "why"),
    [
        ([404], "responses are a dict of statuses"),
        ({404: {"schema": Lost}}, r"has \['schema'\]: known are 'description' and 'model'"),
    ],
)
def test_responses_that_say_nothing_are_refused(responses, why):
    with pytest.raises(SignatureError, match=why):
        SocketRouter().topic("t", responses=responses)


def test_a_model_of_an_error_that_pydantic_does_not_know_is_refused():
    class Unknown: ...

    with pytest.raises(SignatureError, match="cannot serialise"):
        route_of(typed, responses={404: Unknown})
    with pytest.raises(SignatureError, match="pydantic knows no schema"):
        SocketRouter().topic("t", responses={404: Unknown})(lambda: True)


# --- topics, pushes, calls


def test_a_topic_has_parameters_events_and_perhaps_a_state():
    router = SocketRouter()

    @router.topic(
        "orders/{order}/{rest:path}",
        event=Item,
        publish=True,
        presence=True,
        responses={404: Lost},
    )
    def orders(order: int) -> Item: ...

    @router.topic("news", keep=False, summary="News", tags=["t"])
    def news() -> bool: ...

    topics = contract_of(router).as_json()["topics"]
    orders_said = topics["orders/{order}/{rest:path}"]
    assert orders_said["parameters"] == {"order": INTEGER, "rest": {"type": "string"}}
    assert orders_said["event"] == orders_said["snapshot"] == {"$ref": "#/definitions/Item-Output"}
    assert orders_said["publish_event"] == {"$ref": "#/definitions/Item-Input"}
    assert (orders_said["publish"], orders_said["kept"]) == (True, True)
    assert (orders_said["presence"], topics["news"]["presence"]) == (True, False)
    assert orders_said["errors"].keys() == {"404"}
    said = topics["news"]
    assert (said["event"], said["snapshot"], said["publish"], said["kept"]) == (
        {},
        None,
        False,
        False,
    )
    assert (said["summary"], said["tags"], said["parameters"]) == ("News", ["t"], {})
    assert "publish_event" not in said


def test_pushes_are_written_and_calls_are_written_and_read():
    router = SocketRouter()
    router.pushes("news", Item, summary="News", deprecated=True)
    router.pushes("reload")
    router.calls("confirm", payload=Item, result=Item, description="Asks.")
    router.calls("refresh")
    made = contract_of(router).as_json()
    assert made["pushes"]["news"]["payload"] == {"$ref": "#/definitions/Item-Output"}
    assert (made["pushes"]["news"]["summary"], made["pushes"]["news"]["deprecated"]) == (
        "News",
        True,
    )
    assert made["pushes"]["reload"]["payload"] is None
    assert made["calls"]["confirm"]["payload"] == {"$ref": "#/definitions/Item-Output"}
    assert made["calls"]["confirm"]["result"] == {"$ref": "#/definitions/Item-Input"}
    assert (made["calls"]["refresh"]["payload"], made["calls"]["refresh"]["result"]) == (None, None)


def test_routers_bring_what_is_theirs_also_later():
    outer, inner = SocketRouter(prefix="v1/"), SocketRouter(prefix="in/")
    inner.pushes("before", int)
    outer.include(inner, "sub/")
    inner.calls("after", result=int)
    inner.route("r", tags=["t"], idempotent=True, responses={404: Lost})(typed)
    made = contract_of(outer).as_json()
    assert list(made["pushes"]) == ["v1/sub/in/before"]
    assert list(made["calls"]) == ["v1/sub/in/after"]
    route = made["routes"]["v1/sub/in/r"]
    assert (route["tags"], route["idempotent"], list(route["errors"])) == (["t"], True, ["404"])
    assert list(contract_of(inner).as_json()["pushes"]) == ["in/before"]


# --- where it comes from


def test_words_above_are_the_routers_or_the_apps():
    app = FastAPI(title="Shop", version="3.1", description="Sells.")
    router = SocketRouter(title="Live")
    router.mount(app)
    contract = contract_of(app)
    assert (contract.title, contract.version, contract.path) == ("Live", "3.1", "/ws")
    assert contract.as_json()["description"] == "Sells."
    alone = contract_of(SocketRouter())
    assert (alone.title, alone.version, alone.path) == ("", "", None)
    with pytest.raises(TypeError, match=r"version is a text, not 2\.1"):
        SocketRouter(version=2.1)


def test_routers_are_found_wherever_they_are_mounted():
    router = SocketRouter()
    app, api, other = FastAPI(), APIRouter(prefix="/v1"), FastAPI()
    router.mount(app, "/a")
    app.add_api_websocket_route("/b", router)
    api.include_router(router.api_router("/c"), prefix="/deep")
    app.include_router(api, prefix="/api")
    router.mount(other, "/d")
    app.mount("/sub", other)
    app.mount("/raw", router)
    assert list(sockets_of(app)) == ["/a", "/b", "/api/v1/deep/c", "/sub/d", "/raw/"]
    assert contract_of(app, "/api/v1/deep/c").path == "/api/v1/deep/c"
    plain = Starlette(routes=[WebSocketRoute("/ws", router), Mount("/m", routes=[])])
    assert list(sockets_of(CORSMiddleware(plain))) == ["/ws"]


def test_one_of_several_sockets_is_named_by_its_path():
    app = FastAPI()
    SocketRouter().mount(app, "/a")
    SocketRouter().mount(app, "/b")
    with pytest.raises(LookupError, match="sockets are at /a, /b: say which"):
        contract_of(app)
    with pytest.raises(LookupError, match="no socket at '/c'; known are: /a, /b"):
        contract_of(app, "/c")
    assert contract_of(app, "/b").path == "/b"


def test_an_app_without_a_router_has_no_contract():
    app = FastAPI()
    router = SocketRouter()

    @app.websocket("/own")
    async def own(ws):
        await router(ws)

    with pytest.raises(LookupError, match="give the router itself"):
        contract_of(app)
    with pytest.raises(LookupError, match="known are: none"):
        contract_of(app, "/own")


def test_a_contract_is_of_the_moment_and_nobody_elses():
    router = SocketRouter()
    before = contract_of(router)
    router.route("r")(typed)
    assert before.as_json()["routes"] == {}
    now = contract_of(router)
    now.as_json()["routes"].clear()
    assert list(now.as_json()["routes"]) == ["r"]


def test_annotations_that_are_never_defined_are_told():
    router = SocketRouter()

    async def handler(payload: "Nowhere") -> None: ...  # noqa: F821

    router.route("r")(handler)
    with pytest.raises(SignatureError, match="cannot be resolved"):
        contract_of(router)


def test_types_without_a_schema_are_all_named_with_the_way_out():
    class Odd(BaseModel):
        function: Callable[[], None]

    router = SocketRouter()
    router.pushes("odd", Odd)

    @router.route("takes")
    async def takes(payload: Odd, fine: Annotated[int, MessageHeader()]) -> int: ...

    @router.route("keys")
    async def keys(a: Odd, b: int) -> int: ...

    with pytest.raises(ContractError) as caught:
        contract_of(router)
    lines = str(caught.value).splitlines()
    assert [line.partition(" has a type")[0] for line in lines] == [
        "push 'odd': its payload",
        "route 'keys': its payload a",
        "route 'takes': its payload",
    ]
    assert "WithJsonSchema" in lines[0]


def test_a_type_may_bring_its_schema():
    class Odd(BaseModel):
        function: Annotated[Callable[[], None], WithJsonSchema({"type": "string"})]

    async def handler(payload: Odd) -> None: ...

    assert route_of(handler)["payload"] == {"$ref": "#/definitions/Odd"}


# --- the hash


def test_the_hash_tells_of_types_and_of_nothing_else():
    class Renamed(BaseModel):
        """Documented."""

        id: int = Field(title="T", description="D", examples=[1])
        note: str = "another default"

    Renamed.__name__ = Renamed.__qualname__ = "Item"

    async def words(item: Renamed) -> Renamed:
        """Words."""

    async def other(item: Item) -> Lost: ...

    same = hash_of(typed)
    assert len(same) == 16
    words.__annotations__ = {"item": Item, "return": Item}
    assert hash_of(words, summary="A", tags=["t"], deprecated=True, ordered=True) == same
    assert hash_of(typed, timeout=3, idempotent=True) == same
    assert hash_of(other) != same
    assert hash_of(typed, responses={404: Lost}) != same
    assert hash_of(nothing) != hash_of(untyped)


def test_the_hash_does_not_depend_on_order():
    def made(names: str) -> str:
        router = SocketRouter()
        for name in names:
            router.route(name)(typed)
        return contract_of(router).hash

    assert made("abc") == made("cab")


def test_a_value_more_or_a_bound_more_is_another_hash():
    async def one(payload: Literal["a"]): ...
    async def two(payload: Literal["a", "b"]): ...
    async def bounded(payload: Annotated[int, Field(ge=1)]): ...
    async def unbounded(payload: int): ...

    assert len({hash_of(each) for each in (one, two, bounded, unbounded)}) == 4


def test_the_hash_is_the_same_in_each_process_and_on_each_version(torture):
    """Pythons and pydantics of all environments that run this have to agree."""
    assert contract_of(torture.router()).hash == "cbda5c4154561573"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fastapi_observable_socket"),
            *("contract", "show", "torture:router", "--factory"),
        ],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["hash"] == "cbda5c4154561573"


def test_definitions_have_names_that_stay(torture):
    definitions = contract_of(torture.router()).as_json()["definitions"]
    assert {"Owner-Input", "Owner-Output", "Page_Cat_-Input", "Tags", "Pair"} <= definitions.keys()
    assert list(definitions) == sorted(definitions)


# --- the command


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> Command:
    """Runs `contract` in a folder of its own, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setattr(sys, "argv", ["fastapi-observable-socket", "contract", *arguments])
        monkeypatch.delitem(sys.modules, "shop", raising=False)
        importlib.invalidate_caches()
        with pytest.raises(SystemExit) as end:
            main()
        sys.modules.pop("shop", None)
        out, err = capsys.readouterr()
        return Done(int(end.value.code or 0), out, err)

    return run


APP = """
from fastapi import FastAPI
from fastapi_observable_socket import SocketRouter

app = FastAPI()
router = SocketRouter()


@router.route("{route}")
async def handler(payload: {kind}) -> int:
    return 1


class within:
    socket = router


router.mount(app, "/ws")
{last}
"""


@pytest.fixture
def shop(tmp_path) -> Callable[..., None]:
    """Writes the application `shop:app` into the folder where commands run."""

    def write(route: str = "r", kind: str = "int", last: str = "") -> None:
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        (tmp_path / "shop.py").write_text(APP.format(route=route, kind=kind, last=last))

    write()
    return write


def test_the_command_writes_the_contract(shop, command, tmp_path):
    done = command("shop:app")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["path"] == "/ws"
    assert command("shop:within.socket", "--json").returncode == 0
    there = command("shop:app", "--path", "/ws", "-o", "made/contract.json")
    assert (there.returncode, there.stdout) == (0, "")
    assert "wrote made/contract.json" in there.stderr
    assert (tmp_path / "made/contract.json").read_text() == done.stdout
    again = command("shop:app", "-o", "made/contract.json")
    assert again.stderr == "", "what says so already is left alone"


def test_the_command_writes_asyncapi(shop, command):
    done = command("shop:app", "--asyncapi")
    assert json.loads(done.stdout)["channels"]["socket"]["address"] == "/ws"
    both = command("shop:app", "--asyncapi", "--json")
    assert (both.returncode, both.stdout) == (2, "")
    assert "one form at a time" in both.stderr


@pytest.mark.parametrize(
    ("app", "why"),
    [
        ("shop", "names no application: write module:attribute"),
        ("nowhere:app", "there is no module 'nowhere' here"),
        ("shop.deep:app", "there is no module 'shop.deep' here"),
        ("shop:nothing", "shop has no 'nothing'"),
        ("shop:within", "no SocketRouter is mounted here"),
    ],
)
def test_what_is_no_application_is_a_mistyped_command(shop, command, app, why):
    done = command(app)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("last", ["1 / 0", "import nowhere", "raise SystemExit(1)"])
def test_an_application_that_fails_is_no_finding(shop, command, last):
    shop(last=last)
    done = command("check", "shop:app", "--against", "contract.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "shop" in done.stderr.splitlines()[-1]


def test_the_check_ends_with_1_for_what_breaks_and_with_0_for_all_else(shop, command, tmp_path):
    command("shop:app", "-o", "contract.json")

    def check(*options: str) -> Done:
        return command("check", "shop:app", "--against", "contract.json", *options)

    same = check()
    assert (same.returncode, same.stdout, same.stderr) == (0, "", "nothing changed\n")
    shop(kind="int | str")
    wider = check()
    assert wider.returncode == 0
    assert wider.stdout == "harmless: route 'r': payload may also be a text now\n"
    shop(kind="str", route="s")
    gone = check()
    assert gone.returncode == 1
    assert gone.stdout.splitlines()[0] == "breaking: route 'r': it is gone"
    assert gone.stderr == "1 breaking, 1 harmless\n"
    assert json.loads(check("--json").stdout)[0] == {
        "breaking": True,
        "where": "route 'r'",
        "what": "it is gone",
    }


def test_a_check_needs_an_older_contract(shop, command, tmp_path):
    (tmp_path / "text.json").write_text("no json")
    (tmp_path / "other.json").write_text('{"format": 1}')
    for file, why in (
        ("absent.json", "cannot be read"),
        ("text.json", "is no contract"),
        ("other.json", "is no contract"),
    ):
        done = command("check", "shop:app", "--against", file)
        assert (done.returncode, done.stdout) == (2, "")
        assert why in done.stderr
    assert command("check", "shop:app").returncode == 2
