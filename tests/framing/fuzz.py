"""
Random bytes on uvicorn's own protocol and on ours: the same must come of it.

    python -m tests.framing.fuzz --streams 1000000

Streams are mostly sound frames of all kinds, with faults, mutations and noise. On uvicorn's
protocol they come frame by frame, each when all before it has come to rest; on ours they are cut
anywhere. Each is told by its seed alone; of one that differs, the seed and its smallest form
are printed.

What may differ, and why:

- Where frames come while an application is at something (`Case.timed`), pongs and closes may
  stand elsewhere among its messages, and of those the last may be missing, since the closing
  overtakes them: as on uvicorn's protocol, it is a matter of time.
- How uvicorn's protocol is served, frame by frame and after the accept, is no difference but
  the rule that both are held to. What it makes of frames depends on how they are cut: it forgets
  messages that come in one piece with a fault, and answers a ping before the messages that
  stand in front of it, where they came together.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

from .harness import LANE, UVICORN, Manners, Outcome, Run, run_all
from .wire import (
    BINARY,
    CLOSE,
    CONT,
    CONTROL,
    PING,
    PONG,
    TEXT,
    boundaries,
    close,
    cut,
    frame,
    sent,
)

SIZES: tuple[int | None, ...] = (None, 0, 10, 125, 126, 200, 1000, 1 << 20)
WORDS = ("", "a", "hello", "é", "日本語", "\U0001f600", "\x00", "x" * 100)
BAD_TEXTS = (
    b"\xc0\xaf",  # overlong
    b"\xed\xa0\x80",  # a surrogate
    b"\xf4\x90\x80\x80",  # beyond the last code point
    b"\xff",
    b"ab\xe2\x82",  # cut off
    b"\x80",
)
CODES = (999, 1000, 1001, 1004, 1005, 1006, 1007, 1011, 1012, 1015, 1016, 2999, 3000, 4999, 5000)


@dataclass(frozen=True)
class Case:
    """A stream, how it is cut and what it meets."""

    frames: tuple[bytes, ...]
    places: tuple[int, ...]
    """Where it is cut."""
    manners: Manners
    max_size: int | None
    end: str
    gaps: tuple[int, ...] | None = None
    """Turns between pieces, where they come at odd moments."""
    end_first: bool = False
    early: int = 0
    apart: bool = False
    """Whether it is also cut between frames."""

    @property
    def timed(self) -> bool:
        """Whether frames come while the application is at something."""
        return self.gaps is not None or (self.manners.slow > 0 and not self.apart)

    def runs(self) -> tuple[Run, Run]:
        data = b"".join(self.frames)
        between = boundaries(data)
        places = {*self.places, *between} if self.apart else self.places
        options: dict[str, Any] = {"max_size": self.max_size, "end": self.end}
        plain = replace(self.manners, by_lane=False, late=False)
        return (
            Run(UVICORN, cut(data, between), plain, **options),
            Run(
                LANE,
                cut(data, sorted(places)),
                self.manners,
                gaps=self.gaps,
                end_first=self.end_first,
                early=self.early,
                **options,
            ),
        )

    def differs(self, expected: Outcome, actual: Outcome) -> str:
        """What is not as it must be; nothing where all is."""
        names = [field.name for field in fields(Outcome)]
        if self.timed:
            names = ["events", "closed"]
            if (difference := _sent_otherwise(expected.written, actual.written)) != "":
                return difference
        if self.end_first:
            names.remove("closed")
        for name in names:
            if getattr(expected, name) != getattr(actual, name):
                return name
        return ""


def _sent_otherwise(expected: bytes, actual: bytes) -> str:
    ours, theirs = sent(actual), sent(expected)
    if [f for f in ours if f.opcode in CONTROL] != [f for f in theirs if f.opcode in CONTROL]:
        return "control frames"
    messages = [f for f in ours if f.opcode not in CONTROL]
    if messages != [f for f in theirs if f.opcode not in CONTROL][: len(messages)]:
        return "messages sent"
    return ""


# --- making them


class Maker:
    """Makes the case of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def case(self) -> Case:
        r = self.random
        max_size = r.choice(SIZES) if r.random() < 0.3 else 1 << 20
        faulty = r.random() < 0.5
        frames: list[bytes] = []
        for _ in range(r.choice((1, 2, 3, 4, 6, 9, 14))):
            chance = r.random()
            if faulty and chance < 0.12:
                frames += self.fault()
            elif chance < 0.97:
                frames += self.sound()
            else:
                frames.append(self.close())
        if r.random() < 0.3:
            frames.append(self.close())
        if faulty and r.random() < 0.2:
            frames = [self.mutated(frames)]
        data = b"".join(frames)
        manners, more = self.manners()
        if manners.slow and (manners.closes, manners.returns) != (None, None):
            more["apart"] = True  # whose close is the first would be a matter of time, too
        return Case(tuple(frames), self.places(data), manners, max_size, **more)

    def bytes(self, size: int) -> bytes:
        return self.random.randbytes(size)

    def mask(self) -> bytes:
        return b"\0\0\0\0" if self.random.random() < 0.05 else self.bytes(4)

    def size(self) -> int:
        r = self.random
        chance = r.random()
        if chance < 0.8:
            return r.randrange(30)
        if chance < 0.97:
            return r.choice((124, 125, 126, 127, 128, 199, 200, 201, 300))
        if chance < 0.997:
            return r.choice((999, 1000, 1001, 4000))
        return r.choice((65535, 65536, 70000))

    def text(self) -> bytes:
        r = self.random
        if r.random() < 0.6:
            return r.choice(WORDS).encode()
        return b"t" * self.size()

    def frame(self, opcode: int, data: bytes, **options: Any) -> bytes:
        return frame(opcode, data, mask=self.mask(), **options)

    def sound(self) -> list[bytes]:
        r = self.random
        chance = r.random()
        if chance < 0.45:
            return [self.frame(TEXT, self.text())]
        if chance < 0.6:
            return [self.frame(BINARY, self.bytes(self.size()))]
        if chance < 0.78:
            return [self.control()]
        if chance < 0.82:
            data = self.bytes(r.randrange(100)) if r.random() < 0.5 else self.text()[:100]
            opcode = r.choice((BINARY, PING, PONG)) if r.random() < 0.5 else BINARY
            wide = opcode == BINARY
            return [self.frame(opcode, data, width=r.choice((2, 8)) if wide else None)]
        return self.fragments(r.choice((TEXT, BINARY)))

    def control(self) -> bytes:
        r = self.random
        data = self.bytes(r.choice((0, 0, 1, 4, 20, 125)))
        return self.frame(PING if r.random() < 0.7 else PONG, data)

    def fragments(self, opcode: int) -> list[bytes]:
        r = self.random
        data = self.text() if opcode == TEXT else self.bytes(self.size())
        places = sorted(r.randint(0, len(data)) for _ in range(r.choice((1, 1, 2, 3))))
        pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
        frames = []
        for n, piece in enumerate(pieces):
            last = n == len(pieces) - 1
            frames.append(self.frame(CONT if n else opcode, piece, fin=last))
            while not last and r.random() < 0.3:
                frames.append(self.control())
        return frames

    def close(self) -> bytes:
        r = self.random
        if r.random() < 0.3:
            return frame(CLOSE, b"", mask=self.mask())
        code = r.choice((1000, 1000, 1001, 3000, 4000)) if r.random() < 0.7 else r.choice(CODES)
        return close(code, r.choice((b"", b"bye", "é".encode() * 20)), mask=self.mask())

    def fault(self) -> list[bytes]:
        r = self.random
        opcode = r.choice((CONT, TEXT, BINARY, CLOSE, PING, PONG))
        data = self.text()[:60]
        match r.randrange(12):
            case 0:
                return [self.frame(TEXT, r.choice((b"", b"ok")) + r.choice(BAD_TEXTS))]
            case 1:
                return [self.frame(opcode, data, rsv=r.randrange(1, 8))]
            case 2:
                return [self.frame(r.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), data)]
            case 3:
                return [frame(opcode, data, mask=None)]
            case 4:
                return [self.frame(r.choice(CONTROL), data, fin=False)]
            case 5:
                return [self.frame(r.choice(CONTROL), self.bytes(r.choice((126, 127, 300))))]
            case 6:
                return [self.frame(CONT, data, fin=r.random() < 0.5)]
            case 7:
                return [self.frame(TEXT, data, fin=False), self.frame(BINARY, data)]
            case 8:
                length = r.choice((1 << 63, (1 << 64) - 1, 1 << 40, (1 << 20) + 1))
                return [self.frame(r.choice((TEXT, BINARY)), data, length=length, width=8)]
            case 9:
                return [frame(CLOSE, self.bytes(r.choice((1, 2, 3, 10))), mask=self.mask())]
            case 10:
                bad = r.choice(BAD_TEXTS)
                half = r.randint(0, len(bad))
                return [
                    self.frame(TEXT, bad[:half], fin=False),
                    self.frame(CONT, bad[half:]),
                ]
            case _:
                return [self.bytes(r.randrange(1, 20))]

    def mutated(self, frames: list[bytes]) -> bytes:
        r = self.random
        data = bytearray(b"".join(frames))
        for _ in range(r.choice((1, 1, 2, 4))):
            place = r.randrange(len(data) + 1)
            match r.randrange(4):
                case 0:
                    data[place : place + 1] = self.bytes(1)
                case 1:
                    del data[place : place + r.randrange(1, 6)]
                case 2:
                    data[place:place] = self.bytes(r.randrange(1, 6))
                case _:
                    if place < len(data):
                        data[place] ^= 1 << r.randrange(8)
        return bytes(data)

    def places(self, data: bytes) -> tuple[int, ...]:
        r = self.random
        size = len(data)
        chance = r.random()
        if chance < 0.3 or not size:
            return ()
        if chance < 0.4 and size < 200:
            return tuple(range(1, size))
        if chance < 0.65:
            near = (end + r.randint(-2, 8) for end in boundaries(data) if r.random() < 0.7)
            return tuple(sorted({place for place in near if 0 < place < size}))
        return tuple(sorted({r.randrange(size) for _ in range(r.choice((1, 2, 3, 6)))} - {0}))

    def manners(self) -> tuple[Manners, dict[str, Any]]:
        """How the application behaves, and what goes with that."""
        r = self.random
        manners = Manners(
            echoes=r.random() < 0.5,
            greets=r.random() < 0.1,
            slow=r.choice((0, 0, 0, 1, 3)),
            by_lane=r.random() < 0.4,
        )
        more: dict[str, Any] = {"end": r.choice(("eof", "eof", "lost", "shutdown", "open"))}
        chance = r.random()
        if chance < 0.25:
            more["gaps"] = tuple(r.choice((0, 0, 0, 1, 2, 4)) for _ in range(40))
        elif chance < 0.4:
            code, reason = r.choice(((1000, ""), (1001, "bye"), (4000, "é")))
            manners = replace(manners, closes=r.randrange(4), code=code, reason=reason)
        elif chance < 0.5:
            manners = replace(manners, returns=r.randrange(4))
        elif chance < 0.65:
            manners = replace(manners, stalls=r.randrange(4))
            if r.random() < 0.3:
                manners = replace(manners, echoes=False)
                more |= {"end_first": True, "end": "eof"}
        elif chance < 0.75:
            manners = replace(manners, late=True)
            more["early"] = r.randrange(5)
        return manners, more


