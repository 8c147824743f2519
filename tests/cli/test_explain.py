"""`gpucache explain`: the code that changed, of what would run and of what ran, and two runs beside each other."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpucache as gpc
from gpucache.cli.main import status_of

PIPELINE = """
import gpucache as gpc

def twice(x):
    # a comment
    return x * 2

@gpc.task
def first(x: int) -> int:
    return twice(x)

@gpc.flow
def small(x: int = 3) -> int:
    return first(x)
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUCACHE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GPUCACHE_RUNTIME", "inline")
    gpc.shutdown()
    (tmp_path / "code_pipeline.py").write_text(PIPELINE)
    yield tmp_path / "code_pipeline.py"
    gpc.shutdown()
    sys.modules.pop("code_pipeline", None)


def gpucache(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    sys.modules.pop("code_pipeline", None)
    status = status_of(arguments)
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


def edit(file: Path) -> None:
    file.write_text(PIPELINE.replace("x * 2", "x * 2 + 1"))


def test_code_of_what_would_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the run: the helper's text as it was when the record was made, beside its text now."""
    gpucache(capsys, "run", file.name)
    edit(file)

    text = gpucache(capsys, "explain", file.name, "--code")
    document = json.loads(gpucache(capsys, "explain", file.name, "--json"))

    assert "code_pipeline.py:4 twice before" in text
    assert any("return x * 2 " in line and "return x * 2 + 1" in line for line in text.splitlines())
    (change,) = document["calls"][0]["code"]
    assert change["subject"] == "code_pipeline.py:4 twice"
    assert change["before"] == "def twice(x):\n    # a comment\n    return x * 2\n"
    assert change["after"] == "def twice(x):\n    # a comment\n    return x * 2 + 1\n"


def test_code_of_what_ran(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After the run, and in another process's eyes: both texts come from the store."""
    gpucache(capsys, "run", file.name)
    edit(file)
    gpucache(capsys, "run", file.name)
    file.unlink()

    document = json.loads(gpucache(capsys, "explain", "@last", "--json"))

    (change,) = document["calls"][0]["code"]
    assert (change["before"].splitlines()[-1], change["after"].splitlines()[-1]) == (
        "    return x * 2",
        "    return x * 2 + 1",
    )


def test_two_runs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where two old runs differ, and why; or that they do not."""
    gpucache(capsys, "run", file.name)
    edit(file)
    gpucache(capsys, "run", file.name)

    differ = gpucache(capsys, "explain", "@last~1", "@last")
    same = gpucache(capsys, "explain", "@last", "@last")

    assert "code_pipeline.py:4 twice changed" in differ
    assert "the same calls" in same


def test_plan_and_explain_end_where_the_flow_looks_at_what_is_not_known(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is known so far, and a sentence; no traceback, whatever the flow does with the missing value."""
    words = "the rest depends on the result of first, which is not known before it runs"
    for look, raised in (
        ("json.dumps(found)", ""),
        ("str.join('', [found])", ": without it the flow's own lines raise "),
    ):
        file.write_text("import json\n" + PIPELINE.replace("return first(x)", f"found = first(x); return {look}"))

        for verb in ("plan", "explain"):
            text = gpucache(capsys, verb, file.name)
            document = json.loads(gpucache(capsys, verb, file.name, "--json"))

            assert "it never ran before" in text
            assert words + raised in text
            assert document["stopped_at"] == "first"
            assert (document["problem"] is not None) == bool(raised)
