"""A worker's life: take a call, run it, answer. No Ray, no processes: only a channel.

The same loop runs in a subprocess (main.py), in a Ray actor (on_ray.py) and in a thread (in_process.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpucache.errors import Bug, NotStorable
from gpucache.workers import context, messages
from gpucache.workers.context import WorkerContext
from gpucache.workers.holding import Account
from gpucache.workers.messages import Answer, Begun, Broken, Call, NewModules, Ready, Setup, Stale, Stop

if TYPE_CHECKING:
    from gpucache.store import Store
    from gpucache.workers.channel import Channel

Settle = Callable[[Setup], None]
Take = Callable[[tuple[messages.Module, ...]], "str | None"]


Reply = tuple[messages.Message, bytes]


class Worker:
    """What a worker does with each message. Called by serve(), or by an actor's methods where no channel reaches.

    Args:
        settle: Makes this process what Setup asks for (directory, sys.path); nothing in a thread.
        take: Serves new modules; returns the name of one that was imported already from another text.
        whole_process: Whether the worker context holds for the process or only for this thread.
    """

    def __init__(self, *, settle: Settle, take: Take, whole_process: bool) -> None:
        self._settle = settle
        self._take = take
        self._whole_process = whole_process
        self._context: WorkerContext | None = None
        self._account = Account(0)

    def handle(
        self, message: messages.Message, payload: bytes | memoryview, tell: Callable[[messages.Message], object]
    ) -> Reply | None:
        """Do what the driver says; return what to answer, if anything. Never raises for what a call raises.

        Args:
            tell: Says something to the driver before the answer.
        """
        match message:
            case Call():
                context.on_beginning((lambda: tell(Begun(message.call))) if message.timed else None)
                ok, answer = self._run(message, payload)
                return Answer(message.call, ok, self._account.news()), answer
            case NewModules():
                stale = self._take(message.modules)
                return None if stale is None else (Stale(stale), b"")
            case Setup():
                return self._begin(message, payload)
            case _:
                raise Bug(f"a worker was told {message!r}")

    def _begin(self, setup: Setup, payload: bytes | memoryview) -> Reply:
        try:
            self._settle(setup)
            self._take(setup.modules)
            self._enter(WorkerContext(setup.name, setup.device, setup.gpus))
            self._account = Account(len(setup.gpus))
            if payload:
                initializer, initargs = messages.loads(payload)
                initializer(*initargs)
        except BaseException as raised:  # noqa: BLE001  # an edge: the initializer is the user's
            return Broken(), messages.dump_exception(_without_our_frames(raised))
        return Ready(os.getpid()), b""

    def _run(self, call: Call, payload: bytes | memoryview) -> tuple[bool, bytes]:
        try:
            self._enter_rank(call)
            store = None if call.store is None else open_store(call.store)
            fn, args, kwargs = messages.loads(payload, store)
            if call.timed == "call":
                context.begun()
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


def serve(worker: Worker, end: Channel) -> None:
    """Serve until told to stop, until no more calls can be taken, or until the driver is gone."""
    try:
        while True:
            message, payload = end.recv()
            if isinstance(message, Stop):
                return
            reply = worker.handle(message, payload, end.send)
            del message, payload
            if reply is not None:
                end.send(*reply)
                if isinstance(reply[0], (Broken, Stale)):
                    return
                del reply
    except (EOFError, OSError):
        pass  # the driver is gone, and with it everyone who would read an answer
    finally:
        end.close()


def open_store(path: str) -> Store:
    """The store at `path`; one handle per path in a process."""
    store = _stores.get(path)
    if store is None:
        from gpucache.store import Store

        store = _stores.setdefault(path, Store(path))
    return store


_stores: dict[str, Store] = {}
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _without_our_frames(raised: BaseException) -> BaseException:
    """The exception with its traceback beginning in the user's code; whole, if it was raised in ours."""
    trace = raised.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    return raised if trace is None else raised.with_traceback(trace)


def _not_storable(result: object, problem: Exception) -> NotStorable:
    kind = f"{type(result).__module__}.{type(result).__qualname__}"
    why = f"pickling it failed: {type(problem).__name__}: {problem}"
    refusal = NotStorable(kind, why, "return something that can be pickled")
    refusal.__cause__ = problem
    return refusal
