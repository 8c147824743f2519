"""A loader whose value stays: model weights, a tokenizer, an index; loaded once in each process that needs it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from gpucache.digests import value_digest
from gpucache.fingerprint.project import root_of
from gpucache.flows.binding import Binder
from gpucache.flows.by_name import imported, named
from gpucache.flows.resident_state import state_of
from gpucache.flows.session import current_session
from gpucache.memo import Watch, generation_of
from gpucache.sizes import parse_bytes

P = ParamSpec("P")
R = TypeVar("R")


class Resident(Generic[P, R]):
    """What @resident makes of a loader. Call it inside a task, or make it a parameter's default.

    As an argument its identity is the loader's code and what it reads, never the loaded value.

    Attributes:
        fn: The undecorated loader.
        name: Its name.
        gpu_memory_bytes: What it declares to hold on the device, None if nothing.
    """

    def __init__(self, fn: Callable[..., R], gpu_memory_bytes: int | None) -> None:
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.name = fn.__qualname__
        self.gpu_memory_bytes = gpu_memory_bytes
        takes_device = "device" in inspect.signature(fn).parameters
        self._binder = Binder(fn, ("device",) if takes_device else ())
        self._takes_device = takes_device

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """The value, loaded now if this process does not hold it; shared by every call, so treat it as read-only.

        `device` is the worker's ("cuda:0", "cpu"), unless it is given.
        """
        session = current_session()
        if self._takes_device and "device" not in kwargs:
            kwargs["device"] = _device()
        values = self._binder.bind(args, kwargs)
        symbols = session.fingerprints()
        identities = tuple(
            value_digest(values[index], symbols=symbols, name=self._binder.names[index])
            for index in self._binder.counted
        )
        key = (symbols.of(self.fn).digest, generation_of(self.fn.__code__), kwargs.get("device"), identities)
        return cast(
            "R",
            session.residents.get(
                key,
                self.name,
                lambda: self._load(args, kwargs),
                self.gpu_memory_bytes,
                state=partial(state_of, symbols),
            ),
        )

    def _load(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        """Load it, and note which files it is made of: when they change, it is loaded again."""
        code = self.fn.__code__
        watch = Watch(root_of(code.co_filename), str(current_session().store.path), keepers=frozenset({code})).start()
        try:
            return self.fn(*args, **kwargs)
        finally:
            watch.stop()

    def __repr__(self) -> str:
        return f"<resident {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if named(self.fn) is self:
            return imported, (self.fn.__module__, self.fn.__qualname__)
        return _blank, (), {"fn": self.fn, "gpu_memory_bytes": self.gpu_memory_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Resident.__init__(self, state["fn"], state["gpu_memory_bytes"])


@overload
def resident(fn: Callable[P, R], /) -> Resident[P, R]: ...
@overload
def resident(*, gpu_memory: str | int | None = None) -> Callable[[Callable[P, R]], Resident[P, R]]: ...
def resident(
    fn: Callable[..., Any] | None = None, /, *, gpu_memory: str | int | None = None
) -> Resident[..., Any] | Callable[[Callable[..., Any]], Resident[..., Any]]:
    """Mark a loader: `@resident`, or `@resident(gpu_memory="90MiB")`.

    Raises:
        BadSetting: gpu_memory is not a size.
    """
    declared = None if gpu_memory is None else parse_bytes("gpu_memory", gpu_memory)
    if fn is not None:
        return Resident(fn, declared)
    return lambda loader: Resident(loader, declared)


def _device() -> str:
    from gpucache.workers.context import current

    context = current()
    return "cpu" if context is None else context.device


def _blank() -> Resident[..., Any]:
    return Resident.__new__(Resident)
