"""`gpucache check` finds what is not deterministic; `gpucache accept` carries results over an edit, and takes them back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gpucache as gpc
from gpucache.cli.main import status_of

PIPELINE = """
import pathlib
import random
import numpy as np
import gpucache as gpc

@gpc.task
def fixed(n: int) -> np.ndarray:
    return np.arange(n) * 1.5

@gpc.task
def loose(n: int) -> float:
    return random.random()

@gpc.task(tolerance=1e-3)
def near(n: int) -> np.ndarray:
    return np.ones(n) + random.random() * 1e-6

@gpc.task
def reads(name: str) -> str:
    return pathlib.Path(name).read_text()

@gpc.flow
def small(n: int = 3) -> float:
    return float(fixed(n).sum())

@gpc.flow
def shaky(n: int = 3) -> list:
    return [float(fixed(n).sum()), loose(n), float(near(n).sum())]

@gpc.flow
def reading() -> str:
    return reads("data.txt")
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUCACHE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GPUCACHE_RUNTIME", "inline")
    gpc.shutdown()
    (tmp_path / "data.txt").write_text("a")
    (tmp_path / "check_pipeline.py").write_text(PIPELINE)
    yield tmp_path / "check_pipeline.py"
    gpc.shutdown()
    sys.modules.pop("check_pipeline", None)


