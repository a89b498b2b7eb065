"""
A language model of a few hundred words: no network, no download, and no sense.

It knows which words follow which in `text.txt`, and continues what it is given. The rest of
the example does not know how it works: whoever has a real model puts it in its place.
"""

import asyncio
import random
import re
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

MEMORY = 2
"""How many words back it looks."""

FAITH = 50
"""How much more two words that fit say about the next one than one does."""

Context = tuple[str, ...]


class Babbler:
    """Continues a prompt with words of `text`; `pace` is awaited before each."""

    def __init__(self, text: str, pace: Callable[[], Awaitable[object]]) -> None:
        self._pace = pace
        self._followers: defaultdict[Context, Counter[str]] = defaultdict(Counter)
        words = text.split()
        for place, word in enumerate(words):
            before = [plain(w) for w in words[max(0, place - MEMORY) : place]]
            if not before or before[-1].endswith("."):
                self._followers[()][word] += 1  # it can begin a sentence
            for size in range(1, len(before) + 1):
                self._followers[tuple(before[-size:])][word] += 1

    async def write(
        self, prompt: str, *, temperature: float, seed: int
    ) -> AsyncGenerator[str, None]:
        """Words without end. The same prompt, temperature and seed give the same words.

        At temperature 0 it always takes the likeliest, at 2 nearly any that it has seen there.
        """
        chance = random.Random(seed)
        said = [plain(word) for word in re.findall(r"[\w'’-]+", prompt)]
        while True:
            await self._pace()
            word = pick(self._scores(said), temperature, chance)
            said.append(plain(word))
            yield word

    def _scores(self, said: list[str]) -> Counter[str]:
        scores: Counter[str] = Counter()
        for size in range(1, MEMORY + 1):
            for word, count in self._followers.get(tuple(said[-size:]), {}).items():
                scores[word] += count * FAITH ** (size - 1)
        return scores or self._followers[()]


def plain(word: str) -> str:
    """How a word is remembered. The end of a sentence is part of it: what follows is another."""
    return word.strip(",").lower()


def pick(scores: Counter[str], temperature: float, chance: random.Random) -> str:
    words = sorted(scores)
    best = max(scores.values())
    if temperature < 0.01:
        return next(word for word in words if scores[word] == best)
    weights = [(scores[word] / best) ** (1 / temperature) for word in words]
    return chance.choices(words, weights)[0]


def at_pace(per_second: float) -> Callable[[], Awaitable[object]]:
    """So many a second, as people read; as many as possible for 0."""
    seconds = 1 / per_second if per_second > 0 else 0
    return lambda: asyncio.sleep(seconds)


def of_the_sea(per_second: float) -> Babbler:
    text = Path(__file__).with_name("text.txt").read_text(encoding="utf-8")
    return Babbler(text, at_pace(per_second))
