"""How the client leaves a line whose server is about to end."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from fastapi_observable_socket.client import _leaving as room
from fastapi_observable_socket.client._leaving import LONGEST, Leaving
from fastapi_observable_socket.client._ledger import Heard, read

Run = Callable[..., Any]


class Desk:
    """A line on which something runs, until the test says otherwise."""

    def __init__(self) -> None:
        self.idle = False
        self.left = asyncio.Event()
        self.leaving = Leaving(self)

    def leave(self) -> None:
        self.left.set()


class Dice(random.Random):
    """Its throws can be looked at; what comes of them is `scale` of what was thrown."""

    def __init__(self, scale: float) -> None:
        super().__init__(7)
        self._scale = scale
        self.thrown: list[tuple[float, float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        chosen = super().uniform(a, b)
        self.thrown.append((a, b, chosen))
        return chosen * self._scale


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Dice:
    dice = Dice(0.0)
    monkeypatch.setattr(room, "random", dice)
    return dice


def drain(within_ms: Any) -> Heard:
    frame = read(json.dumps({"uuid": "#", "route": "$drain", "payload": {"within_ms": within_ms}}))
    assert frame is not None
    return frame


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_moments_are_spread_over_the_first_half(run: Run, at_once: Dice):
    async def main() -> None:
        for _ in range(1000):
            desk = Desk()
            desk.leaving.told(drain(60_000))
            desk.leaving.over()

    run(main())
    assert len(at_once.thrown) == 1000
    assert all((low, high) == (0, 30) for low, high, _ in at_once.thrown)
    tenths = [int(chosen / 3) for _, _, chosen in at_once.thrown]
    assert all(60 < tenths.count(tenth) < 140 for tenth in range(10))


def test_it_goes_when_its_moment_has_come_and_nothing_runs_any_more(run: Run, at_once: Dice):
    async def main() -> None:
        desk = Desk()
        desk.leaving.told(drain(600_000))
        assert not desk.leaving.closed
        await until(lambda: desk.leaving.closed)
        desk.leaving.look()
        await turns()
        assert not desk.left.is_set()
        desk.idle = True
        desk.leaving.look()
        await desk.left.wait()
        assert not desk.leaving.closed

    run(main())


async def until(fact: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def test_one_on_which_nothing_runs_goes_at_its_moment(run: Run, at_once: Dice):
    async def main() -> None:
        desk = Desk()
        desk.idle = True
        desk.leaving.told(drain(600_000))
        await desk.left.wait()

    run(main())


def test_it_goes_when_the_time_is_up_whatever_runs(run: Run, at_once: Dice):
    async def main() -> None:
        desk = Desk()
        desk.leaving.told(drain(20))
        await desk.left.wait()

    run(main())


def test_what_begins_between_the_look_and_the_leaving_is_not_left(run: Run, at_once: Dice):
    async def main() -> None:
        desk = Desk()
        desk.leaving.told(drain(600_000))
        await until(lambda: desk.leaving.closed)
        desk.idle = True
        desk.leaving.look()
        desk.idle = False  # a call without which we could not answer the server
        await turns()
        assert not desk.left.is_set()
        desk.leaving.over()

    run(main())


def test_told_twice_is_told_once(run: Run, at_once: Dice):
    async def main() -> None:
        desk = Desk()
        desk.leaving.told(drain(600_000))
        desk.leaving.told(drain(0))
        await until(lambda: desk.leaving.closed)
        await turns()
        assert not desk.left.is_set()
        assert len(at_once.thrown) == 1
        desk.leaving.over()

    run(main())


def test_a_line_that_is_over_takes_nothing_with_it(run: Run, at_once: Dice):
    async def main() -> None:
        desk = Desk()
        desk.idle = True
        desk.leaving.told(drain(0))
        desk.leaving.over()
        await asyncio.sleep(0.01)
        assert not desk.left.is_set()
        assert not desk.leaving.closed
        desk.leaving.told(drain(0))
        await desk.left.wait()

    run(main())


@pytest.mark.parametrize("within_ms", [None, "soon", True, -1, [1], 1e300])
def test_a_time_that_is_none_is_nothing_to_go_by(run: Run, at_once: Dice, within_ms: Any):
    async def main() -> None:
        desk = Desk()
        desk.leaving.told(drain(within_ms))
        assert at_once.thrown == [] or at_once.thrown[0][1] == LONGEST / 2
        desk.leaving.over()
        desk.leaving.told(read('{"uuid":"#","route":"$drain","payload":7}'))  # type: ignore[arg-type]

    run(main())
