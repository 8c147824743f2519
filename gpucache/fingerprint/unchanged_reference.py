"""_unchanged.Unchanged in Python: the oracle that the extension is tested against."""

from __future__ import annotations

import types
from collections.abc import Iterator
from operator import is_
from typing import Any


class UnchangedInPython:
    """Whether names, functions, cells and classes are bound to what they were bound to."""

    def __init__(
        self,
        namespaces: tuple[dict[str, Any], ...],
        names: tuple[tuple[str, ...], ...],
        contents: tuple[tuple[object, ...], ...],
        functions: tuple[Any, ...],
        cells: tuple[Any, ...],
        classes: tuple[type, ...],
        missing: object,
    ) -> None:
        self._arguments = (namespaces, names, functions, cells, classes, missing)
        self._before = [
            *(item for group in contents for item in group),
            *_rest(functions[::4], cells[::2], classes, missing),
        ]

    def check(self) -> bool:
        """Compare everything."""
        namespaces, names, functions, cells, classes, missing = self._arguments
        bound = [ns.get(name, missing) for ns, group in zip(namespaces, names, strict=True) for name in group]
        now = [*bound, *_rest(functions[::4], cells[::2], classes, missing)]
        return len(now) == len(self._before) and all(map(is_, now, self._before))


def _rest(
    functions: tuple[types.FunctionType, ...],
    cells: tuple[types.CellType, ...],
    classes: tuple[type, ...],
    missing: object,
) -> Iterator[object]:
    for function in functions:
        yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
    for cell in cells:
        try:
            yield cell.cell_contents
        except ValueError:
            yield missing
    for cls in classes:
        yield from vars(cls).values()
