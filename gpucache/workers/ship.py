"""The project's modules, as the driver imported them, for workers that import them by name.

A worker that read the files itself would run what is on disk now, under a key that was made from what the driver had
imported. So the driver takes each module's text when it can prove that the text is what was imported, and a finder in
the worker serves it. The proof: the file was last changed before the import began (noted by Watch, a finder that finds
nothing), or the compiled text equals the live functions and constants. A module without proof is not shipped; its
functions are pickled by value, from the live objects.

Considered: shipping everything by value (pickles the world per call, breaks isinstance of classes that the worker
imports itself); shipping .pyc (another process may have rewritten it since).
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import os
import site
import sys
import sysconfig
import threading
import time
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec

import cloudpickle

from gpucache.events import Degraded, hooks
from gpucache.workers.messages import Module

_CLOCK_SLACK_NS = 20_000_000
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
    started_s = time.time() - (uptime_s - ticks / os.sysconf("SC_CLK_TCK"))
    return int((started_s - 1.0) * 1e9)


class Watch(importlib.abc.MetaPathFinder):
    """Notes when each import began; finds nothing itself. Costs 0.3 µs an import."""

    def __init__(self) -> None:
        self._began_at_ns: dict[str, int] = {}
        self._since_ns = _process_started_at_ns()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        self._began_at_ns[fullname] = time.time_ns()
        return None

    def began_at_ns(self, name: str) -> int:
        """When the module's import began; when the process began if that was before we watched."""
        return self._began_at_ns.get(name, self._since_ns)


_watch = Watch()


def watch() -> None:
    """Note imports from now on. Idempotent. The earlier, the fewer modules need the slower proof."""
    if _watch not in sys.meta_path:
        sys.meta_path.insert(0, _watch)


@dataclass(frozen=True, slots=True)
class _Seen:
    module: types.ModuleType
    spec: object
    shipped: Module | None


class Shipment:
    """What a driver ships: grows as the driver imports, and starts a new generation when a module was reloaded.

    Any thread may call any method.
    """

    def __init__(self) -> None:
        watch()
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._orders: list[list[Module]] = [[]]
        self._known_count = -1

    @property
    def generation(self) -> int:
        """How often a module was reloaded."""
        return len(self._orders) - 1

    def refresh(self) -> int:
        """Look at what was imported or reloaded since; return the generation. 5 µs when nothing was."""
        with self._lock:
            if any(sys.modules.get(name) is not seen.module or seen.module.__spec__ is not seen.spec for name, seen in self._seen.items()):
                self._restart()
            if len(sys.modules) != self._known_count:
                self._grow()
            return self.generation

    def modules_since(self, generation: int, count: int) -> tuple[Module, ...]:
        """The modules of a generation after its first `count`."""
        with self._lock:
            order = self._orders[generation]
            return tuple(order[count:]) if count < len(order) else ()

    def _restart(self) -> None:
        for name, seen in self._seen.items():
            if seen.shipped is None:
                _pickle_by_reference(name)
        self._seen, self._known_count = {}, -1
        self._orders.append([])

    def _grow(self) -> None:
        modules = dict(sys.modules)
        for name, module in modules.items():
            if name not in self._seen and _is_shippable(name, module):
                self._add(name, module)
        self._known_count = len(modules)

    def _add(self, name: str, module: types.ModuleType) -> None:
        if getattr(module.__spec__, "_initializing", False):
            return  # in the middle of its import: its turn comes when it is whole
        shipped = _proven(name, module)
        self._seen[name] = _Seen(module, module.__spec__, shipped)
        if shipped is not None:
            self._orders[-1].append(shipped)
            return
        # Public and process-wide, as cloudpickle has it; undone when the module is reloaded.
        cloudpickle.register_pickle_by_value(module)
        hooks.emit(Degraded(f"module {name!r} is sent to workers by value", "its file was changed after it was imported; reload it, or restart"))


def _pickle_by_reference(name: str) -> None:
    module = sys.modules.get(name)
    if module is not None and name in cloudpickle.list_registry_pickle_by_value():
        cloudpickle.unregister_pickle_by_value(module)


def _is_shippable(name: str, module: object) -> bool:
    if name == "__main__" or name == "gpucache" or name.startswith("gpucache."):
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


