"""Parts of values compressed for the way to a bucket and back, where that pays. On either machine they lie as they are.

On a local disk it pays nowhere (benchmarks/results/codecs.json): the page cache takes 4.6 GB/s, the disk 1.6 and gives 3, zstd
packs 0.3 to 0.6 GB/s. A line of a gigabit moves 0.125 GB/s.

It pays if the seconds that packing and unpacking take are fewer than those in which the line would move the bytes that are saved, once
up and once down (the reader's line is taken for ours). All of these are measured: three pieces of 64 KiB of the part itself are
packed and unpacked, and what went up before says what the line moves. So random bytes and trained weights go as they are, for the
price of the trial (0.05 ms where nothing can be saved), and so does everything to a bucket that is a directory here.

zstd comes from pyarrow, which is there anyway; importing it takes 130 ms, once, in a thread that sends or fetches.

Layout: for each 256 KiB of content its packed length (4 bytes, little endian) and a zstd frame. So whoever unpacks makes room
for 256 KiB at once, whatever the bytes claim, and each must come out at its exact size. Nothing is known of the content before it is
out; whoever unpacks must check it against its digest then.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from gpucache.errors import RecordCorrupt

BLOCK_BYTES = 256 * 2**10
RATIO_MAX = 10_000
"""A block of zeros takes 30 bytes. What claims to hold more than this is refused before it is unpacked."""

LEVEL = 1
FROM_BYTES, TO_BYTES = 64 * 2**10, 256 * 2**20
"""Smaller parts are moved within a request's own time; larger ones would have to be held in memory packed."""

SAMPLES, SAMPLE_BYTES = 3, 64 * 2**10
SAVES_AT_LEAST = 0.05

GIGABIT_S_PER_BYTE, DIRECTORY_S_PER_BYTE = 8e-9, 0.6e-9
"""What a line is taken for until something went over it, and what a directory is (a disk's 1.6 GB/s)."""

_TOLD_FROM_BYTES = 256 * 2**10
_WEIGHT = 0.3
_SLOWER_AT_MOST = 4.0
"""What one request may say: a connection that was made first, or was held up, is not what the line moves."""

_length = struct.Struct("<I")

Clock = Callable[[], float]


class Line:
    """What the way up moves, from what it moved: the time of large requests, less that of a small one. Any thread may call it."""

    def __init__(self, s_per_byte: float = GIGABIT_S_PER_BYTE) -> None:
        self.s_per_byte = s_per_byte
        self._request_s = 0.0
        self._is_guess = True
        self._lock = threading.Lock()

    def moved(self, nbytes: int, seconds: float) -> None:
        """So many bytes went up in so many seconds."""
        with self._lock:
            if nbytes <= FROM_BYTES:
                self._request_s = seconds if not self._request_s else min(seconds, self._request_s)
            elif nbytes >= _TOLD_FROM_BYTES:
                seconds_moving = max(seconds - self._request_s, 0.0)
                measured = min(seconds_moving / nbytes, _SLOWER_AT_MOST * self.s_per_byte)
                self.s_per_byte += (1.0 if self._is_guess else _WEIGHT) * (measured - self.s_per_byte)
                self._is_guess = False


class Trial(NamedTuple):
    """What packing did to a sample of a part.

    Attributes:
        saved: Which share of its bytes.
        s_per_byte: What packing and unpacking a byte took.
    """

    saved: float
    s_per_byte: float


def pays(trial: Trial, line_s_per_byte: float) -> bool:
    """Whether packing, sending, fetching and unpacking is done sooner than sending and fetching."""
    return trial.saved >= SAVES_AT_LEAST and 2 * line_s_per_byte * trial.saved > trial.s_per_byte


