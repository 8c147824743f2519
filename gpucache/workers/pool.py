"""The live workers: starts them, talks to them, hears of their end. Decides nothing.

One thread per worker, which starts it, reads its answers and reaps it: so the thread that the kernel watches for a
worker's parent death lives exactly as long as the worker, and a worker that is stopped in the middle of a large answer
holds up nobody else. An idle worker costs a blocked read at both ends.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gpucache.errors import RuntimeUnreachable
from gpucache.workers import messages
from gpucache.workers.channel import Channel
from gpucache.workers.kind import Kind, WorkerId
from gpucache.workers.messages import Answer, Begun, Broken, Call, NewModules, Ready, Setup, Stale, Stop
from gpucache.workers.ship import Shipment

_SEND_HERE_MAX_BYTES = 64 * 2**10
"""An idle worker's socket buffer takes this much at once (208 KiB by default); more is written by a thread of its own."""


class Running(Protocol):
    """A worker that was started."""

    channel: Channel
    pid: int

    def kill(self) -> None:
        """End it now. Any thread; safe after its end."""

    def reap(self) -> str:
        """After EOF on the channel: release what it held, return how it ended."""


class Starter(Protocol):
    """Starts workers of one runtime.

    Attributes:
        name: The runtime's.
        places_gpus_itself: It gives each worker the GPUs of its kind; we do not.
    """

    name: str
    places_gpus_itself: bool

    def check(self, kind: Kind) -> None:
        """Raise if a worker of this kind can't be had here."""

    def start(self, worker: WorkerId, kind: Kind, devices: tuple[str, ...]) -> Running:
        """Start one; may block for seconds. The calling thread lives as long as the worker."""

    def close(self) -> None:
        """Release what is held for all workers; every worker has ended."""


@dataclass(frozen=True, slots=True)
class IsReady:
    """A worker takes calls from now on."""

    worker: WorkerId
    pid: int


@dataclass(frozen=True, slots=True)
class HasBegun:
    """A timed call has all that it needs, and runs."""

    worker: WorkerId
    call: int


@dataclass(frozen=True, slots=True)
class HasAnswered:
    """A call has ended in a worker."""

    worker: WorkerId
    answer: Answer
    payload: memoryview


@dataclass(frozen=True, slots=True)
class HasEnded:
    """A worker is gone.

    Attributes:
        how: For people.
        pid: 0 if it never had a process.
        stale: It ended because the driver had another text of a module than it had: no fault of its calls.
        broken: Why no worker can be had at all: its initializer's exception, or RuntimeUnreachable.
    """

    worker: WorkerId
    how: str
    pid: int = 0
    stale: bool = False
    broken: BaseException | None = None


Report = IsReady | HasBegun | HasAnswered | HasEnded


class _Slot:
    """A worker's place in the pool, from before it is started until it is gone."""

    def __init__(self, generation: int) -> None:
        self.running: Running | None = None
        self.killed = False
        self.generation = generation
        self.sent_modules = 0
        self.lock = threading.Lock()


