"""Why a call hits or misses: the difference between its parts and those of the record nearest to it.

Runs nothing. The kinds of reasons are a closed set, so that a program can act on them and a person learns them once.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from gpucache.memo import sources
from gpucache.memo.inputs import PROJECT, lists_now, lookup, parts_of_inputs, without_inputs
from gpucache.memo.key import Parts
from gpucache.memo.questions import ASKED
from gpucache.memo.sources import CodeChange
from gpucache.memo.unstored import why_unstored
from gpucache.memo.variables import ALL
from gpucache.store import Record, Store

SAID = "said"
ACCEPTED = "accepted"
"""Fields of a record's note: what was noticed while its body ran, and who carried it over an edit, and why."""
"""In a record's note: what was noticed while its body ran, and can't be counted."""

Candidate = tuple[Record, Parts]
"""A record that a call may be compared with, and its parts."""

CANDIDATES = 64
"""How many of a task's newest records are compared: enough for a sweep, few enough to stay in milliseconds."""


class Kind(enum.StrEnum):
    """What sort of thing made a call run."""

    NEVER_RUN = "never-run"
    OWN_CODE = "own-code"
    HELPER_CODE = "helper-code"
    CONSTANT = "constant"
    ARGUMENT = "argument"
    INPUT_CONTENT = "input-content"
    RESIDENT = "resident"
    VERSION = "version"
    ENVIRONMENT = "environment"
    FILE = "file"
    VARIABLE = "variable"
    EVICTED = "evicted"
    CORRUPT = "corrupt"
    FORCED = "forced"
    NOT_CACHEABLE = "not-cacheable"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause: its kind, what it is about, and the text before and after (None: was not there)."""

    kind: Kind
    subject: str
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        return _sentence(self)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Hit or miss, and why.

    Attributes:
        task: The task's name.
        key: The call's key, hex.
        hit: Whether the call would be answered from the store.
        reasons: For a miss, root causes first; empty for a hit.
        compared_with: Key of the record that the reasons compare with, hex; None if the task never ran.
        seconds: What the call took when it ran (a hit), or what the nearest call took (a miss); None if unknown.
        notes: What the fingerprint could not see, and what was noticed when it ran.
        code: For a miss, the functions that are not what they were, with their texts.
    """

    task: str
    key: str
    hit: bool
    reasons: tuple[Reason, ...] = ()
    compared_with: str | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    code: tuple[CodeChange, ...] = ()

    def _repr_html_(self) -> str:
        from gpucache.memo.html import explanation_html

        return explanation_html(self)

    def __str__(self) -> str:
        if self.hit:
            saved = "" if self.seconds is None else f" (saves {self.seconds:.3g} s)"
            return f"{self.task}: hit{saved}"
        return f"{self.task}: would run, because {'; '.join(str(reason) for reason in self.reasons)}"


def explain(
    store: Store,
    task: str,
    key: bytes,
    parts: Parts,
    *,
    own: str = "",
    notes: tuple[str, ...] = (),
    root: str = "",
    source: Callable[[str], str] | None = None,
    candidates: Iterable[Candidate] | None = None,
) -> Explanation:
    """Explain the call of `task` with this key and parts against what the store holds.

    Args:
        own: The component that is the task's own code, to tell it from its helpers'.
        root: The project's directory.
        source: Gives the text of a component of the parts that is code.
        candidates: What a miss is compared with, of equally near ones the first; None: the task's newest records.
    """
    record = lookup(store, key, root)
    if record is not None:
        said = [str(record.note[what]) for what in (SAID, ACCEPTED) if what in record.note]
        notes = (*notes, *(note for text in said for note in text.split("; ")))
        gone = () if store.has(record.result) else (Reason(Kind.EVICTED, "its stored result is gone"),)
        return Explanation(task, key.hex(), not gone, gone, key.hex(), record.seconds, notes)
    now = next(lists_now(store, key, root), None)
    parts = parts if now is None else {**parts, **parts_of_inputs(now)}
    why = why_unstored(store, task, key)
    if why:
        again = Reason(Kind.NOT_CACHEABLE, f"its last result was not stored: {why}")
        return Explanation(task, key.hex(), False, (again,), notes=notes)
    nearest = _nearest(newest(store, task) if candidates is None else candidates, parts)
    if nearest is None:
        return Explanation(task, key.hex(), False, (Reason(Kind.NEVER_RUN, task),), notes=notes)
    # What a call that never ran with this code or these arguments will read, nobody knows.
    table = without_inputs(nearest[1]) if now is None else nearest[1]
    before, reasons = nearest[0], _reasons(table, parts, own)
    code = sources.changes(store, table, parts, source)
    return Explanation(task, key.hex(), False, reasons, before.key.hex(), before.seconds, notes, code)


def differences(before: Parts, after: Parts, own: str = "") -> tuple[Reason, ...]:
    """The reasons why two calls are not the same, root causes first."""
    return _reasons(before, after, own)


