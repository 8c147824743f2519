"""Parts compressed for the way: only where that pays, back exactly, and hostile bytes take no more than they are."""

from __future__ import annotations

import json
import os
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.errors import RecordCorrupt
from gpucache.store.remote import packing
from gpucache.store.remote.packing import (
    BLOCK_BYTES,
    FROM_BYTES,
    RATIO_MAX,
    TO_BYTES,
    Line,
    Trial,
    Unpacker,
    pack,
    packed_if_it_pays,
    pays,
    tried,
    unpacked,
)

TEXT = "".join(random.Random(0).choices("etaoin shrdlu", k=700_000)).encode()
SLOW, FAST = Line(s_per_byte=1e-6), Line(s_per_byte=1e-12)


def fed(packed: bytes, nbytes: int, steps: int) -> bytes:
    """Unpacked as it arrives in pieces of so many bytes."""
    pieces: list[bytes] = []
    unpacker = Unpacker("part", nbytes, lambda piece: pieces.append(bytes(piece)))
    unpacker.begin(len(packed))
    for at in range(0, len(packed), steps):
        unpacker.feed(packed[at : at + steps])
    unpacker.close()
    return b"".join(pieces)


@given(st.binary(max_size=3000), st.integers(1, 700), st.integers(1, 400))
def test_what_is_packed_comes_back(content: bytes, times: int, steps: int) -> None:
    """Any bytes, repeated over blocks or not; whole, or in whatever pieces they arrive."""
    whole = content * times
    packed = pack(memoryview(whole))

    assert unpacked("part", len(whole), packed) == whole
    assert fed(packed, len(whole), max(steps, len(packed) // 50)) == whole


def test_the_layout_is_the_one_that_others_read() -> None:
    """Golden bytes: a length and a zstd frame for each 256 KiB. Frames of another zstd may differ, and are read all the same."""
    frame = bytes.fromhex("28b52ffd2008410000") + b"gpucache"  # raw block, as RFC 8878 has it
    packed = struct.pack("<I", len(frame)) + frame

    assert unpacked("part", 8, packed) == b"gpucache"
    assert pack(memoryview(b"gpucache"))[:8] == struct.pack("<I", len(frame)) + b"\x28\xb5\x2f\xfd"
    (length,) = struct.unpack_from("<I", pack(memoryview(bytes(BLOCK_BYTES))))
    assert len(pack(memoryview(bytes(3 * BLOCK_BYTES)))) == 3 * (4 + length)


def test_a_block_of_zeros_stays_within_the_ratio() -> None:
    """What we pack ourselves is never refused, however much it shrinks."""
    assert BLOCK_BYTES <= RATIO_MAX * len(pack(memoryview(bytes(BLOCK_BYTES))))


@pytest.mark.parametrize(
    ("trial", "line_s_per_byte", "wanted"),
    [
        (Trial(0.6, 3e-9), 8e-9, True),  # text over a gigabit: 9.6 ns a byte saved for 3
        (Trial(0.6, 3e-9), 1e-9, False),  # over 8 gigabits: 1.2 for 3
        (Trial(0.07, 1.4e-9), 8e-9, False),  # floats: 1.1 for 1.4
        (Trial(0.07, 1.4e-9), 40e-9, True),
        (Trial(0.04, 1e-12), 1.0, False),  # hardly anything
    ],
)
def test_it_pays_if_more_seconds_are_saved_than_spent(trial: Trial, line_s_per_byte: float, wanted: bool) -> None:
    """Both ways over the line count."""
    assert pays(trial, line_s_per_byte) == wanted


def test_a_trial_is_measured_on_the_part_itself() -> None:
    """Beginning, middle and end; the time by the clock that is given."""
    ticks = iter([0.0, 0.1])
    trial = tried(memoryview(bytes(200_000) + os.urandom(400_000)), lambda: next(ticks))

    assert trial.s_per_byte == pytest.approx(0.1 / (3 * packing.SAMPLE_BYTES))
    assert 0.3 < trial.saved < 0.35


@pytest.mark.parametrize("line", [SLOW, FAST])
def test_what_can_not_be_packed_goes_as_it_is(line: Line) -> None:
    """Random bytes, what is small, and what is too large to be held twice."""
    assert packed_if_it_pays(os.urandom(10 * FROM_BYTES), line) is None
    assert packed_if_it_pays(bytes(FROM_BYTES - 1), line) is None
    assert packed_if_it_pays(np.zeros(TO_BYTES + 1, np.uint8), line) is None


def test_a_sample_that_misleads_costs_nothing_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was packed and is as large as before goes as it is."""
    monkeypatch.setattr(packing, "tried", lambda view: Trial(0.9, 0.0))

    assert packed_if_it_pays(os.urandom(10 * FROM_BYTES), SLOW) is None


@pytest.mark.parametrize("content", [TEXT, json.dumps(list(range(200_000))).encode(), np.zeros(200_000)])
def test_what_can_be_packed_is_where_the_line_is_slow(content: object) -> None:
    """And is not where it is fast."""
    view = memoryview(content).cast("B")  # type: ignore[arg-type]  # buffers all
    packed = packed_if_it_pays(content, SLOW)

    assert packed is not None
    assert len(packed) < 0.7 * view.nbytes
    assert unpacked("part", view.nbytes, packed) == view
    assert packed_if_it_pays(content, FAST) is None


def test_a_line_is_what_it_moved() -> None:
    """Large requests less the time of a small one; one that was held up counts little, and none that is small counts."""
    line = Line()
    line.moved(1000, 0.03)
    for _ in range(30):
        line.moved(4 * 2**20, 0.03 + 4 * 2**20 * 2e-9)
    line.moved(200_000, 9.0)

    assert line.s_per_byte == pytest.approx(2e-9, rel=0.01)

    line.moved(2**20, 9.0)
    assert line.s_per_byte < 4e-9
    for _ in range(30):
        line.moved(2**20, 0.03 + 2**20 * 1e-7)
    assert line.s_per_byte == pytest.approx(1e-7, rel=0.01)


def test_the_first_request_says_more_than_a_guess() -> None:
    """A line of ten gigabits is known for one at once; a slow one is, in a few."""
    fast, slow = Line(), Line()
    fast.moved(2**20, 2**20 * 0.8e-9)
    slow.moved(2**20, 10.0)

    assert fast.s_per_byte == pytest.approx(0.8e-9)
    assert slow.s_per_byte == pytest.approx(4 * packing.GIGABIT_S_PER_BYTE)


# ---------------------------------------------------------------- hostile bytes


@pytest.mark.parametrize("count", [3000])
def test_damaged_bytes_are_refused_or_of_the_right_size(count: int) -> None:
    """Changed, cut, doubled, swapped: RecordCorrupt, or content for its digest to tell; never another error, nor another size."""
    chance = random.Random(1)
    content = TEXT[: BLOCK_BYTES + 5000]
    packed = pack(memoryview(content))
    refused = 0
    for _ in range(count):
        hostile = bytearray(packed)
        match chance.randrange(4):
            case 0:
                hostile[chance.randrange(len(hostile))] ^= 1 << chance.randrange(8)
            case 1:
                del hostile[chance.randrange(len(hostile)) :]
            case 2:
                at = chance.randrange(40)
                hostile[at : at + 4] = chance.randbytes(4)
            case 3:
                hostile += hostile[chance.randrange(len(hostile)) :]
        try:
            assert len(unpacked("part", len(content), bytes(hostile))) == len(content)
        except RecordCorrupt:
            refused += 1
    assert refused > count // 3, "hardly anything was damaged: nothing was tried"


def test_a_claim_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that say that they hold terabytes: in the call, in a frame's header, as a block's length."""
    zeros = pack(memoryview(bytes(BLOCK_BYTES)))
    asked_bytes: list[int] = []

    class Watched:
        zstd = packing._zstd()

        def decompress(self, frame: bytes, nbytes: int) -> object:
            asked_bytes.append(nbytes)
            return self.zstd.decompress(frame, nbytes)

    monkeypatch.setattr(packing, "_zstd", Watched)
    for nbytes, packed in [
        (2**44, zeros),
        (-1, zeros),
        (2**62, b""),
        (RATIO_MAX, zeros[:1]),
        (BLOCK_BYTES, struct.pack("<I", 2**32 - 1) + b"x" * 1000),
        (BLOCK_BYTES, struct.pack("<I", 0) * 10),
        (BLOCK_BYTES, struct.pack("<I", 17) + bytes.fromhex("28b52ffde0ffffffffffffff7f") + b"xxxx"),
        (BLOCK_BYTES - 1, zeros),
        (BLOCK_BYTES + 1, zeros),
        (BLOCK_BYTES, zeros + b"x"),
        (BLOCK_BYTES, zeros * 2),
    ]:
        with pytest.raises(RecordCorrupt):
            unpacked("part", nbytes, packed)
    assert max(asked_bytes) <= BLOCK_BYTES
