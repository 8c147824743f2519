"""What the user writes: tasks, flows, residents, and what they give."""

from __future__ import annotations

from gpucache.flows.accepting import Acceptance, accept, acceptances, revoke
from gpucache.flows.definition import Flow, flow
from gpucache.flows.digest_of import digest
from gpucache.flows.future import Future
from gpucache.flows.history import Call, Run, RunFailed, run, runs
from gpucache.flows.options import Options
from gpucache.flows.plan import Plan, PlannedCall, Verdict
from gpucache.flows.residents import Resident, resident
from gpucache.flows.session import current_session, init, shutdown
from gpucache.flows.tasks import AnyTask, AsyncTask, Cached, Task, task

__all__ = [
    "Acceptance",
    "AnyTask",
    "AsyncTask",
    "Cached",
    "Call",
    "Flow",
    "Future",
    "Options",
    "Plan",
    "PlannedCall",
    "Resident",
    "Run",
    "RunFailed",
    "Task",
    "Verdict",
    "accept",
    "acceptances",
    "current_session",
    "digest",
    "flow",
    "init",
    "resident",
    "revoke",
    "run",
    "runs",
    "shutdown",
    "task",
]
