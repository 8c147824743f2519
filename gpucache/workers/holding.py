"""What a worker holds, by its own account: residents, and device memory as PyTorch counts it. Told with its answers.

NVML's process ids are the host's in a container, so nobody outside can say there how much of a GPU is this process's. A
worker can, where it uses PyTorch. Asking PyTorch costs 0.1 ms, so it is asked at most every EVERY_S.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gpucache.workers.messages import Holding

if TYPE_CHECKING:
    from gpucache.residence import Held

EVERY_S = 0.25

_NOTHING = Holding((), ())


class _Told:
    residents: Callable[[], Iterable[Held]] | None = None


def tell_residents(held: Callable[[], Iterable[Held]]) -> None:
    """Say where this process's residents are found."""
    _Told.residents = held


def cuda_in_use() -> Any:
    """torch.cuda if this process uses it already; None if not. Nothing is imported and no context is made."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    is_initialized = getattr(cuda, "is_initialized", None)  # missing while another thread imports it
    return cuda if is_initialized is not None and is_initialized() else None


class Account:
    """What was told last, so that only what has changed is told.

    Args:
        gpus: How many the worker holds.
        clock: Seconds that only grow.
    """

    def __init__(self, gpus: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._gpus, self._clock = gpus, clock
        self._told = _NOTHING
        self._asked_at: float | None = None

    def news(self) -> Holding | None:
        """What is held, if that is not what was told last."""
        residents = () if _Told.residents is None else tuple((h.name, h.gpu_memory_bytes) for h in _Told.residents())
        now = Holding(residents, self._device_bytes(anew=residents != self._told.residents))
        if now == self._told:
            return None
        self._told = now
        return now

    def _device_bytes(self, *, anew: bool) -> tuple[int, ...]:
        cuda = cuda_in_use() if self._gpus else None
        if cuda is None:
            return ()
        now = self._clock()
        if not anew and self._asked_at is not None and now - self._asked_at < EVERY_S:
            return self._told.device_bytes
        self._asked_at = now
        try:
            return tuple(int(cuda.memory_reserved(index)) for index in range(min(self._gpus, cuda.device_count())))
        except (
            RuntimeError,
            AttributeError,
        ):  # a context that a call broke, as the call itself has said; or no PyTorch
            return ()
