"""Run the benchmarks, keep what they measured with the machine, and render the table."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.table import render

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SCHEMA = "gpucache-benchmark/1"
QUESTIONS = tuple(sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py")))
REPLAYS = {"placement": "benchmarks.placement_openb", "residence": "benchmarks.residence_gentd26"}
"""Questions answered by a recorded trace, which is no part of the repository: they need --data."""


def main() -> int:
    """Answer the questions asked for; 1 if a benchmark failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("questions", nargs="*", help=f"of {', '.join(QUESTIONS)}; default: all")
    parser.add_argument("--data", type=Path, help=f"a recorded trace's folder, for one of {', '.join(REPLAYS)}")
    parser.add_argument("--table", action="store_true", help="only render RESULTS.md from what was measured before")
    asked = parser.parse_args()
    if asked.data is not None:
        if len(asked.questions) != 1 or asked.questions[0] not in REPLAYS:
            parser.error(f"--data is for one question, of {', '.join(REPLAYS)}")
        if not asked.data.is_dir():
            parser.error(f"--data {asked.data}: there is no such folder")
        importlib.import_module(REPLAYS[asked.questions[0]]).main(asked.data)
        return 0
    if unknown := set(asked.questions) - set(QUESTIONS):
        hint = "; for a recorded trace say --data FOLDER" if unknown & REPLAYS.keys() else ""
        parser.error(f"no such question: {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}{hint}")
    failed = [] if asked.table else [question for question in asked.questions or QUESTIONS if not answer(question)]
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    results = [
        document for document in found if document.get("schema") == SCHEMA
    ]  # not what others keep there: soak, real_gpu
    (HERE / "RESULTS.md").write_text(render(results))
    print(f"table: {HERE / 'RESULTS.md'}", file=sys.stderr)
    return 1 if failed else 0


def answer(question: str) -> bool:
    """Run one file in a process of its own and write results/<question>.json; False, and nothing written, if it failed."""
    with tempfile.TemporaryDirectory(prefix="gpucache-bench-") as folder:
        raw = Path(folder) / "raw.json"
        command = [
            *(sys.executable, "-m", "pytest", str(HERE / f"bench_{question}.py"), f"--benchmark-json={raw}"),
            *("-q", "-p", "no:cacheprovider", "--override-ini=addopts=", "--override-ini=filterwarnings=default"),
            *("--override-ini=python_files=bench_*.py", "--override-ini=timeout=900", f"--basetemp={folder}/tmp"),
            *("--benchmark-columns=min,median,rounds", "--benchmark-sort=min", "--benchmark-disable-gc"),
        ]
        if subprocess.run(command, check=False, cwd=HERE.parent).returncode != 0 or not raw.exists():
            return False
        measured = [_row(entry) for entry in json.loads(raw.read_text())["benchmarks"]]
    RESULTS.mkdir(exist_ok=True)
    document = {"schema": SCHEMA, "question": question, "machine": machine(), "measured": measured}
    (RESULTS / f"{question}.json").write_text(json.dumps(document, indent=1) + "\n")
    return True


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    stats, extra = entry["stats"], entry["extra_info"]
    calls, told = extra.get("calls", 1), extra.get("seconds")
    row = {
        "what": entry["group"],
        "contestant": extra["contestant"],
        "per": calls,
        "min_s": stats["min"] / calls if told is None else told,
        "median_s": stats["median"] / calls if told is None else told,
        "rounds": stats["rounds"],
    }
    return row | ({"figures": extra["figures"]} if extra.get("figures") else {})


if __name__ == "__main__":
    sys.exit(main())
