"""gpucache: nothing is computed twice and no GPU is cold.

The public names, bound on first use: importing gpucache imports neither ray, torch, pyarrow nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gpucache.workers.watch import watch

if TYPE_CHECKING:
    from gpucache import errors as errors
    from gpucache.config import Config as Config
    from gpucache.digests import Digest as Digest
    from gpucache.digests import Dir as Dir
    from gpucache.digests import File as File
    from gpucache.digests import register_type as register_type
    from gpucache.events import State as State
    from gpucache.executors import Executor as Executor
    from gpucache.flows import Acceptance as Acceptance
    from gpucache.flows import AsyncTask as AsyncTask
    from gpucache.flows import Cached as Cached
    from gpucache.flows import Call as Call
    from gpucache.flows import Flow as Flow
    from gpucache.flows import Future as Future
    from gpucache.flows import Options as Options
    from gpucache.flows import Plan as Plan
    from gpucache.flows import Resident as Resident
    from gpucache.flows import Run as Run
    from gpucache.flows import Task as Task
    from gpucache.flows import accept as accept
    from gpucache.flows import acceptances as acceptances
    from gpucache.flows import digest as digest
    from gpucache.flows import flow as flow
    from gpucache.flows import init as init
    from gpucache.flows import resident as resident
    from gpucache.flows import run as run
    from gpucache.flows import runs as runs
    from gpucache.flows import shutdown as shutdown
    from gpucache.flows import task as task
    from gpucache.memo import Explanation as Explanation
    from gpucache.memo import Key as Key
    from gpucache.memo import Reason as Reason
    from gpucache.runtime.demand import Env as Env
    from gpucache.store import Store as Store

__version__ = "0.1.0"

watch()  # when what is imported from here on was read, so that workers can be given the same text

_HOMES = {
    "config": ("Config",),
    "digests": ("Digest", "Dir", "File", "register_type"),
    "events": ("State",),
    "executors": ("Executor",),
    "flows": (
        "Acceptance",
        "accept",
        "acceptances",
        "AsyncTask",
        "Cached",
        "Call",
        "Flow",
        "Future",
        "Options",
        "Plan",
        "Resident",
        "Run",
        "Task",
        "digest",
        "flow",
        "init",
        "resident",
        "run",
        "runs",
        "shutdown",
        "task",
    ),
    "memo": ("Explanation", "Key", "Reason"),
    "runtime.demand": ("Env",),
    "store": ("Store",),
}
_HOME_OF = {name: f"gpucache.{home}" for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "errors"])  # noqa: PLE0605  # sorted() of a list literal is a list of str


def __getattr__(name: str) -> object:
    if name == "errors":
        return importlib.import_module("gpucache.errors")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'gpucache' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
