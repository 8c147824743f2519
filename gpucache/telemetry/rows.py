"""A fleet as rows of text, with headings and a legend that say what each number is. Pure.

Two numbers are mixed up everywhere: how much memory is taken, and how much of the time its bus is busy, which drivers call
"memory utilisation". Here the first is "memory used" and the second "bus busy".
"""

from __future__ import annotations

from gpucache.telemetry.reading import Fleet, GpuReading

HEADINGS = (">GPU", "model", ">memory used", ">kernel runs", ">bus busy", ">clock", ">power", ">heat", "remarks")
"""Those that begin with ">" head numbers."""

SPARE = (">clock", ">power", ">heat")
"""What goes first where there is no room for all."""

PROCESS_HEADINGS = (">GPU", ">process", ">memory used")

LEGEND = (
    "kernel runs: share of the driver's last sample period{window} in which any kernel ran, not how full the GPU was",
    "bus busy: share of the same period in which device memory was read or written, not how much is taken",
    "memory used: by anyone on the machine, without what the driver keeps for itself",
    "clock: of the multiprocessors, now and at most",
)

_SHOWN = {
    "memory_used_bytes": "memory used",
    "utilisation_fraction": "kernel runs",
    "memory_bus_fraction": "bus busy",
    "clock_sm_mhz": "clock",
    "power_w": "power",
    "temperature_c": "heat",
    "ecc_uncorrected_count": "memory errors",
    "xids": "Xids",
}
"""What a reader looks for, by field; why it is missing is worth a line."""

NOTHING = "-"


def numbers(fleet: Fleet) -> dict[str, str]:
    """What a GPU or MIG instance is called for people, by UUID: its index, with the number of the instance behind a dot."""
    named = {gpu.uuid: str(gpu.index) for gpu in fleet.gpus}
    parts = [(gpu, number, one) for gpu in fleet.gpus for number, one in enumerate(gpu.mig or ())]
    return named | {one.uuid: f"{gpu.index}.{number}" for gpu, number, one in parts}


def gpu_rows(fleet: Fleet) -> list[tuple[str, ...]]:
    """A row for each GPU, and one below it for each of its MIG instances. What is absent is "-"."""
    named = numbers(fleet)
    rows: list[tuple[str, ...]] = []
    for gpu in fleet.gpus:
        rows.append(_row(gpu))
        for one in gpu.mig or ():
            memory = _of(_in_gib(one.memory_used_bytes), _in_gib(one.memory_total_bytes), "GiB")
            rows.append((named[one.uuid], one.name, memory, *(NOTHING,) * 5, ""))
    return rows


def process_rows(fleet: Fleet) -> list[tuple[str, ...]]:
    """A row for each process on each GPU; with the host's ids they are marked, for they mean nothing here."""
    whose = " (host's id)" if fleet.pids_are_hosts else ""
    named = numbers(fleet)
    return [
        (
            named.get(gpu.device_of(process) or "", str(gpu.index)),
            f"{process.pid}{whose}",
            _of(_in_gib(process.memory_used_bytes), NOTHING, "GiB"),
        )
        for gpu in fleet.gpus
        for process in gpu.processes or ()
    ]


def legend(fleet: Fleet) -> tuple[str, ...]:
    """What the headings mean; with the sample period where the GPUs agree on one."""
    windows = {gpu.utilisation_window_s for gpu in fleet.gpus}
    (window,) = windows if len(windows) == 1 else (None,)
    shown = "" if window is None else f" ({window:.2g} s)"
    return tuple(line.replace("{window}", shown) for line in LEGEND)


def absences(fleet: Fleet) -> tuple[str, ...]:
    """Why what one looks for was not read: a line for each thing and reason, with the GPUs that it holds for."""
    found: dict[tuple[str, str], list[str]] = {}
    for gpu in fleet.gpus:
        for field, shown in _SHOWN.items():
            if getattr(gpu, field) is None:
                found.setdefault((shown, gpu.why_absent(field) or "unknown"), []).append(str(gpu.index))
    return tuple(f"{shown} of GPU {', '.join(gpus)}: {why}" for (shown, why), gpus in found.items())


def remarks_of(gpu: GpuReading) -> tuple[str, ...]:
    """What is out of the ordinary, the worst first: troubles, errors in memory, other Xids, what slows it down."""
    told = list(gpu.troubles)
    if gpu.ecc_uncorrected_count:
        told.append(f"{gpu.ecc_uncorrected_count} uncorrected memory errors since the driver was loaded")
    if gpu.row_remaps is not None and gpu.row_remaps.is_pending:
        told.append("a row of its memory is replaced at the next reset")
    mild = sorted({event.code for event in gpu.xids or () if not event.condemns})
    told += [f"Xid {code} of an application" for code in mild]
    slowed_by = [reason for reason in gpu.throttle_reasons or () if reason != "idle"]
    return (*told, *(["slowed by " + ", ".join(slowed_by)] if slowed_by else []))


def _row(gpu: GpuReading) -> tuple[str, ...]:
    return (
        str(gpu.index),
        gpu.name,
        _of(_in_gib(gpu.memory_used_bytes), _in_gib(gpu.memory_total_bytes), "GiB"),
        _percent(gpu.utilisation_fraction),
        _percent(gpu.memory_bus_fraction),
        _of(_rounded(gpu.clock_sm_mhz), _rounded(gpu.clock_sm_max_mhz), "MHz"),
        _of(_rounded(gpu.power_w), _rounded(gpu.power_limit_w), "W"),
        _of(_rounded(gpu.temperature_c), NOTHING, "°C"),
        "; ".join(remarks_of(gpu)),
    )


def _in_gib(amount_bytes: int | None) -> str:
    return NOTHING if amount_bytes is None else f"{amount_bytes / 2**30:.1f}"


def _rounded(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"


def _percent(fraction: float | None) -> str:
    return NOTHING if fraction is None else f"{fraction:.0%}"


def _of(part: str, whole: str, unit: str) -> str:
    if whole == NOTHING:
        return part if part == NOTHING else f"{part} {unit}"
    return f"{part} of {whole} {unit}"
