"""
WebSocket frames as bytes (RFC 6455, section 5): the ones that need no thought.
"""

from struct import Struct

TEXT = 0x81
"""First byte of a text message in one frame."""

BINARY = 0x82

SHORT = 125
"""Bytes of the longest payload whose size is in the second byte of its frame."""

SHORT_TEXT = [bytes((TEXT, size)) for size in range(SHORT + 1)]
"""How frames of short texts begin, by the bytes of the text."""

_two = Struct("!H").unpack_from
_eight = Struct("!Q").unpack_from

_TWO = Struct("!BBH").pack
_EIGHT = Struct("!BBQ").pack


def framed(first: int, data: bytes) -> bytes:
    """A frame as a server sends it."""
    size = len(data)
    if size <= SHORT:
        return bytes((first, size)) + data
    return (_TWO(first, 126, size) if size < 65536 else _EIGHT(first, 127, size)) + data


def is_sound(first: int, second: int) -> bool:
    """Whether a client's frame may begin with these two bytes."""
    if first & 0x70 or not second & 0x80:  # reserved bits; not masked
        return False
    opcode = first & 0x0F
    if opcode >= 8:  # control frames are short and whole
        return opcode <= 10 and first >= 0x80 and second & 0x7F <= SHORT
    return opcode <= 2


def payload(buffer: bytes | bytearray, place: int) -> tuple[int, int]:
    """Where the payload begins and ends of a client's frame that begins at `place` with at least
    two bytes; zeros while its size is not there."""
    size = buffer[place + 1] & 0x7F
    if size <= SHORT:
        return place + 6, place + 6 + size
    head = place + (4 if size == 126 else 10)
    if len(buffer) < head:
        return 0, 0
    (size,) = (_two if size == 126 else _eight)(buffer, place + 2)
    return head + 4, head + 4 + size
