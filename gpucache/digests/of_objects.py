"""Objects of any class: code by name or by `symbols`, everything else taken apart by its own __reduce_ex__.

What pickle would need to make the object again is what it is: class, arguments, state, items. Walked, never pickled. Two things
pickle forgets are added: attributes of a subclass of a type whose reduce does not know of them (datetime, Decimal, ndarray, ...),
and the true function of a bound method.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import struct
import sys
import types
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpucache.digests.of_builtins import set_items

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker

_PROTOCOL = 4
"""For __reduce_ex__: fixed, so that an encoding does not change with Python's default. 5 would give buffers out of band."""

_HEAP_TYPE = 1 << 9
"""Py_TPFLAGS_HEAPTYPE (object.h): a class made at run time. One that was not is the only one of its name."""

PAIR = object()
"""Marks a step to a pair of key and value: (key, PAIR)."""

_length = struct.Struct("<Q").pack


def encode_object(walker: Walker, value: Any) -> None:
    """Append any value that has no encoder of its own."""
    kind = type(value)
    token = walker.code_token(value)
    if token is not None:
        walker.tag(b"Y", token)
    elif issubclass(kind, type | types.FunctionType):
        walker.tag(b"G", _code_name(walker, value))
    elif issubclass(kind, types.ModuleType):
        walker.tag(b"M", _utf8(value.__name__))
    elif issubclass(kind, types.BuiltinFunctionType):
        _builtin(walker, value)
    elif issubclass(kind, set | frozenset) and _reduces_as_set(kind):
        walker.tag(b"V", walker.class_token(kind))
        set_items(walker, b"S", value)
        state(walker, object.__getstate__(value))
    else:
        _refuse_iterator(walker, value)
        _reduced(walker, value)


def state(walker: Walker, found: object) -> None:
    """Append attributes by name: the order in which they were set is not part of what an object is."""
    if type(found) is dict and all(type(name) is str for name in found):
        walker.out += b"{" + _length(len(found))
        for name in sorted(found):
            walker.tag(b".", _utf8(name))
            walker.child(f".{name}", found[name])
    elif type(found) is tuple and len(found) == 2 and type(found[1]) is dict:
        walker.out += b"2"  # __dict__ (or None) and slots
        state(walker, found[0])
        state(walker, found[1])
    else:
        walker.out += b"("
        walker.child("", found)


def name_of(walker: Walker, obj: Any) -> bytes:
    """The module and the qualified name of a class or a function.

    Raises:
        NotIdentifiable: The name does not lead to it (it is local, replaced or wrapped), so another may have the same.
    """
    module, name = str(obj.__module__ or "builtins"), str(obj.__qualname__)
    is_static = isinstance(obj, type) and not obj.__flags__ & _HEAP_TYPE
    if not is_static and not leads_to(module, name, obj):
        why = f"its {'class' if isinstance(obj, type) else 'name'} {module}.{name} does not lead to it"
        raise walker.refusal(obj, why, "define it at the top of a module, or pass it to a task, which follows its code")
    return _length(len(module)) + _utf8(module) + _utf8(name)


def leads_to(module: str, name: str, obj: object) -> bool:
    """Whether module.name is this object."""
    try:
        found = functools.reduce(getattr, name.split("."), sys.modules[module])
    except Exception:  # noqa: BLE001  # a module's __getattr__ may raise anything: then the name does not lead there
        return False
    return found is obj


def _code_name(walker: Walker, value: Any) -> bytes:
    if not isinstance(value, type) and value.__module__ == "__main__":
        why = "it is a function of the main program, whose name does not say which"
        raise walker.refusal(value, why, "pass it to a task, which follows its code, or move it to a module")
    return name_of(walker, value)


def _builtin(walker: Walker, value: Any) -> None:
    """A function in C: by name, or a method bound to something."""
    owner, module = value.__self__, str(value.__module__ or "builtins")
    if owner is not None and not isinstance(owner, types.ModuleType | type):
        walker.tag(b"m", _utf8(value.__name__))
        walker.child(".__self__", owner)
    elif leads_to(module, value.__name__, value):  # torch.add: its qualified name goes through a class that has no name
        walker.tag(b"G", _length(len(module)) + _utf8(module) + _utf8(value.__name__))
    elif isinstance(owner, type) and getattr(owner, value.__name__, None) == value:
        walker.tag(b"m", _utf8(value.__name__))
        walker.child(".__self__", owner)
    else:
        walker.tag(b"G", name_of(walker, value))


