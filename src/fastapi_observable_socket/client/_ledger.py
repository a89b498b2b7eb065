"""
The client's ledger of a conversation, without its line.

It knows which calls live and what a frame means to them. It never sends, waits or times:
that is the client's part. Every kind of conversation is a call in this one table, started
by one request and ended by its last answer.
"""

import json
from collections import OrderedDict
from typing import Any, TypeVar

import msgspec

from .._errors import QueueFullError, SocketError
from .._status import Status
from .._wire import Header, Uuid, is_ours

MOST: int = 2**31
"""More items than anybody has on the way: the window of those who set none."""

MOST_TOLD = 1024
"""Requests of which nobody awaits the answer, that are remembered until it comes."""


class Heard(msgspec.Struct, gc=False):
    """A frame as it came; its payload is still text, until somebody wants it."""

    uuid: Uuid | None = None
    route: str | None = None
    status: int | None = None
    headers: Header | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def ok(self) -> bool:
        return self.status is None or 200 <= self.status < 300


class Call:
    """One request of ours, and what becomes of it. As it stands, nobody awaits the answer."""

    __slots__ = ("live", "progress", "route", "sent", "seq", "streams", "taken", "text", "uuid")

    window = MOST
    """Items that may be on their way, where it streams."""
    oneway = True
    """It is over as soon as it is sent."""
    counts = False
    """It is one of those that a server bounds the number of."""

    def __init__(
        self, uuid: str, route: str, text: str, *, streams: bool = False, progress: bool = False
    ) -> None:
        self.uuid = uuid
        self.route = route
        self.text = text
        self.streams = streams
        self.progress = progress
        self.live = False
        self.sent = False
        """The other end may have seen it."""
        self.seq = 0
        """The number of the next item."""
        self.taken = 0
        """How many items whoever reads has taken."""

    def left(self) -> None:
        """It was sent."""

    def item(self, frame: Heard) -> None:
        """One item came."""

    def progressed(self, frame: Heard) -> None:
        """The work has come so far."""

    def answer(self, frame: Heard) -> None:
        """The last answer came; the call is over."""

    def fail(self, error: Exception) -> None:
        """No answer will come; the call is over."""


C = TypeVar("C", bound=Call)


class Final(msgspec.Struct, frozen=True, gc=False):
    """The last answer to a call, which is out of the ledger."""

    call: Call
    frame: Heard


class Item(msgspec.Struct, frozen=True, gc=False):
    """The next item of a stream."""

    call: Call
    frame: Heard


class Progressed(msgspec.Struct, frozen=True, gc=False):
    """How far the work on a call has come."""

    call: Call
    frame: Heard


class Broken(msgspec.Struct, frozen=True, gc=False):
    """A stream that cannot be trusted any more; it is out of the ledger. `over`: at its end,
    so there is nothing to cancel."""

    call: Call
    why: str
    over: bool


class Pushed(msgspec.Struct, frozen=True, gc=False):
    """Sent by the server on its own; wants no answer."""

    frame: Heard


class Followed(msgspec.Struct, frozen=True, gc=False):
    """An event of a topic, or a gap in one: its uuid is `#` and the topic's name."""

    frame: Heard


class Draining(msgspec.Struct, frozen=True, gc=False):
    """The server wants us to go on over another line."""

    frame: Heard


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A call of the server: wants an answer under its uuid."""

    frame: Heard


class Dropped(msgspec.Struct, frozen=True, gc=False):
    """The server waits no longer for our answer to its call."""

    uuid: str


class Complained(msgspec.Struct, frozen=True, gc=False):
    """The server could not read something we wrote."""

    frame: Heard


Step = (
    Final
    | Item
    | Progressed
    | Broken
    | Pushed
    | Followed
    | Draining
    | Asked
    | Dropped
    | Complained
    | None
)
"""What a frame leads to. Most that is for no live call is an answer too late, and nobody's."""


