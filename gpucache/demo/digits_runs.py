"""The default demo: handwritten digits, three times."""

from __future__ import annotations

import shutil
from pathlib import Path

from gpucache.cli.output import duration, size, write, write_json
from gpucache.demo.telling import say_edit, say_next, say_run
from gpucache.demo.writing import Shown, Workplace, need, prepare

BEFORE = """\
    return rows @ weights.T + biases
"""
AFTER = """\
    sums = rows @ weights.T + biases
    powers = np.exp(sums - sums.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
"""


def show_digits(folder: Path | None, store: Path | None, *, as_json: bool) -> int:
    """Write the pipeline; run it cold, again, and after an edit of `scores`; say what happened. Returns the exit status."""
    need("digits", "digits", "sklearn", "scipy", "matplotlib")
    place = prepare("digits", folder, store, ["pipeline.py"])
    cold = _cold(place, quiet=as_json)
    again = _again(place, cold, quiet=as_json)
    edited = _edited(place, quiet=as_json)
    picture = shutil.copyfile(edited.document["result"]["picture"], place.folder / "confusion.png")
    stats = place.ask("stats")
    if as_json:
        runs = {"cold": cold.as_json(), "again": again.as_json(), "edited": edited.as_json()}
        paths = {"file": str(place.folder / "pipeline.py"), "store": str(place.store), "picture": str(picture)}
        write_json("demo", demo="digits", **paths, stored_bytes=stats["blob_bytes"], runs=runs)
        return 0
    accuracy = edited.document["result"]["accuracy"]
    write(f"{accuracy:.1%} of the test images are read right; {picture} shows which are not.")
    write(
        f"The store holds {size(stats['blob_bytes'])} of intermediate arrays, mapped where they are used, never copied.\n"
    )
    say_next(
        place,
        ("gpucache plan pipeline.py", "what would run, and why, without running it"),
        ("gpucache run pipeline.py --seed 1", "the flow's arguments are options"),
        ("gpucache runs", "what was run; `show @last~1` has one whole"),
    )
    return 0


def _cold(place: Workplace, *, quiet: bool) -> Shown:
    if not quiet:
        write(
            f"{place.folder / 'pipeline.py'} is an ordinary program, just written: seven tasks and a flow. Read it.\n"
        )
    shown = place.run()
    if not quiet:
        say_run("1. Cold: nothing is known, so everything runs.", shown)
    return shown


def _again(place: Workplace, cold: Shown, *, quiet: bool) -> Shown:
    shown = place.run()
    if not quiet:
        say_run(
            "2. Again, in a new process: everything hits. No worker and no Ray is started, no array is loaded.", shown
        )
        times = cold.process_seconds / shown.process_seconds
        write(
            f"   {times:.0f} times faster than cold, interpreter and imports ({duration(shown.process_seconds)}) included.\n"
        )
    return shown


def _edited(place: Workplace, *, quiet: bool) -> Shown:
    place.edit(BEFORE, AFTER)
    if not quiet:
        write("Now one edit of one function, the helper `scores`, which shall give shares that sum to 1:\n")
        say_edit(BEFORE, AFTER)
        write()
    shown = place.run()
    if not quiet:
        say_run("3. After the edit: the two tasks that call `scores` run.", shown)
        write(
            "   The largest share belongs to the digit that had the largest score, so `evaluate` gave what it gave before,"
        )
        write("   and `draw`, which depends on that alone, hits. `certainty` gave something new.\n")
    return shown
