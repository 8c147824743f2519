"""Processes that use a store and meet a fault at one system call: killed before or after it, refused, or cut short.

A warm process (this file as a program, csrc/faults preloaded) forks one process per plan, so that a cycle costs milliseconds:
the victim, which does an operation with a fault armed, and then the witness, a fresh process that opens the store and looks.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "csrc" / "faults" / "faults.c"

COUNT, KILL_BEFORE, KILL_AFTER, FAIL, SHORT = 1, 2, 3, 4, 5
"""The modes of csrc/faults."""

DAMAGED_INDEX = "damaged index"
"""An operation of its own: the index's file is mutated, `at` is the seed."""

HANG_S = 2.0
BUSY_S = 10.0  # what a step may take on a busy machine before it counts as hanging where nothing is measured
OLD = 8  # records that are there before the fault


@dataclass(frozen=True)
class Plan:
    """One fault: at the `at`-th call of an operation, and every `every`-th after it."""

    operation: str
    mode: int = COUNT
    at: int = 0
    every: int = 0
    error: int = 0
    durability: str = "relaxed"

    def __str__(self) -> str:
        mode = {COUNT: "count", KILL_BEFORE: "kill before", KILL_AFTER: "kill after", FAIL: "fail", SHORT: "short"}[
            self.mode
        ]
        every = f", every {self.every}" if self.every else ""
        code = f" {errno.errorcode[self.error]}" if self.error else ""
        return f"{self.operation} ({self.durability}): {mode}{code} at call {self.at}{every}"


@dataclass(frozen=True)
class Outcome:
    """What the victim said until it ended, and what the witness found."""

    seen: int
    calls: list[str]
    said: list[str]
    status: int
    problems: list[str]


def build(folder: Path) -> Path | None:
    """Compile the library into folder; None where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "faults.so"
    flags = ["-std=c17", "-O1", "-g", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden"]
    subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


class FaultServer:
    """The warm process. One thread may use it."""

    def __init__(self, folder: Path, library: Path) -> None:
        root = str(Path(__file__).parents[1])
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "PYTHONPATH": os.pathsep.join((root, str(Path(__file__).parent))),
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def run(self, plan: Plan) -> Outcome:
        """Do it on a fresh copy of a store."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(plan)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that starts the victims has died"
        return Outcome(**json.loads(answer))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# -------------------------------------------------------------------- the plans

ERRORS = (errno.EIO, errno.ENOSPC, errno.EINTR)


def plans_of(server: FaultServer, operation: str, durability: str = "relaxed") -> Iterator[Plan]:
    """Every single fault of an operation, and every n-th: its calls are counted first."""
    count = server.run(Plan(operation, durability=durability)).seen
    assert count > 0, f"{operation} made no call that is seen: the library is not in its way"
    for at in range(1, count + 1):
        for mode in (KILL_BEFORE, KILL_AFTER, SHORT):
            yield Plan(operation, mode, at, durability=durability)
        for error in ERRORS:
            yield Plan(operation, FAIL, at, error=error, durability=durability)
    for every in (1, 2, 3, 5, 7):
        yield Plan(operation, SHORT, 1, every, durability=durability)
        for error in ERRORS:
            if error != errno.EINTR or every > 1:  # Interrupted for ever is tried for ever, as it should be.
                yield Plan(operation, FAIL, 1, every, error, durability)


# -------------------------------------------------------------------- the program


def _serve(folder: Path) -> None:
    from fault_operations import OPERATIONS, prepare, read_damaged, witness

    library = ctypes.CDLL(None)
    library.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_int]
    library.faults_seen.restype = ctypes.c_long
    library.faults_log.restype = ctypes.c_char_p
    template, path = folder / "template", folder / "store"
    _in_child(lambda _: prepare(template, OLD), HANG_S * 10)
    for line in sys.stdin:
        plan = Plan(**json.loads(line))
        shutil.rmtree(path, ignore_errors=True)
        if plan.operation == DAMAGED_INDEX:
            shutil.copytree(template, path)
            said, status, is_hung = _in_child(partial(read_damaged, path, plan.at), BUSY_S)
            problems = [line for line in said if line.startswith("WRONG")] + ["it hung"] * is_hung
            problems += [f"it ended with {status}"] if status != 0 else []
            print(json.dumps(asdict(Outcome(0, [], said, status, problems))), flush=True)
            continue
        operation = OPERATIONS[plan.operation]
        if operation.old:
            shutil.copytree(template, path)

        def victim(say: Callable[[str], None], plan: Plan = plan) -> None:
            def arm() -> None:
                library.faults_arm(os.fsencode(path), plan.mode, plan.at, plan.every, plan.error)

            OPERATIONS[plan.operation].run(path, plan.durability, arm, say)
            library.faults_disarm()
            say(f"seen {library.faults_seen()} {library.faults_log().decode()}")

        said, status, is_hung = _in_child(victim, BUSY_S)
        problems = [f"it hung for {BUSY_S} s"] if is_hung else []
        problems += [line for line in said if line.startswith("WRONG")]
        if plan.mode in (KILL_BEFORE, KILL_AFTER):
            problems += [] if status == -signal.SIGKILL else [f"it was not killed but ended with {status}"]
        elif status != 0:
            problems.append(f"it ended with {status}")
        may_miss = operation.evicts or (plan.mode == FAIL and plan.error == errno.EIO)
        acknowledged = [int(line.split()[1]) for line in said if line.startswith("ack ")]
        old = range(OLD) if operation.old else ()

        def look(
            say: Callable[[str], None], steps: tuple[int, ...] = (*old, *acknowledged), may: bool = may_miss
        ) -> None:
            witness(path, steps, say, may_miss=may)

        found, status, is_hung = _in_child(look, BUSY_S)
        problems += found
        problems += [f"the witness ended with {status}"] if status != 0 else []
        problems += [f"the witness hung for {BUSY_S} s"] if is_hung else []
        seen = next((line.split() for line in said if line.startswith("seen ")), ["seen", "0"])
        print(json.dumps(asdict(Outcome(int(seen[1]), seen[2:], said, status, problems))), flush=True)


def _in_child(act: Callable[[Callable[[str], None]], Any], limit_s: float) -> tuple[list[str], int, bool]:
    """What a forked process said, its exit status (negative: the signal), and whether it took too long."""
    mouth, ours = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(mouth)
            act(lambda line: (os.write(ours, line.encode() + b"\n"), None)[1])
            code = 0
        except BaseException as problem:
            with suppress(BaseException):
                where = traceback.extract_tb(problem.__traceback__)[-1]
                os.write(
                    ours, f"WRONG: {type(problem).__name__}: {problem} ({where.filename}:{where.lineno})\n".encode()
                )
        finally:
            os._exit(code)
    os.close(ours)
    heard, deadline, is_hung = b"", time.monotonic() + limit_s, False
    while not is_hung:
        ready, _, _ = select.select([mouth], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(mouth, 65536) if ready else b""
        heard += piece
        if ready and not piece:
            break
        if time.monotonic() >= deadline:
            is_hung = True
            os.kill(pid, signal.SIGKILL)
    os.close(mouth)
    _, status = os.waitpid(pid, 0)
    return heard.decode().splitlines(), os.waitstatus_to_exitcode(status), is_hung


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
