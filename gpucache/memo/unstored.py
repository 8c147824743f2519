"""Which calls ran and left no record, and why: so that the next run can say so beforehand instead of "it never ran before"."""

from __future__ import annotations

import contextlib

import msgspec

from gpucache.errors import StoreFull, StoreUnusable
from gpucache.store import Store

TABLE = "unstored"
KEPT_AT_MOST = 64
"""Of each task, the newest."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[bytes, str]).decode


def note_unstored(store: Store, task: str, key: bytes, why: str) -> None:
    """Note why a call's result was not stored. Where that can't be noted either, it is not: it only explains."""
    known = _known(store, task)
    if known.pop(key, None) != why:
        newest = list(known.items())[1 - KEPT_AT_MOST :]
        with contextlib.suppress(StoreFull, StoreUnusable):
            store.table_put(TABLE, task.encode(), _encode({**dict(newest), key: why}))


def why_unstored(store: Store, task: str, key: bytes) -> str:
    """Why this call's last run left no record; empty if that is not known."""
    return _known(store, task).get(key, "")


def note_stored(store: Store, task: str, key: bytes) -> None:
    """Take back what was noted of a call: now it has a record."""
    known = _known(store, task)
    if known.pop(key, None) is not None:
        with contextlib.suppress(StoreFull, StoreUnusable):
            store.table_put(TABLE, task.encode(), _encode(known))


def _known(store: Store, task: str) -> dict[bytes, str]:
    with contextlib.suppress(StoreUnusable, msgspec.MsgspecError):
        row = store.table_get(TABLE, task.encode())
        return {} if row is None else _decode(row)
    return {}
