"""A concurrent.futures.Executor on warm workers: local processes or Ray actors, with or without a share of a GPU.

Like ProcessPoolExecutor, except that a call whose worker died is run again elsewhere (three times at most) and breaks
nothing for the others, that functions of notebooks, lambdas and closures can be sent, and that exceptions keep their
remote traceback as __cause__.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from gpucache.config import Config
from gpucache.errors import BadSetting, WorkersBroken
from gpucache.runtime.demand import Env, Resources
from gpucache.runtime.driver import Driver
from gpucache.sizes import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from gpucache.executors.cached import CachedCalls
    from gpucache.store import Store

P = ParamSpec("P")
R = TypeVar("R")


class Executor(concurrent.futures.Executor):
    """Runs calls in warm workers of its own. Any thread may call any method.

    Args:
        max_workers: Workers at most; None: one per CPU. They start when calls need them.
        gpus: Share of a GPU, or whole GPUs, for each worker; on a machine without GPUs it counts for nothing.
        gpu_memory: Device memory that each worker reserves, "6GiB" or bytes; None: what its share amounts to.
        cpus: CPUs that each call counts for.
        memory: Host memory that each call counts for, "2GiB" or bytes.
        env: The workers' environment.
        initializer: Run in each worker before its first call, with initargs. If it raises, the executor is broken.
        cache: A call whose answer is in the store (GPUCACHE_STORE, or the one given) is not run. Functions and arguments
            must have an identity then; initializers are refused, because results may depend on them.
        runtime: "local", "ray", "ray://host:port" or "inline"; None: the session's, or GPUCACHE_RUNTIME.
        store: Where large arrays travel through, both ways; they arrive mapped and read-only. None: they are pickled.
        retries: How often a call that raised is run again.
        timeout: After this long in a worker ("90s", or seconds) a call is stopped, and has TaskTimeout.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        gpus: float = 0,
        *,
        gpu_memory: str | int | None = None,
        cpus: float = 1,
        memory: str | int | None = None,
        env: Env | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        cache: bool = False,
        runtime: str | None = None,
        store: Store | None = None,
        retries: int = 0,
        timeout: float | str | None = None,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        config = _session_config(runtime)
        if max_workers is not None:
            config = replace(config, max_workers=max_workers)
        gpu_memory_bytes, memory_bytes, self._timeout_s = _in_units(gpu_memory, memory, timeout)
        self._resources = Resources(
            cpus=cpus, gpus=gpus, gpu_memory_bytes=gpu_memory_bytes, memory_bytes=memory_bytes, env=env
        )
        self._cached: CachedCalls | None = None
        if cache:
            if initializer is not None:
                raise BadSetting("initializer", repr(initializer), "None with cache=True")
            from gpucache.executors.cached import CachedCalls

            config = config if store is None else replace(config, store=str(store.path))
            self._cached = CachedCalls(config, self._resources, retries=retries, timeout_s=self._timeout_s)
            self._driver = self._cached.driver
        else:
            self._driver = Driver(
                config, initializer=initializer, initargs=initargs, on_broken=_log_broken, keeps_main=True
            )
        self._store = store
        self._retries = retries
        # An executor that nobody holds any more finishes what it was given and then ends its workers.
        self._finalizer = weakref.finalize(self, _let_go, self._driver)
        self._finalizer.atexit = False  # the driver itself sees to the end of the program

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[R]:
        """Run fn(*args, **kwargs) in a worker.

        Raises:
            RuntimeError: The executor was shut down.
            concurrent.futures.BrokenExecutor: The initializer raised in a worker.
        """
        if self._driver.broken is not None:
            raise self._driver.broken
        if self._cached is not None:
            self._driver.check_usable()
            return cast("concurrent.futures.Future[R]", self._cached.submit(fn, args, kwargs))
        future = self._driver.submit(
            fn,
            args,
            kwargs,
            resources=self._resources,
            retries=self._retries,
            timeout_s=self._timeout_s,
            store=self._store,
        )
        return cast("concurrent.futures.Future[R]", future)

    @property
    def _broken(self) -> bool:
        """As the standard library's executors have it; tools look at it."""
        return self._driver.broken is not None

    def map(
        self, fn: Callable[..., R], /, *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[R]:
        """Like map(), with the calls in workers, `chunksize` of them in one message; results in order.

        Raises:
            TimeoutError: From the iterator, if the next result is not there `timeout` seconds after map() was called.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        lists = super().map(_run_chunk, itertools.repeat(fn), chunks, timeout=timeout)
        return _chain(lists)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # as inherited
        """Take no more calls; end the workers when the calls that are there have ended."""
        if self._cached is not None:
            if cancel_futures:
                self._cached.cancel()
            if wait:
                self._cached.wait()
        self._driver.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._finalizer.detach()


def _session_config(runtime: str | None) -> Config:
    """The settings of gpucache.init, if it was called, else of the environment."""
    sessions = sys.modules.get("gpucache.flows.session")
    config = Config.from_env() if sessions is None else sessions.current_session().config
    return config if runtime is None else replace(config, runtime=runtime)


def _log_broken(error: WorkersBroken) -> None:
    """Where the standard library's executors log it."""
    logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=error.__cause__)


def _let_go(driver: Driver) -> None:
    driver.shutdown(wait=False)


def _chunks(calls: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    rest = iter(calls)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


def _run_chunk(fn: Callable[..., R], chunk: list[tuple[Any, ...]]) -> list[R]:
    return [fn(*args) for args in chunk]


def _chain(lists: Iterator[list[R]]) -> Iterator[R]:
    """Each chunk's results, and the references to them gone as soon as they are taken."""
    for results in lists:
        results.reverse()
        while results:
            yield results.pop()


def _in_units(
    gpu_memory: str | int | None, memory: str | int | None, timeout: float | str | None
) -> tuple[int | None, int | None, float | None]:
    """Bytes, bytes and seconds, written as for tasks."""
    if gpu_memory is None and memory is None and timeout is None:
        return None, None, None
    return (
        None if gpu_memory is None else parse_bytes("gpu_memory", gpu_memory),
        None if memory is None else parse_bytes("memory", memory),
        None if timeout is None else parse_seconds("timeout", timeout),
    )
