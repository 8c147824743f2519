"""One execution of a flow, as it is or was: found again by its id from any process that has the store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from gpucache.errors import BadSetting, GpuCacheError, NoSuchRecord, RecordCorrupt, RemoteTraceback
from gpucache.events import State
from gpucache.flows.session import current_session
from gpucache.ledger import CallRow, Ledger, RunRow
from gpucache.memo import CodeChange, code_changes, differences
from gpucache.sizes import parse_seconds

if TYPE_CHECKING:
    from gpucache.flows.checking import Checked, CheckedCall
    from gpucache.flows.definition import Flow
    from gpucache.flows.session import Session

R = TypeVar("R")

POLL_S = 0.05
"""How often result() looks whether a run in another process has ended."""


class RunFailed(GpuCacheError):
    """A run of another process, or of an earlier one, ended without a result."""

    def __init__(self, run_id: str, status: str, problem: str) -> None:
        self.run_id, self.status, self.problem = run_id, status, problem
        super().__init__(run_id, status, problem)

    def __str__(self) -> str:
        return f"run {self.run_id} {self.status}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a task within a run.

    Attributes:
        task: The task's name.
        key: The call's key, hex; None for a task that is not cached.
        state: How it ended.
        seconds: What its body took, if it ran; else how long the flow waited for it, s.
        saved_seconds: What it had taken when it ran, if it did not have to run, s.
        reasons: Why it ran, one sentence each.
        result: Digest of its result, hex.
        shown: Its arguments in a few words.
        compared_with: Key of the record that the reasons compare it with, hex; None for a hit, and for what never ran before.
    """

    task: str
    key: str | None
    state: State
    seconds: float
    saved_seconds: float
    reasons: tuple[str, ...]
    result: str | None
    shown: dict[str, str]
    compared_with: str | None = None


