"""A limit in bytes that holds by itself: who writes makes room now and then, so that no disk waits for a person.

How much the store holds is known by reading all rows of blobs, which is too dear for each write; and a row that has the sum would be
one that every writer changes. So a write of n bytes looks with the chance n / (a thirty-second of the limit). However many processes
write, and however soon they end, someone looks once in so many bytes, in the mean. Room is made for twice as much, so that it is not
short again at once.

What was written or read a short while ago stays: who has just written a value is about to hand it on.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from random import Random
from typing import TYPE_CHECKING

from gpucache.errors import BadSetting, StoreFull, StoreUnusable
from gpucache.events import Degraded, hooks
from gpucache.store.record import Manifest

if TYPE_CHECKING:
    from gpucache.store.on_disk import Store

SPARED_S = 60.0
"""What was written or read since stays, whatever the limit: between a call's end and its reader lie milliseconds, or a busy machine."""

LOOKS = 32
"""So often do writers look while they write as much as the limit, in the mean."""

MAKING_ROOM = b"make some room!!"


def check_amount(name: str, asked: object, *, least: int) -> None:
    """Refuse what is no amount: a text, no number, less than the least. None is right: no limit.

    Raises:
        BadSetting: With what it should be.
    """
    if asked is not None and not (isinstance(asked, Real) and float(asked) >= least):
        raise BadSetting(name, str(asked), f"a number, {least} or more, or None for no limit")


class Limit:
    """Keeps a store's blobs to so many bytes, but for what is in use. Any thread may call.

    Args:
        store: Which one.
        max_bytes: How much.
        chance: A number from 0 to 1; None: by lot. The program's own lots, of random.seed(), are not touched.
    """

    def __init__(self, store: Store, max_bytes: int, chance: Callable[[], float] | None = None) -> None:
        self._store, self._max_bytes = store, max_bytes
        self._chance = Random().random if chance is None else chance  # noqa: S311  # no secret

    def grew(self, manifest: Manifest) -> None:
        """A value was written: look, now and then, and make room where there is too much."""
        nbytes = sum(part.nbytes for part in manifest.parts if part.blob is not None)
        if self._chance() * self._max_bytes >= nbytes * LOOKS:
            return
        try:
            self.keep()
        except (StoreFull, StoreUnusable) as problem:
            hooks.emit(Degraded("the limit of the store", str(problem)))

    def keep(self) -> None:
        """Look, and make room where there is too much; unless someone else is at it.

        Raises:
            StoreFull, StoreUnusable: The disk failed.
        """
        store = self._store
        if store.blob_bytes() <= self._max_bytes:
            return
        with store.flight(MAKING_ROOM, timeout_s=0.0) as is_ours:
            if is_ours:
                store.collect(max_bytes=self._max_bytes - 2 * self._max_bytes // LOOKS, spared_s=SPARED_S, apply=True)
