"""
What is declared beside handlers: words for people, error payloads, and what the server says
by itself.

Whoever pushes or calls asks here what its payload is held to. Nothing is sent from here.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import TypeAdapter

from ._errors import SignatureError
from ._fit import ANYTHING, fitted, serialised
from ._signature import Unresolved, adapter, innermost
from ._status import Status

Responses = Mapping[Any, Any]
"""What a route may answer besides its result: `{404: NotFound}`, or as FastAPI has it
`{404: {"description": "...", "model": NotFound}}`."""


# --- words


@dataclass(frozen=True, slots=True)
class About:
    """Words for people. What is None is read from the docstring."""

    summary: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    deprecated: bool = False

    def of(self, function: Callable[..., Any] | None) -> "About":
        """The same, with what the docstring of `function` says where nothing else was said:
        its first paragraph as summary, the rest as description."""
        first, rest = _paragraphs(function)
        if self.summary is not None:
            # Said elsewhere, the docstring is all description.
            first, rest = self.summary, "\n\n".join(filter(None, (first, rest)))
        return replace(
            self,
            summary=first,
            description=rest if self.description is None else self.description,
        )


def about(
    summary: str | None, description: str | None, tags: Sequence[str], deprecated: bool
) -> About:
    """As they were given. Raises `TypeError` for tags that are one text."""
    if isinstance(tags, str):
        raise TypeError(f"tags are a list of texts: [{tags!r}]")
    cleaned = None if description is None else inspect.cleandoc(description)
    return About(summary, cleaned, tuple(map(str, tags)), deprecated)


def _paragraphs(function: Any) -> tuple[str, str]:
    text = getattr(innermost(function), "__doc__", None) or "" if function is not None else ""
    # As in FastAPI, what stands behind a form feed is not for readers of the docs.
    first, _, rest = inspect.cleandoc(text.split("\f")[0]).partition("\n\n")
    return " ".join(first.split()), rest.strip()


# --- errors


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """One declared answer that is no 2xx. Without a `model`, its payload is the usual one."""

    description: str
    model: Any = None


def error_responses(where: str, responses: Responses | None) -> dict[int, ErrorResponse]:
    """`responses` as they were given. Raises `SignatureError` for what cannot be one."""
    if not isinstance(responses or {}, Mapping):
        raise SignatureError(f"{where}: responses are a dict of statuses, not {responses!r}")
    return {
        (status := _error_status(where, key)): _error_response(where, status, given)
        for key, given in (responses or {}).items()
    }


def _error_status(where: str, key: Any) -> int:
    try:
        status = int(key)
    except (TypeError, ValueError):
        status = 0
    if not 300 <= status <= 599 or isinstance(key, bool) or status == Status.PENDING:
        raise SignatureError(
            f"{where}: {key!r} is no status of an error: responses are for 300 to 599 without 402, "
            "which says that the answer is still to come; the result of a 2xx is the return type"
        )
    return status


def _error_response(where: str, status: int, given: Any) -> ErrorResponse:
    description = _name_of(status)
    if not isinstance(given, Mapping):
        return ErrorResponse(description, given)
    unknown = given.keys() - {"description", "model"}
    if unknown:
        raise SignatureError(
            f"{where}: the response {status} has {sorted(map(str, unknown))}: "
            "known are 'description' and 'model'"
        )
    return ErrorResponse(given.get("description") or description, given.get("model"))


def _name_of(status: int) -> str:
    try:
        return Status(status).name.replace("_", " ").capitalize()
    except ValueError:
        return "Error"


@dataclass(frozen=True, slots=True)
class ErrorPayload:
    """The payload of an error as it was declared, ready to be written."""

    payload: Any


def declared_detail(errors: "Mapping[int, TypeAdapter[Any]]", status: int, detail: Any) -> Any:
    """The `detail` of an `HTTPException`; as `ErrorPayload` where it is a model, and one is
    declared for this status. Raises `TypeError` where it is another one.

    JSON as such stays a detail: any dict may pass for a model whose members have defaults.
    """
    if status not in errors or detail is None or isinstance(detail, (*_JSON, ErrorPayload)):
        return detail
    return ErrorPayload(serialised(errors[status], detail, f"the payload of a {status}"))


_JSON = (str, int, float, list, tuple, dict)


# --- what the server says by itself


Said = Literal["push", "call"]


@dataclass(frozen=True, slots=True)
class Declaration:
    """A push or a call of the server. `payload` and `result` are types, None for nothing."""

    name: str
    is_call: bool
    payload: Any = None
    result: Any = None
    about: About = field(default_factory=About)

    def __post_init__(self) -> None:
        for annotation in (self.payload, self.result):
            try:
                self._adapter(annotation)
            except Unresolved:
                pass  # a model that names what is not defined yet

    def payload_type(self) -> "TypeAdapter[Any] | None":
        """What serialises the payload; None where there is none. Raises `SignatureError`."""
        return self._resolved(self.payload)

    def result_type(self) -> "TypeAdapter[Any] | None":
        """What validates the client's answer; None where it does not count."""
        return self._resolved(self.result)

    def _resolved(self, annotation: Any) -> "TypeAdapter[Any] | None":
        try:
            return self._adapter(annotation)
        except Unresolved as error:
            raise SignatureError(f"{self}: a type cannot be resolved: {error}") from error

    def _adapter(self, annotation: Any) -> "TypeAdapter[Any] | None":
        if annotation is None or annotation is type(None):
            return None
        if annotation is Any:
            return ANYTHING
        fits = adapter(annotation)
        if fits is None:
            raise SignatureError(f"{self} has the type {annotation!r}, which pydantic cannot write")
        return fits

    def __str__(self) -> str:
        return f"{'call' if self.is_call else 'push'} {self.name!r}"


