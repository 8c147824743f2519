# distutils: sources = csrc/gc_last_will.c
# cython: language_level=3
"""Glue to csrc/gc_last_will.h: one call, no policy."""

cdef extern from "gc_last_will.h":
    int gc_die_with_parent() noexcept nogil


def die_with_parent() -> None:
    """Have the kernel kill this process group when the parent's starting thread ends.

    Raises:
        OSError: This process does not lead its group, or the system has no such thing.
    """
    cdef int c_status = gc_die_with_parent()
    if c_status != 0:
        raise OSError(c_status, "the kernel was not asked to end this process with its parent")
