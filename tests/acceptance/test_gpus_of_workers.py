"""A flow on a machine with GPUs that are not there: which GPU each worker sees, and how many share one.

The flow runs in a process of its own, with the runtime and nvidia-ml-py as they are, on the fake library. A task opens
the pipe that it is given for reading and so waits until the flow opens it for writing: what has opened runs at the same
time, with no clock involved.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fake_nvml import GIB, FakeNvml, gpu, mig, mig_uuid, uuid

from gpucache.config import Config
from gpucache.events import hooks
from gpucache.runtime.demand import Resources
from gpucache.runtime.driver import Driver

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]

PROGRAM = '''
import errno, json, os, sys
import gpucache as gpc

@gpc.task(cache=False)
def where(pipe):
    open(pipe).read(1)
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER")

def pipe(number):
    path = os.path.join(os.environ["PIPES"], str(number))
    os.mkfifo(path)
    return path

def is_open(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as problem:
        assert problem.errno == errno.ENXIO
        return False
    return True

@gpc.flow
def together(asked, at_once):
    """Calls of one task, each with its options; the first so many of them are seen to run at the same time."""
    pipes = [pipe(number) for number in range(len(asked))]
    futures = [where.with_(**options).submit(path) for options, path in zip(asked, pipes)]
    ends = [open(path, "wb", buffering=0) for path in pipes[:at_once]]
    waiting = not any(map(is_open, pipes[at_once:]))
    ends += [open(path, "r+b", buffering=0) for path in pipes[at_once:]]  # opens without waiting for a reader
    for end in ends:
        end.write(b".")
    return waiting, [future.result() for future in futures]

if __name__ == "__main__":
    asked, at_once = json.loads(sys.argv[1])
    waiting, seen = together(asked, at_once)
    print(json.dumps({"waiting": waiting, "seen": seen}))
'''


def run(fake: FakeNvml, folder: Path, asked: list[dict[str, Any]], at_once: int, **env: str) -> dict[str, Any]:
    """What `together` gives, each place as (worker, devices); devices None where the worker was given none."""
    program, pipes = folder / "program.py", folder / "pipes"
    program.write_text(PROGRAM)
    pipes.mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
    done = subprocess.run(
        [sys.executable, str(program), json.dumps([asked, at_once])],
        env={
            **own,
            **fake.environment,
            "PIPES": str(pipes),
            "PYTHONPATH": str(REPOSITORY),
            "GPUCACHE_STORE": str(folder / "store"),
            "GPUCACHE_MAX_WORKERS": "8",
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    answer["stderr"] = done.stderr
    return answer


def devices(answer: dict[str, Any]) -> list[str | None]:
    return [devices for _, devices, _ in answer["seen"]]


def test_shares_and_memory_fill_both_gpus_and_no_more(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Two 60 GiB halves a GPU, four at once; a fifth waits for one of their workers and starts none of its own."""
    fake_nvml.says(gpu(0), gpu(1))
    half = {"gpus": 0.5, "gpu_memory": "60GiB"}

    answer = run(fake_nvml, tmp_path, [half] * 5, at_once=4)

    assert Counter(devices(answer)[:4]) == {uuid(0): 2, uuid(1): 2}
    assert answer["waiting"]
    assert Counter(devices for devices, _ in {(where, pid) for pid, where, _ in answer["seen"]}) == {
        uuid(0): 2,
        uuid(1): 2,
    }
    assert {order for _, _, order in answer["seen"]} == {"PCI_BUS_ID"}


