"""
What RFC 6455 asks of a server's framing, as a table: what a client sends, and what an application
that echoes answers it.

Sizes, chops, pings, reserved bits and opcodes, fragments, UTF-8, closing and limits: whatever
a conformance suite goes through. An answer of None is left open, where servers differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import pack

from .wire import BINARY, CLOSE, CONT, CONTROL, PING, PONG, TEXT, Sent, close, frame, text

PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009

Expected = str | bytes | Sent | int | None
"""An echo of a text or of bytes; a frame; a close with that code, whatever its reason."""


@dataclass(frozen=True)
class Case:
    name: str
    frames: tuple[bytes, ...]
    expected: tuple[Expected, ...]
    max_size: int | None = 1 << 24


def case(name: str, *frames: bytes, to: object, max_size: int | None = 1 << 24) -> Case:
    expected = to if isinstance(to, list) else [to]
    return Case(name, frames, tuple(expected), max_size)


def pong(data: bytes = b"") -> Sent:
    return Sent(PONG, data)


def closed(data: bytes = b"") -> Sent:
    return Sent(CLOSE, data)


def fragments(opcode: int, *pieces: bytes) -> list[bytes]:
    last = len(pieces) - 1
    return [frame(CONT if n else opcode, each, fin=n == last) for n, each in enumerate(pieces)]


# --- sizes

SIZES = (0, 1, 124, 125, 126, 127, 128, 129, 65534, 65535, 65536, 65537, 200_000)


def sizes() -> Iterator[Case]:
    for size in SIZES:
        word, data = "*" * size, b"\xfe" * size
        yield case(f"text of {size}", text(word), to=word)
        yield case(f"bytes of {size}", frame(BINARY, data), to=data)
    for size in (0, 5, 125, 126, 200):
        data = b"m" * size
        for width in (2, 8):
            yield case(f"{size} said in {width}", frame(BINARY, data, width=width), to=data)
            yield case(f"text of {size} said in {width}", text(data, width=width), to="m" * size)
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x81\x82\x88\x89"):
        yield case(f"mask {mask.hex()}", text("masked", mask=mask), to="masked")
    yield case("many small", *[text(str(n)) for n in range(300)], to=[str(n) for n in range(300)])
    yield case(
        "texts and bytes in turns",
        *[text("t"), frame(BINARY, b"b")] * 20,
        to=["t", b"b"] * 20,
    )


# --- pings and pongs


def pings() -> Iterator[Case]:
    yield case("ping", frame(PING), to=pong())
    yield case("ping with text", frame(PING, b"hello"), to=pong(b"hello"))
    yield case("ping with bytes", frame(PING, b"\0\xff\xfe\xc3"), to=pong(b"\0\xff\xfe\xc3"))
    yield case("ping of 125", frame(PING, b"\xfe" * 125), to=pong(b"\xfe" * 125))
    yield case("ping of 126", frame(PING, b"\xfe" * 126), to=PROTOCOL_ERROR)
    yield case("pong of 126", frame(PONG, b"\xfe" * 126), to=PROTOCOL_ERROR)
    yield case("pong unasked", frame(PONG), text("a"), to="a")
    yield case("pong with payload unasked", frame(PONG, b"x"), frame(PING), to=pong())
    yield case("ten pings", *[frame(PING, b"%d" % n) for n in range(10)], to=[*map(pong, TEN)])
    yield case("ping in fragments", frame(PING, fin=False), frame(CONT), to=PROTOCOL_ERROR)
    yield case("pong in fragments", frame(PONG, fin=False), frame(CONT), to=PROTOCOL_ERROR)
    yield case(
        "pings between messages",
        text("a"),
        frame(PING, b"1"),
        text("b"),
        frame(PONG, b"2"),
        frame(PING, b"3"),
        text("c"),
        to=["a", pong(b"1"), "b", pong(b"3"), "c"],
    )


TEN = [b"%d" % n for n in range(10)]


# --- reserved bits and opcodes

KINDS = {"text": TEXT, "binary": BINARY, "cont": CONT, "close": CLOSE, "ping": PING, "pong": PONG}


def reserved() -> Iterator[Case]:
    for rsv in range(1, 8):
        for name, opcode in KINDS.items():
            yield case(
                f"rsv {rsv} on {name}",
                text("before"),
                frame(opcode, pack("!H", 1000), rsv=rsv),
                frame(PING),
                to=["before", PROTOCOL_ERROR],
            )
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for payload in (b"", b"payload"):
            yield case(
                f"opcode {opcode} with {len(payload)}",
                text("before"),
                frame(opcode, payload),
                frame(PING),
                to=["before", PROTOCOL_ERROR],
            )
        yield case(
            f"opcode {opcode} between fragments",
            frame(TEXT, b"a", fin=False),
            frame(opcode),
            frame(CONT, b"b"),
            to=PROTOCOL_ERROR,
        )
    for name, opcode in KINDS.items():
        yield case(
            f"{name} not masked", text("a"), frame(opcode, mask=None), to=["a", PROTOCOL_ERROR]
        )


# --- fragments


def in_fragments() -> Iterator[Case]:
    a, b = b"fragment1", b"fragment2"
    yield case("text in two", *fragments(TEXT, a, b), to="fragment1fragment2")
    yield case("bytes in two", *fragments(BINARY, a, b), to=a + b)
    yield case("text in five", *fragments(TEXT, *[b"x"] * 5), to="xxxxx")
    yield case("three empty", *fragments(TEXT, b"", b"", b""), to="")
    yield case("only the middle", *fragments(TEXT, b"", b"middle", b""), to="middle")
    first, second = fragments(TEXT, a, b)
    yield case(
        "ping between", first, frame(PING, b"p"), second, to=[pong(b"p"), "fragment1fragment2"]
    )
    yield case("pong between", first, frame(PONG, b"p"), second, to="fragment1fragment2")
    yield case(
        "pings between five",
        *[
            each
            for n, part in enumerate(fragments(TEXT, *b"12345".split(b"|") * 3))
            for each in (part, frame(PING, b"%d" % n))
        ],
        to=[pong(b"0"), pong(b"1"), "12345" * 3, pong(b"2")],
    )
    yield case("a message behind", first, second, text("c"), to=["fragment1fragment2", "c"])
    yield case(
        "two messages", first, second, *fragments(BINARY, b, a), to=["fragment1fragment2", b + a]
    )
    for opcode, name in ((TEXT, "text"), (BINARY, "bytes")):
        for fin in (True, False):
            yield case(
                f"{name} inside of a text, fin {fin}",
                first,
                frame(opcode, b, fin=fin),
                second,
                to=PROTOCOL_ERROR,
            )
    for fin in (True, False):
        yield case(f"cont first, fin {fin}", frame(CONT, a, fin=fin), text("c"), to=PROTOCOL_ERROR)
        yield case(
            f"cont behind a whole text, fin {fin}",
            text("c"),
            frame(CONT, a, fin=fin),
            text("d"),
            to=["c", PROTOCOL_ERROR],
        )
        yield case(
            f"cont behind a message in fragments, fin {fin}",
            first,
            second,
            frame(CONT, a, fin=fin),
            to=["fragment1fragment2", PROTOCOL_ERROR],
        )
    yield case("close between", first, close(1000), second, to=None)
    yield case("never ended", first, frame(PING), to=pong())
    for size in (64, 256, 1024, 4096):
        data = b"*" * 65536
        pieces = [data[n : n + size] for n in range(0, len(data), size)]
        yield case(f"64 kB in fragments of {size}", *fragments(TEXT, *pieces), to=data.decode())
        yield case(f"64 kB of bytes in {size}", *fragments(BINARY, *pieces), to=data)
    yield case(
        "200 kB in two",
        *fragments(BINARY, b"a" * 100_000, b"b" * 100_000),
        to=b"a" * 100_000 + b"b" * 100_000,
    )


# --- UTF-8

GREEK = "κόσμε"
SOUND = {
    "greek": GREEK,
    "nothing": "",
    "zero": "\0",
    "first of two": "\x80",
    "first of three": "\u0800",
    "first of four": "\U00010000",
    "last of one": "\x7f",
    "last of two": "\u07ff",
    "last of three": "\uffff",
    "last of all": "\U0010ffff",
    "below the surrogates": "\ud7ff",
    "above the surrogates": "\ue000",
    "replacement": "\ufffd",
    "no characters": "\ufdd0\ufffe\U0001fffe",
    "emoji": "\U0001f600" * 40,
}
UNSOUND = {
    "a continuation": b"\x80",
    "all continuations": bytes(range(0x80, 0xC0)),
    "fe": b"\xfe",
    "ff": b"\xff",
    "fe fe ff ff": b"\xfe\xfe\xff\xff",
    "beginnings of two": b"\xc2 \xdf ",
    "beginnings of three": b"\xe1 \xef ",
    "beginnings of four": b"\xf1 \xf4 ",
    "two cut off": b"\xc3",
    "three cut off": b"\xe2\x82",
    "four cut off": b"\xf0\x9f\x98",
    "overlong slash in two": b"\xc0\xaf",
    "overlong slash in three": b"\xe0\x80\xaf",
    "overlong slash in four": b"\xf0\x80\x80\xaf",
    "overlong in two": b"\xc1\xbf",
    "overlong in three": b"\xe0\x9f\xbf",
    "overlong in four": b"\xf0\x8f\xbf\xbf",
    "overlong zero": b"\xc0\x80",
    "first surrogate": b"\xed\xa0\x80",
    "last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond the last": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
}


def utf8() -> Iterator[Case]:
    for name, word in SOUND.items():
        data = word.encode()
        yield case(f"utf-8, {name}", text(data), to=word)
        yield case(
            f"utf-8, {name}, in single bytes",
            *fragments(TEXT, *(data[n : n + 1] for n in range(len(data) or 1))),
            to=word,
        )
    for name, data in UNSOUND.items():
        yield case(f"not utf-8, {name}", text("a"), text(data), text("b"), to=["a", INVALID_DATA])
        yield case(
            f"not utf-8, {name}, behind what is", text(GREEK.encode() + data), to=INVALID_DATA
        )
        yield case(
            f"not utf-8, {name}, in front of what is", text(data + b"edited"), to=INVALID_DATA
        )
        yield case(f"not utf-8, {name}, large", text(b"x" * 200 + data), to=INVALID_DATA)
        half = len(data) // 2
        yield case(
            f"not utf-8, {name}, in fragments",
            *fragments(TEXT, data[:half], data[half:]),
            frame(PING),
            to=INVALID_DATA,
        )
        yield case(f"bytes, {name}", frame(BINARY, data), to=data)


# --- closing

GOOD_CODES = (
    1000,
    1001,
    1002,
    1003,
    1007,
    1008,
    1009,
    1010,
    1011,
    1012,
    1013,
    1014,
    3000,
    3999,
    4000,
    4999,
)
BAD_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)


def closing() -> Iterator[Case]:
    yield case("close without a code", close(), to=closed())
    yield case("close with one byte", frame(CLOSE, b"\x03"), to=PROTOCOL_ERROR)
    for code in GOOD_CODES:
        yield case(f"close {code}", close(code), to=closed(pack("!H", code)))
    for code in BAD_CODES:
        yield case(f"close {code}", close(code), to=PROTOCOL_ERROR)
        yield case(f"close {code} with a reason", close(code, b"why"), to=PROTOCOL_ERROR)
    for reason in (b"bye", b"r" * 123, GREEK.encode()):
        yield case(
            f"close with a reason of {len(reason)}",
            close(1000, reason),
            to=closed(b"\x03\xe8" + reason),
        )
    yield case("close with a reason of 124", close(1000, b"r" * 124), to=PROTOCOL_ERROR)
    for name, data in UNSOUND.items():
        yield case(
            f"close with a reason that is no utf-8, {name}",
            close(1000, data[:100]),
            to=INVALID_DATA,
        )
    yield case("close in fragments", close(1000, fin=False), frame(CONT), to=PROTOCOL_ERROR)
    yield case(
        "text behind a close", text("a"), close(1000), text("b"), to=["a", closed(b"\x03\xe8")]
    )
    yield case("ping behind a close", close(1000), frame(PING), to=closed(b"\x03\xe8"))
    yield case("two closes", close(1000), close(1001), to=closed(b"\x03\xe8"))
    yield case("a fault behind a close", close(1000), frame(3), to=closed(b"\x03\xe8"))
    yield case("close behind a fault", frame(3), close(1000), to=PROTOCOL_ERROR)
    yield case(
        "close behind 64 kB", text("x" * 65536), close(1000), to=["x" * 65536, closed(b"\x03\xe8")]
    )


# --- limits


def limits() -> Iterator[Case]:
    for limit in (0, 1, 100, 125, 126, 1000, 65535, 65536):
        word = "l" * limit
        over = text(word + "l")
        yield case(f"exactly {limit}", text(word), to=word, max_size=limit)
        yield case(f"one more than {limit}", over, to=TOO_BIG, max_size=limit)
        yield case(
            f"bytes, one more than {limit}",
            frame(BINARY, b"l" * (limit + 1)),
            to=TOO_BIG,
            max_size=limit,
        )
        yield case(
            f"the head of one more than {limit}",
            over[: len(over) - limit - 5],
            to=TOO_BIG,
            max_size=limit,
        )
        half = limit // 2
        yield case(
            f"exactly {limit} in fragments",
            *fragments(TEXT, word[:half].encode(), word[half:].encode()),
            text(word),
            to=[word, word],
            max_size=limit,
        )
        yield case(
            f"one more than {limit} in fragments",
            *fragments(TEXT, word[:half].encode(), word[half:].encode() + b"l"),
            to=TOO_BIG,
            max_size=limit,
        )
        yield case(
            f"one more than {limit} in the third of four",
            *fragments(BINARY, word.encode(), b"", b"l", b""),
            to=TOO_BIG,
            max_size=limit,
        )
    yield case("no limit", text("x" * 100_000), to="x" * 100_000, max_size=None)
    yield case(
        "no limit, and never whole", text("x", length=1 << 63, width=8), to=[], max_size=None
    )
    for length in ((1 << 24) + 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        for name, opcode in (("text", TEXT), ("bytes", BINARY), ("cont", CONT)):
            yield case(
                f"{name} of {length}",
                text("a"),
                frame(opcode, b"short", length=length, width=8),
                to=["a", TOO_BIG],
            )
    yield case("ping longer than the limit", frame(PING, b"123"), to=TOO_BIG, max_size=2)
    yield case(
        "ping with the size of a message", frame(PING, length=1 << 20, width=8), to=[]
    )  # no fault before it is whole, which makes no difference to anybody


def faults_between() -> Iterator[Case]:
    """A fault behind messages of every kind, which are answered all the same."""
    before = [text("a"), frame(BINARY, b"b"), *fragments(TEXT, b"c", b"d"), frame(PING, b"e")]
    answers: list[Expected] = ["a", b"b", "cd", pong(b"e")]
    for opcode in CONTROL:
        yield case(
            f"fragmented control frame {opcode}",
            *before,
            frame(opcode, fin=False),
            to=[*answers, PROTOCOL_ERROR],
        )
        yield case(
            f"long control frame {opcode}",
            *before,
            frame(opcode, b"x" * 126),
            to=[*answers, PROTOCOL_ERROR],
        )
    yield case("noise", *before, b"\x00\x01\x02\x03\x04\x05", to=[*answers, PROTOCOL_ERROR])
    yield case("http", *before, b"GET / HTTP/1.1\r\n\r\n", to=[*answers, PROTOCOL_ERROR])


CASES = [
    each
    for section in (
        sizes,
        pings,
        reserved,
        in_fragments,
        utf8,
        closing,
        limits,
        faults_between,
    )
    for each in section()
]
