"""RESULTS.md from the measured rows: times, ratios within one run, and the floors that were set for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OURS = "gpucache"


@dataclass(frozen=True, slots=True)
class Floor:
    """What a figure must reach.

    Attributes:
        question: The results file it is read from.
        what: The row's group.
        contestant: Who is measured, of ours.
        than: The contestant that it is compared with; None: the time itself is the figure.
        times: How many times faster than that it must be.
        below_s: What the time must stay under, in seconds.
        over: A contestant whose time is taken off before the comparison with below_s (a bare interpreter).
        figure, at_most: A figure of the row that is no time, and what it may be.
    """

    question: str
    what: str
    contestant: str = OURS
    than: str | None = None
    times: float = 0.0
    below_s: float = 0.0
    over: str | None = None
    figure: str | None = None
    at_most: float = 0.0


RANDOM = "lookup of a record, random"

FLOORS = (
    Floor("identity", 'key of f(1, 2, "abc")', below_s=2e-6),
    Floor("identity", "digest of a 1024 MiB array", "gpucache, one thread", than="XXH3 alone, one thread", times=0.85),
    Floor("identity", "digest of a 1024 MiB array", "gpucache, two threads", than="XXH3 alone, one thread", times=1),
    Floor("identity", "digest of a data frame of 10^6 rows", than="joblib.hash", times=10),
    Floor("identity", "cold process, 200 modules imported, 20 reached", below_s=0.06, over="the imports alone"),
    Floor("hit", 'hit of f(1, 2, "abc")', than="diskcache.memoize", times=5),
    Floor("hit", 'hit of f(1, 2, "abc")', than="joblib.Memory", times=25),
    Floor("hit", 'hit of f(1, 2, "abc")', below_s=6e-6),
    Floor("hit", 'hit of f(1, 2, "abc")', "gpucache, again in this process", below_s=1.5e-6),
    Floor("hit", "hit, 100 MiB array in and out", than="joblib.Memory, mmap_mode", times=20),
    Floor("hit", "hit, 100 MiB array in and out", than="XXH3 of the input alone", times=1 / 1.3),
    Floor("hit", "hit of g(x), x a 100 MiB result of the same store", below_s=60e-6),
    Floor("store", "get of a 1 GiB array", below_s=120e-6),
    Floor("store", "get of a 1 GiB array, and its sum", than="np.save, np.load", times=1),
    Floor("store", "put of a 1 GiB array", than="a plain write", times=1 / 1.2),
    Floor("store", "put of a 1 GiB array", "gpucache, durable", than="a plain write, synced", times=1 / 1.2),
    Floor("scale", RANDOM, "among 10,000,000", than="among 10,000", times=1 / 2),
    Floor("scale", "index of 10,000,000 records", figure="bytes_a_record", at_most=400),
    Floor("scale", "memory of a process with 10,000,000 records", figure="own_bytes", at_most=200e6),
    Floor("clients", 'hits of f(1, 2, "abc"), 4 processes', below_s=1 / 300_000),
    Floor("clients", "records written, 4 x 8 writers", "gpucache, durable", below_s=1 / 10_000),
    Floor("rerun", "the demo, whole process", contestant="gpucache, all hit", below_s=0.7),
    Floor("rerun", "the demo, whole process", contestant="gpucache, all hit", than="gpucache, cold", times=5),
    Floor("import", "CPU of a process that imports it", below_s=0.08, over="nothing (bare interpreter)"),
    Floor("remote", "a hit of 1 MiB from an S3 server", than="obstore alone", times=0.7),
    Floor("dispatch", "submit to result, one after another", "gpucache, local worker", than="Ray task", times=3),
    Floor("dispatch", "submit to result, one after another", "gpucache, worker on Ray", than="Ray task", times=3),
)


def render(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page."""
    parts = [_HEAD, *_floors(results)]
    for result in results:
        parts += _question(result)
    return "\n".join(parts).rstrip() + "\n"


_HEAD = """# What was measured

Made by `python -m benchmarks` from `results/*.json`; not edited by hand. A time is the minimum over a contestant's
rounds (on a shared machine the minimum repeats best; medians are in the files), a ratio compares two contestants of
one run.
"""


def _floors(results: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["## The floors", "", "| what | who | at least | measured | |", "|---|---|---|---|---|"]
    for floor in FLOORS:
        rows = {
            row["contestant"]: row
            for result in results
            if result["question"] == floor.question
            for row in result["measured"]
            if row["what"] == floor.what
        }
        lines.append(_floor(floor, rows))
    return [*lines, ""]


def _floor(floor: Floor, rows: Mapping[str, Mapping[str, Any]]) -> str:
    if floor.figure is not None:
        wanted = f"{floor.figure} at most {floor.at_most:,.0f}"
        found = rows.get(floor.contestant, {}).get("figures", {}).get(floor.figure)
        told = "not measured | " if found is None else f"{found:,.0f} | {_verdict(found <= floor.at_most)}"
        return f"| {floor.what} | {floor.contestant} | {wanted} | {told} |"
    times = {name: row["min_s"] for name, row in rows.items()}
    needed = {floor.contestant, *(name for name in (floor.than, floor.over) if name)}
    if floor.than and floor.times < 1:
        wanted = f"at most {1 / floor.times:.3g} times the time of {floor.than}"
    elif floor.than:
        wanted = f"{floor.times:g} times faster than {floor.than}"
    else:
        wanted = f"under {_time(floor.below_s)}" + (f" over {floor.over}" if floor.over else "")
    if not needed <= times.keys():
        return f"| {floor.what} | {floor.contestant} | {wanted} | not measured | |"
    mine = times[floor.contestant]
    if floor.than:
        ratio = times[floor.than] / mine
        return f"| {floor.what} | {floor.contestant} | {wanted} | {_ratio(ratio)} | {_verdict(ratio >= floor.times)} |"
    mine -= times[floor.over] if floor.over else 0
    return f"| {floor.what} | {floor.contestant} | {wanted} | {_time(mine)} | {_verdict(mine < floor.below_s)} |"


def _question(result: Mapping[str, Any]) -> Iterable[str]:
    facts = result["machine"]
    yield f"## {result['question']}"
    yield ""
    commit = (facts["commit"] or "unknown")[:12] + ("" if facts["is_clean"] else " and edits")
    yield (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_bytes'] / 2**30:.0f} GiB; Python {facts['python']}; "
        f"{facts['date'][:10]}; commit {commit}; load {facts['load_1min']}."
    )
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in result["measured"]:
        groups.setdefault(row["what"], []).append(row)
    for what, rows in groups.items():
        ours = [row["min_s"] for row in rows if row["contestant"].startswith(OURS) and row["min_s"]]
        if not any(row["min_s"] for row in rows):
            yield from ("", f"| {what} | |", "|---|---|")
            yield from (f"| {row['contestant']} | {_figures(row)} |" for row in rows)
            continue
        yield from ("", f"| {what} | time | beside gpucache |", "|---|---|---|")
        for row in sorted(rows, key=lambda row: float(row["min_s"])):
            ratio = _ratio(row["min_s"] / min(ours)) if ours else ""
            yield f"| {row['contestant']} | {_time(row['min_s'])} | {ratio} |"
    yield ""


def _figures(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value:,.6g}" for name, value in row["figures"].items())


def _verdict(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


def _ratio(ratio: float) -> str:
    return f"{ratio:.0f} x" if ratio >= 10 else f"{ratio:.2g} x"


def _time(seconds: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"