class Run(Generic[R]):
    """One execution of a flow. Reads the ledger when asked, so it shows what is true now."""

    def __init__(self, session: Session, row: RunRow, outcome: tuple[R] | BaseException | None = None) -> None:
        self._session, self._row, self._outcome = session, row, outcome

    @property
    def id(self) -> str:
        """The run's id; gpucache.run(id) finds it again."""
        return self._row.id

    @property
    def flow(self) -> str:
        """The flow's name."""
        return self._row.flow

    @property
    def status(self) -> str:
        """How it stands now: running, done, failed or interrupted."""
        return self._fresh().status

    @property
    def params(self) -> dict[str, Any]:
        """The flow's arguments: the values if they could be stored, else their short texts."""
        if self._row.params is not None:
            return cast("dict[str, Any]", self._session.store.read(self._row.params))
        return dict(self._row.shown)

    @property
    def shown(self) -> dict[str, str]:
        """The flow's arguments in a few words."""
        return dict(self._row.shown)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that ended so far, in the order they were made."""
        return tuple(_call(row) for row in self._ledger.calls(self.id))

    @property
    def code(self) -> dict[str, str]:
        """Where the flow's code is: file, module, flow, git commit and whether the work tree differed from it."""
        return dict(self._row.code)

    @property
    def env(self) -> dict[str, str]:
        """Python, platform, host."""
        return dict(self._row.env)

    @property
    def started_at(self) -> float:
        """Unix time, s."""
        return self._row.started_at

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far, s."""
        row = self._fresh()
        return (time.time() if row.ended_at is None else row.ended_at) - row.started_at

    @property
    def saved_seconds(self) -> float:
        """What the calls that did not have to run had taken when they ran, s."""
        return sum(call.saved_seconds for call in self.calls)

    @property
    def error(self) -> str | None:
        """The exception's last line, for a run that failed."""
        return self._fresh().error

    @property
    def traceback(self) -> str | None:
        """The exception's traceback as text, for a run that failed."""
        return self._fresh().traceback

    def result(self, timeout: float | None = None) -> R:
        """The flow's value; waits for a run that is still running, at most `timeout` seconds.

        Raises:
            What the flow raised, if it ran in this process; RunFailed if it ran in another.
            TimeoutError: It is still running.
            NoSuchRecord: The value could not be stored, and this is another process than the one that ran it.
        """
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        if self._outcome is not None:
            return self._outcome[0]
        row = self._wait(timeout)
        if row.status != "done":
            cause = None if row.traceback is None else RemoteTraceback(row.traceback)
            raise RunFailed(row.id, row.status, row.error or "its process is gone") from cause
        if row.result is None:
            raise NoSuchRecord("result of run", row.id, "its value could not be stored; run the flow again")
        return cast("R", self._session.store.read(row.result))

    def exception(self) -> BaseException | None:
        """What the flow raised, if it ran in this process and failed."""
        return self._outcome if isinstance(self._outcome, BaseException) else None

    def wait(self, timeout: float | None = None) -> str:
        """Wait until the run ended, at most `timeout` seconds; returns its status. Raises TimeoutError."""
        return self._wait(timeout).status

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that stand for this run."""
        return tuple(name for name, run_id in self._ledger.tags().items() if run_id == self.id)

    def tag(self, name: str) -> None:
        """Let gpucache.run(name) give this run: "golden", "release-3". A tag that is there moves to it.

        Raises:
            BadSetting: The name could be taken for an id, or for @last.
        """
        self._ledger.tag(self.id, name)

    def explain(self) -> str:
        """Why each call ran, in words; one line each, and one for all that hit."""
        calls = self.calls
        lines = [f"{c.task}: {c.state}" + (f", because {'; '.join(c.reasons)}" if c.reasons else "") for c in calls]
        return "\n".join(lines) or f"run {self.id} called no task"

    def code_changes(self, call: Call) -> tuple[CodeChange, ...]:
        """The functions that made one of this run's calls run, with the texts of then and of before."""
        store = self._session.store
        keys = (call.compared_with, call.key)
        before, after = (None if key is None else store.lookup(bytes.fromhex(key)) for key in keys)
        if before is None or after is None:
            return ()
        return code_changes(store, store.parts_of(before), store.parts_of(after))

    def diff(self, other: Run[Any]) -> tuple[Difference, ...]:
        """Where the calls of this run and the other are not the same, in order; empty if they did the same."""
        return tuple(_differences(self._session, self.calls, other.calls))

    def check(self, sample: float = 1.0) -> Checked:
        """Run this run's calls again, each with the inputs that it had, and compare. Nothing is stored.

        Args:
            sample: The share of the calls that is run again, above 0 to 1; always the same ones.

        Raises:
            BadSetting: `sample` is not a share.
            NoSuchRecord: The arguments could not be stored then, or the flow takes others now, or is no longer where it was.
            Anything that a body raises now.
        """
        from gpucache.flows.checking import Checker
        from gpucache.flows.watcher import watcher

        if not 0 < sample <= 1:
            raise BadSetting("sample", str(sample), "a share above 0, up to 1 (or 100%)")
        flow, values = self._again()
        args, kwargs = flow.binder.unbind(values)
        checker = Checker(self._session, sample)
        token = watcher.set(checker)
        try:
            flow.made(*args, **kwargs)
        finally:
            watcher.reset(token)
        return checker.found

    def compare(self, golden: Run[Any], tolerance: float | None = None) -> Checked:
        """Compare this run's results with those of another, call by call; a call that only one made differs.

        Args:
            golden: The run that is right.
            tolerance: As for tasks: the largest difference that counts as none; None: bit for bit.
        """
        from gpucache.flows.checking import Checked

        return Checked(tuple(_compared(self._session, golden.calls, self.calls, tolerance)), 0)

    def replay(self, forced: Collection[str] = ()) -> Run[R]:
        """Run the flow again with the same arguments and the code as it is now; compare with diff().

        Args:
            forced: Names of tasks that run even if their answer is known.

        Raises:
            NoSuchRecord: The arguments could not be stored then, or the flow takes others now, or is no longer where it was.
        """
        flow, values = self._again()
        return cast("Run[R]", flow.execute(values, forced=forced))

    def _again(self) -> tuple[Flow[..., Any], tuple[Any, ...]]:
        """The flow as it is now, and the arguments that it had, bound to it."""
        from gpucache.flows.loading import load_flow

        if self._row.params is None:
            raise NoSuchRecord("arguments of run", self.id, "they could not be stored; call the flow yourself")
        flow = load_flow(self.code.get("file"), self.code["module"], self.code["flow"])
        try:
            return flow, flow.binder.bind_again(self.params)
        except TypeError as problem:
            raise NoSuchRecord("arguments of run", self.id, f"the flow takes others now: {problem}") from None

    def __repr__(self) -> str:
        return f"<run {self.id} of {self.flow}: {self.status}>"

    def _repr_html_(self) -> str:
        from gpucache.flows.html import run_html

        return run_html(self)

    @property
    def _ledger(self) -> Ledger:
        return self._session.ledger

    def _fresh(self) -> RunRow:
        if self._row.ended_at is None:
            self._row = self._ledger.get(self.id)
        return self._row

    def _wait(self, timeout: float | None) -> RunRow:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (row := self._fresh()).status == "running":
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"run {self.id} is still running after {timeout} s")
            time.sleep(POLL_S)
        return row


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two runs differ: a call of one that the other did not make, or made with another key or result."""

    task: str
    what: str
    before: Call | None
    after: Call | None

    def __str__(self) -> str:
        return f"{self.task}: {self.what}"


def run(name: str) -> Run[Any]:
    """The run called `name`: an id, an unambiguous start of one, a tag, `@last`, or `@last~N`.

    Raises:
        NoSuchRecord: None fits, or several do.
    """
    session = current_session()
    return Run(session, session.ledger.find(name))


def runs(
    flow: str | Flow[..., Any] | None = None, *, since: str | float | None = None, limit: int | None = None
) -> list[Run[Any]]:
    """Runs, newest first: of one flow (or of that name), started within `since` ("7d", "2h", or seconds), at most `limit`."""
    session = current_session()
    name = flow if isinstance(flow, str | None) else flow.name
    oldest = None if since is None else time.time() - parse_seconds("since", since)
    return [Run(session, row) for row in islice(session.ledger.runs(name, since=oldest), limit)]


def _call(row: CallRow) -> Call:
    return Call(
        task=row.task,
        key=None if row.key is None else row.key.hex(),
        state=State(row.state),
        seconds=row.seconds,
        saved_seconds=row.saved_seconds,
        reasons=tuple(row.reasons),
        result=None if row.result is None else row.result.hex(),
        shown=dict(row.shown),
        compared_with=None if row.compared_with is None else row.compared_with.hex(),
    )


def _differences(session: Session, before: tuple[Call, ...], after: tuple[Call, ...]) -> Iterator[Difference]:
    """Calls are paired by task and by their order among that task's calls: the shape of a flow seldom changes."""
    first, second = _numbered(before), _numbered(after)
    for place in {**first, **second}:
        was, now = first.get(place), second.get(place)
        if was is None or now is None:
            yield Difference(place[0], "called only in the " + ("second" if was is None else "first"), was, now)
        elif was.result != now.result:
            yield Difference(place[0], f"other result: {_why(session, was, now)}", was, now)
        elif was.key != now.key:
            yield Difference(place[0], f"same result, other inputs or code: {_why(session, was, now)}", was, now)


