"""The values of records by key, for small ones the shortest way there is: what a hit of a few numbers and texts costs.

What can't be changed by whoever gets it, numbers, texts and tuples of them, is decoded once in a process. Whether the record is
still the same is looked up each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gpucache import codec
from gpucache.store._rows import Kept
from gpucache.store.record import NOT_A_ROW, Manifest

ROW_MAX_BYTES, MAX_COUNT = 1024, 16384
"""Of small values decoded in this process, so many are kept: some 20 MB at most."""


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of a Record: to decode the rest costs as much again."""

    key: msgspec.Raw
    task: msgspec.Raw
    result: Manifest


_decode = msgspec.msgpack.Decoder(_Answer).decode


def answers(row_of: Callable[[bytes], bytes | None], read: Callable[[Manifest], Any]) -> Kept:
    """The value of a call's record by its key, as (value,); None for one of a gpucache that knows other records.

    Args:
        row_of: The row of a record.
        read: The value of a manifest. What it raises, get() raises.
    """

    def answer_of(row: bytes) -> tuple[tuple[Any] | None, bool]:
        try:
            result = _decode(row).result
        except NOT_A_ROW:
            return None, False
        value = codec.NO_SCALARS if result.parts else codec.decode_scalars(result.codec, result.meta)
        return ((read(result),), False) if value is codec.NO_SCALARS else ((value,), True)

    return Kept(row_of, answer_of, ROW_MAX_BYTES, MAX_COUNT)
