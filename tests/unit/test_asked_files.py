"""Questions about files that are not opened: whether one is there, how large it is. The answer is part of what a call is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from call_support import ran

import gpucache as gpc
from gpucache.memo.watching import Watch


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    gpc.init(runtime="inline", store=tmp_path / "store")
    yield
    gpc.shutdown()


@gpc.task
def exists(name: str) -> bool:
    return os.path.exists(name)


@gpc.task
def is_file(name: str) -> bool:
    return Path(name).is_file()


@gpc.task
def lexists(name: str) -> bool:
    return os.path.lexists(name)


@gpc.task
def accessible(name: str) -> bool:
    return os.access(name, os.R_OK)


@gpc.task
def size(name: str) -> int:
    return os.path.getsize(name) if os.path.exists(name) else -1


@pytest.mark.parametrize("task", [exists, is_file, lexists, accessible])
def test_a_file_that_comes_and_goes(task: Callable[[str], bool], tmp_path: Path) -> None:
    """A name that nothing tells to be a path: there or not there, each has its record; its content is nothing to it."""
    assert task("flag") is False
    (tmp_path / "flag").write_text("a")
    assert task("flag") is True
    (tmp_path / "flag").write_text("longer")
    assert ran(lambda: task("flag")) == (True, False)
    (tmp_path / "flag").unlink()
    assert ran(lambda: task("flag")) == (False, False)


def test_a_file_whose_size_is_asked(tmp_path: Path) -> None:
    """Asked for its size, a file counts by its size and times."""
    assert size("log") == -1
    (tmp_path / "log").write_text("abc")
    assert size("log") == 3
    assert ran(lambda: size("log")) == (3, False)
    (tmp_path / "log").write_text("abcdef")
    assert size("log") == 6
    assert "log" in str(size.explain("log").reasons) or size.explain("log").hit


@gpc.task
def through_a_cache(name: str) -> str:
    if not os.path.exists(name):
        Path(name).write_text("made")
    return "done"


def test_what_the_body_makes_itself_is_no_input(tmp_path: Path) -> None:
    """A body that looks whether its own file is there, and makes it, hits the second time."""
    assert through_a_cache("cache.bin") == "done"
    assert ran(lambda: through_a_cache("cache.bin")) == ("done", False)


@gpc.task
def library_asks(names: list[str]) -> int:
    import shutil

    return len([name for name in names if shutil.which(name) is not None or name])


def test_what_libraries_ask_is_theirs() -> None:
    """Where a library looks for its own purposes is no input of the call."""
    library_asks(["no-such-program"])

    parts = library_asks.explain(["no-such-program"])
    assert parts.hit
    assert "existence" not in str(parts)


def test_the_functions_still_do_what_they_did(tmp_path: Path) -> None:
    """os.stat and its kin take what they took, fail as they failed, and are in the sets that say what they can do."""
    exists("anything")
    (tmp_path / "x").write_text("abc")

    with open(tmp_path / "x") as file:
        assert os.stat(file.fileno()).st_size == 3
    assert os.stat("x", follow_symlinks=False).st_size == 3
    assert os.stat in os.supports_follow_symlinks
    assert os.stat in os.supports_fd
    with pytest.raises(FileNotFoundError, match="nowhere"):
        os.stat("nowhere")


@gpc.task
def newest(names: tuple[str, ...]) -> str:
    read = {name: Path(name).read_text() for name in names}
    return read[max(read, key=os.path.getmtime)]


def test_times_count_beside_content(tmp_path: Path) -> None:
    """A file that is read and asked for its time counts by both."""
    for name, at in (("a", 100), ("b", 200)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (at, at))
    assert newest(("a", "b")) == "b"
    assert ran(lambda: newest(("a", "b"))) == ("b", False)
    os.utime(tmp_path / "a", (300, 300))
    assert newest(("a", "b")) == "a"


@gpc.task
def where(name: str) -> str:
    return Path(name).resolve().name


def test_where_a_link_leads(tmp_path: Path) -> None:
    """A link that is looked through counts by where it leads."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
    (tmp_path / "current").symlink_to("v1")
    assert where("current") == "v1"
    assert ran(lambda: where("current")) == ("v1", False)
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("v2")
    assert where("current") == "v2"


@gpc.task
def mode(name: str) -> bool:
    return bool(os.stat(name).st_mode & 0o100)


def test_who_may_run_it(tmp_path: Path) -> None:
    """A file's mode is part of what os.stat() tells."""
    (tmp_path / "tool").write_text("")
    (tmp_path / "tool").chmod(0o644)
    assert mode("tool") is False
    (tmp_path / "tool").chmod(0o755)
    assert mode("tool") is True


@gpc.task
def program(name: str) -> str | None:
    return shutil.which(name)


def test_where_a_program_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """shutil.which() counts by what it tells: another PATH that leads to the same program is nothing to the call."""
    for folder in ("usual", "first", "empty"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "usual"))
    assert program("some-tool") is None
    for folder in ("usual", "first"):
        (tmp_path / folder / "some-tool").touch(0o755)

    assert program("some-tool") == str(tmp_path / "usual" / "some-tool")
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / folder) for folder in ("empty", "usual")))
    assert ran(lambda: program("some-tool")) == (str(tmp_path / "usual" / "some-tool"), False)
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / folder) for folder in ("first", "usual")))
    assert program("some-tool") == str(tmp_path / "first" / "some-tool")


def test_programs_of_the_system_are_the_environment(tmp_path: Path) -> None:
    """A program given by its path counts by its content, like any file; the system's and Python itself do not."""
    (tmp_path / "tool").write_text("#!/bin/sh\necho 1\n")
    (tmp_path / "tool").chmod(0o755)
    watch = Watch(str(tmp_path), str(tmp_path / "store")).start()
    for command in ([sys.executable, "-c", "1"], ["/bin/true"], ["./tool"]):
        subprocess.run(command, check=True, capture_output=True)
    watch.stop()

    assert [(one.kind, one.name) for one in watch.inputs()] == [("file", "tool")]
