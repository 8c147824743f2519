"""Workers on the GPU that is really here: each sees the one that it was given, and tensors on it go through tasks and cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpucache.telemetry import read_fleet

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
Record = Callable[[str, object], None]

WHERE = """
import json, os
import gpucache as gpc

@gpc.task(gpus=0.25, gpu_memory="1GiB", cache=False)
def where(number):
    return os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]

if __name__ == "__main__":
    print(json.dumps([future.result() for future in where.map(range(4))]))
"""

TENSORS = """
import json
import gpucache as gpc
import torch

@gpc.task(gpus=0.25, gpu_memory="2GiB")
def squares(count):
    x = torch.arange(count, device="cuda", dtype=torch.float64)
    return x * x

@gpc.task(gpus=0.25, gpu_memory="2GiB")
def total(x):
    return float(x.sum()), x.device.type, torch.cuda.device_count(), f"GPU-{torch.cuda.get_device_properties(0).uuid}"

@gpc.flow
def pipeline(count):
    return total(squares(count))

if __name__ == "__main__":
    runs = [pipeline.run(1000), pipeline.run(1000)]
    print(json.dumps({
        "results": [run.result() for run in runs],
        "states": [[str(call.state) for call in run.calls] for run in runs],
        "seconds": [sum(call.seconds or 0 for call in run.calls) for run in runs],
    }))
"""

LEARNS = """
import json
import gpucache as gpc
import torch
from gpucache.flows.demands import next_demand, observed
from gpucache.flows.session import current_session

@gpc.task(gpus=0.25, cache=False)
def fills(gib):
    return torch.empty(gib * 2**30, dtype=torch.uint8, device="cuda").numel()

if __name__ == "__main__":
    for _ in range(4):
        assert fills(2) == 2 * 2**30
    store = current_session().store
    print(json.dumps({
        "peaks": [one.peak_bytes for one in observed(store, fills.name) if not one.ran_out],
        "next": next_demand(store, fills.name, 0, 2**62).memory_bytes,
    }))
"""


def run(program: str, folder: Path) -> Any:
    """What a program prints, run in a process and a store of its own."""
    path = folder / "program.py"
    path.write_text(program)
    env = {**os.environ, "GPUCACHE_STORE": str(folder / "store"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, str(path)], env=env, capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_workers_see_a_gpu_of_this_machine_by_uuid(tmp_path: Path, record_property: Record) -> None:
    """CUDA_VISIBLE_DEVICES in a worker is the UUID of one device that is really here."""
    devices = {device.uuid for device in read_fleet().devices}

    seen = run(WHERE, tmp_path)

    record_property("workers see", sorted({where for where, _ in seen}))
    assert {where for where, _ in seen} <= devices
    assert {order for _, order in seen} == {"PCI_BUS_ID"}


def test_a_cuda_tensor_goes_through_tasks_and_cache(tmp_path: Path, record_property: Record) -> None:
    """A tensor made on the GPU by one worker is used on it by the next; the second run hits and gives the same."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} has no CUDA, or can't use it here")
    gpus = {gpu.uuid for gpu in read_fleet().gpus}

    answer = run(TENSORS, tmp_path)

    record_property("tensor through tasks and cache", answer)
    first, second = answer["results"]
    assert first == second
    assert first[:3] == [float(sum(n * n for n in range(1000))), "cuda", 1]
    assert first[3] in gpus
    assert answer["states"] == [["ran", "ran"], ["hit", "hit"]]


def test_what_a_call_took_is_learned(tmp_path: Path, record_property: Record) -> None:
    """Two GiB of a tensor and CUDA's context are measured, and the next call asks for that with a margin, not for the card."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} has no CUDA, or can't use it here")

    learned = run(LEARNS, tmp_path)

    record_property("learned", learned)
    assert len(learned["peaks"]) == 4
    assert all(2 * 2**30 <= peak <= 4 * 2**30 for peak in learned["peaks"])
    assert max(learned["peaks"]) < learned["next"] <= 5 * 2**30