# --- comparing them


@dataclass(frozen=True)
class Difference:
    seed: int
    what: str
    case: Case
    expected: Outcome
    actual: Outcome

    def __str__(self) -> str:
        return "\n".join(
            [
                f"seed {self.seed}: {self.what} differ",
                f"  {self.case}",
                *(
                    f"  {name}: {outcome} {sent_by(outcome)}"
                    for name, outcome in (("uvicorn", self.expected), ("lane", self.actual))
                ),
            ]
        )


def sent_by(outcome: Outcome) -> Any:
    try:
        return sent(outcome.written)
    except (AssertionError, IndexError):
        return outcome.written


def compare(loop: asyncio.AbstractEventLoop, seeds: Iterator[int]) -> list[Difference]:
    """Run the cases of these seeds on both; the differences."""
    made: list[tuple[int, Case, tuple[Run, Run]]] = []
    for seed in seeds:
        case = Maker(seed).case()
        made.append((seed, case, case.runs()))
    run_all(loop, (run for _, _, runs in made for run in runs))
    differences = []
    for seed, case, (plain, lane) in made:
        assert plain.outcome is not None
        assert lane.outcome is not None
        what = case.differs(plain.outcome, lane.outcome)
        if what:
            differences.append(Difference(seed, what, case, plain.outcome, lane.outcome))
    return differences


