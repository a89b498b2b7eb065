"""AsyncAPI documents, judged by the official schema and the official parser."""

import json
import os
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.contract import contract_of

CHECK = Path(__file__).parent / "asyncapi" / "check.mjs"


@pytest.fixture(scope="module")
def document(torture) -> dict[str, Any]:
    return contract_of(torture.router(one_sided=False), "/ws").as_asyncapi()


def guarded() -> dict[str, Any]:
    async def authenticate(token: str): ...

    return contract_of(SocketRouter(authenticate=authenticate)).as_asyncapi(
        {"local": {"host": "localhost:8000", "protocol": "ws"}}
    )


def spoilt(document: dict[str, Any]) -> dict[str, Any]:
    made = deepcopy(document)
    made["operations"]["keys"]["action"] = "answer"
    return made


def dangling(document: dict[str, Any]) -> dict[str, Any]:
    made = deepcopy(document)
    del made["components"]["schemas"]["NotFound"]
    return made


def test_documents_are_valid_to_schema_and_parser(document):
    if not (CHECK.parent / "node_modules").exists() or shutil.which("node") is None:
        if "FOS_REQUIRE_ASYNCAPI" in os.environ:
            pytest.fail("the checker is not installed: npm ci in tests/asyncapi")
        pytest.skip("needs node, and npm ci in tests/asyncapi")
    documents = {
        "torture": document,
        "empty": contract_of(SocketRouter()).as_asyncapi(),
        "guarded": guarded(),
        "spoilt": spoilt(document),
        "dangling": dangling(document),
    }
    # One process for all: it takes seconds to begin.
    done = subprocess.run(
        ["node", str(CHECK)],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wrong = json.loads(done.stdout)
    assert wrong.pop("spoilt"), "the checker takes what is no document"
    assert wrong.pop("dangling"), "the checker follows no references"
    assert wrong == {"torture": [], "empty": [], "guarded": []}


def test_each_route_is_an_operation_with_its_answers(document):
    keys = document["operations"]["keys"]
    assert (keys["action"], keys["title"]) == ("receive", "keys")
    assert (keys["summary"], keys["x-deprecated"]) == ("Take keys of a payload.", True)
    assert [tag["name"] for tag in keys["tags"]] == ["odd", "names & signs"]
    answers = [each["$ref"].rpartition("/")[2] for each in keys["reply"]["messages"]]
    assert answers == ["keys.result", "keys.404", "keys.409", "keys.422", "error"]


def test_messages_are_frames_and_correlated_by_their_uuid(document):
    messages = document["channels"]["socket"]["messages"]
    request = messages["keys.request"]
    assert request["correlationId"] == {"location": "$message.payload#/uuid"}
    assert request["payload"]["properties"]["route"] == {"const": "keys"}
    assert request["payload"]["required"] == ["uuid", "route", "payload"]
    assert messages["keys.404"]["payload"]["properties"]["status"] == {"const": 404}


def test_a_stream_answers_with_items_an_end_and_progress(document):
    answers = document["operations"]["stream"]["reply"]["messages"]
    names = [each["$ref"].rpartition("/")[2] for each in answers]
    assert names == ["stream.item", "stream.end", "stream.progress", "error"]


def test_topics_are_channels_of_their_own(document):
    channel = document["channels"]["topic.orders_order_id_file_path"]
    assert channel["address"] == "orders/{order_id}/{file}"
    assert channel["parameters"].keys() == {"order_id", "file"}
    directions = {
        name.rpartition(".")[2]: operation["action"]
        for name, operation in document["operations"].items()
        if name.startswith("topic.orders")
    }
    assert directions == {"subscribe": "receive", "event": "send", "publish": "receive"}


def test_who_listens_is_a_topic_too(document):
    channel = document["channels"]["topic.rooms_room_presence"]
    assert (channel["address"], list(channel["parameters"])) == ("rooms/{room}/@presence", ["room"])
    event = channel["messages"]["event"]["payload"]["properties"]["payload"]
    assert list(event["properties"]) == ["event", "user_id", "sockets", "since"]


def test_what_the_server_says_by_itself_is_sent_and_calls_have_replies(document):
    assert document["operations"]["push.news"]["action"] == "send"
    assert "reply" not in document["operations"]["push.news"]
    confirm = document["operations"]["call.confirm"]
    assert (confirm["action"], "reply" in confirm) == ("send", True)


def test_names_that_look_alike_stay_apart():
    router = SocketRouter()
    for name in ("a/b", "a b", "error", "push.a_b"):
        router.route(name)(lambda: None)
    router.pushes("a/b")
    document = contract_of(router).as_asyncapi()
    titles = [operation["title"] for operation in document["operations"].values()]
    assert sorted(titles) == ["a b", "a/b", "a/b", "error", "push.a_b"]
    assert len(document["channels"]["socket"]["messages"]) == 1 + 4 * 2 + 1


def test_a_token_is_a_security_scheme_of_all_that_is_received():
    async def authenticate(token: str): ...

    router = SocketRouter(authenticate=authenticate)
    router.route("a")(lambda: None)
    document = contract_of(router).as_asyncapi()
    assert "token" in document["components"]["securitySchemes"]
    assert document["operations"]["a"]["security"]


def test_schemas_are_those_of_draft_07(document):
    text = json.dumps(document)
    assert "prefixItems" not in text
    assert "#/definitions/" not in text
    pair = document["components"]["schemas"]["Pair"]
    assert [item["type"] for item in pair["items"]] == ["integer", "string"]
    union = document["channels"]["socket"]["messages"]["both_pet.request"]
    assert union["payload"]["properties"]["payload"]["discriminator"] == "kind"
