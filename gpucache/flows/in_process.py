"""Run a call's body in this process: memoised or not, plain or async; again, if it raises and may be tried again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from gpucache.digests import value_digest
from gpucache.events import State
from gpucache.flows.future import resolved
from gpucache.flows.watcher import Why
from gpucache.memo import Done, Takeoff, Work, checked, execute, publish, watch_of, why_unstored

if TYPE_CHECKING:
    from gpucache.flows.identify import Called
    from gpucache.flows.session import Session
    from gpucache.flows.tasks import AnyTask
    from gpucache.flows.watcher import Watched

T = TypeVar("T")


def run_here(session: Session, called: Called, watched: Watched) -> Any:
    """Run a miss and publish its result; the value is what a hit would give."""
    called.task.refuse_generators()
    called.values = resolved_all(called.values)
    cause = why(session, called, watched)
    work = work_of(session, called, watched, lambda: called.task.body(called.values))
    retries = called.task.options.retries
    return _ended(session, called, watched, cause, lambda: _tried(retries, lambda: execute(session.store, work)))


async def run_body_async(session: Session, called: Called, watched: Watched) -> Any:
    """run_here() for an async task; waiting for another process's flight does not block the event loop."""
    called.values = resolved_all(called.values)
    cause = why(session, called, watched)
    work = work_of(session, called, watched, lambda: None)
    try:
        done = await _tried_async(called.task.options.retries, lambda: _landed(session, called, work))
    except BaseException:
        watched.end(called, State.FAILED, why=cause)
        raise
    return _ended(session, called, watched, cause, lambda: done)


async def _landed(session: Session, called: Called, work: Work) -> Done:
    flight = Takeoff(session.store, work)
    landed = await asyncio.to_thread(flight.__enter__)
    try:
        if landed is not None:
            return landed
        ran_at, watch = time.perf_counter(), watch_of(session.store, work)
        try:
            value = await called.task.body_async(called.values)
        finally:
            watch.stop()
        return publish(session.store, work, value, time.perf_counter() - ran_at, watch)
    finally:
        flight.__exit__(None, None, None)


def run_uncached(task: AnyTask, values: tuple[Any, ...], watched: Watched) -> Any:
    """Run a call that is not memoised: nothing is looked up, nothing stored."""
    options = task.options
    try:
        given = resolved_all(values)
        value = _tried(options.retries, lambda: checked(task.name, options.validate, task.body(given)))
    except BaseException:
        watched.end(None, State.FAILED)
        raise
    watched.end(None, State.UNCACHED)
    return value


async def run_uncached_async(task: AnyTask, values: tuple[Any, ...], watched: Watched) -> Any:
    """run_uncached() for an async task."""
    options = task.options
    try:
        given = resolved_all(values)

        async def once() -> object:
            return checked(task.name, options.validate, await task.body_async(given))

        value = await _tried_async(options.retries, once)
    except BaseException:
        watched.end(None, State.FAILED)
        raise
    watched.end(None, State.UNCACHED)
    return value


def work_of(session: Session, called: Called, watched: Watched, body: Callable[[], Any]) -> Work:
    """The unit that memo.execute() runs and publishes; called.values are values by now, not futures."""
    task = called.task
    return Work(
        task=task.name,
        body=body,
        key=called.key,
        digest=lambda value: value_digest(value, symbols=called.code.fingerprints),
        parts=called.parts,
        source=called.code.fingerprint.source,
        arguments=dict(zip(task.binder.names, called.values, strict=True)),
        argument_digests=called.argument_digests(),
        changed_globals=called.changed_globals,
        validate=task.options.validate,
        run_id=watched.run_id,
        forced=watched.is_forced,
        strict=session.config.strict,
        root=called.root,
        keepers=called.code.keepers(called.values),
        path_texts=called.code.fingerprint.path_texts,
        components=called.code.fingerprint.parts,
    )


def why(session: Session, called: Called, watched: Watched) -> Why:
    """Why the call runs, for the run that records it; not looked for where no run does."""
    if watched.is_forced:
        return Why(("it was forced",))
    if not watched.is_recorded:
        return Why()
    explanation = called.explained(session.store, watched.candidates())
    before = explanation.compared_with
    return Why(tuple(map(str, explanation.reasons)), None if before is None else bytes.fromhex(before))


def why_ended(session: Session, called: Called | None, state: State, cause: Why) -> Why:
    """Why the call ran; and if it left no record, why that is."""
    if state != State.UNCACHED or called is None:
        return cause
    unstored = why_unstored(session.store, called.task.name, called.key)
    said = f"its result was not stored: {unstored}"
    known = any(reason.endswith(unstored) for reason in cause.reasons)
    return cause if not unstored or known else cause._replace(reasons=(*cause.reasons, said))


def resolved_all(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values with every future within them replaced by its result."""
    return tuple(resolved(value) for value in values)


def _tried(retries: int, attempt: Callable[[], T]) -> T:
    """What an attempt gives; one that raises is made again, as in a worker. An interruption is not tried again."""
    for _ in range(retries):
        with suppress(Exception):
            return attempt()
    return attempt()


async def _tried_async(retries: int, attempt: Callable[[], Awaitable[T]]) -> T:
    for _ in range(retries):
        with suppress(Exception):
            return await attempt()
    return await attempt()


def _ended(session: Session, called: Called, watched: Watched, cause: Why, give: Callable[[], Done]) -> Any:
    try:
        done = give()
    except BaseException:
        watched.end(called, State.FAILED, why=cause)
        raise
    result = None if done.result is None else done.result.digest
    if done.record is not None:
        called.record_key = done.record.key
    took = done.seconds if done.state == State.RAN else None
    if watched.is_recorded:
        cause = why_ended(session, called, done.state, cause)
    watched.end(called, done.state, seconds=took, saved_seconds=done.saved_seconds, why=cause, result=result)
    return done.value
