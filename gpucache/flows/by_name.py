"""What stands in a module under its name travels to a worker as that name; everything else travels by value."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any


def named(fn: Callable[..., Any]) -> Any:
    """What the name of `fn` leads to, here and in every worker; None if it leads nowhere, or elsewhere there.

    Elsewhere: in `__main__`, and in a module that is pickled by value because workers can't be given its text (see
    workers/ship.py).
    """
    if travels_by_value(fn.__module__):
        return None
    try:
        return _followed(sys.modules.get(fn.__module__), fn.__qualname__)
    except AttributeError:
        return None


def imported(module: str, qualname: str) -> Any:
    """What the name leads to in this process, which may have to import it.

    Raises:
        ImportError, AttributeError: It leads nowhere.
    """
    return _followed(importlib.import_module(module), qualname)


def _followed(found: Any, qualname: str) -> Any:
    return functools.reduce(getattr, qualname.split("."), found)


def travels_by_value(module: str) -> bool:
    """Whether functions of this module are pickled whole, since workers can't import it, or not the same."""
    if module == "__main__":
        return True
    cloudpickle = sys.modules.get("cloudpickle")
    if cloudpickle is None:
        return False
    registered = cloudpickle.list_registry_pickle_by_value()
    return any(module == name or module.startswith(f"{name}.") for name in registered)
