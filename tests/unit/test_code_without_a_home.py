"""Code that no import leads to: made by exec(), loaded from its path, put into a module made by hand. It counts by what it does."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpucache.digests import value_digest
from gpucache.fingerprint import Fingerprints

Make = Callable[[str], Any]


def by_exec(body: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(f"def f(x): return {body}", namespace)  # what is tested
    return namespace["f"]


def by_eval(body: str) -> Any:
    return eval(f"lambda x: {body}", {})  # what is tested


def a_class(body: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(f"class A:\n    def f(self, x): return {body}", namespace)  # what is tested
    return namespace["A"]


def under_a_name(body: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "gpucache_there_is_none"}
    exec(f"def f(x): return {body}", namespace)  # what is tested
    return namespace["f"]


def with_a_constant(body: str) -> Any:
    namespace: dict[str, Any] = {"K": body}
    exec("def f(x): return K", namespace)  # what is tested
    return namespace["f"]


@pytest.mark.parametrize("make", [by_exec, by_eval, a_class, under_a_name, with_a_constant])
def test_code_of_no_module_is_told_apart(make: Make) -> None:
    """Read as a global, or given as an argument: equal where it does the same, another where it does not."""

    def digest(body: str) -> tuple[bytes, bytes]:
        made = make(body)

        def task(x: int) -> Any:
            return made(x)

        symbols = Fingerprints()
        return symbols.of(task).digest, value_digest(made, symbols=symbols)

    assert digest("x + 1") == digest("x + 1")
    assert digest("x + 1")[0] != digest("x + 1000")[0]
    assert digest("x + 1")[1] != digest("x + 1000")[1]


def test_a_module_loaded_from_its_path_is_followed(tmp_path: Path) -> None:
    """The plugin idiom: the module is in no sys.modules, and its functions count as those of any module of the project."""
    symbols = Fingerprints()

    def digest(text: str, file: str = "plugin.py") -> tuple[bytes, list[str]]:
        (tmp_path / file).write_text(text)
        spec = importlib.util.spec_from_file_location("gpucache_plugin", tmp_path / file)
        assert spec is not None
        assert spec.loader is not None
        plugin = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(plugin)

        def task(x: int) -> Any:
            return plugin.h(x)

        found = symbols.of(task)
        return found.digest, sorted(name for name in found.parts if "plugin" in name)

    first = digest("def h(x): return x + 1\ndef other(x): return 1\n")
    assert first == digest("def h(x): return x + 1\ndef other(x): return 20000\n")
    assert first[1] == ["code:plugin.h"]
    assert first[0] != digest("def h(x):  return x + 20000\n")[0]


def test_a_module_made_by_hand_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """types.ModuleType, put into sys.modules by the program: what a body imports from there counts."""

    def task(x: int) -> Any:
        import gpucache_by_hand  # type: ignore[import-not-found]

        return gpucache_by_hand.f(x)

    def digest(body: str) -> bytes:
        module = types.ModuleType("gpucache_by_hand")
        exec(f"def f(x): return {body}", vars(module))  # what is tested
        monkeypatch.setitem(sys.modules, "gpucache_by_hand", module)
        return Fingerprints().of(task).digest

    assert digest("x + 1") == digest("x + 1")
    assert digest("x + 1") != digest("x + 1000")
