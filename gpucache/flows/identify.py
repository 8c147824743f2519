"""What a call of a task is: its key, made from the fingerprint and one digest per argument.

The hot path of every call. Only what a hit needs is computed at once; the parts that explain the key are made when a miss
publishes them or someone asks.
"""

from __future__ import annotations

import concurrent.futures
import types
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gpucache.digests import combine, value_digest
from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.project import root_of
from gpucache.flows.future import Future, resolved
from gpucache.memo import Candidate, Explanation, environment_text, explain, header_of, key_of, shown
from gpucache.shown import MOST_ITEMS

if TYPE_CHECKING:
    from gpucache.fingerprint import Fingerprint, Fingerprints
    from gpucache.flows.session import Session
    from gpucache.flows.tasks import AnyTask
    from gpucache.store import Store


_SCALARS = frozenset({int, float, str, bool, bytes, type(None)})
"""Exact types that are what they are: no future, no container of futures, no code."""

_SMALL_BYTES = 65536
"""A result up to this size is read to be shown."""


class Code:
    """A task's fingerprint as of now and the key header made from it; replaced when the code or a global changes.

    Attributes:
        is_current: Whether the code, the globals it reads and the environment are what they were.
    """

    __slots__ = ("_task", "environment", "fingerprint", "fingerprints", "header", "is_current")

    def __init__(self, task: AnyTask, session: Session) -> None:
        self.fingerprints: Fingerprints = session.fingerprints(follow_of(task))
        self.fingerprint: Fingerprint = _fingerprint(self.fingerprints, task)
        self._task, self.environment = task, _environment(task)
        # The switches that "bitwise" counts can be turned at any time, so its text is made again for each call.
        is_bitwise = task.options.numerics == "bitwise"
        self.is_current: Callable[[], bool] = (
            self._is_current_with_its_environment if is_bitwise else self.fingerprint.is_current
        )
        self.header = header_of(
            task.name,
            self.fingerprint.digest,
            task.options.version_text,
            self.environment.encode(),
            task.binder.counted_names,
        )

    def parts(self, task: AnyTask) -> dict[str, tuple[bytes, str]]:
        """The components that are the same for all calls of the task, with the text that people read."""
        parts = dict(self.fingerprint.parts)
        if task.options.version_text is not None:
            version = task.options.version_text
            parts["version:"] = (combine(version.encode()), f"version {version}")
        if self.environment:
            parts["environment:"] = (combine(self.environment.encode()), self.environment)
        return parts

    def _is_current_with_its_environment(self) -> bool:
        return _environment(self._task) == self.environment and self.fingerprint.is_current()

    def keepers(self, values: tuple[Any, ...]) -> frozenset[types.CodeType]:
        """Code that keeps what it read: what the task reaches, and the loaders among its arguments."""
        loaders = (value.fn.__code__ for value in values if hasattr(value, "gpu_memory_bytes") and hasattr(value, "fn"))
        return self.fingerprint.keepers.union(loaders)

    def changed_globals(self, task: AnyTask) -> tuple[str, ...]:
        """Names of what the code reads that is no longer what it was; empty in the common case, at once."""
        if self.fingerprint.is_current():
            return ()
        try:
            now, before = _fingerprint(self.fingerprints, task).parts, self.fingerprint.parts
        except NotIdentifiable as refusal:  # the body put something there that has no identity
            return (refusal.path,)
        changed = sorted(name for name in {**now, **before} if now.get(name, (b"",))[0] != before.get(name, (b"",))[0])
        return tuple(name.partition(":")[2] for name in changed if not name.startswith("code:"))


