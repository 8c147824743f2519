"""A worker process's first and last lines. Started by local.py with its instructions on standard input.

It dies with the driver, and so do the processes that its calls have started: when the thread that started it ends, the
kernel signals it, and a handler in C kills its process group. Where there is no such signal (actors of Ray, other
systems), a watching thread does the same when the driver's end of the channel closes.
"""

from __future__ import annotations

import faulthandler
import io
import os
import select
import signal
import site
import sys
import threading

from gpucache.workers import _last_will, channel
from gpucache.workers.loop import Worker, serve
from gpucache.workers.messages import Setup
from gpucache.workers.served import Served


def main(descriptor: int, parent: int) -> None:
    """Serve calls on an inherited socket until the driver, process `parent`, has no more."""
    die_with_parent(parent)
    end = channel.from_descriptor(descriptor)
    die_on_hang_up(end.fileno())
    serve(whole_process_worker(), end)
    _flush()
    os._exit(0)  # threads and destructors that a call left behind must not keep a stopped worker alive


def whole_process_worker() -> Worker:
    """A worker that is this process: shipped modules are found by everyone in it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # what a call prints is seen while it runs
    served = Served()
    sys.meta_path.insert(0, served)
    return Worker(settle=settle, take=served.add, whole_process=True)


def settle(setup: Setup) -> None:
    """Become what the driver is: its directory and its sys.path (its environment it was born with).

    Packages that were installed for this worker (Env(pip=...), a container's image) come before those of the driver.
    """
    path = setup.sys_path
    own = [place for place in site.getsitepackages() if place not in path]
    installed = next((index for index, place in enumerate(path) if place.endswith("-packages")), len(path))
    sys.path[:] = [*path[:installed], *own, *path[installed:]]
    os.chdir(setup.cwd)
    faulthandler.enable()


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process's group when its parent's starting thread ends (Linux; else the hang-up must do)."""
    if sys.platform == "linux":
        _last_will.die_with_parent()
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


def die_on_hang_up(descriptor: int) -> None:
    """Kill this process's group as soon as the other end of `descriptor` is closed (and Python's lock is free)."""
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
