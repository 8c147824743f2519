# distutils: sources = csrc/gc_digest.c
"""Glue to csrc/gc_digest.c: a buffer in, 16 bytes out, no policy."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

cdef size_t RELEASE_GIL_FROM = 32768


cdef extern from "gc_digest.h":
    void gc_hash128(const void *data, size_t size, uint64_t seed, uint8_t *out) noexcept nogil
    void gc_tree_digest(const void *data, size_t size, uint8_t *out) noexcept nogil
    size_t gc_leaf_count(size_t size) noexcept nogil
    void gc_leaf_digests(const void *data, size_t size, size_t first, size_t last, uint8_t *out) noexcept nogil
    void gc_root_digest(const uint8_t *leaves, size_t count, uint64_t size, uint8_t *out) noexcept nogil


def hash128(bytes data not None, uint64_t seed=0):
    cdef uint8_t out[16]
    gc_hash128(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), seed, out)
    return PyBytes_FromStringAndSize(<char *> out, 16)


def tree_digest(data not None):
    cdef uint8_t out[16]
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)  # any C-contiguous buffer, whatever its items
    try:
        if <size_t> view.len < RELEASE_GIL_FROM:
            gc_tree_digest(view.buf, view.len, out)
        else:
            with nogil:
                gc_tree_digest(view.buf, view.len, out)
    finally:
        PyBuffer_Release(&view)
    return PyBytes_FromStringAndSize(<char *> out, 16)


def leaf_digests(const uint8_t[::1] data not None, size_t first, size_t last, uint8_t[::1] leaves not None):
    cdef size_t size = data.shape[0]
    if first > last or last > gc_leaf_count(size) or <size_t> leaves.shape[0] < 16 * last or size == 0:
        raise ValueError("leaves out of range")
    with nogil:
        gc_leaf_digests(&data[0], size, first, last, &leaves[0])


def root_digest(const uint8_t[::1] leaves not None, uint64_t size):
    cdef uint8_t out[16]
    gc_root_digest(&leaves[0], leaves.shape[0] // 16, size, out)
    return PyBytes_FromStringAndSize(<char *> out, 16)
