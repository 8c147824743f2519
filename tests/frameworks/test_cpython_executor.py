"""CPython's own tests of executors, run on ours.

They come from Debian's libpython3.11-testsuite, fetched and unpacked when the tests run (never kept in the repository),
or from the interpreter's own `test` package where it has them. Without either, everything here is skipped.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from types import ModuleType

import pytest

from gpucache.executors import Executor

_PACKAGE = "libpython3.11-testsuite"
_FILE = "usr/lib/python3.11/test/test_concurrent_futures.py"
_NAME = "cpython_test_concurrent_futures"

pytestmark = [pytest.mark.slow]


def _source() -> Path | str:
    """The file, or why it can't be had."""
    if sys.version_info[:2] != (3, 11):
        return f"the package has the tests of Python 3.11; this is {sys.version_info.major}.{sys.version_info.minor}"
    own = Path(importlib.util.find_spec("test").submodule_search_locations[0]) / "test_concurrent_futures.py"  # type: ignore[union-attr,index]  # CPython has a test package, if a bare one
    kept = Path(tempfile.gettempdir()) / f"gpucache-{_PACKAGE}"
    for found in (own, Path("/") / _FILE, kept / _FILE):
        if found.exists():
            return found
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return f"{_PACKAGE} is a Debian package, and this machine has no apt-get"
    kept.mkdir(exist_ok=True)
    for command in (["apt-get", "download", _PACKAGE], ["sh", "-c", "dpkg -x *.deb ."]):
        done = subprocess.run(command, cwd=kept, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            return f"{_PACKAGE} can't be had: {done.stderr.strip()[-200:]}"
    return kept / _FILE


def _load() -> ModuleType | str:
    source = _source()
    if isinstance(source, str):
        return source
    spec = importlib.util.spec_from_file_location(_NAME, source)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[_NAME] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as missing:  # a `test` package without `test.support`
        del sys.modules[_NAME]
        return f"this interpreter lacks what the tests import: {missing}"
    return module


class _LocalWorkers(Executor):
    """The executor under test; the tests look for its name in concurrent.futures."""

    def __init__(self, max_workers: int | None = None, **options: object) -> None:
        super().__init__(max_workers, runtime="local", **options)  # type: ignore[arg-type]  # as the tests give them


_cpython = _load()

if isinstance(_cpython, str):

    @pytest.mark.skip(reason=_cpython)
    def test_cpython_executor_tests() -> None:
        """CPython's executor tests pass on ours."""
else:

    class _Ours(_cpython.ExecutorMixin):  # type: ignore[misc,name-defined]  # made at run time
        executor_type = _LocalWorkers
        worker_count = 3

    def _on_ours(mixin: type, *, without: tuple[str, ...] = ()) -> type:
        members = dict.fromkeys(without)
        return type(f"Test{mixin.__name__}", (mixin, _Ours, _cpython.BaseTestCase), members)

    class TestInitializer(_cpython.InitializerMixin, _Ours, _cpython.BaseTestCase):  # type: ignore[misc,name-defined]
        """An initializer runs in each worker before its first call."""

    class TestFailingInitializer(_cpython.FailingInitializerMixin, _Ours, _cpython.BaseTestCase):  # type: ignore[misc,name-defined]
        """An initializer that raises breaks the executor."""

    TestWait = _on_ours(_cpython.WaitTests)
    TestAsCompleted = _on_ours(_cpython.AsCompletedTests)
    TestExecutor = _on_ours(_cpython.ExecutorTest)
    # These three start `from concurrent.futures import <name>` in another process, and read what a worker prints on
    # standard output (ours print on standard error). tests/crash/test_workers_end.py has them in our words.
    TestShutdown = _on_ours(
        _cpython.ExecutorShutdownTest,
        without=("test_interpreter_shutdown", "test_submit_after_interpreter_shutdown", "test_hang_gh83386"),
    )
    assert issubclass(TestShutdown, unittest.TestCase)
