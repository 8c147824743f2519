"""Everything gpucache raises on purpose, one base, one file.

Fields first, message second: what, the value, the limit, the remedy. Every class is rebuilt from
its arguments alone, so that it crosses processes whole.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor


class GpuCacheError(Exception):
    """Base of everything gpucache raises on purpose."""


class Bug(GpuCacheError):
    """An invariant of gpucache itself is broken. Never your fault; please report it."""


# ---------------------------------------------------------------- settings and usage


class BadSetting(GpuCacheError, ValueError):
    """A setting has a name or a value that gpucache does not know. Nothing was started."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        self.name, self.value, self.expected = name, value, expected
        super().__init__(name, value, expected)

    def __str__(self) -> str:
        return f"setting {self.name}={self.value!r} is not understood; expected {self.expected}"


class ExtraMissing(GpuCacheError, ImportError):
    """A setting needs a package that is not installed. Nothing was started."""

    def __init__(self, setting: str, package: str, extra: str) -> None:
        self.setting, self.package, self.extra = setting, package, extra
        super().__init__(setting, package, extra)

    def __str__(self) -> str:
        return f"{self.setting} needs the package {self.package!r}; pip install 'gpucache[{self.extra}]'"


class BadArgument(GpuCacheError, ValueError):
    """An argument of a flow, given as text, does not fit the flow's signature. Nothing ran."""

    def __init__(self, flow: str, argument: str, problem: str, remedy: str) -> None:
        self.flow, self.argument, self.problem, self.remedy = flow, argument, problem, remedy
        super().__init__(flow, argument, problem, remedy)

    def __str__(self) -> str:
        return f"flow {self.flow!r}: argument {self.argument!r} {self.problem}; {self.remedy}"


class FlowFileBroken(GpuCacheError):
    """A file that should define flows could not be imported. The user's own error is the cause."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(path, problem)

    def __str__(self) -> str:
        return f"{self.path} could not be imported: {self.problem}"


class NoSuchFlow(GpuCacheError, LookupError):
    """The file has no flow of that name, or none, or several and no name was given."""

    def __init__(self, path: str, name: str, known: tuple[str, ...]) -> None:
        self.path, self.name, self.known = path, name, known
        super().__init__(path, name, known)

    def __str__(self) -> str:
        if not self.known:
            return f"{self.path} has no flow; mark a function with @gpucache.flow"
        known = ", ".join(self.known)
        if not self.name:
            return f"{self.path} has several flows; it has {known}: name one, {self.path}:{self.known[0]}"
        return f"{self.path} has no flow {self.name!r}; it has {known}"


class NoSuchRecord(GpuCacheError, LookupError):
    """No run, task, artifact or digest of that name is in the store."""

    def __init__(self, kind: str, name: str, remedy: str) -> None:
        self.kind, self.name, self.remedy = kind, name, remedy
        super().__init__(kind, name, remedy)

    def __str__(self) -> str:
        return f"no {self.kind} {self.name!r}; {self.remedy}"


class DemoNotPossible(GpuCacheError):
    """A demo lacks a package, or a place to write to. Nothing was written, nothing was overwritten."""

    def __init__(self, demo: str, problem: str, remedy: str) -> None:
        self.demo, self.problem, self.remedy = demo, problem, remedy
        super().__init__(demo, problem, remedy)

    def __str__(self) -> str:
        return f"demo {self.demo!r}: {self.problem}; {self.remedy}"


# ---------------------------------------------------------------- identity


class NotIdentifiable(GpuCacheError, TypeError):
    """A value has no identity that gpucache can vouch for, so a call that uses it can't be cached.

    Raised before the call runs. `path` leads to the value: `batch["labels"][3]`, or the symbol
    that a function reads: `pipeline.lock`.
    """

    def __init__(self, path: str, type_name: str, why: str, remedy: str) -> None:
        self.path, self.type_name, self.why, self.remedy = path, type_name, why, remedy
        super().__init__(path, type_name, why, remedy)

    def __str__(self) -> str:
        return f"{self.path or 'the value'} ({self.type_name}) can't be identified: {self.why}; {self.remedy}"


class NotCacheable(GpuCacheError, TypeError):
    """A task can't be memoised as it is written (a generator, say). Refused before it runs."""

    def __init__(self, task: str, why: str, remedy: str) -> None:
        self.task, self.why, self.remedy = task, why, remedy
        super().__init__(task, why, remedy)

    def __str__(self) -> str:
        return f"task {self.task!r} can't be cached: {self.why}; {self.remedy}"


