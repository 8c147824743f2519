"""Run the five steps under a contestant: `python -m benchmarks.programs.five_steps CONTESTANT FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks.programs.steps import STEPS

Mark = Callable[[Callable[..., Any]], Callable[..., Any]]


def marked_by(contestant: str, folder: str) -> Mark:
    """What the contestant makes of a function; each imports only its own library."""
    if contestant == "gpucache":
        import gpucache as gpc

        gpc.init(store=folder, runtime="inline")
        return gpc.task
    if contestant == "joblib":
        import joblib

        return joblib.Memory(folder, mmap_mode="r", verbose=0).cache
    if contestant == "diskcache":
        import diskcache

        return diskcache.Cache(folder, size_limit=8 * 2**30).memoize()
    return lambda fn: fn


def main(contestant: str, folder: str) -> None:
    """Each step's result is the next one's argument."""
    mark = marked_by(contestant, folder)
    value: Any = 0
    for step in STEPS:
        value = mark(step)(value)
    sys.stdout.write(f"{value}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