def tried(view: memoryview, clock: Clock = time.perf_counter) -> Trial:
    """Pack pieces of the beginning, the middle and the end."""
    zstd = _zstd()
    step = max((view.nbytes - SAMPLE_BYTES) // (SAMPLES - 1), 1)
    pieces = [view[at : at + SAMPLE_BYTES] for at in range(0, view.nbytes - SAMPLE_BYTES + 1, step)]
    began = clock()
    frames = [(piece.nbytes, zstd.compress(piece)) for piece in pieces]
    for nbytes, frame in frames:
        zstd.decompress(frame, nbytes)
    took_s = clock() - began
    nbytes = sum(piece.nbytes for piece in pieces)
    return Trial(1 - sum(frame.size for _, frame in frames) / nbytes, took_s / nbytes)


def packed_if_it_pays(data: Any, line: Line) -> bytes | None:
    """The part as it should travel; None: as it is."""
    view = memoryview(data).cast("B")
    if not FROM_BYTES <= view.nbytes <= TO_BYTES or not pays(tried(view), line.s_per_byte):
        return None
    packed = pack(view)
    return packed if len(packed) <= (1 - SAVES_AT_LEAST) * view.nbytes else None  # the sample was not like the rest


def pack(view: memoryview) -> bytes:
    """The bytes, packed."""
    zstd, pieces = _zstd(), list[Any]()
    for at in range(0, view.nbytes, BLOCK_BYTES):
        frame = zstd.compress(view[at : at + BLOCK_BYTES])
        pieces += [_length.pack(frame.size), frame]
    return b"".join(pieces)


class Unpacker:
    """Unpacks a part as it arrives, and gives it on piece by piece. What comes out is not checked yet.

    Args:
        name: What the part is called in errors.
        nbytes: Its size.
        put: Takes the pieces, in order.
    """

    def __init__(self, name: str, nbytes: int, put: Callable[[Any], object]) -> None:
        self._name, self._left, self._put = name, nbytes, put
        self._waiting = bytearray()
        self._zstd = _zstd()

    def begin(self, packed_nbytes: int) -> None:
        """So many bytes will come.

        Raises:
            RecordCorrupt: They can't hold the part.
        """
        if not 0 <= self._left <= RATIO_MAX * packed_nbytes:
            most = RATIO_MAX * packed_nbytes
            raise RecordCorrupt(self._name, f"{packed_nbytes:,} bytes can't hold {self._left:,}, {most:,} at most")

    def feed(self, arrived: Any) -> None:
        """Take bytes as they come.

        Raises:
            RecordCorrupt: They are not what pack() makes of a part of that size.
        """
        self._waiting += arrived
        at = 0
        while (end := self._end_of_block(at)) is not None:
            nbytes = min(BLOCK_BYTES, self._left)
            if not nbytes:
                raise RecordCorrupt(self._name, "it is longer than its call says")
            try:
                block = self._zstd.decompress(bytes(self._waiting[at + _length.size : end]), nbytes)
            except (OSError, ValueError) as problem:
                raise RecordCorrupt(self._name, f"it can't be unpacked: {problem}") from problem
            self._put(memoryview(block))
            self._left -= nbytes
            at = end
        del self._waiting[:at]

    def close(self) -> None:
        """Nothing more comes.

        Raises:
            RecordCorrupt: Something is missing, or left over.
        """
        if self._left or self._waiting:
            raise RecordCorrupt(self._name, f"it ends {self._left:,} bytes too early")

    def _end_of_block(self, at: int) -> int | None:
        """Where the block that begins there ends; None: it has not come whole."""
        if len(self._waiting) < at + _length.size:
            return None
        length: int = _length.unpack_from(self._waiting, at)[0]
        if not 0 < length <= 2 * BLOCK_BYTES:
            raise RecordCorrupt(self._name, f"a block of {length:,} bytes, at most {2 * BLOCK_BYTES:,}")
        end = at + _length.size + length
        return end if end <= len(self._waiting) else None


def unpacked(name: str, nbytes: int, packed: Any) -> bytes:
    """A part out of its packed bytes, not checked yet.

    Raises:
        RecordCorrupt: They are not what pack() makes of a part of that size.
    """
    pieces: list[Any] = []
    unpacker = Unpacker(name, nbytes, pieces.append)
    unpacker.begin(memoryview(packed).nbytes)
    unpacker.feed(packed)
    unpacker.close()
    return b"".join(pieces)


def _zstd() -> Any:
    import pyarrow as pa

    return pa.Codec("zstd", compression_level=LEVEL)
