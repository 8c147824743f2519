"""Readings from NVML, the driver's own library, through nvidia-ml-py. The only module that imports pynvml.

NVML is opened once and its handles are kept: opening it takes tens of milliseconds. The list of processes is read only
when it is asked for: it takes milliseconds under the driver's global lock (MangoHud#2104), the rest microseconds. A driver
call can hang (a GPU that fell off the bus); all calls run in a thread that the caller waits for only so long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from gpucache.telemetry.reading import Fleet, GpuReading, ProcessReading

TIME_LIMIT_S = 5.0
"""For one reading of all GPUs. The first one opens NVML, which takes up to a second or two where persistence is off."""


class NvmlSource:
    """The GPUs of this machine. Any thread may call read(); one reading goes on at a time."""

    def __init__(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._time_limit_s = time_limit_s
        self._lock = threading.Lock()
        self._nvml: Any = None
        self._handles: tuple[Any, ...] = ()
        self._problem: str | None = None
        self._hanging: threading.Thread | None = None

    def read(self, *, processes: bool = False) -> Fleet:
        """Read every GPU now; no GPUs and a problem in words if NVML is missing, fails, or does not answer in time."""
        began = time.monotonic_ns()
        with self._lock:
            if self._hanging is not None and self._hanging.is_alive():
                return Fleet((), began, ("NVML has not answered an earlier call yet",))
            answer: list[Fleet] = []
            reader = threading.Thread(target=lambda: answer.append(self._read(began, processes)), daemon=True)
            reader.start()
            reader.join(self._time_limit_s)
            if answer:
                return answer[0]
            self._hanging = reader
            return Fleet((), began, (f"NVML did not answer within {self._time_limit_s:g} s",))

    def _read(self, began: int, processes: bool) -> Fleet:
        if self._nvml is None and self._problem is None:
            self._open()
        if self._problem is not None:
            return Fleet((), began, (self._problem,))
        gpus: list[GpuReading] = []
        problems: list[str] = []
        for index, handle in enumerate(self._handles):
            try:
                gpus.append(self._gpu(index, handle, processes))
            except self._nvml.NVMLError as problem:
                problems.append(f"GPU {index}: {problem}")
        return Fleet(tuple(gpus), began, tuple(problems))

    def _open(self) -> None:
        try:
            import pynvml
        except ImportError as problem:
            self._problem = f"nvidia-ml-py is not installed ({problem})"
            return
        try:
            pynvml.nvmlInit()
            self._handles = tuple(pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount()))
            self._nvml = pynvml
        except pynvml.NVMLError as problem:
            self._problem = f"NVML can't be used: {problem}"

    def _gpu(self, index: int, handle: Any, processes: bool) -> GpuReading:
        """One GPU. Raises NVMLError if what every GPU has (name, UUID, memory) can't be read."""
        nvml = self._nvml
        absent: list[tuple[str, str]] = []

        def optional(field: str, read: Callable[[], Any]) -> Any:
            try:
                return read()
            except nvml.NVMLError as problem:
                absent.append((field, str(problem)))
                return None

        memory = optional(
            "memory_reserved_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        )
        reserved = None if memory is None else int(memory.reserved)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle) if memory is None else memory
        busy = optional("utilisation_fraction", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
        power = optional("power_w", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000)
        heat = optional(
            "temperature_c", lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        )
        listed = optional("processes", lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) if processes else None
        return GpuReading(
            uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
            index=index,
            name=_text(nvml.nvmlDeviceGetName(handle)),
            memory_total_bytes=int(memory.total),
            memory_used_bytes=int(memory.used),
            memory_free_bytes=int(memory.free),
            memory_reserved_bytes=reserved,
            utilisation_fraction=busy,
            power_w=power,
            temperature_c=heat,
            processes=None if listed is None else tuple(ProcessReading(one.pid, one.usedGpuMemory) for one in listed),
            absent=tuple(absent),
        )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
