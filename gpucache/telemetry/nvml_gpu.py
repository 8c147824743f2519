"""One GPU through NVML: what it is, read once, and how it is now. Given the nvml module, which it does not import.

A value that the driver does not give becomes None with the driver's words for it. Only a GPU that is gone is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpucache.telemetry.nvml_fields import IS, NOW, Reader, processes_on, sample_period_s, text
from gpucache.telemetry.reading import GpuReading, MigReading, XidEvent


@dataclass(frozen=True, slots=True)
class KnownGpu:
    """A GPU whose handle is open, and what does not change about it."""

    handle: Any
    index: int
    uuid: str
    name: str
    facts: dict[str, Any]
    absent: tuple[tuple[str, str], ...]


class _Attempts:
    """Reads what may be missing: None and a note of the driver's reason. That a GPU is gone is an error all the same."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self.absent: list[tuple[str, str]] = []

    def read(self, field: str, reader: Reader) -> Any:
        try:
            return reader(self._nvml, self._handle)
        except self._nvml.NVMLError as problem:
            if problem.value in _gone(self._nvml):
                raise
            return self.note(field, str(problem))
        except AttributeError as problem:
            return self.note(field, f"this version of nvidia-ml-py does not know the call ({problem.name})")

    def note(self, field: str, why: str) -> None:
        self.absent.append((field, why))


def get_to_know(nvml: Any, index: int, handle: Any) -> KnownGpu:
    """Read what a GPU is.

    Raises:
        NVMLError: It has no UUID or no name, or is gone.
    """
    attempts = _Attempts(nvml, handle)
    uuid, name = text(nvml.nvmlDeviceGetUUID(handle)), text(nvml.nvmlDeviceGetName(handle))
    facts = {field: attempts.read(field, reader) for field, reader in IS.items()}
    return KnownGpu(handle, index, uuid, name, facts, tuple(attempts.absent))


def look_at(
    nvml: Any, gpu: KnownGpu, *, processes: bool, xids: tuple[XidEvent, ...] | None, why_no_xids: str
) -> GpuReading:
    """Read how a GPU is now; `xids` are what a watcher saw.

    Raises:
        NVMLError: It is gone, or its driver is.
    """
    attempts = _Attempts(nvml, gpu.handle)
    values: dict[str, Any] = gpu.facts | _memory(attempts)
    values.update((field, attempts.read(field, reader)) for field, reader in NOW.items())
    values.update(xids=xids, mig=None, processes=None)
    if "utilisation_window_s" not in values:
        values["utilisation_window_s"] = attempts.read("utilisation_window_s", sample_period_s)
        if values["utilisation_window_s"] is not None:  # the driver's own, the same for ever: asked for once
            gpu.facts["utilisation_window_s"] = values["utilisation_window_s"]
    if values["mig_is_on"]:
        values["mig"] = attempts.read("mig", _instances)
    else:
        attempts.note("mig", "MIG is off" if values["mig_is_on"] is False else "the GPU has no MIG")
    if processes:
        values["processes"] = attempts.read("processes", processes_on)
    else:
        attempts.note("processes", "not asked for")
    if xids is None:
        attempts.note("xids", why_no_xids)
    return GpuReading(gpu.uuid, gpu.index, gpu.name, **values, absent=(*gpu.absent, *attempts.absent))


def _gone(nvml: Any) -> tuple[int, ...]:
    """What says that no other call about this GPU will do better."""
    return (
        nvml.NVML_ERROR_GPU_IS_LOST,
        nvml.NVML_ERROR_RESET_REQUIRED,
        nvml.NVML_ERROR_UNINITIALIZED,
        nvml.NVML_ERROR_DRIVER_NOT_LOADED,
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    )


def _memory(attempts: _Attempts) -> dict[str, int | None]:
    """By version 2; where the driver has none (WSL, old ones) by version 1, which counts as used what is reserved."""
    fields = ("memory_total_bytes", "memory_used_bytes", "memory_free_bytes")
    told = attempts.read(
        "memory_reserved_bytes", lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2)
    )
    reserved = None if told is None else int(told.reserved)
    if told is None:
        told = attempts.read(fields[0], lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu))
    if told is None:
        _, why = attempts.absent[-1]
        for field in fields[1:]:
            attempts.note(field, why)
        return {"memory_reserved_bytes": None, **dict.fromkeys(fields)}
    numbers = (int(told.total), int(told.used), int(told.free))
    return {"memory_reserved_bytes": reserved, **dict(zip(fields, numbers, strict=True))}


def _instances(nvml: Any, handle: Any) -> tuple[MigReading, ...]:
    """MIG instances; places that hold none are passed over."""
    found: list[MigReading] = []
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except nvml.NVMLError as problem:
            if problem.value not in (nvml.NVML_ERROR_NOT_FOUND, nvml.NVML_ERROR_INVALID_ARGUMENT):
                raise
            continue
        memory = _memory(_Attempts(nvml, instance))
        del memory["memory_reserved_bytes"]
        found.append(
            MigReading(
                text(nvml.nvmlDeviceGetUUID(instance)),
                nvml.nvmlDeviceGetGpuInstanceId(instance),
                nvml.nvmlDeviceGetComputeInstanceId(instance),
                text(nvml.nvmlDeviceGetName(instance)),
                **memory,
            )
        )
    return tuple(found)