class Ledger:
    """Which calls live. `limit` bounds those that wait to be sent."""

    __slots__ = ("_calls", "_limit", "_told", "in_flight", "waiting")

    def __init__(self, limit: int) -> None:
        self._calls: dict[Uuid | None, Call] = {}
        self._limit = limit
        # Not a dict, which is slow at finding its first member after many were taken from there.
        self.waiting: OrderedDict[str, Call] = OrderedDict()
        """Those that are yet to be sent, oldest first."""
        self.in_flight = 0
        """How many of those that count are sent and not answered."""
        self._told: set[Uuid | None] = set()
        """Those that nobody awaits the answer of, and which the server works on perhaps."""

    @property
    def idle(self) -> bool:
        """Whether the server has answered all that was sent, wanted or not."""
        return len(self._calls) == len(self.waiting) and not self._told

    def __len__(self) -> int:
        return len(self._calls)

    def start(self, call: Call, urgent: bool = False) -> None:
        """File a call that is yet to be sent. Raises `QueueFullError`, unless it is `urgent`."""
        if call.uuid in self._calls:
            raise SocketError(f"uuid {call.uuid} is in use")
        if not urgent and len(self.waiting) >= self._limit:
            raise QueueFullError(self._limit)
        self._calls[call.uuid] = self.waiting[call.uuid] = call
        call.live = True

    def sent(self, call: Call) -> None:
        """It is on the wire."""
        call.sent = True
        del self.waiting[call.uuid]
        if call.counts:
            self.in_flight += 1
        if call.oneway:
            self._take_out(call)
            if len(self._told) < MOST_TOLD:
                self._told.add(call.uuid)

    def end(self, call: Call) -> None:
        """Wait no longer for its answer. Twice is harmless."""
        if call.live:
            if not call.sent:
                del self.waiting[call.uuid]
            self._take_out(call)

    def _take_out(self, call: Call) -> None:
        call.live = False
        del self._calls[call.uuid]
        if call.counts and call.sent:
            self.in_flight -= 1

    def lost(self, all_of_them: bool) -> list[Call]:
        """Take out what a lost line ends: whatever was sent, as nobody knows how far it came."""
        self._told.clear()
        lost = [call for call in self._calls.values() if all_of_them or call.sent]
        for call in lost:
            self.end(call)
        return lost

    def receive(self, frame: Heard) -> Step:
        """What one frame leads to."""
        # Strictly by string: 7 is not "7", and our uuids are strings.
        call = self._calls.get(frame.uuid)
        if call is None or not call.sent or frame.route == "PONG":
            if self._told and not frame.route:
                self._told.discard(frame.uuid)
            return _unasked(frame)
        if frame.status == Status.PENDING and (call.streams or call.progress):
            seq = _seq_of(frame) if call.streams else None
            if seq is not None:
                return self._item(call, frame, seq)
            if call.progress:
                return Progressed(call, frame)
        self._take_out(call)
        if call.streams and frame.ok:
            seq = _seq_of(frame)
            if seq != call.seq and not (seq is None and call.seq == 0):
                return Broken(call, f"ended after {call.seq} items with $seq {seq}", True)
        return Final(call, frame)

    def _item(self, call: Call, frame: Heard, seq: int) -> Step:
        if seq != call.seq:
            why = f"item {seq} came where {call.seq} was to come"
        elif seq - call.taken >= call.window:
            why = (
                f"item {seq} came while only {call.taken} were taken, of a window of {call.window}"
            )
        else:
            call.seq += 1
            return Item(call, frame)
        self._take_out(call)
        return Broken(call, why, False)


def _seq_of(frame: Heard) -> int | None:
    seq = frame.headers.get("$seq") if frame.headers else None
    return seq if type(seq) is int else None


def _unasked(frame: Heard) -> Step:
    route, uuid = frame.route, frame.uuid
    if not route:
        complaint = uuid == 0 and frame.status is not None and frame.status >= 400
        return Complained(frame) if complaint else None
    calls = isinstance(uuid, str) and len(uuid) > 1 and is_ours(uuid)
    if calls and (uuid == f"#{route}" or route == "$gap"):
        return Followed(frame)
    # Names that start with $ belong to the protocol, whichever of them we know.
    if route == "PONG" or route[0] == "$":
        if calls and route == "$cancel":
            return Dropped(str(uuid))
        return Draining(frame) if uuid == "#" and route == "$drain" else None
    return Asked(frame) if calls else Pushed(frame)


_frames = msgspec.json.Decoder(Heard)
_values = msgspec.json.Decoder()


def read(text: str) -> Heard | None:
    """The frame in `text`; None where there is none. Members of wrong types count as absent."""
    try:
        return _frames.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return _read_leniently(text)


def _read_leniently(text: str) -> Heard | None:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    frame = Heard(payload=msgspec.Raw(json.dumps(members.get("payload")).encode()))
    kinds: dict[str, Any] = {"uuid": int | str, "route": str, "status": int, "headers": dict}
    for name, kind in kinds.items():
        value = members.get(name)
        if isinstance(value, kind) and not isinstance(value, bool):
            setattr(frame, name, value)
    return frame


def payload_of(frame: Heard) -> Any:
    """The JSON value of its payload. Raises `SocketError` for one that cannot be read."""
    try:
        return _values.decode(frame.payload)
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        # The grammar allows lone surrogates and 1e999, and only the standard library reads them.
        return json.loads(bytes(frame.payload))
    except (ValueError, RecursionError):
        raise SocketError("a payload came that cannot be read") from None
