"""One connection, many calls: which run when, in which task, and what is left of them."""

import asyncio
import contextvars
import logging
from typing import Annotated

import anyio
import anyio.lowlevel
import pytest
from fastapi import Depends

from fastapi_observable_socket import PerConnection, SocketRouter
from fastapi_observable_socket._closing import close, shortened
from fastapi_observable_socket.testing import SocketClosed, SocketTestClient

variable = contextvars.ContextVar("variable", default="outside")


class Gate:
    """A handler's way to wait, and a test's way to see that it does."""

    def __init__(self):
        self.arrived = asyncio.Semaphore(0)
        self.open = asyncio.Event()
        self.running = 0
        self.most = 0

    async def wait(self):
        self.running += 1
        self.most = max(self.most, self.running)
        self.arrived.release()
        try:
            await self.open.wait()
        finally:
            self.running -= 1

    async def has(self, count):
        for _ in range(count):
            await asyncio.wait_for(self.arrived.acquire(), 10)


async def settled():
    """A few turns of the loop, for those who could act to have acted."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_fast_calls_are_answered_while_a_slow_one_runs(run):
    async def main():
        router, gate = SocketRouter(), Gate()

        @router.route("slow")
        async def slow():
            await gate.wait()
            return "slow"

        @router.route("fast")
        async def fast(payload):
            return payload

        async with SocketTestClient(router) as client:
            await client.push("slow", uuid="s")
            await gate.has(1)
            answers = [await client.request("fast", n) for n in range(100)]
            assert [a.payload for a in answers] == list(range(100))
            await client.push("PING", uuid="p")
            assert (await client.receive())["route"] == "PONG"
            gate.open.set()
            assert (await client.receive())["payload"] == "slow"

    run(main())


def test_in_flight_is_bounded_and_nothing_is_lost(run):
    async def main():
        router, gate = SocketRouter(max_in_flight=5), Gate()

        @router.route("slow")
        async def slow(payload):
            await gate.wait()
            return payload

        async with SocketTestClient(router) as client:
            for n in range(300):
                await client.push("slow", n, uuid=n + 1)
            await gate.has(5)
            await settled()
            assert gate.most == 5
            gate.open.set()
            answers = [await client.receive() for _ in range(300)]
            assert sorted(a["payload"] for a in answers) == list(range(300))
            assert gate.most == 5

    run(main())


def test_the_reader_stops_behind_the_look_ahead(run):
    async def main():
        router, gate = SocketRouter(max_in_flight=2), Gate()

        @router.route("slow")
        async def slow(payload):
            await gate.wait()

        async with SocketTestClient(router) as client:
            for n in range(2 + 63):
                await client.push("slow", uuid=n + 1)
            await client.push("PING", uuid="near")
            assert (await client.receive())["uuid"] == "near"
            await client.push("slow", uuid=1000)
            await client.push("PING", uuid="far")
            await settled()
            assert not client._to_app.empty()
            gate.open.set()
            frames = [await client.receive() for _ in range(66 + 1)]
            assert sum(f["uuid"] == "far" for f in frames) == 1

    run(main())


def test_overflow_can_be_refused_instead(run):
    async def main():
        router, gate = SocketRouter(max_in_flight=2, overflow="reject"), Gate()

        @router.route("slow")
        async def slow():
            await gate.wait()

        async with SocketTestClient(router) as client:
            await client.push("slow", uuid=1)
            await client.push("slow", uuid=2)
            await gate.has(2)
            refused = await client.request("slow", uuid="third")
            assert (refused.status, refused.payload["code"]) == (429, "too_many_requests")
            gate.open.set()
            assert {(await client.receive())["uuid"] for _ in "12"} == {1, 2}

    run(main())


def test_routes_that_take_the_socket_run_one_after_the_other(run):
    async def main():
        router, order = SocketRouter(), []

        @router.route("ordered")
        async def ordered(ws, headers, payload):
            order.append(("in", payload))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append(("out", payload))
            return payload

        async with SocketTestClient(router) as client:
            for n in range(50):
                await client.push("ordered", n, uuid=n + 1)
            answers = [(await client.receive())["payload"] for _ in range(50)]
        assert answers == list(range(50))
        assert order == [(way, n) for n in range(50) for way in ("in", "out")]

    run(main())


def test_order_is_kept_beyond_the_limit_too(run):
    async def main():
        router, gate, order = SocketRouter(max_in_flight=2), Gate(), []

        @router.route("slow")
        async def slow():
            await gate.wait()

        @router.route("ordered")
        async def ordered(ws, headers, payload):
            await asyncio.sleep(0)
            order.append(payload)

        async with SocketTestClient(router) as client:
            await client.push("slow", uuid="a")
            await client.push("slow", uuid="b")
            await gate.has(2)
            for n in range(30):
                await client.push("ordered", n, uuid=n + 1)
            gate.open.set()
            for _ in range(32):
                await client.receive()
        assert order == list(range(30))

    run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_a_call_runs_in_one_real_task_from_its_first_step(run, waits):
    async def main():
        router, tasks = SocketRouter(), []

        @router.route("steps")
        async def steps():
            tasks.append(asyncio.current_task())
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
                if waits:
                    await asyncio.sleep(0)
            with anyio.move_on_after(10):
                await anyio.lowlevel.checkpoint()
            tasks.append(asyncio.current_task())
            return asyncio.current_task().cancelling()

        async with SocketTestClient(router) as client:
            assert (await client.request("steps")).payload == 0
        assert tasks[0] is tasks[1] is not None

    run(main())


def test_timeouts_of_a_handler_end_it_alone(run):
    async def main():
        router = SocketRouter()

        @router.route("late")
        async def late():
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.Event().wait()
            except TimeoutError:
                return "late"

        async with SocketTestClient(router) as client:
            for _ in range(5):
                assert (await client.request("late")).payload == "late"

    run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_what_one_message_sets_in_a_context_variable_the_next_does_not_see(run, waits):
    async def main():
        router = SocketRouter()

        @router.route("set")
        async def sets(payload):
            seen = variable.get()
            variable.set(payload)
            if waits:
                await asyncio.sleep(0)
            return [seen, variable.get()]

        async with SocketTestClient(router) as client:
            for n in range(3):
                assert (await client.request("set", n)).payload == ["outside", n]

    run(main())


class Incomparable:
    def __eq__(self, other):
        raise TypeError("neither equal nor not")

    __hash__ = object.__hash__


def test_values_of_context_variables_need_not_be_comparable(run):
    async def main():
        router = SocketRouter()

        @router.route("set")
        async def sets():
            variable.set(Incomparable())

        variable.set(Incomparable())
        async with SocketTestClient(router) as client:
            for _ in range(2):
                assert (await client.request("set")).status == 200

    run(main())


@pytest.mark.parametrize(
    "options", [{"ordered": True}, {"max_in_flight": 1}], ids=["ordered", "full"]
)
def test_a_call_that_waited_for_its_turn_sees_no_other_calls_context(run, options):
    async def main():
        router, gate = SocketRouter(**options), Gate()

        @router.route("set")
        async def sets(payload):
            seen = variable.get()
            variable.set(payload)
            await gate.wait()
            return seen

        async with SocketTestClient(router) as client:
            for n in range(1, 4):
                await client.push("set", n, uuid=n)
            await gate.has(1)
            gate.open.set()
            assert [(await client.receive())["payload"] for _ in range(3)] == ["outside"] * 3

    run(main())


def test_a_call_that_takes_too_long_is_ended_and_answered(run):
    async def main():
        router, ended = SocketRouter(handler_timeout=0.01), []

        @router.route("slow")
        async def slow():
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        @router.route("patient", timeout=60)
        async def patient():
            await asyncio.sleep(0.05)
            return "done"

        async with SocketTestClient(router) as client:
            for _ in range(3):
                answer = await client.request("slow")
                assert (answer.status, answer.payload["code"]) == (504, "timeout")
            assert (await client.request("patient")).payload == "done"
        assert ended == [True] * 3

    run(main())


def test_a_cancelled_call_tidies_up_before_its_answer(run):
    async def main():
        router, gate, seen = SocketRouter(), Gate(), []

        async def resource():
            try:
                yield
            except asyncio.CancelledError:
                seen.append("dependency")
                raise

        @router.route("slow")
        async def slow(_: Annotated[None, Depends(resource)]):
            try:
                await gate.wait()
            finally:
                seen.append("handler")

        async with SocketTestClient(router) as client:
            await client.push("slow", uuid=1)
            await gate.has(1)
            await client.push("$cancel", uuid=1)
            await client.push("$cancel", uuid=1)
            answer = await client.receive()
            assert (answer["uuid"], answer["status"]) == (1, 499)
            assert seen == ["handler", "dependency"]

    run(main())


@pytest.mark.parametrize("ordered", [False, True])
def test_a_call_in_line_can_be_cancelled_and_never_begins(run, ordered):
    async def main():
        router, gate, begun = SocketRouter(max_in_flight=1), Gate(), []

        @router.route("slow", ordered=ordered)
        async def slow(payload):
            begun.append(payload)
            await gate.wait()

        async with SocketTestClient(router) as client:
            for n in (1, 2, 3):
                await client.push("slow", n, uuid=n)
            await gate.has(1)
            await client.push("$cancel", uuid=2)
            assert (await client.receive())["status"] == 499
            await client.push("slow", 4, {"$timeout": 1}, uuid=4)
            late = await client.receive()
            assert (late["uuid"], late["status"]) == (4, 408)
            gate.open.set()
            assert [(await client.receive())["uuid"] for _ in "13"] == [1, 3]
            assert begun == [1, 3]

    run(main())


def test_a_shielded_call_is_not_cancelled(run):
    async def main():
        router, gate = SocketRouter(), Gate()

        @router.route("slow", shield=True)
        async def slow():
            await gate.wait()
            return "done"

        async with SocketTestClient(router) as client:
            await client.push("slow", uuid=1)
            await gate.has(1)
            await client.push("$cancel", uuid=1)
            await settled()
            gate.open.set()
            assert (await client.receive())["payload"] == "done"

    run(main())


def test_a_long_deadline_does_not_shorten_the_life_of_a_call_in_line(run):
    async def main():
        router, gate = SocketRouter(max_in_flight=1), Gate()

        @router.route("first")
        async def first():
            await gate.wait()

        @router.route("second", timeout=0.05)
        async def second():
            return "done"

        async with SocketTestClient(router) as client:
            await client.push("first", uuid=1)
            await gate.has(1)
            await client.push("second", None, {"$timeout": 60_000}, uuid=2)
            await asyncio.sleep(0.1)  # the route's own time has not begun yet
            gate.open.set()
            answers = {(a := await client.receive())["uuid"]: a["status"] for _ in "12"}
            assert answers == {1: 200, 2: 200}

    run(main())


def test_the_shorter_of_two_time_limits_counts(run):
    async def main():
        router = SocketRouter(handler_timeout=0.02)

        @router.route("slow")
        async def slow():
            await asyncio.Event().wait()

        async with SocketTestClient(router) as client:
            assert (await client.request("slow", headers={"$timeout": 60_000})).status == 504
            assert (await client.request("slow", headers={"$timeout": 1})).status == 408

    run(main())


def test_a_call_whose_peer_is_gone_is_cancelled(run):
    async def main():
        router, gate = SocketRouter(), Gate()

        @router.route("slow")
        async def slow():
            await gate.wait()

        async with SocketTestClient(router) as client:
            for n in range(100):
                await client.push("slow", uuid=n + 1)
            await gate.has(64)
        assert gate.running == 0
        assert gate.arrived.locked()

    run(main())


def test_a_shielded_call_outlives_its_peer(run):
    async def main():
        router, gate, done = SocketRouter(), Gate(), []

        @router.route("slow", shield=True)
        async def slow():
            await gate.wait()
            done.append(True)

        client = SocketTestClient(router)
        await client.__aenter__()
        await client.push("slow", uuid=1)
        await gate.has(1)
        leaving = asyncio.create_task(client.disconnect())
        await settled()
        assert gate.running == 1
        gate.open.set()
        await leaving
        assert done == [True]

    run(main())


class Stalled(SocketTestClient):
    """A peer that takes no answer."""

    async def _send(self, message):
        if message["type"] == "websocket.send":
            await asyncio.Event().wait()
        await super()._send(message)


@pytest.mark.parametrize("by_server", [False, True])
@pytest.mark.parametrize("waits", [False, True])
def test_a_call_whose_answer_cannot_leave_closes_what_it_opened(run, waits, by_server):
    async def main():
        router, closed = SocketRouter(send_timeout=0.05), asyncio.Event()

        async def dependency():
            yield "opened"
            await asyncio.sleep(0)
            closed.set()  # not in a `finally`: garbage collection would run that too

        @router.route("it")
        async def it(value: Annotated[str, Depends(dependency)]):
            if waits:
                await asyncio.sleep(0)
            return value

        client = Stalled(router)
        await client.__aenter__()
        await client.push("it", uuid=1)
        await settled()
        if by_server:
            client._task.cancel()
        await asyncio.wait_for(closed.wait(), 5)
        await asyncio.wait([client._task], timeout=5)
        assert client.closed.code == (1012 if by_server else 4008)

    run(main())


def test_the_servers_cancellation_is_not_taken_for_our_own(run):
    async def main():
        router, gate = SocketRouter(send_timeout=0.05), Gate()

        @router.route("slow", shield=True)
        async def slow():
            await gate.wait()

        @router.route("fast")
        async def fast():
            return None

        client = Stalled(router)
        await client.__aenter__()
        await client.push("slow", uuid=1)
        await gate.has(1)  # it keeps the server's own task
        await client.push("fast", uuid=2)
        with pytest.raises(SocketClosed):  # by which another reading task was called back
            await client.receive()
        await settled()
        client._task.cancel()
        await asyncio.wait([client._task], timeout=5)
        assert client._task.cancelled()

    run(main())


def test_a_server_that_does_not_wait_for_shielded_calls_leaves_nothing_open(run):
    async def main():
        router, gate, closed = SocketRouter(), Gate(), []

        async def dependency():
            yield
            closed.append(gate.running)

        @router.route("first")
        async def first():
            await asyncio.sleep(0)  # another task reads on, and the server's own is free

        @router.route("slow", shield=True)
        async def slow(_: Annotated[None, PerConnection(dependency)]):
            await gate.wait()

        client = SocketTestClient(router)
        await client.__aenter__()
        await client.request("first")
        await client.push("slow", uuid="s")
        await gate.has(1)
        leaving = asyncio.create_task(client.disconnect())
        await settled()
        assert gate.running == 1
        client._task.cancel()
        await asyncio.wait([leaving], timeout=5)
        assert leaving.cancelled()
        assert closed == [0]

    run(main())


@pytest.mark.parametrize("limit", [1, 64], ids=["postponed", "begun"])
def test_a_deadline_beyond_all_numbers_is_none(run, limit):
    async def main():
        router, gate = SocketRouter(max_in_flight=limit), Gate()

        @router.route("slow")
        async def slow():
            await gate.wait()
            return "done"

        async with SocketTestClient(router) as client:
            await client.push("slow", uuid=1)
            await client.push("slow", uuid=2, headers={"$timeout": 10**400})
            await gate.has(min(limit, 2))
            await client.push("PING", uuid=3)
            assert (await client.receive())["route"] == "PONG"
            gate.open.set()
            assert [(await client.receive())["payload"] for _ in range(2)] == ["done"] * 2

    run(main())


def test_a_deadline_of_a_call_that_never_began_ends_with_its_connection(run):
    async def main():
        router, gate, errors = SocketRouter(max_in_flight=1), Gate(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))

        @router.route("slow")
        async def slow():
            await gate.wait()

        async with SocketTestClient(router) as client:
            await client.push("slow", uuid=1)
            await client.push("slow", uuid=2, headers={"$timeout": 50})
            await gate.has(1)
        await asyncio.sleep(0.1)
        assert errors == []

    run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_that_cancels_its_own_task_leaves_no_deaf_socket(run, waits):
    async def main():
        router = SocketRouter()

        @router.route("self-cancel")
        async def cancels_itself():
            if waits:
                await asyncio.sleep(0.001)
            asyncio.current_task().cancel()
            await asyncio.Event().wait()

        async with SocketTestClient(router) as client:
            await client.push("self-cancel", uuid=1)
            with pytest.raises(SocketClosed) as closed:
                await client.receive()
            assert closed.value.code == 1011

    run(main())


def test_binary_frames_are_refused(run):
    async def main():
        async with SocketTestClient(SocketRouter()) as client:
            await client.send_raw(b"{}")
            with pytest.raises(SocketClosed) as closed:
                await client.receive()
            assert closed.value.code == 1003

    run(main())


def test_a_socket_that_is_silent_is_closed(run):
    async def main():
        router = SocketRouter(idle_timeout=0.02, idle_timeout_without_heartbeat=3600)
        async with SocketTestClient(router) as client:
            await client.push("PING", uuid=1)
            assert (await client.receive())["route"] == "PONG"
            with pytest.raises(SocketClosed) as closed:
                await client.receive()
            assert closed.value.code == 4408

    run(main())


def test_a_handler_can_push_and_close_by_the_socket(run):
    async def main():
        router = SocketRouter()

        @router.route("bye")
        async def bye(ws, headers, payload):
            await ws.send_json({"uuid": "#", "route": "note", "payload": 1})
            await ws.close(4000)

        async with SocketTestClient(router) as client:
            await client.push("bye", uuid=1)
            assert (await client.receive())["route"] == "note"
            with pytest.raises(SocketClosed) as closed:
                await client.receive()
            assert closed.value.code == 4000

    run(main())


@pytest.mark.parametrize(
    ("reason", "bytes_of_it"),
    [("short", 5), ("x" * 200, 123), ("é" * 100, 122), ("🎉" * 40, 120), ("\ud800", 1)],
)
def test_a_reason_is_cut_between_characters(reason, bytes_of_it):
    assert len(shortened(reason).encode()) == bytes_of_it


def test_a_code_that_the_server_refuses_has_a_twin(run):
    sent = []

    async def picky(message):
        if 1000 < message["code"] < 3000:
            raise ValueError("invalid close code")
        sent.append(message["code"])

    async def main():
        for code in (1000, 1003, 1008, 1009, 1011, 1012, 1013, 4008):
            await close(picky, code, "")

    run(main())
    assert sent == [1000, 4003, 4403, 4009, 4011, 4012, 4013, 4008]


def test_a_close_that_fails_is_nobodys_error(run, caplog):
    async def broken(message):
        raise OSError("gone")

    with caplog.at_level(logging.INFO):
        run(close(broken, 1000, ""))
    assert not caplog.records
