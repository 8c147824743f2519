"""What a fingerprint was made from, and whether all of it is still so: the check that every warm call makes.

Names are compared by identity, grouped by namespace, at the speed of C; only values that can change in place (lists, arrays,
instances) are looked into. Never by equality of a global: `1`, `1.0` and `True` are equal and not the same.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from operator import attrgetter, is_, itemgetter
from typing import Any

from gpucache.digests import value_digest
from gpucache.errors import NotIdentifiable

MISSING = object()
"""What a name is bound to that is not bound."""

_function_state = attrgetter("__code__", "__defaults__", "__kwdefaults__")


class Reads:
    """Everything that a walk looked at, while it walks."""

    def __init__(self) -> None:
        self._names: dict[int, tuple[dict[str, Any], dict[str, object]]] = {}
        self._cells: dict[int, tuple[types.CellType, object]] = {}
        self._functions: dict[int, types.FunctionType] = {}
        self._classes: dict[int, type] = {}
        self._containers: dict[int, Any] = {}
        self._values: dict[int, object] = {}
        self._kept: list[object] = []

    def name(self, namespace: dict[str, Any], name: str, value: object) -> None:
        """A name was looked up in a namespace; MISSING if it was not there."""
        self._names.setdefault(id(namespace), (namespace, {}))[1][name] = value

    def cell(self, cell: types.CellType, content: object) -> None:
        """A closure's variable was read."""
        self._cells[id(cell)] = (cell, content)

    def function(self, function: types.FunctionType) -> None:
        """A function's code and defaults were read."""
        self._functions[id(function)] = function

    def cls(self, cls: type) -> None:
        """A class's own attributes were read."""
        self._classes[id(cls)] = cls

    def container(self, container: list[Any] | dict[Any, Any]) -> None:
        """The items of a container were read, each for itself."""
        self._containers[id(container)] = container

    def value(self, value: object) -> None:
        """A value was read that may change in place."""
        self._values[id(value)] = value

    def keep(self, value: object) -> None:
        """Keep a temporary value alive, so that its id stays its own."""
        self._kept.append(value)

    def merge(self, other: Reads) -> None:
        """Everything that another walk looked at, too."""
        for namespace, names in other._names.values():
            for name, value in names.items():
                self.name(namespace, name, value)
        self._cells.update(other._cells)
        self._functions.update(other._functions)
        self._classes.update(other._classes)
        self._containers.update(other._containers)
        self._values.update(other._values)
        self._kept += other._kept

    def freeze(self) -> Current:
        """The check that all of it is as it is now."""
        return Current(
            [(namespace, names) for namespace, names in self._names.values()],
            list(self._cells.values()),
            list(self._functions.values()),
            list(self._classes.values()),
            list(self._containers.values()),
            list(self._values.values()),
        )


class Current:
    """Whether what was read is still what it was."""

    __slots__ = ("_cells", "_classes", "_containers", "_functions", "_missing", "_names", "_values")

    def __init__(
        self,
        names: list[tuple[dict[str, Any], dict[str, object]]],
        cells: list[tuple[types.CellType, object]],
        functions: list[types.FunctionType],
        classes: list[type],
        containers: list[Any],
        values: list[object],
    ) -> None:
        self._names = [_group(namespace, bound) for namespace, bound in names if _bound(bound)]
        self._missing = [(namespace, _unbound(bound)) for namespace, bound in names if _unbound(bound)]
        self._cells = cells
        states = [state for function in functions for state in _function_state(function)]
        self._functions = (tuple(functions), tuple(states))
        self._classes = [(cls, tuple(vars(cls).values())) for cls in classes]
        self._containers = [(container, _items(container)) for container in containers]
        self._values = [(value, _digest_in_process(value)) for value in values]

    def __call__(self) -> bool:
        """Compare everything, the cheapest first."""
        try:
            for namespace, getter, bound in self._names:
                if not all(map(is_, getter(namespace), bound)):
                    return False
        except KeyError:
            return False
        functions, states = self._functions
        now = [state for function in functions for state in _function_state(function)]
        if not all(map(is_, now, states)):
            return False
        return (
            not (self._missing or self._cells or self._classes or self._containers or self._values)
            or self._rest_is_current()
        )

    def _rest_is_current(self) -> bool:
        for namespace, absent in self._missing:
            if not namespace.keys().isdisjoint(absent):
                return False
        for cell, content in self._cells:
            try:
                if cell.cell_contents is not content:
                    return False
            except ValueError:
                if content is not MISSING:
                    return False
        for cls, attributes in self._classes:
            if not _same(tuple(vars(cls).values()), attributes):
                return False
        for container, items in self._containers:
            if not _same(_items(container), items):
                return False
        return all(digest is not None and _digest_in_process(value) == digest for value, digest in self._values)


def _bound(names: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in names.items() if value is not MISSING}


def _unbound(names: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name, value in names.items() if value is MISSING)


def _group(
    namespace: dict[str, Any], names: Mapping[str, object]
) -> tuple[dict[str, Any], Callable[[dict[str, Any]], tuple[object, ...]], tuple[object, ...]]:
    bound = _bound(names)
    keys = list(bound) if len(bound) > 1 else list(bound) * 2  # itemgetter of one name gives no tuple
    return namespace, itemgetter(*keys), tuple(bound[key] for key in keys)


def _items(container: Any) -> tuple[object, ...]:
    if isinstance(container, dict):
        return (*container, *container.values())
    return tuple(container)


def _same(now: tuple[object, ...], before: tuple[object, ...]) -> bool:
    return len(now) == len(before) and all(map(is_, now, before))


class _ById:
    """Symbols within one process: code is what it is as long as it is the same object; the code itself is checked apart."""

    def token(self, obj: object) -> bytes | None:
        if isinstance(obj, type):
            return None
        is_code = isinstance(obj, types.FunctionType | types.MethodType | types.ModuleType) or hasattr(
            obj, "__wrapped__"
        )
        return b"%d" % id(obj) if is_code or type(obj).__module__.startswith("gpucache.") else None


_BY_ID = _ById()


def _digest_in_process(value: object) -> bytes | None:
    try:
        return value_digest(value, symbols=_BY_ID)
    except NotIdentifiable:
        return None
