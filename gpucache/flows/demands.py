"""What calls of each task took, kept in the store, and what the next one asks for: gpu_memory="auto".

One row for each call, so that writers in many processes need not agree; kept by the task's name, so that an edit to its code
does not begin anew.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from gpucache.digests import hash128
from gpucache.errors import StoreFull, StoreUnusable
from gpucache.flows.future import Future, leaves_in
from gpucache.placement.learned import KEPT, Estimate, Observation, estimate

if TYPE_CHECKING:
    from gpucache.store import Store

TABLE = "demands"
_SPARE = 32
"""Rows beyond those that are looked at before the oldest are dropped."""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    input_bytes: int
    peak_bytes: int
    seconds: float
    ran_out: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode


def observe(store: Store, task: str, seen: Observation) -> None:
    """Keep what a call took. A store without room learns nothing, and the call goes on."""
    prefix = hash128(task.encode())
    name = prefix + time.time_ns().to_bytes(8, "big") + secrets.token_bytes(4)
    try:
        store.table_put(TABLE, name, _encode(_Row(seen.input_bytes, seen.peak_bytes, seen.seconds, seen.ran_out)))
        names = [known for known, _ in store.table_scan(TABLE, prefix=prefix)]
        if len(names) > KEPT + _SPARE:
            for old in names[:-KEPT]:
                store.table_delete(TABLE, old)
    except (StoreFull, StoreUnusable):
        pass


def observed(store: Store, task: str) -> list[Observation]:
    """What calls of a task took, oldest first."""
    found: list[Observation] = []
    for _, row in store.table_scan(TABLE, prefix=hash128(task.encode())):
        try:
            read = _decode(row)
        except msgspec.MsgspecError:  # of a gpucache that writes other rows
            continue
        found.append(Observation(read.input_bytes, read.peak_bytes, read.seconds, read.ran_out))
    return found


def next_demand(store: Store, task: str, input_bytes: int, device_bytes: int) -> Estimate:
    """What the next call of a task asks for."""
    return estimate(observed(store, task), input_bytes, device_bytes)


def input_bytes(values: Iterable[object]) -> int:
    """The size of a call's arguments: arrays, tensors and stored results by their bytes, texts by their length."""
    return sum(_nbytes(value) for value in values) + sum(
        len(value) for value in values if isinstance(value, str | bytes)
    )


def _nbytes(value: object) -> int:
    total = 0
    for leaf in leaves_in((value,)):
        if isinstance(leaf, Future):
            manifest = leaf.manifest()
            total += 0 if manifest is None else manifest.nbytes
        else:
            nbytes = getattr(leaf, "nbytes", 0)
            total += nbytes if isinstance(nbytes, int) else 0
    return total
