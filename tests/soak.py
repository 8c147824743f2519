"""The long runs behind the crash tests, with their counts: `python -m tests.soak kills|syscalls|mutations|...|all`.

The code is that of the tests that CI runs; only how many differs. Results go to benchmarks/results/soak.json, one entry a run.
`--seconds` ends `syscalls` and `index` early; their plans are drawn in an order of their own, so that what was run is a fair part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "soak.json"
sys.path.insert(0, str(ROOT / "tests"))

from fault_server import DAMAGED_INDEX, FaultServer, Plan, build, plans_of  # noqa: E402  # after the path to it

Result = dict[str, Any]
ends_at = float("inf")  # of time.monotonic(), set by --seconds


def kills(cycles: int) -> Result:
    """Writers, readers, collectors and lock holders killed at random moments."""
    return _by_pytest("tests/crash/test_store_killed.py", {"GPUCACHE_TEST_KILLS": cycles}, cycles)


def mutations(cycles: int) -> Result:
    """Mutated blobs and rows, a third of them each: blobs, rows, forged rows."""
    return _by_pytest("tests/property/test_store_mutated.py", {"GPUCACHE_TEST_MUTATIONS": cycles}, cycles)


def syscalls(cycles: int) -> Result:
    """Every fault at every call of every operation, up to `cycles` of them."""
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as server:
        plans = [
            plan
            for operation in ("make", "open", "put", "get", "evict", "collect")
            for durability in ("relaxed", "durable", "volatile")
            for plan in plans_of(server, operation, durability)
        ]
        random.Random(4).shuffle(plans)
        return _run(server, plans[:cycles])


def index(cycles: int) -> Result:
    """Mutated index files."""
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as server:
        return _run(server, [Plan(DAMAGED_INDEX, at=seed) for seed in range(cycles)])


def power(cycles: int) -> Result:
    """Power cuts on ext4 and xfs; needs root and loop mounts."""
    from power_cuts import FILE_SYSTEMS, cut, why_not

    counts, failures, skipped = Counter[str](), [], []
    for kind in FILE_SYSTEMS:
        if reason := why_not(kind):
            skipped.append(f"{kind}: {reason}")
            continue
        for durability in ("durable", "relaxed", "volatile"):
            for seed in range(max(1, cycles // 6)):
                with tempfile.TemporaryDirectory() as folder:
                    told = cut(Path(folder), kind, durability, seed)
                counts[f"{kind} {durability}: cuts"] += 1
                counts[f"{kind} {durability}: acknowledged"] += told.acknowledged
                counts[f"{kind} {durability}: there after the cut"] += told.found
                failures += told.problems
    return {"counts": dict(counts), "failures": failures[:50], "failed": len(failures), "skipped": skipped}


def flight(cycles: int) -> Result:
    """As many keys, wanted by 64 processes at once: each body runs once."""
    variables = {"GPUCACHE_TEST_FLIGHT_KEYS": cycles, "GPUCACHE_TEST_FLIGHT_PROCESSES": 64}
    return {
        "processes": 64,
        **_by_pytest("tests/crash/test_store_killed.py::test_each_body_runs_once", variables, cycles),
    }


def codecs(cycles: int) -> Result:
    """Hostile bytes for every codec, so many for each claim."""
    return _by_pytest("tests/property/test_codec_hostile.py", {"GPUCACHE_TEST_HOSTILE": cycles}, cycles)


def full(cycles: int) -> Result:
    """So many seconds of writers who evict, and readers who hold what they read, at the limit."""
    return _by_pytest("tests/crash/test_store_room.py", {"GPUCACHE_TEST_FULL_S": cycles}, cycles)


def _server(folder: Path) -> FaultServer:
    library = build(folder)
    if library is None:
        raise SystemExit("no C compiler here to build csrc/faults with")
    return FaultServer(folder, library)


def _run(server: FaultServer, plans: list[Plan]) -> Result:
    counts, failures, done = Counter[str](), list[str](), 0
    for done, plan in enumerate(plans, 1):
        outcome = server.run(plan)
        counts[plan.operation] += 1
        for said in outcome.said:
            if said.startswith("error ") or said in ("found", "missed"):
                counts[said] += 1
        failures += [f"{plan}: {problem}" for problem in outcome.problems]
        for problem in outcome.problems:
            print(f"{plan}: {problem}", flush=True)
        if done % 500 == 0:
            print(f"{done:,} of {len(plans):,}, {len(failures)} failures", flush=True)
        if time.monotonic() > ends_at:
            break
    return {
        "cycles": done,
        "planned": len(plans),
        "counts": dict(counts),
        "failures": failures[:50],
        "failed": len(failures),
    }


def _by_pytest(file: str, variables: dict[str, int], cycles: int) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file],
        cwd=ROOT,
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    failures = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "E   "))]
    return {
        "cycles": cycles,
        "failures": failures[:50],
        "failed": done.returncode,
        "said": done.stdout.splitlines()[-1:],
    }


RUNS: dict[str, tuple[Callable[[int], Result], int]] = {
    "kills": (kills, 10_000),
    "syscalls": (syscalls, 1_000_000),
    "mutations": (mutations, 100_000),
    "index": (index, 10_000),
    "power": (power, 120),
    "flight": (flight, 1_000),
    "codecs": (codecs, 20_000),
    "full": (full, 180),
}


def main() -> int:
    """Run them and note how it went."""
    global ends_at  # set once, by a program
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("what", choices=[*RUNS, "all"])
    parser.add_argument("--cycles", type=int)
    parser.add_argument("--seconds", type=float)
    wanted = parser.parse_args()
    failed = 0
    for name in RUNS if wanted.what == "all" else (wanted.what,):
        run, cycles = RUNS[name]
        started = time.monotonic()
        ends_at = started + (wanted.seconds or float("inf"))
        result = run(wanted.cycles or cycles)
        result["seconds"] = round(time.monotonic() - started, 1)
        print(name, json.dumps(result, indent=1), flush=True)
        note(name, result)
        failed += result["failed"]
    return 1 if failed else 0


def note(name: str, result: Result) -> None:
    """Keep the last outcome of each run, with the day and the machine."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    )
    known[name] = {"at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "machine": machine, **result}
    RESULTS.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
