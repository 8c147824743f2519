"""Workers that are threads of this process: the ordinary twin of local processes and Ray actors.

Passes the same contract tests, so that whoever stands on workers can be tested without any process. A thread can't be
killed: kill() closes its channel, and whatever it still does is heard by nobody.
"""

from __future__ import annotations

import os
import threading

from gpucache.workers import channel
from gpucache.workers.kind import Kind, WorkerId
from gpucache.workers.loop import Worker, serve
from gpucache.workers.messages import Module, Setup


class InProcessWorker:
    """A thread and its channel."""

    def __init__(self) -> None:
        self.channel, theirs = channel.pair()
        self.pid = os.getpid()
        self._how = "its thread ended"
        end = channel.from_descriptor(theirs.detach())
        worker = Worker(settle=_settle, take=_take, whole_process=False)
        threading.Thread(target=serve, args=(worker, end), name="gpucache-worker", daemon=True).start()

    def kill(self) -> None:
        """Hang up; the thread ends after the call it is in."""
        self._how = "killed"
        self.channel.hang_up()

    def reap(self) -> str:
        """Say how it ended."""
        self.channel.close()
        return self._how


class InProcessStarter:
    """Starts worker threads."""

    name = "in_process"
    places_gpus_itself = False

    def check(self, kind: Kind) -> None:
        """Everything is accepted; environments are not applied to threads."""

    def start(self, worker: WorkerId, kind: Kind, devices: tuple[str, ...]) -> InProcessWorker:
        """Start a thread."""
        return InProcessWorker()

    def close(self) -> None:
        """Nothing is held between workers."""


def _settle(setup: Setup) -> None:
    """A thread has the driver's directory, path and environment already."""


def _take(_modules: tuple[Module, ...]) -> str | None:
    """A thread has the driver's modules already."""
    return None
