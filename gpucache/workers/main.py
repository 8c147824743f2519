"""A worker process's first and last lines. Started by local.py with its instructions on standard input.

It dies with the driver, twice over: the kernel kills it when the thread that started it ends (PR_SET_PDEATHSIG), and a
watching thread kills its process group, the processes that calls started included, when the driver's end of the
channel closes.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import select
import signal
import sys
import threading

from gpucache.workers import channel
from gpucache.workers.loop import Worker, serve
from gpucache.workers.messages import Setup
from gpucache.workers.ship import Served

_PR_SET_PDEATHSIG = 1


def main(descriptor: int, parent: int) -> None:
    """Serve calls on an inherited socket until the driver, process `parent`, has no more."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    end = channel.from_descriptor(descriptor)
    die_on_hang_up(end.fileno())
    serve(whole_process_worker(), end)
    _flush()
    os._exit(0)  # threads and destructors that a call left behind must not keep a stopped worker alive


def whole_process_worker() -> Worker:
    """A worker that is this process: shipped modules are found by everyone in it."""
    served = Served()
    sys.meta_path.insert(0, served)
    return Worker(settle=settle, take=served.add, whole_process=True)


def settle(setup: Setup) -> None:
    """Become what the driver is: its directory and its sys.path (its environment it was born with)."""
    sys.path[:] = setup.sys_path
    os.chdir(setup.cwd)
    faulthandler.enable()


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent's starting thread ends (Linux; else the hang-up must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


def die_on_hang_up(descriptor: int) -> None:
    """Kill this process's group as soon as the other end of `descriptor` is closed."""
    if hasattr(select, "POLLRDHUP"):
        threading.Thread(target=_wait_for_hang_up, args=(descriptor,), name="gpucache-hang-up", daemon=True).start()


def _wait_for_hang_up(descriptor: int) -> None:
    watched = select.poll()
    watched.register(descriptor, select.POLLRDHUP)
    while not watched.poll():
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more
