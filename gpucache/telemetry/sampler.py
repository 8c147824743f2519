"""Reads the GPUs in the background, so that whoever places work always has an answer at once, and knows how old it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from gpucache.events import Degraded, hooks
from gpucache.telemetry.reading import Fleet, Source

EVERY_S = 1.0
"""As often as the driver renews its utilisation (its samples are a sixth of a second to a second long)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The last reading: `age_s` has passed since it began. A driver that hangs makes it older, not wrong."""

    fleet: Fleet
    age_s: float


class Sampler:
    """Reads a source again and again in a thread of its own. Any thread may ask; nobody who asks waits for a driver.

    Args:
        source: What is read; None: this machine's NVML, with Xids watched.
        every_s: From the end of one reading to the beginning of the next.
        processes: Also list processes. Costs milliseconds under the driver's lock at each reading.
        on_reading: Called with each reading, in the sampler's thread.
        clock_ns: The clock that Fleet.read_at_ns is of.
    """

    def __init__(
        self,
        source: Source | None = None,
        *,
        every_s: float = EVERY_S,
        processes: bool = False,
        on_reading: Callable[[Fleet], None] | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if every_s <= 0:
            raise ValueError(f"every_s={every_s}: the time between two readings is more than 0 seconds")
        self._source, self._close_source = _this_machine() if source is None else (source, lambda: None)
        self._every_s = every_s
        self._processes = processes
        self._on_reading = on_reading
        self._clock_ns = clock_ns
        self._changed = threading.Condition()
        self._last: Fleet | None = None
        self._count = 0
        self._closed = threading.Event()
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="gpucache-sampler", daemon=True)
        self._thread.start()

    def latest(self) -> Sample | None:
        """The last reading and its age, at once; None before the first."""
        fleet = self._last
        return None if fleet is None else Sample(fleet, (self._clock_ns() - fleet.read_at_ns) / 1e9)

    def wait(self, timeout_s: float, *, after: int = 0) -> Sample | None:
        """Wait until more than `after` readings were made; then like latest(). None if there is none in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count > after, timeout_s):
                return None
        return self.latest()

    @property
    def reading_count(self) -> int:
        """How many readings were made."""
        return self._count

    def close(self) -> None:
        """Read no more. Does not wait for a reading that is under way."""
        self._closed.set()
        self._close_source()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                fleet = self._source.read(processes=self._processes)
            except Exception as problem:  # noqa: BLE001  # an edge: a source may be the user's; the last reading grows older
                self._say("the GPUs are not read", problem)
            else:
                with self._changed:
                    self._last = fleet
                    self._count += 1
                    self._changed.notify_all()
                self._tell(fleet)
            self._closed.wait(self._every_s)

    def _tell(self, fleet: Fleet) -> None:
        if self._on_reading is None or self._closed.is_set():
            return
        try:
            self._on_reading(fleet)
        except Exception as problem:  # noqa: BLE001  # an edge: a listener may be the user's; readings go on, for others
            self._say("whoever listens to readings of the GPUs is told of each, and failed", problem)

    def _say(self, what: str, problem: Exception) -> None:
        if what not in self._said:
            self._said.add(what)
            hooks.emit(Degraded(what, f"{type(problem).__name__}: {problem}"))


def _this_machine() -> tuple[Source, Callable[[], None]]:
    from gpucache.telemetry.from_nvml import NvmlSource

    source = NvmlSource(watch_xids=True)
    return source, source.close
