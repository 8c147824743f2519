"""Whether the process ids that NVML gives are ours: it counts as the host does, a container counts anew.

Where they are not, no id may be looked up here: it would name another process or none. Who holds how much is then known
from the workers' own reports alone, and the rest of a GPU's used memory is someone else's.
"""

from __future__ import annotations

import os

_HOSTS = "pid:[4026531836]"
"""The first namespace of process ids; the kernel gives it this number always (PROC_PID_INIT_INO, linux/proc_ns.h)."""

OWN = "/proc/self/ns/pid"


def are_hosts(link: str = OWN) -> bool | None:
    """True in a namespace of our own; None where the kernel does not say."""
    try:
        return os.readlink(link) != _HOSTS
    except OSError:
        return None


def why_not_ours(link: str = OWN) -> str:
    """Why NVML's process ids don't name our processes, and what that costs."""
    try:
        namespace = os.readlink(link)
    except OSError:
        namespace = "one that the kernel does not name"
    return (
        f"this process lives in a container (its ids are of {namespace}, the host's of {_HOSTS}) and NVML gives process ids "
        "as the host counts them; memory is attributed by what workers report, which those can that use PyTorch, and the "
        "rest of a GPU's used memory is others'; start the container with --pid=host to have NVML's word for it"
    )
