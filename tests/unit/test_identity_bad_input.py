"""Values that lie, loop, change or hide: each ends in the right digest, or in an error that says where and what to do."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpucache import errors
from gpucache.digests import Dir, File, file, value_digest
from gpucache.fingerprint import Fingerprints


class Liar:
    """Equal to everything, hashes like everything, and shows itself as something else."""

    def __init__(self, x: object) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "0"

    def __len__(self) -> int:
        return 10**9

    def __bool__(self) -> bool:
        raise AssertionError("nobody asked for truth")


class Furious:
    """Raises whatever is asked of it but for its state."""

    def __init__(self, x: object) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __hash__(self) -> int:
        raise AssertionError("hashed")

    def __repr__(self) -> str:
        raise AssertionError("shown")


class Bomb:
    """What pickle would run when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (self.path,)


class Broken:
    def __reduce__(self) -> Any:
        raise OSError("no connection")


class Nonsense:
    def __reduce__(self) -> Any:
        return 42


class Ghost:
    """Answers to every name."""

    def __init__(self, x: object) -> None:
        self.__dict__["x"] = x

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Ghost(name)


class Hidden:
    """Raises when it is asked for its __dict__."""

    def __init__(self, x: object) -> None:
        self.x = x

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            raise ValueError("no attributes here")
        return object.__getattribute__(self, name)


def test_an_object_that_hides_its_attributes_from_a_task() -> None:
    """What looks for code within a value does not run the value's own code."""
    one, again, other = (value_digest([Hidden(x)], symbols=Fingerprints()) for x in (1, 1, 2))

    assert one == again != other


def test_what_code_in_an_argument_reads_is_named_with_the_place_of_the_code() -> None:
    """The path leads through the argument to the code, and on to what that reads."""
    lock = threading.Lock()
    batch = {"labels": [1, lambda: lock]}

    with pytest.raises(errors.NotIdentifiable) as refused:
        value_digest(batch, symbols=Fingerprints(), name="batch")
    assert refused.value.path.startswith("batch['labels'][1] -> ")
    assert refused.value.path.endswith(".lock")


@pytest.mark.parametrize("kind", [Liar, Furious, Ghost])
def test_an_object_is_its_state_whatever_it_says(kind: Callable[[object], object]) -> None:
    """Neither ==, hash, len, truth nor repr is asked."""
    one, again, other = (value_digest([kind(x)]) for x in (1, 1, 2))

    assert one == again != other


def test_what_reduce_names_is_not_called(tmp_path: Path) -> None:
    """A value is taken apart, never put together: nothing that it names runs."""
    target = str(tmp_path / "made")

    assert value_digest(Bomb(target)) == value_digest(Bomb(target)) != value_digest(Bomb(target + "2"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("value", "why"), [(Broken(), "OSError: no connection"), (Nonsense(), "__reduce")])
def test_a_reduce_that_fails_is_named(value: object, why: str) -> None:
    """With the way to it, its own problem, and the remedy."""
    with pytest.raises(errors.NotIdentifiable, match=why) as refused:
        value_digest({"labels": [0, 1, 2, value]}, name="batch")

    assert refused.value.path == "batch['labels'][3]"
    assert "register its type" in str(refused.value)


def test_a_furious_object_is_refused_like_any_other() -> None:
    """The error about it does not ask it for its repr."""
    furious = Furious(lambda: 1)

    with pytest.raises(errors.NotIdentifiable) as refused:
        value_digest({"a": furious}, name="batch")

    assert refused.value.path == "batch['a'].x"


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Loops of links end; where they point counts."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    before = value_digest(Dir(tmp_path))

    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("up")

    assert value_digest(Dir(tmp_path)) != before


@pytest.mark.parametrize("kind", [File, Dir])
def test_a_link_to_itself_is_nothing(tmp_path: Path, kind: type[File]) -> None:
    """It is named by its path."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    with pytest.raises(errors.NotIdentifiable, match=r"there is no .*loop") as refused:
        value_digest([kind(loop)], name="batch")

    assert refused.value.path == "batch[0]"


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: it is read again. All the time: it is refused by its path."""
    path = tmp_path / "busy"
    path.write_bytes(b"0")
    digest_of, writes = file._digest_of, iter(range(10))

    def slowly(opened: Any) -> bytes:
        found = digest_of(opened)
        for number in writes:
            path.write_bytes(b"1" * (number + 2))
            break
        return found

    monkeypatch.setattr(file, "_digest_of", slowly)
    with pytest.raises(errors.NotIdentifiable, match="changes while it is read; wait until it is written"):
        value_digest(File(path))

    writes = iter([7])
    assert value_digest(File(path)) == value_digest(File(path))


def test_a_long_cycle_is_named_shortly() -> None:
    """A path through a hundred levels says its beginning and its end."""
    value: list[Any] = []
    inner = value
    for _ in range(100):
        inner.append([])
        inner = inner[0]
    inner.append(value)

    with pytest.raises(errors.NotIdentifiable, match="contains itself") as refused:
        value_digest(value, name="batch")

    assert refused.value.path.startswith("batch[0][0]")
    assert "..." in refused.value.path
    assert len(refused.value.path) < 100
