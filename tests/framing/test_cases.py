"""Every case of RFC 6455's framing, on uvicorn's own protocol and on ours, in several cuttings."""

import asyncio

import pytest

from .cases import CASES, Case
from .harness import LANE, UVICORN, Manners, Run, run_all
from .wire import BINARY, CLOSE, TEXT, Sent, boundaries, cut, sent


def cuttings(data):
    """Frame by frame, whole, in small pieces, and across the heads of all frames."""
    between = boundaries(data)
    step = 1 if len(data) < 1500 else 997
    yield cut(data, between)
    yield [data]
    yield cut(data, list(range(step, len(data), step)))
    for shift in (1, 2, 5, -1):
        yield cut(data, sorted({place + shift for place in between if place + shift > 0}))


def answers(expected):
    return [
        Sent(TEXT, each.encode())
        if isinstance(each, str)
        else Sent(BINARY, each)
        if isinstance(each, bytes)
        else each
        for each in expected
    ]


def as_expected(frames, expected):
    if [*expected] == [None]:
        return True
    wanted = answers(expected)
    if len(frames) != len(wanted):
        return False
    return all(
        got.opcode == CLOSE and int.from_bytes(got.data[:2]) == want
        if isinstance(want, int)
        else got == want
        for got, want in zip(frames, wanted, strict=True)
    )


@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_answer_is_that_of_the_rfc_however_it_is_cut(loop, case: Case):
    data = b"".join(case.frames)
    ways = [*cuttings(data)]
    plain = Run(UVICORN, ways[0], Manners(echoes=True), max_size=case.max_size, end="open")
    ours = [
        Run(LANE, pieces, Manners(echoes=True, by_lane=by_lane), max_size=case.max_size, end="open")
        for pieces in ways
        for by_lane in (False, True)
    ]
    run_all(loop, [plain, *ours])
    frames = sent(plain.outcome.written)
    assert as_expected(frames, case.expected), frames
    assert plain.outcome.closed == (bool(frames) and frames[-1].opcode == CLOSE)
    for run in ours:
        assert run.outcome == plain.outcome


def test_each_case_is_one():
    assert len({case.name for case in CASES}) == len(CASES)
