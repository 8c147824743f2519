"""What the pools do, in Prometheus' text format: the same that `gpucache status` shows, and how calls of runs ended. Pure.

What nobody knows has no line: zero would be a lie. Names end in Prometheus' base units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from gpucache.runtime.attribution import held_on
from gpucache.telemetry.metrics import head, labels

if TYPE_CHECKING:
    from gpucache.runtime.pools import PoolState
    from gpucache.telemetry import Fleet

STATES = ("hit", "ran", "joined", "uncached", "failed", "skipped")
"""Every state has a line from the start: a counter that appears with its first value hides that value's increase."""


def pool_metrics(pools: Sequence[PoolState], ended: Mapping[str, int], fleet: Fleet | None) -> str:
    """The metrics of all pools of this machine.

    Args:
        ended: Calls of runs by how they ended.
        fleet: For what workers hold, where NVML can say.
    """
    workers = Counter((worker.kind, worker.stage) for pool in pools for worker in pool.workers)
    promised: Counter[str] = Counter()
    shares: dict[str, float] = {}
    for gpu in (gpu for pool in pools for gpu in pool.gpus):
        promised[gpu.uuid] += gpu.promised_bytes
        shares[gpu.uuid] = shares.get(gpu.uuid, 0.0) + gpu.promised_fraction
    held = {uuid: held_on(uuid, pools, fleet) for uuid in promised}
    return "".join(
        (
            _metric("pool_processes", "gauge", "Processes with a runtime.", [({}, len(pools))]),
            _metric(
                "pool_workers",
                "gauge",
                "Warm workers by kind (what they are for) and stage (what they do).",
                [({"kind": kind, "stage": stage}, count) for (kind, stage), count in sorted(workers.items())],
            ),
            _metric(
                "pool_workers_limit",
                "gauge",
                "Workers that the pools may have in all.",
                [({}, sum(pool.workers_max for pool in pools))],
            ),
            _metric("pool_calls", "gauge", "Calls that a worker runs, and those that wait for one.", _calls(pools)),
            _metric(
                "pool_gpu_promised_bytes",
                "gauge",
                "Device memory that was set aside for workers. Not what is taken.",
                _by_uuid(promised),
            ),
            _metric(
                "pool_gpu_promised_ratio", "gauge", "Share of the GPU that was set aside for workers.", _by_uuid(shares)
            ),
            _metric(
                "pool_gpu_held_bytes",
                "gauge",
                "Device memory that workers have taken, by NVML or, in a container, by PyTorch's own count.",
                _by_uuid({uuid: nbytes for uuid, nbytes in held.items() if nbytes is not None}),
            ),
            _metric(
                "calls_total",
                "counter",
                "Calls of recorded runs since this endpoint began, by how they ended: hit (answered from the store), ran, "
                "joined (waited for the same call elsewhere), uncached, failed, skipped.",
                [({"state": state}, ended.get(state, 0)) for state in (*STATES, *sorted(set(ended) - set(STATES)))],
            ),
        )
    )


def _calls(pools: Iterable[PoolState]) -> list[tuple[dict[str, str], float]]:
    calls = [calls for pool in pools for calls in pool.calls]
    running, waiting = sum(one.running for one in calls), sum(one.waiting for one in calls)
    return [({"state": "running"}, running), ({"state": "waiting"}, waiting)]


def _by_uuid(values: Mapping[str, float]) -> list[tuple[dict[str, str], float]]:
    return [({"uuid": uuid}, value) for uuid, value in values.items()]


def _metric(name: str, kind: str, text: str, values: Iterable[tuple[dict[str, str], float]]) -> str:
    full = f"gpucache_{name}"
    lines = [f"{full}{labels(**told) if told else ''} {value!r}" for told, value in values]
    return "\n".join((*head(full, kind, text), *lines)) + "\n"
