"""The default demo: digits, three times."""

from __future__ import annotations

import shutil
from pathlib import Path

from gpucache.cli.output import duration, escaped, styled, write_json, write_table
from gpucache.demo.writing import Shown, edit, need, run, speaker, write_pipeline

BEFORE, AFTER = "    strength = 0.01\n", "    strength = 0.1\n"


def show_digits(folder: Path, *, as_json: bool) -> int:
    """Write the pipeline into folder; run it cold, again, and after an edit of `train`; say what happened."""
    need("digits", "sklearn", "matplotlib")
    file = write_pipeline("digits", folder)
    say = speaker(silent=as_json)
    say(f"{file} is a pipeline of seven tasks; read it, it is short.\n")
    runs = {}
    for name, headline in (
        ("cold", "1. Cold: nothing is known, everything runs."),
        ("again", "2. Again, in a new process: everything hits; no worker and no Ray is started."),
        ("edited", "3. After one edit, in `train`: strength = 0.01 -> 0.1."),
    ):
        if name == "edited":
            edit(file, BEFORE, AFTER)
        say(headline)
        runs[name] = run(file)
        if not as_json:
            _say_run(runs[name])
    if as_json:
        write_json("demo", demo="digits", file=str(file), runs={name: _document(shown) for name, shown in runs.items()})
        return 0
    faster = runs["cold"].process_seconds / runs["again"].process_seconds
    picture = file.parent / "confusion.png"
    hit_s = duration(runs["again"].process_seconds)
    say(f"The run in which everything hits took {hit_s}, {faster:.0f} times less than the cold one.")
    _keep_picture(runs["edited"], picture)
    say(f"The picture: {picture}\n")
    say(f"Now yours: edit {file.name}, a comment, a constant, a helper, then\n")
    say(f"    cd {folder}\n    gpucache plan pipeline.py --store store\n    gpucache run pipeline.py --store store")
    say("    gpucache show --store store")
    return 0


def _say_run(shown: Shown) -> None:
    calls = shown.document["calls"]
    rows = [
        (
            call["task"],
            styled(call["state"]),
            duration(call["seconds"]),
            duration(call["saved_seconds"] or None),
            escaped("; ".join(call["reasons"])),
        )
        for call in calls
    ]
    write_table(("task", "state", ">time", ">saved", "why"), rows)
    ran = sum(call["state"] == "ran" for call in calls)
    saved = duration(shown.document["saved_seconds"] or None) or "nothing"
    speaker(silent=False)(
        f"{ran} of {len(calls)} ran; whole process {duration(shown.process_seconds)}; {saved} saved\n"
    )


def _document(shown: Shown) -> dict[str, object]:
    return {"process_seconds": shown.process_seconds, **shown.document}


def _keep_picture(shown: Shown, target: Path) -> None:
    shutil.copyfile(shown.document["result"]["picture"], target)
