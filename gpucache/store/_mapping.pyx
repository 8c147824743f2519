"""Map a file's bytes: read-only and shared, or private and writable. Keeps no descriptor open, unlike the mmap module."""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.exc cimport PyErr_SetFromErrno
from libc.stddef cimport size_t


cdef extern from "<sys/mman.h>" nogil:
    enum: PROT_READ
    enum: PROT_WRITE
    enum: MAP_SHARED
    enum: MAP_PRIVATE
    void *MAP_FAILED
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)


cdef class Mapping:
    cdef void *_start
    cdef Py_ssize_t _nbytes
    cdef bint _writable
    cdef object __weakref__

    def __cinit__(self, int descriptor, Py_ssize_t nbytes, bint writable):
        cdef int protection = PROT_READ | PROT_WRITE if writable else PROT_READ
        self._start = NULL
        if nbytes <= 0:
            raise ValueError("a mapping has at least one byte")
        start = mmap(NULL, nbytes, protection, MAP_PRIVATE if writable else MAP_SHARED, descriptor, 0)
        if start == MAP_FAILED:
            PyErr_SetFromErrno(OSError)
        self._start, self._nbytes, self._writable = start, nbytes, writable

    def __dealloc__(self):
        if self._start != NULL:
            munmap(self._start, self._nbytes)

    def __len__(self):
        return self._nbytes

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self._start, self._nbytes, not self._writable, flags)
