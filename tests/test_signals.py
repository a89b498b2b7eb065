"""The first signal is heard, the job done, and only then the handler that was there before."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastapi_observable_socket._signals import ECHO, Signals

Run = Callable[..., Any]


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """What the server below hears; its handlers are those of the test's process meanwhile."""
    heard: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: heard.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


class Work:
    """A job that takes as long as the test says."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self) -> None:
        self.begun.set()
        await self.may_end.wait()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_handed_on_behind_the_jobs(run: Run, heard: list[int], number: int):
    async def main() -> None:
        signals, jobs = Signals(), [Work(), Work()]
        for job in jobs:
            assert signals.add(job, job)
        signal.raise_signal(number)
        await asyncio.gather(*[job.begun.wait() for job in jobs])
        jobs[0].may_end.set()
        await turns()
        assert heard == []
        jobs[1].may_end.set()
        await turns()
        assert heard == [number]
        signal.raise_signal(number)
        assert heard == [number] * 2

    run(main())


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("again", "seconds", "echo"),
    [
        (signal.SIGINT, 0, False),
        (signal.SIGINT, 60, False),
        (signal.SIGTERM, ECHO + 1, False),
        (signal.SIGTERM, ECHO - 1, True),
    ],
)
def test_a_second_one_goes_straight_through_and_an_echo_with_the_first(
    run: Run, heard: list[int], first: int, again: int, seconds: float, echo: bool
):
    now = [100.0]

    async def main() -> None:
        signals, job = Signals(lambda: now[0]), Work()
        signals.add(job, job)
        signal.raise_signal(first)
        await job.begun.wait()
        now[0] += seconds
        signal.raise_signal(again)
        assert heard == ([] if echo else [again])
        job.may_end.set()
        await turns()
        assert heard == ([first, again] if echo else [again])

    run(main())


def test_a_job_that_fails_holds_nothing_up(
    run: Run, heard: list[int], caplog: pytest.LogCaptureFixture
):
    async def failing() -> None:
        raise LookupError("broken")

    async def main() -> None:
        signals = Signals()
        signals.add("job", failing)
        signal.raise_signal(signal.SIGTERM)
        await turns()
        assert heard == [signal.SIGTERM]

    run(main())
    assert "LookupError: broken" in caplog.text


def test_after_the_last_job_all_is_as_before(run: Run, heard: list[int]):
    async def main() -> None:
        before = signal.getsignal(signal.SIGTERM)
        signals, job = Signals(), Work()
        signals.add("a", job)
        signals.add("a", job)
        signals.add("b", job)
        for key in ("a", "b", "nothing"):
            signals.remove(key)
            assert signal.getsignal(signal.SIGTERM) != before
        signals.remove("a")
        assert signal.getsignal(signal.SIGTERM) is before
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]

    run(main())


def test_who_has_come_in_front_meanwhile_stays_there(run: Run, heard: list[int]):
    async def main() -> None:
        signals, job = Signals(), Work()
        signals.add(job, job)
        theirs = lambda number, frame: None  # noqa: E731
        signal.signal(signal.SIGTERM, theirs)
        signals.remove(job)
        assert signal.getsignal(signal.SIGTERM) is theirs

    run(main())


def test_what_is_ignored_stays_ignored(run: Run, heard: list[int]):
    async def main() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signals, job = Signals(), Work()
        signals.add(job, job)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signals.remove(job)

    run(main())


def test_a_handler_of_the_system_itself_is_handed_the_signal_too(
    run: Run, heard: list[int], monkeypatch: pytest.MonkeyPatch
):
    raised: list[tuple[int, Any]] = []

    async def nothing() -> None:
        pass

    async def main() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signals = Signals()
        signals.add("job", nothing)
        signal.raise_signal(signal.SIGTERM)
        monkeypatch.setattr(
            signal,
            "raise_signal",
            lambda number: raised.append((number, signal.getsignal(number))),
        )
        await turns()
        assert raised == [(signal.SIGTERM, signal.SIG_DFL)]

    run(main())


def test_only_the_main_thread_can(heard: list[int]):
    async def main() -> bool:
        return Signals().add("job", Work())

    found: list[bool] = []
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: found.append(asyncio.run(main())))
    thread.start()
    thread.join()
    assert found == [False]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_loop_that_has_ended_does_no_more_jobs(run: Run, heard: list[int]):
    signals = Signals()

    async def main() -> None:
        job = Work()
        signals.add(job, job)

    run(main())
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]

    async def another() -> None:
        job = Work()
        job.may_end.set()
        signals.add("another", job)
        signal.raise_signal(signal.SIGTERM)
        await turns()
        assert heard == [signal.SIGTERM] * 2

    run(another())
    signals.remove("another")
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM] * 3
