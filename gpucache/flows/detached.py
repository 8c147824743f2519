"""The process behind Flow.submit(): `python -m gpucache.flows.detached RUN_ID` runs a flow that is in the ledger already."""

from __future__ import annotations

import os
import sys

import msgspec

from gpucache.flows.loading import load_flow
from gpucache.flows.session import current_session


def main(run_id: str) -> int:
    """Run the flow of run `run_id` with the arguments that are stored with it; 0 if it ended well."""
    session = current_session()
    row = msgspec.structs.replace(session.ledger.get(run_id), pid=os.getpid(), status="running")
    session.ledger.write(row)
    if row.params is None:
        raise AssertionError("submit() writes a run only with its arguments")
    try:
        flow = load_flow(row.code.get("file"), row.code["module"], row.code["flow"])
    except Exception as problem:
        session.ledger.write(msgspec.structs.replace(row, status="failed", error=str(problem), ended_at=row.started_at))
        raise
    run = flow.execute(flow.binder.bind_again(session.store.read(row.params)), run_id=run_id)
    if run.error is not None:
        sys.stderr.write(run.traceback or run.error)
    return 0 if run.status == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
