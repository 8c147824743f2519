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


SHORTEST = 6
"""So many digits of a digest are asked for at least."""


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


def results_of(store: Store, run: Run[Any], task: str | None = None) -> tuple[Pinned, ...]:
    """The results of a run's calls, of all or of one task's. Those that lie in the index stay in any case, and are left out.

    Raises:
        NoSuchRecord: There is no such call.
    """
    return tuple(_results(store, run, task))


def value_named(store: Store, name: str) -> tuple[Pinned, ...]:
    """The value whose digest is this, or begins so; () if there is none.

    Raises:
        NoSuchRecord: There are several.
    """
    digits = name.removeprefix(f"{ALGORITHM}:").lower()
    if len(digits) < SHORTEST or not set(digits) <= set("0123456789abcdef"):
        return ()
    digests = {digest for rows in ("values", "pins") for digest, _ in store.rows.scan(rows)}
    found = [digest for digest in digests if digest.hex().startswith(digits)]
    if len(found) > 1:
        raise NoSuchRecord("value", name, f"that is how {len(found)} digests begin; write more of it")
    return tuple(_pinned(store, "", digest) for digest in found)


def pin(store: Store, found: tuple[Pinned, ...]) -> tuple[Pinned, ...]:
    """Keep these.

    Raises:
        NoSuchRecord: A result's bytes are gone; nothing was pinned.
    """
    for one in found:
        if not store.contains(_digest(one)):
            raise NoSuchRecord("bytes of a result of", one.task, "they are gone: run the flow again, then pin it")
    for one in found:
        store.pin(_digest(one))
    return found


def unpin(store: Store, found: tuple[Pinned, ...]) -> tuple[Pinned, ...]:
    """Keep them no longer; those that were pinned."""
    return tuple(one for one in found if store.unpin(_digest(one)))


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
