"""The one way out of a socket."""

import asyncio

import pytest

from fastapi_observable_socket._outbox import Bounds, Budget, Outbox


class Wire:
    """A send that takes texts while open, as a transport does."""

    def __init__(self, budget=None, bounds=None):
        self.sent = []
        self.open = asyncio.Event()
        self.open.set()
        self.events = []
        self.broken = None
        self.flowing = False
        self.outbox = Outbox(self.send, self, budget or Budget(1000), bounds or Bounds())

    def lost(self, error):
        self.events.append(error)

    def freed(self):
        self.events.append("freed")

    def fell_behind(self):
        self.events.append("behind")

    def send_on(self, line):
        asyncio.ensure_future(line)

    def flows(self):
        return self.flowing

    def overflowed(self):
        self.events.append("overflow")
        self.outbox.close()

    async def send(self, text):
        if self.broken is not None:
            raise self.broken
        await self.open.wait()
        if self.broken is not None:
            raise self.broken
        self.sent.append(text)


def test_a_text_is_sent_at_once_while_the_way_is_free(run):
    async def main():
        wire = Wire()
        await wire.outbox.put("a")
        assert (wire.sent, wire.events, wire.outbox.busy) == (["a"], [], False)

    run(main())


def test_texts_leave_in_order_and_nobody_waits_for_another(run):
    async def main():
        wire = Wire()
        wire.open.clear()
        first = asyncio.create_task(wire.outbox.put("a"))
        await asyncio.sleep(0)
        assert wire.outbox.busy
        for text in "bcd":
            await wire.outbox.put(text)  # returns: the first one sends it
        wire.outbox.wanted = True
        wire.open.set()
        await first
        assert wire.sent == ["a", "b", "c", "d"]
        assert not wire.outbox.busy
        assert wire.events == ["freed"]
        assert wire.outbox.sent == 4

    run(main())


@pytest.mark.parametrize("waiting", [True, False])
def test_what_send_raises_is_told_and_never_raised(run, waiting):
    async def main():
        wire = Wire()
        if waiting:
            wire.open.clear()
        else:
            wire.broken = OSError("gone")
        task = asyncio.create_task(wire.outbox.put("a"))
        await asyncio.sleep(0)
        wire.broken = OSError("gone")
        wire.open.set()
        await task
        assert any(isinstance(event, OSError) for event in wire.events)
        assert not wire.outbox.busy

    run(main())


def test_a_closed_outbox_drops_what_waits_and_what_comes(run):
    async def main():
        wire = Wire()
        wire.open.clear()
        first = asyncio.create_task(wire.outbox.put("a"))
        await asyncio.sleep(0)
        await wire.outbox.put("b")
        wire.outbox.close()
        await wire.outbox.put("c")
        wire.open.set()
        await first
        assert wire.sent == ["a"]

    run(main())


def test_a_cancelled_sender_frees_the_way(run):
    async def main():
        wire = Wire()
        wire.open.clear()
        first = asyncio.create_task(wire.outbox.put("a"))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        wire.open.set()
        await wire.outbox.put("b")
        assert wire.sent == ["b"]

    run(main())


async def stuck(wire, *texts):
    """A wire that takes the first of `texts` and not yet the others."""
    wire.open.clear()
    task = asyncio.create_task(wire.outbox.put("first"))
    await asyncio.sleep(0)
    for text in texts:
        await wire.outbox.put(text)
    return task


def test_beyond_the_budget_the_fullest_gives_up_and_the_others_lose_nothing(run):
    async def main():
        budget = Budget(100)
        small, large = Wire(budget), Wire(budget)
        tasks = [await stuck(small, "s" * 30), await stuck(large, "l" * 60)]
        assert not small.events + large.events
        await small.outbox.put("s" * 11)
        assert large.events == ["overflow"]
        await small.outbox.put("s" * 50)  # there is room again
        for wire in (small, large):
            wire.open.set()
        await asyncio.gather(*tasks)
        assert [len(text) for text in small.sent] == [5, 30, 11, 50]
        assert len(large.sent) == 1
        assert "overflow" not in small.events

    run(main())


def test_what_was_sent_no_longer_counts(run):
    async def main():
        budget = Budget(100)
        for _ in range(10):
            wire = Wire(budget)
            task = await stuck(wire, "x" * 60)
            wire.open.set()
            await task
            assert "overflow" not in wire.events

    run(main())
