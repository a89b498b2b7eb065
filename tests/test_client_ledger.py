"""What a frame means to the client, as a function."""

import json
from typing import Any

import pytest

from fastapi_observable_socket._errors import QueueFullError, SocketError
from fastapi_observable_socket.client._ledger import (
    MOST_TOLD,
    Asked,
    Broken,
    Call,
    Complained,
    Draining,
    Dropped,
    Final,
    Followed,
    Heard,
    Item,
    Ledger,
    Progressed,
    Pushed,
    payload_of,
    read,
)


class Kept(Call):
    """A call whose answer somebody awaits."""

    oneway = False


class Narrow(Kept):
    window = 2


def frame(**members: Any) -> Heard:
    found = read(json.dumps(members))
    assert found is not None
    return found


def item(seq: Any, **members: Any) -> Heard:
    return frame(uuid="1", status=402, headers={"$seq": seq}, **members)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(3)


def sent(ledger: Ledger, call: Call) -> Call:
    ledger.start(call)
    ledger.sent(call)
    return call


# --- which frame is whose


@pytest.mark.parametrize("status", [200, 204, 299, 402, 404, 500])
def test_the_first_answer_ends_a_call(ledger: Ledger, status: int):
    call = sent(ledger, Kept("1", "a", "{}"))
    answer = frame(uuid="1", status=status)
    assert ledger.receive(answer) == Final(call, answer)
    assert not call.live
    assert len(ledger) == 0
    assert ledger.receive(answer) is None


def test_an_answer_without_a_status_is_one(ledger: Ledger):
    call = sent(ledger, Kept("1", "a", "{}"))
    step = ledger.receive(frame(uuid="1", payload=3))
    assert isinstance(step, Final)
    assert step.call is call
    assert step.frame.ok


def test_a_call_that_was_not_sent_has_no_answer(ledger: Ledger):
    ledger.start(Kept("1", "a", "{}"))
    assert ledger.receive(frame(uuid="1", status=200)) is None
    assert len(ledger) == 1


def test_a_number_is_no_uuid_of_ours(ledger: Ledger):
    sent(ledger, Kept("1", "a", "{}"))
    assert ledger.receive(frame(uuid=1, status=200)) is None
    assert len(ledger) == 1


def test_a_pong_ends_nothing(ledger: Ledger):
    sent(ledger, Kept("1", "a", "{}"))
    assert ledger.receive(frame(uuid="1", route="PONG")) is None
    assert len(ledger) == 1


@pytest.mark.parametrize(
    ("members", "step"),
    [
        ({"uuid": "#", "route": "news"}, Pushed),
        ({"uuid": "older", "route": "news"}, Pushed),
        ({"uuid": 7, "route": "news"}, Pushed),
        ({"route": "news"}, Pushed),
        ({"uuid": "#1", "route": "confirm"}, Asked),
        ({"uuid": "#", "route": "$drain"}, Draining),
        ({"uuid": "#news", "route": "news"}, Followed),
        ({"uuid": "#news", "route": "$gap"}, Followed),
        ({"uuid": "#news", "route": "other"}, Asked),
        ({"uuid": "#1", "route": "$cancel"}, Dropped),
        ({"uuid": "1", "route": "$cancel"}, type(None)),
        ({"uuid": "#", "route": "$cancel"}, type(None)),
        ({"uuid": "#1", "route": "$later"}, type(None)),
        ({"uuid": "#", "route": "$later"}, type(None)),
        ({"uuid": "", "route": "PONG"}, type(None)),
        ({"uuid": 0, "status": 400}, Complained),
        ({"uuid": 0, "status": 200}, type(None)),
        ({"uuid": "gone", "status": 200}, type(None)),
        ({"uuid": None, "route": ""}, type(None)),
        ({}, type(None)),
    ],
)
def test_what_is_no_answer(ledger: Ledger, members: dict[str, Any], step: type):
    assert type(ledger.receive(frame(**members))) is step


