"""Worker processes of this machine, started as children of the driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from gpucache.errors import RuntimeUnreachable
from gpucache.workers import channel

if TYPE_CHECKING:
    from gpucache.workers.channel import Channel
    from gpucache.workers.kind import Kind, WorkerId

# -c and not -m: the driver's own sys.path, and nothing else, decides which gpucache the worker imports.
_BOOT = (
    "import sys, json; told = json.loads(sys.argv[1]); sys.path[:] = told['path']; sys.argv = ['gpucache-worker']; "
    "from gpucache.workers.main import main; main(told['descriptor'], told['parent'])"
)
_REAP_S = 5.0


class LocalWorker:
    """A child process and its channel."""

    def __init__(self, process: subprocess.Popen[bytes], end: Channel) -> None:
        self._process = process
        self.channel = end
        self.pid = process.pid

    def kill(self) -> None:
        """End it now, with every process that its calls have started (it leads a session of its own)."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def reap(self) -> str:
        """Wait for its end, after its channel has closed; say how it ended."""
        try:
            status = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        self.channel.close()
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"exit status {status}"


class LocalStarter:
    """Starts worker processes. Call start() from a thread that lives as long as the worker (PR_SET_PDEATHSIG is per thread)."""

    name = "local"
    places_gpus_itself = False

    def check(self, kind: Kind) -> None:
        """Refuse what only Ray can do.

        Raises:
            RuntimeUnreachable: The kind's environment asks for packages or an image.
        """
        if kind.env is not None and (kind.env.pip or kind.env.image):
            why = "it can't build environments with pip= or image="
            raise RuntimeUnreachable("local", why, 'use runtime="ray" for tasks with such an Env')

    def start(self, worker: WorkerId, kind: Kind, devices: tuple[str, ...]) -> LocalWorker:
        """Start a process; its channel is connected at once, and at EOF if it dies before it speaks.

        Raises:
            OSError: No process or descriptor could be had.
        """
        end, theirs = channel.pair()
        told = {"path": sys.path, "descriptor": theirs.fileno(), "parent": os.getpid()}
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001  # as multiprocessing does
        try:
            process = subprocess.Popen(  # our own interpreter and code
                [sys.executable, *flags, "-c", _BOOT, json.dumps(told)],
                stdin=subprocess.DEVNULL,
                stdout=_stderr(),
                stderr=_stderr(),
                pass_fds=(theirs.fileno(),),
                env=_environment(kind, devices),
                start_new_session=True,
            )
        except OSError:
            end.close()
            raise
        finally:
            theirs.close()
        return LocalWorker(process, end)

    def close(self) -> None:
        """Nothing is held between workers."""


def _environment(kind: Kind, devices: tuple[str, ...]) -> dict[str, str]:
    """The driver's environment, with what must be set before the interpreter starts (LD_LIBRARY_PATH, OMP_NUM_THREADS)."""
    wanted = dict(os.environ)
    if kind.env is not None:
        wanted.update(kind.env.env_vars)
    if devices:
        wanted.update(CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES=",".join(devices))
    return wanted


def _stderr() -> int:
    """Where workers write: the driver's standard error, so that standard output stays the program's own."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2
