"""Values that stay in this process: each loaded once, shared by every call, dropped on request or to make room.

Process-local on purpose: a resident holds device memory of this process. Knows nothing of workers or devices; the
caller says how to load. Room is made before a load where a limit is set and sizes are declared; and a loader that runs out of
memory is tried again with one resident less, until there is none.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from gpucache.events import Degraded, hooks
from gpucache.residence.out_of_memory import is_out_of_memory
from gpucache.residence.policies import BlendedFrequency


@dataclass(frozen=True, slots=True)
class Held:
    """A value in residence.

    Attributes:
        name: The loader's name, for people.
        value: What it gave.
        load_s: How long loading took, s: what keeping it saves each call.
        gpu_memory_bytes: What the loader declared, None if nothing.
        state: What it was when it was loaded, as the caller can tell; None if it can't.
    """

    name: str
    value: object
    load_s: float
    gpu_memory_bytes: int | None
    state: object = None


def _unknown(_: object) -> None:
    """What a value is can't be told."""


class Residents:
    """The values that stay in this process. Any thread may call any method; one key is loaded once.

    Args:
        max_bytes: Declared bytes that stay at most; 0: no limit. When a load would pass it, those leave first that are expected
            to save the least time per byte. What declared nothing is not counted and never leaves for it; what is larger than
            the limit is loaded all the same, alone.
    """

    def __init__(self, max_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._coming: dict[Hashable, int] = {}  # bytes of what is being loaded
        self._held: dict[Hashable, Held] = {}
        self._loading: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()
        self._policy = BlendedFrequency()

    def get(
        self,
        key: Hashable,
        name: str,
        load: Callable[[], object],
        gpu_memory_bytes: int | None = None,
        state: Callable[[object], object] = _unknown,
    ) -> object:
        """The value under `key`, loaded now if it is not here. What load() raises passes; nothing is kept then.

        Args:
            state: What a value is now, as far as that can be told in little time; None if it can't. A value that is not what it was
                when it was loaded is dropped, and loaded anew: someone changed it, and nobody else shall get that.
        """
        with self._lock:
            self._policy.asked(key)
        held = self._held.get(key)
        if held is not None and held.state is not None and state(held.value) != held.state:
            hooks.emit(Degraded(f"resident {name!r} is loaded anew", "a task changed it; work on a copy of it"))
            self.drop(key)
            held = None
        if held is not None:
            return held.value
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            held = self._held.get(key)
            if held is None:
                self._keep_to_limit(key, name, gpu_memory_bytes or 0)
                try:
                    started = time.perf_counter()
                    value = self._load(name, load)
                    held = Held(name, value, time.perf_counter() - started, gpu_memory_bytes, state(value))
                finally:
                    with self._lock:
                        self._coming.pop(key, None)
                        if held is not None:
                            self._held[key] = held
        return held.value

    def _keep_to_limit(self, key: Hashable, name: str, needed_bytes: int) -> None:
        """Make room for a load before it begins, so that old and new are not there side by side."""
        if not self._max_bytes or not needed_bytes:
            return
        gone: list[Held] = []
        with self._lock:
            self._coming[key] = needed_bytes
            sizes = {other: held.gpu_memory_bytes for other, held in self._held.items() if held.gpu_memory_bytes}
            while sizes and sum(sizes.values()) + sum(self._coming.values()) > self._max_bytes:
                least = min(sizes, key=self._saves_per_byte)
                del sizes[least]
                gone.append(self._held.pop(least))
        for dropped in gone:
            why = f"{name!r} needs {needed_bytes:,} of the {self._max_bytes:,} bytes of resident_max_bytes"
            hooks.emit(Degraded(f"resident {dropped.name!r} is unloaded", why))
        if gone:
            del gone, dropped
            _return_to_device()

    def _saves_per_byte(self, key: Hashable) -> float:
        held = self._held[key]
        return self._policy.likelihood(key) * held.load_s / (held.gpu_memory_bytes or 1)

    def _load(self, name: str, load: Callable[[], object]) -> object:
        while True:
            try:
                return load()
            except Exception as problem:
                if not is_out_of_memory(problem) or not self._make_room(name):
                    raise
            _return_to_device()  # after the except clause: the failed load's frames are gone with the exception

    def _make_room(self, name: str) -> bool:
        """Drop the value that is least likely to be asked for; False if there is none."""
        with self._lock:
            if not self._held:
                return False
            key = self._policy.victim(self._held)
            dropped = self._held.pop(key)
        hooks.emit(Degraded(f"resident {dropped.name!r} is unloaded", f"memory ran out while {name!r} was loaded"))
        return True

    def drop(self, key: Hashable) -> bool:
        """Forget the value under `key`; its memory is freed when the last call that uses it ends."""
        with self._lock:
            self._loading.pop(key, None)
            return self._held.pop(key, None) is not None

    def held(self) -> tuple[Held, ...]:
        """What is here now."""
        return tuple(self._held.values())


def _return_to_device() -> None:
    """Have PyTorch give freed memory back, so that who does not use its pool can have it, too."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        cuda.empty_cache()
