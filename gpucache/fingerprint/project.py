"""What belongs to the user's project, to an installed distribution, or to Python; and which version a distribution has.

The project is what does not lie where packages are installed: it needs no configuration, and an editable install counts as
project. Nothing is imported to answer.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType

GPUCACHE = str(Path(__file__).resolve().parent.parent)
_INSTALLED = ("site-packages", "dist-packages")


@lru_cache(maxsize=1)
def _python_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({os.path.realpath(paths[name]) + os.sep for name in ("stdlib", "platstdlib")})


@lru_cache(maxsize=4096)
def is_project_file(file: str) -> bool:
    """Whether code in this file is the user's own: neither installed, nor Python's, nor gpucache's."""
    if file.startswith("<") and not file.startswith("<ipython"):
        return False
    real = os.path.realpath(file)
    if any(f"{os.sep}{name}{os.sep}" in real for name in _INSTALLED):
        return False
    return not real.startswith((*_python_folders(), GPUCACHE + os.sep))


def is_project_module(module: ModuleType, followed: Iterable[str] = ()) -> bool:
    """Whether a module is the user's own, or of a package that is followed by name."""
    if any(module.__name__ == name or module.__name__.startswith(f"{name}.") for name in followed):
        return True
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__ == "__main__" or _is_namespace_of_project(module)
    return is_project_file(file)


def _is_namespace_of_project(module: ModuleType) -> bool:
    paths = list(getattr(module, "__path__", ()))
    return bool(paths) and all(is_project_file(os.path.join(path, "__init__.py")) for path in paths)


def stable_name(module_name: str, file: str | None) -> str:
    """A module's name however it was loaded: `__main__` is called as its file would be when imported."""
    if module_name != "__main__":
        return module_name
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    return Path(file).stem if file and not file.startswith("<") else "notebook"


@lru_cache(maxsize=1024)
def distribution_of(module_name: str) -> tuple[str, str] | None:
    """(name, version) of the distribution that a module comes from; None for Python's own, or none found."""
    top = module_name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return None
    for name in (top, top.replace("_", "-")):
        try:
            return _normal(name), importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    found = _by_top_level().get(top)
    return None if found is None else (found, importlib.metadata.version(found))


@lru_cache(maxsize=1)
def _by_top_level() -> dict[str, str]:
    """Top-level module -> distribution, from the small files first: reading every RECORD takes a tenth of a second."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        listed = (distribution.read_text("top_level.txt") or "").split()
        if not listed:
            record = distribution.read_text("RECORD") or ""
            listed = sorted(set(re.findall(r"^([A-Za-z_]\w*)(?:/__init__\.py|\.py),", record, re.MULTILINE)))
        for top in listed:
            found.setdefault(top, _normal(name))
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def is_stdlib(module_name: str) -> bool:
    """Whether a module is Python's own."""
    return module_name.partition(".")[0] in sys.stdlib_module_names


def spec_file(module_name: str) -> str | None:
    """The file that importing this module would read; None if it can't be told without importing its parents."""
    try:
        spec = importlib.util.find_spec(module_name.partition(".")[0])
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None)