def gpucache(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    sys.modules.pop("check_pipeline", None)
    status = status_of([*arguments, "--json"])
    captured = capsys.readouterr()
    return status, json.loads(captured.out) if captured.out else None, captured.err


def states(document: Any) -> list[str]:
    return [call["state"] for call in document["calls"]]


def test_check_names_what_is_not_deterministic(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One result is the same, one is near enough by the task's word, one differs, and why is said; nothing is stored."""
    ran = gpucache(capsys, "run", f"{file.name}:shaky")[1]
    status, document, _ = gpucache(capsys, "check")
    again = gpucache(capsys, "run", f"{file.name}:shaky")[1]

    assert status == 1
    assert [(call["task"], call["verdict"]) for call in document["calls"]] == [
        ("fixed", "identical"),
        ("loose", "differs"),
        ("near", "within tolerance"),
    ]
    assert "global random state of random" in document["calls"][1]["detail"]
    assert again["result"] == ran["result"]


def test_check_of_what_is_deterministic(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0; a sample of nothing is refused."""
    gpucache(capsys, "run", f"{file.name}:small")

    assert gpucache(capsys, "check")[0] == 0
    assert gpucache(capsys, "check", "--sample", "0%")[0] == 2
    assert gpucache(capsys, "check", "--sample", "perhaps")[0] == 2


def test_check_against_a_golden_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs nothing: results are compared call by call, bit for bit or within a tolerance."""
    golden = gpucache(capsys, "run", f"{file.name}:small")[1]["id"]
    file.write_text(PIPELINE.replace("* 1.5", "* 1.5000001"))
    gpucache(capsys, "run", f"{file.name}:small")

    differs = gpucache(capsys, "check", "@last", "--against", golden)
    near = gpucache(capsys, "check", "@last", "--against", golden, "--tolerance", "1e-5")

    assert (differs[0], near[0]) == (3, 0)
    assert "2 of 3 numbers, by up to 2e-07" in differs[1]["calls"][0]["detail"]


def test_accepted_results_answer_until_they_are_taken_back(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An edit, an acceptance: hits, and explain says whose word it is; taken back: it runs."""
    run = gpucache(capsys, "run", f"{file.name}:small")[1]["id"]
    file.write_text(PIPELINE.replace("np.arange(n) * 1.5", "1.50 * np.arange(n)"))
    assert gpucache(capsys, "plan", file.name + ":small", "--exit-code")[0] == 3

    done = gpucache(capsys, "accept", file.name, "--task", "fixed", "--since", run, "--why", "multiplication commutes")
    (acceptance,) = done[1]["acceptances"]
    hit = gpucache(capsys, "run", f"{file.name}:small")[1]
    said = gpucache(capsys, "explain", f"{file.name}:small")[1]
    listed = gpucache(capsys, "accept")[1]["acceptances"]
    back = gpucache(capsys, "accept", "--revoke", acceptance["id"])[1]
    reran = gpucache(capsys, "run", f"{file.name}:small")[1]

    assert acceptance["records"] == 1
    assert states(hit) == ["hit"]
    assert "multiplication commutes" in said["calls"][0]["notes"][0]
    assert [one["id"] for one in listed] == [acceptance["id"]]
    assert back["records"] == 1
    assert states(reran) == ["ran"]


def test_accepted_results_still_depend_on_what_they_read(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The code is vouched for, the file is not: when it changes, the task runs."""
    gpucache(capsys, "run", f"{file.name}:reading")
    file.write_text(PIPELINE.replace("read_text()", "read_text().strip()"))
    gpucache(capsys, "accept", file.name, "--task", "reads", "--since", "@last", "--why", "no white space there")

    same = gpucache(capsys, "run", f"{file.name}:reading")[1]
    (file.parent / "data.txt").write_text("b ")
    changed = gpucache(capsys, "run", f"{file.name}:reading")[1]

    assert states(same) == ["hit"]
    assert (states(changed), changed["result"]) == (["ran"], "b")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--task", "nope", "--since", "@last", "--why", "x"), 4, "has fixed, loose, near, reads"),
        (("--task", "loose", "--since", "@last", "--why", "x"), 4, "tasks that it called: fixed"),
        (("--task", "fixed", "--since", "@last", "--why", " "), 2, "the reason"),
        (("--task", "fixed", "--since", "@last"), 2, "--why"),
    ],
)
def test_what_can_not_be_accepted(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, said: str
) -> None:
    """Each mistake has its sentence and changes nothing."""
    gpucache(capsys, "run", f"{file.name}:small")

    refused = gpucache(capsys, "accept", file.name, *arguments)

    assert refused[0] == status
    assert said in refused[2]
    assert gpc.acceptances() == []


def test_a_changed_signature_can_not_be_accepted(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a new parameter had been, nobody knows."""
    gpucache(capsys, "run", f"{file.name}:small")
    file.write_text(PIPELINE.replace("def fixed(n: int)", "def fixed(n: int, m: int = 1)"))

    refused = gpucache(capsys, "accept", file.name, "--task", "fixed", "--since", "@last", "--why", "x")

    assert refused[0] == 2
    assert "the parameters that it had then, ('n',)" in refused[2]


def test_a_tag_stands_for_its_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever a run is asked for; it can move, and be dropped; a name like an id is refused."""
    first = gpucache(capsys, "run", f"{file.name}:small")[1]["id"]
    gpucache(capsys, "tag", first, "golden")
    second = gpucache(capsys, "run", f"{file.name}:small", "--n", "4")[1]["id"]

    assert gpucache(capsys, "show", "golden")[1]["id"] == first
    assert gpucache(capsys, "check", "@last", "--against", "golden")[0] == 3
    assert gpucache(capsys, "tag", second, "golden")[1]["tags"] == {"golden": second}
    assert gpucache(capsys, "check", "@last", "--against", "golden")[0] == 0
    assert gpucache(capsys, "tag", second, "2026")[0] == 2
    assert gpucache(capsys, "tag", "--remove", "golden")[1]["tags"] == {}
    assert gpucache(capsys, "tag", "--remove", "golden")[0] == 4


def test_diff_and_replay(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs that differ exit with 3 and say why; a replay runs with the arguments of then, and exits with 6 if it differs."""
    first = gpucache(capsys, "run", f"{file.name}:shaky", "--n", "5")[1]["id"]
    same = gpucache(capsys, "replay")
    other = gpucache(capsys, "run", f"{file.name}:shaky", "--n", "4")[1]["id"]
    differ = gpucache(capsys, "diff", first, other)
    forced = gpucache(capsys, "replay", first, "--force", "loose")

    assert (same[0], same[1]["differences"]) == (0, [])
    assert differ[0] == 3
    assert differ[1]["differences"][0]["difference"] == "other result: argument n 5 -> 4"
    assert forced[0] == 6
    assert "not deterministic" in forced[1]["differences"][0]["difference"]
