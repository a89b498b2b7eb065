"""What the fast lane promises beside the frames: order, waiting, flow and ends."""

import asyncio
import contextlib
import gc

import pytest
from uvicorn.protocols.utils import ClientDisconnected
from websockets.exceptions import ProtocolError

from .harness import EXTENSION, LANE, UVICORN, Line, turns
from .wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Sent, close, frame, text

BOTH = pytest.mark.parametrize("subject", [UVICORN, LANE], ids=["uvicorn", "lane"])


class Patron:
    """An application in the hands of a test: it accepts, and all else is asked for."""

    def __init__(self, accepts=True):
        self.accepts = accepts
        self.gone = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.scope, self.receive, self.asgi_send = scope, receive, send
        self.lane = scope["extensions"].get(EXTENSION, {}).get("lane")
        assert (await receive())["type"] == "websocket.connect"
        if self.accepts:
            await self.accept()
        await self.gone.wait()

    async def accept(self):
        await self.asgi_send({"type": "websocket.accept"})

    async def send(self, data):
        kind = "text" if type(data) is str else "bytes"
        await self.asgi_send({"type": "websocket.send", kind: data})

    async def close(self, code=1000, reason=""):
        await self.asgi_send({"type": "websocket.close", "code": code, "reason": reason})

    async def received(self):
        """All that is there to be received."""
        messages = []
        while True:
            getting = asyncio.ensure_future(self.receive())
            await turns()
            if not getting.done():
                getting.cancel()
                return messages
            event = getting.result()
            if event["type"] == "websocket.disconnect":
                messages.append(event["code"])
            else:
                messages.append(event.get("text") if "bytes" not in event else event["bytes"])


async def opened(subject=LANE, **options):
    app = Patron()
    line = await Line(app, subject, **options).open()
    return app, line


# --- order


@BOTH
def test_messages_in_fragments_keep_their_place(run, subject):
    async def main():
        app, line = await opened(subject)
        await line.come(frame(TEXT, b"a", fin=False) + frame(CONT, b"b") + text("c"))
        assert await app.received() == ["ab", "c"]
        await line.leave()

    run(main())


def test_what_take_gives_is_behind_what_receive_has(run):
    async def main():
        app, line = await opened()
        await line.come(frame(TEXT, b"a", fin=False) + frame(CONT, b"b") + text("c"))
        assert app.lane.take() is None
        assert app.lane.take() is None
        assert (await app.receive())["text"] == "ab"
        assert app.lane.take() == "c"
        await line.leave()

    run(main())


def test_a_fault_is_not_seen_before_what_stands_in_front_of_it_is_taken(run):
    async def main():
        app, line = await opened()
        await line.come(
            frame(TEXT, b"a", fin=False) + frame(CONT, b"b") + text("c") + text("?", rsv=4)
        )
        for expected in ("ab", "c"):
            assert (await app.receive())["text"] == expected
            await app.send(expected)
        assert (await app.receive())["code"] == 1002
        assert [frame.opcode for frame in line.sent] == [TEXT, TEXT, CLOSE]
        await line.leave()

    run(main())


# --- sizes


@BOTH
def test_no_limit_of_the_size_is_none(run, subject):
    async def main():
        app, line = await opened(subject, max_size=None)
        await line.come(text("x" * 70_000), frame(BINARY, b"y" * 70_000))
        assert await app.received() == ["x" * 70_000, b"y" * 70_000]
        await line.leave()

    run(main())


@BOTH
@pytest.mark.parametrize("before", [b"", frame(PING), frame(TEXT, fin=False) + frame(CONT)])
@pytest.mark.parametrize("limit", [0, 1, 124, 125, 126])
def test_a_small_limit_holds_whatever_came_before(run, subject, limit, before):
    async def main():
        app, line = await opened(subject, max_size=limit)
        if before:
            await line.come(before)
            await app.received()
        await line.come(text("x" * limit))
        assert await app.received() == ["x" * limit]
        await line.come(text("x" * (limit + 1)))
        assert (await app.received())[0] == 1009
        await line.leave()

    run(main())


# --- applications that do not receive