def _proven(name: str, module: types.ModuleType) -> Module | None:
    """The module's text, if it can be proven that it is what was imported."""
    file = module.__file__
    assert file is not None  # noqa: S101  # _is_shippable saw it
    loader = getattr(module.__spec__, "loader", None)
    try:
        text = loader.get_source(name) if hasattr(loader, "get_source") else _read(file)
        state = os.stat(file)
    except (OSError, ImportError, SyntaxError, UnicodeDecodeError):
        return None
    if not isinstance(text, str):
        return None
    changed_at_ns = max(state.st_mtime_ns, state.st_ctime_ns)
    if changed_at_ns >= _watch.began_at_ns(name) - _CLOCK_SLACK_NS and not _matches(module, text, file):
        return None
    search = getattr(module, "__path__", None)
    return Module(name, file, text, None if search is None else tuple(search))


def _read(file: str) -> str:
    with open(file, "rb") as source:
        return importlib.util.decode_source(source.read())


def _matches(module: types.ModuleType, text: str, file: str) -> bool:
    """Whether compiling the text gives the live functions, and its literal constants are the live ones."""
    try:
        tree = ast.parse(text)
        compiled = set(_codes(compile(text, file, "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return False
    live = set(_live_codes(module))
    return live <= compiled and _constants_agree(module, tree)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def _live_codes(module: types.ModuleType) -> Iterator[types.CodeType]:
    todo: list[object] = list(vars(module).values())
    seen: set[int] = set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, type):
            if item.__module__ == module.__name__:
                todo.extend(vars(item).values())
        elif isinstance(item, (staticmethod, classmethod)):
            todo.append(item.__func__)
        elif isinstance(item, property):
            todo.extend((item.fget, item.fset, item.fdel))
        elif isinstance(item, types.FunctionType):
            if item.__code__.co_filename == module.__file__:
                yield item.__code__
        todo.extend(_wrapped(item))


def _wrapped(item: object) -> Iterator[object]:
    if not isinstance(item, (type, types.ModuleType)):
        try:
            inner = vars(item).get("__wrapped__")
        except TypeError:
            return
        if inner is not None:
            yield inner


def _constants_agree(module: types.ModuleType, tree: ast.Module) -> bool:
    """Whether each top-level `NAME = literal`, assigned once, has its value; what is computed is not looked at."""
    assigned: dict[str, list[ast.expr | None]] = {}
    for node in tree.body:
        targets: Iterable[ast.expr] = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else ()
        for target in targets:
            if isinstance(target, ast.Name):
                assigned.setdefault(target.id, []).append(node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None)
    for name, values in assigned.items():
        if len(values) != 1 or values[0] is None:
            continue
        try:
            literal = ast.literal_eval(values[0])
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if name not in vars(module) or repr(vars(module)[name]) != repr(literal):
            return False
    return True


class Served(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """In a worker: finds and loads the shipped modules by name, before any file is looked at."""

    def __init__(self) -> None:
        self._modules: dict[str, Module] = {}

    def add(self, modules: Iterable[Module]) -> str | None:
        """Serve these from now on; return the name of one that was imported from another text already, if any."""
        for module in modules:
            if module.name in sys.modules and module.name not in self._modules and not _is_same(module):
                return module.name
            self._modules[module.name] = module
            # inspect.getsource reads here; a time of None keeps checkcache() from looking at the file again
            linecache.cache[module.file] = (len(module.text), None, module.text.splitlines(keepends=True), module.file)
        return None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        module = self._modules.get(fullname)
        if module is None:
            return None
        search = None if module.search is None else list(module.search)
        spec = ModuleSpec(fullname, self, origin=module.file, is_package=search is not None)
        spec.submodule_search_locations = search
        spec.has_location = True
        return spec

    def get_source(self, fullname: str) -> str:
        """The text that the driver imported."""
        return self._modules[fullname].text

    def is_package(self, fullname: str) -> bool:
        return self._modules[fullname].search is not None

    def exec_module(self, module: types.ModuleType) -> None:
        shipped = self._modules[module.__name__]
        exec(compile(shipped.text, shipped.file, "exec", dont_inherit=True), vars(module))  # noqa: S102  # what a loader does


def _is_same(module: Module) -> bool:
    present = sys.modules[module.name]
    loader = getattr(getattr(present, "__spec__", None), "loader", None)
    file = getattr(present, "__file__", None)
    if file != module.file or loader is None:
        return False
    try:
        return _matches(present, module.text, module.file)
    except Exception:  # noqa: BLE001  # a module full of odd objects: replace the worker rather than guess
        return False
