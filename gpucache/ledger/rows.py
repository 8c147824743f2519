"""The rows of the ledger: what is written of a run and of each call in it."""

from __future__ import annotations

import msgspec

from gpucache.store import Manifest


class CallRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call of a task within a run.

    Attributes:
        task: The task's name.
        key: 16 bytes, or None for a call that is not memoised.
        state: A value of events.State.
        started_at: Unix time, s.
        seconds: What its body took, if it ran; else how long the caller waited, s.
        saved_seconds: What it took when it ran, if it did not have to run now, s.
        reasons: Why it ran, one sentence each; empty for a hit.
        result: The result's digest, 16 bytes, if it has one.
        shown: The arguments in a few words, by name.
        compared_with: Key of the record that the reasons compare the call with.
        cpus, memory_bytes, gpus, gpu_memory_bytes: What the task asks for; gpu_memory_bytes is None where that is learned.
    """

    task: str
    key: bytes | None = None
    state: str
    started_at: float
    seconds: float
    saved_seconds: float = 0.0
    reasons: tuple[str, ...] = ()
    result: bytes | None = None
    shown: dict[str, str] = {}
    compared_with: bytes | None = None
    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: float = 0.0
    gpu_memory_bytes: int | None = None


class RunRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution of a flow.

    Attributes:
        id: Sorts by time: `20261123-110512-4829139f`.
        flow: The flow's name.
        status: "running", "done", "failed", "interrupted".
        started_at, ended_at: Unix time, s; ended_at is None while it runs.
        shown: The flow's arguments in a few words, by name.
        params: Manifest of the arguments themselves, if they can be stored.
        result: Manifest of the result, if it can be stored.
        error: The exception's last line, and its traceback, for a failed run.
        code: Where the flow's code is: file, module, flow, git commit, whether the work tree differed.
        env: Python, platform, host, versions of the distributions that the code reaches.
        pid: The process that runs it, on the host named in env.
    """

    id: str
    flow: str
    status: str
    started_at: float
    ended_at: float | None = None
    shown: dict[str, str] = {}
    params: Manifest | None = None
    result: Manifest | None = None
    error: str | None = None
    traceback: str | None = None
    code: dict[str, str] = {}
    env: dict[str, str] = {}
    pid: int = 0
