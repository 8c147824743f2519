"""A pool as it is now, put together for whoever looks: what the engine knows, what workers said, what GPUs were promised."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpucache.runtime import pools
from gpucache.runtime.pools import CallsState, GpuState, PoolState, WorkerState
from gpucache.workers.messages import Holding

if TYPE_CHECKING:
    from gpucache.config import Config
    from gpucache.runtime.calls import Entry
    from gpucache.runtime.engine import Engine
    from gpucache.runtime.gpus import GpusOfFleet
    from gpucache.workers.kind import CallId, Kind, WorkerId


@dataclass(slots=True)
class Seen:
    """What a driver has seen of a worker. `started_at`: on the monotonic clock, s."""

    started_at: float
    pid: int | None = None
    holding: Holding = field(default=Holding((), ()))
    answered: int = 0


def portrait(
    config: Config,
    engine: Engine,
    entries: Mapping[CallId, Entry],
    seen: Mapping[WorkerId, Seen],
    gpus: GpusOfFleet | None,
) -> PoolState:
    """The state of a pool. Under the driver's lock: microseconds for each worker and call."""
    unix_s, monotonic_s = pools.unix_time(), time.monotonic()
    since = unix_s - monotonic_s
    return PoolState(
        pid=os.getpid(),
        started_ticks=pools.started_ticks(os.getpid()) or 0,
        pid_namespace=pools.pid_namespace(),
        host=socket.gethostname(),
        program=pools.program(),
        runtime=config.runtime,
        workers_max=engine.workers_max,
        written_at=unix_s,
        workers=tuple(_workers(engine, entries, seen, gpus, since)),
        calls=tuple(_calls(engine, entries)),
        gpus=() if gpus is None else tuple(_gpus(gpus)),
    )


def kind_in_words(kind: Kind) -> str:
    """What workers of a kind are for. Of variables the names alone: values may be secrets."""
    told = ["CPU" if not kind.gpus else f"{kind.gpus:g} GPU"]
    if kind.gpus and kind.gpu_memory_bytes is not None:
        told.append(f"{kind.gpu_memory_bytes / 2**30:.2f} GiB")
    if kind.env is not None:
        packages = [f"{len(kind.env.pip)} packages"] if kind.env.pip else []
        told += [*(name for name, _ in kind.env.env_vars), *packages, *([kind.env.image] if kind.env.image else [])]
    return ", ".join(told)


def _workers(
    engine: Engine,
    entries: Mapping[CallId, Entry],
    seen: Mapping[WorkerId, Seen],
    gpus: GpusOfFleet | None,
    since: float,
) -> list[WorkerState]:
    told: list[WorkerState] = []
    for worker, kind, stage, devices, call in engine.workers():
        known = seen.get(worker)
        entry = None if call is None else entries.get(call)
        if known is None:
            continue
        told.append(
            WorkerState(
                worker=f"w{worker}",
                pid=known.pid,
                stage=stage.value,
                kind=kind_in_words(kind),
                gpus=devices,
                promised_bytes=None if gpus is None else gpus.promised_to(worker),
                device_bytes=known.holding.device_bytes,
                residents=known.holding.residents,
                since=since + known.started_at,
                call=None if entry is None else entry.name,
                call_since=None if entry is None or entry.started_at is None else since + entry.started_at,
                answered=known.answered,
            )
        )
    return told


def _calls(engine: Engine, entries: Mapping[CallId, Entry]) -> list[CallsState]:
    counted: dict[tuple[str, str], list[int]] = {}
    first: dict[tuple[str, str], CallId] = {}
    for call, is_running in engine.calls():
        entry = entries[call]
        group = entry.run, entry.name
        counted.setdefault(group, [0, 0])[not is_running] += 1
        if not is_running:
            first.setdefault(group, call)
    return [
        CallsState(
            run=run,
            task=task,
            running=running,
            waiting=waiting,
            waits_for=engine.waits_for(first[run, task]) if waiting else None,
        )
        for (run, task), (running, waiting) in counted.items()
    ]


def _gpus(gpus: GpusOfFleet) -> list[GpuState]:
    return [
        GpuState(
            uuid=one.uuid, promised_bytes=one.nbytes, promised_fraction=one.share_milli / 1000, trouble=one.trouble
        )
        for one in gpus.promised()
    ]
