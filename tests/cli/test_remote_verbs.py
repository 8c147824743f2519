"""push, keygen, and what doctor and stats say of a remote."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gpucache as gpc
from gpucache.cli.main import status_of

pytest.importorskip("obstore", reason="a remote needs obstore: pip install 'gpucache[remote]'")


@gpc.task
def squared(number: int) -> int:
    """A small result."""
    return number * number


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that results are shared in, and a store of this process."""
    monkeypatch.setenv("GPUCACHE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GPUCACHE_REMOTE", f"file://{tmp_path}/shared")
    monkeypatch.setenv("GPUCACHE_RUNTIME", "inline")
    gpc.shutdown()
    yield tmp_path / "shared"
    gpc.shutdown()


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    """A verb's document."""
    assert status_of([*arguments, "--json"]) == status
    gpc.shutdown()
    return json.loads(capsys.readouterr().out)


def test_push_all_sends_what_was_computed_before_there_was_a_remote(
    remote: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent by itself; push alone has nothing to send; with --all it sends everything once."""
    monkeypatch.setenv("GPUCACHE_REMOTE", "")
    squared(3)
    squared(4)
    gpc.shutdown()
    monkeypatch.setenv("GPUCACHE_REMOTE", f"file://{remote}")

    assert told(capsys, "push")["sent"] == 0
    assert told(capsys, "push", "--all")["sent"] == 2
    assert len([path for path in remote.rglob("*") if path.is_file()]) == 2
    assert told(capsys, "stats")["remote"]["sent"] == 2


def test_push_needs_a_remote_that_it_may_write_to(
    remote: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong, and the setting that mends it."""
    squared(3)
    gpc.shutdown()

    monkeypatch.setenv("GPUCACHE_REMOTE_READ_ONLY", "1")
    read_only = told(capsys, "push", status=2)
    monkeypatch.setenv("GPUCACHE_REMOTE", "")
    nowhere = told(capsys, "push", status=2)

    assert "remote_read_only" in read_only["message"]
    assert "GPUCACHE_REMOTE" in nowhere["message"]


def test_keygen_makes_one_key_and_never_another_in_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The public key is printed; a second call is refused."""
    pytest.importorskip("cryptography", reason="signatures need cryptography")
    path = str(tmp_path / "key.pem")

    public = told(capsys, "keygen", path)["public_key"]
    again = told(capsys, "keygen", path, status=2)

    assert len(bytes.fromhex(public)) == 32
    assert "can't be written" in again["message"]


def test_doctor_says_what_is_wrong_with_a_remote(
    remote: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it answers and who is believed, also before there is a store; that obstore is missing, and how to get it."""
    well = _findings(told(capsys, "doctor"))
    monkeypatch.setitem(sys.modules, "obstore", None)
    assert status_of(["doctor", "--json"]) in (0, 1)
    missing = _findings(json.loads(capsys.readouterr().out))

    assert "answers in" in well["remote"]["seen"]
    assert "everybody's results" in well["trust"]["seen"]
    assert not (remote.parent / "store").exists()
    assert missing["remote"]["verdict"] == "bad"
    assert "pip install 'gpucache[remote]'" in missing["remote"]["seen"]


def _findings(document: Any) -> dict[str, Any]:
    return {found["name"]: found for found in document["findings"]}
