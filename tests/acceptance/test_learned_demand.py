"""gpu_memory="auto" on GPUs that are not there: what is asked for once something was learned, and what an out-of-memory does.

The flow runs in a process of its own, with the runtime as it is, on the fake library.
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
import json, os, sys
import gpucache as gpc
from gpucache.events import hooks
from gpucache.flows.demands import observe, observed
from gpucache.flows.session import current_session
from gpucache.placement.learned import Observation

@gpc.task(gpus=0.25, cache=False)
def greedy(tries, fails):
    """Runs out of memory as often as it is told to."""
    with open(tries, "a") as file:
        file.write(".")
    if os.path.getsize(tries) <= fails:
        class OutOfMemoryError(RuntimeError): pass
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return os.environ["CUDA_VISIBLE_DEVICES"]

if __name__ == "__main__":
    seen, fails, options = json.loads(sys.argv[1])
    said = []
    hooks.add(lambda event: said.append(str(event)))
    store = current_session().store
    for peak in seen:
        observe(store, greedy.name, Observation(0, peak, 1.0))
    try:
        greedy.with_(**options)(sys.argv[2], fails)
        error = None
    except Exception as problem:
        error = str(problem)
    rows = [(one.peak_bytes, one.ran_out) for one in observed(store, greedy.name)]
    again = [text for text in said if "runs again" in text]
    print(json.dumps({"error": error, "rows": rows, "again": again, "tries": os.path.getsize(sys.argv[2])}))
'''


def run(fake: FakeNvml, folder: Path, seen: list[int], fails: int, **options: Any) -> dict[str, Any]:
    """What became of one call that fails so often, after calls that took `seen`."""
    fake.says(gpu(0))
    program = folder / "program.py"
    program.write_text(PROGRAM)
    own = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
    store = {"PYTHONPATH": str(REPOSITORY), "GPUCACHE_STORE": str(folder / "store")}
    done = subprocess.run(
        [sys.executable, str(program), json.dumps([seen, fails, options]), str(folder / "tries")],
        env={**own, **fake.environment, **store},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_out_of_a_learned_memory_runs_once_more(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """It is given once more, said once, and what it ran out of is kept."""
    answer = run(fake_nvml, tmp_path, [2 * GIB] * 3, fails=1)

    assert answer["error"] is None
    assert answer["tries"] == 2
    assert len(answer["again"]) == 1
    ran_out = [peak for peak, failed in answer["rows"] if failed]
    assert len(ran_out) == 1
    assert 2.2 * GIB <= ran_out[0] <= 2.5 * GIB


def test_a_second_out_of_memory_is_the_callers(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Alone on the GPU there is no more to be had."""
    answer = run(fake_nvml, tmp_path, [2 * GIB] * 3, fails=9)

    assert answer["tries"] == 2
    assert "out of memory" in answer["error"]


@pytest.mark.parametrize(("seen", "options"), [([], {}), ([2 * GIB] * 3, {"gpu_memory": "4GiB"})])
def test_what_was_not_learned_is_not_retried(
    fake_nvml: FakeNvml, tmp_path: Path, seen: list[int], options: dict[str, Any]
) -> None:
    """Nobody knew better than the user: who declares the memory, or is measured for the first time, hears of it at once."""
    answer = run(fake_nvml, tmp_path, seen, fails=1, **options)

    assert answer["tries"] == 1
    assert "out of memory" in answer["error"]
