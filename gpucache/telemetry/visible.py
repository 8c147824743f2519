"""Which GPUs CUDA would see, by UUID: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, resolved here and nowhere else. Pure.

The rules are CUDA's (CUDA C++ Programming Guide, environment variables): entries count up to the first that names nothing;
one device named twice hides all; a UUID may be cut short as long as one GPU alone begins with it. An index counts as
CUDA_DEVICE_ORDER says: PCI_BUS_ID is NVML's order; the default, FASTEST_FIRST, is a heuristic inside CUDA, which is the
same order where all GPUs are of one model. Where they are not, an index can't be resolved, and nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gpucache.telemetry.reading import Fleet, GpuReading

_OLD_MIG = re.compile(
    r"MIG-(GPU-[0-9a-f-]+)/(\d+)/(\d+)"
)  # drivers before R470: by GPU, GPU instance, compute instance


@dataclass(frozen=True, slots=True)
class CudaSettings:
    """The two variables as a process was started with them; None: not set."""

    visible_devices: str | None = None
    device_order: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> CudaSettings:
        """The settings in an environment."""
        return cls(env.get("CUDA_VISIBLE_DEVICES"), env.get("CUDA_DEVICE_ORDER"))


@dataclass(frozen=True, slots=True)
class Resolved:
    """UUIDs of GPUs and MIG instances in CUDA's order, and what in the settings was not followed and why."""

    uuids: tuple[str, ...]
    problems: tuple[str, ...] = ()


def resolve(fleet: Fleet, settings: CudaSettings) -> Resolved:
    """What CUDA_VISIBLE_DEVICES names on this machine. Not set: every device."""
    if settings.visible_devices is None:
        return Resolved(tuple(device.uuid for device in fleet.devices))
    found: list[str] = []
    entries = [part.strip() for part in settings.visible_devices.split(",")]
    for place, entry in enumerate(entries, 1):
        uuid, problem = _find(fleet, entry, settings.device_order)
        if uuid is None:
            # -1 and nothing at all are how people say "none": no problem to tell. A comma too many, before others, is one.
            is_none = entry == "-1" or (not entry and not any(entries[place:]))
            told = () if is_none else (f"CUDA_VISIBLE_DEVICES: {problem}; it and what follows is not seen",)
            return Resolved(tuple(found), told)
        if uuid in found:
            return Resolved((), (f"CUDA_VISIBLE_DEVICES: {uuid} is named twice ({entry!r}); CUDA then sees no device",))
        found.append(uuid)
    return Resolved(tuple(found))


def visible(fleet: Fleet, settings: CudaSettings) -> Fleet:
    """The fleet with only those GPUs and MIG instances that the settings leave visible."""
    resolved = resolve(fleet, settings)
    seen = set(resolved.uuids)
    gpus: list[GpuReading] = []
    for gpu in fleet.gpus:
        if gpu.mig_is_on:
            instances = tuple(one for one in gpu.mig or () if one.uuid in seen)
            if instances:
                gpus.append(replace(gpu, mig=instances))
        elif gpu.uuid in seen:
            gpus.append(gpu)
    problems = list(resolved.problems)
    if fleet.gpus and not gpus and not problems:
        problems.append(f"CUDA_VISIBLE_DEVICES={settings.visible_devices!r} hides all {len(fleet.gpus)} GPUs")
    return replace(fleet, gpus=tuple(gpus), problems=(*fleet.problems, *problems))


def _find(fleet: Fleet, entry: str, order: str | None) -> tuple[str | None, str]:
    """The UUID of what an entry names, or None and why it names nothing."""
    if re.fullmatch(r"[0-9]+", entry):
        return _by_index(fleet, int(entry), order)
    old = _OLD_MIG.fullmatch(entry)
    if old is not None:
        place = (old[1], int(old[2]), int(old[3]))
        names = [
            one.uuid
            for gpu in fleet.gpus
            for one in gpu.mig or ()
            if (gpu.uuid, one.gpu_instance, one.compute_instance) == place
        ]
    else:
        names = _begin_with(fleet, entry)
    if len(names) == 1:
        return names[0], ""
    return None, f"{entry!r} names {'no device' if not names else f'{len(names)} devices, not one'}"


def _by_index(fleet: Fleet, index: int, order: str | None) -> tuple[str | None, str]:
    models = {gpu.name for gpu in fleet.gpus}
    if order != "PCI_BUS_ID" and len(models) > 1:
        return None, (
            f"index {index} can't be resolved: GPUs of {len(models)} models are here and CUDA sorts them by speed; "
            f"set CUDA_DEVICE_ORDER=PCI_BUS_ID or name UUIDs"
        )
    for place, gpu in enumerate(sorted(fleet.gpus, key=lambda gpu: gpu.index)):
        if place == index:
            return _device_of(gpu), f"index {index} is a GPU in MIG mode without instances"
    return None, f"index {index} names no device: there are {len(fleet.gpus)} GPUs"


def _begin_with(fleet: Fleet, entry: str) -> list[str]:
    """Devices whose UUID begins so. A bare prefix ("GPU", "MIG-") is one too, as CUDA has it, if there is one device."""
    if not entry.startswith(("GPU-", "MIG-")):
        return []
    gpus = [_device_of(gpu) for gpu in fleet.gpus if gpu.uuid.startswith(entry)]
    instances = [one.uuid for gpu in fleet.gpus for one in gpu.mig or () if one.uuid.startswith(entry)]
    return [uuid for uuid in (*gpus, *instances) if uuid is not None]


def _device_of(gpu: GpuReading) -> str | None:
    """What CUDA takes when a GPU is named: itself, or its first instance where it is cut into such."""
    if not gpu.mig_is_on:
        return gpu.uuid
    return gpu.mig[0].uuid if gpu.mig else None
