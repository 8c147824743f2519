"""Keep what a run gave, whatever the store is told to come down to; and let go of it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpucache.digests import ALGORITHM, Digest
from gpucache.errors import NoSuchRecord

if TYPE_CHECKING:
    from gpucache.flows.history import Run
    from gpucache.store import Store


@dataclass(frozen=True, slots=True)
class Pinned:
    """A result that is kept.

    Attributes:
        task: Of the newest record that has it; "" for a value that was put into the store by itself.
        digest: Its digest, hex.
        nbytes: What its blobs hold.
    """

    task: str
    digest: str
    nbytes: int


def pin(store: Store, run: Run[Any], task: str | None = None) -> tuple[Pinned, ...]:
    """Keep the results of a run's calls, of all or of one task's. Those that lie in the index stay in any case, and take no pin.

    Raises:
        NoSuchRecord: There is no such call, or a result's bytes are gone; nothing was pinned.
    """
    found = tuple(_results(store, run, task))
    for one in found:
        if not store.contains(_digest(one)):
            raise NoSuchRecord("bytes of a result of", one.task, "they are gone: run the flow again, then pin it")
    for one in found:
        store.pin(_digest(one))
    return found


def unpin(store: Store, run: Run[Any], task: str | None = None) -> tuple[Pinned, ...]:
    """Keep them no longer; those that were pinned.

    Raises:
        NoSuchRecord: There is no such call.
    """
    return tuple(one for one in _results(store, run, task) if store.unpin(_digest(one)))


def pinned(store: Store) -> tuple[Pinned, ...]:
    """Everything that is kept. Reads every record's row."""
    kept = dict.fromkeys(digest for digest, _ in store.rows.scan("pins"))
    tasks: dict[bytes, str] = {}
    for record in store.records():
        if record.result.digest in kept:
            tasks.setdefault(record.result.digest, record.task)
    return tuple(_pinned(store, tasks.get(digest, ""), digest) for digest in kept)


def _results(store: Store, run: Run[Any], task: str | None) -> Iterator[Pinned]:
    calls = [call for call in run.calls if task in (None, call.task)]
    if not calls:
        known = ", ".join(dict.fromkeys(call.task for call in run.calls)) or "none"
        raise NoSuchRecord("task", task or "", f"the tasks that run {run.id} called: {known}")
    seen: set[str] = set()
    for call in calls:
        if call.result is None or call.key is None or call.result in seen:
            continue
        seen.add(call.result)
        record = store.lookup(bytes.fromhex(call.key))
        if (
            record is None
            or record.result.digest.hex() != call.result
            or any(part.blob for part in record.result.parts)
        ):
            yield _pinned(store, call.task, bytes.fromhex(call.result))


def _pinned(store: Store, task: str, digest: bytes) -> Pinned:
    manifest = store.manifest_of(digest)
    return Pinned(task, digest.hex(), 0 if manifest is None else manifest.nbytes)


def _digest(one: Pinned) -> Digest:
    return Digest(ALGORITHM, bytes.fromhex(one.digest))