class ArgumentMutated(GpuCacheError):
    """A task changed one of its arguments or a global that it reads. Its result was not stored."""

    def __init__(self, task: str, name: str, remedy: str) -> None:
        self.task, self.name, self.remedy = task, name, remedy
        super().__init__(task, name, remedy)

    def __str__(self) -> str:
        return f"task {self.task!r} changed {self.name!r} while it ran, so its result was not stored; {self.remedy}"


class CodeDiffers(GpuCacheError):
    """A call was not run: the worker has other code, or other constants, than the program that asked for it."""

    def __init__(self, task: str, names: tuple[str, ...]) -> None:
        self.task, self.names = task, names
        super().__init__(task, names)

    def __str__(self) -> str:
        return (
            f"task {self.task!r} was not run: {', '.join(self.names)} is not in the worker what it is here; what a program changes in "
            "its modules while it runs does not reach workers: pass it as an argument, or call the task in this process"
        )


class ValidationFailed(GpuCacheError):
    """A task's own `validate` refused its result. The result was neither stored nor passed on.

    Made by of(), it is an instance of what `validate` raised as well, so that `except ValueError` hears of it.
    """

    def __init__(self, task: str, problem: str) -> None:
        self.task, self.problem = task, problem
        super().__init__(task, problem)

    def __str__(self) -> str:
        return f"task {self.task!r}: its validate refused the result: {self.problem}"

    @staticmethod
    def of(task: str, problem: str, kind: type[Exception]) -> ValidationFailed:
        """A refusal of this kind; a plain ValidationFailed where no class can be both."""
        again = ValidationFailed.of, (task, problem, kind)
        # An __init__ of its own: that of `kind`, next in line, may want other arguments.
        members = {"__module__": __name__, "__reduce__": lambda _: again, "__init__": lambda *_: None}
        try:
            made = type("ValidationFailed", (ValidationFailed, kind), members)(task, problem)
            made.task, made.problem = task, problem
        except Exception:  # noqa: BLE001  # an edge: a user's class may have a metaclass, slots or a __new__ of its own
            return ValidationFailed(task, problem)
        return made if isinstance(made, ValidationFailed) else ValidationFailed(task, problem)


# ---------------------------------------------------------------- the store


class NotStorable(GpuCacheError, TypeError):
    """A value can't be turned into bytes and back. Nothing was written."""

    def __init__(self, type_name: str, why: str, remedy: str) -> None:
        self.type_name, self.why, self.remedy = type_name, why, remedy
        super().__init__(type_name, why, remedy)

    def __str__(self) -> str:
        return f"a value of type {self.type_name} can't be stored: {self.why}; {self.remedy}"


class StoreUnusable(GpuCacheError, OSError):
    """The store's path can't be read or written, or holds something else. Nothing was changed."""

    def __init__(self, path: str, why: str, remedy: str) -> None:
        self.path, self.why, self.remedy = path, why, remedy
        super().__init__(path, why, remedy)

    def __str__(self) -> str:
        return f"the store at {self.path} can't be used: {self.why}; {self.remedy}"


class StoreFormatUnknown(StoreUnusable):
    """The store was written in a format that this gpucache does not know. Nothing was changed."""


class StoreFull(GpuCacheError, OSError):
    """There was no room for a value. Nothing was written; what was there is still there."""

    def __init__(self, path: str, needed_bytes: int, free_bytes: int) -> None:
        self.path, self.needed_bytes, self.free_bytes = path, needed_bytes, free_bytes
        super().__init__(path, needed_bytes, free_bytes)

    def __str__(self) -> str:
        return (
            f"the store at {self.path} has no room: {self.needed_bytes:,} bytes needed, {self.free_bytes:,} free "
            f"on its disk; free some with `gpucache gc --apply` or put the store elsewhere with GPUCACHE_STORE"
        )


class StoreClosed(GpuCacheError):
    """The store handle was closed. Open the store again."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path)

    def __str__(self) -> str:
        return f"the store at {self.path} is closed; open it again with gpucache.Store(path)"


class RecordCorrupt(GpuCacheError):
    """Stored bytes are not what was written. They were quarantined; a call treats this as a miss."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(name, problem)

    def __str__(self) -> str:
        return f"{self.name} is damaged: {self.problem}; it was set aside and will be computed again when needed"


class BlobMissing(RecordCorrupt):
    """A record's bytes are gone (evicted or deleted). The record stays; asking for the value is a miss."""


class Untrusted(GpuCacheError):
    """A value would need unpickling, but others than this user can write to the store it lies in."""

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(path, why)

    def __str__(self) -> str:
        return f"refused to unpickle a value from {self.path}: {self.why}; make the store yours alone (chmod 700)"


