"""Note when each module's import began, so that it can be told later whether its file has changed since.

Kept apart from ship.py because it must be there early, in `import gpucache`, and cost nothing: 0.3 us an import.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

CLOCK_SLACK_NS = 20_000_000
"""File times come from the kernel's tick, up to 10 ms behind time_ns(): a change this close to the import proves nothing."""


def _process_started_at_ns() -> int:
    """When this process began, ns since the epoch; long ago if it can't be known, so that nothing is proven by it."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/uptime", "rb") as file:
            uptime_s = float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    running_s = uptime_s - ticks / os.sysconf("SC_CLK_TCK")
    if running_s < 0:
        return 0  # a container that gives its own uptime, and the host's ticks
    return int((time.time() - running_s - 1.0) * 1e9)


class Watch:
    """A finder on sys.meta_path that finds nothing."""

    def __init__(self) -> None:
        self._began_at_ns: dict[str, int] = {}
        self._since_ns = _process_started_at_ns()
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
