"""Where the code that is running now runs: asked by residents and by members of a gang.

A process-wide value in a worker process, so that threads a task starts see it too; a context variable for the
in-process twin, where several workers are threads of one process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The worker that runs this call.

    Attributes:
        worker: Its name, "w3".
        device: "cuda:0" if it holds a GPU (CUDA_VISIBLE_DEVICES makes its first one number 0), else "cpu".
        gpus: The UUIDs of the GPUs it holds.
        rank: This member's number in its gang, 0 to size - 1.
        size: Members of the gang; 1 for an ordinary call.
    """

    worker: str
    device: str = "cpu"
    gpus: tuple[str, ...] = ()
    rank: int = 0
    size: int = 1


class _Process:
    context: WorkerContext | None = None


_thread_context: ContextVar[WorkerContext | None] = ContextVar("gpucache_worker", default=None)


_beginning: ContextVar[Callable[[], object] | None] = ContextVar("gpucache_beginning", default=None)


def on_beginning(tell: Callable[[], object] | None) -> None:
    """Have begun() call `tell`, once; None: nobody wants to know."""
    _beginning.set(tell)


def begun() -> None:
    """Say that what a call is for begins now: its code is imported, its residents are loaded. Time limits count from here."""
    tell = _beginning.get()
    if tell is not None:
        _beginning.set(None)
        tell()


def current() -> WorkerContext | None:
    """The worker this code runs in, None in the driver."""
    return _thread_context.get() or _Process.context


def enter(context: WorkerContext, *, whole_process: bool) -> None:
    """Say that what runs next, in this process or only in this thread, runs in `context`."""
    if whole_process:
        _Process.context = context
    else:
        _thread_context.set(context)
