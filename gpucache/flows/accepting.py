"""Carry records over an edit that changes nothing: a person's word that old results are as good as new ones.

Each acceptance is kept with its reason, said by explain() wherever its records answer, and can be taken back.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from gpucache.errors import BadSetting, NoSuchRecord
from gpucache.flows.history import Run
from gpucache.flows.history import run as find_run
from gpucache.flows.session import Session, current_session
from gpucache.memo import ACCEPTED, inputs_of_parts, key_of, parts_of_inputs, remember

if TYPE_CHECKING:
    from gpucache.flows.tasks import AnyTask
    from gpucache.store import Record

TABLE = "acceptances"


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """An acceptance in the store."""

    task: str
    since: str
    why: str
    accepted_at: float
    keys: list[bytes]
    revoked_at: float | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A person's word that a task's results of a run hold for the code as it is.

    Attributes:
        id: Names it, for revoke.
        task: The task's name.
        since: The run whose results were carried over.
        why: The person's reason.
        accepted_at: Unix time, s.
        records: How many records were carried over.
        revoked: Whether it was taken back.
    """

    id: str
    task: str
    since: str
    why: str
    accepted_at: float
    records: int
    revoked: bool = False

    def revoke(self) -> int:
        """Take it back: its records answer no more. Returns how many went; those that were run again since stay."""
        return revoke(self.id)


def accept(task: AnyTask, *, since: Run[Any] | str, why: str) -> Acceptance:
    """Let what a task gave in an earlier run answer for its code as it is now, though that was edited.

    For an edit that can't change a result (a renaming that reached a string, a faster loop). Arguments count as they
    did: only the code, its constants and the versions it reaches are vouched for.

    Args:
        since: The run, or its name as for gpucache.run().
        why: Kept, and said wherever the records answer.

    Raises:
        NoSuchRecord: The run has no record of this task left.
        BadSetting: `why` is empty, or the task's parameters are not those it had.
    """
    if not why.strip():
        raise BadSetting("why", repr(why), "the reason, for whoever asks in half a year")
    session = current_session()
    run = find_run(since) if isinstance(since, str) else since
    name = f"{time.strftime('%Y%m%d', time.gmtime())}-{secrets.token_hex(3)}"
    records = _records(session, task, run)
    keys = [
        key for record in records if (key := _carry(session, task, record, f"accepted ({name}): {why}")) is not None
    ]
    row = _Row(task=task.name, since=run.id, why=why, accepted_at=time.time(), keys=keys)
    session.store.table_put(TABLE, name.encode(), _encode(row))
    return _acceptance(name, row)


def acceptances() -> list[Acceptance]:
    """All of this store, newest first."""
    rows = [(name.decode(), _decode(row)) for name, row in current_session().store.table_scan(TABLE)]
    return [_acceptance(name, row) for name, row in sorted(rows, key=lambda pair: -pair[1].accepted_at)]


def revoke(name: str) -> int:
    """Take an acceptance back; returns how many of its records went. Those that were run again since stay.

    Raises:
        NoSuchRecord: There is none of this id.
    """
    store = current_session().store
    found = store.table_get(TABLE, name.encode())
    if found is None:
        raise NoSuchRecord("acceptance", name, "list them with `gpucache accept`")
    row = _decode(found)
    gone = 0
    for key in row.keys:
        record = store.lookup(key)
        if record is not None and str(record.note.get(ACCEPTED, "")).startswith(f"accepted ({name})"):
            gone += store.forget(key)
    if row.revoked_at is None:
        store.table_put(TABLE, name.encode(), _encode(msgspec.structs.replace(row, revoked_at=time.time())))
    return gone


def _acceptance(name: str, row: _Row) -> Acceptance:
    revoked = row.revoked_at is not None
    return Acceptance(name, row.task, row.since, row.why, row.accepted_at, len(row.keys), revoked)


def _records(session: Session, task: AnyTask, run: Run[Any]) -> list[Record]:
    """The records of the task's calls in the run, each once."""
    keys = dict.fromkeys(call.key for call in run.calls if call.task == task.name and call.key is not None)
    found = [record for key in keys if (record := session.store.lookup(bytes.fromhex(key))) is not None]
    if not found:
        known = ", ".join(dict.fromkeys(call.task for call in run.calls)) or "none"
        raise NoSuchRecord(f"record of task {task.name!r} in run", run.id, f"tasks that it called: {known}")
    return found


def _carry(session: Session, task: AnyTask, record: Record, said: str) -> bytes | None:
    """Publish a record under the key that its call has now; the key, or None if it has a record or its bytes are gone."""
    store, code = session.store, task.code(session)
    before = store.parts_of(record)
    given = {name: part for name, part in before.items() if name.startswith("arg:")}
    if set(given) != {f"arg:{name}" for name in task.binder.counted_names}:
        had = tuple(name.removeprefix("arg:") for name in given)
        raise BadSetting("task", f"{task.name}{task.binder.counted_names}", f"the parameters that it had then, {had}")
    call_key = key_of(code.header, [given[f"arg:{name}"][0] for name in task.binder.counted_names])
    inputs = inputs_of_parts(before)
    key = remember(store, call_key, inputs) if inputs else call_key
    if store.lookup(key) is not None or not store.has(record.result):
        return None
    parts = {**code.parts(task), **given, **parts_of_inputs(inputs)}
    store.publish(msgspec.structs.replace(record, key=key, note={**record.note, ACCEPTED: said}), parts)
    return key
