"""The way of a call: bind, identify, look up; a miss runs in this process or goes to a warm worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gpucache.digests import key_of_scalars
from gpucache.errors import RecordCorrupt, StoreFull, StoreUnusable, Untrusted
from gpucache.events import State, hooks
from gpucache.flows.future import Future, futures_in
from gpucache.flows.identify import Called
from gpucache.flows.in_process import run_body_async, run_here, run_uncached, run_uncached_async
from gpucache.flows.launch import Launch, after
from gpucache.flows.session import Session, current_session
from gpucache.flows.shared import fetched, fetched_async
from gpucache.flows.watcher import Watched, Watcher, watcher
from gpucache.memo import Done, current_watch, find, lookup, note_hit

if TYPE_CHECKING:
    from gpucache.flows.tasks import AnyTask

_MISS = object()


def call(task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Answer a call: from the store, or by running it in this process, or in a worker if it needs one."""
    seen = watcher.get()
    if seen is not None and seen.planning:
        return seen.plan(task, args, kwargs)
    if task.is_plain:
        session, values = current_session(), task.binder.bind(args, kwargs)
        if seen is None and task.is_quick and not hooks.is_heard:
            value = _hit_of_scalars(session, task, values)
            if value is not _MISS:
                return value
        started = time.perf_counter()
        called = Called(task, session, values)
        if not task.options.force and (seen is None or task.name not in seen.forced):
            value = _hit(session, called, seen, started)
            if value is _MISS and session.config.remote and fetched(session, called):
                value = _hit(session, called, seen, started)
            if value is not _MISS:
                return value
        return run_here(session, called, Watched(task, seen, started))
    task.refuse_generators()
    if task.options.needs_worker:
        return submit(task, args, kwargs).result()
    return run_uncached(task, task.binder.bind(args, kwargs), Watched(task, seen, time.perf_counter()))


async def call_async(task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """call() for an async task: the body runs in the caller's event loop."""
    seen, started = watcher.get(), time.perf_counter()
    if seen is not None and seen.planning:
        return seen.plan(task, args, kwargs)
    task.refuse_generators()
    if task.options.needs_worker:
        return await submit(task, args, kwargs)
    values = task.binder.bind(args, kwargs)
    for future in futures_in(values):
        await future if isinstance(future, Future) else None
    if not task.options.cache:
        return await run_uncached_async(task, values, Watched(task, seen, started))
    session = current_session()
    called = Called(task, session, values)
    if not task.options.force and (seen is None or task.name not in seen.forced):
        value = _hit(session, called, seen, started)
        if value is _MISS and session.config.remote and await fetched_async(session, called):
            value = _hit(session, called, seen, started)
        if value is not _MISS:
            return value
    return await run_body_async(session, called, Watched(task, seen, started))


def submit(task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
    """Start a call: its future is settled from the store, or by a warm worker."""
    task.refuse_generators()
    seen, started = watcher.get(), time.perf_counter()
    future: Future[Any] = Future(task.name)
    if seen is not None and seen.planning:
        future.set_result(seen.plan(task, args, kwargs))
        return future
    values = task.binder.bind(args, kwargs)
    if seen is not None:
        seen.submitted(future)
    launch = Launch(current_session(), values, future, Watched(task, seen, started))
    after(futures_in(values), launch.go)
    return future


def find_now(session: Session, called: Called) -> Done | None:
    """The stored answer of a call, or None. Runs nothing, records nothing."""
    found = find(session.store, called.key, root=called.root)
    if found is None and session.config.remote and fetched(session, called):
        found = find(session.store, called.key, root=called.root)
    return found


def _hit_of_scalars(session: Session, task: AnyTask, values: tuple[Any, ...]) -> Any:
    """The common call, plain numbers and texts that nobody watches: its key in one step, and nothing made for a record."""
    key = key_of_scalars(task.code(session).header, values, task.binder.counted)
    if key is None:
        return _MISS
    try:
        found = session.store.answer(key)
    except (RecordCorrupt, StoreFull, StoreUnusable, Untrusted):
        return _MISS
    return _MISS if found is None else found[0]


def _hit(session: Session, called: Called, seen: Watcher | None, started: float) -> Any:
    record = lookup(session.store, called.key, called.root)
    if record is None:
        return _MISS
    called.record_key = record.key
    note_hit(current_watch(), session.store, called.key, record.key, called.root)
    try:
        value = session.store.read(record.result)
    except (RecordCorrupt, StoreFull, StoreUnusable, Untrusted):
        return _MISS
    if seen is not None or hooks.is_heard:
        Watched(called.task, seen, started).end(
            called, State.HIT, saved_seconds=record.seconds, result=record.result.digest
        )
    return value
