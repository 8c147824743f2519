"""Note when each module's import began, so that it can be told later whether its file has changed since.

Kept apart from ship.py because it must be there early, in `import gpucache`, and cost nothing: 0.3 us an import.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from gpucache.began import process_began_at_ns

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


class Watch:
    """A finder on sys.meta_path that finds nothing."""

    def __init__(self) -> None:
        self._began_at_ns: dict[str, int] = {}
        self._since_ns = process_began_at_ns()
        self.searches = 0

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Note the time, find nothing."""
        self._began_at_ns[fullname] = time.time_ns()
        self.searches += 1
        return None

    def began_at_ns(self, name: str) -> int:
        """When the module's import began; when the process began if that was before we watched."""
        return self._began_at_ns.get(name, self._since_ns)


the_watch = Watch()
"""One for the process, as sys.meta_path is."""


def watch() -> None:
    """Note imports from now on. Idempotent. The earlier, the fewer modules need the slower proof."""
    if the_watch not in sys.meta_path:
        sys.meta_path.insert(0, the_watch)  # by what it has: importlib.abc costs an import
