"""Run tests/gpu on the GPU that is here and keep what they saw: benchmarks/results/gpu_<card>_<date>.json.

`python -m benchmarks.real_gpu`. Where there is no GPU nothing is written, and the reason is said.
"""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine import machine
from gpucache.telemetry import read_fleet

HERE = Path(__file__).parent


class Seen:
    """A pytest plugin: each test's outcome, why it was skipped or failed, and what it recorded."""

    def __init__(self) -> None:
        self.tests: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the call of each test, and what went wrong before or after it."""
        if report.when != "call" and report.outcome == "passed":
            return
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        self.tests.append(
            {
                "test": report.nodeid.removeprefix("tests/gpu/"),
                "outcome": report.outcome,
                "seconds": round(report.duration, 3),
                **({"why": why} if why else {}),
                **({"seen": dict(report.user_properties)} if report.user_properties else {}),
            }
        )


def main() -> int:
    """0 if every test passed or was skipped with a reason; 1 if one failed; 5 if there is no real GPU."""
    if "FAKE_NVML_SCENARIO" in os.environ:
        print("FAKE_NVML_SCENARIO is set: this driver may not be real, so nothing is kept", file=sys.stderr)
        return 5
    fleet = read_fleet()
    if not fleet.gpus:
        print(f"no GPU here: {'; '.join(fleet.problems) or 'NVML shows none'}", file=sys.stderr)
        return 5
    seen = Seen()
    failed = pytest.main(["-q", "-p", "no:cacheprovider", str(HERE.parent / "tests" / "gpu")], plugins=[seen])
    card = re.sub(r"\W+", "_", fleet.gpus[0].name.lower()).strip("_") or "unknown"
    path = HERE / "results" / f"gpu_{card}_{datetime.now(UTC):%Y-%m-%d}.json"
    path.parent.mkdir(exist_ok=True)
    document = {
        "schema": "gpucache-real-gpu/1",
        "machine": machine(),
        "gpu_count": len(fleet.gpus),
        "tests": seen.tests,
    }
    path.write_text(json.dumps(document, indent=1, default=str) + "\n")
    print(f"seen: {path}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
