"""What a task asks for: checked once, when the task is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, get_args

from gpucache.errors import BadSetting
from gpucache.memo import Numerics
from gpucache.sizes import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from gpucache.runtime.demand import Env, Resources

Follow = str | Sequence[str]
Validate = Callable[[object], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A task's options, as the user gave them.

    Attributes:
        gpus: Share of a GPU (0.5) or whole GPUs (1, 2, ...).
        gpu_memory: Device memory, "6GiB"; "auto" is learned, and the whole device until something was learned.
        cpus: CPUs while it runs.
        memory: Host memory, "2GiB".
        env: A Ray runtime environment; warm workers are kept per environment.
        cache: False: always runs, is never looked up.
        version: Part of the key; change it to have everything run again.
        ignore: Parameters that do not count in the key.
        follow: What counts as the project's code: "project", "function" (its own body alone) or names of packages.
        numerics: What of the machine counts in the key: "any", "family" or "bitwise".
        retries: How often a call that raised is run again.
        timeout: After this ("90s", or seconds) the call is stopped; it runs in a worker then, and what is imported and loaded for
            it there does not count.
        workers: More than 1: a gang, placed together or not at all.
        validate: Called with the result; if it raises, or returns False, the result is neither stored nor passed on.
        tolerance: Run.check() takes a result for the same if its numbers differ by no more (relative, and absolute); None: bit
            for bit.
        force: Run even if the answer is known.
    """

    gpus: float = 0
    gpu_memory: str | int = "auto"
    cpus: float = 1
    memory: str | int | None = None
    env: Env | None = None
    cache: bool = True
    version: str | int | None = None
    ignore: Sequence[str] = ()
    follow: Follow = "project"
    numerics: Numerics = "any"
    retries: int = 0
    timeout: float | str | None = None
    workers: int = 1
    validate: Validate | None = None
    tolerance: float | None = None
    force: bool = False

    def __post_init__(self) -> None:
        for name in ("gpus", "cpus", "tolerance"):
            amount = getattr(self, name)
            if not isinstance(amount, int | float | None) or not 0 <= (amount or 0) < math.inf:
                raise BadSetting(name, repr(amount), "a number, 0 or more")
        for name, least in (("retries", 0), ("workers", 1)):
            count = getattr(self, name)
            if not isinstance(count, int) or count < least:
                raise BadSetting(name, repr(count), f"a whole number, {least} or more")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise BadSetting("gpus", str(self.gpus), "a share below 1, or a whole number")
        if self.numerics not in get_args(Numerics):
            raise BadSetting("numerics", str(self.numerics), f"one of {get_args(Numerics)}")
        object.__setattr__(self, "ignore", _names(self.ignore))
        self._check_kinds()
        if self.timeout_s is not None and not 0 < self.timeout_s < math.inf:
            raise BadSetting("timeout", repr(self.timeout), "more than 0 seconds, or None")
        _ = self.gpu_memory_bytes, self.memory_bytes

    def _check_kinds(self) -> None:
        for name in ("cache", "force"):
            if not isinstance(getattr(self, name), bool):
                raise BadSetting(name, repr(getattr(self, name)), "True or False")
        if not isinstance(self.version, str | int | None):
            raise BadSetting("version", repr(self.version), "a text, or a whole number")
        if not isinstance(self.follow, str) and not all(isinstance(one, str) for one in _each(self.follow)):
            raise BadSetting("follow", repr(self.follow), '"project", "function" or names of packages')
        if self.validate is not None and not callable(self.validate):
            raise BadSetting("validate", repr(self.validate), "a function of the result")
        if self.env is not None:
            from gpucache.runtime.demand import Env

            if not isinstance(self.env, Env):
                raise BadSetting("env", repr(self.env), "gpucache.Env(pip=[...], env_vars={...}, image=...)")

    @property
    def version_text(self) -> str | None:
        """The version as it counts in the key: 2 and "2" are one."""
        return None if self.version is None else str(self.version)

    @property
    def timeout_s(self) -> float | None:
        """The timeout in seconds."""
        return None if self.timeout is None else parse_seconds("timeout", self.timeout)

    @property
    def gpu_memory_bytes(self) -> int | None:
        """Device memory in bytes; None is "auto"."""
        return None if self.gpu_memory == "auto" else parse_bytes("gpu_memory", self.gpu_memory)

    @property
    def memory_bytes(self) -> int | None:
        """Host memory in bytes; None if nothing was asked for."""
        return None if self.memory is None else parse_bytes("memory", self.memory)

    @property
    def needs_worker(self) -> bool:
        """Whether a call can't run in the caller's process: it asks for a GPU, an environment, a gang or a time limit."""
        return self.gpus > 0 or self.env is not None or self.workers > 1 or self.timeout is not None

    def resources(self) -> Resources:
        """What the runtime is asked for."""
        from gpucache.runtime.demand import Resources

        return Resources(
            cpus=self.cpus,
            gpus=self.gpus,
            gpu_memory_bytes=self.gpu_memory_bytes if self.gpus else None,
            memory_bytes=self.memory_bytes,
            env=self.env,
            workers=self.workers,
        )


def _names(ignore: object) -> tuple[str, ...]:
    """Any collection of names as a tuple. A bare string would be taken for its letters."""
    if isinstance(ignore, str) or not isinstance(ignore, Iterable):
        raise BadSetting("ignore", repr(ignore), "parameter names, ('verbose',)")
    return tuple(ignore)


def _each(follow: object) -> Iterable[object]:
    return follow if isinstance(follow, Iterable) else (None,)


class OptionsGiven(TypedDict, total=False):
    """The fields of Options as keyword arguments, for type checkers."""

    gpus: float
    gpu_memory: str | int
    cpus: float
    memory: str | int | None
    env: Env | None
    cache: bool
    version: str | int | None
    ignore: Sequence[str]
    follow: Follow
    numerics: Numerics
    retries: int
    timeout: float | str | None
    workers: int
    validate: Validate | None
    tolerance: float | None
    force: bool
