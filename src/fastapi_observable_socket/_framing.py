"""
WebSocket frames as bytes (RFC 6455, section 5): the ones that need no thought.
"""

from struct import Struct

TEXT = 0x81
"""First byte of a text message in one frame."""

BINARY = 0x82

SHORT_TEXT = [bytes((TEXT, size)) for size in range(126)]
"""How frames of short texts begin, by the bytes of the text."""

_TWO = Struct("!BBH").pack
_EIGHT = Struct("!BBQ").pack


def framed(first: int, data: bytes) -> bytes:
    """A frame as a server sends it."""
    size = len(data)
    if size < 126:
        return bytes((first, size)) + data
    return (_TWO(first, 126, size) if size < 65536 else _EIGHT(first, 127, size)) + data


def is_sound(first: int, second: int) -> bool:
    """Whether a client's frame may begin with these two bytes."""
    if first & 0x70 or not second & 0x80:  # reserved bits; not masked
        return False
    opcode = first & 0x0F
    if opcode >= 8:  # control frames are short and whole
        return opcode <= 10 and first >= 0x80 and second & 0x7F < 126
    return opcode <= 2