# --- before the last answer


def test_items_come_in_order_and_the_end_counts_them(ledger: Ledger):
    call = sent(ledger, Kept("1", "a", "{}", streams=True))
    assert [type(ledger.receive(item(n))) for n in range(3)] == [Item] * 3
    end = frame(uuid="1", status=200, headers={"$seq": 3})
    assert ledger.receive(end) == Final(call, end)


def test_an_error_ends_a_stream_after_any_number_of_items(ledger: Ledger):
    call = sent(ledger, Kept("1", "a", "{}", streams=True))
    ledger.receive(item(0))
    end = frame(uuid="1", status=500)
    assert ledger.receive(end) == Final(call, end)


@pytest.mark.parametrize("number", [0, 2, -1])
def test_an_item_out_of_order_breaks_the_stream(ledger: Ledger, number: int):
    call = sent(ledger, Kept("1", "a", "{}", streams=True))
    ledger.receive(item(0))
    step = ledger.receive(item(number))
    assert isinstance(step, Broken)
    assert (step.call, step.over, call.live) == (call, False, False)


@pytest.mark.parametrize("headers", [{}, None, {"$seq": 1}, {"$seq": 3}, {"$seq": "2"}])
def test_an_end_that_miscounts_breaks_the_stream(ledger: Ledger, headers: Any):
    sent(ledger, Kept("1", "a", "{}", streams=True))
    ledger.receive(item(0))
    ledger.receive(item(1))
    step = ledger.receive(frame(uuid="1", status=200, headers=headers))
    assert isinstance(step, Broken)
    assert step.over


def test_a_server_that_overruns_the_window_breaks_the_stream(ledger: Ledger):
    call = sent(ledger, Narrow("1", "a", "{}", streams=True))
    ledger.receive(item(0))
    ledger.receive(item(1))
    call.taken = 1
    assert isinstance(ledger.receive(item(2)), Item)
    assert isinstance(ledger.receive(item(3)), Broken)


def test_progress_is_no_end_and_no_item(ledger: Ledger):
    call = sent(ledger, Kept("1", "a", "{}", progress=True))
    assert isinstance(ledger.receive(frame(uuid="1", status=402, payload=1)), Progressed)
    # A number makes it an item only where a stream was asked for.
    assert isinstance(ledger.receive(item(0)), Progressed)
    assert call.live


def test_a_stream_tells_items_from_progress_by_their_number(ledger: Ledger):
    sent(ledger, Kept("1", "a", "{}", streams=True, progress=True))
    assert isinstance(ledger.receive(item(0)), Item)
    assert isinstance(ledger.receive(item("1")), Progressed)
    assert isinstance(ledger.receive(item(True)), Progressed)
    assert isinstance(ledger.receive(item(1)), Item)


def test_402_without_a_number_ends_a_stream_that_wants_no_progress(ledger: Ledger):
    sent(ledger, Kept("1", "a", "{}", streams=True))
    assert isinstance(ledger.receive(frame(uuid="1", status=402)), Final)


# --- waiting and losing


def test_more_may_not_wait_than_the_limit(ledger: Ledger):
    calls = [Kept(str(n), "a", "{}") for n in range(5)]
    for call in calls[:3]:
        ledger.start(call)
    with pytest.raises(QueueFullError, match="3 calls already wait"):
        ledger.start(calls[3])
    ledger.start(calls[3], urgent=True)
    ledger.end(calls[3])
    ledger.sent(calls[0])
    ledger.start(calls[4])
    assert list(ledger.waiting.values()) == [calls[1], calls[2], calls[4]]


def test_ending_twice_counts_once(ledger: Ledger):
    call = Kept("1", "a", "{}")
    ledger.start(call)
    ledger.end(call)
    ledger.end(call)
    for n in range(3):
        ledger.start(Kept(str(n), "a", "{}"))
    assert len(ledger) == 3


