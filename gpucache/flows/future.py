"""A result that is on its way: concurrent.futures.Future's methods, awaitable, and an argument of other tasks.

A result that lies in the store is not loaded until someone asks for it; a task that takes the future as its argument
needs its digest alone.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

from gpucache.events import State
from gpucache.memo import Key
from gpucache.store import Manifest, Store

R = TypeVar("R")


class Arrived:
    """A result in the store, loaded when it is first asked for."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store, self.manifest = store, manifest
        self._loaded: tuple[object] | None = None

    def value(self) -> object:
        """The value; the same object each time."""
        if self._loaded is None:
            self._loaded = (self.store.read(self.manifest),)
        return self._loaded[0]


class Future(concurrent.futures.Future[R], Generic[R]):
    """What submit() gives. Any thread may call any method; `await future` works in any event loop.

    Attributes:
        task: The task's name.
        key: The call's key, once its arguments are known; None for a task that is not cached.
        state: Where the call is (State).
    """

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task
        self.key: Key | None = None
        self.state = State.QUEUED
        self._inner: concurrent.futures.Future[Any] | None = None

    def result(self, timeout: float | None = None) -> R:
        """The value, waited for at most `timeout` seconds. Raises what the task raised, CancelledError or TimeoutError."""
        outcome = cast("object", super().result(timeout))
        return cast("R", outcome.value() if type(outcome) is Arrived else outcome)

    def manifest(self, timeout: float | None = None) -> Manifest | None:
        """The result's manifest if it lies in the store (then nothing is loaded), else None. Waits, raises as result()."""
        outcome = cast("object", super().result(timeout))
        return outcome.manifest if type(outcome) is Arrived else None

    def running(self) -> bool:
        """Whether a worker runs the call now; what it was given, but has not begun, is still queued, and can be cancelled."""
        inner = self._inner
        return not self.done() and (super().running() or (inner is not None and inner.running()))

    def cancel(self) -> bool:
        """Cancel the call unless it runs or is done."""
        inner = self._inner
        if inner is not None and not inner.cancel():
            return False
        return super().cancel()

    def __repr__(self) -> str:
        return f"<Future of {self.task!r}: {self.state.value}{', done' if self.done() else ''}>"

    def follow(self, inner: concurrent.futures.Future[Any]) -> None:
        """Let cancel() reach the runtime's own future of this call."""
        self._inner = inner

    def __await__(self) -> Generator[Any, None, R]:
        return asyncio.wrap_future(self).__await__()


def futures_in(values: Iterable[object]) -> Iterator[concurrent.futures.Future[Any]]:
    """Every future among values, and within their lists, tuples, sets and dictionaries."""
    return (value for value in leaves_in(values) if isinstance(value, concurrent.futures.Future))


def leaves_in(values: Iterable[object]) -> Iterator[object]:
    """What lies among values and within their builtin containers, plain scalars apart; however deep, and in cycles once."""
    open_, seen = [iter(values)], set[int]()
    while open_:
        for value in open_[-1]:
            kind = type(value)
            if kind in _SCALARS:
                continue
            if kind not in _CONTAINERS:
                yield value
            elif id(value) not in seen:
                seen.add(id(value))
                container = (
                    cast("dict[Any, object]", value).values() if kind is dict else cast("Iterable[object]", value)
                )
                open_.append(iter(container))
                break
        else:
            open_.pop()


_SCALARS = frozenset({int, float, complex, str, bytes, bool, type(None)})
_CONTAINERS = frozenset({list, tuple, set, frozenset, dict})


def resolved(value: object) -> object:
    """`value` with every future within it replaced by its result; itself if there is none. Waits for them."""
    if isinstance(value, concurrent.futures.Future):
        return value.result()
    if type(value) in (list, tuple, set, frozenset) and any(True for _ in futures_in(cast("Iterable[object]", value))):
        return type(value)(resolved(item) for item in cast("Iterable[object]", value))  # type: ignore[call-arg]  # builtin containers
    if type(value) is dict and any(True for _ in futures_in(value.values())):
        return {name: resolved(item) for name, item in value.items()}
    return value
