"""Classes of the program's main file, pickled so that the next run of that program finds its own class again.

pickle would keep `__main__.Point` by name, which a worker, or another script, has not or means something else by.
cloudpickle keeps the class itself, so a fresh process gets a twin: equal fields, but `isinstance(value, Point)` is False and no
two are equal. Here both are kept: the name with a digest of what the class says, and the class. Reading takes the named class
if it says the same, else the twin.

What a class says: its attributes' names, its functions' code, its plain constants, annotations and bases. Not seen: what its
functions reach; that is the fingerprint's business, and the record's key has it.
"""

from __future__ import annotations

import pickle
import sys
import types
from typing import Any

from gpucache.codec import code_file
from gpucache.digests import hash128

# fmt: off
_UNSEEN = frozenset({
    "__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__",
    "__abstractmethods__", "__slotnames__", "_abc_impl", "__classdictcell__", "__conditional_annotations__",
    "__annotations__", "__annotate_func__", "__annotations_cache__",
})
# fmt: on
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def reduced(cls: type) -> tuple[Any, ...] | None:
    """How pickle is to keep a class of the main file that can be found there by its name; None for any other.

    In a worker too, whose own main file is another: what it returns is read where the class is at home.
    """
    if cls.__module__ != "__main__" or "<" in cls.__qualname__:
        return None
    return _resolved, (cls.__qualname__, _says(cls), code_file.dumps(cls))


def _resolved(qualname: str, says: bytes, twin: bytes) -> Any:
    found = _named(qualname)
    if isinstance(found, type) and found.__module__ == "__main__" and _says(found) == says:
        return found
    return pickle.loads(twin)


def _named(qualname: str) -> Any:
    found: Any = sys.modules.get("__main__")
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def evaluated_annotations(cls: type) -> dict[str, Any]:
    """A class's own annotations. From Python 3.14 on they are there once asked for, and only then does cloudpickle take them along."""
    import inspect

    try:
        return inspect.get_annotations(cls)
    except NameError:  # they name what is only imported for type checkers
        return {}


def _says(cls: type) -> bytes:
    return hash128(repr(_said(cls)).encode("utf-8", "surrogatepass"))


def _said(cls: type) -> list[Any]:
    bases = [
        _said(base) if base.__module__ == "__main__" else f"{base.__module__}.{base.__qualname__}"
        for base in cls.__bases__
    ]
    content = [(name, _of(item)) for name, item in sorted(vars(cls).items()) if _is_said(name, item)]
    return [cls.__qualname__, type(cls).__qualname__, bases, _of(evaluated_annotations(cls)), content]


def _is_said(name: str, item: Any) -> bool:
    """Not what follows from something else: a slot's descriptor, which cloudpickle's twins lack, is said by __slots__."""
    return name not in _UNSEEN and not isinstance(item, types.MemberDescriptorType)


def _of(item: Any) -> Any:
    if isinstance(item, _PLAIN):
        return repr(item)
    if isinstance(item, staticmethod | classmethod):
        return [type(item).__name__, _of(item.__func__)]
    if isinstance(item, property):
        return ["property", *(_of(part) for part in (item.fget, item.fset, item.fdel))]
    if isinstance(item, types.FunctionType):
        return [_code(item.__code__), _of(item.__defaults__), _of(item.__kwdefaults__)]
    if isinstance(item, tuple | list):
        return [type(item).__name__, *(_of(part) for part in item)]
    if isinstance(item, dict):
        return [(_of(key), _of(part)) for key, part in item.items()]
    if isinstance(item, type):
        return f"{item.__module__}.{item.__qualname__}"
    kind = type(item)
    if kind.__module__ in ("typing", "types"):
        return repr(item)  # an annotation
    value = vars(item).get("_value_") if hasattr(item, "__dict__") else None  # an enum's member
    return [f"{kind.__module__}.{kind.__qualname__}", repr(value) if isinstance(value, _PLAIN) else ""]


def _code(code: types.CodeType) -> list[Any]:
    constants = [_constant(item) for item in code.co_consts]
    return [code.co_name, code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars]


def _constant(item: Any) -> Any:
    if isinstance(item, types.CodeType):
        return _code(item)
    return sorted(map(repr, item)) if isinstance(item, frozenset) else repr(item)  # a set's order is the process's own
