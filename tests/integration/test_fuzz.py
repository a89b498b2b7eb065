"""
Frames that nobody thought of: each is answered once, as JSON, and the connection lives on.
"""

import asyncio
import json
import math
import random
import string
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastapi_observable_socket import Reply, SocketRouter

from .peer import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, strict_json, text_frame
from .serving import Server

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ROUTES = ("echo", "later", "sync", "fail", "typed", "ordered", "unwritable")


def build() -> SocketRouter:
    router = SocketRouter(max_bad_messages=1 << 30)

    @router.route("echo")
    async def echo(payload: Any) -> Reply:
        return Reply(payload)

    @router.route("later")
    async def later(payload: Any) -> Reply:
        for _ in range(3):
            await asyncio.sleep(0)
        return Reply(payload)

    @router.route("ordered", ordered=True)
    async def ordered(payload: Any) -> Reply:
        await asyncio.sleep(0)
        return Reply(payload)

    @router.route("sync")
    def sync(payload: Any) -> Reply:
        return Reply(payload)

    @router.route("fail")
    async def fail(payload: Any) -> Reply:
        raise ValueError(payload)

    @router.route("typed")
    async def typed(payload: list[int]) -> int:
        return sum(payload)

    @router.route("unwritable")
    async def unwritable() -> Reply:
        return Reply(object())

    return router


@pytest.fixture(scope="module")
def server(ws: str) -> Iterator[Server]:
    with Server(build(), ws) as server:
        yield server


# --- what the answer's uuid must be, by the letter of the protocol


def readable_uuid(text: str) -> Any:
    """The uuid that `text` can be answered under: 0 where none can be read."""
    try:
        value = strict_json(text)
    except (ValueError, AssertionError, RecursionError):
        return 0
    if not isinstance(value, dict) or depth(value) > 128:
        return 0
    uuid = value["uuid"] if "uuid" in value else value.get("track_id")
    if isinstance(uuid, str):
        return uuid if 0 < len(uuid) <= 128 and is_unicode(uuid) else 0
    return uuid if type(uuid) is int and abs(uuid) < 2**53 else 0


def depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def assert_each_is_answered_once(server: Server, frames: list[str]) -> None:
    with server.connect() as peer:
        peer.send_apart(*frames)
        answers = peer.receive_many(len(frames))
        peer.assert_alive()
    expected = Counter(repr(readable_uuid(text)) for text in frames)
    assert Counter(repr(answer["uuid"]) for answer in answers) == expected
    for answer in answers:
        assert_is_an_answer(answer)


def assert_is_an_answer(answer: Any) -> None:
    if "route" in answer:
        uuid = answer["uuid"]
        assert answer == {"uuid": uuid, "route": "PONG", "headers": None, "payload": None}
        return
    assert set(answer) == {"uuid", "status", "headers", "payload"}
    assert type(answer["status"]) is int
    assert answer["headers"] == {}
    if answer["status"] != 200:
        assert {"message", "code"} <= set(answer["payload"]) <= {"message", "code", "detail"}


# --- frames, by hypothesis, which shows the shortest that fails

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**54), 2**54)
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Cc", "L"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)

members = st.fixed_dictionaries(
    {},
    optional={
        "uuid": st.integers(0, 5) | st.text(max_size=200) | values,
        "track_id": st.integers(0, 5) | values,
        "route": st.sampled_from((*ROUTES, "PING", "nowhere")) | values,
        "path": st.sampled_from((*ROUTES, "PING")) | values,
        "headers": st.none() | st.dictionaries(st.text(), values) | values,
        "payload": values,
        "status": values,
    },
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A frame: mostly JSON, sometimes with a piece cut out, put in or written twice."""
    text = json.dumps(draw(members | values), ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 8)))
        piece = draw(st.sampled_from(["", text[start:end] * 2]) | st.text(max_size=3))
        text = text[:start] + piece + text[end:]
    return text.encode(errors="replace").decode()


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames=st.lists(texts(), max_size=30))
def test_any_frames_are_answered_once_each(server: Server, frames: list[str]) -> None:
    assert_each_is_answered_once(server, frames)


# --- and many more of them, by dice

ODD = [
    "null", "true", "0", "-0", "1.5", "1e999", "-1e999", "1e-999", "NaN", "-Infinity",
    str(2**53), str(-(2**64)), "9" * 400, '""', '"\\ud800"', '"\\udc00\\ud800"',
    '"\\ud83d\\ude00"', '"\\u0000"', '"\\x00"', '"\x00"', '"\u2028"', '"😀"', "[]", "{}", "[[]]",
    '{"a":1,"a":2}', '{"__proto__":{}}', "[" * 60 + "]" * 60, '{"a":' * 130 + "1" + "}" * 130,
    json.dumps("[{" * 300), "[" * 150 + "]" * 150, "\ufeff", "//", "'",
]  # fmt: skip

SYNTAX = [*'{}[]",:\\', '"uuid":', '"route":', '"PING"', "e", "-", "\\u", "\n", "\x00", "é"]


def random_frame(dice: random.Random) -> str:
    def value() -> str:
        return dice.choice(
            [dice.choice(ODD), str(dice.randrange(100)), '"a"', f"[{dice.choice(ODD)}]"]
        )

    uuid = dice.choice([str(dice.randrange(50)), f'"{dice.randrange(50)}"'] * 4 + [value()])
    route = dice.choice([f'"{dice.choice(ROUTES)}"'] * 8 + ['"PING"', '"nowhere"', value()])
    parts = [
        f'"{dice.choice(["uuid"] * 9 + ["track_id"])}": {uuid}',
        f'"{dice.choice(["route"] * 9 + ["path"])}": {route}',
        f'"headers": {dice.choice(["{}", "null", value()])}',
        f'"payload": {value()}',
        f'"{"".join(dice.choices(string.printable[:94], k=3))}": {value()}'.replace("\\", ""),
    ]
    dice.shuffle(parts)
    text = "{" + ", ".join(parts[: dice.choice([2, 3, 4, 5, 5, 5])]) + "}"
    for _ in range(dice.choice([0, 0, 0, 1, 2, 5])):
        at = dice.randrange(len(text) + 1)
        text = text[:at] + dice.choice([*SYNTAX, ""]) + text[at + dice.randrange(3) :]
    return text


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_odd_frames_are_answered_once_each(server: Server, seed: int) -> None:
    dice = random.Random(seed)
    assert_each_is_answered_once(server, [random_frame(dice) for _ in range(5000)])


# --- bytes that are no frames


def random_bytes(dice: random.Random) -> bytes:
    """A few frames, with some of their bytes changed."""
    good = text_frame({"uuid": 1, "route": "echo", "payload": "é"})
    opcodes = (CONTINUATION, TEXT, TEXT, BINARY, 3, CLOSE, PING, PONG, 11)
    pieces = [good] + [
        frame(
            dice.choice(opcodes),
            dice.randbytes(math.floor(dice.expovariate(1 / 50))),
            final=dice.random() < 0.8,
            masked=dice.random() < 0.9,
        )
        for _ in range(dice.randrange(4))
    ]
    dice.shuffle(pieces)
    data = bytearray(b"".join(pieces))
    for _ in range(dice.choice([0, 1, 1, 3, 20])):
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_harm_nobody_and_leave_nothing(server: Server, seed: int) -> None:
    dice = random.Random(seed)
    with server.connect() as witness:
        for _ in range(100):
            peer = server.connect()
            try:
                peer.send_raw(random_bytes(dice))
            finally:
                dice.choice([peer.drop, peer.reset])()
        witness.assert_alive()
    server.assert_nothing_left()
