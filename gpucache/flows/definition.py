"""A flow: plain Python that calls tasks. Running it makes a recorded run; planning it runs nothing."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import CoroutineType
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

import msgspec

from gpucache.digests import remembered, value_digest
from gpucache.errors import NotIdentifiable, NotStorable, StoreFull, StoreUnusable
from gpucache.flows.binding import Binder
from gpucache.flows.counterparts import Counterparts
from gpucache.flows.future import resolved
from gpucache.flows.history import Run
from gpucache.flows.plan import Plan
from gpucache.flows.planner import Planner
from gpucache.flows.read_only import explain_read_only
from gpucache.flows.recorder import Recorder
from gpucache.flows.session import Session, current_session
from gpucache.flows.watcher import watcher
from gpucache.ledger import CallLog, RunRow, code_facts, machine_facts, new_run_id
from gpucache.memo import shown
from gpucache.shown import exception_line
from gpucache.store import Manifest

P = ParamSpec("P")
R = TypeVar("R")


class Flow(Generic[P, R]):
    """What @flow makes of a function.

    Attributes:
        fn: The undecorated function.
        name: The flow's name, in listings and on the command line.
    """

    def __init__(self, fn: Callable[P, R], name: str | None = None) -> None:
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.name = name or fn.__name__
        self.binder = Binder(fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The flow's value; recorded as a run. Within another flow it is a plain function, part of that flow's run."""
        if watcher.get() is not None:
            return self.made(*args, **kwargs)
        return self.run(*args, **kwargs).result()

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Run[R]:
        """Run the flow here and return its Run, also when it failed: result() then raises what the flow raised.

        Raises:
            TypeError: The arguments do not fit.
            KeyboardInterrupt: The run is recorded as interrupted.
        """
        return self.execute(self.binder.bind(args, kwargs))

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Run[R]:
        """Run the flow in a process of its own that outlives this one; gpucache.run(run.id) finds it from anywhere.

        The flow must lie in a file, and its arguments must be storable. Its output goes to `runs/<id>.log` in the store.

        Raises:
            NotStorable: An argument can't be stored; nothing was started.
        """
        session, values = current_session(), self.binder.bind(args, kwargs)
        row = self._row(session, values, new_run_id())
        if row.params is None or "file" not in row.code:
            why = "its arguments can't be stored" if "file" in row.code else "it is not defined in a file"
            raise NotStorable(f"flow {self.name}", why, "run it here with .run()")
        session.ledger.write(row)
        log = session.config.store_path / "runs" / f"{row.id}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "gpucache.flows.detached", row.id],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=session.config.environment(),
            )
        threading.Thread(target=process.wait, daemon=True).start()  # reaped if it ends before we do
        # Until the new process writes its own, its pid is the one by which the run is seen to live.
        row = msgspec.structs.replace(row, pid=process.pid)
        return Run(session, row)

    def plan(self, *args: P.args, **kwargs: P.kwargs) -> Plan:
        """What would hit, what would run, and why; no task runs (the flow's own lines do)."""
        return self.plan_values(self.binder.bind(args, kwargs))

    def plan_values(self, values: tuple[Any, ...], forced: Collection[str] = ()) -> Plan:
        """plan() of arguments that are bound already, with the tasks named in `forced` counted as running."""
        planner = Planner(current_session(), self.name, frozenset(forced))
        raised: str | None = None
        bound_args, bound_kwargs = self.binder.unbind(values)
        token = watcher.set(planner)
        try:
            self.made(*bound_args, **bound_kwargs)
            stopped_at = planner.stopped_at
        except Exception as problem:  # noqa: BLE001  # an edge: the flow's own lines may raise anything for want of a value
            stopped_at, raised = planner.ended_by(problem)
        finally:
            watcher.reset(token)
        return Plan(self.name, tuple(planner.calls), stopped_at, raised)

    def execute(self, values: tuple[Any, ...], *, run_id: str | None = None, forced: Collection[str] = ()) -> Run[R]:
        """run() of arguments that are bound already, under a given id, with the tasks named in `forced` run anyway."""
        session = current_session()
        row = self._row(session, values, run_id or new_run_id())
        session.ledger.note(row)
        log = CallLog(session.ledger, row.id)
        bound_args, bound_kwargs = self.binder.unbind(values)
        recorder = Recorder(log, row.id, Counterparts(session, self.name, row.id), frozenset(forced))
        token = watcher.set(recorder)
        outcome: tuple[R] | BaseException
        try:
            outcome = (cast("R", resolved(self.made(*bound_args, **bound_kwargs))),)
            log.wait()  # a call that was submitted and not waited for belongs to the run too
            ended = msgspec.structs.replace(row, status="done", result=_stored(session, outcome[0]))
        except BaseException as problem:  # noqa: BLE001  # an edge: whatever ended the run is written down
            outcome = problem
            recorder.cancel()
            ended = msgspec.structs.replace(row, **_failure(problem))
        finally:
            watcher.reset(token)
        log.flush()
        ended = msgspec.structs.replace(ended, ended_at=time.time())
        session.ledger.note(ended)
        if isinstance(outcome, KeyboardInterrupt | SystemExit):
            raise outcome
        return Run(session, ended, outcome)

    def __repr__(self) -> str:
        return f"<flow {self.name}>"

    def made(self, *args: Any, **kwargs: Any) -> R:
        """What the function gives; of an `async def` one, what its coroutine gives."""
        try:
            value: Any = cast("Callable[..., R]", self.fn)(*args, **kwargs)
            # Not inspect.iscoroutine(): isinstance() looks, and in a plan the value may be one that nobody may look at.
            return cast("R", _waited_for(value) if type(value) is CoroutineType else value)
        except ValueError as problem:
            explain_read_only(problem)
            raise

    def _row(self, session: Session, values: tuple[Any, ...], run_id: str) -> RunRow:
        params = dict(zip(self.binder.names, values, strict=True))
        return RunRow(
            id=run_id,
            flow=self.name,
            status="running",
            started_at=time.time(),
            shown={name: shown(value) for name, value in params.items()},
            params=_stored(session, params),
            code=code_facts(self._file(), self.fn.__module__, self.name),
            env=machine_facts(),
            pid=os.getpid(),
        )

    def _file(self) -> str | None:
        file = self.fn.__code__.co_filename
        return os.path.abspath(file) if os.path.isfile(file) else None


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(*, name: str | None = None) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(
    fn: Callable[..., Any] | None = None, /, *, name: str | None = None
) -> Flow[..., Any] | Callable[[Callable[..., Any]], Flow[..., Any]]:
    """Mark a function as a flow: `@flow`, or `@flow(name="nightly")`."""
    return (lambda function: Flow(function, name)) if fn is None else Flow(fn, name)


def _waited_for(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, in this context; where an event loop runs already (a notebook), in a thread beside it."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(context.run, asyncio.run, coroutine).result()


def _stored(session: Session, value: Any) -> Manifest | None:
    """The value in the store, or None if it can't be there: a run is worth recording all the same."""
    with contextlib.suppress(NotStorable, NotIdentifiable, StoreFull, StoreUnusable):
        known = remembered(value)
        manifest = None if known is None else session.store.manifest_of(known)
        if manifest is not None:
            return manifest
        return session.store.write(value, value_digest(value, symbols=session.fingerprints()))
    return None


def _failure(problem: BaseException) -> dict[str, str]:
    status = "interrupted" if isinstance(problem, KeyboardInterrupt | SystemExit) else "failed"
    return {
        "status": status,
        "error": exception_line(problem),
        "traceback": "".join(traceback.format_exception(problem)),
    }
