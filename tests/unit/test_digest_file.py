"""Files and directories as values: content, executable bits, names within a directory, links as text."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from gpucache import errors
from gpucache.digests import Dir, File, encode, file, file_digest, tree_digest, value_digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "sub").mkdir(parents=True)
    (made / "a").write_bytes(b"a")
    (made / "sub" / "b").write_bytes(b"b")
    return made


def test_a_file_is_its_content(tmp_path: Path) -> None:
    """Neither its name, nor its place, nor its times count; its content and its executable bit do."""
    one, two = tmp_path / "one.txt", tmp_path / "two.bin"
    for path in (one, two):
        path.write_bytes(b"same")
    os.utime(two, (1, 1))
    first = value_digest(File(one))

    assert value_digest(File(two)) == value_digest(File(str(two))) == first
    two.chmod(0o755)
    executable = value_digest(File(two))
    two.write_bytes(b"else")
    assert len({first, executable, value_digest(File(two)), value_digest(one), value_digest(b"same")}) == 5


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 4 * 2**20, 4 * 2**20 + 1, 9_000_001])
def test_a_file_is_digested_in_pieces(tmp_path: Path, size: int) -> None:
    """As its bytes would be in one piece."""
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)

    assert file_digest(tmp_path / "f") == tree_digest(data)


def test_a_file_that_hides_its_size_is_read() -> None:
    """/proc says that its files are empty."""
    path = Path("/proc/version")
    if not path.exists():
        pytest.skip("no /proc here")

    assert file_digest(path) == tree_digest(path.read_bytes())


def test_two_writes_within_a_tick_are_two_contents(tmp_path: Path) -> None:
    """The same size, inode and times: a digest of what was written just now is not remembered."""
    path = tmp_path / "f"
    for number in range(200):
        data = b"%03d" % number
        with path.open("r+b" if number else "wb") as opened:
            opened.write(data)
        assert file_digest(path) == tree_digest(data)


def test_a_settled_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest is remembered by size, times and inode, until one of them changes."""
    path = tmp_path / "f"
    path.write_bytes(b"one")
    monkeypatch.setattr(file, "_SETTLED_NS", -(10**12))
    first = file_digest(path)
    monkeypatch.setattr(file, "_digest_of", lambda _: b"read again")

    assert file_digest(path) == first
    path.write_bytes(b"three")
    assert file_digest(path) == b"read again"


EDITS: dict[str, Callable[[Path], object]] = {
    "content": lambda folder: (folder / "sub" / "b").write_bytes(b"c"),
    "a new file": lambda folder: (folder / "c").write_bytes(b""),
    "a file renamed": lambda folder: (folder / "a").rename(folder / "z"),
    "a file moved": lambda folder: (folder / "a").rename(folder / "sub" / "a"),
    "an empty directory": lambda folder: (folder / "empty").mkdir(),
    "an executable bit": lambda folder: (folder / "a").chmod(0o755),
    "a link": lambda folder: (folder / "link").symlink_to("a"),
    "a link to itself": lambda folder: (folder / "loop").symlink_to("."),
    "a file gone": lambda folder: (folder / "a").unlink(),
}


def test_every_edit_of_a_directory_counts(tmp_path: Path, folder: Path) -> None:
    """No two of these directories are the same, nor the one that nobody touched."""
    import shutil

    found = {"untouched": value_digest(Dir(folder))}
    for name, edit in EDITS.items():
        copy = tmp_path / name
        shutil.copytree(folder, copy, symlinks=True)
        assert value_digest(Dir(copy)) == found["untouched"]
        edit(copy)
        found[name] = value_digest(Dir(copy))

    assert len(set(found.values())) == len(found)


def test_what_is_not_there_is_refused_by_its_path(tmp_path: Path, folder: Path) -> None:
    """A missing file, a directory given as a file and the other way round, a socket."""
    for value in (File(tmp_path / "none"), File(folder), Dir(tmp_path / "none"), Dir(folder / "a")):
        with pytest.raises(errors.NotIdentifiable, match="there is no"):
            value_digest([value])
    os.mkfifo(folder / "pipe")
    with pytest.raises(errors.NotIdentifiable, match="neither a file nor a directory"):
        value_digest(Dir(folder))


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every directory")
def test_a_directory_that_can_not_be_read_is_an_error(folder: Path) -> None:
    """It is not passed over in silence."""
    (folder / "sub").chmod(0)
    try:
        with pytest.raises(PermissionError):
            value_digest(Dir(folder))
    finally:
        (folder / "sub").chmod(0o700)


def test_an_unreadable_directory_is_not_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for root: os.walk() would be silent about what it can't list."""
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        list(Dir(folder).entries())


def test_a_file_is_a_path_and_can_be_read(tmp_path: Path) -> None:
    """Whatever takes a path takes a File; it survives a pickle; a File is not a Dir."""
    value = File(tmp_path / "f")
    value.path.write_text("text")

    assert (value.read_text(), value.read_bytes(), os.fspath(value)) == ("text", b"text", str(tmp_path / "f"))
    with value.open() as opened:
        assert opened.read() == b"text"
    assert pickle.loads(pickle.dumps(value)) == value
    assert value != Dir(tmp_path / "f")
    assert repr(value).startswith("File('/")


class Labelled(File):
    """Carries more than a path."""


def test_a_subclass_counts_with_what_it_carries(tmp_path: Path) -> None:
    """But its path still does not."""
    values = [File(tmp_path / "a"), Labelled(tmp_path / "a"), Labelled(tmp_path / "b"), Labelled(tmp_path / "b")]
    for value in values:
        value.path.write_bytes(b"x")
    values[3].label = 1  # type: ignore[attr-defined]

    digests = [value_digest(value) for value in values]

    assert digests[1] == digests[2]
    assert len(set(digests)) == 3
    assert encode(values[:1]) != encode(values[1:2])
