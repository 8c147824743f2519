"""The answer of a call, asked of others: what their bodies read is compared with what is here, as for one's own records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpucache.memo.inputs import key_with, lists_now

if TYPE_CHECKING:
    from gpucache.store import Store
    from gpucache.store.remote import Patience, Remote


def fetch(remote: Remote, store: Store, key: bytes, root: str, patience: Patience) -> bool:
    """Take the answer of a call from others into the store; whether it is there now.

    Args:
        root: The project's directory.
    """
    remote.fetch(key, patience)
    if _is_here(store, key):
        return True
    for now in lists_now(store, key, root):
        name = key_with(key, now)
        if _is_here(store, name) or (remote.fetch(name, patience) and _is_here(store, name)):
            return True
    return False


def _is_here(store: Store, key: bytes) -> bool:
    record = store.lookup(key)
    return record is not None and store.has(record.result)
