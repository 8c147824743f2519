"""What is the project's code, what is a library's, what is Python's own.

The project is whatever lies outside Python's library and outside site-packages: the code under a pyproject, a repository, an
editable install, a notebook. The current directory says nothing. A module's name for people is derived from its file, so that
a script run as __main__ and the same file imported have one name.
"""

from __future__ import annotations

import importlib.machinery
import os
import site
import sys
import sysconfig
import types
from collections.abc import Iterable
from functools import cache

_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_ROOT_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", ".git", ".hg")
_EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)


class Project:
    """Which modules and files count as the project's.

    Args:
        follow: Names of installed packages that count as the project's too.
        roots: Directories whose code counts as the project's, wherever they lie.
    """

    def __init__(self, follow: Iterable[str] = (), roots: Iterable[str] = ()) -> None:
        self._follow = frozenset(follow)
        self._roots = tuple(os.path.realpath(root) + os.sep for root in roots)
        self._files: dict[str, bool] = {}
        self._modules: dict[str, bool] = {}

    def has_file(self, file: str) -> bool:
        """Whether the code in this file is the project's."""
        known = self._files.get(file)
        if known is None:
            known = self._files[file] = self._has_file(file)
        return known

    def follows(self, name: str) -> bool:
        """Whether the module belongs to an installed package that was named to count."""
        return name in self._follow or name.partition(".")[0] in self._follow

    def has_module(self, name: str) -> bool:
        """Whether the module of this name is the project's; found without importing it."""
        known = self._modules.get(name)
        if known is None:
            known = self._has_module(name)
            if name in sys.modules:  # a module that is not there yet may still come from somewhere else
                self._modules[name] = known
        return known

    def has(self, module: types.ModuleType) -> bool:
        """Whether a module is the project's, also one that no import leads to: loaded from its path, or made by hand."""
        if sys.modules.get(module.__name__) is module:
            return self.has_module(module.__name__)
        file = getattr(module, "__file__", None)
        return self.has_file(file) if isinstance(file, str) else not self._is_known(module.__name__)

    def has_code_of(self, name: object) -> bool:
        """Whether code that is in no file, of a module of this name, is the project's: if the module is, or if there is none."""
        return not isinstance(name, str) or self.has_module(name) or not self._is_known(name)

    @staticmethod
    def _is_known(name: str) -> bool:
        """Whether a module of this name, or the package that it says it lies in, is there to be imported."""
        top = name.partition(".")[0]
        return top in sys.modules or top in sys.builtin_module_names or find_spec(top) is not None

    def _has_file(self, file: str) -> bool:
        real = os.path.realpath(file)
        if self._roots and real.startswith(self._roots):
            return True
        return not (
            file.startswith("<frozen") or real.startswith(stdlib_roots()) or any(mark in real for mark in _INSTALLED)
        )

    def _has_module(self, name: str) -> bool:
        top = name.partition(".")[0]
        if top == "gpucache":
            return False
        if self.follows(name) or name in ("__main__", "__mp_main__"):
            return True
        file = file_of_module(name)  # not by name: a project may have a queue.py of its own
        return self.has_file(file) if file is not None else _is_made_by_hand(name)


def _is_made_by_hand(name: str) -> bool:
    """Whether a module came from no file and from no loader: types.ModuleType(...), put into sys.modules by the program.

    Within a package it is the package's; modules that extensions make for themselves have no code in Python.
    """
    module = sys.modules.get(name)
    if not isinstance(module, types.ModuleType) or "." in name or name in sys.builtin_module_names:
        return False
    has_loader = getattr(module, "__spec__", None) is not None or getattr(module, "__loader__", None) is not None
    return not has_loader and any(isinstance(value, types.FunctionType | type) for value in vars(module).values())


@cache
def stdlib_roots() -> tuple[str, ...]:
    """Where Python's own library and what is installed lie, as real paths with a separator at the end."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(sorted({os.path.realpath(path) + os.sep for path in paths if path}))


def file_of_module(name: str) -> str | None:
    """The file of a module, or the directory of a package without one; None if it has none or is not found. Imports nothing."""
    module = sys.modules.get(name)
    if isinstance(module, types.ModuleType):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            return file
        return next((path + os.sep for path in getattr(module, "__path__", ())), None)
    spec = find_spec(name)
    if spec is None:
        return None
    if spec.origin is not None and spec.has_location:
        return spec.origin
    return next((path + os.sep for path in spec.submodule_search_locations or ()), None)


def find_spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module would be imported from. Unlike importlib.util.find_spec it imports no parent package."""
    path: list[str] | None = None
    spec = None
    steps = name.split(".")
    for count in range(1, len(steps) + 1):
        spec = _find_on_meta_path(".".join(steps[:count]), path)
        if spec is None:
            return None
        path = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
        if path is None and count < len(steps):
            return None
    return spec


def _find_on_meta_path(name: str, path: list[str] | None) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        try:
            spec = None if find is None else find(name, path)
        except (ImportError, AttributeError, ValueError):
            continue
        if isinstance(spec, importlib.machinery.ModuleSpec):
            return spec
    return None


def is_compiled(file: str) -> bool:
    """Whether this is an extension module: machine code, which counts by its bytes."""
    return file.endswith(_EXTENSIONS)


@cache
def name_of_file(file: str) -> str:
    """The name that a file would be imported by: its path below the topmost directory that is no package."""
    if not file.endswith((".py", ".pyw")) or not os.path.isabs(file) or "ipykernel" in file:
        return _name_of_text(file)
    directory, name = os.path.split(file)
    steps = [os.path.splitext(name)[0]]
    while os.path.isfile(os.path.join(directory, "__init__.py")):
        directory, name = os.path.split(directory)
        steps.append(name)
    if steps[0] in ("__init__", "__main__") and len(steps) > 1:
        steps = steps[1:]
    return ".".join(reversed(steps))


def _name_of_text(file: str) -> str:
    """A name for what has no file of its own: a notebook's cell, a text given to the interpreter."""
    return "notebook" if "ipython" in file or "ipykernel" in file else "main"


@cache
def root_of(file: str) -> str:
    """The project's directory: the nearest one above the file with a project's marks, else the one its packages lie in."""
    directory = os.path.dirname(os.path.abspath(file))
    step = directory
    while True:
        if any(os.path.exists(os.path.join(step, mark)) for mark in _ROOT_MARKS):
            return step
        above = os.path.dirname(step)
        if above == step:
            break
        step = above
    while os.path.isfile(os.path.join(directory, "__init__.py")):
        directory = os.path.dirname(directory)
    return directory