@BOTH
def test_pings_are_answered_while_nobody_receives(run, subject):
    async def main():
        _, line = await opened(subject)
        await line.come(frame(PING, b"1"), frame(PING, b"2")[:3], frame(PING, b"2")[3:])
        assert line.sent == [Sent(PONG, b"1"), Sent(PONG, b"2")]
        await line.leave()

    run(main())


@BOTH
def test_a_close_is_answered_while_nobody_receives(run, subject):
    async def main():
        app, line = await opened(subject)
        await line.come(close(1001))
        assert line.sent == [Sent(CLOSE, b"\x03\xe9")]
        assert line.wire.lost
        with pytest.raises(ClientDisconnected):
            await app.send("too late")
        assert (await app.receive())["code"] == 1001
        await line.leave()

    run(main())


def test_what_comes_before_the_accept_is_not_lost(run):
    async def main():
        app = Patron(accepts=False)
        line = await Line(app).open()
        await line.come(frame(PING, b"1") + text("a")[:4], text("a")[4:] + frame(PING, b"2"))
        assert line.wire.written == b""
        await app.accept()
        await turns()
        assert line.sent == [Sent(PONG, b"1")]
        assert await app.received() == ["a"]
        assert line.sent == [Sent(PONG, b"1"), Sent(PONG, b"2")]
        await line.leave()

    run(main())


@pytest.mark.parametrize("waits", ["before", "behind"])
def test_what_comes_before_the_accept_is_told_to_who_waited_before_it(run, waits):
    async def main():
        app = Patron(accepts=False)
        line = await Line(app).open()
        if waits == "behind":
            await line.come(text("a"))
        receiving = asyncio.ensure_future(app.receive())
        await turns()
        if waits == "before":
            await line.come(text("a"))
        await app.accept()
        await turns()
        assert receiving.result()["text"] == "a"
        await line.leave()

    run(main())


def test_reading_stops_where_too_much_comes_before_the_accept(run):
    async def main():
        app = Patron(accepts=False)
        line = await Line(app).open()
        await line.come(*[text("x" * 1000)] * 100)
        assert line.wire.paused
        await app.accept()
        assert not line.wire.paused
        assert await app.received() == ["x" * 1000] * 100
        await line.leave()

    run(main())


@BOTH
def test_what_comes_before_a_refusal_goes_nowhere(run, subject):
    async def main():
        app = Patron(accepts=False)
        line = await Line(app, subject).open()
        await line.come(text("a") + frame(PING))
        await app.close()
        await turns()
        assert b" 403 " in line.wire.written.partition(b"\r\n")[0]
        assert line.wire.lost
        await line.leave()

    run(main())


@BOTH
def test_frames_that_come_with_the_request_are_read_to_their_end(run, subject):
    async def main():
        app = Patron()
        line = Line(app, subject)
        inside = text("no message")
        whole = frame(BINARY, b"b" + inside, mask=bytes(4))
        await line.open(behind=text("a") + whole[: -len(inside)])
        await line.come(whole[-len(inside) :] + text("c"))
        assert await app.received() == ["a", b"b" + inside, "c"]
        await line.leave()

    run(main())


# --- ends


@pytest.mark.parametrize("fault", [text("?", rsv=4), frame(3), frame(PING, b"x" * 126)])
@pytest.mark.parametrize("end", ["eof_received", "connection_lost", "shutdown"])
def test_messages_in_front_of_a_fault_are_received_after_the_end(run, end, fault):
    async def main():
        app, line = await opened()
        await line.come(text("a") + frame(BINARY, b"b") + text("c") + fault)
        if end == "connection_lost":
            await line.call(line.wire.lose, ConnectionResetError())
        else:
            await line.call(getattr(line.protocol, end))
        assert (await app.received())[:3] == ["a", b"b", "c"]
        await line.leave()

    run(main())


def test_a_text_that_is_no_utf8_ends_it_once(run):
    async def main():
        app, line = await opened()
        await line.come(text(b"\xff") + text("lost") + text("?", rsv=4))
        received = await app.received()
        assert received == [1007, 1005]  # the second is the transport's end
        assert line.sent == [Sent(CLOSE, b"\x03\xef")]
        await line.leave()

    run(main())


