"""Work that a body hands to a pool of threads: what it reads there counts, also in threads that were there before the body.

Pools are told by their methods, which pass on what is watched (concurrent.futures, so asyncio's run_in_executor and dask's
default pool, and multiprocessing.pool.ThreadPool, so joblib's threads). asyncio and anyio pass on the context by themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import wraps
from typing import Any

_OF_THREAD_POOL = ("apply_async", "_map_async", "imap", "imap_unordered")
_told: set[type] = set()


Working = Callable[[Any], AbstractContextManager[None]]
"""Within it this thread works for a watch."""


def install(current: ContextVar[Any], working: Working) -> None:
    """Have all pools that were imported by now pass on what `current` says. Cheap where there is nothing new; called at every start."""
    if ThreadPoolExecutor not in _told:
        _told.add(ThreadPoolExecutor)
        _pass_on(ThreadPoolExecutor, "submit", current, working)
    pools = sys.modules.get("multiprocessing.pool")
    if pools is not None and pools.ThreadPool not in _told:
        _told.add(pools.ThreadPool)
        for name in _OF_THREAD_POOL:
            _pass_on(pools.ThreadPool, name, current, working)


def _pass_on(pool: type, name: str, current: ContextVar[Any], working: Working) -> None:
    inner = getattr(pool, name)

    @wraps(inner)
    def told(self: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return inner(self, _watched(function, current, working), *args, **kwargs)

    setattr(pool, name, told)


def _watched(function: Callable[..., Any], current: ContextVar[Any], working: Working) -> Callable[..., Any]:
    watch = current.get()
    if watch is None:
        return function

    def run(*args: Any, **kwargs: Any) -> Any:
        token = current.set(watch)
        try:
            with working(watch):
                return function(*args, **kwargs)
        finally:
            current.reset(token)

    return run
