"""With --json, stdout is one document whatever the user's code prints and however it ends; nothing is made by looking."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gpucache as gpc
from gpucache.cli.main import status_of

PIPELINE = """
import asyncio
import gpucache as gpc
print("imported")

@gpc.task
def task(x: int) -> str:
    print("in the task")
    return "object"

@gpc.flow
def noisy(x: int = 1) -> str:
    print("in the flow")
    return task(x)

class Plain:
    name = "object"

@gpc.task
def pickled(x: int) -> Plain:
    return Plain()

@gpc.flow
def unpickles() -> str:
    return pickled(1).name

@gpc.task
async def slow(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1

@gpc.flow
async def waits() -> list:
    return list(await asyncio.gather(slow(1), slow(2)))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUCACHE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GPUCACHE_RUNTIME", "inline")
    (tmp_path / "noisy_pipeline.py").write_text(PIPELINE)
    gpc.shutdown()
    yield tmp_path
    gpc.shutdown()
    sys.modules.pop("noisy_pipeline", None)


def gpucache(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    sys.modules.pop("noisy_pipeline", None)
    status = status_of([*arguments, "--json"])
    captured = capsys.readouterr()
    return status, json.loads(captured.out), captured.err


@pytest.mark.parametrize("verb", ["run", "plan", "explain"])
def test_what_the_users_code_prints_goes_to_stderr(folder: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    """At import and in the flow; the document stays one."""
    status, document, err = gpucache(capsys, verb, "noisy_pipeline.py:noisy")

    assert (status, document["schema"]) == (0, f"gpucache.{verb}/1")
    assert "imported" in err
    assert "in the flow" in err


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (("run", "absent.py"), 2, "FlowFileBroken"),
        (("run", "noisy_pipeline.py:nope"), 4, "NoSuchFlow"),
        (("run", "noisy_pipeline.py:noisy", "--y", "1"), 2, "BadArgument"),
        (("runs", "--limit", "no"), 2, "BadParameter"),
        (("stats", "--store", "/proc/x"), 5, "StoreUnusable"),
    ],
)
def test_an_error_is_a_document_too(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, error: str
) -> None:
    """Its kind, its sentence and its exit status, on stdout; the sentence also on stderr."""
    code, document, err = gpucache(capsys, *arguments)

    assert (code, document["exit_status"], document["error"]) == (status, status, error)
    assert document["schema"] == "gpucache.error/1"
    assert document["message"].splitlines()[0] in err


def test_what_a_body_raises_is_a_document_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A check of calls that raise now ends with its error as the document, and the user's frames alone on stderr."""
    gpucache(capsys, "run", "noisy_pipeline.py:noisy")
    (folder / "noisy_pipeline.py").write_text(PIPELINE.replace('return "object"', "raise LookupError('gone')", 1))
    sys.modules.pop("noisy_pipeline")

    status, document, err = gpucache(capsys, "check")

    assert (status, document["schema"], document["error"]) == (1, "gpucache.error/1", "LookupError")
    assert "in the task" in err
    assert "noisy_pipeline.py" in err
    assert "click" not in err


def test_a_replay_that_fails_is_a_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says where the two runs differ; the exit status says that it failed."""
    gpucache(capsys, "run", "noisy_pipeline.py:noisy")
    (folder / "noisy_pipeline.py").write_text(PIPELINE.replace('return "object"', "raise LookupError('gone')", 1))

    status, document, err = gpucache(capsys, "replay")

    assert (status, document["schema"]) == (1, "gpucache.replay/1")
    assert [one["task"] for one in document["differences"]] == ["task"]
    assert "LookupError: gone" in err


def test_an_async_flow_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its coroutine is run to its end, its calls are recorded, and it hits."""
    documents = [gpucache(capsys, "run", "noisy_pipeline.py:waits")[1] for _ in range(2)]

    assert [document["result"] for document in documents] == [[2, 3], [2, 3]]
    assert [[call["state"] for call in document["calls"]] for document in documents] == [["ran"] * 2, ["hit"] * 2]


@pytest.mark.parametrize("verb", ["runs", "show", "stats", "gc", "verify", "explain", "check", "accept"])
def test_looking_makes_no_store(folder: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    """A mistyped path is said, not made."""
    status, document, _ = gpucache(capsys, verb, "--store", str(folder / "mistyped"))

    assert (status, document["error"]) == (5, "StoreUnusable")
    assert not (folder / "mistyped").exists()


def test_a_variable_set_to_nothing_is_not_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GPUCACHE_STORE= is the default store, not the current directory."""
    monkeypatch.setenv("GPUCACHE_STORE", "")

    assert gpc.Config.from_env().store == gpc.Config().store


def test_a_store_that_others_can_write_is_not_unpickled_from(
    folder: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    """It is said, and what would be unpickled is computed again."""
    gpucache(capsys, "run", "noisy_pipeline.py:unpickles")
    os.chmod(folder / "store", 0o777)

    status, document, _ = gpucache(capsys, "run", "noisy_pipeline.py:unpickles")

    assert (status, document["result"]) == (0, "object")
    assert document["calls"][0]["state"] == "ran"
    assert any("others may write" in str(warning.message) for warning in recwarn)
