"""The form of a function whose source text is not at hand, from its code object.

For functions from a REPL, from exec() or a lone .pyc, and for those whose file was changed before it was first looked at.
Bytecode differs between Python versions, so the form starts with the version; it can never equal a form of syntax. It is
exact and needlessly sensitive: a changed docstring counts.
"""

from __future__ import annotations

import dis
import sys
import types
from collections.abc import Iterator

from gpucache.fingerprint.normal_form import Form, Ref
from gpucache.fingerprint.scope import Imported

_NAME_READS = frozenset(
    {
        "LOAD_CLASSDEREF",
        "LOAD_DEREF",
        "LOAD_FROM_DICT_OR_DEREF",
        "LOAD_FROM_DICT_OR_GLOBALS",
        "LOAD_GLOBAL",
        "LOAD_NAME",
    }
)
_ATTR_READS = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def form_of_code(code: types.CodeType) -> Form:
    """The form of a code object: its instructions and constants, without file, lines and cache entries."""
    text = f"bytecode {sys.version_info[0]}.{sys.version_info[1]} ".encode() + b"".join(_tokens(code))
    refs = tuple(dict.fromkeys(_refs(code, frozenset())))
    words = set(_words(code))
    return Form(
        (text, *(b"" for _ in refs)),
        tuple(range(len(refs))),
        refs,
        not words.isdisjoint({"__doc__", "getdoc"}),
        not words.isdisjoint({"__annotations__", "get_type_hints", "signature"}),
        "__subclasses__" in words,
    )


def same_but_for_place(one: types.CodeType, other: types.CodeType) -> bool:
    """Whether two code objects do the same, wherever they stand in whichever file."""
    return one == other or b"".join(_tokens(one)) == b"".join(_tokens(other))


def _tokens(code: types.CodeType) -> Iterator[bytes]:
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    yield f"({code.co_name} {counts} {code.co_varnames} {code.co_names} {code.co_freevars} {code.co_cellvars} ".encode()
    if _CLASS_LINE in code.co_names:
        yield from _class_body(code)
    else:
        yield code.co_code + getattr(code, "co_exceptiontable", b"")
        for constant in code.co_consts:
            yield from _constant(constant)
    yield b")"


_CLASS_LINE = "__firstlineno__"
"""Python 3.13 and newer: the body of a class begins by storing the line that it stands on."""


def _class_body(code: types.CodeType) -> Iterator[bytes]:
    """The instructions with what they load, and not with places in tables, less the first that store the line."""
    steps = list(dis.get_instructions(code))
    stored = next((at for at, step in enumerate(steps) if step.argval == _CLASS_LINE), None)
    for at, step in enumerate(steps):
        if stored is None or at not in (stored - 1, stored):
            yield f"{step.opname} ".encode()
            yield from _constant(step.argval)
    yield getattr(code, "co_exceptiontable", b"")


def _constant(value: object) -> Iterator[bytes]:
    if isinstance(value, types.CodeType):
        yield from _tokens(value)
    elif isinstance(value, tuple | frozenset):
        items = [b"".join(_constant(item)) for item in value]
        yield f"{type(value).__name__}{len(items)}".encode()
        yield from items if isinstance(value, tuple) else sorted(items)
    elif isinstance(value, float):
        yield f"f{value.hex()}".encode()
    elif isinstance(value, complex):
        yield f"c{value.real.hex()},{value.imag.hex()}".encode()
    else:
        yield f"{type(value).__name__}:{value!r};".encode("utf-8", "surrogatepass")


def _refs(code: types.CodeType, bound: frozenset[str]) -> Iterator[Ref]:
    """Every global and free variable with the attributes that are read from it, and every import.

    `bound` are names that the functions around bind: a free variable of those is none of the whole function.
    """
    inner_bound = bound | set(code.co_cellvars)
    chain: Ref | None = None
    before: tuple[object, object] = (0, None)
    for instruction in dis.get_instructions(code):
        if chain is not None and instruction.opname in _ATTR_READS:
            chain = chain._replace(attrs=(*chain.attrs, str(instruction.argval)))
            continue
        if chain is not None:
            yield chain
            chain = None
        if instruction.opname in _NAME_READS and instruction.argval not in inner_bound:
            chain = Ref(str(instruction.argval))
        elif instruction.opname == "IMPORT_NAME":
            level, names = before  # the two constants that IMPORT_NAME takes from the stack
            for name in names if isinstance(names, tuple) else (None,):
                yield Ref(Imported(str(instruction.argval), level if isinstance(level, int) else 0, name), use="effect")
        before = (before[1], instruction.argval)
    if chain is not None:
        yield chain
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _refs(constant, inner_bound)


def _words(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _words(constant)
