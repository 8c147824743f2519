"""Each value that NVML has about a GPU: by which call it is read, in whose words, in which unit. Does not import pynvml.

A reader is given the nvml module and a handle, and raises NVMLError where the driver does not say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpucache.telemetry.reading import NvLink, ProcessReading, RowRemaps

Reader = Callable[[Any, Any], Any]

# NVML's bits, nvmlClocksEventReason* in nvml.h. "idle" and settings are no trouble; slowdowns are.
THROTTLE_REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}

_NODE_WORDS = 16
"""A set of as many NUMA nodes as Linux can have: 1024."""


def text(value: str | bytes) -> str:
    """Older versions of nvidia-ml-py give bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _temperature_c(nvml: Any, handle: Any) -> float:
    """By the call that stays; older drivers and versions of nvidia-ml-py have only the one that goes with CUDA 14."""
    try:
        return float(nvml.nvmlDeviceGetTemperatureV(handle, nvml.NVML_TEMPERATURE_GPU))
    except (AttributeError, nvml.NVMLError):
        return float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))


def _throttle_reasons(bits: int) -> tuple[str, ...]:
    known = tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit)
    rest = bits & ~sum(THROTTLE_REASONS)
    return (*known, f"unknown (0x{rest:x})") if rest else known


def _ecc_count(nvml: Any, handle: Any, kind: int) -> int:
    return int(nvml.nvmlDeviceGetTotalEccErrors(handle, kind, nvml.NVML_VOLATILE_ECC))


def _row_remaps(told: tuple[int, int, int, int]) -> RowRemaps:
    corrected, uncorrected, pending, failed = told
    return RowRemaps(corrected, uncorrected, bool(pending), bool(failed))


def sample_period_s(nvml: Any, handle: Any) -> float:
    """How far the driver's samples of utilisation lie apart: the newest two. Takes long: the whole buffer is copied."""
    _, samples = nvml.nvmlDeviceGetSamples(handle, nvml.NVML_GPU_UTILIZATION_SAMPLES, 0)
    taken_at_us = sorted({int(sample.timeStamp) for sample in samples if sample.timeStamp})
    if len(taken_at_us) < 2:
        raise nvml.NVMLError(nvml.NVML_ERROR_NO_DATA)
    return (taken_at_us[-1] - taken_at_us[-2]) / 1e6


def processes_on(nvml: Any, handle: Any) -> tuple[ProcessReading, ...]:
    """Compute processes, by the driver's ids. Takes milliseconds, during which no other call is answered."""
    listed = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    return tuple(
        ProcessReading(int(one.pid), one.usedGpuMemory, _instance(one, "gpu"), _instance(one, "compute"))
        for one in listed
    )


def _instance(process: Any, kind: str) -> int | None:
    """All ones: it is on no MIG instance. Older versions of nvidia-ml-py don't have it."""
    number = getattr(process, f"{kind}InstanceId", None)
    return None if number is None or int(number) == 0xFFFFFFFF else int(number)


def _numa_node(nvml: Any, handle: Any) -> int:
    """The node whose memory and CPUs are nearest. nvmlDeviceGetNumaNodeId answers only where GPUs are nodes themselves (Grace)."""
    try:
        words = nvml.nvmlDeviceGetMemoryAffinity(handle, _NODE_WORDS, nvml.NVML_AFFINITY_SCOPE_NODE)
        near = sum(int(word) << (64 * place) for place, word in enumerate(words))
        if near.bit_count() == 1:
            return near.bit_length() - 1
    except (AttributeError, nvml.NVMLError):
        pass  # older drivers and bindings: whatever the other call says counts
    return int(nvml.nvmlDeviceGetNumaNodeId(handle))


def _nvlinks(nvml: Any, handle: Any) -> tuple[NvLink, ...]:
    """Active links. A number past the last is refused, which ends the count; so is the first of a GPU without NVLink."""
    found: list[NvLink] = []
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        try:
            active = nvml.nvmlDeviceGetNvLinkState(handle, link)
        except nvml.NVMLError:
            if link == 0:
                raise
            break
        if active:
            found.append(NvLink(link, _other_end(nvml, handle, link)))
    return tuple(found)


def _other_end(nvml: Any, handle: Any, link: int) -> str:
    try:
        if nvml.nvmlDeviceGetNvLinkRemoteDeviceType(handle, link) == nvml.NVML_NVLINK_DEVICE_TYPE_SWITCH:
            return "switch"
        return text(nvml.nvmlDeviceGetNvLinkRemotePciInfo(handle, link).busId)
    except nvml.NVMLError as problem:
        return f"unknown: {problem}"


IS: dict[str, Reader] = {
    "power_limit_w": lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
    "clock_sm_max_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),
    "clock_memory_max_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_MEM),
    "ecc_is_on": lambda nvml, gpu: bool(nvml.nvmlDeviceGetEccMode(gpu)[0]),
    "compute_capability": lambda nvml, gpu: tuple(nvml.nvmlDeviceGetCudaComputeCapability(gpu)),
    "pci_bus_id": lambda nvml, gpu: text(nvml.nvmlDeviceGetPciInfo(gpu).busId),
    "numa_node": _numa_node,
    "nvlinks": _nvlinks,
}
"""What does not change while the driver is loaded."""

NOW: dict[str, Reader] = {
    "utilisation_fraction": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "memory_bus_fraction": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).memory / 100,
    "power_w": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "temperature_c": _temperature_c,
    "clock_sm_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
    "clock_memory_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM),
    "throttle_reasons": lambda nvml, gpu: _throttle_reasons(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)),
    "ecc_corrected_count": lambda nvml, gpu: _ecc_count(nvml, gpu, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
    "ecc_uncorrected_count": lambda nvml, gpu: _ecc_count(nvml, gpu, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    "row_remaps": lambda nvml, gpu: _row_remaps(nvml.nvmlDeviceGetRemappedRows(gpu)),
    "pcie_generation": lambda nvml, gpu: nvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu),
    "pcie_lanes": lambda nvml, gpu: nvml.nvmlDeviceGetCurrPcieLinkWidth(gpu),
    "mig_is_on": lambda nvml, gpu: bool(nvml.nvmlDeviceGetMigMode(gpu)[0]),
}
"""What does. Each takes microseconds (MangoHud#2104: utilisation 2.5 us, memory 12 us)."""
