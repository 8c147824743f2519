"""When this process began: what a file says that is older is what was imported from it."""

from __future__ import annotations

import os
import time

CLOCK_SLACK_NS = 20_000_000
"""File times come from the kernel's tick, up to 10 ms behind time_ns(): a change this close to another time proves nothing."""


def process_began_at_ns() -> int:
    """When this process began, ns since the epoch; long ago if it can't be known, so that nothing is proven by it."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])  # field 22 of proc(5)
        with open("/proc/uptime", "rb") as file:
            uptime_s = float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    running_s = uptime_s - ticks / os.sysconf("SC_CLK_TCK")
    if running_s < 0:
        return 0  # a container that gives its own uptime, and the host's ticks
    return int((time.time() - running_s - 1.0) * 1e9)
