"""
What a user's callable asks for, read once.

Reads signatures and annotations, with all the disguises callables come in; what a
parameter means is decided elsewhere.
"""

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from weakref import WeakKeyDictionary

from fastapi import params
from pydantic import (
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ._errors import SignatureError

EMPTY: Any = inspect.Parameter.empty


class MessageHeader:
    """Marks a parameter that takes one of the message's own headers.

        trace: Annotated[str, MessageHeader("x-trace")]

    Without a name, it is the parameter's, with hyphens for underscores. A missing header
    is answered with 400, unless the parameter has a default.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name


class Cached:
    """Marks a parameter that takes what a hook left in `local["value"]`.

    Nothing there and no default: the call fails with 500, since it is the server's fault.
    """


class Unresolved(Exception):
    """An annotation names something that is not defined, or not yet."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `annotation` is EMPTY or evaluated; `marker` is taken out of it."""

    name: str
    kind: Any
    annotation: Any
    marker: Any
    default: Any

    @property
    def is_positional(self) -> bool:
        return self.kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )

    @property
    def base(self) -> Any:
        """The annotation without its metadata."""
        if typing.get_origin(self.annotation) is Annotated:
            return typing.get_args(self.annotation)[0]
        return self.annotation

    def is_a(self, *kinds: type) -> bool:
        return isinstance(self.base, type) and issubclass(self.base, kinds)


MARKERS = (params.Depends, params.Param, params.Body, MessageHeader, Cached)


def parameters(
    function: Callable[..., Any], names: Mapping[str, Any], fixed: Collection[str] = ()
) -> list[Parameter]:
    """What `function` takes. `names` are the locals of where it was written.

    Parameters named in `fixed` need no annotation: one that is not defined counts as none.
    Raises `Unresolved`, and `SignatureError` for a callable without a signature.
    """
    evaluate = _Evaluator(function, names)
    return [_parameter(p, evaluate, fixed) for p in _signature(function).parameters.values()]


def returned(function: Callable[..., Any], names: Mapping[str, Any]) -> Any:
    """The return annotation, or EMPTY. Raises `Unresolved`."""
    return _Evaluator(function, names)(_signature(function).return_annotation)


def describe(function: Any) -> str:
    """How an error message calls `function`."""
    named = innermost(function)
    return getattr(named, "__qualname__", None) or type(named).__qualname__


def innermost(function: Any) -> Any:
    """The function in partials, bound methods and decorators made with `functools.wraps`."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function


def is_coroutine_function(function: Any) -> bool:
    return _is(inspect.iscoroutinefunction, function)


def is_generator_function(function: Any) -> bool:
    return _is(inspect.isgeneratorfunction, function)


def is_async_generator_function(function: Any) -> bool:
    return _is(inspect.isasyncgenfunction, function)


def _is(test: Callable[[Any], bool], function: Any) -> bool:
    # Not `innermost`: a decorator's own function decides how its call must be awaited.
    while isinstance(function, functools.partial):
        function = function.func
    return test(function) or (
        not inspect.isroutine(function)
        and not inspect.isclass(function)
        and test(type(function).__call__)
    )


def adapter(annotation: Any) -> "TypeAdapter[Any] | None":
    """What validates and serialises `annotation`; None where pydantic knows no way."""
    try:
        made: TypeAdapter[Any] = TypeAdapter(annotation)
        if not getattr(made, "pydantic_complete", True):
            made.rebuild()  # newer pydantics put it off, and what goes wrong with it
    except PydanticUndefinedAnnotation as error:
        raise Unresolved(str(error)) from error
    except PydanticSchemaGenerationError:
        return None
    except PydanticUserError as error:
        if error.code == "class-not-fully-defined":
            raise Unresolved(str(error)) from error
        raise SignatureError(f"pydantic refuses {annotation!r}: {error}") from error
    _annotations[made] = annotation
    return made


_annotations: WeakKeyDictionary["TypeAdapter[Any]", Any] = WeakKeyDictionary()


def annotation_of(adapts: "TypeAdapter[Any]") -> Any:
    """What `adapter` was given; Any where another made it."""
    return _annotations.get(adapts, Any)


def _signature(function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise SignatureError(f"{function!r} has no signature that can be read: {error}") from error
    except NameError as error:  # Python 3.14 evaluates annotations here
        raise Unresolved(str(error)) from error


def _parameter(
    parameter: inspect.Parameter, evaluate: "_Evaluator", fixed: Collection[str]
) -> Parameter:
    default = parameter.default
    try:
        annotation = evaluate(parameter.annotation)
    except Unresolved:
        if parameter.name not in fixed:
            raise
        annotation = EMPTY
    marker = default if isinstance(default, MARKERS) else None
    if marker is not None:
        default = EMPTY
        if isinstance(marker, FieldInfo) and annotation is not EMPTY:
            annotation = Annotated[annotation, marker]  # its constraints are the type's
    elif typing.get_origin(annotation) is Annotated:
        marker = next(
            (m for m in reversed(annotation.__metadata__) if isinstance(m, MARKERS)), None
        )
    if isinstance(marker, params.Body) and default is EMPTY:
        default = marker.get_default(call_default_factory=True)
        if default in (PydanticUndefined, ...):
            default = EMPTY
    return Parameter(parameter.name, parameter.kind, annotation, marker, default)


class _Evaluator:
    """Evaluates annotations that are, or contain, strings."""

    def __init__(self, function: Any, names: Mapping[str, Any]) -> None:
        target = innermost(function)
        if not hasattr(target, "__globals__"):
            target = target if inspect.isclass(target) else type(target)
        module = sys.modules.get(getattr(target, "__module__", ""), None)
        self._globals = getattr(target, "__globals__", None) or vars(module or typing)
        self._names = dict(names)

    def __call__(self, annotation: Any) -> Any:
        if annotation is EMPTY:
            return EMPTY

        class Holder:
            pass

        holder: Any = Holder()
        holder.__annotations__ = {"it": annotation}
        try:
            return typing.get_type_hints(holder, self._globals, self._names, include_extras=True)[
                "it"
            ]
        except NameError as error:
            raise Unresolved(str(error)) from error
        except TypeError:  # not a type at all: nothing to evaluate in it
            return annotation
