"""
Values held to their types, on the way out and on the way in.

What does not fit is told without showing it: values end in logs.
"""

from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from ._errors import MisfitError, Unserialisable
from ._wire import encode, has_odd_floats

ANYTHING: "TypeAdapter[Any]" = TypeAdapter(Any)
"""What stands for a type where there is none: every value fits, and is left as it is."""


def serialised(adapts: "TypeAdapter[Any]", payload: Any, what: str = "the result") -> Any:
    """`payload` as JSON of the declared type: what the type does not name stays here.

    Raises `TypeError` for one that does not fit, and `Unserialisable`.
    """
    try:
        value = adapts.validate_python(payload, from_attributes=True)
    except ValidationError as error:
        # Not `from error`: it shows the value, and logs are not the place for payloads.
        kinds = ", ".join(
            f"{'.'.join(map(str, e['loc'])) or 'all of it'}: {e['type']}" for e in error.errors()
        )
        raise TypeError(f"{what} does not fit its type: {kinds}") from None
    try:
        try:
            data = adapts.dump_json(value, by_alias=True)
        except PydanticSerializationError:
            return adapts.dump_python(value, mode="json", by_alias=True)
        if data.find(b"null") >= 0 and has_odd_floats(adapts.dump_python(value)):
            raise ValueError("a NaN or an infinity")
    except (ValueError, PydanticSerializationError) as error:
        raise Unserialisable(f"{what} cannot be written as JSON") from error
    return msgspec.Raw(data)


def fitted(route: str, fits: "TypeAdapter[Any]", payload: Any) -> Any:
    """The payload of an answer as a value of its type. Raises `MisfitError`.

    Validated as JSON, since that is what it came as: dates are strings in it.
    """
    try:
        return fits.validate_json(encode(payload))
    except ValidationError as error:
        detail: list[Any] = error.errors(include_input=False, include_url=False)
        raise MisfitError(route, detail) from None
