"""Ends what a program's own Ray leaves behind: a process beside it that waits for its end.

Ray's servers die with the program (kernel), but its agents find out that the raylet is gone by asking every few
seconds, and then wait for a server that is gone as well: they were seen 40 s after a SIGKILL (Ray 2.60). All of Ray's
processes, and what calls start in them, inherit a mark in their environment; when the program's end of our standard
input closes, however that came, we kill all that bear it and remove the session's folder.

Run as a script without site-packages, 6 MB. Knows nothing of gpucache.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys

_ROUNDS = 50
"""A process may be in the middle of a fork while we look: look again until nothing is found."""


def main() -> None:
    """Wait for end of file, then clean up: `undertaker.py MARK FOLDER`."""
    mark, folder = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for _ in range(_ROUNDS):
        found = marked(mark.encode())
        for pid in found:
            kill(pid)
        if not found:
            break
    shutil.rmtree(folder, ignore_errors=True)


def marked(mark: bytes) -> list[int]:
    """The processes of this user that have `mark` in their environment and are not dead yet."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _bears(pid, mark)]


def kill(pid: int) -> None:
    """Kill a process and wait until it is gone, a second at most."""
    try:
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return
    import select

    select.select([descriptor], [], [], 1.0)
    os.close(descriptor)


def _bears(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environment:
            return mark in environment.read() and pid != os.getpid()
    except OSError:
        return False


if __name__ == "__main__":
    main()
