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
        self.lines = []
        self.once = False
        self.outbox = Outbox(self.send, self, budget or Budget(1000), bounds or Bounds())

    def lost(self, error):
        self.events.append(error)

    def freed(self):
        self.events.append("freed")

    def fell_behind(self):
        self.events.append("behind")

    def send_on(self, line):
        self.lines.append(asyncio.ensure_future(line))

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
        if self.once:
            self.once = False
            self.open.clear()


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


def test_who_puts_an_answer_sends_nobody_elses(run):
    async def main():
        wire = Wire()
        wire.open.clear()
        mine = asyncio.create_task(wire.outbox.put("mine"))
        await asyncio.sleep(0)
        for n in range(3):
            wire.outbox.push(f"pushed {n}")
        wire.open.set()
        wire.once = True
        await mine
        assert wire.sent == ["mine"]
        wire.open.set()
        await wire.outbox.free()
        assert wire.sent == ["mine", "pushed 0", "pushed 1", "pushed 2"]

    run(main())


def test_a_text_in_its_turn_has_its_place_in_line_among_pushes(run):
    async def main():
        wire = Wire()
        wire.open.clear()
        for n in range(3):
            wire.outbox.push(f"before {n}")
        await asyncio.sleep(0)
        item = asyncio.create_task(wire.outbox.put_in_turn("item"))
        await asyncio.sleep(0)
        assert wire.outbox.held == len("before 1") * 2 + len("item")
        wire.outbox.push("behind")
        wire.open.set()
        await item
        await wire.outbox.free()
        assert wire.sent == ["before 0", "before 1", "before 2", "item", "behind"]
        assert (wire.outbox.held, wire.outbox.pushed) == (0, 0)

    run(main())


def test_a_text_in_line_that_is_given_up_or_stale_is_not_sent(run):
    async def main():
        wire, stale = Wire(), [False]
        wire.open.clear()
        wire.outbox.push("first")
        await asyncio.sleep(0)
        given_up = asyncio.create_task(wire.outbox.put_in_turn("given up"))
        too_late = asyncio.create_task(wire.outbox.put_in_turn("too late", lambda: stale[0]))
        await asyncio.sleep(0)
        given_up.cancel()
        stale[0] = True
        await asyncio.sleep(0)
        wire.open.set()
        await too_late
        await wire.outbox.free()
        assert (wire.sent, wire.outbox.held) == (["first"], 0)

    run(main())


def test_a_closed_outbox_lets_those_in_line_go(run):
    async def main():
        wire = Wire()
        wire.open.clear()
        wire.outbox.push("first")
        await asyncio.sleep(0)
        item = asyncio.create_task(wire.outbox.put_in_turn("item"))
        free = asyncio.create_task(wire.outbox.free())
        await asyncio.sleep(0)
        wire.outbox.close()
        await item
        await free
        wire.open.set()

    run(main())


def test_pushes_and_texts_in_turn_keep_nobody_from_being_heard(run):
    async def main():
        wire = Wire()
        wire.open.clear()
        wire.outbox.push("pushed")
        item = asyncio.create_task(wire.outbox.put_in_turn("item"))
        await asyncio.sleep(0)
        assert (wire.outbox.busy, wire.outbox.answers) == (True, 0)
        await wire.outbox.put("answer")
        assert wire.outbox.answers == 1
        wire.outbox.wanted = True
        wire.open.set()
        await item
        await wire.outbox.free()
        assert "freed" in wire.events

    run(main())


def test_many_outboxes_that_flow_are_served_by_one_task(run):
    async def main():
        before = len(asyncio.all_tasks())
        wires = [Wire() for _ in range(1000)]
        for wire in wires:
            wire.flowing = True
            wire.outbox.push("a")
            wire.outbox.push("b")
        assert len(asyncio.all_tasks()) == before + 1
        for wire in wires:
            await wire.outbox.free()
        assert all(wire.sent == ["a", "b"] for wire in wires)

    run(main())
