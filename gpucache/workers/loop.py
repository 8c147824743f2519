"""A worker's life: take a call, run it, answer. No Ray, no processes: only a channel.

The same loop runs in a subprocess (main.py), in a Ray actor (on_ray.py) and in a thread (in_process.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpucache.errors import NotStorable
from gpucache.workers import context, messages
from gpucache.workers.context import WorkerContext
from gpucache.workers.messages import Answer, Broken, Call, NewModules, Ready, Setup, Stale, Stop

if TYPE_CHECKING:
    from gpucache.store import Store
    from gpucache.workers.channel import Channel

Settle = Callable[[Setup], None]
Take = Callable[[tuple[messages.Module, ...]], "str | None"]


class Worker:
    """One worker at one end of a channel.

    Args:
        settle: Makes this process what Setup asks for (directory, sys.path, environment); nothing in a thread.
        take: Serves new modules; returns the name of one that was imported already from another text.
        whole_process: Whether the worker context holds for the process or only for this thread.
    """

    def __init__(self, channel: Channel, *, settle: Settle, take: Take, whole_process: bool) -> None:
        self._channel = channel
        self._settle = settle
        self._take = take
        self._whole_process = whole_process
        self._context: WorkerContext | None = None

    def serve(self) -> None:
        """Serve until told to stop or the driver is gone. Never raises for what a call raises."""
        try:
            if self._begin():
                while self._step():
                    pass
        except (EOFError, OSError):
            pass  # the driver is gone, and with it everyone who would read an answer
        finally:
            self._channel.close()

    def _begin(self) -> bool:
        setup, payload = self._channel.recv()
        if not isinstance(setup, Setup):
            return False
        try:
            self._settle(setup)
            self._take(setup.modules)
            self._enter(WorkerContext(setup.name, setup.device, setup.gpus))
            if payload:
                initializer, initargs = messages.loads(payload)
                initializer(*initargs)
        except BaseException as raised:  # noqa: BLE001  # an edge: the initializer is the user's
            self._channel.send(Broken(), messages.dump_exception(raised))
            return False
        self._channel.send(Ready(os.getpid()))
        return True

    def _step(self) -> bool:
        message, payload = self._channel.recv()
        match message:
            case Call():
                ok, answer = self._run(message, payload)
                self._channel.send(Answer(message.call, ok), answer)
            case NewModules():
                stale = self._take(message.modules)
                if stale is not None:
                    self._channel.send(Stale(stale))
                    return False
            case _:
                return not isinstance(message, Stop)
        return True

    def _run(self, call: Call, payload: memoryview) -> tuple[bool, bytes]:
        try:
            self._enter_rank(call)
            store = None if call.store is None else open_store(call.store)
            fn, args, kwargs = messages.loads(payload, store)
            result = fn(*args, **kwargs)
            del fn, args, kwargs
        except BaseException as raised:  # noqa: BLE001  # an edge: the call is the user's, and the worker outlives it
            return False, messages.dump_exception(_without_our_frames(raised))
        try:
            return True, messages.dumps(result, store)
        except Exception as problem:  # noqa: BLE001  # an edge: the result's own __reduce__ is the user's
            return False, messages.dump_exception(_not_storable(result, problem))

    def _enter(self, entered: WorkerContext) -> None:
        self._context = entered
        context.enter(entered, whole_process=self._whole_process)

    def _enter_rank(self, call: Call) -> None:
        known = self._context
        if known is not None and (known.rank, known.size) != (call.rank, call.size):
            self._enter(WorkerContext(known.worker, known.device, known.gpus, call.rank, call.size))


def open_store(path: str) -> Store:
    """The store at `path`; one handle per path in a process."""
    store = _stores.get(path)
    if store is None:
        from gpucache.store import Store

        store = _stores.setdefault(path, Store(path))
    return store


_stores: dict[str, Any] = {}


def _without_our_frames(raised: BaseException) -> BaseException:
    """The exception with its traceback beginning in the user's code."""
    if raised.__traceback__ is not None and raised.__traceback__.tb_next is not None:
        return raised.with_traceback(raised.__traceback__.tb_next)
    return raised


def _not_storable(result: object, problem: Exception) -> NotStorable:
    kind = f"{type(result).__module__}.{type(result).__qualname__}"
    refusal = NotStorable(kind, f"pickling it failed: {type(problem).__name__}: {problem}", "return something that can be pickled")
    refusal.__cause__ = problem
    return refusal
