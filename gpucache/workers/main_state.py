"""The globals of the program's main file, kept in a worker from call to call, as the standard library's executors have it.

Functions of `__main__` travel by value, which would give each call globals of its own: what an initializer has set, or a cache
that calls fill, would be lost. So here a function brings each global that it names, pickled for itself, and the worker has one
namespace for all: a global is set when it arrives first, and again only when the program has changed it since.

For executors. A task's function takes nothing of an earlier call along: its key does not say so.
"""

from __future__ import annotations

import pickle
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from gpucache.digests import hash128

_LOCKS = (type(threading.Lock()), type(threading.RLock()))
_namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
_arrived: dict[str, bytes] = {}


class _Namespace:
    """Stands for the main file's globals in a pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _the_namespace, ()


def shared(function: types.FunctionType, reduced: Any, names: set[str], dump: Callable[[object], bytes]) -> Any:
    """What cloudpickle reduces a function to, with globals that the worker keeps; as it is, for one of another module.

    Args:
        names: Globals that the message has by now, or is just getting; those that this brings are added.
        dump: Pickles one global.

    Raises:
        pickle.PicklingError: A global that it names can't be pickled.
    """
    main = sys.modules.get("__main__")
    if main is None or function.__globals__ is not vars(main) or not isinstance(reduced, tuple) or len(reduced) != 6:
        return reduced
    make, (code, _, *more), (attributes, slots), *rest, set_state = reduced
    code_of, data = {}, {}
    for name, value in slots["__globals__"].items():
        if isinstance(value, type | types.FunctionType | types.ModuleType):
            code_of[name] = value
        elif name not in names:
            names.add(name)
            data[name] = _dumped(name, value, dump)
    state = attributes, {**slots, "__globals__": code_of}
    return make, (code, _Namespace(), *more), (set_state, state, data), *rest, _set_state


def _dumped(name: str, value: object, dump: Callable[[object], bytes]) -> bytes:
    if isinstance(value, _LOCKS):  # each worker has its own, as each process of the standard library's has
        return dump(_Made(type(value)))
    try:
        return dump(value)
    except Exception as problem:  # whatever the value's own __reduce__ raises
        why = f"global {name!r} of the main file can't be sent to a worker: {problem}; make it in the initializer, or in the function"
        raise pickle.PicklingError(why) from problem


class _Made:
    """A lock, made anew where it arrives."""

    def __init__(self, kind: type) -> None:
        self._make = threading.Lock if kind is _LOCKS[0] else threading.RLock

    def __reduce__(self) -> tuple[Any, ...]:
        return self._make, ()


def _the_namespace() -> dict[str, Any]:
    return _namespace


def _set_state(function: types.FunctionType, sent: tuple[Callable[..., None], Any, dict[str, bytes]]) -> None:
    set_state, (attributes, slots), data = sent
    code_of = slots["__globals__"]
    slots["__globals__"] = {name: value for name, value in code_of.items() if not _is_known(name, value)}
    set_state(function, (attributes, slots))
    for name, sent_bytes in data.items():
        digest = hash128(sent_bytes)
        if _arrived.get(name) != digest:
            _namespace[name] = pickle.loads(sent_bytes)  # comes over a channel that only our own driver has
            _arrived[name] = digest


def _is_known(name: str, value: object) -> bool:
    """Whether the function of that name is the one that is there, which may have attributes by now."""
    known = _namespace.get(name)
    if not isinstance(known, types.FunctionType) or not isinstance(value, types.FunctionType):
        return False
    return known.__code__ == value.__code__
