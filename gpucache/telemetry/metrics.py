"""A fleet as metrics in Prometheus' text format, for whoever serves an endpoint. Pure.

A value that could not be read has no line: zero would be a lie. GPUs are told apart by UUID. The names end in Prometheus'
base units. Source of the format: the Prometheus documentation, "Exposition formats", version 0.0.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gpucache.telemetry.reading import Fleet, GpuReading


class _Metric(NamedTuple):
    name: str
    kind: str
    help: str
    value: Callable[[GpuReading], float | None]


_METRICS = (
    _Metric("memory_total_bytes", "gauge", "What the device has.", lambda gpu: gpu.memory_total_bytes),
    _Metric("memory_used_bytes", "gauge", "What is taken, by anyone.", lambda gpu: gpu.memory_used_bytes),
    _Metric("memory_free_bytes", "gauge", "What is not taken.", lambda gpu: gpu.memory_free_bytes),
    _Metric(
        "kernel_running_ratio",
        "gauge",
        "Share of the driver's last sample period in which any kernel ran. Not occupancy.",
        lambda gpu: gpu.utilisation_fraction,
    ),
    _Metric(
        "memory_bus_busy_ratio",
        "gauge",
        "Share of the same period in which device memory was read or written. Not how much is taken.",
        lambda gpu: gpu.memory_bus_fraction,
    ),
    _Metric("power_watts", "gauge", "Drawn now.", lambda gpu: gpu.power_w),
    _Metric("power_limit_watts", "gauge", "The limit in force.", lambda gpu: gpu.power_limit_w),
    _Metric("temperature_celsius", "gauge", "Of the GPU.", lambda gpu: gpu.temperature_c),
    _Metric("sm_clock_hertz", "gauge", "Of the multiprocessors.", lambda gpu: _hertz(gpu.clock_sm_mhz)),
    _Metric("memory_clock_hertz", "gauge", "Of device memory.", lambda gpu: _hertz(gpu.clock_memory_mhz)),
    _Metric(
        "ecc_corrected_errors_total",
        "counter",
        "Errors in memory that were corrected since the driver was loaded.",
        lambda gpu: gpu.ecc_corrected_count,
    ),
    _Metric(
        "ecc_uncorrected_errors_total",
        "counter",
        "Errors in memory that could not be corrected since the driver was loaded.",
        lambda gpu: gpu.ecc_uncorrected_count,
    ),
    _Metric("in_trouble", "gauge", "1 if no new work should come here.", lambda gpu: float(bool(gpu.troubles))),
)


def fleet_metrics(fleet: Fleet, age_s: float) -> str:
    """The metrics of a reading that began age_s ago: `latest()` of a Sampler gives both."""
    lines = [
        *head("gpucache_gpu_reading_age_seconds", "gauge", "How old the reading of all GPUs is."),
        f"gpucache_gpu_reading_age_seconds {age_s:g}",
        *head(
            "gpucache_gpu_reading_problems", "gauge", "Reasons why GPUs or readings are missing; 0 if nothing is wrong."
        ),
        f"gpucache_gpu_reading_problems {len(fleet.problems)}",
        *head("gpucache_gpu_lost", "gauge", "1 for a GPU that was there and is not any more."),
        *(f"gpucache_gpu_lost{labels(uuid=uuid)} 1" for uuid in fleet.lost),
    ]
    for metric in _METRICS:
        name = f"gpucache_gpu_{metric.name}"
        values = [(gpu, metric.value(gpu)) for gpu in fleet.gpus]
        lines += head(name, metric.kind, metric.help)
        lines += [
            f"{name}{labels(uuid=gpu.uuid, model=gpu.name)} {value!r}" for gpu, value in values if value is not None
        ]
    lines += [*_slowed(fleet), *_instances(fleet)]
    return "\n".join(lines) + "\n"


def _slowed(fleet: Fleet) -> list[str]:
    name = "gpucache_gpu_slowed"
    return [
        *head(name, "gauge", "1 for each reason why the clocks are lower than they could be."),
        *(
            f"{name}{labels(uuid=gpu.uuid, model=gpu.name, reason=reason)} 1"
            for gpu in fleet.gpus
            for reason in gpu.throttle_reasons or ()
            if reason != "idle"
        ),
    ]


def _instances(fleet: Fleet) -> list[str]:
    """MIG instances have names of their own: what is taken of them is taken of their GPU, too, and must not be added to it."""
    told: list[str] = []
    for amount, text in (("total", "has"), ("used", "has that is taken"), ("free", "has that is not taken")):
        name = f"gpucache_mig_memory_{amount}_bytes"
        told += head(name, "gauge", f"What a MIG instance {text}.")
        for gpu in fleet.gpus:
            for one in gpu.mig or ():
                nbytes: int | None = getattr(one, f"memory_{amount}_bytes")
                if nbytes is not None:
                    told.append(f"{name}{labels(uuid=one.uuid, gpu=gpu.uuid, model=one.name)} {nbytes!r}")
    return told


def head(name: str, kind: str, text: str) -> tuple[str, str]:
    """The two lines before a metric's values."""
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def labels(**told: str) -> str:
    """Labels as they stand behind a metric's name."""
    escaped = {name: text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") for name, text in told.items()}
    return "{" + ",".join(f'{name}="{text}"' for name, text in escaped.items()) + "}"


def _hertz(clock_mhz: int | None) -> int | None:
    return None if clock_mhz is None else clock_mhz * 1_000_000
