"""Who uses LMDB passes a gate, which is closed while this process forks: a fork waits until nobody is inside.

A child can't close an environment that another thread of its parent was using: py-lmdb waits for that thread, which is not
here, without end, even as the interpreter ends. And without closing it, it can't open its own.
"""

from __future__ import annotations

import os
import threading
import time

from gpucache.store._rows import leave_again, set_gate, try_to_enter

WAIT_S = 2.0
"""A fork waits so long at most, for a disk that takes its time. A child of one that waited no longer does without the index."""

LOOK_AGAIN_S = 50e-6


class _Inside:
    """What `with inside:` needs, in threads of any number. Within it nobody forks, or waits for what may take long."""

    def __enter__(self) -> None:
        while not try_to_enter():
            with _state.forking:
                pass

    def __exit__(self, *raised: object) -> None:
        leave_again()


class _State:
    """Of this process.

    Attributes:
        forking: Held by the thread that forks.
        is_heir: Whether this is a child of a process in which a thread was inside when it forked.
    """

    forking = threading.Lock()
    is_heir = False


_state = _State()
inside = _Inside()


def is_heir() -> bool:
    """Whether what was inherited of LMDB is in use by threads that are not here: it can neither be used nor given back."""
    return _state.is_heir


def _close() -> None:
    _state.forking.acquire()
    until = time.monotonic() + WAIT_S
    while set_gate(True) and time.monotonic() < until:
        time.sleep(LOOK_AGAIN_S)


def _open_in_parent() -> None:
    set_gate(False)
    _state.forking.release()


def _open_in_child() -> None:
    _state.is_heir = _state.is_heir or set_gate(True) > 0
    _state.forking = threading.Lock()
    set_gate(False, nobody_inside=True)


os.register_at_fork(before=_close, after_in_parent=_open_in_parent, after_in_child=_open_in_child)
