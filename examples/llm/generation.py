"""
One text in the making, with one who writes it and any number who read along.

There is no queue for each reader. There is one list, which only grows, and each reader
remembers how far they have read: who comes late or reads slowly takes more at a time, costs no
memory, and is waited for by nobody.
"""

import asyncio
import secrets
from collections.abc import Iterator
from typing import Literal

State = Literal["running", "done", "stopped"]


class Generation:
    def __init__(self, id: str, prompt: str, seed: int) -> None:
        self.id = id
        self.prompt = prompt
        self.seed = seed
        self.state: State = "running"
        self.words: list[str] = []
        self._news = asyncio.Event()

    def add(self, word: str) -> None:
        self.words.append(word)
        self._wake()

    def end(self, state: State) -> None:
        """Its first end counts."""
        if self.state == "running":
            self.state = state
            self._wake()

    async def after(self, number: int) -> list[str]:
        """The words from that number on, as soon as there are any; none where it has ended."""
        while len(self.words) <= number and self.state == "running":
            await self._news.wait()
        return self.words[number:]

    def _wake(self) -> None:
        # All who wait now are woken, and the next news are another event.
        self._news.set()
        self._news = asyncio.Event()


class Shelf:
    """The generations that run, and the last few that ran."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._by_id: dict[str, Generation] = {}

    def __iter__(self) -> Iterator[Generation]:
        """Newest first."""
        return reversed(list(self._by_id.values()))

    @property
    def running(self) -> int:
        return sum(generation.state == "running" for generation in self)

    def begin(self, prompt: str, seed: int) -> Generation:
        generation = Generation(secrets.token_hex(4), prompt, seed)
        self._by_id[generation.id] = generation
        ended = [each for each in self if each.state != "running"]
        for old in ended[self._keep :]:
            del self._by_id[old.id]
        return generation

    def find(self, id: str) -> Generation | None:
        return self._by_id.get(id)
