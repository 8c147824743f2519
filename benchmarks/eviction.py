"""What should a full store give up? Recorded looks for results, replayed beside the usual rules and what none can beat.

    python -m benchmarks.eviction [--gentd26 FOLDER]

Writes results/eviction/eviction.json and EVICTION.md. The traces: histories of two projects, recorded by gpucache itself
(programs/history.py, in data/), and, where its folder is given, three weeks of requests for images.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.evictors import (
    Access,
    Evictor,
    GreedyDualSizeFrequency,
    LeastRecentlyUsed,
    Ours,
    S3Fifo,
    least_recomputed_s,
    replay,
)
from benchmarks.machine import machine

HERE = Path(__file__).parent
MIB = 2**20
SHARES = (0.02, 0.05, 0.1, 0.2)
HISTORIES = {"history of joblib": "joblib.csv.gz", "history of click": "click.csv.gz"}
EVICTORS: dict[str, Callable[[int], Evictor]] = {
    "gpucache": lambda _: Ours(),
    "GDSF": lambda _: GreedyDualSizeFrequency(),
    "S3-FIFO": S3Fifo,
    "LRU": lambda _: LeastRecentlyUsed(),
}


def main() -> None:
    """Replay everything, write the results and the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eviction", description=__doc__)
    parser.add_argument("--gentd26", type=Path, help="the folder with requests.csv.gz")
    wanted = parser.parse_args()
    traces = {name: recorded(HERE / "data" / file) for name, file in HISTORIES.items()}
    if wanted.gentd26 is not None:
        traces["requests for images"] = requests(wanted.gentd26 / "requests.csv.gz")
    document = {"machine": machine(), "traces": [compared(name, trace) for name, trace in traces.items()]}
    (HERE / "results" / "eviction").mkdir(parents=True, exist_ok=True)
    (HERE / "results" / "eviction" / "eviction.json").write_text(json.dumps(document, indent=1) + "\n")
    (HERE / "EVICTION.md").write_text(rendered(document))


def recorded(path: Path) -> list[Access]:
    """A trace that programs/history.py wrote."""
    with gzip.open(path, "rt", newline="") as file:
        return [
            Access(float(row["at_s"]), row["result"], int(row["nbytes"]), float(row["recompute_s"]))
            for row in csv.DictReader(file)
        ]


def requests(path: Path) -> list[Access]:
    """Requests for images as looks for results: one for each model and setting, an image of 1 MiB each, the mean of its run times."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    took_s: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        took_s[_item(row)].append(float(row["exec_time_s"] or 0))
    return [
        Access(
            datetime.fromisoformat(row["created_at"]).timestamp(),
            _item(row),
            max(1, int(float(row["num_images"] or 1))) * MIB,
            statistics.mean(took_s[_item(row)]),
        )
        for row in rows
    ]


def _item(row: dict[str, str]) -> str:
    return "/".join(row[name] for name in ("model", "num_lora", "num_images", "num_steps"))


def compared(name: str, trace: Sequence[Access]) -> dict[str, Any]:
    """Every rule on one trace, by limit: misses, and seconds computed again beside the least that is possible."""
    sizes = {access.item: access.nbytes for access in trace}
    rows = []
    for share in SHARES:
        limit = int(sum(sizes.values()) * share)
        least_s = least_recomputed_s(trace, limit)
        row: dict[str, Any] = {"share": share, "max_bytes": limit, "least_s": round(least_s, 3)}
        for rule, make in EVICTORS.items():
            found = replay(trace, limit, make(limit))
            row[rule] = {
                "misses": found.misses,
                "missed_bytes": found.missed_bytes,
                "recomputed_s": round(found.recomputed_s, 3),
                "times_the_least": round(found.recomputed_s / least_s, 3),
            }
        rows.append(row)
    return {
        "trace": name,
        "looks": len(trace),
        "results": len(sizes),
        "nbytes": sum(sizes.values()),
        "limits": rows,
    }


_HEAD = """# What a full store gives up

Made by `python -m benchmarks.eviction`; not edited by hand. Seconds computed again, in times the least that is possible: what one
pays who knows the future and may keep parts of results (a linear program; benchmarks/evictors.py says whose). 1 can't be beaten. The
limit is a share of the bytes of all results of the trace.

The histories are looks of a pipeline for its results, commit after commit of a real project on all its branches, recorded by gpucache
(benchmarks/programs/history.py): real bytes, real seconds. The requests for images are those of RESIDENCE.md, each model and
setting one result; their run times are real, the size of an image is set to 1 MiB. The rule's two constants (a root of the
uses, three pauses) were chosen on joblib's history and the requests, before click's history was recorded.
"""


def rendered(document: dict[str, Any]) -> str:
    """The page."""
    parts = [_HEAD]
    for trace in document["traces"]:
        parts.append(f"## {trace['trace']}\n")
        parts.append(
            f"{trace['looks']:,} looks for {trace['results']:,} results of {trace['nbytes'] / MIB:,.0f} MiB.\n"
        )
        parts.append("| limit | the least | " + " | ".join(EVICTORS) + " |\n|---|---|" + "---|" * len(EVICTORS))
        for row in trace["limits"]:
            times = " | ".join(f"{row[rule]['times_the_least']:.2f} x" for rule in EVICTORS)
            parts.append(f"| {row['share']:.0%} | {row['least_s']:,.0f} s | {times} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    main()
