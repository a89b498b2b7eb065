"""
One conversation, without its socket.

A session is told what arrived and says what to do about it. It never waits or
sends, and its clock is given to it: that is the connection's part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._errors import BadRequest, Duplicate
from ._status import CloseCode
from ._wire import BadFrame, Frame, Response, Uuid, decode, pong, refusal


@dataclass(frozen=True, slots=True)
class Answer:
    """Send this text; nothing is to be started."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the conversation."""

    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the live call that is filed under this key."""

    key: str


@dataclass(frozen=True, slots=True)
class Ack:
    """The items of the stream under this key were taken, up to and including number `seq`."""

    key: str
    seq: int


@dataclass(frozen=True, slots=True)
class Introduce:
    """Find out who is there, before anything else is read: `$hello` or `$auth`."""

    frame: Frame


Step = Frame | Answer | Cancel | Ack | Introduce | Response | Close | None
"""What to do now: start the call that a `Frame` asks for, answer at once, end a call, let a
stream go on, learn who is there, give a `Response` to the call of ours that it answers, close,
or nothing."""


INTRODUCTIONS = frozenset({"$hello", "$auth"})
CONTROL = INTRODUCTIONS | {"PING", "$cancel", "$ack"}


def uuid_key(uuid: Uuid) -> str:
    """What `uuid` is filed under: 7 and "7" differ.

    Always a string, since a peer that chooses integers can make them collide in a dict.
    """
    return repr(uuid)


class ServerSession:
    """The rules of the server's end.

    `clock` tells seconds, of any monotonic kind. `live` maps `uuid_key(uuid)` to whatever
    the shell keeps of each request that is not answered yet: the shell adds and removes, the
    session refuses what is already there.
    """

    __slots__ = (
        "_bad_frames",
        "_bad_since",
        "_clock",
        "heartbeats",
        "live",
        "max_bad",
        "max_bytes",
    )

    BAD_WINDOW = 60.0
    """Seconds in which `max_bad` malformed frames are forgiven."""

    def __init__(self, max_bytes: int, max_bad: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.max_bytes = max_bytes
        self.max_bad = max_bad
        self.live: dict[str, Any] = {}
        self.heartbeats = False
        self._bad_frames = 0
        self._bad_since = 0.0

    def receive(self, text: str) -> Step:
        """What one text frame leads to."""
        # No character has more than four bytes.
        if 4 * len(text) > self.max_bytes and self._is_too_big(text):
            return Close(CloseCode.TOO_BIG, f"a message may have {self.max_bytes} bytes")
        try:
            frame = decode(text)
        except BadFrame as bad:
            return self._refuse(bad)
        if type(frame) is not Frame:
            return frame
        control = frame.route in CONTROL
        if control:
            if frame.route == "PING":
                self.heartbeats = True
                return Answer(pong(frame.uuid))
            if frame.route not in INTRODUCTIONS:
                return self._about_a_call(frame)
        if self.live and uuid_key(frame.uuid) in self.live:
            return Answer(refusal(frame.uuid, Duplicate("a request with this uuid is in flight")))
        return Introduce(frame) if control else frame

    def _is_too_big(self, text: str) -> bool:
        return len(text) > self.max_bytes or (
            not text.isascii() and len(text.encode(errors="surrogatepass")) > self.max_bytes
        )

    def _about_a_call(self, frame: Frame) -> Step:
        # After the final answer there is nothing left to cancel or to take: a race, no fault.
        key = uuid_key(frame.uuid)
        if key not in self.live:
            return None
        if frame.route == "$cancel":
            return Cancel(key)
        seq = (frame.headers or {}).get("$seq")
        return Ack(key, seq) if type(seq) is int else None

    def _refuse(self, bad: BadFrame) -> Step:
        return self.malformed() or Answer(refusal_of(bad))

    def malformed(self) -> Close | None:
        """Count a malformed frame; a Close where there were too many."""
        now = self._clock()
        if now - self._bad_since > self.BAD_WINDOW:
            self._bad_since = now
            self._bad_frames = 0
        self._bad_frames += 1
        if self._bad_frames > self.max_bad:
            return Close(CloseCode.POLICY, "too many malformed messages")
        return None


def refusal_of(bad: BadFrame) -> str:
    """The answer to a frame that is no request."""
    error = BadRequest(str(bad))
    error.code = bad.code  # type: ignore[misc]  # this one error speaks for several faults
    return refusal(bad.uuid, error)