def test_what_is_not_taken_when_the_application_closes_is_behind_the_close(run):
    async def main():
        app, line = await opened()
        await line.come(text("a") + text("b") + frame(PING, b"1") + close(1001))
        assert (await app.receive())["text"] == "a"
        await app.close(4000, "enough")
        await turns()
        assert await app.received() == [4000, 1005]
        assert line.sent[0] == Sent(CLOSE, b"\x0f\xa0enough")
        assert line.sent[1:] in ([], [Sent(PONG, b"1")])  # older versions close at once
        assert line.wire.lost
        await line.leave()

    run(main())


@BOTH
def test_a_close_that_cannot_be_sent_closes_nothing(run, subject):
    async def main():
        app, line = await opened(subject)
        with pytest.raises(ProtocolError):
            await app.close(999)
        await line.come(text("a"))
        assert await app.received() in (["a"], [999, "a"])
        await line.leave()

    run(main())


def test_a_close_in_front_of_the_end_of_the_stream_keeps_its_code(run):
    async def main():
        app, line = await opened()
        await line.come(text("a") + close(4001, b"bye"))
        await line.call(line.protocol.eof_received)
        assert await app.received() == ["a", 4001, 1005]
        assert line.sent == [Sent(CLOSE, b"\x0f\xa1bye")]
        await line.leave()

    run(main())


def test_a_shutdown_comes_behind_what_is_there(run):
    async def main():
        app, line = await opened()
        await line.come(text("a") + text("b"))
        await line.call(line.protocol.shutdown)
        assert await app.received() == ["a", "b", 1012, 1005]
        assert line.sent == [Sent(CLOSE, b"\x03\xf4")]
        await line.leave()

    run(main())


def test_a_shutdown_bears_with_a_close_that_nobody_has_come_to(run):
    async def main():
        app, line = await opened()
        await line.come(text("a") + close(1001))
        line.protocol.shutdown()
        await turns()
        assert await app.received() == ["a", 1001, 1005]
        assert line.sent == [Sent(CLOSE, b"\x03\xe9")]
        await line.leave()

    run(main())


def test_a_lost_connection_is_told_behind_what_is_there(run):
    async def main():
        app, line = await opened()
        await line.come(text("a") + frame(PING) + text("b") + text("half")[:5])
        await line.call(line.wire.lose, ConnectionResetError())
        assert await app.received() == ["a", "b", 1005]
        await line.leave()

    run(main())


@BOTH
def test_a_keepalive_without_an_answer_ends_it(run, subject):
    async def main():
        _, line = await opened(subject)
        line.protocol.ping_interval = 20
        await line.call(line.protocol.send_keepalive_ping)
        await line.call(line.protocol.keepalive_timeout)
        assert [each.opcode for each in line.sent] == [PING, CLOSE]
        assert line.wire.lost
        await line.leave()

    run(main())


def test_a_keepalive_is_answered_behind_what_nobody_takes(run):
    async def main():
        app, line = await opened()
        line.protocol.ping_interval = 20
        await line.call(line.protocol.send_keepalive_ping)
        (ping,) = line.sent
        await line.come(text("a") + frame(PONG, ping.data) + text("b"))
        await line.call(line.protocol.keepalive_timeout)
        assert not line.wire.closing
        await line.come(text("c"))
        assert await app.received() == ["a", "b", "c"]
        await line.leave()

    run(main())


def test_what_is_written_in_the_turn_of_the_end_still_leaves(run):
    async def main():
        app, line = await opened()
        await line.come(text("a") + frame(PING, b"1"))

        def end():
            app.lane.put("last")
            line.protocol.eof_received()
            line.wire.close()

        await line.call(end)
        assert line.sent == [Sent(TEXT, b"last"), Sent(PONG, b"1")]
        await line.leave()

    run(main())


# --- waiting


@BOTH
def test_a_receive_that_is_cancelled_loses_no_message(run, subject):
    async def main():
        app, line = await opened(subject)
        got = []
        for n in range(600):
            await line.come(text(str(n)))
            getting = asyncio.ensure_future(app.receive())
            await turns(n % 3)
            getting.cancel()
            await turns()
            if not getting.cancelled():
                got.append(getting.result()["text"])
        await line.come(text("last"))
        got += await app.received()
        assert got == [str(n) for n in range(600)] + ["last"]
        await line.leave()

    run(main())


