"""Values that stay in this process: each loaded once, shared by every call, dropped on request.

Process-local on purpose: a resident holds device memory of this process. Knows nothing of workers or devices; the
caller says how to load.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """A value in residence.

    Attributes:
        name: The loader's name, for people.
        value: What it gave.
        load_s: How long loading took, s: what keeping it saves each call.
        gpu_memory_bytes: What the loader declared, None if nothing.
    """

    name: str
    value: object
    load_s: float
    gpu_memory_bytes: int | None


class Residents:
    """The values that stay in this process. Any thread may call any method; one key is loaded once."""

    def __init__(self) -> None:
        self._held: dict[Hashable, Held] = {}
        self._loading: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, name: str, load: Callable[[], object], gpu_memory_bytes: int | None = None) -> object:
        """The value under `key`, loaded now if it is not here. What load() raises passes; nothing is kept then."""
        held = self._held.get(key)
        if held is not None:
            return held.value
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            held = self._held.get(key)
            if held is None:
                started = time.perf_counter()
                value = load()
                held = Held(name, value, time.perf_counter() - started, gpu_memory_bytes)
                self._held[key] = held
        return held.value

    def drop(self, key: Hashable) -> bool:
        """Forget the value under `key`; its memory is freed when the last call that uses it ends."""
        with self._lock:
            self._loading.pop(key, None)
            return self._held.pop(key, None) is not None

    def held(self) -> tuple[Held, ...]:
        """What is here now."""
        return tuple(self._held.values())
