"""Which modules are shipped to workers, as what text, and what is refused."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from gpucache.workers.messages import Module
from gpucache.workers.proof import matches
from gpucache.workers.served import Served
from gpucache.workers.ship import Shipment


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("gcship"):
            if name in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.unregister_pickle_by_value(sys.modules[name])
            del sys.modules[name]


def load(project: Path, name: str, text: str) -> ModuleType:
    path = project / (name.replace(".", "/") + ".py")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def texts(shipment: Shipment) -> dict[str, str | None]:
    modules = shipment.modules_since(shipment.refresh(), 0)
    return {module.name: module.text for module in modules if module.name.startswith("gcship")}


def test_only_the_projects_modules_are_shipped(project: Path) -> None:
    """Not the standard library, not what is installed, not gpucache, not __main__."""
    load(project, "gcship_one", "X = 1\n")
    shipment = Shipment()

    names = {module.name.partition(".")[0] for module in shipment.modules_since(shipment.refresh(), 0)}

    assert "gcship_one" in names
    assert not names & {"gpucache", "__main__", "os", "numpy", "pytest", "cloudpickle"}


def test_packages_are_shipped_with_their_paths(project: Path) -> None:
    """A package's modules are found below it, and its __init__ knows where it lies."""
    load(project, "gcship_pkg.__init__", "Y = 2\n")
    sys.modules.pop("gcship_pkg.__init__", None)
    load(project, "gcship_pkg.inner", "from gcship_pkg import Y\n")
    shipment = Shipment()
    shipment.refresh()

    found = {module.name: module.search for module in shipment.modules_since(0, 0)}

    assert found["gcship_pkg"] == (str(project / "gcship_pkg"),)
    assert found["gcship_pkg.inner"] is None


def test_later_imports_are_shipped_once(project: Path) -> None:
    """modules_since(count) gives what came after the first `count`."""
    load(project, "gcship_one", "X = 1\n")
    shipment = Shipment()
    count = len(shipment.modules_since(shipment.refresh(), 0))
    load(project, "gcship_two", "Z = 3\n")

    assert [module.name for module in shipment.modules_since(shipment.refresh(), count)] == ["gcship_two"]


def test_an_edited_constant_is_not_believed(project: Path) -> None:
    """A file of which only a literal changed since its import is not shipped, nor are those who import it."""
    load(project, "gcship_one", "SCALE = 1\n\ndef f(x):\n    return x\n")
    load(project, "gcship_two", "import gcship_one\n")
    load(project, "gcship_three", "def lazily():\n    from gcship_two import gcship_one\n    return gcship_one\n")
    load(project, "gcship_apart", "Q = 1\n")
    (project / "gcship_one.py").write_text("SCALE = 2\n\ndef f(x):\n    return x\n")

    shipped = texts(Shipment())

    assert [name for name, text in shipped.items() if text is None] == ["gcship_one", "gcship_two", "gcship_three"]
    assert shipped["gcship_apart"] == "Q = 1\n"
    assert "gcship_one" in cloudpickle.list_registry_pickle_by_value()


def test_a_touched_file_is_believed_if_it_compiles_to_the_same(project: Path) -> None:
    """A new date alone proves nothing, and then the functions and constants are compared."""
    load(project, "gcship_one", "SCALE = 1\n\nclass A:\n    @staticmethod\n    def f(x):\n        return x + SCALE\n")
    os.utime(project / "gcship_one.py")

    assert texts(Shipment())["gcship_one"] is not None


def test_a_reload_begins_a_generation(project: Path) -> None:
    """After importlib.reload the new text is shipped under a new generation; the old one keeps the old text."""
    module = load(project, "gcship_one", "SCALE = 1\n")
    shipment = Shipment()
    first = shipment.refresh()
    (project / "gcship_one.py").write_text("SCALE = 222\n")
    importlib.reload(module)
    second = shipment.refresh()

    def text(generation: int) -> set[str | None]:
        return {m.text for m in shipment.modules_since(generation, 0) if m.name == "gcship_one"}

    assert second == first + 1
    assert (text(first), text(second)) == ({"SCALE = 1\n"}, {"SCALE = 222\n"})


def test_a_module_that_is_being_imported_goes_by_value(project: Path) -> None:
    """A script that submits calls while it is imported must not be imported by the worker, which would submit them too."""
    sys.modules["gcship_hook"] = hook = ModuleType("gcship_hook")
    hook.shipment = Shipment()  # type: ignore[attr-defined]
    load(project, "gcship_busy", "import gcship_hook\ngcship_hook.seen = gcship_hook.shipment.refresh()\n")

    assert "gcship_busy" in cloudpickle.list_registry_pickle_by_value()
    assert texts(hook.shipment)["gcship_busy"] is not None  # type: ignore[attr-defined]
    assert "gcship_busy" not in cloudpickle.list_registry_pickle_by_value()


def test_a_served_module_is_the_text_that_was_sent(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker, import gives the text that came, whatever the file says, and inspect sees that text."""
    import inspect

    (project / "gcship_served.py").write_text("def f():\n    return 'disk'\n")
    served = Served()
    monkeypatch.setattr(sys, "meta_path", [served, *sys.meta_path])
    file = str(project / "gcship_served.py")
    assert served.add([Module("gcship_served", file, "def f():\n    return 'sent'\n", None)]) is None

    module = importlib.import_module("gcship_served")

    assert module.f() == "sent"
    assert module.__file__ == file
    assert "sent" in inspect.getsource(module.f)


def test_a_module_without_a_text_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker never falls back to the file of a module that the driver could not vouch for."""
    (project / "gcship_gone.py").write_text("X = 1\n")
    served = Served()
    monkeypatch.setattr(sys, "meta_path", [served, *sys.meta_path])
    served.add([Module("gcship_gone", str(project / "gcship_gone.py"), None, None)])

    with pytest.raises(ImportError, match="was changed after the program imported 'gcship_gone'"):
        importlib.import_module("gcship_gone")


def test_a_worker_with_another_text_says_so(project: Path) -> None:
    """What a worker has imported by itself must be what the driver has; else it asks to be replaced."""
    module = load(project, "gcship_own", "X = 1\n\ndef f():\n    return X\n")
    file = str(module.__file__)

    assert Served().add([Module("gcship_own", file, "X = 1\n\ndef f():\n    return X\n", None)]) is None
    assert Served().add([Module("gcship_own", file, "X = 2\n\ndef f():\n    return X\n", None)]) == "gcship_own"


def test_proof_looks_into_classes_and_wrappers(project: Path) -> None:
    """A change in a method, a property or a function under a decorator is seen."""
    text = (
        "import functools\n\n"
        "def mark(fn):\n    return functools.wraps(fn)(lambda: fn())\n\n"
        "class A:\n    @property\n    def p(self):\n        return 1\n\n"
        "@mark\ndef g():\n    return 2\n"
    )
    module = load(project, "gcship_deep", text)
    file = str(module.__file__)

    assert matches(module, text, file)
    assert not matches(module, text.replace("return 1", "return 9"), file)
    assert not matches(module, text.replace("return 2", "return 9"), file)
