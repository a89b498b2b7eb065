"""Plain functions in the thread pool."""

import contextvars
import threading

import pytest

from fastapi_observable_socket._threads import run_sync


def test_a_function_runs_in_another_thread_with_its_arguments(run):
    def told(a, *, b):
        return threading.current_thread() is threading.main_thread(), a, b

    assert run(run_sync(told, 1, b=2)) == (False, 1, 2)


def test_it_sees_the_context_variables_of_its_caller(run):
    variable = contextvars.ContextVar("variable", default="default")

    async def main():
        variable.set("set")
        return await run_sync(variable.get)

    assert run(main()) == "set"


def test_what_it_raises_is_raised(run):
    def fails():
        raise LookupError("x")

    with pytest.raises(LookupError, match="x"):
        run(run_sync(fails))


@pytest.mark.parametrize("kind", [StopIteration, GeneratorExit])
def test_what_steers_coroutines_cannot_leave_a_thread(run, kind):
    def raises():
        raise kind

    with pytest.raises(RuntimeError, match=kind.__name__):
        run(run_sync(raises))