def newest(store: Store, task: str, *, but_of_run: str = "") -> Iterator[Candidate]:
    """The task's newest records, newest first; without those of the run with that id, if one is given."""
    records = (record for record in store.records(task) if not but_of_run or record.run_id != but_of_run)
    return ((record, store.parts_of(record)) for record in islice(records, CANDIDATES))


def _nearest(candidates: Iterable[Candidate], parts: Parts) -> Candidate | None:
    """The candidate in which the fewest components differ; of several, the first."""
    now = _digests(parts)
    return min(candidates, key=lambda candidate: len(_digests(candidate[1]) ^ now), default=None)


def _digests(parts: Parts) -> set[tuple[str, bytes]]:
    return {(name, digest) for name, (digest, _) in parts.items()}


_ORDER = {
    "code": 0,
    "const": 1,
    "closure": 1,
    "arg": 2,
    "file": 2,
    "listing": 2,
    "module": 1,
    **dict.fromkeys(ASKED, 2),
    "variable": 2,
    "version": 3,
    "package": 4,
    "python": 5,
    "environment": 6,
}
_KINDS = {
    "const": Kind.CONSTANT,
    "closure": Kind.CONSTANT,
    "version": Kind.VERSION,
    "package": Kind.ENVIRONMENT,
    "python": Kind.ENVIRONMENT,
    "environment": Kind.ENVIRONMENT,
    "resident": Kind.RESIDENT,
    "file": Kind.FILE,
    "listing": Kind.FILE,
    **dict.fromkeys(ASKED, Kind.FILE),
    "variable": Kind.VARIABLE,
}


def _reasons(before: Parts, after: Parts, own: str) -> tuple[Reason, ...]:
    """Each once: a file may be known by a path of the body's and by one among its arguments."""
    return tuple(dict.fromkeys(_all_reasons(before, after, own)))


def _all_reasons(before: Parts, after: Parts, own: str) -> Iterator[Reason]:
    changed = [name for name in {**before, **after} if before.get(name, (b"",))[0] != after.get(name, (b"",))[0]]
    for name in sorted(changed, key=lambda name: (_ORDER.get(name.partition(":")[0], 9), name != own, name)):
        group, _, subject = name.partition(":")
        was, now = (table[name][1] if name in table else None for table in (before, after))
        if group == "variable" and subject == ALL:  # those that are gone say so themselves
            new = set((now or "").split()).difference((was or "").split())
            yield from (Reason(Kind.VARIABLE, one, "unset", "set") for one in sorted(new))
            continue
        yield Reason(_kind(group, name, own, was, now), subject.removeprefix(PROJECT) or group, was, now)


def _kind(group: str, name: str, own: str, was: str | None, now: str | None) -> Kind:
    if group == "arg":
        return Kind.INPUT_CONTENT if was == now else Kind.ARGUMENT
    if group == "code":
        return Kind.OWN_CODE if name == own else Kind.HELPER_CODE
    return _KINDS.get(group, Kind.HELPER_CODE)


def _sentence(reason: Reason) -> str:
    before, after = reason.before, reason.after
    match reason.kind:
        case Kind.NEVER_RUN:
            return "it never ran before"
        case Kind.OWN_CODE | Kind.HELPER_CODE:
            where = after or before or reason.subject
            verb = "changed" if before is not None and after is not None else "is new" if before is None else "is gone"
            return f"{where} {verb}"
        case Kind.INPUT_CONTENT:
            return f"argument {reason.subject}: its content changed ({after})"
        case Kind.ENVIRONMENT | Kind.VERSION:
            if before and after:
                return _of_versions(before, after)
            return f"{after} is new" if after else f"{before} is gone"
        case Kind.UPSTREAM:
            return f"{reason.subject} would run"
        case Kind.FORCED:
            return "it was forced"
        case Kind.EVICTED | Kind.CORRUPT | Kind.NOT_CACHEABLE:
            return reason.subject
        case _:
            return _from_to(reason)


_CALLED = {Kind.ARGUMENT: "argument ", Kind.CONSTANT: "constant ", Kind.FILE: "file ", Kind.VARIABLE: "variable "}


def _of_versions(before: str, after: str) -> str:
    """`numpy 2.4.6 -> 2.4.7`: a name that both begin with is said once."""
    name, _, version = after.partition(" ")
    if before == after:
        return f"{after}: another build"
    return f"{before} -> {version}" if version and before.startswith(f"{name} ") else f"{before} -> {after}"


def _from_to(reason: Reason) -> str:
    subject = _CALLED.get(reason.kind, "") + reason.subject
    if reason.before == reason.after:
        return f"{subject}: its content changed ({reason.after})"
    if reason.before is None:
        return f"{subject} is new: {reason.after}"
    return (
        f"{subject} {reason.before} -> {reason.after}"
        if reason.after is not None
        else f"{subject} is gone: {reason.before}"
    )
