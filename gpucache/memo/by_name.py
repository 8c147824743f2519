"""Who imports a module by a name that is data: a library that makes what a configuration names (`_target_: models.Net`).

importlib.import_module() raises an audit event only the first time a module is imported in a process, and libraries hold that
function under names of their own. What it calls is told instead. (Pickles raise `pickle.find_class` for each class and
function that they name, so they need nothing here.)
"""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
import time
import types
from collections.abc import Callable, Iterable
from functools import wraps
from importlib.util import resolve_name
from typing import Any

from gpucache.began import CLOCK_SLACK_NS, process_began_at_ns

Heard = Callable[[str, types.FrameType], None]
"""Gets the full name of the module, before it is imported, and the frame that asked for it."""


def install(imported: Heard, sought: Heard) -> None:
    """Have all imports by import_module() told, and who asks by find_spec() whether a module is there. Once in a process."""
    _tell_of_searches(sought)
    bootstrap = getattr(importlib, "_bootstrap", None)
    inner = getattr(bootstrap, "_gcd_import", None)
    if inner is None:  # another Python than those that were looked at (3.11 to 3.14): then such imports are not seen
        return

    @wraps(inner)
    def told(name: str, package: str | None = None, level: int = 0) -> Any:
        caller = sys._getframe(1).f_back  # noqa: SLF001  # who called import_module is what is asked here
        if caller is not None:
            imported(resolve_name("." * level + name, package) if level else name, caller)
        return inner(name, package, level)

    bootstrap._gcd_import = told  # type: ignore[union-attr]  # noqa: SLF001  # as above


def _tell_of_searches(sought: Heard) -> None:
    inner = getattr(importlib.util, "_find_spec", None)
    if inner is None:
        return

    @wraps(inner)
    def told(name: str, path: Any, target: types.ModuleType | None = None) -> Any:
        caller = sys._getframe(1).f_back  # noqa: SLF001  # above find_spec()
        if caller is not None:
            sought(name, caller)
        return inner(name, path, target)

    importlib.util._find_spec = told  # type: ignore[attr-defined]  # noqa: SLF001  # as below


def are_as_imported(files: Iterable[str]) -> bool:
    """Whether what was imported from these files is what they say now: known of those that did not change since the program began.

    Of others it is known if they were asked about before they were imported, as they are now.
    """
    imported = _imported_files()
    for file in files:
        try:
            status = os.stat(file)
        except OSError:
            return False
        stamp = status.st_ino, status.st_size, status.st_ctime_ns
        if file not in imported:
            _before_import[file] = stamp
        elif status.st_ctime_ns >= _inherited.get(file, _began_at_ns) and _before_import.get(file) != stamp:
            return False
        if _has_bytecode_of_before(file, status):
            return False
    return True


def _has_bytecode_of_before(file: str, status: os.stat_result) -> bool:
    """Whether Python may import bytecode that was made before the file's last edit: it compares whole seconds and the size."""
    try:
        with open(importlib.util.cache_from_source(file), "rb") as bytecode:
            header, made_at_ns = bytecode.read(16), os.fstat(bytecode.fileno()).st_mtime_ns
    except (OSError, NotImplementedError):
        return False
    flags, second, size = struct.unpack("<4xLLL", header.ljust(16, b"\0"))
    if flags or (second, size) != (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF):
        return False
    return status.st_mtime_ns >= made_at_ns - CLOCK_SLACK_NS


def _imported_files() -> set[object]:
    return {getattr(module, "__file__", None) for module in list(sys.modules.values())}


def _was_forked() -> None:
    """What was imported before the fork counts from when its process began; what comes now, from now on."""
    global _began_at_ns  # noqa: PLW0603  # of this process, of which there is one
    for file in _imported_files():
        if isinstance(file, str):
            _inherited.setdefault(file, _began_at_ns)
    _began_at_ns = time.time_ns() - CLOCK_SLACK_NS


_began_at_ns = process_began_at_ns()
_inherited: dict[str, int] = {}
_before_import: dict[str, tuple[int, int, int]] = {}
os.register_at_fork(after_in_child=_was_forked)
