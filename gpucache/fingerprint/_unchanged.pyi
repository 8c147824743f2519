"""Types of the extension; see _unchanged.pyx."""

from typing import Any

class Unchanged:
    """Whether names, functions, cells and classes are bound to what they were bound to."""

    def __init__(
        self,
        namespaces: tuple[dict[str, Any], ...],
        names: tuple[tuple[str, ...], ...],
        contents: tuple[tuple[object, ...], ...],
        functions: tuple[object, ...],
        cells: tuple[object, ...],
        classes: tuple[type, ...],
        missing: object,
        /,
    ) -> None: ...
    def check(self) -> bool:
        """Compare everything; False at the first difference."""