def difference_of(loop: asyncio.AbstractEventLoop, case: Case, seed: int) -> Difference | None:
    plain, lane = case.runs()
    run_all(loop, (plain, lane), 1)
    assert plain.outcome is not None
    assert lane.outcome is not None
    what = case.differs(plain.outcome, lane.outcome)
    return Difference(seed, what, case, plain.outcome, lane.outcome) if what else None


def shrunk(loop: asyncio.AbstractEventLoop, found: Difference) -> Difference:
    """The smallest case that still differs, as far as leaving things out leads."""
    going = True
    while going:
        going = False
        for case in smaller(found.case):
            smaller_one = difference_of(loop, case, found.seed)
            if smaller_one is not None:
                found, going = smaller_one, True
                break
    return found


def smaller(case: Case) -> Iterator[Case]:
    for n in range(len(case.frames)):
        yield replace(case, frames=case.frames[:n] + case.frames[n + 1 :])
    if len(case.places) > 3:
        yield replace(case, places=())
    for n in range(len(case.places)):
        yield replace(case, places=case.places[:n] + case.places[n + 1 :])
    manners = case.manners
    for change in ({"slow": 0}, {"echoes": False}, {"greets": False}, {"by_lane": False}):
        if replace(manners, **change) != manners:  # type: ignore[arg-type]
            yield replace(case, manners=replace(manners, **change))  # type: ignore[arg-type]
    if case.end not in ("open", "eof"):
        yield replace(case, end="open")
    if case.gaps and any(case.gaps):
        yield replace(case, gaps=())
    if case.early:
        yield replace(case, early=case.early - 1)


