"""Looking after things at the loop's next turn."""

import asyncio

from fastapi_observable_socket._turn import next_turn


def test_all_looks_come_at_the_next_turn_in_order(run):
    async def main():
        seen = []
        for n in range(3):
            next_turn().look(lambda n=n: seen.append(n))
        assert seen == []
        await asyncio.sleep(0)
        assert seen == [0, 1, 2]
        next_turn().look(lambda: seen.append("again"))
        await asyncio.sleep(0)
        assert seen[-1] == "again"

    run(main())


def test_a_look_comes_before_what_the_present_turn_starts(run):
    async def main():
        seen = []

        async def waits():
            next_turn().look(lambda: seen.append("look"))
            await asyncio.sleep(0)
            seen.append("goes on")

        await asyncio.create_task(waits())
        assert seen == ["look", "goes on"]

    run(main())


def test_each_loop_has_its_own_turns(run):
    async def turn():
        return next_turn() is next_turn(), next_turn()

    same, first = run(turn())
    assert same
    assert run(turn())[1] is not first
