"""The texts of functions that travel by value: a script's, a notebook's cells', an edited file's.

A worker that got a function by value has its code and not the text that it stands in, so it could not tell that it is the function
that the caller has. The texts go through the store, once each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpucache.digests import hash128
from gpucache.flows.by_name import travels_by_value

if TYPE_CHECKING:
    from gpucache.fingerprint import Fingerprints
    from gpucache.store import Store

TABLE = "texts"

Texts = tuple[tuple[str, bytes], ...]
"""Files, and the names of their texts in the store."""

_sent: dict[tuple[str, str, str], bytes] = {}
_learnt: set[tuple[int, str, bytes]] = set()


def send(store: Store, fingerprints: Fingerprints) -> Texts:
    """Put the texts where workers find them; what they need to find them."""
    found = []
    for module, file, text in fingerprints.texts:
        if travels_by_value(module):
            known = (str(store.path), file, text)
            name = _sent.get(known)
            if name is None:
                raw = text.encode("utf-8", "surrogatepass")
                name = _sent[known] = hash128(raw)
                store.table_put(TABLE, name, raw)
            found.append((file, name))
    return tuple(found)


def learn(store: Store, texts: Texts, fingerprints: Fingerprints) -> None:
    """In a worker: take note of what send() put there."""
    for file, name in texts:
        if (id(fingerprints), file, name) not in _learnt:
            raw = store.table_get(TABLE, name)
            if raw is not None:
                fingerprints.learn(file, raw.decode("utf-8", "surrogatepass"))
                _learnt.add((id(fingerprints), file, name))
