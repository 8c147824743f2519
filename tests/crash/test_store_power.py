"""Power cuts on ext4 and xfs: `durable` lost nothing that it acknowledged, and no durability gives a wrong value.

Skipped without root and loop mounts; the long run is `python -m tests.soak power`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from power_cuts import FILE_SYSTEMS, cut, why_not

from gpucache.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.mark.parametrize("durability", ["durable", "relaxed", "volatile"])
@pytest.mark.parametrize("kind", list(FILE_SYSTEMS))
def test_a_power_cut(tmp_path: Path, kind: str, durability: str) -> None:
    """What is on the disk at a random moment, mounted and opened: all of it if durable, right or absent otherwise."""
    if reason := why_not(kind):
        pytest.skip(reason)
    told = cut(tmp_path, kind, durability, seed=4)
    assert told.problems == []
    assert told.acknowledged > 0


def test_an_empty_marker_is_made_again(tmp_path: Path) -> None:
    """What a power cut left of a store whose marker was not synced is a store."""
    with Store(tmp_path / "store") as store:
        digest = store.put("kept")
    (tmp_path / "store" / "format.json").write_bytes(b"")
    with Store(tmp_path / "store") as store:
        assert store.get(digest) == "kept"
    assert (tmp_path / "store" / "format.json").read_bytes()
