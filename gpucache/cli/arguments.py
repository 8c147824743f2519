"""A flow's arguments as text on the command line: `--lr 3e-4`, read as the flow's annotations say."""

from __future__ import annotations

import inspect
import pathlib
import types
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Union

from gpucache.errors import BadArgument

if TYPE_CHECKING:
    from gpucache.flows import Flow

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def bound_values(flow: Flow[..., Any], words: Sequence[str]) -> tuple[Any, ...]:
    """The flow's arguments from the words after the flow's name, in the order of its signature.

    Raises:
        BadArgument: An unknown one, one without a value, one that is missing, or a value of the wrong kind.
    """
    parameters = {
        name: parameter
        for name, parameter in flow.binder.signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    hints = _hints(flow)
    given: dict[str, Any] = {}
    for word, text in _pairs(flow, words):
        name = word.replace("-", "_")
        if name not in parameters:
            raise BadArgument(flow.name, f"--{word}", "is not known", f"it takes {known_arguments(flow)}")
        given[name] = _read(flow, word, text, hints.get(name, _of_default(parameters[name])))
    for name, parameter in parameters.items():
        if name not in given and parameter.default is parameter.empty:
            raise BadArgument(flow.name, f"--{name}", "is missing", f"it takes {known_arguments(flow)}")
    return flow.binder.bind((), given)


def known_arguments(flow: Flow[..., Any]) -> str:
    """The flow's arguments with their types and defaults, in a line."""
    hints, texts = _hints(flow), []
    for name, parameter in flow.binder.signature.parameters.items():
        kind = hints.get(name, _of_default(parameter))
        default = "" if parameter.default is parameter.empty else f" (default {parameter.default!r})"
        texts.append(f"--{name} {_kind_name(kind)}{default}")
    return ", ".join(texts) or "no arguments"


def _pairs(flow: Flow[..., Any], words: Sequence[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--"):
            raise BadArgument(
                flow.name, word, "has no name", f"write it as --name value; it takes {known_arguments(flow)}"
            )
        name, equals, text = word.removeprefix("--").partition("=")
        if name == "arg" and "arg" not in flow.binder.names:
            name, _, text = (text if equals else waiting.pop(0) if waiting else "").partition("=")
        elif not equals:
            if not waiting:
                raise BadArgument(flow.name, word, "has no value", f"it takes {known_arguments(flow)}")
            text = waiting.pop(0)
        pairs.append((name, text))
    return pairs


def _hints(flow: Flow[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(flow.fn)
    except (NameError, TypeError):  # an annotation that only a type checker can resolve
        return {}


def _of_default(parameter: inspect.Parameter) -> Any:
    if parameter.default is parameter.empty or parameter.default is None:
        return str
    return type(parameter.default)


def _read(flow: Flow[..., Any], word: str, text: str, kind: Any) -> Any:
    try:
        return _parsed(text, kind)
    except (ValueError, TypeError):
        raise BadArgument(flow.name, f"--{word}", f"is {text!r}", f"expected {_kind_name(kind)}") from None


def _parsed(text: str, kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if text.lower() == "none" and type(None) in arguments:
            return None
        return _first_that_reads(text, [part for part in arguments if part is not type(None)])
    if origin is Literal:
        for choice in arguments:
            if text == str(choice):
                return choice
        raise ValueError(text)
    if origin in (list, tuple, set):
        part = arguments[0] if arguments else str
        return origin(_parsed(item, part) for item in text.split(",") if item)
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError(text)
        return text.lower() in _TRUE
    if kind in (int, float, complex, str, pathlib.Path):
        return kind(text)
    if isinstance(kind, type) and kind.__module__.startswith("gpucache"):
        return kind(text)
    if kind in (Any, inspect.Parameter.empty):
        return text
    raise TypeError(kind)


def _first_that_reads(text: str, kinds: Sequence[Any]) -> Any:
    for kind in sorted(kinds, key=lambda kind: kind is str):  # everything reads as a string, so that comes last
        try:
            return _parsed(text, kind)
        except (ValueError, TypeError):
            continue
    raise ValueError(text)


def _kind_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")
