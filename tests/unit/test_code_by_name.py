"""What a process has imported is what its files say: when that is known, and when not."""

from __future__ import annotations

import importlib.util
import os
import py_compile
from pathlib import Path

import pytest

from gpucache.memo import by_name

SECOND = 1_700_000_000


@pytest.mark.parametrize(
    ("bytecode_s", "edit_s", "known"),
    [(0.4, 0.8, False), (0.8, 0.4, True), (0.4, 1.8, True)],
    ids=["an edit in the second of the bytecode", "bytecode after the edit", "an edit in another second"],
)
def test_bytecode_of_before_an_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytecode_s: float, edit_s: float, known: bool
) -> None:
    """Python takes bytecode for a text of the same second and size, so that a process may run what no text says."""
    monkeypatch.setattr(by_name, "_began_at_ns", 2**63)  # all that happened to files was before this process
    file = tmp_path / "named.py"
    file.write_text("def factor(x):\n    return x * 2.0\n")
    os.utime(file, (SECOND, SECOND))
    py_compile.compile(str(file))
    bytecode = importlib.util.cache_from_source(str(file))
    os.utime(bytecode, (SECOND + bytecode_s, SECOND + bytecode_s))

    os.utime(file, (SECOND + edit_s, SECOND + edit_s))

    assert by_name.are_as_imported([str(file)]) is known
