"""The one way out of a socket."""

import asyncio

import pytest

from fastapi_observable_socket._outbox import Outbox


class Wire:
    """A send that takes texts while open, as a transport does."""

    def __init__(self):
        self.sent = []
        self.open = asyncio.Event()
        self.open.set()
        self.events = []
        self.broken = None
        self.outbox = Outbox(self.send, self.events.append, lambda: self.events.append("freed"))

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
