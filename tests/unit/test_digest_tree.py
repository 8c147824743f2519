"""The tree of leaves: the kernel, with any number of threads, gives what the reference gives."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import xxhash

from gpucache.digests import Digest, combine, hash128, tree_digest, tree_digest_reference
from gpucache.digests._kernel import leaf_digests, root_digest

LEAF = 65536
SIZES = [
    0,
    1,
    16,
    17,
    240,
    241,
    LEAF - 1,
    LEAF,
    LEAF + 1,
    2 * LEAF,
    2 * LEAF + 7,
    40 * LEAF,
    40 * LEAF + 1,
    97 * LEAF - 1,
]


def some_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("threads", [0, 1, 2, 3, 8, 64, 1000])
def test_the_kernel_is_the_reference(size: int, threads: int) -> None:
    """At every edge of a leaf, whoever shares the work."""
    data = some_bytes(size)

    assert tree_digest(data, threads=threads) == tree_digest_reference(data)


@pytest.mark.parametrize("size", SIZES)
def test_leaves_and_root_make_the_tree(size: int) -> None:
    """A file is read a piece at a time, and a GPU may hash the leaves."""
    data = some_bytes(size)

    leaves = leaf_digests(data)

    assert len(leaves) == 16 * max(1, -(-size // LEAF))
    assert (root_digest(leaves, size) if size > LEAF else leaves) == tree_digest(data)


def test_one_byte_anywhere_counts() -> None:
    """First, last, and at the edges of leaves; and the length, where zeros are added."""
    data = bytearray(3 * LEAF)
    found = {
        tree_digest(data),
        tree_digest(bytes(3 * LEAF + 1)),
        tree_digest(bytes(3 * LEAF - 1)),
        tree_digest(bytes(4 * LEAF)),
    }
    places = [0, LEAF - 1, LEAF, 2 * LEAF, 3 * LEAF - 1]
    for place in places:
        data[place] = 1
        found.add(tree_digest(data))
        data[place] = 0

    assert len(found) == 4 + len(places)


def test_any_contiguous_buffer_is_taken_and_no_other() -> None:
    """By its bytes, whatever its items; a strided one is refused rather than read as if it were not."""
    array = np.arange(12.0).reshape(3, 4)

    assert tree_digest(array) == tree_digest(memoryview(array)) == tree_digest(array.tobytes())
    with pytest.raises((BufferError, ValueError)):
        tree_digest(array[:, ::2])
    with pytest.raises((BufferError, ValueError)):
        tree_digest(array.T)
    with pytest.raises(TypeError):
        tree_digest("text")  # type: ignore[arg-type]


def test_leaves_that_are_none_are_refused() -> None:
    """A root is over whole digests, at least one."""
    for wrong in (b"", b"x" * 15):
        with pytest.raises(ValueError, match="16 bytes each"):
            root_digest(wrong, 1)


def test_small_things_are_hashed_as_xxhash_does() -> None:
    """hash128 is plain XXH3-128, in its canonical form."""
    assert hash128(b"abc") == xxhash.xxh3_128_digest(b"abc")
    assert hash128(b"abc", 7) == xxhash.xxh3_128_digest(b"abc", seed=7)


def test_a_combination_knows_where_its_parts_end() -> None:
    """Keys made of joined strings collide; these don't, nor with a digest of the same bytes."""
    found = {
        combine(),
        combine(b""),
        combine(b"", b""),
        combine(b"ab", b"c"),
        combine(b"a", b"bc"),
        combine(b"abc"),
        hash128(b""),
    }

    assert len(found) == 7
    assert combine(*[b"x" * 100] * 100) == combine(*[b"x" * 100] * 100)
    with pytest.raises(TypeError, match="takes bytes"):
        combine("text")  # type: ignore[arg-type]


def test_a_digest_and_its_text() -> None:
    """What str() gives, parse() takes; the algorithm is said; others are refused by name."""
    digest = Digest("xxh3-128", hash128(b"abc"))

    assert Digest.parse(str(digest)) == Digest.parse(digest.hex) == digest
    assert str(digest) == f"xxh3-128:{digest.hex}"
    for wrong in (
        "",
        "abc",
        f"blake3:{digest.hex}",
        f"xxh3-128:{digest.hex}0",
        f"xxh3-128: {digest.hex[1:]}",
        "z" * 32,
    ):
        with pytest.raises(ValueError, match="is not a digest"):
            Digest.parse(wrong)


def test_the_tree_stays_what_it_is() -> None:
    """Golden vectors: the digests of blobs that lie in people's stores."""
    golden = json.loads((Path(__file__).parents[1] / "golden" / "trees.json").read_text())

    assert {
        str(size): tree_digest(bytes(range(256)) * (size // 256) + bytes(size % 256)).hex() for size in SIZES
    } == golden