def _refuse_iterator(walker: Walker, value: Any) -> None:
    """Reading an iterator changes it; and one over a set comes apart in the order of the hash seed."""
    kind = type(value)
    is_generator = isinstance(value, types.GeneratorType | types.CoroutineType | types.AsyncGeneratorType)
    if is_generator or (hasattr(kind, "__next__") and kind.__module__ in {"builtins", "itertools"}):
        raise walker.refusal(value, "it can be read only once, so it has no content of its own", "pass list(...) of it")


def _reduced(walker: Walker, value: Any) -> None:
    kind = type(value)
    reducer = copyreg.dispatch_table.get(kind)
    try:
        found: Any = value.__reduce_ex__(_PROTOCOL) if reducer is None else reducer(value)
    except Exception as problem:  # a user's reduce may raise anything; whatever it is, there is no identity
        why = f"it can't be taken apart ({type(problem).__name__}: {problem})"
        raise walker.refusal(value, why, "pass what it is made from, or register its type") from problem
    if isinstance(found, str):
        _global(walker, value, found)
        return
    if not isinstance(found, tuple) or not 2 <= len(found) <= 6 or not isinstance(found[1], tuple):
        raise walker.refusal(value, "its __reduce_ex__ returns something unknown", "register its type")
    make, arguments, its_state, items, pairs, setter = (*found, None, None, None, None)[:6]
    walker.tag(b"O", walker.class_token(kind))
    if make is copyreg.__newobj__ and arguments and arguments[0] is kind:  # type: ignore[attr-defined]  # what plain classes give
        walker.out += b"n"
        walker.child("", arguments[1:])
    else:
        walker.out += b"r"
        walker.child(".__reduce_ex__()[0]", make)
        walker.child("", arguments)
    state(walker, its_state)
    _stream(walker, items)
    _stream(walker, pairs, are_pairs=True)
    walker.child(".__reduce_ex__()[5]", setter)
    state(walker, None if reducer is not None else forgotten(kind, value))


def _global(walker: Walker, value: Any, name: str) -> None:
    """A value that says it is found by a name: a ufunc, a sentinel."""
    module = getattr(value, "__module__", None) or pickle.whichmodule(value, name)  # type: ignore[attr-defined]
    if not leads_to(str(module), name, value):
        raise walker.refusal(value, f"its name {module}.{name} does not lead to it", "register its type")
    walker.tag(b"g", _utf8(str(module)), _utf8(name))


def _stream(walker: Walker, items: Iterable[Any] | None, *, are_pairs: bool = False) -> None:
    """Append the items of a list's or a dict's subclass; in an error's path a pair is known by its key."""
    listed = [] if items is None else list(items)
    walker.out += _length(len(listed))
    for index, item in enumerate(listed):
        is_pair = are_pairs and type(item) is tuple and len(item) == 2
        walker.child((item[0], PAIR) if is_pair else (index,), item)


def forgotten(kind: type, value: Any) -> object:
    """The attributes that a subclass added and that the reduce it inherited can't know of; None where it knows all."""
    home = next(base for base in kind.__mro__ if "__reduce_ex__" in base.__dict__ or "__reduce__" in base.__dict__)
    if home is object:
        return None
    # Instances of `home` itself have no attributes, so its reduce knows of none. Counter and Random have, and forget them.
    knows_none = home.__dictoffset__ == 0 or home.__module__ in {"collections", "random"}
    return (object.__getstate__(value) or None) if home is not kind and knows_none else None


def _reduces_as_set(kind: type) -> bool:
    by_set: tuple[object, ...] = (set.__reduce__, frozenset.__reduce__)
    by_default: object = object.__reduce_ex__
    return kind.__reduce__ in by_set and kind.__reduce_ex__ is by_default


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
