"""The whole loop of gpu_memory="auto" through real workers: a call takes memory, its worker says so, the next asks for that.

The GPU is the fake library's. The workers' PyTorch is a stand-in that says how much it keeps, as PyTorch says it in a
container, where NVML can't tell whose memory is whose.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_nvml import GIB, FakeNvml, gpu

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]

PROGRAM = '''
import json, os, sys, types
import gpucache as gpc
from gpucache.flows.demands import next_demand, observed
from gpucache.flows.session import current_session

def keep(nbytes):
    """This process uses PyTorch from now on, which keeps so much on the GPU."""
    torch = types.ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})
    torch.cuda = types.SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 1, reset_peak_memory_stats=lambda index: None,
        memory_reserved=lambda index: nbytes, max_memory_allocated=lambda index: nbytes,
    )
    sys.modules["torch"] = torch

@gpc.task(gpus=0.25, cache=False)
def takes(nbytes, fails_once=None):
    """Keeps memory; runs out of it the first time, if it is given a file to remember that by."""
    keep(nbytes)
    if fails_once is not None and not os.path.exists(fails_once):
        open(fails_once, "w").close()
        raise type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")
    return os.getpid()

def shown():
    """The pool's workers and what was promised of the GPU."""
    state = current_session().driver.state()
    workers = [(w.kind, w.promised_bytes, list(w.device_bytes), w.pid, w.stage) for w in state.workers]
    return {"workers": workers, "promised": [(g.promised_bytes, g.promised_fraction) for g in state.gpus]}

if __name__ == "__main__":
    nbytes, told = int(sys.argv[1]), {}
    for _ in range(3):
        takes(nbytes)
    told["measured"] = shown()
    store = current_session().store
    told["peaks"] = [one.peak_bytes for one in observed(store, takes.name)]
    told["demand"] = next_demand(store, takes.name, 0, int(sys.argv[3])).memory_bytes
    takes(nbytes)
    told["learned"] = shown()
    told["pid"] = takes(nbytes, sys.argv[2])
    told["alone"] = shown()
    told["ran_out"] = [one.peak_bytes for one in observed(store, takes.name) if one.ran_out]
    told["raised"] = next_demand(store, takes.name, 0, int(sys.argv[3])).memory_bytes
    print(json.dumps(told))
'''


@pytest.fixture(scope="module")
def told(fake_nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a program saw whose calls took 2 GiB of a GPU with 140 GiB, and one of which then ran out of memory."""
    folder = tmp_path_factory.mktemp("loop")
    fake = FakeNvml(fake_nvml_library, folder)
    fake.says(gpu(0))
    (folder / "program.py").write_text(PROGRAM)
    own = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
    mine = {"PYTHONPATH": str(REPOSITORY), "GPUCACHE_STORE": str(folder / "store"), "GPUCACHE_MAX_WORKERS": "2"}
    done = subprocess.run(
        [sys.executable, str(folder / "program.py"), str(2 * GIB), str(folder / "failed"), str(140 * GIB)],
        env={**own, **fake.environment, **mine},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_workers_peak_is_kept(told: dict[str, Any]) -> None:
    """Each call's peak lies in the store, and the runtime knows what the worker holds now, by its own account."""
    assert told["peaks"] == [2 * GIB] * 3
    ((kind, promised, held, _, _),) = told["measured"]["workers"]
    assert (kind, promised, held) == ("0.25 GPU", 35 * GIB, [2 * GIB])


def test_the_next_call_asks_for_what_was_learned(told: dict[str, Any]) -> None:
    """A quarter of 140 GiB at first; then a little more than the 2 GiB that calls took, and no other worker is asked."""
    assert 2 * GIB < told["demand"] < 2.5 * GIB
    learned = [(promised, held) for kind, promised, held, _, _ in told["learned"]["workers"] if "GiB" in kind]
    assert learned == [(told["demand"], [2 * GIB])]


def test_out_of_memory_gets_the_whole_gpu(told: dict[str, Any]) -> None:
    """The retry's worker has all of the GPU's memory and time, and nobody else is on it; the next asks for twice as much."""
    ((kind, promised, _, pid, stage),) = told["alone"]["workers"]
    assert (kind, promised, pid, stage) == ("1 GPU", 140 * GIB, told["pid"], "idle")
    assert told["alone"]["promised"] == [[140 * GIB, 1.0]]
    assert told["ran_out"] == [told["demand"]]
    assert told["raised"] >= 2 * told["demand"]
