"""Find a flow again: in a file, imported under its own name with its folder first on the path, as `python FILE` would.

A file in a package is imported as a part of it, so that its imports from there work.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gpucache.errors import FlowFileBroken, NoSuchFlow
from gpucache.shown import exception_line

if TYPE_CHECKING:
    from gpucache.flows.definition import Flow


def load_file(path: str | Path) -> ModuleType:
    """Import a file as the module that its name, and the package that it lies in, say.

    Raises:
        FlowFileBroken: There is no such file, or importing it raised; that is the cause.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise FlowFileBroken(str(path), "there is no such file")
    if file.suffix != ".py":
        raise FlowFileBroken(str(path), "it is not a .py file")
    name, root = _name_and_root(file)
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(file):
        return loaded
    sys.path[:0] = list(dict.fromkeys((str(file.parent), str(root))))
    try:
        sys.modules.pop(name, None)
        return _imported(name, file)
    except BaseException as problem:
        if isinstance(problem, KeyboardInterrupt):
            raise
        raise FlowFileBroken(str(path), exception_line(problem)) from problem


def _name_and_root(file: Path) -> tuple[str, Path]:
    """`package.module` and the folder that the package lies in; a name that no import statement could say, made one."""
    root, steps = file.parent, [file.stem.replace(".", "_")]
    while (root / "__init__.py").is_file():
        steps.insert(0, root.name)
        root = root.parent
    return ".".join(steps), root


def _imported(name: str, file: Path) -> ModuleType:
    if name.rpartition(".")[2] == file.stem:
        found = importlib.import_module(name)
        if getattr(found, "__file__", None) == str(file):
            return found
    spec = importlib.util.spec_from_file_location(name, file)  # its name is another's, or has a dot in it
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} can't be imported")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def flows_of(module: ModuleType) -> dict[str, Flow[..., Any]]:
    """The flows that a module defines, by name."""
    from gpucache.flows.definition import Flow

    found = {value.name: value for value in vars(module).values() if isinstance(value, Flow)}
    own = {name: flow for name, flow in found.items() if flow.fn.__module__ == module.__name__}
    return own or found


def find_flow(module: ModuleType, name: str | None, path: str) -> Flow[..., Any]:
    """The flow of that name; without a name, the only one.

    Raises:
        NoSuchFlow: None fits.
    """
    known = flows_of(module)
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name is None or name not in known:
        raise NoSuchFlow(path, name or "", tuple(sorted(known)))
    return known[name]


def load_flow(file: str | None, module: str, name: str) -> Flow[..., Any]:
    """The flow that a run was of, from its file, or from its module where it has none.

    Raises:
        FlowFileBroken, NoSuchFlow: It is no longer there.
    """
    loaded = sys.modules.get(module)
    if loaded is None or (file is not None and getattr(loaded, "__file__", None) != file):
        loaded = importlib.import_module(module) if file is None else load_file(file)
    return find_flow(loaded, name, file or module)
