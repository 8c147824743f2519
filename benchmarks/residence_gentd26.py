"""Which model stays? Three weeks of requests for image models, replayed beside LRU and the optimum that knows the future.

    python -m benchmarks residence --data FOLDER

FOLDER has requests.csv (created_at, model, exec_time_s, ...) and base_model_load_ms.csv (load_ms), plain or gzipped. Writes
results/residence/gentd26.json and RESIDENCE.md.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from gpucache.residence.policies import BlendedFrequency, DecayedFrequency, LeastRecentlyUsed, Policy
from gpucache.residence.replay import Request, cold_starts_in_order, fewest_cold_starts, replay_in_time
from gpucache.runtime.actions import Hold, Send, Start, Stop
from gpucache.runtime.engine import Capacity, Engine
from gpucache.runtime.events import Answered, Ask, Event, HeldLong, Submitted, WorkerEnded, WorkerReady
from gpucache.workers.kind import CallId, Env, Kind

HERE = Path(__file__).parent
PLACES = (4, 8, 16)
PATIENCE_S = 60.0
POLICIES: dict[str, Callable[[], Policy]] = {
    "LRU": LeastRecentlyUsed,
    **{f"decayed frequency, scale {scale}": lambda scale=scale: DecayedFrequency(scale) for scale in (10, 100, 1000)},
    "gpucache": BlendedFrequency,
}


def main(folder: Path, out: Path = HERE) -> None:
    """Replay everything, write the results and the page."""
    requests, load_s = read(folder)
    document = {
        "machine": machine(),
        "requests": len(requests),
        "models": len({request.item for request in requests}),
        "load_s": load_s,
        "patience_s": PATIENCE_S,
        "in_order": in_order([request.item for request in requests]),
        "in_time": in_time(requests, load_s),
        "by_the_engine": by_the_engine(requests, load_s),
        "policy_us": policy_us(requests),
    }
    (out / "results" / "residence").mkdir(parents=True, exist_ok=True)
    (out / "results" / "residence" / "gentd26.json").write_text(json.dumps(document, indent=1) + "\n")
    (out / "RESIDENCE.md").write_text(rendered(document))


def read(folder: Path) -> tuple[list[Request], float]:
    """The requests in order of time, and the median load of a model, s."""
    rows = _table(folder / "requests.csv")
    loads_ms = [float(row["load_ms"]) for row in _table(folder / "base_model_load_ms.csv")]
    start = datetime.fromisoformat(rows[0]["created_at"])
    requests = [
        Request(
            (datetime.fromisoformat(row["created_at"]) - start).total_seconds(),
            row["model"],
            float(row["exec_time_s"] or 0),
        )
        for row in rows
    ]
    return requests, round(statistics.median(loads_ms) / 1000, 1)


def _table(path: Path) -> list[dict[str, str]]:
    packed = path.with_name(path.name + ".gz")
    with gzip.open(packed, "rt", newline="") if packed.exists() else path.open(newline="") as file:
        return list(csv.DictReader(file))


def in_order(items: Sequence[object]) -> list[dict[str, Any]]:
    """Cold starts of each policy by number of places, request after request."""
    models = [str(item) for item in items]
    rows = [
        {"policy": name, **{str(places): cold_starts_in_order(models, places, make()) for places in PLACES}}
        for name, make in POLICIES.items()
    ]
    return [*rows, {"policy": "optimum", **{str(places): fewest_cold_starts(models, places) for places in PLACES}}]


def in_time(requests: Sequence[Request], load_s: float) -> list[dict[str, Any]]:
    """Cold starts and waits on workers that are busy while they load and run, with and without patience."""
    rows: list[dict[str, Any]] = []
    for name, make in (("LRU", LeastRecentlyUsed), ("gpucache", BlendedFrequency)):
        for patience_s in (0.0, PATIENCE_S):
            row: dict[str, Any] = {"policy": name, "patience_s": patience_s}
            for places in PLACES:
                found = replay_in_time(requests, places, make(), load_s=load_s, wait_max_s=patience_s)
                waits = {"mean_wait_s": round(statistics.mean(found.waits_s), 1), "p95_wait_s": found.wait_s(0.95)}
                row[str(places)] = {"cold_starts": found.cold_starts, **waits}
            rows.append(row)
    return rows


def by_the_engine(requests: Sequence[Request], load_s: float) -> list[dict[str, Any]]:
    """The same question put to the runtime's own engine: a kind per model, a start takes a load's time."""
    rows: list[dict[str, Any]] = []
    for patience_s in (0.0, PATIENCE_S):
        row: dict[str, Any] = {"warm_wait_s": patience_s}
        for places in PLACES:
            starts, waits = through_engine(requests, places, load_s, patience_s)
            waits.sort()
            row[str(places)] = {
                "cold_starts": starts,
                "mean_wait_s": round(statistics.mean(waits), 1),
                "p95_wait_s": round(waits[int(0.95 * len(waits))], 1),
            }
        rows.append(row)
    return rows


def through_engine(
    requests: Sequence[Request], workers: int, load_s: float, warm_wait_s: float
) -> tuple[int, list[float]]:
    """Starts of workers, and how long each request waited until a worker had it, loads included."""
    engine = Engine(Capacity(workers=workers, cpus=workers), warm_wait_s=warm_wait_s)
    order = itertools.count()
    due: list[tuple[float, int, Event]] = []
    starts, waits = 0, list[float]()

    def happen(at_s: float, event: Event) -> None:
        nonlocal starts
        for action in engine.step(event):
            match action:
                case Start():
                    starts += 1
                    heapq.heappush(due, (at_s + load_s, next(order), WorkerReady(action.worker)))
                case Send():
                    asked = requests[action.call]
                    waits.append(at_s - asked.at_s)
                    answered = Answered(action.worker, action.call, ok=True)
                    heapq.heappush(due, (at_s + asked.run_s, next(order), answered))
                case Stop():
                    heapq.heappush(due, (at_s, next(order), WorkerEnded(action.worker, "")))
                case Hold():
                    heapq.heappush(due, (at_s + action.seconds, next(order), HeldLong(action.call)))

    for number, request in enumerate(requests):
        while due and due[0][0] <= request.at_s:
            at_s, _, event = heapq.heappop(due)
            happen(at_s, event)
        kind = Kind(Env(env_vars={"MODEL": str(request.item)}))
        happen(request.at_s, Submitted(Ask(CallId(number), str(request.item), kind)))
    while due:
        at_s, _, event = heapq.heappop(due)
        happen(at_s, event)
    return starts, waits


def policy_us(requests: Sequence[Request]) -> float:
    """What the policy costs a request in the replay with the most places, µs."""
    items = [request.item for request in requests]
    started = time.perf_counter()
    cold_starts_in_order(items, PLACES[-1], BlendedFrequency())
    return round((time.perf_counter() - started) / len(items) * 1e6, 1)


def rendered(document: dict[str, Any]) -> str:
    """The page."""
    order, timed = document["in_order"], document["in_time"]
    lru, best = order[0], order[-1]
    lines = [
        "# Which model stays",
        "",
        f"{document['requests']:,} requests for {document['models']} models; a load takes {document['load_s']} s. Made by",
        "`python -m benchmarks residence --data FOLDER`; what the policies do stands in their docstrings (`gpucache.residence`).",
        "",
        "Cold starts in request order: a cache of so many models.",
        "",
        "| policy | " + " | ".join(f"{places} models" for places in PLACES) + " | beside LRU | beside the optimum |",
        "|---|" + "---|" * (len(PLACES) + 2),
    ]
    for row in order:
        counts = " | ".join(f"{row[str(places)]:,}" for places in PLACES)
        beside = statistics.mean(row[str(places)] / lru[str(places)] for places in PLACES)
        over = statistics.mean(row[str(places)] / best[str(places)] for places in PLACES)
        lines.append(f"| {row['policy']} | {counts} | {100 * (beside - 1):+.1f} % | {over:.2f} x |")
    lines += [
        "",
        "Cold starts in recorded time: so many workers with a model each, busy while they load and run. With patience a request is",
        f"held up to {document['patience_s']:.0f} s for a busy worker that has its model, before another one loads it.",
        "",
        "| policy | patience | "
        + " | ".join(f"{places} workers" for places in PLACES)
        + " | beside LRU without | mean wait |",
        "|---|" + "---|" * (len(PLACES) + 3),
    ]
    for row in timed:
        cells = [row[str(places)] for places in PLACES]
        bases = [timed[0][str(places)]["cold_starts"] for places in PLACES]
        beside = statistics.mean(cell["cold_starts"] / base for cell, base in zip(cells, bases, strict=True))
        counts = " | ".join(f"{cell['cold_starts']:,}" for cell in cells)
        waits = ", ".join(f"{cell['mean_wait_s']:.0f} s" for cell in cells)
        lines.append(
            f"| {row['policy']} | {row['patience_s']:.0f} s | {counts} | {100 * (beside - 1):+.1f} % | {waits} |"
        )
    lines += [
        "",
        "The runtime's own engine in recorded time, a kind of worker for each model: what `warm_wait_s` changes. Waits until a worker",
        "has the call, loads included.",
        "",
        "| warm_wait_s | "
        + " | ".join(f"{places} workers" for places in PLACES)
        + " | beside LRU above, without patience | mean wait | 95th percentile |",
        "|---|" + "---|" * (len(PLACES) + 3),
    ]
    for row in document["by_the_engine"]:
        cells = [row[str(places)] for places in PLACES]
        bases = [timed[0][str(places)]["cold_starts"] for places in PLACES]
        beside = statistics.mean(cell["cold_starts"] / base for cell, base in zip(cells, bases, strict=True))
        counts = " | ".join(f"{cell['cold_starts']:,}" for cell in cells)
        waits, tails = (", ".join(f"{cell[name]:.0f} s" for cell in cells) for name in ("mean_wait_s", "p95_wait_s"))
        lines.append(f"| {row['warm_wait_s']:.0f} s | {counts} | {100 * (beside - 1):+.1f} % | {waits} | {tails} |")
    lines += ["", f"The policy costs {document['policy_us']} µs a request, in Python.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
