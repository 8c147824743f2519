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
