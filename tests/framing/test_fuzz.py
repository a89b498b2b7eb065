"""Random streams on both protocols; `fuzz.py` says how, and runs as many as wanted."""

import asyncio
from dataclasses import replace

import pytest

from .fuzz import Maker, compare_many, difference_of, shrunk
from .harness import Manners
from .wire import PING, frame, text


def test_the_same_comes_of_a_few_thousand_streams():
    assert compare_many(0, 3_000) == []


@pytest.mark.slow
def test_the_same_comes_of_many_streams():
    assert compare_many(1_000_000, 1_010_000) == []


@pytest.mark.slow
def test_the_same_comes_of_many_streams_on_uvloop():
    uvloop = pytest.importorskip("uvloop")
    assert compare_many(2_000_000, 2_010_000, uvloop.new_event_loop) == []


def test_a_seed_tells_all():
    assert Maker(7).case() == Maker(7).case() != Maker(8).case()


def test_a_difference_is_found_and_made_small(monkeypatch):
    """With a lane that takes every ping for a pong."""
    from fastapi_observable_socket import _uvicorn

    given = _uvicorn.Protocol._give

    def deaf(self, size):
        if self._buffer[self._place] == 0x80 | PING:
            self._buffer = bytearray(self._buffer)
            self._buffer[self._place] += 1
        given(self, size)

    monkeypatch.setattr(_uvicorn.Protocol, "_give", deaf)
    loop = asyncio.new_event_loop()
    case = replace(
        Maker(1).case(),
        frames=(text("a"), text("b"), frame(PING, b"p"), text("c")),
        places=(3, 9),
        manners=Manners(echoes=True),
        max_size=None,
        end="open",
    )
    found = difference_of(loop, case, 1)
    assert found is not None
    assert found.what == "written"
    small = shrunk(loop, found).case
    assert small.frames == (frame(PING, b"p"),)
    assert small.places == ()
    assert not small.manners.echoes
    assert "seed 1: written differ" in str(found)
    loop.close()
