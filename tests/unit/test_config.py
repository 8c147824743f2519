"""Settings: what is taken, from the environment and from Python, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

import gpucache as gpc
from gpucache.config import Config
from gpucache.errors import BadSetting


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("runtime", "cloud"),
        ("runtime", "ray://"),
        ("runtime", 3),
        ("store", 5),
        ("max_workers", "many"),
        ("max_workers", 1.5),
        ("max_workers", -1),
        ("strict", 1),
        ("warm_wait_s", "soon"),
        ("colour", "red"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(name: str, value: object, tmp_path: Path) -> None:
    """init() says which setting, what it was given and what it takes; nothing changes."""
    gpc.init(store=tmp_path / "store", runtime="inline")

    with pytest.raises(BadSetting, match=f"{name}="):
        gpc.init(**{name: value})  # type: ignore[arg-type]

    assert gpc.task(lambda: 3)() == 3
    gpc.shutdown()


def test_texts_are_read_as_in_the_environment() -> None:
    """So that what came from a file or a command line can be handed on; whole numbers do for seconds."""
    chosen = Config.from_env({}, max_workers="4", strict="1", warm_wait_s=2, remote_trusted_keys=["ab" * 32, "cd" * 32])

    assert (chosen.max_workers, chosen.strict, chosen.warm_wait_s) == (4, True, 2)
    assert chosen.remote_trusted_keys == f"{'ab' * 32},{'cd' * 32}"


@pytest.mark.parametrize("name", ["store_max_bytes", "resident_max_bytes", "inline_max_bytes"])
def test_sizes_are_written_as_for_tasks(name: str) -> None:
    """`GPUCACHE_STORE_MAX_BYTES=1GiB` and `init(store_max_bytes="1GiB")` are what `gpu_memory="1GiB"` is; so is a number."""
    for size, size_bytes in (("1GiB", 2**30), ("500MB", 500_000_000), ("1.5 KiB", 1536), ("1024", 1024), ("0", 0)):
        assert getattr(Config.from_env({f"GPUCACHE_{name.upper()}": size}), name) == size_bytes
        assert getattr(Config.from_env({}, **{name: size}), name) == size_bytes
    assert getattr(Config.from_env({}, **{name: 2**20}), name) == 2**20

    for wrong in ("1 gigabyte", "-1", -1, 1.5, True, ["1GiB"]):
        with pytest.raises(BadSetting, match=f"{name}=.*a size such as '6GiB', '500MB' or a number of bytes"):
            Config.from_env({}, **{name: wrong})
    with pytest.raises(BadSetting, match="a size such as '6GiB'"):
        Config.from_env({f"GPUCACHE_{name.upper()}": "many"})