BATCH = 250


def compare_many(
    begin: int, end: int, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
) -> list[str]:
    """The differences between seeds `begin` and `end`, as texts, the first few shrunk."""
    loop = new_loop()
    found: list[Difference] = []
    try:
        for first in range(begin, end, BATCH):
            found += compare(loop, iter(range(first, min(end, first + BATCH))))
        return [str(shrunk(loop, each) if n < 5 else each) for n, each in enumerate(found[:20])]
    finally:
        loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Random streams on uvicorn's protocol and ours.")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--uvloop", action="store_true")
    options = parser.parse_args()
    new_loop = asyncio.new_event_loop
    if options.uvloop:
        import uvloop

        new_loop = uvloop.new_event_loop
    begin, end = options.seed, options.seed + options.streams
    step = max(BATCH, min(10_000, options.streams // options.processes // 4))
    started = time.monotonic()
    done = failures = 0
    with ProcessPoolExecutor(options.processes) as pool:
        shares = [(first, min(end, first + step)) for first in range(begin, end, step)]
        asked = [pool.submit(compare_many, *share, new_loop) for share in shares]
        for share, answer in zip(shares, asked, strict=True):
            for text in answer.result():
                failures += 1
                print(text, flush=True)
            done += share[1] - share[0]
            if sys.stderr.isatty():
                print(f"\r{done} streams", end="", file=sys.stderr)
    used = sum(os.times()[:4])
    print(
        f"{done} streams, {failures} differences, {time.monotonic() - started:.0f} s,"
        f" {used:.0f} s of CPU"
    )
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