def _compared(
    session: Session, golden: tuple[Call, ...], calls: tuple[Call, ...], tolerance: float | None
) -> Iterator[CheckedCall]:
    """Paired as by _differences()."""
    from gpucache.flows.checking import CheckedCall
    from gpucache.flows.comparing import Sameness, compared

    first, second = _numbered(golden), _numbered(calls)
    for place in {**first, **second}:
        was, now = first.get(place), second.get(place)
        key = (now or was or calls[0]).key or ""
        if was is None or now is None:
            missing = "it was not called in the golden run" if was is None else "it was called only in the golden run"
            yield CheckedCall(place[0], key, Sameness.DIFFERS, missing)
        elif was.result is not None and was.result == now.result:
            yield CheckedCall(place[0], key, Sameness.IDENTICAL)
        elif (before := _value(session, was)) is None or (after := _value(session, now)) is None:
            yield CheckedCall(place[0], key, Sameness.DIFFERS, "one of the results is not stored any more")
        else:
            yield CheckedCall(place[0], key, *compared(before[0], after[0], tolerance))


def _value(session: Session, call: Call) -> tuple[Any] | None:
    record = None if call.key is None else session.store.lookup(bytes.fromhex(call.key))
    if record is None or record.result.digest.hex() != call.result:
        return None
    try:
        return (session.store.read(record.result),)
    except RecordCorrupt:
        return None


def _numbered(calls: tuple[Call, ...]) -> dict[tuple[str, int], Call]:
    seen: Counter[str] = Counter()
    table: dict[tuple[str, int], Call] = {}
    for call in calls:
        table[call.task, seen[call.task]] = call
        seen[call.task] += 1
    return table


def _why(session: Session, was: Call, now: Call) -> str:
    before, after = (None if c.key is None else session.store.lookup(bytes.fromhex(c.key)) for c in (was, now))
    if before is None or after is None:
        return "no record is left to compare"
    if was.key == now.key:
        return "the same call gave another result, so it is not deterministic"
    reasons = differences(session.store.parts_of(before), session.store.parts_of(after))
    return "; ".join(str(reason) for reason in reasons) or "nothing that is recorded"