def test_a_receive_that_is_cancelled_while_it_lets_others_run_loses_no_message(run):
    async def main():
        app, line = await opened()
        await line.come(text("x") * 300)
        got = 0
        for _ in range(301):
            getting = asyncio.ensure_future(app.receive())
            await asyncio.sleep(0)
            getting.cancel()
            await turns()
            got += not getting.cancelled()
        assert got + len(await app.received()) == 300
        await line.leave()

    run(main())


@pytest.mark.parametrize("when", ["before", "behind", "in"])
@BOTH
def test_a_cancellation_beside_an_arrival_loses_no_message(run, subject, when):
    async def main():
        app, line = await opened(subject)
        getting = asyncio.ensure_future(app.receive())
        await turns()
        if when == "before":
            getting.cancel()
        line.loop.call_soon(line.protocol.data_received, text("a"))
        if when == "behind":
            line.loop.call_soon(getting.cancel)
        elif when == "in":
            line.protocol.data_received(text("b"))  # inside of a task
            getting.cancel()
        await turns()
        got = [] if getting.cancelled() else [getting.result()["text"]]
        assert got + await app.received() == (["b", "a"] if when == "in" else ["a"])
        await line.leave()

    run(main())


@BOTH
def test_two_that_wait_get_a_message_each_in_their_order(run, subject):
    async def main():
        app, line = await opened(subject)
        first, second = (asyncio.ensure_future(app.receive()) for _ in range(2))
        await turns()
        await line.come(text("a"))
        assert first.result()["text"] == "a"
        assert not second.done()
        third = asyncio.ensure_future(app.receive())
        await turns()
        await line.come(text("b") + text("c") + text("d"))
        assert [second.result()["text"], third.result()["text"]] == ["b", "c"]
        assert await app.received() == ["d"]
        await line.leave()

    run(main())


def test_one_that_is_cancelled_leaves_the_message_to_the_next(run):
    async def main():
        app, line = await opened()
        first, second = (asyncio.ensure_future(app.receive()) for _ in range(2))
        await turns()
        first.cancel()
        line.loop.call_soon(line.protocol.data_received, text("a"))
        await turns()
        assert first.cancelled()
        assert second.result()["text"] == "a"
        await line.leave()

    run(main())


# --- flow


@pytest.mark.parametrize("message", [text("x"), frame(TEXT, b"x", fin=False) + frame(CONT)])
def test_a_flood_lets_others_run(run, message):
    async def main():
        app, line = await opened()
        line.protocol.data_received(message * 5000)
        ran = []
        ticking = asyncio.ensure_future(tick(ran))
        most = 0
        for _ in range(5000):
            before = len(ran)
            await app.receive()
            most = 0 if len(ran) > before else most + 1
            assert most <= 256
        ticking.cancel()
        await line.leave()

    async def tick(ran):
        while True:
            ran.append(None)
            await asyncio.sleep(0)

    run(main())


def test_reading_stops_while_nobody_takes_and_goes_on_when_all_is_taken(run):
    async def main():
        app, line = await opened()
        await line.come(text("x" * 60_000))
        assert not line.wire.paused
        await line.come(text("x" * 60_000))
        assert line.wire.paused
        await app.receive()
        assert line.wire.paused
        await app.receive()
        waiting = asyncio.ensure_future(app.receive())
        await turns()
        assert not line.wire.paused
        waiting.cancel()
        await line.leave()

    run(main())


def test_a_message_that_is_not_whole_is_read_on_however_large(run):
    async def main():
        app, line = await opened()
        whole = text("x" * 1_000_000)
        for begin in range(0, len(whole), 50_000):
            assert not line.wire.paused
            await line.come(whole[begin : begin + 50_000])
        assert line.wire.paused
        assert await app.received() == ["x" * 1_000_000]
        assert not line.wire.paused
        await line.leave()

    run(main())


