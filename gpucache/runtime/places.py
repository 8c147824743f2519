"""What the engine asks of whoever gives out GPUs, and the machine that has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gpucache.workers.kind import Kind, WorkerId

if TYPE_CHECKING:
    from gpucache.telemetry import Fleet


class GpuPlaces(Protocol):
    """Which GPUs are free. Pure; placement does the choosing."""

    def fits(self, kind: Kind, members: int) -> str | None:
        """What is there, if so many workers of a kind can never have their GPUs at once; else None."""

    def take(self, worker: WorkerId, kind: Kind) -> tuple[str, ...] | None:
        """GPUs for a worker, held until give(); None if there are none now."""

    def give(self, worker: WorkerId) -> None:
        """The worker is gone."""

    def observe(self, fleet: Fleet) -> frozenset[str]:
        """The GPUs were read anew; those that no call may go to any more."""


class NoGpus:
    """A machine without GPUs: the driver asks for none, so that every task runs on CPUs."""

    def fits(self, kind: Kind, members: int) -> str | None:
        """Everything fits."""
        return None

    def take(self, worker: WorkerId, kind: Kind) -> tuple[str, ...] | None:
        """No GPUs are needed."""
        return ()

    def give(self, worker: WorkerId) -> None:
        """Nothing was held."""

    def observe(self, fleet: Fleet) -> frozenset[str]:
        """There are none."""
        return frozenset()
