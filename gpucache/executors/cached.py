"""Calls of an executor as tasks: a call whose answer is in the store is not run."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from gpucache.flows.future import Future, futures_in
from gpucache.flows.launch import Launch, after
from gpucache.flows.session import Session
from gpucache.flows.tasks import AnyTask, task
from gpucache.flows.watcher import Watched
from gpucache.runtime.demand import Resources

if TYPE_CHECKING:
    from gpucache.config import Config
    from gpucache.runtime.driver import Driver


class CachedCalls:
    """A session of an executor's own: its workers, and the store that config names. Any thread may call any method."""

    def __init__(self, config: Config, resources: Resources, *, retries: int, timeout_s: float | None) -> None:
        self._session = Session(config)
        self._mark = task(
            gpus=resources.gpus,
            gpu_memory="auto" if resources.gpu_memory_bytes is None else resources.gpu_memory_bytes,
            cpus=resources.cpus,
            memory=resources.memory_bytes,
            env=resources.env,
            retries=retries,
            timeout=timeout_s,
        )
        self._tasks: dict[Callable[..., Any], AnyTask] = {}
        self._lock = threading.Lock()
        self._under_way: set[concurrent.futures.Future[Any]] = set()

    @property
    def driver(self) -> Driver:
        """The workers."""
        return self._session.driver

    def submit(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Answer from the store, or run in a worker and store.

        Raises:
            NotIdentifiable: The function has no identity; errors of arguments are the future's.
            TypeError: The arguments do not fit.
        """
        made = self._tasks.get(fn)
        if made is None:
            made = self._tasks.setdefault(fn, cast("AnyTask", self._mark(fn)))
        future: Future[Any] = Future(made.name)
        with self._lock:
            self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        values = made.binder.bind(args, kwargs)
        launch = Launch(self._session, values, future, Watched(made, None, time.perf_counter()))
        after(futures_in(values), launch.go)
        return future

    def wait(self) -> None:
        """Return when every future has its result."""
        with self._lock:
            left = tuple(self._under_way)
        concurrent.futures.wait(left)

    def cancel(self) -> None:
        """Cancel what has not started."""
        with self._lock:
            left = tuple(self._under_way)
        for future in left:
            future.cancel()
