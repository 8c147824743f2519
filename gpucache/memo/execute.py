"""Run a body once and publish what it gave: the miss, in this process or in a worker.

Many who ask for one key at the same time, in any number of processes, take its flight one after another; the first
runs the body, the others find its record. The arguments and the globals that were read are digested again after the
run: a body that changed them gave a result that its key does not explain, so it is refused by name.
"""

from __future__ import annotations

import secrets
import time
import types
import warnings
from collections.abc import Callable, Container, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from gpucache.digests import combine
from gpucache.errors import (
    ArgumentMutated,
    NotCacheable,
    NotIdentifiable,
    NotStorable,
    RecordCorrupt,
    StoreFull,
    StoreUnusable,
    Untrusted,
    ValidationFailed,
)
from gpucache.events import Degraded, NotStored, State, hooks
from gpucache.memo import sources
from gpucache.memo.explain import SAID
from gpucache.memo.inputs import lookup, parts_of_inputs, remember
from gpucache.memo.key import Parts
from gpucache.memo.unstored import note_stored, note_unstored
from gpucache.memo.watching import Watch
from gpucache.store import Manifest, Record, Store

Digester = Callable[[object], bytes]


class ResultNotStored(UserWarning):
    """A result was handed to its caller and not stored, because it can't be, or because the store has no room."""


_TRUTHS = ("bool", "bool_")
"""Of Python, and of numpy before and after 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A body to run, and what its record will say.

    Attributes:
        body: Runs the user's function on arguments that are already values.
        key: None for a call that is not memoised; its result is still digested, for what lies below it.
        source: Gives the text of a component of the parts that is code.
        arguments: By parameter, as the body gets them; compared before and after.
        digest: The identity of a value, as the key was made with.
        unchanged: Names of globals that changed since the key was made, empty if none.
        forced: Run even if a record is there.
        strict: A result that can't be stored is an error, not a warning.
        root: The project's directory: names of files that the body reads are relative to it.
        path_texts: Texts in the code that may name files which native code opens.
        components: Of the code that the key has.
        keepers: Code that the body reaches and that keeps what it reads (lru_cache).
        travels: The result leaves this process by its manifest: Done.value is None unless the store had no room for it, and one
            that can't be stored can't be returned either.
        joins: Wait for another process that runs the same call. Not a member of a gang, for whom its other members wait.
    """

    task: str
    body: Callable[[], object]
    key: bytes | None
    digest: Digester
    parts: Callable[[], Parts] = dict
    source: Callable[[str], str] = lambda _: ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    argument_digests: Mapping[str, bytes] = field(default_factory=dict)
    changed_globals: Callable[[], tuple[str, ...]] = tuple
    validate: Callable[[object], object] | None = None
    run_id: str = ""
    forced: bool = False
    strict: bool = False
    travels: bool = False
    joins: bool = True
    note: Mapping[str, str | float | int] = field(default_factory=dict)
    root: str = ""
    keepers: frozenset[types.CodeType] = frozenset()
    path_texts: tuple[str, ...] = ()
    components: Container[str] = ()


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
        joins = work.joins and work.key is not None
        self._flight: AbstractContextManager[object] = store.flight(work.key or b"") if joins else nullcontext()

    def __enter__(self) -> Done | None:
        try:
            self._flight.__enter__()
        except StoreUnusable as problem:  # a full disk has no room for the file of locks either
            hooks.emit(Degraded(f"task {self._work.task!r}: others may run the same call", str(problem)))
            self._flight = nullcontext()
        try:
            return (
                None
                if self._work.forced or self._work.key is None or not self._work.joins
                else find(self._store, self._work.key, State.JOINED, self._work.root)
            )
        except BaseException:
            self._flight.__exit__(None, None, None)
            raise

    def __exit__(self, *raised: object) -> None:
        self._flight.__exit__(None, None, None)


def find(store: Store, key: bytes, state: State = State.HIT, root: str = "") -> Done | None:
    """Look a key up and load its value. A record whose bytes are damaged or gone, or can not be given, is a miss."""
    record = lookup(store, key, root)
    if record is None:
        return None
    try:
        value = store.read(record.result)
    except (RecordCorrupt, StoreFull, StoreUnusable, Untrusted):
        return None
    return Done(state, value, record.result, record, 0.0, record.seconds)


def run_and_publish(store: Store, work: Work) -> Done:
    """Run the body here and now, check it, store its result."""
    watch = None if work.key is None else watch_of(store, work)  # a call that is not memoised may read what it likes
    started = time.perf_counter()
    try:
        value = work.body()
    finally:
        seconds = time.perf_counter() - started
        if watch is not None:
            watch.stop()
    return publish(store, work, value, seconds, watch)


def watch_of(store: Store, work: Work) -> Watch:
    """Begin to watch what the body reads."""
    return Watch(
        work.root,
        str(store.path),
        work.arguments.values(),
        keepers=work.keepers,
        path_texts=work.path_texts,
        components=work.components,
    ).start()


