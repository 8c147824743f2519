"""Forks a fresh process for each job it reads: real processes without paying for the import of gpucache each time.

Run as a script, with the hash seed that its children shall have. Each line of stdin is a JSON list of jobs that start at once;
when all have ended, a line with their exit statuses is written. A job imports its project itself, opens its store itself, and
counts the bodies that run by the interpreter's own profile hook, which knows nothing of gpucache.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

import gpucache as gpc
from gpucache.flows import tasks


class Bodies:
    """Names of the tasks whose functions were entered, in order, as the interpreter saw it."""

    def __init__(self, module: Any) -> None:
        found = [obj for obj in vars(module).values() if isinstance(obj, tasks.AnyTask)]
        self._names = {task.fn.__code__: task.name for task in found}
        self.ran: list[str] = []

    def __enter__(self) -> list[str]:
        sys.setprofile(self._saw)
        return self.ran

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _saw(self, frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code in self._names:
            self.ran.append(self._names[frame.f_code])


def look_and_run(job: dict[str, Any]) -> dict[str, Any]:
    """Plan the flow, run it, and tell both, with the bodies that were entered in each."""
    module = importlib.import_module(job.get("module", "pipeline"))
    flow = getattr(module, job.get("flow", "pipeline"))
    with Bodies(module) as planned:
        plan = flow.plan(**job.get("params", {}))
    with Bodies(module) as ran:
        run = flow.run(**job.get("params", {}))
    told: dict[str, Any] = {
        "planned": planned,
        "ran": ran,
        "plan": [[call.task, str(call.verdict), [str(reason) for reason in call.reasons]] for call in plan.calls],
        "calls": [[call.task, str(call.state), list(call.reasons)] for call in run.calls],
        "kinds": [[str(reason.kind) for reason in call.reasons] for call in plan.calls],
    }
    try:
        told["value"] = repr(run.result())
    except Exception as problem:
        told["error"] = f"{type(problem).__name__}: {problem}"
    return told


def script(job: dict[str, Any]) -> Any:
    """Run a text with `out` to tell by."""
    names: dict[str, Any] = {"__name__": "probe", "out": {}, "Bodies": Bodies, "job": job}
    exec(compile(job["script"], "<probe>", "exec"), names)
    return names["out"]


def do(job: dict[str, Any]) -> None:
    os.environ.update(job.get("env", {}), GPUCACHE_STORE=job["store"], GPUCACHE_RUNTIME="inline")
    os.chdir(job["root"])
    sys.path[:0] = [job["root"], *job.get("path", [])]
    told = script(job) if "script" in job else look_and_run(job)
    gpc.shutdown()
    with open(job["out"], "w") as file:
        json.dump(told, file)


def child(job: dict[str, Any]) -> None:
    status = 1
    try:
        sys.stdout = open(os.devnull, "w")  # the line to the parent is not for users' prints
        do(job)
        status = 0
    except BaseException:
        with open(job["out"], "w") as file:
            file.write(traceback.format_exc())
    finally:
        os._exit(status)


def serve() -> None:
    for line in sys.stdin:
        pids = []
        for job in json.loads(line):
            pid = os.fork()
            if pid == 0:
                child(job)
            pids.append(pid)
        print(json.dumps([os.waitpid(pid, 0)[1] for pid in pids]), flush=True)


if __name__ == "__main__":
    serve()
