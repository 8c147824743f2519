"""Which globals a code object reads, by its instructions: what a function that travels by value must take along, and no more.

Python leaves out code that can't be reached (`if 0:`, what follows a return), and cloudpickle takes along what instructions
load; but it overlooks what the body of a nested class loads.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_OPTIMIZED = 0x1
"""CO_OPTIMIZED (inspect.h): set for functions, not for the bodies of classes."""

_BY_NAME = frozenset(dis.opmap[name] for name in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS") if name in dis.opmap)
_LOAD_GLOBAL, _EXTENDED_ARG = dis.opmap["LOAD_GLOBAL"], dis.EXTENDED_ARG


@lru_cache(maxsize=4096)
def is_never_reached(code: types.CodeType, name: str) -> bool:
    """Whether the text mentions this global only where Python knows that it never gets."""
    return name not in _loaded(code) and name in _mentioned(code) and name not in _used(code)


def with_class_globals(function: types.FunctionType, reduced: Any) -> Any:
    """What cloudpickle reduces a function to, with the globals added that the bodies of its classes load."""
    names = _loaded_in_classes(function.__code__)
    if not names or not isinstance(reduced, tuple) or len(reduced) < 3:
        return reduced
    try:
        globals_ = reduced[2][1]["__globals__"]
    except (TypeError, KeyError, IndexError):  # by its name, or as another cloudpickle has it
        return reduced
    globals_.update({name: function.__globals__[name] for name in names if name in function.__globals__})
    return reduced


@lru_cache(maxsize=1024)
def _loaded(code: types.CodeType) -> frozenset[str]:
    """The globals that instructions load. By hand: dis takes 1 us for each instruction, and this is asked of every function."""
    names: set[str] = set()
    for one in _with_inner(code):
        raw, argument = one.co_code, 0
        for place in range(0, len(raw), 2):
            argument |= raw[place + 1]
            operation = raw[place]
            if operation == _EXTENDED_ARG:
                argument <<= 8
                continue
            index = argument >> 1 if operation == _LOAD_GLOBAL else argument if operation in _BY_NAME else None
            if index is not None and index < len(one.co_names):
                names.add(one.co_names[index])
            argument = 0
    return frozenset(names)


@lru_cache(maxsize=1024)
def _loaded_in_classes(code: types.CodeType) -> frozenset[str]:
    bodies = [one for one in _with_inner(code) if not one.co_flags & _OPTIMIZED]
    return frozenset().union(*map(_loaded, bodies))


def _mentioned(code: types.CodeType) -> frozenset[str]:
    return frozenset(name for one in _with_inner(code) for name in one.co_names)


@lru_cache(maxsize=1024)
def _used(code: types.CodeType) -> frozenset[str]:
    """Every name that an instruction has, of a global or of an attribute."""
    by_name = frozenset(dis.hasname)
    return frozenset(
        str(instruction.argval)
        for one in _with_inner(code)
        for instruction in dis.get_instructions(one)
        if instruction.opcode in by_name
    )


def _with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _with_inner(constant)
