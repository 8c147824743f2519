"""What a fingerprint was made from, and whether all of it is still so: the check that every warm call makes.

Names, cells, functions and classes are compared by identity, in C; only values that can change in place (lists, arrays,
instances) are looked into. Never by equality of a global: `1`, `1.0` and `True` are equal and not the same.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from operator import is_
from typing import Any

from gpucache.digests import value_digest
from gpucache.errors import NotIdentifiable
from gpucache.fingerprint._unchanged import Unchanged
from gpucache.fingerprint.missing import MISSING
from gpucache.fingerprint.path_texts import attributes_of


class Reads:
    """Everything that a walk looked at, while it walks."""

    def __init__(self) -> None:
        self.names: dict[int, tuple[dict[str, Any], dict[str, object]]] = {}
        self.cells: dict[int, tuple[types.CellType, object]] = {}
        self.functions: dict[int, types.FunctionType] = {}
        self.classes: dict[int, type] = {}
        self.containers: dict[int, Any] = {}
        self.values: dict[int, object] = {}
        self._kept: list[object] = []

    def name(self, namespace: dict[str, Any], name: str, value: object) -> None:
        """A name was looked up in a namespace; MISSING if it was not there."""
        self.names.setdefault(id(namespace), (namespace, {}))[1][name] = value

    def cell(self, cell: types.CellType, content: object) -> None:
        """A closure's variable was read."""
        self.cells[id(cell)] = (cell, content)

    def function(self, function: types.FunctionType) -> None:
        """A function's code and defaults were read."""
        self.functions[id(function)] = function

    def cls(self, cls: type) -> None:
        """A class's own attributes were read."""
        self.classes[id(cls)] = cls

    def container(self, container: list[Any] | dict[Any, Any]) -> None:
        """The items of a container were read, each for itself."""
        self.containers[id(container)] = container

    def value(self, value: object) -> None:
        """A value was read that may change in place."""
        self.values[id(value)] = value  # and so it is kept alive, and its id its own

    def keep(self, value: object) -> None:
        """Keep a temporary value alive, so that its id stays its own."""
        self._kept.append(value)

    def merge(self, other: Reads) -> None:
        """Everything that another walk looked at, too."""
        for namespace, names in other.names.values():
            for name, value in names.items():
                self.name(namespace, name, value)
        self.cells.update(other.cells)
        self.functions.update(other.functions)
        self.classes.update(other.classes)
        self.containers.update(other.containers)
        self.values.update(other.values)
        self._kept += other._kept

    def unchanged(self, kind: Callable[..., Unchanged] = Unchanged) -> Unchanged:
        """The comparison of everything that is compared by identity."""
        names = list(self.names.values())
        return kind(
            tuple(namespace for namespace, _ in names),
            tuple(tuple(bound) for _, bound in names),
            tuple(tuple(bound.values()) for _, bound in names),
            tuple(item for f in self.functions.values() for item in (f, f.__code__, f.__defaults__, f.__kwdefaults__)),
            tuple(item for pair in self.cells.values() for item in pair),
            tuple(self.classes.values()),
            MISSING,
        )

    def freeze(self) -> Callable[[], bool]:
        """The check that all of it is as it is now."""
        unchanged = self.unchanged()
        if not self.containers and not self.values:
            return unchanged.check
        return Current(unchanged, list(self.containers.values()), list(self.values.values())).check


class Subclasses:
    """The subclasses that a class has now, as a value that is looked at again."""

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return Subclasses, tuple(type.__subclasses__(self._cls))


class Current:
    """Whether what was read is still what it was, where some of it can change in place."""

    __slots__ = ("_containers", "_unchanged", "_values")

    def __init__(self, unchanged: Unchanged, containers: list[Any], values: list[object]) -> None:
        self._unchanged = unchanged
        self._containers = [(container, _items(container)) for container in containers]
        self._values = [(value, _digest_in_process(value)) for value in values]

    def check(self) -> bool:
        """Compare everything, the cheapest first."""
        if not self._unchanged.check():
            return False
        for container, items in self._containers:
            now = _items(container)
            if len(now) != len(items) or not all(map(is_, now, items)):
                return False
        return all(digest is not None and _digest_in_process(value) == digest for value, digest in self._values)


def _items(container: Any) -> tuple[object, ...]:
    return (*container, *container.values()) if isinstance(container, dict) else tuple(container)


class _ById:
    """Symbols within one process: code is what it is as long as it is the same object; the code itself is checked apart."""

    def token(self, obj: Any) -> bytes | None:
        if isinstance(obj, _CODE) or type(obj).__module__.startswith("gpucache."):
            return b"%d" % id(obj)
        return b"%d" % id(obj) if "__wrapped__" in attributes_of(obj) else None


_CODE = type | types.FunctionType | types.MethodType | types.ModuleType
_BY_ID = _ById()


def _digest_in_process(value: object) -> bytes | None:
    try:
        return value_digest(value, symbols=_BY_ID)
    except NotIdentifiable:
        return None