def publish(store: Store, work: Work, value: object, seconds: float, watch: Watch | None) -> Done:
    """Check what a body gave and store it.

    Args:
        value: The body's result.
        seconds: The time it took.
        watch: What it read; None for a call that is not memoised.
    """
    checked(work.task, work.validate, value)
    if watch is not None:
        _refuse_changed_arguments(work)
        _refuse_randomness(work, watch)
        why = _why_not_explained(work, watch)
        if why:
            say_not_stored(work.task, why)
            if work.key is not None:
                note_unstored(store, work.task, work.key, why)
            watch = None
    try:
        return _store_result(store, work, value, seconds, watch)
    except (NotStorable, StoreFull, StoreUnusable) as problem:
        if isinstance(problem, NotStorable) and (work.travels or work.strict):
            raise
        say_not_stored(work.task, str(problem))
        if work.key is not None and isinstance(problem, NotStorable):
            note_unstored(store, work.task, work.key, str(problem))
        return Done(State.UNCACHED, value, None, None, seconds)


def say_not_stored(task: str, why: str) -> None:
    """Warn that a result was computed and returned, but not kept."""
    hooks.emit(NotStored(task, why))
    warnings.warn(f"task {task!r}: its result was returned but not stored: {why}", ResultNotStored, stacklevel=4)


def _store_result(store: Store, work: Work, value: object, seconds: float, watch: Watch | None) -> Done:
    key = None if watch is None else work.key
    manifest = store.write(value, _result_digest(work.digest, key, value))
    if key is None or watch is None:
        return Done(State.UNCACHED, None if work.travels else value, manifest, None, seconds)
    inputs = watch.inputs()
    table = {**work.parts(), **parts_of_inputs(inputs)}
    record = Record(
        key=remember(store, key, inputs) if inputs else key,
        task=work.task,
        result=manifest,
        parts=b"",
        seconds=seconds,
        created_at=time.time(),
        run_id=work.run_id,
        note={**work.note, **({SAID: "; ".join(watch.notes)} if watch.notes else {})},
    )
    store.publish(record, table)
    sources.keep(store, table, work.source)
    note_stored(store, work.task, key)
    return Done(
        State.RAN, None if work.travels else _as_stored(store, work, manifest, value), manifest, record, seconds
    )


def _as_stored(store: Store, work: Work, manifest: Manifest, value: object) -> object:
    """What every later caller gets: mapped and read-only where a hit would be. The value itself where it can't be read."""
    try:
        return store.read(manifest)
    except Untrusted as problem:
        say_not_stored(work.task, f"nobody could read it: {problem}")
    except RecordCorrupt:
        pass  # a collector was here before us, or the disk is failing: an event says so
    except OSError as problem:  # no room to check files out, no descriptor or no address space left
        hooks.emit(Degraded(f"task {work.task!r}: its result is not mapped", str(problem)))
    return value


def _refuse_randomness(work: Work, watch: Watch) -> None:
    used = next((note for note in watch.notes if "random" in note), None)
    if work.strict and used is not None:
        raise NotCacheable(
            work.task, used, "make a generator of its own from an argument: numpy.random.default_rng(seed)"
        )


def _refuse_changed_arguments(work: Work) -> None:
    """Whoever passed it has another value in hand now, and must know."""
    for name, before in work.argument_digests.items():
        if name in work.arguments and _digest_now(work, name) != before:
            raise ArgumentMutated(work.task, name, "work on a copy of it, or mark the task cache=False")


def _digest_now(work: Work, name: str) -> bytes | None:
    """An argument's digest after the run; None if the body put something into it that has none."""
    try:
        return work.digest(work.arguments[name])
    except NotIdentifiable:
        return None


def _why_not_explained(work: Work, watch: Watch) -> str:
    """Why the key does not explain the result; empty if it does. The result is good for now, and no later call may have it.

    Raises:
        ArgumentMutated: A global that the code reads was changed, and strict says that this is an error.
    """
    for name in work.changed_globals():
        remedy = "pass it as an argument and return it, or mark the task cache=False"
        if work.strict:
            raise ArgumentMutated(work.task, name, remedy)
        return f"the task changed {name!r}, which it reads, so the next call would give something else; {remedy}"
    changed = watch.changed()
    if changed is None:
        return ""
    return (
        f"{changed.name} was changed while the task or its program ran, so nobody knows which content the result is of"
    )


def checked(task: str, validate: Callable[[object], object] | None, value: object) -> object:
    """Return value if `validate` does not refuse it.

    Raises:
        ValidationFailed: It raised; its exception is the cause. Or it returned False, as who forgets to raise may have it do.
    """
    if validate is not None:
        try:
            verdict = validate(value)
        except Exception as refusal:
            raise ValidationFailed.of(task, f"{type(refusal).__name__}: {refusal}", type(refusal)) from refusal
        if type(verdict).__name__ in _TRUTHS and not verdict:
            raise ValidationFailed(task, "it returned False")
    return value


def _result_digest(digest: Digester, key: bytes | None, value: object) -> bytes:
    """The identity of a result. One that has none of its own is known by the call that gave it, or by nothing at all."""
    try:
        return digest(value)
    except NotIdentifiable:
        return secrets.token_bytes(16) if key is None else combine(b"result of", key)
