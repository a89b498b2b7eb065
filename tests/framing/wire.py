"""
Frames as bytes, made and read without any of the code under test.
"""

from dataclasses import dataclass
from struct import pack, unpack_from

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
CONTROL = (CLOSE, PING, PONG)

MASK = b"\x37\xfa\x21\x3d"


def masked(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")


def frame(
    opcode: int,
    data: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length: int | None = None,
    width: int | None = None,
) -> bytes:
    """A client's frame. `length` is what the head claims, `width` how many bytes it says that in
    (0, 2 or 8), both right and shortest unless given."""
    length = len(data) if length is None else length
    if width is None:
        width = 0 if length < 126 else 2 if length < 65536 else 8
    bit = 0 if mask is None else 0x80
    head = bytes((fin << 7 | rsv << 4 | opcode, bit | {0: length, 2: 126, 8: 127}[width]))
    if width:
        head += pack("!H" if width == 2 else "!Q", length)
    return head + data if mask is None else head + mask + masked(data, mask)


def text(data: str | bytes, **options: object) -> bytes:
    return frame(TEXT, data.encode() if isinstance(data, str) else data, **options)  # type: ignore[arg-type]


def close(code: int | None = None, reason: bytes = b"", **options: object) -> bytes:
    return frame(CLOSE, b"" if code is None else pack("!H", code) + reason, **options)  # type: ignore[arg-type]


def boundaries(data: bytes) -> list[int]:
    """Where frames end in what a client sends; the last may be a part of one."""
    ends = []
    place = 0
    while len(data) - place >= 2:
        size = data[place + 1] & 0x7F
        head = 2
        if size >= 126:
            head += 2 if size == 126 else 8
            if len(data) - place < head:
                break
            size = unpack_from("!H" if size == 126 else "!Q", data, place + 2)[0]
        if data[place + 1] & 0x80:
            head += 4
        place += head + size
        if place >= len(data):
            break
        ends.append(place)
    ends.append(len(data))
    return ends


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Pieces of it: what ends at these places."""
    pieces = []
    begin = 0
    for end in places:
        if end > begin:
            pieces.append(data[begin:end])
            begin = end
    if begin < len(data):
        pieces.append(data[begin:])
    return pieces


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame of the server's."""

    opcode: int
    data: bytes
    fin: bool = True

    def __repr__(self) -> str:
        data = self.data if len(self.data) < 50 else self.data[:40] + b"..."
        return f"<{self.opcode:#x}{'' if self.fin else ' part'} {len(self.data)}: {data!r}>"


def sent(data: bytes) -> list[Sent]:
    """The frames of what a server has written, all of it."""
    frames = []
    place = 0
    while place < len(data):
        first, size = data[place], data[place + 1]
        assert not first & 0x70, "reserved bits"
        assert size < 128, "a server masks nothing"
        place += 2
        if size == 126:
            size, place = unpack_from("!H", data, place)[0], place + 2
            assert size >= 126, "not the shortest length"
        elif size == 127:
            size, place = unpack_from("!Q", data, place)[0], place + 8
            assert size >= 65536, "not the shortest length"
        assert place + size <= len(data), "a frame without its end"
        frames.append(Sent(first & 0x0F, data[place : place + size], first >= 0x80))
        place += size
    return frames
