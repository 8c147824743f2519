"""The digest of any supported value, functions and classes of the project included."""

from __future__ import annotations

from gpucache.digests import Digest, value_digest
from gpucache.flows.session import current_session


def digest(value: object) -> Digest:
    """The identity of a value: equal values have equal digests, in any process and on any machine.

    The project's own functions and classes count with their code, as in the identity of a call. Store.put() names values without
    them by the same digest.

    Raises:
        NotIdentifiable: The value, or something within it, has no identity (a lock, an open file).
    """
    return Digest("xxh3-128", value_digest(value, symbols=current_session().fingerprints()))
