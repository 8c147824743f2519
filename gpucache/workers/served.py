"""In a worker: the modules as the driver imported them, found by name before any file is looked at. See ship.py."""

from __future__ import annotations

import importlib.abc
import linecache
import sys
import types
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec

from gpucache.workers.messages import Module
from gpucache.workers.proof import matches


class Served(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the shipped modules."""

    def __init__(self) -> None:
        self._modules: dict[str, Module] = {}

    def add(self, modules: Iterable[Module]) -> str | None:
        """Serve these from now on; return the name of one that was imported from another text already, if any."""
        for module in modules:
            if module.name in sys.modules and not self._is_same(module):
                return module.name
            self._modules[module.name] = module
            if module.text is None:
                continue
            # inspect.getsource reads here; a time of None keeps checkcache() from looking at the file again
            linecache.cache[module.file] = (len(module.text), None, module.text.splitlines(keepends=True), module.file)
        return None

    def _is_same(self, module: Module) -> bool:
        """Whether the module that this worker has imported is the one that the driver has."""
        if module.name in self._modules or module.text is None:
            return self._modules.get(module.name) == module
        present = sys.modules[module.name]
        try:
            return getattr(present, "__file__", None) == module.file and matches(present, module.text, module.file)
        except Exception:  # noqa: BLE001  # a module full of odd objects: replace the worker rather than guess
            return False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a shipped module; None for any other.

        Raises:
            ImportError: The driver can't tell any more what it had imported.
        """
        module = self._modules.get(fullname)
        if module is None:
            return None
        if module.text is None:
            raise ImportError(
                f"{module.file} was changed after the program imported {fullname!r}, so this worker can't have what it "
                f"imported; reload the module there, or restart the program",
                name=fullname,
                path=module.file,
            )
        search = None if module.search is None else list(module.search)
        spec = ModuleSpec(fullname, self, origin=module.file, is_package=search is not None)
        spec.submodule_search_locations = search
        spec.has_location = True
        return spec

    def get_source(self, fullname: str) -> str:
        """The text that the driver imported."""
        return self._modules[fullname].text or ""

    def is_package(self, fullname: str) -> bool:
        """Whether it has modules below it."""
        return self._modules[fullname].search is not None

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the text that the driver imported."""
        shipped = self._modules[module.__name__]
        exec(compile(shipped.text or "", shipped.file, "exec", dont_inherit=True), vars(module))  # noqa: S102  # what a loader does
