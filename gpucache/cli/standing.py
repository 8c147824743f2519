"""What the pools of this machine do, as one document: runs in progress, workers, GPUs. What can't be known is None."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from gpucache.errors import NoSuchRecord
from gpucache.runtime.attribution import held_on, holds
from gpucache.runtime.pools import PoolState, WorkerState, is_alive, read_pools, unix_time
from gpucache.telemetry.rows import numbers

if TYPE_CHECKING:
    from gpucache.flows.session import Session
    from gpucache.ledger import RunRow
    from gpucache.telemetry import Fleet, GpuReading, MigReading

LATEST_RUNS = 200
"""Among so many of the newest runs those in progress are sought; a run that has workers is found however old it is."""


def standing(session: Session, fleet: Fleet | None) -> dict[str, Any]:
    """Everything at this moment; `fleet` is None if the driver has not answered."""
    pools, now = read_pools(session.config.store_path), unix_time()
    return {
        "runs": _runs(session, pools, now),
        "pools": [_pool(pool, now) for pool in pools],
        "workers": [_worker(pool, worker, fleet, now) for pool in pools for worker in pool.workers],
        "gpus": [] if fleet is None else _gpus(pools, fleet),
        "problems": ["the GPUs' driver has not answered"] if fleet is None else list(fleet.problems),
    }


def _pool(pool: PoolState, now: float) -> dict[str, Any]:
    return {
        "pid": pool.pid,
        "host": pool.host,
        "program": pool.program,
        "runtime": pool.runtime,
        "workers": len(pool.workers),
        "workers_max": pool.workers_max,
        "is_alive": is_alive(pool),
        "unchanged_for_s": max(0.0, now - pool.written_at),
        "calls_running": sum(calls.running for calls in pool.calls),
        "calls_waiting": sum(calls.waiting for calls in pool.calls),
        "calls": [
            {
                "run": calls.run or None,
                "task": calls.task,
                "running": calls.running,
                "waiting": calls.waiting,
                "waits_for": calls.waits_for,
            }
            for calls in pool.calls
        ],
    }


def _runs(session: Session, pools: Sequence[PoolState], now: float) -> list[dict[str, Any]]:
    ledger = session.ledger
    latest = (run for run in islice(ledger.runs(), LATEST_RUNS) if run.status == "running")
    # A run of another machine can't be asked whether it lives: it counts where its pool is seen.
    rows = {run.id: run for run in latest if run.env.get("host") == socket.gethostname()}
    for name in {calls.run for pool in pools for calls in pool.calls} - {"", *rows}:
        try:
            rows[name] = ledger.get(name)
        except NoSuchRecord:  # a run that could not be written down, or that was collected
            continue
    return [_run(session, rows[name], pools, now) for name in sorted(rows, reverse=True)]


def _run(session: Session, run: RunRow, pools: Sequence[PoolState], now: float) -> dict[str, Any]:
    mine = [calls for pool in pools for calls in pool.calls if calls.run == run.id]
    return {
        "id": run.id,
        "flow": run.flow,
        "pid": run.pid,
        "host": run.env.get("host"),
        "for_s": max(0.0, now - run.started_at),
        "calls_running": sum(calls.running for calls in mine),
        "calls_waiting": sum(calls.waiting for calls in mine),
        "calls_ended": dict(Counter(call.state for call in session.ledger.calls(run.id))),
    }


def _worker(pool: PoolState, worker: WorkerState, fleet: Fleet | None, now: float) -> dict[str, Any]:
    return {
        "worker": worker.worker,
        "pid": worker.pid,
        "pool_pid": pool.pid,
        "kind": worker.kind,
        "stage": worker.stage,
        "gpus": list(worker.gpus),
        "promised_bytes": worker.promised_bytes,
        "held": [one._asdict() for one in holds(worker, fleet)],
        "residents": [{"name": name, "declared_bytes": nbytes} for name, nbytes in worker.residents],
        "for_s": max(0.0, now - worker.since),
        "call": worker.call,
        "call_for_s": None if worker.call_since is None else max(0.0, now - worker.call_since),
        "calls_ended": worker.answered,
    }


def _gpus(pools: Sequence[PoolState], fleet: Fleet) -> list[dict[str, Any]]:
    """Each GPU or MIG instance: what was promised of it, what is taken, and how much of that is our workers'."""
    named, whole = numbers(fleet), {gpu.uuid: gpu for gpu in fleet.gpus}
    parts: dict[str, GpuReading | MigReading] = dict(whole)
    parts |= {one.uuid: one for gpu in fleet.gpus for one in gpu.mig or ()}
    told: list[dict[str, Any]] = []
    for device in fleet.devices:
        promises = [gpu for pool in pools for gpu in pool.gpus if gpu.uuid == device.uuid]
        part, ours = parts[device.uuid], held_on(device.uuid, pools, fleet)
        used = part.memory_used_bytes
        told.append(
            {
                "uuid": device.uuid,
                "number": named[device.uuid],
                "model": part.name,
                "promised_bytes": sum(gpu.promised_bytes for gpu in promises),
                "promised_fraction": sum(gpu.promised_fraction for gpu in promises),
                "memory_total_bytes": part.memory_total_bytes,
                "memory_used_bytes": used,
                "workers_bytes": ours,
                "others_bytes": None if used is None or ours is None else max(0, used - ours),
                "trouble": next(
                    (gpu.trouble for gpu in promises if gpu.trouble), "; ".join(whole[device.gpu_uuid].troubles) or None
                ),
            }
        )
    return told
