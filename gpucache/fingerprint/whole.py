"""A module that counts whole, because code may take any of its names; and all of a project, because code may take anything."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.graph import Node, Value
from gpucache.fingerprint.project import name_of_file, root_of
from gpucache.fingerprint.references import label_of_module
from gpucache.fingerprint.texts import text_of

if TYPE_CHECKING:
    from gpucache.fingerprint.walk import Walk

_FILES_AT_MOST = 2000
"""Beyond this many files a directory is no project any more but a disk; the rest is left out, and said."""

_NOT_CONTENT = frozenset(
    {
        "__annotations__",
        "__builtins__",
        "__cached__",
        "__doc__",
        "__file__",
        "__loader__",
        "__name__",
        "__package__",
        "__path__",
        "__spec__",
        "__warningregistry__",
    }
)
"""What the import system puts into a module. Other names with underscores are the author's: __getattr__, __version__."""

_NOT_CODE = frozenset({"site-packages", "node_modules", "__pycache__", "venv", "build", "dist"})


def describe_module(walk: Walk, node: Node, module: types.ModuleType) -> None:
    """Every name of a module with what it is. What has no identity is known by its class: nobody says that it is read."""
    label = label_of_module(module)
    node.items.append(b"module")
    for name, obj in sorted(vars(module).items()):
        if name in _NOT_CONTENT:
            continue
        walk.reads.name(vars(module), name, obj)
        if isinstance(obj, types.ModuleType):
            node.items.append(f"{name} is module {label_of_module(obj)}".encode())
            continue
        node.items.append(name.encode())
        try:
            walk.describe(obj, f"{label}.{name}", node.items)
        except NotIdentifiable:
            kind = type(obj)
            node.items.append(f"a {kind.__module__}.{kind.__qualname__}".encode())
            walk.note(f"{label}.{name} has no identity; {label} counts whole, but this by its class alone")


def project_files(walk: Walk, file: str) -> Iterator[Value]:
    """Every module below the project's directory, imported or not, by the normal form of its text."""
    if not os.path.isabs(file):
        return
    root = root_of(file)
    for count, path in enumerate(_python_files(root)):
        if count >= _FILES_AT_MOST:
            walk.note(f"{root} holds more than {_FILES_AT_MOST} Python files; the others do not count")
            return
        digest = text_of(path).digest
        yield Value(f"code:{name_of_file(path)} (whole file)", digest, os.path.relpath(path, root), digest)


def _python_files(root: str) -> Iterator[str]:
    for directory, names, files in os.walk(root):
        kept = (name for name in names if not name.startswith(".") and name not in _NOT_CODE)
        names[:] = sorted(name for name in kept if not os.path.exists(os.path.join(directory, name, "pyvenv.cfg")))
        yield from (os.path.join(directory, name) for name in sorted(files) if name.endswith(".py"))
