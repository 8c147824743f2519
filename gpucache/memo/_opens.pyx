# cython: boundscheck=False, wraparound=False
# distutils: sources = csrc/gc_opens.c csrc/gc_relink.c
"""Which files native code opens, as csrc/gc_opens.h tells it. Glue, no policy."""

from libc.stdint cimport int32_t, uint32_t, uint64_t


cdef extern from "Python.h":
    const char *Py_GetVersion()


cdef extern from "gc_opens.h" nogil:
    struct gc_opened:
        uint64_t thread
        int32_t flags
        uint32_t path_bytes
        char path[4096]
    int gc_opens_install(const void *python, size_t notes_bytes)
    void gc_opens_listen(bint on)
    bint gc_opens_take(gc_opened *out)
    uint64_t gc_opens_lost()


def install(size_t notes_bytes=512 << 20):
    """Hear of what libraries loaded by now open, also of those loaded since the last call: 3 us where there are none.

    Args:
        notes_bytes: Room for some 100 bytes of each file, at the first call; memory is taken only as far as it is used.

    Returns:
        0, or the errno that says why nothing will be heard.
    """
    return gc_opens_install(<const void *> &Py_GetVersion, notes_bytes)


def listen(bint on):
    """Hear from now on, or no more; calls are counted."""
    gc_opens_listen(on)


def taken():
    """What was opened since the last call: (thread's identity, open(2)'s flags, path) of each. Not in a forked child."""
    cdef gc_opened opened
    found = []
    while gc_opens_take(&opened):
        found.append((opened.thread, opened.flags, opened.path[:opened.path_bytes]))
    return found


def lost():
    """How many were opened unheard, for want of room: grows only."""
    return gc_opens_lost()
