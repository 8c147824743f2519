"""Run a body once and publish what it gave: the miss, in this process or in a worker.

Many who ask for one key at the same time, in any number of processes, take its flight one after another; the first
runs the body, the others find its record. The arguments and the globals that were read are digested again after the
run: a body that changed them gave a result that its key does not explain, so it is refused by name.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from gpucache.digests import combine
from gpucache.errors import (
    ArgumentMutated,
    NotIdentifiable,
    NotStorable,
    RecordCorrupt,
    StoreFull,
    ValidationFailed,
)
from gpucache.events import Degraded, State, hooks
from gpucache.memo import observed
from gpucache.memo.key import Parts
from gpucache.memo.observed import look_up
from gpucache.memo.observer import Observer, Seen, observing
from gpucache.store import Manifest, Record, Store

Digester = Callable[[object], bytes]


class ResultNotStored(UserWarning):
    """A result was handed to its caller and not stored, because it can't be, or because the store has no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A body to run, and what its record will say.

    Attributes:
        body: Runs the user's function on arguments that are already values.
        key: None for a call that is not memoised; its result is still digested, for what lies below it.
        arguments: By parameter, as the body gets them; compared before and after.
        digest: The identity of a value, as the key was made with.
        unchanged: Names of globals that changed since the key was made, empty if none.
        forced: Run even if a record is there.
        strict: A result that can't be stored is an error, not a warning.
        travels: The result leaves this process by its manifest alone: Done.value is None, and one that can't be
            stored can't be returned either.
        root: The project's root: what the body reads below it is known by its path from there.
        unobserved: Paths that count by their content already; reading them is no more news.
    """

    task: str
    body: Callable[[], object]
    key: bytes | None
    digest: Digester
    parts: Callable[[], Parts] = dict
    arguments: Mapping[str, object] = field(default_factory=dict)
    argument_digests: Mapping[str, bytes] = field(default_factory=dict)
    changed_globals: Callable[[], tuple[str, ...]] = tuple
    validate: Callable[[object], object] | None = None
    run_id: str = ""
    forced: bool = False
    strict: bool = False
    travels: bool = False
    root: str = ""
    unobserved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """How a call ended well: its state, its value, and the manifest and record if it has them."""

    state: State
    value: object
    result: Manifest | None
    record: Record | None
    seconds: float
    saved_seconds: float = 0.0


def execute(store: Store, work: Work) -> Done:
    """Run work.body unless another process gives the answer first; publish the result.

    Raises:
        ArgumentMutated, ValidationFailed: Nothing was stored.
        NotStorable: The result can't be stored, and strict or travels says that it must be.
        Anything the body raises, as it is. Exceptions are never stored.
    """
    with Takeoff(store, work) as landed:
        return landed if landed is not None else run_and_publish(store, work)


class Takeoff(AbstractContextManager["Done | None"]):
    """Hold the key's flight; give the record that appeared while we waited for it, or None: then run the body."""

    def __init__(self, store: Store, work: Work) -> None:
        self._store, self._work = store, work
        self._flight: AbstractContextManager[object] = nullcontext() if work.key is None else store.flight(work.key)

    def __enter__(self) -> Done | None:
        self._flight.__enter__()
        try:
            return (
                None
                if self._work.forced or self._work.key is None
                else find(self._store, self._work.key, self._work.root, State.JOINED)
            )
        except BaseException:
            self._flight.__exit__(None, None, None)
            raise

    def __exit__(self, *raised: object) -> None:
        self._flight.__exit__(None, None, None)


def find(store: Store, key: bytes, root: str, state: State = State.HIT) -> Done | None:
    """Look a key up and load its value. A record whose bytes are damaged or gone is a miss."""
    record = look_up(store, key, root)
    if record is None:
        return None
    try:
        value = store.read(record.result)
    except RecordCorrupt:
        return None
    return Done(state, value, record.result, record, 0.0, record.seconds)


def run_and_publish(store: Store, work: Work) -> Done:
    """Run the body here and now, check it, store its result."""
    if work.key is None:
        started = time.perf_counter()
        value = work.body()
        return publish(store, work, value, time.perf_counter() - started)
    with observing(observer_of(store, work)) as observer:
        started = time.perf_counter()
        value = work.body()
        seconds = time.perf_counter() - started
    return publish(store, work, value, seconds, observer.seen())


def observer_of(store: Store, work: Work) -> Observer:
    """Who notes what the body reads."""
    return Observer(work.root, (str(store.path), *work.unobserved))


def publish(store: Store, work: Work, value: object, seconds: float, seen: Seen | None = None) -> Done:
    """Check what a body gave and store it. `value` is the body's result, `seconds` the time it took, `seen` what it read."""
    _refuse_side_effects(work)
    checked(work.task, work.validate, value)
    if seen is not None and seen.unstable:
        say_not_stored(work.task, f"it read {', '.join(seen.unstable[:3])}, which changed while it ran")
        work = dataclasses.replace(work, key=None)
    try:
        return _store_result(store, work, value, seconds, seen or Seen({}))
    except (NotStorable, StoreFull) as problem:
        if work.travels or (work.strict and not isinstance(problem, StoreFull)):
            raise
        say_not_stored(work.task, str(problem))
        return Done(State.UNCACHED, value, None, None, seconds)


def say_not_stored(task: str, problem: str) -> None:
    """Warn that a result was computed and returned, but could not be kept."""
    hooks.emit(Degraded(f"task {task!r}: its result was not stored", problem))
    warnings.warn(f"task {task!r}: its result was returned but not stored: {problem}", ResultNotStored, stacklevel=4)


def _store_result(store: Store, work: Work, value: object, seconds: float, seen: Seen) -> Done:
    manifest = store.write(value, _result_digest(work, value))
    if work.key is None:
        return Done(State.UNCACHED, None if work.travels else value, manifest, None, seconds)
    table = {**work.parts(), **observed.parts_of(seen.held)}
    record = Record(
        key=observed.key_with(work.key, seen.held),
        task=work.task,
        result=manifest,
        parts=b"",
        seconds=seconds,
        created_at=time.time(),
        run_id=work.run_id,
        note={"unseen": ", ".join(seen.unseen)} if seen.unseen else {},
    )
    store.publish(record, table)
    if seen.held:
        observed.note(store, work.key, seen.held)
    # What the first caller gets is what every later caller gets: mapped and read-only where a hit would be.
    return Done(State.RAN, None if work.travels else store.read(manifest), manifest, record, seconds)


def _refuse_side_effects(work: Work) -> None:
    if work.key is None:
        return
    for name, before in work.argument_digests.items():
        if name in work.arguments and work.digest(work.arguments[name]) != before:
            raise ArgumentMutated(work.task, name, "work on a copy of it, or mark the task cache=False")
    for name in work.changed_globals():
        raise ArgumentMutated(work.task, name, "pass it as an argument and return it, or mark the task cache=False")


def checked(task: str, validate: Callable[[object], object] | None, value: object) -> object:
    """Return value if `validate` does not refuse it.

    Raises:
        ValidationFailed: It raised; its exception is the cause.
    """
    if validate is not None:
        try:
            validate(value)
        except Exception as refusal:
            raise ValidationFailed(task, f"{type(refusal).__name__}: {refusal}") from refusal
    return value


def _result_digest(work: Work, value: object) -> bytes:
    """The identity of a result. One that has none of its own is known by the call that gave it, or by nothing at all."""
    try:
        return work.digest(value)
    except NotIdentifiable:
        return secrets.token_bytes(16) if work.key is None else combine(b"result of", work.key)
