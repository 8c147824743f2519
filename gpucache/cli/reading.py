"""Text read as a value of a type: what an annotation of a flow's parameter makes of words on the command line.

Closed on purpose: a type that is not here is refused, never guessed. A list is `1,2,3`, `--n 1 --n 2`, or JSON where an
element holds a comma.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import decimal
import enum
import fractions
import json
import pathlib
import types
import typing
import uuid
from collections.abc import Sequence
from typing import Any, Literal, Union

_TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_BY_CALL = (int, float, complex, str, pathlib.Path, decimal.Decimal, fractions.Fraction, uuid.UUID)
_BY_ISO = (dt.datetime, dt.date, dt.time)
_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_OTHERS = (tuple, set, frozenset)
_MAPS = (dict, collections.abc.Mapping)


def parsed(texts: Sequence[str], kind: Any) -> Any:
    """One value of `kind` from the texts given for it; several texts only where `reads_several(kind)`.

    Raises:
        ValueError, TypeError, ArithmeticError: A text is no such value, or there is no reading for the type.
    """
    several = next((part for part in _alternatives(kind) if _is_list(part)), None)
    if len(texts) > 1 and several is not None:
        return _collected([item for text in texts for item in _items(text)], several)
    return _read(texts[-1], kind)


def reads_several(kind: Any) -> bool:
    """Whether an argument of this type may be given more than once."""
    return any(_is_list(part) for part in _alternatives(kind))


def is_flag(kind: Any) -> bool:
    """Whether an argument of this type needs no value."""
    return bool in _alternatives(kind)


def kind_name(kind: Any) -> str:
    """A type as a person would write it."""
    kind = getattr(kind, "__supertype__", kind)
    if typing.get_origin(kind) is Literal:
        return " | ".join(map(repr, typing.get_args(kind)))
    if typing.get_origin(kind) in (Union, types.UnionType):
        return " | ".join(kind_name(part) for part in typing.get_args(kind))
    if kind is type(None):
        return "None"
    if isinstance(kind, enum.EnumType):
        return " | ".join(kind.__members__)
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")


def _read(text: str, kind: Any) -> Any:
    kind = getattr(kind, "__supertype__", kind)  # typing.NewType
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _first_that_reads(text, arguments)
    if origin is Literal:
        return next(_matching(text, arguments))
    if _is_list(kind):
        return _collected(_items(text), kind)
    if (origin or kind) in _MAPS:
        return _json(text, dict)
    if kind is bool:
        return _truth(text)
    if kind in (Any, object):
        return text
    if isinstance(kind, enum.EnumType):
        return (
            kind[text] if text in kind.__members__ else next(_matching(text, list(kind), lambda member: member.value))
        )
    if kind in _BY_ISO:
        return kind.fromisoformat(text)
    if kind in _BY_CALL or getattr(kind, "__module__", "").startswith("gpucache."):
        return kind(text)
    raise TypeError(f"there is no reading of text as {kind!r}")


def _first_that_reads(text: str, kinds: Sequence[Any]) -> Any:
    if type(None) in kinds and text.lower() == "none":
        return None
    candidates = [kind for kind in kinds if kind is not type(None)]
    for kind in sorted(candidates, key=lambda kind: kind is str):  # everything reads as a string, so that comes last
        try:
            return _read(text, kind)
        except (ValueError, TypeError, ArithmeticError):
            continue
    raise ValueError(text)


def _matching(text: str, choices: Sequence[Any], value: Any = lambda choice: choice) -> collections.abc.Iterator[Any]:
    yield from (choice for choice in choices if str(value(choice)) == text)
    raise ValueError(text)


def _collected(items: Sequence[Any], kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(items) != len(arguments):
            raise ValueError(items)
        return tuple(_item(item, part) for item, part in zip(items, arguments, strict=True))
    values = [_item(item, arguments[0] if arguments else str) for item in items]
    return values if origin in _LISTS else origin(values)


def _items(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        return list(_json(text, list))
    return [item.strip() for item in text.split(",")] if text else []


def _item(item: Any, kind: Any) -> Any:
    return _read(item if isinstance(item, str) else json.dumps(item), kind)


def _json(text: str, kind: type) -> Any:
    value = json.loads(text)
    if not isinstance(value, kind):
        raise TypeError(text)
    return value


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise ValueError(text)
    return _TRUTHS[text.lower()]


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)


def _is_list(kind: Any) -> bool:
    return (typing.get_origin(kind) or kind) in (*_LISTS, *_OTHERS)