def test_memory_that_others_hold_is_not_there(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """A GPU on which someone else's process has left 40 GiB gets no worker that needs 60."""
    fake_nvml.says(gpu(0, memory_used_bytes=100 * GIB), gpu(1), f"process 0 pid 4242 memory_bytes {100 * GIB}")

    answer = run(fake_nvml, tmp_path, [{"gpus": 0.1, "gpu_memory": "60GiB"}] * 3, at_once=2)

    assert answer["waiting"]
    assert set(devices(answer)) == {uuid(1)}
    assert len({pid for pid, _, _ in answer["seen"]}) == 2


def test_whole_gpus_are_named_together(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """A task with two GPUs sees both, by UUID; one without GPUs beside it is given none."""
    fake_nvml.says(gpu(0), gpu(1))

    answer = run(fake_nvml, tmp_path, [{"gpus": 2}, {"cpus": 1, "timeout": 100}], at_once=2)

    assert devices(answer) == [f"{uuid(0)},{uuid(1)}", None]


def test_the_users_own_choice_of_gpus_is_kept(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """CUDA_VISIBLE_DEVICES of the program, an index or a short UUID, is all that its workers may have."""
    fake_nvml.says(gpu(0), gpu(1), gpu(2))

    answer = run(fake_nvml, tmp_path, [{"gpus": 1}] * 3, at_once=2, CUDA_VISIBLE_DEVICES="2,GPU-00000001")

    assert set(devices(answer)) == {uuid(1), uuid(2)}
    assert answer["waiting"]


def test_what_is_wrong_with_the_choice_is_said_once(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """An index that names nothing ends the list, as in CUDA; the user hears that GPUs stay unused, and why."""
    fake_nvml.says(gpu(0), gpu(1), gpu(2), "vanish 2 after 0")

    answer = run(fake_nvml, tmp_path, [{"gpus": 1}] * 2, at_once=1, CUDA_VISIBLE_DEVICES="1,7,0")

    assert set(devices(answer)) == {uuid(1)}
    assert answer["stderr"].count("not every GPU is used") == 1
    assert answer["stderr"].count("index 7 names no device: there are 2 GPUs") == 1
    assert answer["stderr"].count("GPU 2 can't be opened: GPU is lost") == 1


def test_mig_instances_are_places_of_their_own(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """On a GPU that is cut, each worker sees the instance that it was given, never the GPU."""
    fake_nvml.says(gpu(0, mig_mode=1), mig(0, 0, 5), mig(0, 1, 6))

    answer = run(fake_nvml, tmp_path, [{"gpus": 1, "gpu_memory": "10GiB"}] * 3, at_once=2)

    assert set(devices(answer)) == {mig_uuid(5), mig_uuid(6)}
    assert answer["waiting"]


def test_what_can_never_fit_is_refused_with_the_sizes(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """More memory than any GPU has free: an error that names it, before anything waits."""
    fake_nvml.says(gpu(0), gpu(1, memory_used_bytes=100 * GIB))

    with pytest.raises(AssertionError, match="DoesNotFit") as refused:
        run(fake_nvml, tmp_path, [{"gpus": 1, "gpu_memory": "200GiB"}], at_once=0)

    assert f"2 of {140 * GIB:,}, {40 * GIB:,} free bytes" in str(refused.value)


def test_a_driver_that_cant_be_used_leaves_cpus(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """A version mismatch is said once, with the driver's words, and the flow runs on CPUs."""
    fake_nvml.says(gpu(0), "fail nvmlInitWithFlags 18")

    answer = run(fake_nvml, tmp_path, [{"gpus": 1}] * 2, at_once=1)

    assert devices(answer) == [None, None]
    assert answer["stderr"].count("version mismatch") == 1


def visible_devices() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize("happens", ["xid 0 79", "vanish 0 after 0"])
def test_a_gpu_that_fails_while_the_runtime_lives_gets_no_new_worker(
    fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, happens: str
) -> None:
    """An Xid that condemns, or a loss, heard through NVML itself: said, and the next workers are on the other GPU."""
    monkeypatch.setattr("gpucache.runtime.gpu_watch.READ_EVERY_S", 0.01)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    heard = threading.Event()
    hook = lambda event: heard.set() if getattr(event, "what", "") == f"{uuid(0)} gets no new worker" else None
    hooks.add(hook)
    fake_nvml.says(gpu(0), gpu(1))

    with Driver(Config(max_workers=4)) as driver:
        before = driver.submit(visible_devices, resources=Resources(gpus=0.1, gpu_memory_bytes=GIB)).result(60)
        fake_nvml.says(gpu(0), gpu(1), happens)
        assert heard.wait(60)
        after = [
            driver.submit(visible_devices, resources=Resources(gpus=0.2, gpu_memory_bytes=n * GIB)).result(60)
            for n in (1, 2)
        ]
    hooks.remove(hook)

    assert (before, after) == (uuid(0), [uuid(1), uuid(1)])