class Declarations:
    """The pushes and calls that a router declared, its own and those of routers it includes."""

    def __init__(self) -> None:
        self._known: dict[tuple[bool, str], Declaration] = {}
        self._types: dict[tuple[bool, str], tuple[Any, Any]] = {}

    def __iter__(self) -> Iterator[Declaration]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, kind: Said, name: str) -> bool:
        return (kind == "call", name) in self._known

    def add(self, declaration: Declaration) -> None:
        self._known[declaration.is_call, declaration.name] = declaration

    def __contains__(self, declaration: object) -> bool:
        return (
            isinstance(declaration, Declaration)
            and (declaration.is_call, declaration.name) in self._known
        )

    # --- what is held to a declaration; names that nobody declared go as they are

    def pushed(self, name: str, payload: Any) -> Any:
        """The payload of a push, ready to be written. Raises `TypeError` where it does not fit
        what was declared, and `Unserialisable`."""
        return self._outgoing(False, name, payload)

    def called(self, name: str, payload: Any) -> Any:
        """The payload of a call, as that of a push."""
        return self._outgoing(True, name, payload)

    def answered(self, name: str, payload: Any, result: Any = None) -> Any:
        """What the client answered to a call: as a `result`, or else as it was declared. Raises
        `MisfitError`."""
        if result is not None:
            return fitted(name, TypeAdapter(result), payload)
        if (True, name) not in self._known:
            return payload
        fits = self._types_of(True, name)[1]
        if fits is None:
            return None  # a call for its own sake: pages return what they like
        return payload if fits is ANYTHING else fitted(name, fits, payload)

    def _outgoing(self, is_call: bool, name: str, payload: Any) -> Any:
        if (is_call, name) not in self._known:
            return payload
        adapts, _ = self._types_of(is_call, name)
        what = f"the payload of {'call' if is_call else 'push'} {name!r}"
        if adapts is None:
            if payload is not None:
                raise TypeError(f"{what} does not fit its type: it was declared without one")
            return None
        return payload if adapts is ANYTHING else serialised(adapts, payload, what)

    def _types_of(self, is_call: bool, name: str) -> tuple[Any, Any]:
        key = is_call, name
        if key not in self._types:
            declaration = self._known[key]
            self._types[key] = declaration.payload_type(), declaration.result_type()
        return self._types[key]


Place = tuple[Declarations, Declaration]
"""A declaration, and where it goes."""


def all_new(made: Iterable[Place]) -> list[Place]:
    """`made`, where each finds room. Raises `ValueError` where a name is taken."""
    found: dict[tuple[int, bool, str], Place] = {}
    for declared, each in made:
        key = id(declared), each.is_call, each.name
        if each in declared or key in found:
            raise ValueError(f"{each} is already declared")
        found[key] = declared, each
    return list(found.values())
