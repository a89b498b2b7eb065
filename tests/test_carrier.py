"""Running a coroutine in the current task, and being told when it first waits."""

import asyncio
import contextvars

import pytest

from fastapi_observable_socket._carrier import carry, run_sync


def call(function, *arguments):
    return function(*arguments)


def test_a_coroutine_that_never_waits_is_never_told_of(run):
    told = []

    async def quick():
        return "done"

    assert run(carried(quick(), told)) == "done"
    assert told == []


async def carried(coroutine, told, step=call):
    return await carry(coroutine, lambda: told.append("waits"), step)


def test_the_first_wait_is_told_once_and_at_once(run):
    told = []

    async def slow():
        told.append("before")
        await asyncio.sleep(0)
        told.append("between")
        await asyncio.sleep(0.001)
        return "done"

    assert run(carried(slow(), told)) == "done"
    assert told == ["before", "waits", "between"]


def test_all_steps_run_in_one_real_task(run):
    tasks = []

    async def steps():
        tasks.append(asyncio.current_task())
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        tasks.append(asyncio.current_task())

    async def main():
        await carried(steps(), [])
        return asyncio.current_task()

    task = run(main())
    assert tasks == [task, task]


def test_a_timeout_inside_works_and_leaves_nothing_behind(run):
    async def late():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        return asyncio.current_task().cancelling()

    assert run(carried(late(), [])) == 0


@pytest.mark.parametrize("waits", [True, False])
def test_exceptions_pass(run, waits):
    async def fails():
        if waits:
            await asyncio.sleep(0)
        raise LookupError("x")

    with pytest.raises(LookupError):
        run(carried(fails(), []))


def test_cancellation_reaches_the_coroutine_and_what_it_does_then(run):
    seen = []

    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("tidied")
            raise

    async def main():
        task = asyncio.create_task(carried(stubborn(), []))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert seen == ["tidied"]


def test_a_context_of_its_own_keeps_what_is_set_in_it(run):
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    async def sets():
        token = variable.set("inside")
        await asyncio.sleep(0)
        seen.append(variable.get())
        variable.reset(token)
        variable.set("left")

    async def main():
        await carried(sets(), [], contextvars.copy_context().run)
        return variable.get()

    assert run(main()) == "outside"
    assert seen == ["inside"]


@pytest.mark.parametrize("kind", [StopIteration, GeneratorExit])
def test_what_steers_coroutines_cannot_leave_a_thread(run, kind):
    def raises():
        raise kind

    with pytest.raises(RuntimeError, match=kind.__name__):
        run(run_sync(raises))
