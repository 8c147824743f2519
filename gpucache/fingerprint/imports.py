"""What the imports within a body bind: the project's modules as they are, a library's by their dotted path alone."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterable
from typing import Any, NamedTuple

from gpucache.fingerprint.project import is_project_file, is_project_module, is_stdlib, spec_file


class Binding(NamedTuple):
    """A name that an import binds.

    Attributes:
        path: Dotted path of what it is: "helpers.norm", "numpy.linalg".
        module: The module that is imported for it.
        is_project: Then `value` is the live object.
    """

    path: str
    module: str
    is_project: bool
    value: Any = None


def bindings(tree: ast.AST, namespace: dict[str, Any], followed: Iterable[str]) -> dict[str, Binding]:
    """Every name that an import anywhere within tree binds. The project's modules are imported, as the body would."""
    found: dict[str, Binding] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                path = alias.name if alias.asname else alias.name.partition(".")[0]
                found[alias.asname or path] = _module_binding(path, alias.name, followed)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, namespace)
            for alias in node.names:
                found[alias.asname or alias.name] = _member_binding(module, alias.name, followed)
    return found


def _module_binding(path: str, imported: str, followed: Iterable[str]) -> Binding:
    module = _project_module(imported, followed)
    if module is None:
        return Binding(path, path, is_project=False)
    return Binding(path, path, is_project=True, value=sys.modules[path])


def _member_binding(module_name: str, name: str, followed: Iterable[str]) -> Binding:
    path = f"{module_name}.{name}"
    module = _project_module(module_name, followed)
    if module is None:
        return Binding(path, module_name, is_project=False)
    if not hasattr(module, name) and name != "*":
        _project_module(path, followed)
    value = module if name == "*" else getattr(module, name, None)
    return Binding(path, module_name, is_project=True, value=value)


def _project_module(name: str, followed: Iterable[str]) -> types.ModuleType | None:
    """The project's module of that name, imported; None if it is not the project's, or can't be imported."""
    loaded = sys.modules.get(name)
    if loaded is None:
        if is_stdlib(name) or not _lies_in_project(name, followed):
            return None
        try:
            loaded = importlib.import_module(name)
        except Exception:  # the body that imports it will say so; here it is unknown, and spelled
            return None
    return loaded if is_project_module(loaded, followed) else None


def _lies_in_project(name: str, followed: Iterable[str]) -> bool:
    top = name.partition(".")[0]
    if top in followed:
        return True
    file = spec_file(top)
    return file is not None and is_project_file(file)


def _absolute(node: ast.ImportFrom, namespace: dict[str, Any]) -> str:
    if not node.level:
        return node.module or ""
    package = namespace.get("__package__") or str(namespace.get("__name__", "")).rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)
