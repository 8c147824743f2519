"""What a value is: every kind of value, each different from every other, each the same when it is made again."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import digest_values
import pytest
from digest_values import PICKLED, VALUES

from gpucache.digests import canonical, encode, value_digest

GOLDEN = Path(__file__).parents[1] / "golden" / "digests.json"


def test_no_two_different_values_have_one_digest() -> None:
    """Of every kind that we know, no two that differ in anything: the worst bug there is."""
    found: dict[bytes, list[str]] = {}
    for name, make in VALUES.items():
        found.setdefault(value_digest(make()), []).append(name)

    assert [names for names in found.values() if len(names) > 1] == []


@pytest.mark.parametrize("name", VALUES)
def test_a_value_made_again_is_the_same(name: str) -> None:
    """Identity is content: not the object, nor what it shares with others."""
    make = VALUES[name]

    assert value_digest(make()) == value_digest(make())


@pytest.mark.parametrize("name", PICKLED)
def test_a_value_that_was_away_is_the_same(name: str) -> None:
    """What comes out of a pickle is what went in."""
    value = PICKLED[name]()

    assert value_digest(pickle.loads(pickle.dumps(value, protocol=5))) == value_digest(value)


@pytest.mark.parametrize("name", VALUES)
def test_the_kernel_writes_what_the_oracle_writes(name: str) -> None:
    """Cython and Python agree byte for byte, at the top and within containers."""
    for value in (VALUES[name](), [VALUES[name]()], {"k": (VALUES[name](),)}):
        assert encode(value) == canonical.encode(value)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_within_another_counts(name: str) -> None:
    """A container of a value is neither the value nor another container of it."""
    value = VALUES[name]()

    assert (
        len({value_digest(each) for each in (value, (value,), [value], {1: value}, ((value,),), (value, value))}) == 6
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "12345"])
def test_a_fresh_process_finds_the_same_digests(seed: str) -> None:
    """Under another hash seed, with nothing imported or interned before."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, digest_values.__file__], env=environment, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == digest_values.digests()


def test_digests_stay_what_they_are() -> None:
    """A digest is written into stores: changing one makes every stored value of the kind a stranger.

    If this is meant, raise the version in the key (memo/key.py) and run
    `PYTHONPATH=.:tests python tests/digest_values.py | python -m json.tool --sort-keys > tests/golden/digests.json`.
    """
    golden, now = json.loads(GOLDEN.read_text()), digest_values.digests()
    if sys.version_info >= (3, 14):  # there `int | None` is a typing.Union, and no longer a types.UnionType
        del golden["standard: int | None"], now["standard: int | None"]

    assert now == golden