def test_messages_in_fragments_let_in_no_more_than_others(run):
    async def main():
        app, line = await opened()
        piece = (frame(TEXT, b"x" * 100, fin=False) + frame(CONT, b"y")) * 1000
        taken = pieces = 0
        while taken < 2000:
            if not line.wire.paused:
                await line.come(piece)
                pieces += 1
            await app.receive()
            taken += 1
        assert pieces <= 4
        await line.leave()

    run(main())


def test_a_large_message_is_not_kept_once_it_is_taken(run):
    async def main():
        app, line = await opened()
        await line.come(text("x" * 1_000_000)[:-1], text("x" * 1_000_000)[-1:])
        assert len((await app.receive())["text"]) == 1_000_000
        waiting = asyncio.ensure_future(app.receive())
        await turns()
        gc.collect()
        kept = [
            each for each in gc.get_referents(line.protocol) if isinstance(each, bytes | bytearray)
        ]
        assert sum(map(len, kept)) < 1000
        waiting.cancel()
        await line.leave()

    run(main())


def test_a_peer_that_does_not_read_makes_put_say_no_and_send_wait(run):
    async def main():
        app, line = await opened()
        assert app.lane.put("1")
        line.protocol.pause_writing()
        assert not app.lane.put("not this one")
        assert not app.lane.push("nor this")
        sending = asyncio.ensure_future(app.send("2"))
        await turns()
        assert not sending.done()
        line.protocol.resume_writing()
        await sending
        assert app.lane.put("3")
        await turns()
        assert [each.data for each in line.sent] == [b"1", b"2", b"3"]
        await line.leave()

    run(main())


def test_a_send_that_waits_ends_with_the_connection(run):
    async def main():
        app, line = await opened()
        line.protocol.pause_writing()
        sending = asyncio.ensure_future(app.send("never"))
        await turns()
        await line.call(line.wire.lose, ConnectionResetError())
        with contextlib.suppress(ClientDisconnected):  # older versions do not say so
            await asyncio.wait_for(sending, 5)
        assert not app.lane.put("nor this")
        await line.leave()

    run(main())


def test_what_is_written_leaves_in_its_order(run):
    async def main():
        app, line = await opened()

        def all_kinds():
            app.lane.put("1")
            app.sending = asyncio.ensure_future(app.send("2"))
            line.protocol.data_received(frame(PING, b"3"))
            app.lane.put("4")

        await line.call(all_kinds)
        assert [each.data for each in line.sent] == [b"1", b"3", b"4", b"2"]
        app.lane.put("5")
        await app.send(b"6")
        app.lane.put("7")
        await app.close(4000)
        await turns()
        assert [each.data for each in line.sent][4:] == [b"5", b"6", b"7", b"\x0f\xa0"]
        await line.leave()

    run(main())


def test_much_in_one_turn_is_not_held_back(run):
    async def main():
        app, line = await opened()
        for _ in range(100):
            app.lane.put("x" * 1000)
        assert len(line.wire.written) > 48 * 1024
        assert line.protocol.transport.get_write_buffer_size() > 0
        await turns()
        assert line.protocol.transport.get_write_buffer_size() == 0
        assert len(line.sent) == 100
        await line.leave()

    run(main())


def test_what_an_arrival_answers_is_one_write(run):
    async def main():
        app, line = await opened()

        async def echo():
            for _ in range(50):
                await app.send((await app.receive())["text"])

        echoing = asyncio.ensure_future(echo())
        await turns()
        writes = line.wire.writes
        await line.come(text("x") * 50)
        assert len(line.sent) == 50
        assert line.wire.writes == writes + 1
        await echoing
        await line.leave()

    run(main())


@pytest.mark.parametrize("data", ["", "é" * 62, "x" * 125, "x" * 126, "x" * 65535, "x" * 65536])
def test_a_frame_of_ours_is_that_of_uvicorn(run, data):
    async def main():
        written = []
        for subject in (UVICORN, LANE):
            app, line = await opened(subject)
            await app.send(data)
            await app.send(data.encode())
            if subject is LANE:
                assert app.lane.put(data)
                assert app.lane.push(data)
            await turns()
            written.append(line.sent)
            await line.leave()
        assert written[1] == [*written[0], *[written[0][0]] * 2]

    run(main())