class RemoteUnreachable(GpuCacheError, OSError):
    """The remote did not answer in time, or refused. A call treats this as a miss."""

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(url, why)

    def __str__(self) -> str:
        return f"the remote {self.url} does not answer: {self.why}; `gpucache doctor` asks it again"


# ---------------------------------------------------------------- running


class DoesNotFit(GpuCacheError):
    """A call can never run here: it asks for more than any place has. Raised before anything is reserved."""

    def __init__(self, task: str, what: str, needed: str, largest: str) -> None:
        self.task, self.what, self.needed, self.largest = task, what, needed, largest
        super().__init__(task, what, needed, largest)

    def __str__(self) -> str:
        return (
            f"task {self.task!r} needs {self.what} {self.needed}, but the largest place has {self.largest}; "
            f"ask for less or split the task"
        )


class WorkerLost(GpuCacheError, BrokenExecutor):
    """The worker that ran a call died, and so did those it was given to afterwards.

    A BrokenExecutor for who handles a process pool's so; other calls, and later ones, run all the same.
    """

    def __init__(self, task: str, attempts: int, how: str) -> None:
        self.task, self.attempts, self.how = task, attempts, how
        super().__init__(task, attempts, how)

    def __str__(self) -> str:
        return (
            f"task {self.task!r}: its worker died ({self.how}) in each of {self.attempts} attempts; "
            "does it exhaust memory or crash?"
        )


class TaskTimeout(GpuCacheError, TimeoutError):
    """A call ran longer than its `timeout`. Its worker was stopped; nothing was stored."""

    def __init__(self, task: str, timeout_s: float) -> None:
        self.task, self.timeout_s = task, timeout_s
        super().__init__(task, timeout_s)

    def __str__(self) -> str:
        return (
            f"task {self.task!r} ran longer than its timeout of {self.timeout_s:g} s; raise timeout= or split the task"
        )


class RuntimeUnreachable(GpuCacheError):
    """The runtime (workers, Ray) could not be started or reached."""

    def __init__(self, runtime: str, why: str, remedy: str) -> None:
        self.runtime, self.why, self.remedy = runtime, why, remedy
        super().__init__(runtime, why, remedy)

    def __str__(self) -> str:
        return f"runtime {self.runtime!r} can't be reached: {self.why}; {self.remedy}"


class RemoteTraceback(GpuCacheError):
    """The traceback of a user's exception as it was in the worker; the exception's __cause__."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return f"\n{self.text}"


class RemoteError(GpuCacheError, RuntimeError):
    """A user's exception that can't be pickled or rebuilt, by its name and text; its traceback is the __cause__."""

    def __init__(self, type_name: str, text: str) -> None:
        self.type_name, self.text = type_name, text
        super().__init__(type_name, text)

    def __str__(self) -> str:
        return f"{self.type_name}: {self.text} (the exception itself can't be pickled)"


class WorkersBroken(GpuCacheError, BrokenExecutor):
    """An initializer raised in a worker, or workers can't be started, so no call can run any more."""

    def __init__(self, why: str, remedy: str) -> None:
        self.why, self.remedy = why, remedy
        super().__init__(why, remedy)

    def __str__(self) -> str:
        return f"workers can't run calls any more: {self.why}; {self.remedy}"


class PlanStopped(GpuCacheError):
    """A plan can't be followed further: the flow looks at a value that is not known before it runs."""

    def __init__(self, flow: str, task: str) -> None:
        self.flow, self.task = flow, task
        super().__init__(flow, task)

    def __str__(self) -> str:
        return f"flow {self.flow!r} looks at the result of {self.task!r}, which is not known before it runs"


# ---------------------------------------------------------------- placement


class PolicyFailed(GpuCacheError, ValueError):
    """A placement policy raised, or gave something that can't be compared. Nothing was placed."""

    def __init__(self, policy: str, problem: str) -> None:
        self.policy, self.problem = policy, problem
        super().__init__(policy, problem)

    def __str__(self) -> str:
        return f"policy {self.policy!r} {self.problem}; nothing was placed; a policy gives a number for every place"


class BadTable(GpuCacheError, ValueError):
    """A file of nodes or tasks has something that is not understood. Line 1 is the header."""

    def __init__(self, path: str, line: int, column: str, value: str, expected: str) -> None:
        self.path, self.line, self.column, self.value, self.expected = path, line, column, value, expected
        super().__init__(path, line, column, value, expected)

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}, column {self.column!r}: {self.value!r}; expected {self.expected}"
