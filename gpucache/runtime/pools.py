"""What the pools of this machine do now: each runtime writes its own down beside the store, whoever wants reads them all.

A file for each process that has workers, replaced as a whole at most every WRITE_EVERY_S and only when something has
changed: an idle pool writes nothing, and a run that is shorter costs nothing. It is removed when the runtime ends; what a
killed process left is told by its process's start, and removed by the next who looks or writes. Nothing waits for a file and nothing
is decided by one.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gpucache.events import Degraded, hooks

FOLDER = "pools"
WRITE_EVERY_S = 0.5
COST_MAX = 50
"""So many times as long as it took to look at a pool nobody looks again: a queue of 100 000 calls takes 40 ms under its lock."""


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """A warm worker.

    Attributes:
        worker: Its name in its pool.
        pid: None while it is starting.
        stage: "starting", "idle", "busy" or "ending".
        kind: What it is for, in words: "CPU", "0.25 GPU, 4.0 GiB", with its environment.
        gpus: The UUIDs of what it holds.
        promised_bytes: Device memory that it was promised on each of them.
        device_bytes: What PyTorch keeps there, as the worker said last; () where it did not say.
        residents: Name of each, and the device memory that its loader declares.
        since: When it was started, Unix time, s.
        call, call_since: What it runs, and since when.
        answered: Calls that have ended in it.
    """

    worker: str
    pid: int | None
    stage: str
    kind: str
    gpus: tuple[str, ...]
    promised_bytes: int | None
    device_bytes: tuple[int, ...]
    residents: tuple[tuple[str, int | None], ...]
    since: float
    call: str | None
    call_since: float | None
    answered: int


class CallsState(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one task in one run that are not at their end. `run` is empty for calls outside of a flow.

    `waits_for`: what the first of them waits for, in words; None if none waits.
    """

    run: str
    task: str
    running: int
    waiting: int
    waits_for: str | None


class GpuState(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool has promised of a GPU or MIG instance.

    Attributes:
        promised_bytes, promised_fraction: To its workers: memory, and share of the GPU's time.
        trouble: Why it gets no new worker; "" if it does.
    """

    uuid: str
    promised_bytes: int
    promised_fraction: float
    trouble: str


class PoolState(msgspec.Struct, frozen=True, kw_only=True):
    """One runtime: its process, workers, calls, and what it promised of the GPUs.

    Attributes:
        started_ticks: When its process began, in the kernel's count: with pid it names a process for good.
        pid_namespace, host: In which process ids are counted so.
        written_at: Unix time, s. Nothing has changed since, if the process lives.
    """

    version: int = 1
    pid: int
    started_ticks: int
    pid_namespace: str
    host: str
    program: str
    runtime: str
    workers_max: int
    written_at: float
    workers: tuple[WorkerState, ...]
    calls: tuple[CallsState, ...]
    gpus: tuple[GpuState, ...]


class StatusFile:
    """This process's file. note() from any thread; written in the thread that `later` calls back in.

    Args:
        store: The store's directory; where there is none nothing is written.
        now: What is to be written.
        later: Calls back after so many seconds.
    """

    def __init__(
        self, store: Path, now: Callable[[], PoolState], later: Callable[[float, Callable[[], None]], None]
    ) -> None:
        self._path = store / FOLDER / f"{os.getpid()}-{id(self):x}.json"
        self._now, self._later = now, later
        self._lock = threading.Lock()
        self._is_due = self._closed = False
        self._wait_s = WRITE_EVERY_S
        self._has_swept = False

    def note(self) -> None:
        """Something has changed."""
        if not self._is_due:
            self._is_due = True
            self._later(self._wait_s, self._write)

    def close(self) -> None:
        """The runtime has ended."""
        with self._lock:
            self._closed = True
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        self._is_due = False
        if not self._path.parent.parent.is_dir():
            return
        began = time.monotonic()
        encoded = msgspec.json.encode(self._now())
        self._wait_s = max(WRITE_EVERY_S, COST_MAX * (time.monotonic() - began))
        with self._lock:
            if self._closed:
                return
            store = self._path.parent.parent
            fresh = store / "tmp" / f"pool-{self._path.stem}"  # where the store sweeps what a killed process leaves
            try:
                for folder in (fresh.parent, self._path.parent):
                    folder.mkdir(mode=0o700, exist_ok=True)
                fresh.write_bytes(encoded)
                fresh.replace(self._path)
                if not self._has_swept:
                    self._has_swept = True
                    read_pools(store)
            except OSError as problem:
                self._closed = True
                hooks.emit(Degraded("`gpucache status` does not show this process", str(problem)))


def read_pools(store: Path) -> list[PoolState]:
    """The pools of every process that lives; files of those that don't are removed.

    A process of another machine or container can't be asked whether it lives: its pool is given as it was written.
    """
    pools: list[PoolState] = []
    for path in sorted((store / FOLDER).glob("*.json")):
        try:
            pool = _decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):  # removed meanwhile, or written by another version
            continue
        if is_alive(pool) is False:
            path.unlink(missing_ok=True)
        else:
            pools.append(pool)
    return pools


def is_alive(pool: PoolState) -> bool | None:
    """Whether a pool's process is there; None where its ids are not ours."""
    if (pool.host, pool.pid_namespace) != (socket.gethostname(), pid_namespace()):
        return None
    return started_ticks(pool.pid) == pool.started_ticks


def pid_namespace() -> str:
    """The namespace of this process's ids; "" where the kernel does not say."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def started_ticks(pid: int) -> int | None:
    """When a process began; None if it is not there or dead already (proc(5), stat: state, starttime)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def unix_time() -> float:
    """Now, s."""
    return time.time()


def program() -> str:
    """What this process runs, in a few words."""
    return " ".join([os.path.basename(sys.argv[0] or sys.executable), *sys.argv[1:]])[:200]


_decode = msgspec.json.Decoder(PoolState).decode
