"""Files and directories laid out: contents as parts, and a description that can lead nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gpucache as gpc
from gpucache import codec
from gpucache.codec.file import decode_form
from gpucache.digests import value_digest
from gpucache.errors import NotStorable, RecordCorrupt


def test_a_file_is_its_content_name_and_mode(tmp_path: Path) -> None:
    """The part is the file itself, not a copy."""
    path = tmp_path / "tool"
    path.write_bytes(b"abc")
    path.chmod(0o755)

    encoded = codec.encode(gpc.File(path))
    form = decode_form(encoded.meta)

    assert (encoded.codec, encoded.pickled) == ("file", False)
    assert encoded.parts == (codec.FilePart(path),)
    assert encoded.nbytes == len(encoded.meta) + 3
    assert (form.is_dir, form.name, form.entries[0].executable) == (False, "tool", True)


def test_a_directory_is_all_that_is_in_it(tmp_path: Path) -> None:
    """Names (also those that are no text), modes, links as they are, also such as lead nowhere."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_bytes(b"c")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")

    encoded = codec.encode(gpc.Dir(tmp_path))
    entries = {entry.name: entry for entry in decode_form(encoded.meta).entries}

    assert set(entries) == {"b", "link", "loop", "sub/a.txt", "\udcff"}
    assert (entries["link"].link, entries["link"].part) == ("nowhere", -1)
    assert entries["loop"].link == "."
    assert encoded.parts[entries["sub/a.txt"].part] == codec.FilePart(tmp_path / "sub" / "a.txt")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A path without a file, a directory given as a file, and a pipe, whose content would be waited for without end."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(NotStorable, match="there is no file"):
        codec.encode(gpc.File(tmp_path / "none"))
    with pytest.raises(NotStorable, match="there is no file"):
        codec.encode(gpc.File(tmp_path))
    with pytest.raises(NotStorable, match="there is no directory"):
        codec.encode(gpc.Dir(tmp_path / "none"))
    with pytest.raises(NotStorable, match="neither a file nor a link"):
        codec.encode(gpc.Dir(tmp_path))


def test_a_subclass_of_file_is_refused(tmp_path: Path) -> None:
    """It would come back as a plain File."""

    class Mine(gpc.File):
        pass

    with pytest.raises(NotStorable, match="subclass"):
        codec.encode(Mine(tmp_path))


def _entry(name: bytes, part: int = 0, link: bytes | None = None) -> list[Any]:
    return [name, part, False, link]


@pytest.mark.parametrize(
    "form",
    [
        [True, b"d", [_entry(b"../x")]],
        [True, b"d", [_entry(b"/etc/x")]],
        [True, b"d", [_entry(b"a/../../x")]],
        [True, b"d", [_entry(b"a//x")]],
        [True, b"d", [_entry(b".")]],
        [True, b"d", [_entry(b"")]],
        [True, b"d", [_entry(b"a\0b")]],
        [True, b"d", [_entry(b"a", -1, b"/etc"), _entry(b"a/passwd")]],
        [True, b"d", [_entry(b"a"), _entry(b"a", 1)]],
        [True, b"d", [_entry(b"a", -2)]],
        [True, b"d", [_entry(b"a", -1), _entry(b"a/b")]],
        [False, b"f", [_entry(b"f", -1)]],
        [True, b"d", [_entry(b"a", 0, b"x")]],
        [True, b"d", [_entry(b"a", -1, b"")]],
        [True, b"..", []],
        [True, b"a/b", []],
        [False, b"f", []],
        [False, b"f", [_entry(b"f"), _entry(b"g", 1)]],
        [False, b"f", [_entry(b"f", -1, b"/etc/passwd")]],
        [True, b"d"],
        "d",
    ],
)
def test_a_description_that_leads_elsewhere_is_a_damaged_record(form: Any) -> None:
    """Names that climb, names below a link, two contents of one name: nothing is made of them."""
    with pytest.raises(RecordCorrupt):
        decode_form(msgspec.msgpack.encode(form))


def test_the_description_is_the_one_of_every_store_before(tmp_path: Path) -> None:
    """Golden bytes: what has no empty directory is described as ever; one is an entry without a part and without a link."""
    top = tmp_path / "d"
    top.mkdir()
    (top / "a").write_bytes(b"a")
    (top / "l").symlink_to("a")
    before = bytes.fromhex("93c3c4016492 94c4016100c2c0 94c4016cffc2c40161".replace(" ", ""))

    assert codec.encode(gpc.Dir(top)).meta == before
    assert [entry.name for entry in decode_form(before).entries] == ["a", "l"]

    (top / "e").mkdir()
    after = bytes.fromhex("93c3c4016493 94c4016100c2c0 94c40165ffc2c0 94c4016cffc2c40161".replace(" ", ""))
    assert codec.encode(gpc.Dir(top)).meta == after
    assert [entry.is_folder for entry in decode_form(after).entries] == [False, True, False]


def test_decode_says_that_files_are_made_by_the_store(tmp_path: Path) -> None:
    """They need a place; without one there is no value."""
    (tmp_path / "f").write_bytes(b"x")
    encoded = codec.encode(gpc.File(tmp_path / "f"))

    with pytest.raises(RecordCorrupt, match="made again by a store"):
        codec.decode("file", encoded.meta, lambda *_: b"x", allow_pickle=True)


@pytest.mark.parametrize("is_dir", [False, True])
def test_a_file_whose_part_is_missing_is_damaged(tmp_path: Path, is_dir: bool) -> None:
    """A manifest with fewer parts than its entries name, whether or not the file was made before."""
    path = tmp_path / "a" if is_dir else tmp_path / "a.txt"
    if is_dir:
        path.mkdir()
    (path / "b.txt" if is_dir else path).write_bytes(b"x" * 20_000)
    value = gpc.Dir(path) if is_dir else gpc.File(path)
    with gpc.Store(tmp_path / "store") as store:
        manifest = store.write(value, value_digest(value))
        forged = msgspec.structs.replace(manifest, parts=())
        for _ in range(2):
            with pytest.raises(RecordCorrupt, match="one of its parts is missing"):
                store.read(forged)
            store.read(manifest)