class Pool:
    """Workers by id. Any thread may call any method.

    Args:
        report: Hears of everything, from the workers' threads; must not block long.
        shipment: The modules that workers get.
        initializer: Pickled (initializer, initargs), run in each worker before its first call; empty for none.
    """

    def __init__(
        self, starter: Starter, report: Callable[[Report], None], shipment: Shipment, *, initializer: bytes = b""
    ) -> None:
        self._starter = starter
        self._report = report
        self._shipment = shipment
        self._initializer = initializer
        self._slots: dict[WorkerId, _Slot] = {}

    def start(self, worker: WorkerId, kind: Kind, devices: tuple[str, ...]) -> None:
        """Start a worker under a new id; returns at once. Reports IsReady, and in any case HasEnded at the end."""
        slot = self._slots[worker] = _Slot(kind.generation)
        threading.Thread(
            target=self._attend, args=(worker, slot, kind, devices), name=f"gpucache-w{worker}", daemon=True
        ).start()

    def send(self, worker: WorkerId, call: Call, payload: bytes) -> None:
        """Give an idle worker a call. If the worker is gone nothing happens here: HasEnded comes, or came."""
        slot = self._slots.get(worker)
        if slot is None or slot.running is None:
            return
        if len(payload) <= _SEND_HERE_MAX_BYTES:
            self._send(slot, slot.running, call, payload)
        else:
            threading.Thread(target=self._send, args=(slot, slot.running, call, payload), daemon=True).start()

    def stop(self, worker: WorkerId) -> None:
        """Ask an idle worker to end."""
        slot = self._slots.get(worker)
        if slot is None:
            return
        with slot.lock:
            running = slot.running
            slot.killed = running is None  # not started yet: _attend sees it
        if running is not None:
            try:
                running.channel.send(Stop())
            except OSError:
                pass  # it has ended already

    def kill(self, worker: WorkerId) -> None:
        """End a worker now, whatever it does."""
        slot = self._slots.get(worker)
        if slot is None:
            return
        with slot.lock:
            slot.killed = True
            running = slot.running
        if running is not None:
            running.kill()

    def kill_all(self) -> None:
        """End every worker now."""
        for worker in tuple(self._slots):
            self.kill(worker)

    def pid(self, worker: WorkerId) -> int | None:
        """The worker's process, None before it has one."""
        slot = self._slots.get(worker)
        return None if slot is None or slot.running is None else slot.running.pid

    def close(self) -> None:
        """Release the starter. Every worker has reported HasEnded."""
        self._starter.close()

    def _send(self, slot: _Slot, running: Running, call: Call, payload: bytes) -> None:
        fresh = self._shipment.modules_since(slot.generation, slot.sent_modules)
        slot.sent_modules += len(fresh)
        try:
            if fresh:
                running.channel.send(NewModules(fresh))
            running.channel.send(call, payload)
        except (OSError, ValueError):
            pass  # its channel has broken: its own thread reports its end

    def _attend(self, worker: WorkerId, slot: _Slot, kind: Kind, devices: tuple[str, ...]) -> None:
        """A worker's whole life, in its own thread."""
        ended = HasEnded(worker, "it could not be started")
        try:
            running = self._starter.start(worker, kind, devices)
        except RuntimeUnreachable as problem:
            ended = HasEnded(worker, str(problem), broken=problem)
        except Exception as problem:  # noqa: BLE001  # an edge: a worker that can't be started must be heard of
            ended = HasEnded(worker, f"it could not be started: {type(problem).__name__}: {problem}")
        else:
            with slot.lock:
                slot.running = running
                killed = slot.killed
            if killed:
                running.kill()
            ended = self._converse(worker, slot, running, kind, devices)
        finally:
            self._slots.pop(worker, None)
            self._report(ended)

    def _converse(
        self, worker: WorkerId, slot: _Slot, running: Running, kind: Kind, devices: tuple[str, ...]
    ) -> HasEnded:
        stale, broken = "", None
        try:
            running.channel.send(self._setup(worker, slot, kind, devices), self._initializer)
            while True:
                message, payload = running.channel.recv()
                match message:
                    case Answer():
                        self._report(HasAnswered(worker, message, payload))
                    case Begun():
                        self._report(HasBegun(worker, message.call))
                    case Ready():
                        running.pid = message.pid
                        self._report(IsReady(worker, message.pid))
                    case Broken():
                        broken = messages.load_exception(payload)
                    case Stale():
                        stale = message.module
                    case _:
                        pass  # Hello: read by those who accept connections
        except (EOFError, OSError):
            how = running.reap()
        if stale:
            return HasEnded(worker, f"it had imported another text of {stale!r}", running.pid, stale=True)
        return HasEnded(worker, how, running.pid, broken=broken)

    def _setup(self, worker: WorkerId, slot: _Slot, kind: Kind, devices: tuple[str, ...]) -> Setup:
        modules = self._shipment.modules_since(slot.generation, 0)
        slot.sent_modules = len(modules)
        return Setup(
            worker=worker,
            name=f"w{worker}",
            device="cuda:0" if kind.gpus else "cpu",
            gpus=devices,
            cwd=os.getcwd(),
            sys_path=tuple(sys.path),
            modules=modules,
        )