def test_a_uuid_in_use_is_refused(ledger: Ledger):
    ledger.start(Kept("1", "a", "{}"))
    with pytest.raises(SocketError, match="in use"):
        ledger.start(Kept("1", "b", "{}"))


def test_what_wants_no_answer_is_over_when_it_is_sent(ledger: Ledger):
    call = sent(ledger, Call("1", "a", "{}"))
    assert (call.live, call.sent, len(ledger)) == (False, True, 0)
    assert ledger.receive(frame(uuid="1", status=200)) is None


@pytest.mark.parametrize("for_good", [False, True])
def test_a_lost_line_ends_what_was_sent_and_for_good_all(ledger: Ledger, for_good: bool):
    gone = sent(ledger, Kept("1", "a", "{}"))
    waits = Kept("2", "a", "{}")
    ledger.start(waits)
    assert ledger.lost(for_good) == ([gone, waits] if for_good else [gone])
    assert list(ledger.waiting.values()) == ([] if for_good else [waits])


class Counted(Kept):
    counts = True


def test_calls_in_flight_are_those_sent_and_not_answered(ledger: Ledger):
    first, second = sent(ledger, Counted("1", "a", "{}")), sent(ledger, Counted("2", "a", "{}"))
    sent(ledger, Kept("3", "a", "{}"))
    ledger.start(Counted("4", "a", "{}"))
    assert ledger.in_flight == 2
    ledger.receive(frame(uuid="1", status=200))
    ledger.end(first)
    assert ledger.in_flight == 1
    ledger.end(second)
    ledger.lost(True)
    assert ledger.in_flight == 0


# --- reading


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "[" * 100_000, '{"a": NaN'])
def test_what_is_no_object_is_no_frame(text: str):
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"uuid": [], "status": "200", "headers": [], "route": 3, "payload": 1}', 1),
        ('{"uuid": true, "status": 1.5, "headers": "x", "payload": [1]}', [1]),
    ],
)
def test_members_of_wrong_types_count_as_absent(text: str, expected: Any):
    found = read(text)
    assert found is not None
    assert (found.uuid, found.route, found.status, found.headers) == (None, None, None, None)
    assert payload_of(found) == expected


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ("1e999", float("inf")),
        ('"\\ud800"', "\ud800"),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("[null]", [None]),
    ],
)
def test_payloads_that_few_readers_know_are_read(payload: str, value: Any):
    found = read(f'{{"uuid": "1", "payload": {payload}}}')
    assert found is not None
    assert payload_of(found) == value


def test_an_absent_payload_is_null():
    assert payload_of(frame(uuid="1")) is None


def test_a_payload_that_nobody_can_read_is_an_error():
    deep = "[" * 100_000 + "]" * 100_000
    found = read(f'{{"uuid": "1", "payload": {deep}}}')
    if found is not None:  # msgspec may refuse the frame at once
        with pytest.raises(SocketError):
            payload_of(found)


def test_a_ledger_is_idle_when_all_that_was_sent_is_answered():
    ledger = Ledger(3)
    assert ledger.idle
    ledger.start(Kept("1", "a", "{}"))
    assert ledger.idle
    sent(ledger, Kept("2", "a", "{}"))
    sent(ledger, Call("3", "nobody awaits this one", "{}"))
    ledger.receive(frame(uuid="2", status=200))
    ledger.receive(frame(uuid="3", route="$cancel"))
    assert not ledger.idle
    ledger.receive(frame(uuid="3", status=500))
    assert ledger.idle
    sent(ledger, Call("4", "a", "{}"))
    ledger.lost(False)
    assert ledger.idle


def test_what_nobody_awaits_is_not_remembered_without_end():
    ledger = Ledger(3)
    for number in range(MOST_TOLD + 1):
        sent(ledger, Call(str(number), "a", "{}"))
    for number in range(MOST_TOLD):
        assert not ledger.idle
        ledger.receive(frame(uuid=str(number), status=200))
    assert ledger.idle
