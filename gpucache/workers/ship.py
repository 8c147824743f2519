"""The project's modules, as the driver imported them, for workers that import them by name.

A worker that read the files itself would run what is on disk now, under a key that was made from what the driver had
imported. So the driver takes each module's text when it can prove that the text is what was imported, and a finder in
the worker serves it. The proof: the file was last changed before the import began (noted by Watch, a finder that finds
nothing), or the compiled text equals the live functions and constants. A module without proof is not shipped; its
functions, and those of the modules that import it, are pickled by value, from the live objects; a worker that comes
to import it all the same is refused.

Considered: shipping everything by value (pickles the world per call, breaks isinstance of classes that the worker
imports itself); shipping .pyc (another process may have rewritten it since).
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
import threading
import types
from dataclasses import dataclass
from importlib.machinery import ModuleSpec

import cloudpickle
import msgspec

from gpucache.began import CLOCK_SLACK_NS
from gpucache.events import Degraded, hooks
from gpucache.workers.messages import Module
from gpucache.workers.proof import matches
from gpucache.workers.watch import the_watch, watch


@dataclass(frozen=True, slots=True)
class _Seen:
    module: types.ModuleType
    spec: object
    shipped: Module


def _is_replaced(name: str, seen: _Seen) -> bool:
    return sys.modules.get(name) is not seen.module or seen.module.__spec__ is not seen.spec


class Shipment:
    """What a driver ships: grows as the driver imports, and starts a new generation when a module was reloaded.

    Any thread may call any method.
    """

    def __init__(self) -> None:
        watch()
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._orders: list[list[Module]] = [[]]
        self._looked_at: tuple[int, int] | None = None
        self._half_imported: list[types.ModuleType] = []

    @property
    def generation(self) -> int:
        """How often a module was reloaded."""
        return len(self._orders) - 1

    def refresh(self) -> int:
        """Look at what was imported or reloaded since; return the generation. 5 µs when nothing was."""
        with self._lock:
            if any(_is_replaced(name, seen) for name, seen in self._seen.items()):
                self._restart()
            if self._half_imported or self._looked_at != (the_watch.searches, len(sys.modules)):
                self._grow()
            return self.generation

    def renew(self) -> None:
        """Begin a new generation: workers of before took something in that the program has not."""
        with self._lock:
            self._restart()

    def modules_since(self, generation: int, count: int) -> tuple[Module, ...]:
        """The modules of a generation after its first `count`."""
        with self._lock:
            order = self._orders[generation]
            return tuple(order[count:]) if count < len(order) else ()

    def _restart(self) -> None:
        for name, seen in self._seen.items():
            if seen.shipped.text is None:
                _pickle_by_reference(name)
        self._seen, self._looked_at = {}, None
        self._orders.append([])

    def _grow(self) -> None:
        modules = dict(sys.modules)
        new = [module for name, module in modules.items() if name not in self._seen and _is_shippable(name, module)]
        self._set_half_imported([module for module in new if getattr(module.__spec__, "_initializing", False)])
        found = [(module, _provable(module.__name__, module)) for module in new if module not in self._half_imported]
        # by-value modules of before count too: what is imported now may import them
        unproven = {name for name, seen in self._seen.items() if seen.shipped.text is None}
        for module, shipped in _without_tainted(found, unproven):
            self._seen[shipped.name] = _Seen(module, module.__spec__, shipped)
            self._orders[-1].append(shipped)
            if shipped.text is None:
                # Public and process-wide, as cloudpickle has it; undone when the module is reloaded.
                cloudpickle.register_pickle_by_value(module)
        self._looked_at = the_watch.searches, len(modules)

    def _set_half_imported(self, modules: list[types.ModuleType]) -> None:
        """A module that submits calls while it is imported: by value until it is whole.

        A worker that imported it would run its top level, and submit the same calls again.
        """
        for module in self._half_imported:
            _pickle_by_reference(module.__name__)
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
        self._half_imported = modules


def _without_tainted(
    found: list[tuple[types.ModuleType, Module]], unproven: set[str]
) -> list[tuple[types.ModuleType, Module]]:
    """The modules, with the texts of those taken away that import, at whatever distance, one without a text."""
    for _, shipped in found:
        if shipped.text is None:
            unproven.add(shipped.name)
            why = "what was imported can't be told from its file, which was changed since; reload it, or restart"
            hooks.emit(Degraded(f"module {shipped.name!r} is sent to workers by value", why))
    if not unproven:
        return found
    imports = {shipped.name: _imported_names(module, shipped) for module, shipped in found}
    tainted = set(unproven)
    while more := {name for name, imported in imports.items() if name not in tainted and imported & tainted}:
        tainted |= more
    return [
        (module, msgspec.structs.replace(shipped, text=None) if shipped.name in tainted else shipped)
        for module, shipped in found
    ]


def _imported_names(module: types.ModuleType, shipped: Module) -> set[str]:
    """Every module name that the text's import statements may mean, wherever they stand."""
    names: set[str] = set()
    if shipped.text is None:
        return names
    for node in ast.walk(ast.parse(shipped.text)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, module.__package__)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names | {name.rpartition(".")[0] for name in names if "." in name}


def _pickle_by_reference(name: str) -> None:
    module = sys.modules.get(name)
    if module is not None and name in cloudpickle.list_registry_pickle_by_value():
        cloudpickle.unregister_pickle_by_value(module)


def _is_shippable(name: str, module: object) -> bool:
    if name in ("__main__", "gpucache") or name.startswith("gpucache."):
        return False
    file = getattr(module, "__file__", None)
    spec = getattr(module, "__spec__", None)
    if not isinstance(module, types.ModuleType) or not isinstance(file, str) or not isinstance(spec, ModuleSpec):
        return False
    return file.endswith(".py") and spec.name == name and not file.startswith(_installed_roots())


def _installed_roots() -> tuple[str, ...]:
    if not _roots:
        paths = [*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()]
        found = {os.path.realpath(path) for path in paths} | set(paths)
        # "data" is the prefix itself, which may be /usr or hold a project
        found -= {sysconfig.get_path("data"), os.path.realpath(sysconfig.get_path("data"))}
        _roots.extend(sorted(path + os.sep for path in found if path))
    return tuple(_roots)


_roots: list[str] = []


def _provable(name: str, module: types.ModuleType) -> Module:
    """The module with its text, if it can be proven that this is what was imported; with None if not."""
    file = str(module.__file__)
    search = getattr(module, "__path__", None)
    text = _proven_text(name, module, file)
    return Module(name, file, text, None if search is None else tuple(search))


def _proven_text(name: str, module: types.ModuleType, file: str) -> str | None:
    loader = getattr(module.__spec__, "loader", None)
    try:
        text = loader.get_source(name) if isinstance(loader, importlib.abc.InspectLoader) else _read(file)
        state = os.stat(file)
    except (OSError, ImportError, SyntaxError, UnicodeDecodeError):
        return None
    if not isinstance(text, str):
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    changed_at_ns = max(state.st_mtime_ns, state.st_ctime_ns)
    if changed_at_ns >= the_watch.began_at_ns(name) - CLOCK_SLACK_NS and not matches(module, text, file):
        return None
    return text


def _read(file: str) -> str:
    with open(file, "rb") as source:
        return importlib.util.decode_source(source.read())
