"""A flow's arguments as text on the command line: `--lr 3e-4`, read as the flow's annotations say.

Knows signatures and types, nothing of files, stores or runs. What the types are read as is in `reading.py`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpucache.cli.reading import is_flag, kind_name, parsed, reads_several
from gpucache.errors import BadArgument

if TYPE_CHECKING:
    from gpucache.flows import Flow

_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_NO_DEFAULT = inspect.Parameter.empty
_TRUTHS = {"1", "true", "yes", "on", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument that a flow takes: its name, what its text is read as, and its default."""

    name: str
    kind: Any
    default: Any

    @property
    def option(self) -> str:
        """How it is written: `--batch-size`."""
        return "--" + self.name.replace("_", "-")

    def __str__(self) -> str:
        default = "" if self.default is _NO_DEFAULT else f" (default {self.default!r})"
        return f"{self.option} {kind_name(self.kind)}{default}"


def bound_values(flow: Flow[..., Any], words: Sequence[str]) -> tuple[Any, ...]:
    """The flow's arguments from the words after the file's name, in the order of its signature.

    Raises:
        BadArgument: An unknown one, one without a value, one that is missing, or a value of the wrong kind.
    """
    parameters = {parameter.name: parameter for parameter in parameters_of(flow)}
    texts: dict[str, list[str]] = {}
    for name, text in _pairs(flow, parameters, words):
        texts.setdefault(name, []).append(text)
    given = {name: _value(flow, parameters[name], several) for name, several in texts.items()}
    for parameter in parameters.values():
        if parameter.name not in given and parameter.default is _NO_DEFAULT:
            raise _refused(flow, parameter.option, "is missing")
    positional = [
        given.pop(name, parameter.default)
        for name, parameter in flow.binder.signature.parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    return flow.binder.bind(tuple(positional), given)


def parameters_of(flow: Flow[..., Any]) -> tuple[Parameter, ...]:
    """The arguments that can be given by name; `*args` and `**kwargs` can't."""
    hints = _hints(flow)
    return tuple(
        Parameter(name, hints.get(name, _kind_of_default(parameter)), parameter.default)
        for name, parameter in flow.binder.signature.parameters.items()
        if parameter.kind in _NAMED
    )


def known_arguments(flow: Flow[..., Any]) -> str:
    """The flow's arguments with their types and defaults, in a line."""
    return ", ".join(map(str, parameters_of(flow))) or "no arguments"


def _refused(flow: Flow[..., Any], argument: str, problem: str) -> BadArgument:
    return BadArgument(flow.name, argument, problem, f"it takes {known_arguments(flow)}")


def _pairs(flow: Flow[..., Any], parameters: dict[str, Parameter], words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each argument's name and text: `--lr 1`, `--lr=1`, `--flag`, `--no-flag`, and `--arg lr=1` for names that are our own."""
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--") or word == "--":
            raise _refused(flow, word, "has no name: write it as --name value")
        written, equals, text = word.removeprefix("--").partition("=")
        if written == "arg" and "arg" not in parameters:
            written, equals, text = (text if equals else waiting.pop(0) if waiting else "").partition("=")
        name = written.replace("-", "_")
        denied = name.removeprefix("no_")
        if name not in parameters and denied in parameters and not equals and is_flag(parameters[denied].kind):
            yield denied, "false"
            continue
        if name not in parameters:
            raise _refused(flow, f"--{written}", "is not known")
        if not equals:
            text = _next_text(flow, parameters[name], waiting)
        yield name, text


def _next_text(flow: Flow[..., Any], parameter: Parameter, waiting: list[str]) -> str:
    has_text = bool(waiting) and not waiting[0].startswith("--")
    if is_flag(parameter.kind):
        return waiting.pop(0) if has_text and waiting[0].lower() in _TRUTHS else "true"
    if not has_text:
        raise _refused(flow, parameter.option, "has no value")
    return waiting.pop(0)


def _value(flow: Flow[..., Any], parameter: Parameter, texts: list[str]) -> Any:
    if len(texts) > 1 and not reads_several(parameter.kind):
        raise _refused(flow, parameter.option, f"is given {len(texts)} times")
    try:
        return parsed(texts, parameter.kind)
    except (ValueError, TypeError, ArithmeticError):  # ArithmeticError: decimal.InvalidOperation
        shown = " ".join(map(repr, texts))
        raise _refused(flow, parameter.option, f"is {shown}, not {kind_name(parameter.kind)}") from None


def _hints(flow: Flow[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(flow.fn)
    except (NameError, TypeError, AttributeError):  # an annotation that only a type checker can resolve
        return {}


def _kind_of_default(parameter: inspect.Parameter) -> Any:
    return str if parameter.default is _NO_DEFAULT or parameter.default is None else type(parameter.default)
