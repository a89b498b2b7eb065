"""The hub: nothing lost in silence, nothing twice, in order, whatever the broker does."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from fastapi_observable_socket._attendance import Attendance
from fastapi_observable_socket._hub import Hub
from fastapi_observable_socket.backends import (
    Keep,
    MemoryBackend,
    Message,
    Position,
    Receipt,
    Unavailable,
    Uncertain,
)

KEEP = Keep(100, 60)


class Ear:
    """A listener that keeps what it is told."""

    def __init__(self):
        self.events = []
        self.gaps = []

    def event(self, message):
        self.events.append(message)

    def gap(self, position):
        self.gaps.append(position)

    @property
    def data(self):
        return [int(m.data) for m in self.events]


class Broker(MemoryBackend):
    """A broker with faults: lost deliveries, lost answers, absence, waiting."""

    remote = True

    def __init__(self):
        super().__init__()
        self.lose = lambda message: False
        self.away = False
        self.silent = 0
        self.asked = []
        self.slow = None

    def forgets(self):
        """As one that was restarted."""
        self._histories.clear()
        self._epoch += "."

    async def start(self, on_message, on_state):
        def perhaps(message):
            if not self.lose(message):
                on_message(message)

        self.on_state = on_state
        await super().start(perhaps, on_state)

    async def _reach(self, what):
        self.asked.append(what)
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise Unavailable("away")
        await asyncio.sleep(0)

    async def publish(self, topic, data, *, keep, message_id=""):
        await self._reach("publish")
        receipt = await super().publish(topic, data, keep=keep, message_id=message_id)
        if self.silent:
            self.silent -= 1
            raise Uncertain("no answer")
        return receipt

    async def subscribe(self, topics):
        await self._reach("subscribe")
        await super().subscribe(topics)

    async def unsubscribe(self, topics):
        self.asked.append("unsubscribe")
        await super().unsubscribe(topics)

    async def history(self, topic, since):
        await self._reach("history")
        return await super().history(topic, since)

    async def positions(self, topics):
        await self._reach("positions")
        return await super().positions(topics)

    def go(self):
        self.away = True
        self._subscribed.clear()
        self.on_state(False)

    def come(self):
        self.away = False
        self.on_state(True)


async def settled():
    for _ in range(50):
        await asyncio.sleep(0)


async def eventually(fact):
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110  # facts of all kinds
            await asyncio.sleep(0.005)


@pytest.fixture
def hub_run(run):
    """Runs `main(hub, broker)` and closes the hub."""

    def go(main, **options):
        async def whole():
            broker = Broker()
            hub = Hub(broker, **options)
            try:
                await main(hub, broker)
            finally:
                await hub.close()

        run(whole())

    return go


def test_events_reach_all_who_listen_and_nobody_else(hub_run):
    async def main(hub, broker):
        a, b, other = Ear(), Ear(), Ear()
        await hub.attach("t", a)
        await hub.attach("t", b)
        await hub.attach("u", other)
        for n in range(3):
            receipt = await hub.publish("t", b"%d" % n, KEEP)
            assert receipt == Receipt(Position(a.events[0].epoch, n + 1), 1)
        assert a.data == b.data == [0, 1, 2]
        assert other.data == []
        assert broker.asked.count("subscribe") == 2
        hub.detach("t", a)
        hub.detach("t", a)
        await hub.publish("t", b"3", KEEP)
        assert (a.data, b.data) == ([0, 1, 2], [0, 1, 2, 3])

    hub_run(main)


def test_who_comes_back_gets_what_was_missed(hub_run):
    async def main(hub, _):
        ear = Ear()
        position = (await hub.attach("t", ear)).position
        await hub.publish("t", b"0", KEEP)
        seen = Position(ear.events[0].epoch, 1)
        hub.detach("t", ear)
        for n in (1, 2, 3):
            await hub.publish("t", b"%d" % n, KEEP)
        back = await hub.attach("t", ear, seen)
        assert back.recovered
        assert [m.data for m in back.missed] == [b"1", b"2", b"3"]
        hub.detach("t", ear)
        never_saw = await hub.attach("t", ear, position)
        assert len(never_saw.missed) == 4
        up_to_date = await hub.attach("t", Ear(), back.position)
        assert (up_to_date.missed, up_to_date.recovered) == ([], True)

    hub_run(main)


def test_the_local_ring_spares_the_broker(hub_run):
    async def main(hub, broker):
        stays = Ear()
        start = (await hub.attach("t", stays)).position
        for n in range(10):
            await hub.publish("t", b"%d" % n, KEEP)
        broker.asked.clear()
        for _ in range(100):
            ear = Ear()
            back = await hub.attach("t", ear, Position(start.epoch, 3))
            assert [int(m.data) for m in back.missed] == list(range(3, 10))
        assert broker.asked == []

    hub_run(main)


async def published(hub, count=20):
    """The positions of so many events."""
    return [(await hub.publish("t", b"%d" % n, KEEP)).position for n in range(count)]


@asynccontextmanager
async def fresh(broker):
    """The hub of another process, which knows no topic yet, and its way to the same broker."""
    way = Broker()
    way._histories = broker._histories
    hub = Hub(way)
    try:
        yield hub, way
    finally:
        await hub.close()


@pytest.mark.parametrize("together", [True, False])
def test_a_thousand_who_come_back_cost_the_broker_one_question(together, hub_run):
    async def main(hub, broker):
        positions = await published(hub)
        wanted = [random.choice(positions[5:]) for _ in range(1000)]
        wanted[0] = positions[5]  # alone, the first cannot know of others further behind

        async with fresh(broker) as (other, way):
            if together:
                jobs = [other.attach("t", Ear(), since) for since in wanted]
                back = await asyncio.gather(*jobs)
            else:
                back = [await other.attach("t", Ear(), since) for since in wanted]
            for since, attached in zip(wanted, back, strict=True):
                assert attached.recovered
                assert attached.position == positions[-1]
                offsets = [m.offset for m in attached.missed]
                assert offsets == list(range(since.offset + 1, len(positions) + 1))
            assert way.asked.count("history") == 1

    hub_run(main)


def test_a_thousand_who_lost_everything_cost_the_broker_one_question(hub_run):
    async def main(hub, broker):
        gone = Position("another", 7)
        async with fresh(broker) as (other, way):
            jobs = [other.attach("t", Ear(), gone) for _ in range(1000)]
            assert not any(attached.recovered for attached in await asyncio.gather(*jobs))
            assert way.asked.count("history") == 1

    hub_run(main)


def test_one_who_is_too_far_behind_costs_the_others_nothing_of_what_they_missed(hub_run):
    async def main(hub, broker):
        positions = await published(hub, 150)  # of which 100 are kept
        async with fresh(broker) as (other, _):
            wanted = [positions[n] for n in (3, 140, 60, 10, 149)]
            back = await asyncio.gather(*(other.attach("t", Ear(), since) for since in wanted))
            assert [attached.recovered for attached in back] == [False, True, True, False, True]
            assert [len(attached.missed) for attached in back] == [0, 9, 89, 0, 0]
            for attached in back:
                first = 151 - len(attached.missed)
                assert [m.offset for m in attached.missed] == list(range(first, 151))

    hub_run(main)


def test_an_epoch_that_comes_back_is_not_taken_for_lost(hub_run):
    async def main(hub, broker):
        [old] = await published(hub, 1)
        history = broker._histories["t"]
        broker.forgets()
        await hub.attach("t", Ear())
        assert not (await hub.attach("t", Ear(), old)).recovered
        broker._histories["t"] = history  # and once more, with what it had saved
        broker.go()
        broker.come()
        await eventually(lambda: hub._channels["t"].cursor == old)
        assert (await hub.attach("t", Ear(), old)).recovered

    hub_run(main)


@pytest.mark.parametrize("since", [Position("other", 1), Position("", 0), Position("same", 99)])
def test_what_cannot_be_proven_is_not_recovered(since, hub_run):
    async def main(hub, _):
        await hub.publish("t", b"0", KEEP)
        now = (await hub.attach("t", Ear())).position
        asked = since if since.epoch != "same" else Position(now.epoch, 99)
        back = await hub.attach("t", Ear(), asked)
        assert (back.missed, back.recovered, back.position) == ([], False, now)

    hub_run(main)


def test_what_is_no_longer_kept_is_not_recovered(hub_run):
    async def main(hub, _):
        start = (await hub.attach("t", Ear())).position
        hub.detach("t", Ear())
        for n in range(300):
            await hub.publish("t", b"%d" % n, Keep(10, 60))
        hub._channels["t"].ring.clear()
        assert not (await hub.attach("t", Ear(), start)).recovered
        back = await hub.attach("t", Ear(), Position(start.epoch, 290))
        assert [int(m.data) for m in back.missed] == list(range(290, 300))
        assert not (await hub.attach("t", Ear(), Position(start.epoch, 289))).recovered

    hub_run(main)


def test_a_lost_event_is_fetched_when_the_next_arrives(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear)
        broker.lose = lambda message: message.data in (b"1", b"2")
        for n in range(5):
            await hub.publish("t", b"%d" % n, KEEP)
        await settled()
        assert (ear.data, ear.gaps) == ([0, 1, 2, 3, 4], [])

    hub_run(main)


def test_a_lost_last_event_is_found_by_the_audit(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear)
        broker.lose = lambda message: message.data == b"1"
        await hub.publish("t", b"0", KEEP)
        await hub.publish("t", b"1", KEEP)
        await eventually(lambda: ear.data == [0, 1])

    hub_run(main, audit=0.02)


def test_what_cannot_be_fetched_is_a_gap(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear)
        await hub.publish("t", b"0", Keep(1, 60))
        broker.lose = lambda message: message.data == b"1"
        await hub.publish("t", b"1", Keep(1, 60))
        await hub.publish("t", b"2", Keep(1, 60))
        await settled()
        await hub.publish("t", b"3", Keep(1, 60))
        assert ear.data == [0, 3]
        assert [p.offset for p in ear.gaps] == [3]

    hub_run(main)


def test_another_history_is_a_gap(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear)
        await hub.publish("t", b"0", KEEP)
        broker.forgets()
        await hub.publish("t", b"1", KEEP)
        await settled()
        await hub.publish("t", b"2", KEEP)
        assert ear.data == [0, 2]
        assert len(ear.gaps) == 1

    hub_run(main)


def test_a_broker_that_comes_back_is_asked_for_everything_again(hub_run):
    async def main(hub, broker):
        ears = {f"t{n}": Ear() for n in range(1000)}
        for topic, ear in ears.items():
            await hub.attach(topic, ear)
        broker.go()
        with pytest.raises(Unavailable):
            await hub.publish("t0", b"0", KEEP)
        with pytest.raises(Unavailable):
            await hub.attach("new", Ear())
        for topic in ears:  # by another process, which is not cut off
            broker.away = False
            await MemoryBackend.publish(broker, topic, b"7", keep=KEEP)
        broker.asked.clear()
        broker.come()
        await eventually(lambda: all(ear.data == [7] for ear in ears.values()))
        assert broker.asked.count("subscribe") == 2  # in pieces, not one each
        assert not any(ear.gaps for ear in ears.values())

    hub_run(main)


def test_a_broker_that_stammers_while_it_comes_back_is_asked_until_it_answers(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear)
        broker.go()
        await MemoryBackend.publish(broker, "t", b"0", keep=KEEP)
        broker.on_state(True)  # it says so, and is not
        await settled()
        broker.away = False
        await eventually(lambda: ear.data == [0])

    hub_run(main)


def test_a_newcomer_at_a_topic_that_is_being_rejoined_costs_the_others_nothing(hub_run):
    async def main(hub, broker):
        old, new = Ear(), Ear()
        await hub.attach("t", old)
        broker.go()
        await MemoryBackend.publish(broker, "t", b"0", keep=KEEP)
        broker.away = False
        attached = await hub.attach("t", new)
        assert old.data == [0]
        assert attached.position.offset == 1
        broker.come()
        await hub.publish("t", b"1", KEEP)
        await settled()
        assert (old.data, new.data) == ([0, 1], [1])

    hub_run(main)


@pytest.mark.parametrize("message_id", ["", "mine"])
def test_an_answer_that_is_lost_stores_the_event_once(message_id, hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear)
        broker.silent = 3
        receipt = await hub.publish("t", b"0", KEEP, message_id)
        assert receipt.position.offset == 1
        assert ear.data == [0]

    hub_run(main)


def test_an_answer_that_never_comes_is_uncertain_and_an_absent_broker_unavailable(hub_run):
    async def main(hub, broker):
        broker.silent = 10**9
        with pytest.raises(Uncertain):
            await hub.publish("t", b"0", KEEP, timeout=0.2)
        broker.silent = 1
        with pytest.raises(Uncertain):
            await hub.publish("t", b"0", None)
        broker.away = True
        with pytest.raises(Unavailable):
            await hub.publish("t", b"0", KEEP)
        broker.away, broker.slow = False, asyncio.Event()
        with pytest.raises(Uncertain):
            await hub.publish("t", b"0", KEEP, timeout=0.05)

    hub_run(main)


def test_a_topic_lingers_and_is_left_then(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear)
        hub.detach("t", ear)
        await hub.attach("t", ear)
        hub.detach("t", ear)
        assert "unsubscribe" not in broker.asked
        await eventually(lambda: "unsubscribe" in broker.asked)
        assert broker.asked.count("subscribe") == 1
        await hub.attach("t", ear)
        await hub.publish("t", b"0", KEEP)
        assert ear.data == [0]

    hub_run(main, linger=0.01)


def test_one_that_comes_while_the_topic_is_being_left_is_heard(hub_run):
    async def main(hub, broker):
        for _ in range(50):
            ear = Ear()
            await hub.attach("t", ear)
            hub.detach("t", ear)
            await asyncio.sleep(random.choice((0, 0.001, 0.002)))
            again = Ear()
            await hub.attach("t", again)
            await hub.publish("t", b"1", KEEP)
            await settled()
            assert again.data == [1]
            hub.detach("t", again)

    hub_run(main, linger=0.001)


def test_a_listener_that_raises_hurts_nobody_else(hub_run):
    class Broken(Ear):
        def event(self, message):
            raise ValueError

    async def main(hub, _):
        ear = Ear()
        await hub.attach("t", Broken())
        await hub.attach("t", ear)
        await hub.publish("t", b"0", KEEP)
        assert ear.data == [0]

    hub_run(main)


def test_ephemeral_events_have_no_position_and_are_told_as_they_come(hub_run):
    async def main(hub, _):
        ear = Ear()
        await hub.attach("t", ear)
        assert (await hub.publish("t", b"0", None)).position is None
        assert ear.events == [Message("t", b"0", "", 0, 0)]

    hub_run(main)


def test_coming_and_going_at_random_positions_loses_and_repeats_nothing(hub_run):
    """Attach, leave and resume of many while events come, some of which are lost on the way."""

    async def main(hub, broker):
        chance = random.Random(7)
        broker.lose = lambda message: chance.random() < 0.05
        done = asyncio.Event()
        published = {f"t{n}": 0 for n in range(5)}

        async def publisher():
            for _ in range(2000):
                topic = chance.choice(list(published))
                await hub.publish(topic, b"%d" % published[topic], Keep(10_000, 60))
                published[topic] += 1
            done.set()

        def is_last(attached, ear, topic):
            told = attached.missed + ear.events
            return not told or int(told[-1].data) == published[topic] - 1

        async def visitor(topic):
            heard, since = [], None
            while True:
                last = done.is_set()
                ear = Ear()
                took = []
                attached = await hub.attach(topic, ear, since, took.append)
                if since is not None:
                    assert attached.recovered
                heard += [int(m.data) for m in attached.missed]
                for _ in range(chance.randrange(20)):
                    await asyncio.sleep(0)
                if last:
                    await eventually(lambda a=attached, e=ear: is_last(a, e, topic))
                hub.detach(topic, ear)
                heard += ear.data
                newest = ear.events[-1] if ear.events else None
                since = Position(newest.epoch, newest.offset) if newest else attached.position
                if last:
                    return heard
                await asyncio.sleep(0)

        publishing = asyncio.create_task(publisher())
        visits = await asyncio.gather(*(visitor(t) for t in list(published) * 4))
        await publishing
        for heard in visits:
            assert heard == list(range(heard[0], heard[0] + len(heard))) if heard else True

    hub_run(main, linger=0.0, audit=0.05)


def test_a_hub_can_be_closed_and_used_again(hub_run):
    async def main(hub, _):
        for _ in range(100):
            ear = Ear()
            await hub.attach("t", ear)
            await hub.publish("t", b"1", KEEP)
            assert ear.data == [1]
            await hub.close()

    hub_run(main)


def test_an_event_of_a_history_that_is_over_is_dropped(hub_run):
    """It comes late, when the hub has heard of the new history already."""

    async def main(hub, broker):
        ear = Ear()
        old = (await hub.attach("t", ear)).position
        broker.forgets()
        await hub.publish("t", b"0", KEEP)
        await settled()
        broker.asked.clear()
        hub._received(Message("t", b"9", old.epoch, 1, 0))
        await settled()
        assert broker.asked == ["history"]  # once, and not for ever
        await hub.publish("t", b"1", KEEP)
        assert (ear.data, len(ear.gaps)) == ([1], 1)

    hub_run(main)


def test_what_is_lost_while_the_history_is_asked_is_asked_for_again(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear)
        broker.lose = lambda message: message.data in (b"0", b"2")
        await hub.publish("t", b"0", KEEP)
        answer, ask, release = [], broker.history, asyncio.Event()

        async def history(topic, since):
            answer.append(await ask(topic, since))
            await release.wait()
            return answer[-1]

        broker.history = history
        await hub.publish("t", b"1", KEEP)  # reveals the loss of 0
        await eventually(lambda: answer)
        await hub.publish("t", b"2", KEEP)  # lost behind the page
        broker.go()
        broker.come()
        await settled()
        release.set()
        await eventually(lambda: ear.data == [0, 1, 2])
        assert ear.gaps == []

    hub_run(main)


def test_what_waits_for_the_history_is_bounded(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear)
        broker.lose = lambda message: message.data == b"0"
        ask, release = broker.history, asyncio.Event()

        async def history(topic, since):
            page = await ask(topic, since)
            await release.wait()
            return page

        broker.history = history
        for n in range(2000):
            await hub.publish("t", b"%d" % n, Keep(10_000, 60))
        assert len(hub._channels["t"].waiting) <= 256
        release.set()
        await eventually(lambda: ear.data == list(range(2000)))

    hub_run(main)


def test_who_was_told_more_elsewhere_is_not_told_it_again(hub_run):
    async def main(hub, broker):
        ear = Ear()
        epoch = (await hub.attach("t", ear)).position.epoch
        broker.lose = lambda message: True
        for n in range(3):
            await hub.publish("t", b"%d" % n, KEEP)
        ahead = await hub.attach("t", Ear(), Position(epoch, 2))
        assert (ahead.position, ahead.missed, ahead.recovered) == (Position(epoch, 2), [], True)

    hub_run(main)


def test_one_that_gives_up_leaves_nothing_subscribed(hub_run):
    async def main(hub, broker):
        for part in ("subscribe", "history"):
            broker.slow = asyncio.Event()
            coming = asyncio.create_task(hub.attach("t", Ear()))
            await settled()
            if part == "history":
                broker.slow.set()
                broker.slow = asyncio.Event()
                await settled()
            coming.cancel()
            await settled()
            broker.slow.set()
            await eventually(lambda: not hub._channels)
            assert not broker._subscribed

    hub_run(main, linger=0.01)


def test_the_first_to_come_may_go_without_harm_to_the_others(hub_run):
    async def main(hub, broker):
        start, release, starts = broker.start, asyncio.Event(), []

        async def slow(*arguments):
            starts.append(1)
            await release.wait()
            await start(*arguments)

        broker.start = slow
        first = asyncio.create_task(hub.attach("t", Ear()))
        second = asyncio.create_task(hub.publish("t", b"0", KEEP))
        await settled()
        first.cancel()
        with pytest.raises(Unavailable):
            await hub.publish("t", b"1", KEEP, timeout=0.01)
        release.set()
        assert (await second).position.offset == 1
        assert starts == [1]

    hub_run(main)


def test_whoever_comes_while_it_is_closed_is_refused(hub_run):
    async def main(hub, broker):
        release, close = asyncio.Event(), broker.close

        async def slow():
            await release.wait()
            await close()

        await hub.attach("t", Ear())
        broker.silent = 1000
        doubtful = asyncio.create_task(hub.publish("t", b"0", KEEP))
        await settled()
        broker.close = slow
        closing = asyncio.create_task(hub.close())
        await settled()
        for late in (hub.attach("t", Ear()), hub.publish("t", b"1", KEEP)):
            with pytest.raises(Unavailable):
                await late
        release.set()
        await closing
        with pytest.raises(Uncertain):  # at once, not when its time is up
            await asyncio.wait_for(doubtful, 1)
        broker.silent = 0
        assert (await hub.publish("t", b"1", KEEP)).position

    hub_run(main)


def test_nothing_that_was_held_back_is_told_behind_a_gap(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.attach("t", ear, per_second=20)
        for n in range(3):
            await hub.publish("t", b"%d" % n, KEEP)
        broker.forgets()
        await hub.publish("t", b"3", KEEP)
        await eventually(lambda: ear.gaps)
        await asyncio.sleep(0.1)
        assert ear.data == [0]
        await hub.publish("t", b"4", KEEP)
        assert ear.data == [0, 4]

    hub_run(main)


# --- between processes


def test_what_is_watched_is_heard_and_its_history_is_nobodys_business(hub_run):
    async def main(hub, broker):
        ears = {f"@u:{n}": Ear() for n in range(600)}
        for topic, ear in ears.items():
            hub.watch(topic, ear)
        await eventually(lambda: all(c.joined for c in hub._channels.values()))
        assert broker.asked == ["subscribe", "subscribe"]
        assert not broker._histories
        for n, topic in enumerate(ears):
            assert (await hub.publish(topic, b"%d" % n, None)).receivers == 1
        assert [ear.data for ear in ears.values()] == [[n] for n in range(600)]

    hub_run(main)


def test_what_nobody_watches_any_more_is_left_at_once(hub_run):
    async def main(hub, broker):
        a, b = Ear(), Ear()
        hub.watch("@u:1", a)
        hub.watch("@u:1", b)
        await hub.settled("@u:1")
        hub.detach("@u:1", a)
        await settled()
        assert (await hub.publish("@u:1", b"1", None)).receivers == 1
        hub.detach("@u:1", b)
        hub.detach("@u:1", b)
        await eventually(lambda: not hub._channels)
        assert (await hub.publish("@u:1", b"2", None)).receivers == 0
        assert (a.data, b.data) == ([], [1])

    hub_run(main, linger=60)


def test_who_comes_and_goes_all_the_time_is_heard_of_at_last(hub_run):
    async def main(hub, broker):
        ear, chance = Ear(), random.Random(7)
        for _ in range(300):
            if chance.random() < 0.5:
                hub.watch("@u:1", ear)
            else:
                hub.detach("@u:1", ear)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        hub.watch("@u:1", ear)
        await hub.settled("@u:1")
        assert (await hub.publish("@u:1", b"1", None)).receivers == 1
        assert ear.data == [1]
        hub.detach("@u:1", ear)
        await eventually(lambda: not broker._subscribed)

    hub_run(main)


def test_watching_waits_for_a_broker_that_is_away(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.publish("t", b"0", KEEP)
        broker.go()
        hub.watch("@u:1", ear)
        await settled()
        broker.come()
        await eventually(lambda: hub._channels["@u:1"].joined)
        broker.go()
        broker.come()
        await hub.settled("@u:1")
        await hub.publish("@u:1", b"1", None)
        assert (ear.data, ear.gaps) == ([1], [])

    hub_run(main)


def test_watching_goes_on_where_the_broker_refuses_at_first(hub_run):
    async def main(hub, broker):
        ear = Ear()
        await hub.publish("t", b"0", KEEP)
        broker.away = True
        hub.watch("@u:1", ear)
        await settled()
        broker.away = False
        await eventually(lambda: hub._channels["@u:1"].joined)

    hub_run(main)


def test_watching_goes_on_where_the_way_could_not_be_begun(hub_run, caplog):
    async def main(hub, broker):
        ear, start = Ear(), broker.start

        async def fails(*arguments):
            broker.start = start
            raise OSError("no way")

        broker.start = fails
        hub.watch("@u:1", ear)
        await eventually(lambda: hub._channels["@u:1"].joined)

    hub_run(main)
    assert "could not be begun" in caplog.text


def test_one_topic_that_cannot_be_joined_is_not_the_others_fault(hub_run):
    async def main(hub, broker):
        subscribe = broker.subscribe

        async def refusing(topics):
            if "bad" in topics:
                raise Unavailable("not this one")
            await subscribe(topics)

        broker.subscribe = refusing
        ears = [Ear() for _ in range(20)]
        coming = [hub.attach("bad" if n == 7 else f"t{n}", ear) for n, ear in enumerate(ears)]
        ends = await asyncio.gather(*coming, return_exceptions=True)
        assert [n for n, end in enumerate(ends) if isinstance(end, Unavailable)] == [7]

    hub_run(main)


def test_two_hubs_at_one_backend_are_told_so(run):
    async def main():
        broker = Broker()
        one, other = Hub(broker), Hub(broker)
        await one.attach("t", Ear())
        with pytest.raises(RuntimeError, match="in use"):
            await other.publish("t", b"0", KEEP)
        await one.close()
        await other.publish("t", b"0", KEEP)
        await other.close()

    run(main())


def test_topics_that_are_wanted_in_one_turn_are_subscribed_together(hub_run):
    async def main(hub, broker):
        ears = [Ear() for _ in range(600)]
        await asyncio.gather(*(hub.attach(f"t{n}", ear) for n, ear in enumerate(ears)))
        assert sorted(broker.asked) == ["positions"] * 2 + ["subscribe"] * 2
        for n in range(600):
            await hub.publish(f"t{n}", b"%d" % n, KEEP)
        assert [ear.data for ear in ears] == [[n] for n in range(600)]

    hub_run(main)


def test_a_topic_that_the_broker_refuses_is_no_harm_to_those_beside_it(hub_run):
    async def main(hub, broker):
        ask = broker.positions

        async def positions(topics):
            if "bad" in topics:
                raise Unavailable("refused")
            return await ask(topics)

        async def history(topic, since):
            if topic == "bad":
                raise Unavailable("refused")
            return await asked_alone(topic, since)

        asked_alone = broker.history
        broker.positions, broker.history = positions, history
        bad = asyncio.create_task(hub.attach("bad", Ear()))
        good = Ear()
        await hub.attach("good", good)
        await hub.publish("good", b"1", KEEP)
        assert good.data == [1]
        bad.cancel()

    hub_run(main)


def test_what_comes_between_the_subscription_and_its_position_is_told_once(hub_run):
    async def main(hub, broker):
        await hub.publish("t", b"0", KEEP)
        ask, ear = broker.positions, Ear()

        async def positions(topics):
            await hub.publish("t", b"1", KEEP)
            answer = await ask(topics)
            await hub.publish("t", b"2", KEEP)
            return answer

        broker.positions = positions
        attached = await hub.attach("t", ear)
        await hub.publish("t", b"3", KEEP)
        assert (attached.position.offset, ear.data) == (3, [3])
        epoch = attached.position.epoch
        back = await hub.attach("t", Ear(), Position(epoch, 1))
        assert [m.data for m in back.missed] == [b"1", b"2", b"3"]

    hub_run(main)


def test_one_that_closes_while_topics_are_subscribed_keeps_nobody_waiting(hub_run):
    async def main(hub, broker):
        await hub.publish("t", b"0", KEEP)
        broker.slow = asyncio.Event()
        asked = asyncio.create_task(hub.attach("t", Ear()))
        await settled()
        about_to = asyncio.create_task(hub.attach("u", Ear()))
        await asyncio.sleep(0)
        await hub.close()
        for each in await asyncio.gather(asked, about_to, return_exceptions=True):
            assert isinstance(each, Unavailable)

    hub_run(main)


@pytest.mark.parametrize("together", [False, True])
def test_one_that_is_further_than_the_broker_is_not_recovered_whoever_comes_with_it(
    hub_run, together
):
    async def main(hub, broker):
        first = (await hub.publish("t", b"0", KEEP)).position
        for n in range(1, 10):
            await hub.publish("t", b"%d" % n, KEEP)
        ahead, behind = Ear(), Ear()
        coming = [hub.attach("t", ahead, Position(first.epoch, 1000))]
        coming += [hub.attach("t", behind, first)] if together else []
        attached, *others = await asyncio.gather(*coming)
        assert (attached.recovered, attached.position.offset) == (False, 10)
        assert all(other.recovered and len(other.missed) == 9 for other in others)
        await hub.publish("t", b"10", KEEP)
        assert ahead.data == [10]

    hub_run(main)


def test_all_who_come_back_to_another_history_are_one_question(hub_run):
    async def main(hub, broker):
        await hub.publish("t", b"0", KEEP)
        await hub.attach("t", Ear())
        broker.asked.clear()
        back = [hub.attach("t", Ear(), Position(f"old{n % 5}", 3)) for n in range(50)]
        assert not any(attached.recovered for attached in await asyncio.gather(*back))
        assert broker.asked == ["history"]

    hub_run(main)


def test_who_comes_while_an_old_lease_is_ended_is_told_of_too(hub_run):
    class Somebody:
        def __init__(self, user_id):
            self.user_id = user_id

    async def main(hub, broker):
        attendance, gate, reap = Attendance(hub), asyncio.Event(), broker.reap

        async def slowly(lease=""):
            if lease:
                await gate.wait()
            await reap(lease)

        broker.reap = slowly
        await hub.ready()
        await settled()
        attendance.came(Somebody("ann"), "room")
        await settled()
        broker.go()
        broker.come()
        await settled()
        attendance.came(Somebody("bob"), "room")
        await settled()
        gate.set()
        await settled()
        assert {member.user_id for member in await attendance.members("room")} == {"ann", "bob"}
        await attendance.close()

    hub_run(main)
