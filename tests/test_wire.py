"""Frames as text, and back."""

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_observable_socket._errors import (
    BadRequest,
    ResponseTooLarge,
    Unserialisable,
)
from fastapi_observable_socket._wire import (
    MAX_DEPTH,
    BadFrame,
    Frame,
    MessageData,
    Request,
    Response,
    decode,
    decode_payload,
    encode,
    encode_request,
    encode_response,
    has_odd_floats,
    pong,
    refusal,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
    max_leaves=20,
)
uuids = st.integers(1 - 2**53, 2**53 - 1) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128
)
routes = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)


@given(uuids, routes, st.dictionaries(text, json_values, max_size=3), json_values)
def test_what_is_encoded_is_decoded_again(uuid, route, headers, payload):
    frame = decode(encode_request(Request(uuid, route, headers, payload)))
    assert (type(frame.uuid), frame.uuid, frame.route) == (type(uuid), uuid, route)
    assert frame.headers == headers
    assert decode_payload(frame) == payload


@given(uuids, json_values)
def test_a_response_is_json_of_the_promised_shape(uuid, payload):
    frame = json.loads(encode_response(Response(uuid, 200, {}, payload), 10**9))
    assert frame == {"uuid": uuid, "status": 200, "headers": {}, "payload": payload}
    assert type(frame["uuid"]) is type(uuid)


@given(st.text() | st.binary().map(repr) | json_values.map(json.dumps))
def test_any_text_is_a_frame_or_a_bad_frame(text):
    try:
        outcome = decode(text)
    except BadFrame as bad:
        outcome = bad
    assert isinstance(outcome, Frame) or outcome.code.startswith("bad_")
    assert isinstance(outcome.uuid, int | str)


@given(json_values)
def test_one_language_whatever_spelling_the_envelope_has(payload):
    # The older spelling takes the lenient way through another parser.
    newer = decode(encode({"uuid": 1, "route": "r", "payload": payload}).decode())
    older = decode(encode({"track_id": 1, "path": "r", "payload": payload}).decode())
    assert decode_payload(newer) == decode_payload(older) == payload


@pytest.mark.parametrize("around", ["@", "[1,@]", '{"a":[@]}', '[["b",null],@]'])
@pytest.mark.parametrize(
    "frame",
    [
        '{"uuid":"u","route":"r","payload":@}',
        '{"track_id":"u","path":"r","payload":@}',
        '{"uuid":"u","route":"r","headers":{"h":@}}',
    ],
)
@pytest.mark.parametrize(
    ("odd", "uuid"),
    [
        ("NaN", 0),
        ("Infinity", 0),
        ("-Infinity", 0),
        ("1e999", "u"),
        ("-1e400", "u"),
        ("9" * 4301, "u"),
        ('"\\ud800"', "u"),
        ('"\\udc00x"', "u"),
    ],
)
def test_what_a_frame_must_not_hold_is_refused_wherever_it_stands(odd, uuid, frame, around):
    with pytest.raises(BadFrame) as refused:
        decode_payload(decode(frame.replace("@", around.replace("@", odd))))
    assert (refused.value.uuid, refused.value.code) == (uuid, "bad_request")


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + closing * levels


@pytest.mark.parametrize(
    ("payload", "levels"),
    [
        (nested(200), 200),
        (nested(100, '{"a":[', "]}").replace("[]", "[0]"), 200),
        ('[{"s":"]]]]"},' + nested(200) + ',"[[[["]', 201),
        ('["\\"]\\\\",' * 200 + "0" + "]" * 200, 200),
    ],
)
def test_depth_is_counted_outside_strings_alone(payload, levels):
    assert levels > MAX_DEPTH
    with pytest.raises(BadFrame, match="nested deeper"):
        decode(f'{{"uuid":1,"route":"r","payload":{payload}}}')


@pytest.mark.parametrize(
    "payload",
    [
        nested(MAX_DEPTH - 1),
        json.dumps("[" * 1000),
        json.dumps('"[' * 500),
        json.dumps("\\[" * 500),
        json.dumps([["[" * 300, "{" * 300]] * 300),
        json.dumps([{"a": [1]}] * 1000),
    ],
)
def test_what_is_wide_is_not_deep(payload):
    frame = decode(f'{{"uuid":1,"route":"r","payload":{payload}}}')
    assert decode_payload(frame) == json.loads(payload)


class Color(enum.Enum):
    RED = "red"


class Model(pydantic.BaseModel):
    name: str
    size: float = 1.5


@dataclasses.dataclass
class Point:
    x: float
    y: float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**70, 2**70),
        ({1, 2}, [1, 2]),
        ((1, "a"), [1, "a"]),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Color.RED, "red"),
        (Model(name="a"), {"name": "a", "size": 1.5}),
        ([Model(name="a")], [{"name": "a", "size": 1.5}]),
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        ({1: "a", None: "b"}, {"1": "a", "null": "b"}),
        ({True: 1, "x": 2}, {"true": 1, "x": 2}),
        (None, None),
        ([1.5, None], [1.5, None]),
    ],
)
def test_results_of_many_kinds_can_be_written(value, expected):
    assert json.loads(encode(Response(1, 200, {}, value)))["payload"] == expected


def test_a_lone_surrogate_is_written_as_an_escape():
    data = encode(Response(1, 200, {}, "a\ud800"))
    assert b'"a\\ud800"' in data


loop: list = []
loop.append(loop)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        {"a": [None, -math.inf]},
        Model(name="a", size=math.nan),
        [Model(name="a", size=math.inf), None],
        Point(math.nan, 0),
        (None, (math.nan,)),
        object(),
        {"a": object()},
        {(1, 2): 3},
        loop,
        lambda: 1,
    ],
)
def test_what_is_not_json_is_never_written(value):
    with pytest.raises(Unserialisable):
        encode_response(Response(1, 200, {}, value), 10**6)


def test_floats_that_are_large_are_not_odd():
    assert not has_odd_floats([1.7e308, -1.7e308, 5e-324, None])
    assert has_odd_floats({"a": [1, {"b": math.nan}]})


def test_a_response_is_never_longer_than_its_limit():
    response = Response(1, 200, {}, "x" * 100)
    exact = len(encode(response))
    assert len(encode_response(response, exact)) == exact
    with pytest.raises(ResponseTooLarge):
        encode_response(response, exact - 1)


def test_a_refusal_says_what_and_why_and_nothing_else():
    assert json.loads(refusal("u", BadRequest("no"))) == {
        "uuid": "u",
        "status": 400,
        "headers": {},
        "payload": {"message": "no", "code": "bad_request"},
    }
    assert json.loads(refusal(1, BadRequest("no", ["why"])))["payload"]["detail"] == ["why"]


def test_pong_is_the_frame_of_the_protocol():
    assert pong("a") == '{"uuid":"a","route":"PONG","headers":null,"payload":null}'


def test_a_message_reads_as_attributes_and_as_a_mapping():
    message = MessageData({"a": 1}, [2])
    assert message.headers is message["headers"] is message.get("headers")
    assert message.payload == message["payload"] == message.get("payload") == [2]
    assert message.get("uuid", "default") == "default"
    with pytest.raises(KeyError):
        message["uuid"]