class Called:
    """A call of a task: its bound values, its key, and what the key was made of.

    Attributes:
        task: The task.
        values: One for each parameter; futures are still futures.
        digests: One for each parameter that counts.
        key: 16 bytes.
        record_key: The key of the call's record: another one, if its body read more than its arguments.
        code: The code as it was when the key was made.
    """

    __slots__ = ("code", "digests", "key", "record_key", "task", "values")

    def __init__(self, task: AnyTask, session: Session, values: tuple[Any, ...]) -> None:
        self.task, self.values = task, values
        self.code = code = task.code(session)
        self.digests = [
            value_digest(values[index]) if type(values[index]) in _SCALARS else _digest(values[index], code, name)
            for index, name in task.binder.counted_parameters
        ]
        self.key = self.record_key = key_of(code.header, self.digests)

    def parts(self) -> dict[str, tuple[bytes, str]]:
        """Every component of the key, with the text that people read."""
        parts = self.code.parts(self.task)
        for (index, name), digest in zip(self.task.binder.counted_parameters, self.digests, strict=True):
            parts[f"arg:{name}"] = (digest, _shown(self.values[index]))
        return parts

    def shown(self) -> dict[str, str]:
        """The arguments in a few words."""
        return {name: _shown(value) for name, value in zip(self.task.binder.names, self.values, strict=True)}

    def argument_digests(self) -> dict[str, bytes]:
        """The digests by parameter: what the arguments must still have after the body ran."""
        return {
            self.task.binder.names[i]: digest for i, digest in zip(self.task.binder.counted, self.digests, strict=True)
        }

    @property
    def root(self) -> str:
        """The project's directory: files that the body reads are named relative to it."""
        file = self.task.fn.__code__.co_filename
        return root_of(file) if file.startswith("/") else ""

    def changed_globals(self) -> tuple[str, ...]:
        """Globals that the body changed."""
        return self.code.changed_globals(self.task)

    def explained(self, store: Store, candidates: Iterable[Candidate] | None = None) -> Explanation:
        """Whether the call would hit, and if not, what changed: since the nearest candidate, or of the task's newest records."""
        return explain(
            store,
            self.task.name,
            self.key,
            self.parts(),
            own=self._own_component(),
            notes=(*self.code.fingerprint.notes, *_by_option(self.task)),
            root=self.root,
            source=self.code.fingerprint.source,
            candidates=candidates,
        )

    def _own_component(self) -> str:
        """The component of the parts that is the task's own code."""
        suffix = self.task.fn.__qualname__
        named = [name for name in self.code.fingerprint.parts if name.startswith("code:") and name.endswith(suffix)]
        return min(named, key=len, default="")


def _fingerprint(fingerprints: Fingerprints, task: AnyTask) -> Fingerprint:
    """The fingerprint of a task's function.

    Raises:
        NotIdentifiable: Something that it reaches has no identity; the path says where that is, and this which task it stops.
    """
    try:
        return fingerprints.of(task.fn)
    except NotIdentifiable as refusal:
        why = f"task {task.name!r} reaches it, and {refusal.why}"
        raise NotIdentifiable(refusal.path, refusal.type_name, why, refusal.remedy) from refusal


def _digest(value: Any, code: Code, name: str) -> bytes:
    if isinstance(value, concurrent.futures.Future):
        manifest = value.manifest() if isinstance(value, Future) else None
        if manifest is not None:
            return manifest.digest
        value = value.result()
    return value_digest(resolved(value), symbols=code.fingerprints, name=name)


def _shown(value: Any) -> str:
    return shown(_without_futures(value))


def _without_futures(value: Any) -> Any:
    """The value with the results of futures that cost microseconds to read, and the task's name for the others."""
    if isinstance(value, Future):
        manifest = value.manifest()
        if manifest is None or manifest.codec == "array" or (manifest.nbytes <= _SMALL_BYTES and not manifest.pickled):
            return value.result()
        return _Words(f"<result of {value.task}>")
    if type(value) in (list, tuple):
        return type(value)(_without_futures(item) for item in value[: MOST_ITEMS + 1])
    return value


class _Words(str):
    """Text that is shown without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _by_option(task: AnyTask) -> Iterator[str]:
    """What does not count because the task says so."""
    if task.options.ignore:
        yield f"ignore={tuple(task.options.ignore)}: these arguments do not count"
    if task.options.follow != "project":
        yield f"follow={task.options.follow!r}: what counts as the project's code"


def _environment(task: AnyTask) -> str:
    env = task.options.env
    text = environment_text(task.options.numerics, _gpu_models() if task.options.numerics != "any" else ())
    return "; ".join(filter(None, (text, "" if env is None else repr(env))))


def _gpu_models() -> tuple[str, ...]:
    from gpucache.telemetry import read_fleet

    return tuple(gpu.name for gpu in read_fleet().gpus if gpu.name)


def follow_of(task: AnyTask) -> str | tuple[str, ...]:
    """What of the code counts, as session.fingerprints() takes it."""
    follow = task.options.follow
    return follow if isinstance(follow, str) else tuple(follow)
