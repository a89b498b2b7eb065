"""The rules of one conversation, told without a socket."""

import json

import pytest

from fastapi_observable_socket._session import Answer, Cancel, Close, ServerSession, uuid_key
from fastapi_observable_socket._status import CloseCode
from fastapi_observable_socket._wire import Frame


def session(max_bytes=1000, max_bad=3, clock=lambda: 0.0):
    return ServerSession(max_bytes, max_bad, clock)


def answered(step):
    assert isinstance(step, Answer)
    frame = json.loads(step.text)
    return frame["uuid"], frame.get("status"), (frame["payload"] or {}).get("code")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", (0, 400, "bad_request")),
        ('{"uuid": 3}', (3, 400, "bad_route")),
        ('{"uuid": null, "route": "a"}', (0, 400, "bad_uuid")),
        ('{"uuid": "x", "route": "a", "headers": 1}', ("x", 400, "bad_headers")),
        ('{"uuid": "x", "route": "PING"}', ("x", None, None)),
    ],
)
def test_each_frame_leads_to_one_step(text, expected):
    assert answered(session().receive(text)) == expected


def test_a_request_is_to_be_started():
    step = session().receive('{"uuid": 1, "route": "a"}')
    assert isinstance(step, Frame)
    assert (step.uuid, step.route) == (1, "a")


def test_a_uuid_that_is_live_is_refused():
    it = session()
    it.live[uuid_key(7)] = object()
    assert answered(it.receive('{"uuid": 7, "route": "a"}')) == (7, 409, "duplicate")
    assert isinstance(it.receive('{"uuid": "7", "route": "a"}'), Frame)
    del it.live[uuid_key(7)]
    assert isinstance(it.receive('{"uuid": 7, "route": "a"}'), Frame)


@pytest.mark.parametrize(
    ("length", "text"),
    [(1000, "a" * 1000), (1000, "é" * 500), (1000, "🎉" * 250)],
)
def test_the_limit_is_in_bytes_of_utf8(length, text):
    assert not isinstance(session(length).receive(text), Close)
    step = session(length - 1).receive(text)
    assert isinstance(step, Close)
    assert step.code == CloseCode.TOO_BIG


def test_too_many_malformed_frames_end_the_conversation():
    it = session(max_bad=3)
    for _ in range(3):
        assert isinstance(it.receive("{"), Answer)
    step = it.receive("{")
    assert isinstance(step, Close)
    assert step.code == CloseCode.POLICY


def test_malformed_frames_are_forgiven_after_a_while():
    now = 0.0
    it = session(max_bad=3, clock=lambda: now)
    for _ in range(5):
        now += 61
        for _ in range(3):
            assert isinstance(it.receive("{"), Answer)


def test_well_formed_requests_never_count_as_malformed():
    it = session(max_bad=3)
    for _ in range(100):
        assert isinstance(it.receive('{"uuid": 1, "route": "unknown"}'), Frame)
        assert isinstance(it.receive('{"route": "PING"}'), Answer)


def test_a_live_call_can_be_cancelled_and_no_other():
    it = session()
    it.live[uuid_key(7)] = object()
    assert it.receive('{"uuid": 7, "route": "$cancel"}') == Cancel(uuid_key(7))
    assert it.receive('{"uuid": "7", "route": "$cancel"}') is None
    assert it.receive('{"uuid": 8, "route": "$cancel"}') is None
