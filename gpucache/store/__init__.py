"""Bytes by content: values under their digests, records under their keys."""

from __future__ import annotations

from gpucache.store.in_memory import InMemoryStore
from gpucache.store.on_disk import Store
from gpucache.store.record import (
    CollectReport,
    Manifest,
    PartRef,
    Record,
    StoreStats,
    TaskStats,
    VerifyReport,
)

__all__ = [
    "CollectReport",
    "InMemoryStore",
    "Manifest",
    "PartRef",
    "Record",
    "Store",
    "StoreStats",
    "TaskStats",
    "VerifyReport",
]
