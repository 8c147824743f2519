"""Where a reference leads: from a name in a function, through modules, to a live object or to a name in a library.

The project's modules are followed attribute by attribute, as they are now; a library is named by the path that leads to it,
so that it need not be imported to be named.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import os
import sys
import types
from dataclasses import dataclass
from typing import Any

from gpucache.codec.global_names import is_never_reached
from gpucache.fingerprint.current import Reads
from gpucache.fingerprint.missing import MISSING
from gpucache.fingerprint.normal_form import Ref
from gpucache.fingerprint.project import Project, find_spec, name_of_file, root_of
from gpucache.fingerprint.scope import Imported

_OWN = frozenset({"__name__", "__package__", "__spec__", "__loader__", "__cached__", "__builtins__", "__path__"})


@dataclass(frozen=True, slots=True)
class Live:
    """A reference that leads to a live object.

    Attributes:
        label: Where it was found, "helpers.SCALE".
        rest: The attributes that were not followed.
        is_closure: Found in a closure's cell.
    """

    obj: object
    label: str
    rest: tuple[str, ...] = ()
    is_closure: bool = False


@dataclass(frozen=True, slots=True)
class Outside:
    """A reference that leads out of the project: "numpy.linalg.norm", "builtins.len"."""

    path: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A reference that stands for nothing but this: an unbound name, a module's own name."""

    text: bytes


Target = Live | Outside | Literal


class References:
    """Follows references; says to `reads` what it looked at."""

    def __init__(self, project: Project, reads: Reads) -> None:
        self._project = project
        self._reads = reads

    def follow(self, function: types.FunctionType, ref: Ref) -> Target:
        """Where a reference of this function leads."""
        if isinstance(ref.base, Imported):
            return self._follow_import(function, ref.base, ref.attrs)
        name = ref.base
        if name in function.__code__.co_freevars:
            return self._follow_cell(function, name, ref.attrs)
        namespace = function.__globals__
        if is_never_reached(function.__code__, name):
            return Literal(b"never reached " + ".".join((name, *ref.attrs)).encode())
        if name not in namespace:
            return self._follow_builtin(namespace, name, ref.attrs)
        if name == "__file__":
            return Literal(b"own file " + _below_root(str(namespace[name])).encode())
        if name in _OWN:
            return Literal(b"own " + name.encode())
        obj = namespace[name]
        self._reads.name(namespace, name, obj)
        return self._follow_object(obj, f"{module_label(function)}.{name}", ref.attrs)

    def _follow_cell(self, function: types.FunctionType, name: str, attrs: tuple[str, ...]) -> Target:
        cell = (function.__closure__ or ())[function.__code__.co_freevars.index(name)]
        content = cell_content(cell)
        self._reads.cell(cell, content)
        if content is MISSING:
            return Literal(b"empty " + name.encode())
        target = self._follow_object(content, f"{function_label(function)}.{name}", attrs)
        return Live(target.obj, target.label, target.rest, is_closure=True) if isinstance(target, Live) else target

    def _follow_builtin(self, namespace: dict[str, Any], name: str, attrs: tuple[str, ...]) -> Target:
        self._reads.name(namespace, name, MISSING)
        if hasattr(builtins, name):
            return Outside(".".join(("builtins", name, *attrs)))
        return Literal(b"unbound " + ".".join((name, *attrs)).encode())

    def _follow_import(self, function: types.FunctionType, imported: Imported, attrs: tuple[str, ...]) -> Target:
        module_name = absolute_name(function, imported)
        more = attrs if imported.name is None else (imported.name, *attrs)
        if not self._project.has_module(module_name):
            return Outside(".".join((module_name, *more)))
        module = load(module_name)
        if module is None:
            return Literal(b"missing " + ".".join((module_name, *more)).encode())
        return self._follow_object(module, module_name, more)

    def _follow_object(self, obj: object, label: str, attrs: tuple[str, ...]) -> Target:
        while isinstance(obj, types.ModuleType):
            if not self._project.has(obj):
                return self._follow_library(obj, label, attrs)
            if not attrs:
                break
            name, attrs = attrs[0], attrs[1:]
            if name in _OWN or name in ("__dict__", "__file__"):
                return Live(obj, label, (name, *attrs))
            found = self._attribute(obj, name)
            if found is MISSING:
                return Live(obj, label, (name, *attrs))  # a module's own __getattr__, or an error: the whole module
            label, obj = f"{label_of_module(obj)}.{name}", found
        return Live(obj, label, attrs)

    def _attribute(self, module: types.ModuleType, name: str) -> object:
        """A module's attribute, or its submodule of that name, loaded if it is not yet."""
        namespace = vars(module)
        found = namespace.get(name, MISSING)
        if found is MISSING and hasattr(module, "__path__") and "__getattr__" not in namespace:
            submodule = load(f"{module.__name__}.{name}")
            found = MISSING if submodule is None else submodule
        self._reads.name(namespace, name, namespace.get(name, MISSING))
        return found

    def _follow_library(self, module: types.ModuleType, label: str, attrs: tuple[str, ...]) -> Target:
        """By path; but what the project put into a library (a replaced function) is followed."""
        obj: object = module
        for count, name in enumerate(attrs, start=1):
            obj = vars(obj).get(name, MISSING) if isinstance(obj, types.ModuleType) else MISSING
            if isinstance(obj, types.FunctionType) and self._project.has_module(str(obj.__globals__.get("__name__"))):
                return Live(obj, f"{label}.{'.'.join(attrs[:count])}", attrs[count:])
        return Outside(".".join((module.__name__, *attrs)))


def cell_content(cell: types.CellType) -> object:
    """What a closure's variable holds; MISSING if it was not assigned yet."""
    try:
        content: object = cell.cell_contents
    except ValueError:
        return MISSING
    return content


def absolute_name(function: types.FunctionType, imported: Imported) -> str:
    """The full name of the module that an import statement in this function means."""
    if not imported.level:
        return imported.module
    namespace = function.__globals__
    package = namespace.get("__package__") or str(namespace.get("__name__", "")).rpartition(".")[0]
    try:
        return importlib.util.resolve_name("." * imported.level + imported.module, str(package))
    except ImportError:
        return imported.module


def load(name: str) -> types.ModuleType | None:
    """A module of the project, imported as the body that mentions it would; None if there is none, or it fails."""
    module = sys.modules.get(name)
    if module is None and find_spec(name) is not None:
        try:
            module = importlib.import_module(name)
        except Exception:  # whatever the module's own code raises, the body that imports it raises again
            return None
    return module if isinstance(module, types.ModuleType) else None


def module_label(function: types.FunctionType) -> str:
    """A name for the module of a function that does not depend on how it was loaded."""
    return name_of_file(function.__code__.co_filename)


def function_label(function: types.FunctionType) -> str:
    """A name for a function: its module's and its own; a wrapper's own, not that of what it wraps."""
    is_wrapper = "__wrapped__" in function.__dict__
    return f"{module_label(function)}.{function.__code__.co_qualname if is_wrapper else function.__qualname__}"


def label_of_module(module: types.ModuleType) -> str:
    """A name for a module that does not depend on how it was loaded."""
    file = getattr(module, "__file__", None)
    has_text = isinstance(file, str) and file.endswith(".py")
    return name_of_file(file) if has_text and file else module.__name__.replace("__main__", "notebook")


def _below_root(path: str) -> str:
    return os.path.relpath(path, root_of(path))
