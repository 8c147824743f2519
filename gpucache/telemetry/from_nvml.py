"""Readings from NVML, the driver's own library, through nvidia-ml-py. The only module that imports pynvml.

NVML is opened once and its handles are kept: opening it takes tens of milliseconds. The list of processes is read only
when it is asked for: it takes milliseconds under the driver's global lock (MangoHud#2104), the rest microseconds. A driver
call can hang (a GPU that fell off the bus); all calls run in a thread that the caller waits for only so long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gpucache.events import Degraded, hooks
from gpucache.telemetry.nvml_fields import text
from gpucache.telemetry.nvml_gpu import KnownGpu, get_to_know, look_at
from gpucache.telemetry.nvml_paths import name_far_ends, paths_between
from gpucache.telemetry.process_ids import are_hosts
from gpucache.telemetry.reading import Fleet, GpuReading, PathBetween, without_readings
from gpucache.telemetry.xids import XidWatcher

TIME_LIMIT_S = 5.0
"""For one reading of all GPUs. The first one opens NVML, which takes up to a second or two where persistence is off."""


class _Opened(NamedTuple):
    """NVML as it was opened: what does not change until the driver is loaded anew."""

    nvml: Any
    gpus: tuple[KnownGpu, ...]
    problems: tuple[str, ...]
    paths: tuple[PathBetween, ...]
    driver_version: str | None
    cuda_version: str | None
    watcher: XidWatcher | None
    why_no_xids: str


class _UnderWay(NamedTuple):
    """A reading as far as it has come. Only the reading thread adds to it."""

    gpus: list[GpuReading]
    lost: list[str]
    problems: list[str]


class NvmlSource:
    """The GPUs of this machine. Any thread may call read(); one reading goes on at a time.

    Where the driver does not answer, the GPUs stay, as they were read last or as `declared` by their owner, with no
    readings but their size; Fleet.problems says why each time, and the event Degraded says it once. What was read before the
    call that hangs counts.

    Args:
        time_limit_s: How long a reading may take; what hangs is left alone in its thread.
        declared: GPUs (see declared_gpu) for where no driver has ever answered.
        watch_xids: Listen for Xids from the first reading to close(), in a thread.
    """

    def __init__(
        self, time_limit_s: float = TIME_LIMIT_S, *, declared: Sequence[GpuReading] = (), watch_xids: bool = False
    ) -> None:
        self._time_limit_s = time_limit_s
        self._watches_xids = watch_xids
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._known = tuple(declared)
        self._under_way = _UnderWay([], [], [])
        self._has_read = False
        self._hanging: threading.Thread | None = None
        self._doing = ""
        self._said: set[str] = set()

    def read(self, *, processes: bool = False) -> Fleet:
        """Read every GPU now; never raises, and takes time_limit_s at most once no other reading is under way."""
        began = time.monotonic_ns()
        with self._lock:
            if self._hanging is not None and self._hanging.is_alive():
                return self._without_driver(began, f"NVML has not answered an earlier call yet ({self._doing})")
            self._hanging = None
            answer: list[Fleet | str] = []
            self._under_way = _UnderWay([], [], [])
            reader = threading.Thread(
                target=lambda: answer.append(self._read(began, processes)), name="gpucache-nvml", daemon=True
            )
            reader.start()
            reader.join(self._time_limit_s)
            if not answer:
                self._hanging = reader
                why = f"NVML did not answer within {self._time_limit_s:g} s ({self._doing})"
                return self._read_in_part(began, why)
            fleet = answer[0]
            if isinstance(fleet, str):
                return self._without_driver(began, fleet)
            if fleet.gpus:
                self._known, self._has_read = fleet.gpus, True
            for uuid in fleet.lost:
                self._say(f"{uuid} is lost", fleet.problems)
            return fleet

    @property
    def watcher(self) -> XidWatcher | None:
        """Who listens for Xids; None before the first reading, or where nobody does."""
        return None if self._opened is None else self._opened.watcher

    def close(self) -> None:
        """Stop watching for Xids. Does not wait; readings go on, with those seen until now."""
        self._watches_xids = False
        opened = self._opened
        if opened is not None and opened.watcher is not None:
            opened.watcher.close()

    # ---------------------------------------------------------------- in the reading thread

    def _read(self, began: int, processes: bool) -> Fleet | str:
        """What the driver says, or why it says nothing."""
        try:
            self._opened = self._opened or self._open()
            return self._look_at_all(self._opened, began, processes)
        except Exception as problem:  # noqa: BLE001  # an edge: whatever the library does, a reading is an answer
            return f"NVML can't be used: {str(problem) or type(problem).__name__}"

    def _look_at_all(self, opened: _Opened, began: int, processes: bool) -> Fleet:
        gpus, lost, problems = self._under_way
        problems.extend(opened.problems)
        for gpu in opened.gpus:
            try:
                gpus.append(self._look(opened, gpu, processes))
            except opened.nvml.NVMLError as problem:
                problems.append(f"GPU {gpu.index} ({gpu.uuid}) can't be read: {problem}")
                lost.append(gpu.uuid)
        if opened.watcher is not None:
            problems.extend(opened.watcher.problems)
        if lost and not gpus:
            self._forget(opened)  # the driver was unloaded, or every GPU is gone: begin anew at the next reading
        return Fleet(
            tuple(gpus),
            began,
            tuple(problems),
            lost=tuple(lost),
            paths=opened.paths,
            driver_version=opened.driver_version,
            cuda_version=opened.cuda_version,
            pids_are_hosts=are_hosts(),
        )

    def _look(self, opened: _Opened, gpu: KnownGpu, processes: bool) -> GpuReading:
        nvml = _Noting(opened.nvml, lambda name: self._note(f"{name} on GPU {gpu.index}"))
        watcher = opened.watcher
        xids = None if watcher is None else watcher.seen(gpu.uuid)
        why = opened.why_no_xids if watcher is None else watcher.why_not(gpu.uuid)
        return look_at(nvml, gpu, processes=processes, xids=xids, why_no_xids=why)

    def _open(self) -> _Opened:
        import pynvml

        nvml = _Noting(pynvml, self._note)
        nvml.nvmlInit()
        gpus: list[KnownGpu] = []
        problems: list[str] = []
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                gpus.append(get_to_know(nvml, index, nvml.nvmlDeviceGetHandleByIndex(index)))
            except pynvml.NVMLError as problem:
                problems.append(f"GPU {index} can't be opened: {problem}")
        name_far_ends(gpus)
        driver_version = _or_none(pynvml, lambda: text(nvml.nvmlSystemGetDriverVersion()))
        cuda = _or_none(pynvml, lambda: int(nvml.nvmlSystemGetCudaDriverVersion_v2()))
        watcher, why = None, "nobody watches; a Sampler does"
        if self._watches_xids and gpus:
            try:
                watcher = XidWatcher(pynvml, gpus)
            except pynvml.NVMLError as problem:
                why = f"Xids can't be watched: {problem}"
        return _Opened(
            pynvml,
            tuple(gpus),
            tuple(problems),
            paths_between(nvml, gpus),
            driver_version,
            None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            watcher,
            why,
        )

    def _forget(self, opened: _Opened) -> None:
        if opened.watcher is not None:
            opened.watcher.close()
        self._opened = None
        _or_none(opened.nvml, opened.nvml.nvmlShutdown)

    def _note(self, doing: str) -> None:
        self._doing = doing

    # ---------------------------------------------------------------- where the driver does not answer

    def _read_in_part(self, began: int, why: str) -> Fleet:
        """The GPUs that were read before the call that hangs, and of the others those that were read earlier.

        One that has never answered is named as a problem and is not there: nobody shall be given a GPU that hangs.
        """
        opened, told = self._opened, self._under_way
        read, lost, problems = tuple(told.gpus), tuple(told.lost), tuple(told.problems)
        if opened is None or not read:
            return self._without_driver(began, why)
        known, done = {gpu.uuid: gpu for gpu in self._known}, {*lost, *(gpu.uuid for gpu in read)}
        rest = [gpu.uuid for gpu in opened.gpus if gpu.uuid not in done]
        gpus = (*read, *(without_readings(known[uuid], why) for uuid in rest if uuid in known))
        self._known, self._has_read = gpus, True
        missing = f"{why}; nothing is read of {', '.join(rest) or 'what comes after'}"
        self._say("not all GPUs are read", (missing,))
        return Fleet(
            gpus,
            began,
            (*problems, missing),
            lost=lost,
            paths=opened.paths,
            driver_version=opened.driver_version,
            cuda_version=opened.cuda_version,
            pids_are_hosts=are_hosts(),
        )

    def _without_driver(self, began: int, why: str) -> Fleet:
        """The GPUs as far as they are known, and why nothing was read."""
        if not self._known:
            return Fleet((), began, (why,), pids_are_hosts=are_hosts())
        source = "read earlier" if self._has_read else "declared"
        gpus = tuple(without_readings(gpu, why) for gpu in self._known)
        self._say(f"GPUs are taken to be what was {source}", (why,))
        return Fleet(gpus, began, (f"{why}; sizes are those {source}",), pids_are_hosts=are_hosts())

    def _say(self, what: str, why: Sequence[str]) -> None:
        if what not in self._said:
            self._said.add(what)
            hooks.emit(Degraded(what, "; ".join(why)))


class _Noting:
    """pynvml, which notes the name of each call before it is made, so that one that hangs can be named."""

    def __init__(self, nvml: Any, note: Callable[[str], None]) -> None:
        self._nvml = nvml
        self._note = note

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._nvml, name)
        if name.startswith(("nvmlDevice", "nvmlInit", "nvmlSystem")):
            self._note(name)
        return found


def _or_none(nvml: Any, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except nvml.NVMLError:
        return None
