"""What a worker is sent of a task's call, and what it does with it.

A description, not data: arguments that lie in the store travel as manifests, the result comes back as one. The worker
computes the task's fingerprint from the code that it has; if that is not the code the key was made with, the result is
handed back but never recorded under that key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from gpucache.digests import combine, value_digest
from gpucache.errors import CodeDiffers
from gpucache.events import Degraded, State, hooks
from gpucache.flows.cells import Texts, learn, send
from gpucache.flows.future import Future, resolved
from gpucache.flows.identify import follow_of
from gpucache.flows.measure import Measure
from gpucache.flows.session import Session, adopt
from gpucache.flows.surroundings import Surroundings, assume, surroundings
from gpucache.memo import Work, execute
from gpucache.store import Manifest
from gpucache.workers.context import current

if TYPE_CHECKING:
    from gpucache.fingerprint import Fingerprint
    from gpucache.flows.identify import Called
    from gpucache.flows.tasks import AnyTask
    from gpucache.flows.watcher import Watched


@dataclass(frozen=True, slots=True)
class Stored:
    """An argument that lies in the store."""

    manifest: Manifest


class Parcel(NamedTuple):
    """One call of a task, for a worker. A tuple, since that is pickled in half the time of a dataclass.

    Attributes:
        values: One for each parameter; Stored where the value is the result of another call.
        key, parts, argument_digests: The call's identity; key is None for a call that is not memoised.
        code: What the worker's code must be for its result to be recorded under this key.
        root: The project's directory.
        texts: Where the texts of functions are that travel by value.
        around: What the body finds around it; None in the caller's own process.
        settings: The driver's, for adopt(); the worker opens the same store.
    """

    task: AnyTask
    values: tuple[Any, ...]
    key: bytes | None
    parts: dict[str, tuple[bytes, str]]
    argument_digests: dict[str, bytes]
    code: bytes
    settings: bytes
    run_id: str
    forced: bool
    root: str
    texts: Texts
    around: Surroundings | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a parcel.

    Attributes:
        state: How the call ended.
        result: Where its result lies; None if the store had no room for it.
        record_key: The key of its record; None if it has none.
        seconds: What its body took, if it ran.
        saved_seconds: What a hit in the worker saved.
        gpu_peak_bytes: Device memory of the worker's process while the body ran, at most; None if nobody can say.
        host_peak_growth_bytes: What the peak of its host memory grew by.
        value: The result itself, where it lies nowhere.
    """

    state: State
    result: Manifest | None
    record_key: bytes | None
    seconds: float | None
    saved_seconds: float
    gpu_peak_bytes: int | None = None
    host_peak_growth_bytes: int | None = None
    value: object = None


def parcel(session: Session, task: AnyTask, values: tuple[Any, ...], called: Called | None, watched: Watched) -> Parcel:
    """Pack a call for a worker. Its futures are done."""
    return Parcel(
        task=task,
        values=tuple(_travelling(value) for value in values),
        key=None if called is None else called.key,
        parts={} if called is None else called.parts(),
        argument_digests={} if called is None else called.argument_digests(),
        code=b"" if called is None else _code_digest(task, called.code.fingerprint),
        settings=session.worker_settings,
        run_id=watched.run_id,
        forced=watched.is_forced,
        root="" if called is None else called.root,
        texts=() if called is None else send(session.store, called.code.fingerprints),
        around=_around(session, task),
    )


def _around(session: Session, task: AnyTask) -> Surroundings | None:
    if session.config.runtime == "inline":
        return None
    env = task.options.env
    return surroundings(session.environment, {} if env is None else dict(env.env_vars))


def run_parcel(packed: Parcel) -> Reply:
    """Run a call in this process, which is a worker (or the driver's own, in the inline runtime)."""
    session = adopt(packed.settings)
    if packed.around is not None:
        assume(packed.around)
    task, store = packed.task, session.store
    values = tuple(store.read(value.manifest) if type(value) is Stored else value for value in packed.values)
    learn(store, packed.texts, session.fingerprints(follow_of(task)))
    code = None if packed.key is None else task.code(session)
    key = packed.key if code is None or _code_digest(task, code.fingerprint) == packed.code else None
    if code is not None and key is None:
        _refuse_other_code(packed, code.fingerprint)
        hooks.emit(
            Degraded(
                f"task {task.name!r}",
                "other versions of packages there, or rewritten by pytest here: not recorded",
            )
        )
    symbols = session.fingerprints() if code is None else code.fingerprints
    measure, note = Measure(), dict[str, str | float | int]()

    def body() -> object:
        with measure:
            value = task.body_in_worker(values)
        note.update(measure.note())
        return value

    member = current()
    if member is not None and member.rank:
        body()  # a gang's result is that of rank 0: what the others give is neither stored nor sent
        return Reply(State.UNCACHED, None, None, None, 0.0, measure.gpu_peak_bytes, measure.host_peak_growth_bytes)
    work = Work(
        task=task.name,
        body=body,
        note=note,
        key=key,
        digest=lambda value: value_digest(value, symbols=symbols),
        parts=lambda: packed.parts,
        arguments=dict(zip(task.binder.names, values, strict=True)),
        argument_digests=packed.argument_digests,
        changed_globals=(lambda: ()) if code is None else (lambda: code.changed_globals(task)),
        validate=task.options.validate,
        run_id=packed.run_id,
        forced=packed.forced,
        strict=session.config.strict,
        root=packed.root,
        keepers=frozenset() if code is None else code.keepers(values),
        path_texts=() if code is None else code.fingerprint.path_texts,
        components=() if code is None else code.fingerprint.parts,
        travels=True,
        joins=member is None or member.size == 1,
    )
    done = execute(store, work)
    took = done.seconds if done.state in (State.RAN, State.UNCACHED) else None
    record_key = None if done.record is None else done.record.key
    return Reply(
        done.state,
        done.result,
        record_key,
        took,
        done.saved_seconds,
        measure.gpu_peak_bytes,
        measure.host_peak_growth_bytes,
        done.value if done.result is None else None,
    )


def _code_digest(task: AnyTask, fingerprint: Fingerprint) -> bytes:
    """What must be the same in the worker: all of it; where the task has packages of its own, the project's code."""
    env = task.options.env
    if env is None or not (env.pip or env.image):
        return fingerprint.digest
    own = {
        name: digest for name, (digest, _) in fingerprint.parts.items() if not name.startswith(("package:", "python"))
    }
    return combine(*(item for name, digest in sorted(own.items()) for item in (name.encode(), digest)))


def _refuse_other_code(packed: Parcel, fingerprint: Fingerprint) -> None:
    """Other versions of packages are the cluster's business. Other code, or another constant, gives another value.

    Under pytest a test file's own tasks have their asserts rewritten, and in a worker they are as they are written: that is let pass.

    Raises:
        CodeDiffers: There is some.
    """
    if "package:pytest" in packed.parts and "package:pytest" not in fingerprint.parts:
        return
    there, here = _own_parts(packed.parts), _own_parts(fingerprint.parts)
    names = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if names:
        raise CodeDiffers(packed.task.name, tuple(name.partition(":")[2] for name in names))


def _own_parts(parts: Mapping[str, tuple[bytes, str]]) -> dict[str, bytes]:
    return {name: digest for name, (digest, _) in parts.items() if name.startswith(("code:", "const:", "closure:"))}


def _travelling(value: Any) -> Any:
    if isinstance(value, Future):
        manifest = value.manifest()
        if manifest is not None:
            return Stored(manifest)
    return resolved(value)
