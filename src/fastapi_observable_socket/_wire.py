"""
Frames as text, and back: all knowledge of the JSON shape.

PROTOCOL.md is the law; this room never waits, and never looks at what a payload means.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, NoReturn

import msgspec
import pydantic
import pydantic_core

from ._errors import RequestFailed, ResponseTooLarge, Unserialisable

Uuid = int | str
Header = dict[str, Any]
Payload = bool | int | float | str | list[Any] | dict[str, Any] | None

MAX_DEPTH: Final = 128
"""How deep arrays and objects of a request may be nested, the envelope included."""

MAX_UUID: Final = 128
"""Characters of a uuid that is a string."""

MAX_ROUTE: Final = 256
"""Characters of a route's name."""

MAX_INTEGER: Final = 2**53
"""A uuid's absolute value is below this: beyond it JavaScript cannot tell neighbours apart."""


_Number = Annotated[int, msgspec.Meta(gt=-MAX_INTEGER, lt=MAX_INTEGER)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_UUID)]


class Frame(msgspec.Struct, gc=False):
    """A request as it came: its payload still text, until its route is known."""

    uuid: _Number | _Name
    route: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ROUTE)]
    headers: dict[str, Any] | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")


class Request(msgspec.Struct):
    """Asks for a route. `headers` and `payload` are JSON values.

    The peer answers with a `Response` of the same `uuid`, of the same JSON type.
    """

    uuid: Uuid
    route: str
    headers: Header | None = None
    payload: Any = None


class Response(msgspec.Struct):
    """Answers the request of the same `uuid`; `status` is one of `Status`."""

    uuid: Uuid
    status: int
    headers: Header | None = None
    payload: Any = None

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class MessageData(msgspec.Struct):
    """What hooks see of a request: `headers`, never None, and the decoded `payload`.

    Reads as attributes (`message.headers`) and like a mapping (`message["payload"]`,
    `message.get("headers")`).
    """

    headers: Header
    payload: Any = None

    def __getitem__(self, name: str) -> Any:
        if name not in ("headers", "payload"):
            raise KeyError(name)
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """The member of that name; `default` where there is none."""
        return getattr(self, name) if name in ("headers", "payload") else default


class BadFrame(Exception):
    """A text that is no request. Carries the uuid of its answer: 0 where none can be read."""

    def __init__(self, uuid: Uuid, code: str, message: str) -> None:
        super().__init__(message)
        self.uuid = uuid
        self.code = code


_decode_frame = msgspec.json.Decoder(Frame).decode
_decode_value = msgspec.json.Decoder().decode


def decode(text: str) -> Frame | Response:
    """The request in `text`, or the answer to a call of ours.

    The payload of a request is well-formed JSON, not yet decoded. Raises `BadFrame` for
    whatever else `text` may be.
    """
    # A shorter text cannot open and close more than MAX_DEPTH levels.
    if len(text) > 2 * MAX_DEPTH and _too_deep(text):
        raise BadFrame(0, "bad_request", f"nested deeper than {MAX_DEPTH} levels")
    try:
        return _decode_frame(text)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return _read_leniently(text)


def decode_payload(frame: Frame) -> Any:
    """The JSON value of the payload. Raises `BadFrame` for a number that no float can hold."""
    try:
        return _decode_value(frame.payload)
    except (msgspec.MsgspecError, RecursionError):
        raise BadFrame(
            frame.uuid, "bad_request", "the payload holds a number out of range"
        ) from None


_UUID_RULE: Final = (
    f"uuid must be a string of 1 to {MAX_UUID} characters or an integer between -2^53 and 2^53"
)
_ROUTE_RULE: Final = f"route must be a string of 1 to {MAX_ROUTE} characters"

_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b'[]{}"'))
_AS_ARRAYS: Final = bytes.maketrans(b"{}", b"[]")
_simple_strings = re.compile(rb'"[^"]*"')


def _too_deep(text: str) -> bool:
    """Whether `text`, if it is JSON, is nested deeper than MAX_DEPTH levels."""
    # Without a loop over characters: escapes out, all but brackets and quotes out, strings
    # out (empty ones first, which hold no bracket), then the brackets collapse by levels.
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    brackets = text.encode(errors="surrogatepass").translate(_AS_ARRAYS, _ALL_BUT_BRACKETS)
    if brackets.count(b"[") <= MAX_DEPTH:
        return False
    brackets = brackets.replace(b'""', b"")
    if b'"' in brackets:
        brackets = _simple_strings.sub(b"", brackets)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _is_uuid(uuid: Any) -> bool:
    if type(uuid) is int:
        return -MAX_INTEGER < uuid < MAX_INTEGER
    return isinstance(uuid, str) and 0 < len(uuid) <= MAX_UUID


def _read_leniently(text: str) -> Frame | Response:
    """Older spellings, heartbeats of any shape, answers; else why `text` is none of them."""
    try:
        # The standard library reads lone surrogates and 1e999, as JavaScript does: the
        # grammar allows them, so the uuid can be read and the caller need not wait for ever.
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_bounded_int)
    except ValueError:
        raise BadFrame(0, "bad_request", "the frame is not JSON") from None
    if not isinstance(value, dict):
        raise BadFrame(0, "bad_request", "a frame must be a JSON object")
    uuid: Any = value.get("uuid", value.get("track_id"))
    route: Any = value.get("route", value.get("path"))
    if not _is_uuid(uuid) or not _is_text(uuid):
        if route == "PING":
            return Frame(0, "PING")
        raise BadFrame(0, "bad_uuid", _UUID_RULE)
    if route == "PING":
        return Frame(uuid, "PING")
    if route is None and is_ours(uuid) and type(value.get("status")) is int:
        _check_values(uuid, value)
        headers = value.get("headers")
        known = headers if isinstance(headers, dict) else {}
        return Response(uuid, value["status"], known, value.get("payload"))
    if not isinstance(route, str) or not 0 < len(route) <= MAX_ROUTE or not _is_text(route):
        raise BadFrame(uuid, "bad_route", _ROUTE_RULE)
    headers = value.get("headers")
    if not isinstance(headers, dict | None):
        raise BadFrame(uuid, "bad_headers", "headers must be an object or null")
    _check_values(uuid, value)
    payload = msgspec.json.encode(value.get("payload"))
    return Frame(uuid, route, headers, msgspec.Raw(payload))


