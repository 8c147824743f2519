"""What the text of a program names that a body starts: its process is not heard, so that what it names counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpucache.memo.commands import named_in_python, named_in_script


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("a.csv", "sub/b.csv"):
        (tmp_path / name).write_text("1")
    return tmp_path


def test_a_python_programs_literals(folder: Path) -> None:
    """Files that are there, where it runs; variables where it looks into its environment at all."""
    reads = folder / "reads.py"
    reads.write_text("import os\nopen('a.csv'), open('none.csv'), os.environ.get('MODE'), 'Word', 'b.csv'")
    plain = folder / "plain.py"
    plain.write_text("print('MODE')")

    named = named_in_python([str(reads), str(plain)])
    assert (named.files, named.variables) == (("a.csv",), ("MODE",))
    assert named_in_python([str(reads)], "sub").files == ("sub/b.csv",)
    assert named_in_python([str(plain)]).variables == ()
    assert named_in_python([str(folder / "none.py")]).files == ()


@pytest.mark.parametrize("name", ["run.sh", "run"])
def test_a_shell_scripts_lines(name: str, folder: Path) -> None:
    """By its ending or its first line; another file's words name nothing."""
    text = '#!/bin/sh\ncount=$(wc -l < a.csv)\nsort "sub/b.csv" | head -n "${LIMIT}"\n'
    (folder / name).write_text(text)
    (folder / "text.txt").write_text("a.csv $LIMIT")

    named = named_in_script(name)
    assert {"a.csv", "sub/b.csv"} <= set(named.files)
    assert named.variables == ("LIMIT",)
    assert named_in_script("text.txt").files == named_in_script("none.sh").files == ()
