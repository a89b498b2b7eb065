"""Who waits for a message goes on in its own task, from the first step on."""

import asyncio
import contextvars
import sys

import anyio
import pytest

from .harness import Line, turns
from .test_lane import Patron, opened
from .wire import text

variable = contextvars.ContextVar("variable", default="unset")


async def waiting(coroutine):
    """A task, run until it waits."""
    task = asyncio.ensure_future(coroutine)
    await turns()
    return task


def test_it_is_the_current_task_with_its_context_and_no_turn_later(run):
    async def main():
        app, line = await opened()
        seen = []

        async def listen():
            variable.set("mine")
            while True:
                message = await app.receive()
                seen.append((message["text"], asyncio.current_task(), variable.get()))

        task = await waiting(listen())

        def comes():
            line.protocol.data_received(text("a") + text("b"))
            assert seen == [("a", task, "mine"), ("b", task, "mine")]
            assert asyncio.current_task() is None
            assert variable.get() == "unset"

        await line.call(comes)
        assert len(seen) == 2
        task.cancel()
        await line.leave()

    run(main())


def test_data_that_comes_inside_of_another_task_is_told_at_the_next_turn(run):
    async def main():
        app, line = await opened()
        task = await waiting(app.receive())
        line.protocol.data_received(text("a"))
        assert not task.done()
        await turns(2)
        assert task.result()["text"] == "a"
        await line.leave()

    run(main())


def test_a_timeout_ends_the_waiting_and_none_else(run):
    async def main():
        app, line = await opened()

        async def listen():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await app.receive()
            async with asyncio.timeout(60):
                first = await app.receive()
            return first["text"], (await app.receive())["text"]

        task = await waiting(listen())
        await asyncio.sleep(0.02)
        await turns()
        await line.come(text("a") + text("b"))
        assert await task == ("a", "b")
        await line.leave()

    run(main())


def test_a_scope_of_anyio_entered_in_the_first_step_is_the_tasks_own(run):
    async def main():
        app, line = await opened()

        async def listen():
            await app.receive()
            with anyio.move_on_after(0.01) as scope:
                await app.receive()
            assert scope.cancelled_caught
            async with anyio.create_task_group() as group:
                got = []

                async def get():
                    got.append((await app.receive())["text"])

                group.start_soon(get)
                group.start_soon(get)
            return got

        task = await waiting(listen())
        await line.come(text("a"))
        await asyncio.sleep(0.02)
        await turns()
        await line.come(text("b") + text("c"))
        assert await task == ["b", "c"]
        await line.leave()

    run(main())


def test_a_task_group_and_a_wait_in_the_first_step_are_the_tasks_own(run):
    async def main():
        app, line = await opened()

        async def listen():
            await app.receive()
            async with asyncio.TaskGroup() as group:
                one = group.create_task(app.receive())
            return one.result()["text"], (await asyncio.wait_for(app.receive(), 60))["text"]

        task = await waiting(listen())
        await line.come(text("a"))
        await line.come(text("b") + text("c"))
        assert await task == ("b", "c")
        await line.leave()

    run(main())


def test_a_cancellation_from_inside_its_first_step_is_raised_where_it_waits_next(run):
    async def main():
        app, line = await opened()

        async def listen():
            await app.receive()
            asyncio.current_task().cancel("enough")
            await app.receive()

        task = await waiting(listen())
        await line.come(text("a"))
        with pytest.raises(asyncio.CancelledError):
            await task
        await line.come(text("b"))
        assert await app.received() == ["b"]
        await line.leave()

    run(main())


def test_an_error_in_its_first_step_is_the_tasks_own(run):
    async def main():
        app, line = await opened()

        async def listen():
            await app.receive()
            raise LookupError

        task = await waiting(listen())
        await line.come(text("a"))
        with pytest.raises(LookupError):
            await task
        await line.come(text("b"))
        assert await app.received() == ["b"]
        await line.leave()

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks")
def test_eager_tasks_are_served_as_well(run):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        app = Patron()
        line = await Line(app).open()
        await line.come(text("a"))
        assert await app.received() == ["a"]
        task = await waiting(app.receive())
        await line.come(text("b"))
        assert (await task)["text"] == "b"
        await line.leave()

    run(main())


def test_a_message_may_lead_to_the_next_inside_of_its_own_arrival(run):
    """As where an answer makes a peer in the same process send at once."""

    async def main():
        app, line = await opened()
        seen = []

        async def listen():
            while True:
                message = (await app.receive())["text"]
                seen.append(message)
                if len(seen) < 4:
                    line.protocol.data_received(text(message + "x"))

        task = await waiting(listen())
        await line.come(text("a"))
        assert seen == ["a", "ax", "axx", "axxx"]
        task.cancel()
        await line.leave()

    run(main())


def test_a_cancellation_says_what_it_was_given(run):
    async def main():
        app, line = await opened()
        for message in ("enough", None):
            task = await waiting(app.receive())
            task.cancel(*[message] if message else [])
            with pytest.raises(asyncio.CancelledError) as raised:
                await task
            assert raised.value.args == ((message,) if message else ())
        await line.leave()

    run(main())


def test_who_has_the_lane_is_told_of_steps_whoever_waited_before(run):
    async def main():
        app, line = await opened()
        told = []

        def step(run, *arguments):
            told.append(arguments)
            run(*arguments)

        for waited in (1, 2):
            task = await waiting(app.receive())
            app.lane.step = step
            await line.come(text("a"))
            assert (await task)["text"] == "a"
            assert len(told) == waited - 1
        await line.leave()

    run(main())