def _check_values(uuid: Uuid, value: dict[str, Any]) -> None:
    """Whether all in a frame is what JSON on any machine can hold."""
    try:
        if has_odd_floats(value):
            raise ValueError
        msgspec.json.encode(value)
    except ValueError:
        raise BadFrame(
            uuid, "bad_request", "the frame holds a lone surrogate or a number out of range"
        ) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bounded_int(digits: str) -> float:
    """An integer too long for Python is out of range, as a float can be."""
    return int(digits) if len(digits) <= 4300 else math.inf


def _is_text(value: Any) -> bool:
    """No lone surrogate in it."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def is_reserved(route: str) -> bool:
    """Whether a route's name belongs to the protocol."""
    return route.startswith("$") or route in ("PING", "PONG")


def is_ours(uuid: Uuid) -> bool:
    """Whether a uuid is of those that the server gives to its own calls."""
    return isinstance(uuid, str) and uuid[0] == "#"


def encode_request(request: Request) -> str:
    """The frame of a request. Raises `Unserialisable`."""
    return encode(request).decode()


def encode_response(response: Response, limit: int) -> str:
    """The frame of an answer; `payload` may be `msgspec.Raw`, ready-made JSON.

    Raises `Unserialisable` for what is not JSON, `ResponseTooLarge` beyond `limit` bytes.
    """
    try:
        data = _encode(response)
    except Exception:
        data = encode(response)
        text = data.decode()
    else:
        text = data.decode()
        # Looking into a text costs a fifth of looking into bytes.
        if "null" in text and has_odd_floats(response):
            data = encode(response)
            text = data.decode()
    if len(data) > limit:
        raise ResponseTooLarge(f"the result is larger than {limit} bytes")
    return text


def encode(value: Any) -> bytes:
    """`value` as JSON: what JSON knows, and what msgspec or pydantic can turn into it.

    NaN and infinities are refused, a lone surrogate is written as an escape.
    Raises `Unserialisable`.
    """
    try:
        try:
            data = _encode(value)
        except (TypeError, UnicodeEncodeError, RecursionError):
            # Rare keys (true, null) and lone surrogates, which only the standard library writes.
            return json.dumps(_as_builtins(value), allow_nan=False, default=_jsonable).encode()
        # msgspec writes a NaN as null: only where there is a null we need to look closer.
        if data.find(b"null") >= 0 and has_odd_floats(value):
            raise ValueError("a NaN or an infinity")
        return data
    except (TypeError, ValueError, RecursionError, pydantic_core.PydanticSerializationError) as e:
        raise Unserialisable("the result cannot be written as JSON") from e


def _jsonable(value: Any) -> Any:
    plain = pydantic_core.to_jsonable_python(value)
    if has_odd_floats(plain):
        raise ValueError("a NaN or an infinity")
    return plain


_encode = msgspec.json.Encoder(enc_hook=_jsonable).encode
_odd_floats = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
_packer = msgspec.msgpack.Encoder(enc_hook=_jsonable)


def _as_builtins(value: Any) -> Any:
    """One of our own envelopes as the dict that the standard library can write."""
    if not isinstance(value, msgspec.Struct):
        return value
    members = msgspec.structs.asdict(value)
    return {
        k: json.loads(bytes(v)) if isinstance(v, msgspec.Raw) else v for k, v in members.items()
    }


def has_odd_floats(value: Any) -> bool:
    """Whether `value` holds a NaN or an infinity, at any depth. It must not be circular."""
    try:
        # In MessagePack such a float has an exponent of all ones, which no text looks like.
        if _odd_floats.search(_packer.encode(value)) is None:
            return False
    except (TypeError, ValueError, OverflowError):
        pass
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return True
        elif isinstance(item, Mapping):
            rest.extend(item.keys())
            rest.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            rest.extend(item)
        elif isinstance(item, msgspec.Struct):
            rest.extend(msgspec.structs.astuple(item))
        elif dataclasses.is_dataclass(item) and not isinstance(item, type):
            rest.extend(getattr(item, f.name, None) for f in dataclasses.fields(item))
        elif isinstance(item, pydantic.BaseModel):
            rest.append(item.model_dump())
    return False


def pong(uuid: Uuid) -> str:
    """The answer to a heartbeat."""
    return encode_request(Request(uuid, "PONG"))


def push(route: str, payload: Any, headers: Header | None = None) -> str:
    """The frame of a push: a request under the uuid that is nobody's. Raises `Unserialisable`."""
    return encode_request(Request("#", route, headers or {}, payload))


def drain(within_ms: int) -> str:
    """The push that asks a client to go on over another connection."""
    return encode_request(Request("#", "$drain", None, {"within_ms": within_ms}))


def cancellation(uuid: Uuid) -> str:
    """The frame that ends a request."""
    return encode_request(Request(uuid, "$cancel"))


def refusal(uuid: Uuid, error: RequestFailed) -> str:
    """The error answer: `{"message", "code"}`, and `"detail"` where there is some."""
    payload = {"message": str(error), "code": error.code}
    if error.detail is not None:
        payload["detail"] = error.detail
    return encode(Response(uuid, error.status, {}, payload)).decode()
